"""
The transport over aiohttp, with its traps closed.

Facts about aiohttp 3.14 that shape this file: its timeouts are plain `TimeoutError`; an answer that is not HTTP raises
`ClientResponseError` with a status of 400 that no server sent; redirects repeat a POST at another host, custom headers
included; a compressed body of 300 kB may become 300 MB; the repr of its exceptions holds the request's headers, and so
the key. None of its exceptions leaves this module, not even as a cause.
"""

from __future__ import annotations

import asyncio
import io
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, nullcontext
from importlib.metadata import version
from types import TracebackType
from typing import TYPE_CHECKING, cast

import aiohttp
from yarl import URL

from ..errors import InvalidResponseError, TransportError
from ..messages import HttpRequest, HttpResponse
from ..redaction import redact_text, redact_url
from .ip_filter import is_private_host, is_public
from .resolver import FilteringResolver

if TYPE_CHECKING:
    from aiohttp.connector import Connection

LARGEST_BODY = 1024 * 1024
"""Bytes of an API answer. The largest documented one, a list of 100 tasks, has a tenth of it."""

_CONNECT_TIMEOUT = 10.0
_CONNECTING = aiohttp.ClientTimeout(total=None, connect=_CONNECT_TIMEOUT)
_READ_TIMEOUT = 60.0
_CHUNK = 256 * 1024
# Of the event loop. An answer of the largest size is read in a few of them.
_MISSED_TURNS = 50
# A server may close an idle connection just as a paid request is written to it, and then nobody knows whether it was
# read. Short idle times make that rare.
_KEEPALIVE = 12.0

_NEVER_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
)


class _NotPublicError(OSError):
    """The host is not on the public internet."""


class _ClosedError(OSError):
    """The transport is closed."""


_NEVER_BETTER = (aiohttp.ClientSSLError, aiohttp.InvalidURL, ssl.SSLError, _NotPublicError, _ClosedError)
# Ours are raised once theirs has been dealt with: `raise … from None` would keep it as the context.
_FAILURES = (aiohttp.ClientError, TimeoutError, OSError, ValueError)


class AiohttpTransport:
    """One session of aiohttp. Must be created inside the event loop that uses it."""

    def __init__(self, *, connector: aiohttp.BaseConnector | None = None, proxy: str | None = None) -> None:
        self._answers: set[aiohttp.ClientResponse] = set()
        self.connection_slots = _places_of(connector)
        """One for each connection, where the caller's connector has only so many."""
        self._proxy = proxy
        self._connects_itself = connector is None and proxy is None
        self._session = self._new_session(connector)
        self._public_session: aiohttp.ClientSession | None = None

    def _new_session(
        self, connector: aiohttp.BaseConnector | None, *, public_only: bool = False
    ) -> aiohttp.ClientSession:
        resolver = FilteringResolver(_check_public) if public_only else None
        return aiohttp.ClientSession(
            connector=connector or aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE, resolver=resolver),
            connector_owner=connector is None,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"happyhorse-async/{version('happyhorse-async')}", "Accept-Encoding": "identity"},
            proxy=self._proxy,
            response_class=_Response,
            # A POST without a body gets `application/octet-stream` otherwise, which no provider has asked for.
            skip_auto_headers=("Content-Type",),
        )

    async def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        """Send *request* and return the whole response."""
        arriving = _Arriving()
        try:
            async with (
                _InTime(timeout),
                self._session.request(
                    request.method,
                    _address(request.url),
                    headers=request.headers,
                    # A body of bytes beyond 1 MiB, an image inlined, makes aiohttp warn; a file does not.
                    data=None if request.body is None else io.BytesIO(request.body),
                    allow_redirects=False,
                    timeout=_CONNECTING,
                ) as response,
            ):
                self._answers.add(response)
                try:
                    return await arriving.read(response)
                finally:
                    self._answers.discard(response)
        except _FAILURES as error:
            failure = _transport_error(error, request.method, request.url)
            failure.received = arriving.so_far()
        raise failure

    @asynccontextmanager
    async def stream(
        self, url: str, headers: Mapping[str, str], *, public_only: bool = False
    ) -> AsyncGenerator[_Download]:
        """Begin to fetch *url*, exactly as it is written."""
        limits = aiohttp.ClientTimeout(total=None, connect=_CONNECT_TIMEOUT, sock_read=_READ_TIMEOUT)
        async with self.connection_slots or nullcontext():
            try:
                session = self._session_for(url, public_only)
                response = await session.get(_address(url), headers=headers, allow_redirects=False, timeout=limits)
                if public_only and self._proxy is None:
                    _check_peer(response)
            except _FAILURES as error:
                failure = _transport_error(error, "GET", url)
            else:
                async with response:
                    self._answers.add(response)
                    try:
                        yield _Download(response, url)
                    finally:
                        self._answers.discard(response)
                return
            raise failure

    def _session_for(self, url: str, public_only: bool) -> aiohttp.ClientSession:
        if self._session.closed:
            raise _ClosedError
        if not public_only:
            return self._session
        if is_private_host(_address(url).host or ""):
            raise _NotPublicError
        if not self._connects_itself:
            # A proxy, or a connector that somebody else has made, looks names up in its own way.
            return self._session
        if self._public_session is None:
            self._public_session = self._new_session(None, public_only=True)
        return self._public_session

    async def aclose(self) -> None:
        """Close every connection. Whoever still reads an answer is told that it broke off."""
        # Closing a session tells nobody, and stops the clock of whoever reads: he would wait for ever.
        for response in list(self._answers):
            response.close()
        try:
            await self._session.close()
        finally:
            if self._public_session is not None:
                await self._public_session.close()


def _check_public(addresses: list[str]) -> None:
    if not all(is_public(address) for address in addresses):
        raise _NotPublicError


class _Response(aiohttp.ClientResponse):
    """Remembers who has answered: once a short body is there, its connection is gone."""

    peer: object = None

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        if connection.transport is not None:
            self.peer = connection.transport.get_extra_info("peername")
        return await super().start(connection)


def _check_peer(response: aiohttp.ClientResponse) -> None:
    # The peer of a Unix socket, which only a connector of the caller's can lead to, is no pair.
    peer = response.peer if isinstance(response, _Response) else None
    if isinstance(peer, tuple) and not is_public(str(cast("tuple[object, ...]", peer)[0])):
        response.close()
        raise _NotPublicError


class _Download:
    def __init__(self, response: aiohttp.ClientResponse, url: str) -> None:
        self._response = response
        self._url = url
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.content.iter_chunked(_CHUNK):
                yield chunk
        except _FAILURES as error:
            failure = _transport_error(error, "GET", self._url)
        else:
            return
        raise failure


def _address(url: str) -> URL:
    try:
        return URL(url, encoded=True)
    except ValueError:
        raise aiohttp.InvalidURL(url) from None


class _Arriving:
    """An answer, as far as it has come."""

    def __init__(self) -> None:
        self._response: aiohttp.ClientResponse | None = None
        self._body = bytearray()

    async def read(self, response: aiohttp.ClientResponse) -> HttpResponse:
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        if encoding not in ("", "identity"):
            raise InvalidResponseError(
                f"the answer is compressed ({redact_text(encoding)[:20]}), which nobody asked for",
                status_code=response.status,
            )
        self._response = response
        while chunk := await response.content.readany():
            self._body += chunk
            if len(self._body) > LARGEST_BODY:
                raise InvalidResponseError(
                    f"the answer is larger than {LARGEST_BODY} bytes", status_code=response.status
                )
        return _message(response, bytes(self._body))

    def so_far(self) -> HttpResponse | None:
        if self._response is None:
            return None
        # aiohttp gives out nothing more of a body that broke off, not even what it had received before.
        rest: Iterable[bytes] = getattr(self._response.content, "_buffer", ())
        return _message(self._response, b"".join((self._body, *rest))[:LARGEST_BODY])


def _message(response: aiohttp.ClientResponse, body: bytes) -> HttpResponse:
    return HttpResponse(status=response.status, headers=response.headers, body=body)


class _InTime:
    """
    Ends what is done inside after *seconds*, with a `TimeoutError`.

    If the event loop stood still meanwhile, it gets the turns that it missed: what arrived in time is not late because
    nobody has read it.
    """

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit = asyncio.timeout(None)
        self._missed = _MISSED_TURNS
        self._next: asyncio.Handle = self._loop.call_later(seconds, self._turn)

    def _turn(self) -> None:
        self._missed -= 1
        if self._missed:
            self._next = self._loop.call_soon(self._turn)
        else:
            self._limit.reschedule(self._loop.time())

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._next.cancel()
        await self._limit.__aexit__(kind, error, trace)


def _places_of(connector: aiohttp.BaseConnector | None) -> asyncio.Semaphore | None:
    limits = [] if connector is None else [limit for limit in (connector.limit, connector.limit_per_host) if limit]
    return asyncio.Semaphore(min(limits)) if limits else None


def _transport_error(error: Exception, method: str, url: str) -> TransportError:
    if isinstance(error, aiohttp.ClientConnectorDNSError) and isinstance(error.os_error, _NotPublicError):
        error = error.os_error
    return TransportError(
        f"{method} {redact_url(url)}: {_describe(error)}",
        sent=not isinstance(error, _NEVER_SENT),
        retryable=not isinstance(error, _NEVER_BETTER),
    )


def _describe(error: Exception) -> str:
    match error:
        case _NotPublicError():
            return "the host is not on the public internet"
        case _ClosedError():
            return "the client is closed"
        case aiohttp.ClientConnectorDNSError():
            return "the host name cannot be resolved"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError() | ssl.SSLError():
            return "no secure connection: the certificate or the protocol is not acceptable"
        case aiohttp.ClientConnectorError():
            return f"cannot connect: {_reason(error.os_error)}"
        case aiohttp.ConnectionTimeoutError():
            return f"no connection within {_CONNECT_TIMEOUT:g} s"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy refused with status {error.status}"
        case TimeoutError():
            return "no whole answer in time"
        case aiohttp.ServerDisconnectedError():
            return "the server closed the connection without an answer"
        case aiohttp.ClientPayloadError():
            return "the answer broke off before its end"
        case aiohttp.ClientResponseError():
            return "the answer is not HTTP"
        case aiohttp.InvalidURL():
            return "not a URL that can be asked"
        case OSError():
            return f"the connection broke: {_reason(error)}"
        case _:
            return f"the connection broke: {type(error).__name__}"


def _reason(error: OSError) -> str:
    # asyncio puts addresses where the system's own words belong.
    return os.strerror(error.errno) if error.errno else type(error).__name__
