"""The transport over aiohttp, against a server that does what servers do on a bad day."""

from __future__ import annotations

import asyncio
import gzip
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
    """Find a port on which nobody listens."""
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
async def test_a_message_without_a_body(gateway: Gateway, transport: AiohttpTransport) -> None:
    """A POST that has no body, such as a cancellation, does not say what the body is."""
    gateway.on("POST", "/cancel", {})

    await transport.send(HttpRequest(method="POST", url=f"{gateway.url}/cancel"), timeout=5)

    (seen,) = gateway.requests
    assert (b"", None) == (seen.body, seen.headers.get("content-type"))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer(gateway: Gateway, transport: AiohttpTransport, status: int) -> None:
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
async def test_a_broken_answer(gateway: Gateway, transport: AiohttpTransport, data: bytes, ending: Ending) -> None:
    """Whatever is no whole answer is one error, which says that the request may have arrived, and was sent once."""
    gateway.on("POST", "/videos", gateway.raw(data, ending))

    with pytest.raises(TransportError) as raised:
        await transport.send(post(f"{gateway.url}/videos"), timeout=5)

    assert raised.value.sent
    assert raised.value.retryable
    assert raised.value.status_code is None
    assert 1 == len(gateway.requests)


@pytest.mark.fault(86)
@pytest.mark.parametrize(("data", "ending"), FAULTS.values(), ids=FAULTS)
async def test_nothing_of_aiohttp_is_left(
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
async def test_a_reset_before_anything_was_read(gateway: Gateway, transport: AiohttpTransport) -> None:
    """A connection that is reset as soon as it stands may have carried the request."""
    gateway.resets = 1

    with pytest.raises(TransportError) as raised:
        await transport.send(post(f"{gateway.url}/videos"), timeout=5)

    assert raised.value.sent
    assert 1 == gateway.connections


@pytest.mark.fault(2)
async def test_a_refused_connection(transport: AiohttpTransport) -> None:
    """Where nobody listens nothing was sent, and the sentence says what is wrong."""
    with pytest.raises(TransportError, match="cannot connect: Connection refused") as raised:
        await transport.send(post(f"http://127.0.0.1:{free_port()}/videos"), timeout=5)

    assert not raised.value.sent
    assert raised.value.retryable
    assert raised.value.__context__ is None


@pytest.mark.fault(1)
async def test_a_name_that_is_none(transport: AiohttpTransport) -> None:
    """A host that cannot be resolved was not reached."""
    with pytest.raises(TransportError, match="cannot be resolved") as raised:
        await transport.send(post("http://no-such-host.invalid/videos"), timeout=20)

    assert not raised.value.sent


@pytest.mark.fault(4)
async def test_a_connection_that_is_not_secure(gateway: Gateway, transport: AiohttpTransport) -> None:
    """A TLS failure is never tried again and never downgraded, and nothing was sent."""
    gateway.greeting = HEAD
    with pytest.raises(TransportError, match="no secure connection") as raised:
        await transport.send(post(gateway.url.replace("http:", "https:") + "/videos"), timeout=5)

    assert not raised.value.sent
    assert not raised.value.retryable
    assert [] == gateway.requests


@pytest.mark.parametrize("url", ["http://[1/videos", "http:///videos"])
async def test_a_url_that_is_none(transport: AiohttpTransport, url: str) -> None:
    """What cannot be asked was not sent, and another try would be no better."""
    with pytest.raises(TransportError) as raised:
        await transport.send(post(url), timeout=5)

    assert not raised.value.sent
    assert not raised.value.retryable


@pytest.mark.fault(11, 12)
@pytest.mark.parametrize("data", [b"", HEAD + b'Content-Length: 100\r\n\r\n{"id": '])
async def test_a_server_that_hangs(gateway: Gateway, transport: AiohttpTransport, data: bytes) -> None:
    """The time given is for everything together, and what is late may have been taken."""
    gateway.on("POST", "/videos", gateway.raw(data, "hang"))

    with pytest.raises(TransportError, match="no whole response in time") as raised:
        await transport.send(post(f"{gateway.url}/videos"), timeout=0.05)

    assert raised.value.sent


@pytest.mark.fault(19)
@pytest.mark.parametrize("headers", [{}, {"Content-Length": "", "Transfer-Encoding": "chunked"}])
async def test_a_body_that_is_too_large(gateway: Gateway, transport: AiohttpTransport, headers: dict[str, str]) -> None:
    """An answer over the limit is not read to its end."""
    body = b"x" * (LARGEST_BODY * 8)
    if headers:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    gateway.on("POST", "/videos", gateway.reply(body, headers=headers))

    with pytest.raises(InvalidResponseError, match="larger than") as raised:
        await transport.send(post(f"{gateway.url}/videos"), timeout=5)

    assert 200 == raised.value.status_code


async def test_a_body_of_the_largest_size(gateway: Gateway, transport: AiohttpTransport) -> None:
    """The limit itself is allowed."""
    gateway.on("POST", "/videos", gateway.reply(b"x" * LARGEST_BODY))

    response = await transport.send(post(f"{gateway.url}/videos"), timeout=5)

    assert LARGEST_BODY == len(response.body)


@pytest.mark.fault(20)
@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP"])
async def test_a_compressed_body(gateway: Gateway, transport: AiohttpTransport, encoding: str) -> None:
    """A compressed answer is refused: nobody asked for it, and a small one may unfold to fill the memory."""
    bomb = gzip.compress(b"0" * 10_000_000)
    gateway.on("POST", "/videos", gateway.reply(bomb, headers={"Content-Encoding": encoding}))

    with pytest.raises(InvalidResponseError, match="compressed"):
        await transport.send(post(f"{gateway.url}/videos"), timeout=5)


async def test_a_connection_is_used_again_only_when_it_is_clean(gateway: Gateway, transport: AiohttpTransport) -> None:
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


async def test_a_proxy(gateway: Gateway) -> None:
    """A proxy that was given carries the request."""
    gateway.on("POST", "/videos", {})
    transport = AiohttpTransport(proxy=gateway.url)

    await transport.send(post("http://provider.invalid/videos"), timeout=5)
    await transport.aclose()

    assert ["http://provider.invalid/videos"] == [seen.target for seen in gateway.requests]


@pytest.mark.fault(88)
async def test_a_proxy_that_refuses(gateway: Gateway) -> None:
    """A proxy that wants a login has passed nothing on."""
    gateway.on("CONNECT", "*", gateway.reply(status=407, then="close"))
    transport = AiohttpTransport(proxy=gateway.url)

    with pytest.raises(TransportError, match="proxy refused with status 407") as raised:
        await transport.send(post("https://provider.invalid/videos"), timeout=5)
    await transport.aclose()

    assert not raised.value.sent


@pytest.mark.fault(88)
async def test_the_proxies_of_the_environment_are_not_used(
    gateway: Gateway, transport: AiohttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the environment says of proxies is not looked at."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    gateway.on("POST", "/videos", {})

    response = await transport.send(post(f"{gateway.url}/videos"), timeout=5)

    assert 200 == response.status


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

    assert time.monotonic() - began < 1


@pytest.mark.fault(66)
async def test_a_stream_that_breaks(gateway: Gateway, transport: AiohttpTransport) -> None:
    """A stream that ends before its announced length says so, after what did come."""
    gateway.on("GET", "/file", HEAD + b"Content-Length: 10\r\n\r\n01234")

    async with transport.stream(HttpRequest(method="GET", url=f"{gateway.url}/file")) as answer:
        chunks = answer.chunks()

        assert b"01234" == await anext(chunks)
        with pytest.raises(TransportError, match="broke off") as raised:
            await anext(chunks)

    assert raised.value.__context__ is None
