"""
The signature of KIE's callbacks: HMAC-SHA256 of the task id, a full stop and the timestamp, in base64.

https://docs.kie.ai/common-api/webhook-verification. It does not cover the body: what a callback says of its task must
be confirmed by a status request, even if it is signed. The page has no window for the time; five minutes is ours.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import datetime

from happyhorse_async.errors import CallbackRejectedError, InvalidResponseError
from happyhorse_async.messages import HttpRequest

from .responses import callback_task_id

_WINDOW = 300.0

# Unix seconds. `int` would read digits of other alphabets as well, and signs, and underscores.
_TIMESTAMP = re.compile("[0-9]{1,12}")


def verify(message: HttpRequest, secrets: Sequence[str], now: datetime) -> None:
    """
    Make sure that the task id in *message* was signed with one of *secrets*, about *now*.

    :raises CallbackRejectedError: it was not.
    """
    timestamp = message.headers.get("x-webhook-timestamp", "").strip()
    signature = message.headers.get("x-webhook-signature", "").strip()
    if not timestamp or not signature:
        raise CallbackRejectedError("the callback is not signed; webhookHmacKey is set in KIE's console")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise CallbackRejectedError("the callback's timestamp is no number of seconds")
    try:
        signed = f"{callback_task_id(message)}.{timestamp}".encode(errors="surrogatepass")
    except InvalidResponseError as error:
        raise CallbackRejectedError(error.message, http_status=400) from None
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
    return base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest())
