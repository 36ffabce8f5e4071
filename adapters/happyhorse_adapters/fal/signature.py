"""
The signature of fal's webhooks: Ed25519, by keys that fal publishes as a JWK set.

https://docs.fal.ai/documentation/model-apis/inference/webhooks has the headers. Several public verifiers agree on what
is signed: four lines with the id of the request, that of the user, the time, and the SHA-256 of the raw body.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from importlib.util import find_spec

from attrs import define

from happyhorse_async.adapter_kit import Lax, read_object, structure
from happyhorse_async.errors import CallbackRejectedError, ConfigurationError, InvalidResponseError
from happyhorse_async.messages import HttpRequest, HttpResponse

_WINDOW = 300.0
_TIMESTAMP = re.compile("[0-9]{1,12}")
_SIGNATURE = re.compile("[0-9a-fA-F]{128}")


@define(kw_only=True)
class _WireKey:
    kty: Lax[str] = None
    crv: Lax[str] = None
    x: Lax[str] = None


@define(kw_only=True)
class _WireKeys:
    keys: list[Lax[_WireKey]]


def check_extra(provider: str) -> None:
    """
    Make sure that signatures can be verified.

    :raises ConfigurationError: they cannot.
    """
    if find_spec("cryptography") is None:
        raise ConfigurationError(
            "fal signs its webhooks with Ed25519; to verify them, install happyhorse-async[webhooks]", provider=provider
        )


def published_keys(response: HttpResponse) -> tuple[str, ...]:
    """
    Read the Ed25519 keys of a JWK set: the `x` of each.

    :raises InvalidResponseError: it has none.
    """
    wire = structure(read_object(response), _WireKeys)
    keys = [key for key in wire.keys if key is not None]
    found = tuple(key.x for key in keys if key.kty == "OKP" and key.crv == "Ed25519" and key.x and _raw(key.x))
    if not found:
        raise InvalidResponseError("the published key set has no Ed25519 key", path="keys")
    return found


def verify(message: HttpRequest, keys: Sequence[str], now: datetime) -> None:
    """
    Make sure that *message* was signed with one of *keys*, about *now*, and is about the request that is signed.

    :raises CallbackRejectedError: it was not.
    """
    names = ("request-id", "user-id", "timestamp", "signature")
    request_id, user_id, timestamp, signature = (message.headers.get(f"x-fal-webhook-{name}", "") for name in names)
    if not (request_id and timestamp and signature):
        raise CallbackRejectedError("the callback is not signed")
    if not _TIMESTAMP.fullmatch(timestamp) or not _SIGNATURE.fullmatch(signature):
        raise CallbackRejectedError("the callback's timestamp or signature is malformed")
    skew = now.timestamp() - int(timestamp)
    if abs(skew) > _WINDOW:
        raise CallbackRejectedError(
            f"the callback was signed {abs(skew):.0f} s {'ago' if skew > 0 else 'from now'}: it is replayed, "
            "or the clock of this machine is wrong"
        )
    body = message.body or b""
    signed = "\n".join((request_id, user_id, timestamp, hashlib.sha256(body).hexdigest()))
    if not any(_fits(key, bytes.fromhex(signature), signed.encode(errors="surrogatepass")) for key in keys):
        raise CallbackRejectedError("the callback's signature fits none of the published keys", fits_no_key=True)
    if _request_id(body) != request_id:
        raise CallbackRejectedError("the callback is about another request than the one that is signed")


def _request_id(body: bytes) -> object:
    with suppress(InvalidResponseError):
        return read_object(HttpResponse(status=200, body=body)).get("request_id")
    return None


def _fits(key: str, signature: bytes, signed: bytes) -> bool:
    # Importing it takes longer than the rest of this library.
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    raw = _raw(key)
    if raw is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _raw(key: str) -> bytes | None:
    with suppress(ValueError, binascii.Error):
        raw = base64.urlsafe_b64decode(key + "=" * (-len(key) % 4))
        return raw if len(raw) == 32 else None
    return None
