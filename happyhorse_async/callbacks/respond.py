"""Processes a webhook over HTTP and returns the status of the response, for any web framework."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Protocol

from attrs import frozen

from ..errors import CallbackRejectedError, HappyHorseError
from ..logs import get_logger, log_fields
from ..task import Task

_log = get_logger(__name__)

LARGEST_BODY = 1024 * 1024
"""The largest body of a webhook that is read, in bytes."""


class Receive(Protocol):
    """Processes a webhook; see `CallbackReceiver.receive`."""

    async def __call__(self, headers: Mapping[str, str], body: bytes, *, query: str) -> Task | None:
        """Process a webhook."""
        ...


@frozen(kw_only=True)
class WebhookRequest:
    """A request whose body has not been read."""

    method: str
    """In upper case."""
    headers: Mapping[str, str]
    """By lower-case name."""
    query: str
    """The query of the URL, without the question mark."""
    chunks: AsyncIterator[bytes]
    """The body, as it arrives."""


async def respond(webhook: WebhookRequest, receive: Receive, *, timeout: float) -> int:
    """
    Process a webhook, and return the HTTP status of the response.

    :param timeout: seconds within which its body must arrive.
    """
    if webhook.method in ("GET", "HEAD"):
        # Providers and load balancers check URLs with these methods.
        return 200
    if webhook.method != "POST":
        return 405
    try:
        check_encoding(webhook.headers)
        await receive(webhook.headers, await _read(webhook, timeout), query=webhook.query)
    except CallbackRejectedError as error:
        _log.info("webhook rejected: %s", error, extra=log_fields(reason=error))
        return error.http_status
    except (HappyHorseError, RuntimeError) as error:
        message = "webhook not processed, the provider must send it again: %s"
        _log.warning(message, error, extra=log_fields(reason=error))
        return 503
    except Exception:  # noqa: BLE001 - the provider must send the webhook again, whatever is wrong here
        _log.exception("webhook not processed, the provider must send it again")
        return 500
    return 200


def lower_names(headers: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Return *headers* by lower-case name. The values of a repeated header are joined."""
    found: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def check_encoding(headers: Mapping[str, str]) -> None:
    """
    Reject a compressed body.

    Its signature is made over the compressed bytes, but some web frameworks decompress a body before it can be read. No
    provider is known to compress webhooks.

    :param headers: by lower-case name.
    :raises CallbackRejectedError: the body has a `Content-Encoding`; the status is 415.
    """
    if headers.get("content-encoding", "").strip().lower() not in ("", "identity"):
        raise CallbackRejectedError("the webhook's body is compressed (Content-Encoding)", http_status=415)


def too_large() -> CallbackRejectedError:
    """Return the error for a body that is larger than `LARGEST_BODY`."""
    return CallbackRejectedError(f"the webhook is larger than {LARGEST_BODY} bytes", http_status=413)


def closes_connection(status: int) -> bool:
    """Return whether a response with *status* is sent before the body was read, so that the connection must end."""
    return status in (408, 413, 415)


async def _read(webhook: WebhookRequest, timeout: float) -> bytes:
    declared = webhook.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > LARGEST_BODY:
        raise too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(timeout):
            async for chunk in webhook.chunks:
                body += chunk
                if len(body) > LARGEST_BODY:
                    raise too_large()
    except TimeoutError:
        raise CallbackRejectedError(f"the webhook has not arrived within {timeout:g} s", http_status=408) from None
    except CallbackRejectedError:
        raise
    except Exception as error:  # noqa: BLE001 - each framework raises errors of its own
        raise CallbackRejectedError(f"the webhook broke off: {type(error).__name__}", http_status=400) from None
    return bytes(body)
