"""
The transport over aiohttp, with its traps closed.

Facts about aiohttp 3.14 that shape this file: its timeouts are plain `TimeoutError`; a response that is not HTTP raises
`ClientResponseError` with a status of 400 that no server sent; redirects repeat a POST at another host, custom headers
included; a compressed body of 300 kB may become 300 MB; the repr of its exceptions holds the request's headers, and so
the key. None of its exceptions leaves this module, not even as a cause.
"""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager, nullcontext
from contextvars import ContextVar
from functools import cache
from importlib.metadata import version
from types import TracebackType
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, urlsplit, urlunsplit

import aiohttp
from attrs import evolve
from yarl import URL

from ..errors import HappyHorseError, InvalidResponseError, TransportError
from ..messages import HttpRequest, HttpResponse
from ..timeouts import Timeouts
from .aiohttp_errors import ClosedError, NotPublicError, ProxyLoginError, transport_error
from .content_encoding import GZIP, ZLIB, CompressionError, uncompressed
from .ip_filter import is_public, is_public_host
from .proxy import Proxies
from .streamed_body import body_pieces, content_length

if TYPE_CHECKING:
    from aiohttp.connector import Connection

LARGEST_BODY = 1024 * 1024
"""Bytes of an API response. The largest documented one, a list of 100 tasks, has a tenth of it."""

_READ_TIMEOUT = 60.0
# A POST without a body gets `application/octet-stream` otherwise, which no provider has asked for.
_NO_CONTENT_TYPE = ("Content-Type",)
_CHUNK = 256 * 1024
# Iterations of the event loop. A response of the largest size is read in a few of them.
_MISSED_ITERATIONS = 50
# A server may close an idle connection just as a paid request is written to it, and then it is unknown whether it was
# read. Short idle times make that rare.
_KEEPALIVE = 12.0

# A signature covers the bytes of a URL, so nothing is touched that servers accept in practice, such as `[`, `|` or `^`.
_ILLEGAL = re.compile(r"""[^\x21-\x7e]+|["<>\\`{}]|%(?![0-9A-Fa-f]{2})""")
_HOST = re.compile(r"(?P<user>.*@)?(?P<host>.*?)(?P<port>:[0-9]*)?", re.DOTALL)


@cache
def _user_agent() -> str:
    # A CDN in front of a provider may block a client that does not say who it is.
    return f"happyhorse-async/{version('happyhorse-async')} (+https://github.com/happyhorse-async/happyhorse-async)"


class AiohttpTransport:
    """
    A transport over a session of aiohttp. Must be created inside the event loop that uses it.

    :param connector: a connector of the caller's, which is left open at the end.
    :param proxy: the URL of an HTTP proxy, or `"env"` for those of the environment.
    :param timeouts: of which `connect` is used here.
    :raises ConfigurationError: *proxy* is neither.
    """

    streams_media = True

    def __init__(
        self,
        *,
        connector: aiohttp.BaseConnector | None = None,
        proxy: str | None = None,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - immutable
    ) -> None:
        self._proxies = Proxies.of(proxy)
        self._connect_timeout = timeouts.connect
        self._send_timeout = aiohttp.ClientTimeout(total=None, connect=timeouts.connect)
        self._stream_timeout = aiohttp.ClientTimeout(total=None, connect=timeouts.connect, sock_read=_READ_TIMEOUT)
        self._responses: set[aiohttp.ClientResponse] = set()
        self.connection_slots = _connection_slots(connector)
        """One for each connection, where the caller's connector limits them."""
        self._session = self._new_session(connector)
        # A connector of another kind, such as one for SOCKS, does not connect to the origin itself.
        direct = type(self._session.connector) is aiohttp.TCPConnector
        self._public_session = self._new_session(self._session.connector, _PublicRequest) if direct else self._session

    def _new_session(
        self,
        connector: aiohttp.BaseConnector | None,
        request_class: type[_Request] | None = None,
    ) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector or aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE),
            connector_owner=connector is None,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": _user_agent(), "Accept-Encoding": "identity"},
            request_class=request_class or _Request,
            response_class=_Response,
        )

    async def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        """Send *request* and return the whole response."""
        attempt = _Attempt()
        try:
            with _Deadline(timeout):
                response = await self._open(self._session, request, attempt, self._send_timeout)
                async with response:
                    self._responses.add(response)
                    try:
                        return await attempt.read(response)
                    finally:
                        self._responses.discard(response)
        except HappyHorseError:
            raise
        except Exception as error:  # noqa: BLE001 - a connector of the caller's may raise anything
            failure = self._failure(error, request, attempt)
            failure.received = attempt.received()
        raise failure

    @asynccontextmanager
    async def stream(self, request: HttpRequest, *, public_only: bool = False) -> AsyncGenerator[_Download]:
        """Send *request* and return the response before its body."""
        attempt = _Attempt()
        async with self.connection_slots or nullcontext():
            try:
                session = self._session
                if public_only:
                    await _check_public(request)
                    session = self._public_session
                response = await self._open(session, request, attempt, self._stream_timeout)
            except Exception as error:  # noqa: BLE001 - a connector of the caller's may raise anything
                failure = self._failure(error, request, attempt)
            else:
                async with response:
                    self._responses.add(response)
                    try:
                        yield _Download(response, request)
                    finally:
                        self._responses.discard(response)
                return
            raise failure

    async def _open(
        self, session: aiohttp.ClientSession, request: HttpRequest, attempt: _Attempt, timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        if session.closed:
            raise ClosedError
        address = request_url(request.url)
        if self._proxies.by_scheme:
            attempt.proxy = self._proxies.find(address.scheme, address.host_port_subcomponent or "")
        _attempt.set(attempt)
        response = await session.request(
            request.method,
            address,
            headers=_with_length(request) if request.media else request.headers,
            # A body of bytes beyond 1 MiB makes aiohttp warn; a file does not.
            data=body_pieces(request) if request.media else None if request.body is None else io.BytesIO(request.body),
            allow_redirects=False,
            proxy=attempt.proxy,
            timeout=timeout,
            skip_auto_headers=None if request.method == "GET" else _NO_CONTENT_TYPE,
        )
        if response.status == 407 and attempt.proxy is not None:
            response.close()
            # The proxy has not passed the request on.
            attempt.connected = False
            raise ProxyLoginError
        return response

    def _failure(self, error: Exception, request: HttpRequest, attempt: _Attempt) -> TransportError:
        return transport_error(
            error, request, sent=attempt.connected, proxy=attempt.proxy, connect_timeout=self._connect_timeout
        )

    async def aclose(self) -> None:
        """Close every connection. Responses that are still being read break off."""
        # Closing a session stops the timers of those who read, without an error: they would wait for ever.
        for response in list(self._responses):
            response.close()
        await self._public_session.close()
        await self._session.close()


def _with_length(request: HttpRequest) -> Mapping[str, str]:
    # A body of unknown length is sent in chunks, which not every provider takes.
    return {**request.headers, "Content-Length": str(content_length(request))}


class _Attempt:
    """One request on its way, and its response as far as it has arrived."""

    __slots__ = ("_body", "connected", "proxy", "response")

    def __init__(self) -> None:
        self.connected = False
        """Whether the connection is ready, a tunnel through a proxy included: before that, nothing has been sent."""
        self.proxy: str | None = None
        self.response: aiohttp.ClientResponse | None = None
        self._body = bytearray()

    async def read(self, response: aiohttp.ClientResponse) -> HttpResponse:
        """Read the whole response."""
        self.response, content = response, response.content
        while not content.at_eof():
            self._body += await content.readany()
            if len(self._body) > LARGEST_BODY:
                raise InvalidResponseError(
                    f"the response is larger than {LARGEST_BODY} bytes", status_code=response.status
                )
        try:
            return _message(response, bytes(self._body))
        except CompressionError as error:
            failure = InvalidResponseError(f"the response is {error}", status_code=response.status)
        raise failure

    def received(self) -> HttpResponse | None:
        """Return what has arrived of a response that broke off; `None` if nothing has."""
        if self.response is None:
            return None
        # aiohttp gives out nothing more of a body that broke off, not even what it had received before.
        rest: Iterable[bytes] = getattr(self.response.content, "_buffer", ())
        try:
            return _message(self.response, b"".join((self._body, *rest))[:LARGEST_BODY], whole=False)
        except CompressionError:
            return None


async def _check_public(request: HttpRequest) -> None:
    if not await is_public_host(request_url(request.url).raw_host or ""):
        raise NotPublicError


_attempt: ContextVar[_Attempt] = ContextVar("attempt")


class _Request(aiohttp.ClientRequest):
    """Notes that its connection is ready. A trace of the session would tell that, too, but at many times the cost."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        _attempt.get().connected = True
        return await super().send(conn)


class _PublicRequest(_Request):
    """
    Is not sent to an address that is not on the public internet.

    The name has been looked up before; this is for one that changes its address between two lookups.
    """

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        peer = conn.transport.get_extra_info("peername") if conn.transport else None
        if self.proxy is None and isinstance(peer, tuple) and not is_public(str(cast("tuple[object, ...]", peer)[0])):
            raise NotPublicError
        return await super().send(conn)


class _Response(aiohttp.ClientResponse):
    """Its repr, which tracebacks with local variables show, has neither the URL nor the headers."""

    def __repr__(self) -> str:
        return f"<response with status {self.status}>"


class _Download:
    def __init__(self, response: aiohttp.ClientResponse, request: HttpRequest) -> None:
        self._response = response
        self._request = request
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}

    async def chunks(self) -> AsyncGenerator[bytes]:
        try:
            async for chunk in self._response.content.iter_chunked(_CHUNK):
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            failure = transport_error(error, self._request, sent=True)
        else:
            return
        raise failure


def _message(response: aiohttp.ClientResponse, body: bytes, *, whole: bool = True) -> HttpResponse:
    message = HttpResponse(status=response.status, headers=response.headers, body=body)
    if "content-encoding" not in message.headers and not body.startswith((GZIP, *ZLIB)):
        return message
    return evolve(message, body=uncompressed(body, message.headers, limit=LARGEST_BODY, whole=whole))


class _Deadline:
    """
    Times out after *seconds*, like `asyncio.timeout`.

    If the event loop was blocked meanwhile, it gets the iterations that it missed: a response that arrived in time is
    not late because it has not been read yet.
    """

    __slots__ = ("_cancellations", "_has_passed", "_loop", "_missed", "_next", "_task")

    def __init__(self, seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancellations = task.cancelling()
        self._has_passed = False
        self._missed = _MISSED_ITERATIONS
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.Handle = self._loop.call_later(seconds, self._count_down)

    def _count_down(self) -> None:
        self._missed -= 1
        if self._missed:
            self._next = self._loop.call_soon(self._count_down)
        else:
            self._has_passed = True
            self._task.cancel()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._next.cancel()
        # A cancellation by someone else stays one.
        if self._has_passed and self._task.uncancel() <= self._cancellations and kind is asyncio.CancelledError:
            raise TimeoutError from error


def _connection_slots(connector: aiohttp.BaseConnector | None) -> asyncio.Semaphore | None:
    limits = [] if connector is None else [limit for limit in (connector.limit, connector.limit_per_host) if limit]
    return asyncio.Semaphore(min(limits)) if limits else None


def encode_url(text: str) -> str:
    """
    Return *text* as a URL that can be requested.

    Spaces, letters beyond ASCII (as UTF-8) and single percent signs are percent-encoded, and the host is written in
    its ASCII form.

    :raises ValueError: it is not a URL.
    """
    if text.isascii() and "#" not in text and not _ILLEGAL.search(text):
        return text
    parts = urlsplit(text.strip())
    path, query = _ILLEGAL.sub(_encode, parts.path), _ILLEGAL.sub(_encode, parts.query)
    return urlunsplit((parts.scheme, _encode_host(parts.netloc), path, query, ""))


def request_url(text: str) -> URL:
    """
    Return *text* as the URL that is requested.

    :raises ValueError: it is not a URL.
    """
    return URL(encode_url(text), encoded=True)


def _encode(match: re.Match[str]) -> str:
    # aiohttp decodes headers with surrogateescape, so a Location in another encoding than UTF-8 keeps its bytes.
    return quote(match.group().encode(errors="surrogateescape"), safe="")


def _encode_host(netloc: str) -> str:
    parts = _HOST.fullmatch(netloc)
    if netloc.isascii() or parts is None:
        return netloc
    host = URL.build(scheme="http", host=parts["host"]).raw_host or ""
    return f"{_ILLEGAL.sub(_encode, parts['user'] or '')}{host}{parts['port'] or ''}"
