"""From a call over HTTP to the status of its answer, for any web framework."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Protocol

from attrs import frozen

from ..errors import CallbackRejectedError, HappyHorseError
from ..task import Task

_log = logging.getLogger("happyhorse_async")

LARGEST_BODY = 1024 * 1024
"""Bytes of a call that are read at most."""


class Receive(Protocol):
    """What takes in a call; see `CallbackReceiver.receive`."""

    async def __call__(self, headers: Mapping[str, str], body: bytes, *, query: str) -> Task | None:
        """Take in a call."""
        ...


@frozen(kw_only=True)
class Call:
    """A request whose body has not been read."""

    method: str
    """In capitals."""
    headers: Mapping[str, str]
    """By lower-case name."""
    query: str
    """Of the URL, without the question mark."""
    chunks: AsyncIterator[bytes]
    """The body, as it arrives."""


async def answer(call: Call, receive: Receive, *, timeout: float) -> int:
    """
    Take in *call*, and return the HTTP status to answer it with.

    :param timeout: seconds within which its body must have arrived.
    """
    if call.method in ("GET", "HEAD"):
        # Providers and load balancers probe a URL so.
        return 200
    if call.method != "POST":
        return 405
    try:
        await receive(call.headers, await _read(call, timeout), query=call.query)
    except CallbackRejectedError as error:
        _log.info("a callback was rejected: %s", error)
        return error.http_status
    except (HappyHorseError, RuntimeError) as error:
        _log.warning("a callback was not taken in, and has to come again: %s", error)
        return 503
    except Exception:  # noqa: BLE001 - whatever is wrong here, the provider shall call again
        _log.exception("a callback was not taken in, and has to come again")
        return 500
    return 200


def lower_names(headers: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Return *headers* by lower-case name. One that is there twice becomes one with both values."""
    found: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def too_large() -> CallbackRejectedError:
    """Make the error for a body that is not read to its end."""
    return CallbackRejectedError(f"the callback is larger than {LARGEST_BODY} bytes", http_status=413)


def leaves_a_body(status: int) -> bool:
    """Tell whether an answer with *status* is given before the body has arrived, so that the connection is spent."""
    return status in (408, 413)


async def _read(call: Call, timeout: float) -> bytes:
    declared = call.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > LARGEST_BODY:
        raise too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(timeout):
            async for chunk in call.chunks:
                body += chunk
                if len(body) > LARGEST_BODY:
                    raise too_large()
    except TimeoutError:
        raise CallbackRejectedError(f"the callback has not arrived within {timeout:g} s", http_status=408) from None
    except CallbackRejectedError:
        raise
    except Exception as error:  # noqa: BLE001 - each framework has errors of its own for it
        raise CallbackRejectedError(f"the callback broke off: {type(error).__name__}", http_status=400) from None
    return bytes(body)
