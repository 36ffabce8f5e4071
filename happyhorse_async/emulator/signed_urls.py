"""URLs that expire, like the signed URLs of Alibaba Cloud OSS, where providers store their videos. Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import urlencode

from attrs import field, frozen


class SignedUrlError(Exception):
    """
    A URL that is refused.

    :param code: the storage's error code.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@frozen
class SignedUrls:
    """Signs URLs and checks them. All times are Unix seconds."""

    secret: bytes = field(repr=False)

    def make(self, origin: str, path: str, *, expires: float) -> str:
        """Sign *path* at *origin* until *expires*."""
        # OSS has a precision of a second.
        moment = str(int(expires))
        return f"{origin}{path}?{urlencode({'Expires': moment, 'Signature': self._sign(path, moment)})}"

    def check(self, path: str, query: Mapping[str, str], *, now: float) -> None:
        """
        Check the path and the query of a request.

        :raises SignedUrlError: the signature is wrong, or the URL has expired.
        """
        moment, signature = query.get("Expires", ""), query.get("Signature", "")
        if not hmac.compare_digest(signature.encode(errors="replace"), self._sign(path, moment).encode()):
            raise SignedUrlError(
                "SignatureDoesNotMatch", "The request signature does not match the one that was calculated."
            )
        if now >= int(moment):
            raise SignedUrlError("AccessDenied", "Request has expired.")

    def _sign(self, path: str, moment: str) -> str:
        return hmac.new(self.secret, f"GET\n{moment}\n{path}".encode(), hashlib.sha256).hexdigest()


def storage_error(code: str, message: str, *, request_id: str) -> bytes:
    """Return the error body of the storage."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{request_id}</RequestId></Error>\n"
    ).encode()
