"""
What carries messages: sends one, returns one; streams a file. Knows no provider.

`Transport` is the contract. The one that comes with the library is in `happyhorse_async.transports.aiohttp` and is
loaded when a client is opened, since importing aiohttp takes longer than all the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from ..messages import HttpRequest, HttpResponse


class Download(Protocol):
    """A response whose body has not been read yet."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, with lower-case names."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """
        Read the body piece by piece, as it was sent.

        :raises TransportError: the connection broke, or the body ended before its announced length.
        """
        ...


class Transport(Protocol):
    """Carries messages for a client. Follows no redirect, adds no credential, and never sends a message twice."""

    async def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        """
        Send *request* and return the whole response.

        :param timeout: seconds for everything together.
        :raises TransportError: no answer; `sent` says whether any of the request may have arrived, and `received` has
            what came of an answer that broke off.
        :raises InvalidResponseError: an answer that is too large, or compressed although nobody asked for it.
        """
        ...

    def stream(
        self, url: str, headers: Mapping[str, str], *, public_only: bool = False
    ) -> AbstractAsyncContextManager[Download]:
        """
        Begin to fetch *url*, exactly as it is written: it may be signed.

        :param public_only: refuse a host whose address is not on the public internet.
        :raises TransportError: no answer, or the host was refused.
        """
        ...

    @property
    def connection_slots(self) -> asyncio.Semaphore | None:
        """One for each connection that there may be; `None` means any number. Who holds one need not wait in `send`."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...
