"""
Transports carry HTTP messages: they send one and return one, or stream a file. They know nothing of providers.

`Transport` is the contract. The default implementation is in `happyhorse_async.transports.aiohttp` and is loaded when a
client is opened, since importing aiohttp takes longer than everything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
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

    def chunks(self) -> AsyncGenerator[bytes]:
        """
        Read the body chunk by chunk, as it was sent, without undoing its content encoding.

        :raises TransportError: the connection broke, or the body ended before its announced length.
        """
        ...


class Transport(Protocol):
    """
    Carries messages for a client. Follows no redirect, adds no credential, and never sends a message twice.

    A transport that replaces the tokens of `HttpRequest.media` while it sends has an attribute `streams_media = True`.
    Any other gets the body of a request whole.
    """

    async def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        """
        Send *request* and return the whole response, uncompressed.

        :param timeout: seconds for everything together.
        :raises TransportError: no response; `sent` says whether any of the request may have arrived, and `received` is
            what had arrived of a response that broke off.
        :raises InvalidResponseError: a response that is too large, or compressed in a way that was not asked for.
        """
        ...

    def stream(self, request: HttpRequest, *, public_only: bool = False) -> AbstractAsyncContextManager[Download]:
        """
        Send *request*, which has no body, and return the response before its body. What the URL cannot hold is
        percent-encoded; nothing else of it is changed, since it may be signed.

        :param public_only: refuse a host whose address is not on the public internet, before anything is sent there.
        :raises TransportError: no response, or the host was refused.
        """
        ...

    @property
    def connection_slots(self) -> asyncio.Semaphore | None:
        """One slot for each allowed connection; `None` for any number. Its holder does not wait in `send`."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...
