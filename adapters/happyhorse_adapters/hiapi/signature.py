"""
The signature of HiAPI's callbacks: HMAC-SHA256 of the timestamp, a full stop and the raw body, as lower-case hex.

https://docs.hiapi.ai/async-api/ has the scheme, and the vendor's own client has the window of five minutes either way:
https://github.com/HiAPIAI/hiapi-python
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import datetime

from happyhorse_async.errors import CallbackRejectedError
from happyhorse_async.messages import HttpRequest

_WINDOW = 300.0

# Unix seconds. `int` would read digits of other alphabets as well, and signs, and underscores.
_TIMESTAMP = re.compile("[0-9]{1,12}")


def verify(message: HttpRequest, secrets: Sequence[str], now: datetime) -> None:
    """
    Make sure that *message* was signed with one of *secrets*, about *now*.

    :raises CallbackRejectedError: it was not.
    """
    timestamp = message.headers.get("x-hiapi-timestamp", "")
    signature = message.headers.get("x-hiapi-signature", "")
    if not timestamp or not signature:
        raise CallbackRejectedError("the callback is not signed; the webhook signing key is set in HiAPI's console")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise CallbackRejectedError("the callback's timestamp is no number of seconds")
    signed = timestamp.encode() + b"." + (message.body or b"")
    # All are tried, so that the time it takes does not tell which one fits. Half a surrogate pair can be compared too.
    given = signature.encode(errors="surrogatepass")
    genuine = [hmac.compare_digest(_sign(secret, signed), given) for secret in secrets]
    if not any(genuine):
        raise CallbackRejectedError("the callback's signature fits none of the secrets")
    skew = now.timestamp() - int(timestamp)
    if abs(skew) > _WINDOW:
        raise CallbackRejectedError(
            f"the callback was signed {abs(skew):.0f} s {'ago' if skew > 0 else 'from now'}: it is replayed, "
            "or the clock of this machine is wrong"
        )


def _sign(secret: str, signed: bytes) -> bytes:
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode()
