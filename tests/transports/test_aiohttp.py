"""The transport over aiohttp, against a server that does what servers do on a bad day."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import aiohttp
import pytest

from happyhorse_async.errors import InvalidResponseError, TransportError
from happyhorse_async.messages import HttpRequest
from happyhorse_async.transports.aiohttp import LARGEST_BODY, AiohttpTransport

if TYPE_CHECKING:
    from conftest import Ending, Gateway

HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
async def transport() -> AsyncGenerator[AiohttpTransport]:
    """Open a transport."""
    transport = AiohttpTransport()
    yield transport
    await transport.aclose()


def free_port() -> int:
    """Find a port on which no server listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def post(url: str, body: bytes = b"{}") -> HttpRequest:
    """Make a request with a credential."""
    return HttpRequest(method="POST", url=url, headers={"Authorization": "Bearer sk-canary-0451"}, body=body)


async def test_a_message_is_carried_as_it_is(gateway: Gateway, transport: AiohttpTransport) -> None:
    """Neither the URL nor the body is rewritten, and the answer comes back whole."""
    gateway.on("POST", "/a%2Fb/c", gateway.reply(b"\x00\xff", status=418, headers={"X-Mixed": "Case"}))

    response = await transport.send(post(f"{gateway.url}/a%2Fb/c?q=%7e%2f+x&empty=", b"\xff\x00"), timeout=5)

    assert (418, b"\x00\xff") == (response.status, response.body)
    assert "Case" == response.headers["x-mixed"]
    (seen,) = gateway.requests
    assert "/a%2Fb/c?q=%7e%2f+x&empty=" == seen.target
    assert b"\xff\x00" == seen.body
    assert "identity" == seen.headers["accept-encoding"]
    assert seen.headers["user-agent"].startswith("happyhorse-async/")


@pytest.mark.fault(42)
async def test_a_post_without_a_body_has_no_content_type(gateway: Gateway, transport: AiohttpTransport) -> None:
    """A POST that has no body, such as a cancellation, does not say what the body is."""
    gateway.on("POST", "/cancel", {})

    await transport.send(HttpRequest(method="POST", url=f"{gateway.url}/cancel"), timeout=5)

    (seen,) = gateway.requests
    assert (b"", None) == (seen.body, seen.headers.get("content-type"))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_returned_and_not_followed(
    gateway: Gateway, transport: AiohttpTransport, status: int
) -> None:
    """A redirect is returned and not followed, or a paid body and a key would go where it points."""
    gateway.on("POST", "/videos", gateway.reply(status=status, headers={"Location": "/elsewhere"}))

    response = await transport.send(post(f"{gateway.url}/videos"), timeout=5)

    assert status == response.status
    assert 1 == len(gateway.requests)


async def test_cookies_are_not_kept(gateway: Gateway, transport: AiohttpTransport) -> None:
    """A cookie that is set is not sent back: clients of one process share no state."""
    gateway.on("POST", "/videos", gateway.reply(headers={"Set-Cookie": "session=1; Path=/"}))

    for _ in range(2):
        await transport.send(post(f"{gateway.url.replace('127.0.0.1', 'localhost')}/videos"), timeout=5)

    assert [None, None] == [seen.headers.get("cookie") for seen in gateway.requests]


FAULTS: dict[str, tuple[bytes, Ending]] = {
    "closed without an answer": (b"", "close"),
    "reset without an answer": (b"", "reset"),
    "half a status line": (b"HTTP/1.1 2", "close"),
    "half a header": (HEAD + b"Content-Ty", "close"),
    "reset in a header": (HEAD + b"Content-Ty", "reset"),
    "half a body": (HEAD + b'Content-Length: 100\r\n\r\n{"id": ', "close"),
    "reset in the body": (HEAD + b'Content-Length: 100\r\n\r\n{"id": ', "reset"),
    "chunks cut": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "close"),
    "a chunk cut": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n50\r\nhello", "close"),
    "junk for a chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZ\r\n", "close"),
    "junk after a chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloo\r\n0\r\n\r\n", "close"),
    "not HTTP": (b"220 mail.example ESMTP\r\n", "close"),
    "binary": (bytes(range(256)), "close"),
    "two lengths": (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "close"),
    "length and chunks": (HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", "close"),
    "a length that is none": (HEAD + b"Content-Length: many\r\n\r\n{}", "close"),
    "an endless header": (HEAD + b"X-Long: " + b"x" * 200_000 + b"\r\n\r\n", "close"),
}


@pytest.mark.fault(6, 7, 8, 10, 17, 18)
@pytest.mark.parametrize(("data", "ending"), FAULTS.values(), ids=FAULTS)
async def test_a_broken_response_may_have_been_sent(
    gateway: Gateway, transport: AiohttpTransport, data: bytes, ending: Ending
) -> None:
    """A response that is not whole is one error, which says that the request may have arrived, and was sent once."""
    gateway.on("POST", "/videos", gateway.raw(data, ending))

    with pytest.raises(TransportError) as raised:
        await transport.send(post(f"{gateway.url}/videos"), timeout=5)

    assert raised.value.sent
    assert raised.value.retryable
    assert raised.value.status_code is None
    assert 1 == len(gateway.requests)


@pytest.mark.fault(86)
@pytest.mark.parametrize(("data", "ending"), FAULTS.values(), ids=FAULTS)
async def test_no_exception_of_aiohttp_is_kept(
    gateway: Gateway, transport: AiohttpTransport, data: bytes, ending: Ending
) -> None:
    """No exception of aiohttp hangs on ours, since its repr holds the request's headers, and so the key."""
    gateway.on("POST", "/videos", gateway.raw(data, ending))

    with pytest.raises(TransportError) as raised:
        await transport.send(post(f"{gateway.url}/videos?signature=s3cr3t"), timeout=5)

    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    assert "sk-canary" not in repr(raised.value)
    assert "s3cr3t" not in str(raised.value)


@pytest.mark.fault(6)
async def test_a_reset_at_once_may_have_been_sent(gateway: Gateway, transport: AiohttpTransport) -> None:
    """A connection that is reset at once may have carried the request."""
    gateway.resets = 1

    with pytest.raises(TransportError) as raised:
        await transport.send(post(f"{gateway.url}/videos"), timeout=5)

    assert raised.value.sent
    assert 1 == gateway.connections


@pytest.mark.fault(2)
async def test_a_refused_connection_was_not_sent(transport: AiohttpTransport) -> None:
    """Without a server nothing was sent, and the message says what is wrong."""
    with pytest.raises(TransportError, match="cannot connect: Connection refused") as raised:
        await transport.send(post(f"http://127.0.0.1:{free_port()}/videos"), timeout=5)

    assert not raised.value.sent
    assert raised.value.retryable
    assert raised.value.__context__ is None


@pytest.mark.fault(1)
async def test_a_name_that_does_not_resolve_was_not_sent(transport: AiohttpTransport) -> None:
    """A host that cannot be resolved was not reached."""
    with pytest.raises(TransportError, match="cannot be resolved") as raised:
        await transport.send(post("http://no-such-host.invalid/videos"), timeout=20)

    assert not raised.value.sent


@pytest.mark.fault(4)
async def test_a_tls_failure_is_never_downgraded(gateway: Gateway, transport: AiohttpTransport) -> None:
    """A TLS failure is never tried again and never downgraded, and nothing was sent."""
    gateway.greeting = HEAD
    with pytest.raises(TransportError, match="no secure connection") as raised:
        await transport.send(post(gateway.url.replace("http:", "https:") + "/videos"), timeout=5)

    assert not raised.value.sent
    assert not raised.value.retryable
    assert [] == gateway.requests


@pytest.mark.parametrize("url", ["http://[1/videos", "http:///videos"])
async def test_an_invalid_url_is_not_sent(transport: AiohttpTransport, url: str) -> None:
    """What cannot be asked was not sent, and another try would be no better."""
    with pytest.raises(TransportError) as raised:
        await transport.send(post(url), timeout=5)

    assert not raised.value.sent
    assert not raised.value.retryable


@pytest.mark.fault(11, 12)
@pytest.mark.parametrize("data", [b"", HEAD + b'Content-Length: 100\r\n\r\n{"id": '])
async def test_the_timeout_is_for_the_whole_request(gateway: Gateway, transport: AiohttpTransport, data: bytes) -> None:
    """The time given is for everything together, and what is late may have been taken."""
    gateway.on("POST", "/videos", gateway.raw(data, "hang"))

    with pytest.raises(TransportError, match="no whole response in time") as raised:
        await transport.send(post(f"{gateway.url}/videos"), timeout=0.05)

    assert raised.value.sent


@pytest.mark.fault(19)
@pytest.mark.parametrize("headers", [{}, {"Content-Length": "", "Transfer-Encoding": "chunked"}])
async def test_a_body_above_the_limit_is_not_read_to_its_end(
    gateway: Gateway, transport: AiohttpTransport, headers: dict[str, str]
) -> None:
    """An answer over the limit is not read to its end."""
    body = b"x" * (LARGEST_BODY * 8)
    if headers:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    gateway.on("POST", "/videos", gateway.reply(body, headers=headers))

    with pytest.raises(InvalidResponseError, match="larger than") as raised:
        await transport.send(post(f"{gateway.url}/videos"), timeout=5)

    assert 200 == raised.value.status_code


async def test_a_body_of_the_largest_size_is_read(gateway: Gateway, transport: AiohttpTransport) -> None:
    """The limit itself is allowed."""
    gateway.on("POST", "/videos", gateway.reply(b"x" * LARGEST_BODY))

    response = await transport.send(post(f"{gateway.url}/videos"), timeout=5)

    assert LARGEST_BODY == len(response.body)


async def test_only_clean_connections_are_reused(gateway: Gateway, transport: AiohttpTransport) -> None:
    """Connections are kept, but not one whose answer was left unread."""
    gateway.on("POST", "/videos", {}, {}, gateway.reply(b"x" * (LARGEST_BODY * 8)), {})

    for _ in range(2):
        await transport.send(post(f"{gateway.url}/videos"), timeout=5)
    kept = gateway.connections
    with pytest.raises(InvalidResponseError):
        await transport.send(post(f"{gateway.url}/videos"), timeout=5)
    response = await transport.send(post(f"{gateway.url}/videos"), timeout=5)

    assert 1 == kept
    assert 2 == gateway.connections
    assert b"{}" == response.body


async def test_a_connector_of_the_caller_stays_open(gateway: Gateway) -> None:
    """A connector that was given is used and left open."""
    gateway.on("POST", "/videos", {})

    async with aiohttp.TCPConnector() as connector:
        transport = AiohttpTransport(connector=connector)
        await transport.send(post(f"{gateway.url}/videos"), timeout=5)
        await transport.aclose()

        assert not connector.closed


@pytest.mark.fault(77)
async def test_sending_can_be_cancelled(gateway: Gateway, transport: AiohttpTransport) -> None:
    """A cancelled send ends at once, as a cancellation."""
    gateway.on("POST", "/videos", gateway.raw(b"", "hang"))
    sending = asyncio.create_task(transport.send(post(f"{gateway.url}/videos"), timeout=60))
    await gateway.until(1, "POST")

    began = time.monotonic()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending

    assert time.monotonic() - began < 20


@pytest.mark.fault(66)
async def test_a_stream_that_breaks_says_so(gateway: Gateway, transport: AiohttpTransport) -> None:
    """A stream that ends before its announced length says so, after what did come."""
    gateway.on("GET", "/file", HEAD + b"Content-Length: 10\r\n\r\n01234")

    async with transport.stream(HttpRequest(method="GET", url=f"{gateway.url}/file")) as answer:
        chunks = answer.chunks()

        assert b"01234" == await anext(chunks)
        with pytest.raises(TransportError, match="broke off") as raised:
            await anext(chunks)

    assert raised.value.__context__ is None
