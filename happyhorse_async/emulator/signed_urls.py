"""Links that die, in the manner of the signed URLs of Alibaba Cloud OSS, where providers keep their videos. Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import urlencode

from attrs import field, frozen


class SignedUrlError(Exception):
    """
    A link that is not honoured.

    :param code: the store's word for it.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@frozen
class SignedUrls:
    """Makes links and checks them. All times are Unix seconds."""

    secret: bytes = field(repr=False)

    def make(self, origin: str, path: str, *, expires: float) -> str:
        """Sign *path* at *origin* until *expires*."""
        # The store knows whole seconds only.
        moment = str(int(expires))
        return f"{origin}{path}?{urlencode({'Expires': moment, 'Signature': self._sign(path, moment)})}"

    def check(self, path: str, query: Mapping[str, str], *, now: float) -> None:
        """
        Check a link that somebody came with.

        :raises LinkError: it is not one of ours, or has died.
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


def refusal_page(code: str, message: str, *, request_id: str) -> bytes:
    """Write the store's error page."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{request_id}</RequestId></Error>\n"
    ).encode()
