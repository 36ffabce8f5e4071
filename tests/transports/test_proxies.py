"""Proxies: what has certainly not been sent is not called unknown, and errors name the proxy."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest

import happyhorse_async as hh
from happyhorse_async.transports.aiohttp import AiohttpTransport
from happyhorse_async.transports.proxy import Proxies

if TYPE_CHECKING:
    from conftest import Fifth, Gateway

Writer = asyncio.StreamWriter


def reset(writer: Writer) -> None:
    """End the connection with a reset."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


FAILURES: dict[str, Callable[[Writer], None]] = {
    "closes": lambda writer: writer.close(),
    "resets": reset,
    "answers nonsense": lambda writer: writer.write(b"\x05\xff"),
    "speaks another protocol": lambda writer: writer.write(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "answers half a line": lambda writer: writer.write(b"HTTP/1.1 2"),
    "answers half a header": lambda writer: writer.write(b"HTTP/1.1 200 OK\r\nX"),
    "wants a login": lambda writer: writer.write(b"HTTP/1.1 407 Auth\r\nContent-Length: 0\r\n\r\n"),
    "forbids": lambda writer: writer.write(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"),
    "fails": lambda writer: writer.write(b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n"),
    "is busy": lambda writer: writer.write(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"),
    "redirects": lambda writer: writer.write(b"HTTP/1.1 302 No\r\nLocation: http://login/\r\n\r\n"),
    "shows a page": lambda writer: writer.write(b"HTTP/1.1 404 No\r\nContent-Length: 6\r\n\r\n<html>"),
    "breaks off in TLS": lambda writer: writer.write(b"HTTP/1.1 200 OK\r\n\r\n"),
    "speaks no TLS": lambda writer: writer.write(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 400 Bad Request\r\n\r\n"),
}


@asynccontextmanager
async def failing_proxy(fail: Callable[[Writer], None]) -> AsyncGenerator[tuple[str, list[bytes]]]:
    """Serve a proxy that reads a request and fails."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: Writer) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        fail(writer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield f"http://user:pa55word@{host}:{port}", requests


@pytest.mark.fault(88)
@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
async def test_nothing_has_been_sent_before_the_tunnel_is_ready(fifth: Fifth, fail: Callable[[Writer], None]) -> None:
    """A proxy that fails on CONNECT has seen nothing of the paid request: the error says so, and names the proxy."""
    retries = hh.RetryPolicies(submit=hh.RetryPolicy(max_retries=1, initial_interval=0.0))

    async with (
        failing_proxy(fail) as (proxy, requests),
        fifth.open(base_url="https://api.example.com", proxy=proxy, retries=retries) as client,
    ):
        with pytest.raises(hh.TransportError, match=r"through the proxy http://\*\*\*@127\.0\.0\.1") as raised:
            await client.submit(hh.TextToVideo("a train"))

    assert not raised.value.sent
    assert all(request.startswith(b"CONNECT api.example.com:443 ") for request in requests)
    assert "pa55word" not in f"{raised.value!r} {raised.value}"


@pytest.mark.fault(88)
async def test_a_proxy_that_cannot_be_reached(fifth: Fifth) -> None:
    """Nor has anything been sent where no proxy listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    retries = hh.RetryPolicies(submit=hh.RetryPolicy(max_retries=0))

    async with fifth.open(
        base_url="https://api.example.com", proxy=f"http://127.0.0.1:{port}", retries=retries
    ) as client:
        with pytest.raises(hh.TransportError, match=r"proxy .*: cannot connect") as raised:
            await client.submit(hh.TextToVideo("a train"))

    assert not raised.value.sent


@pytest.mark.fault(88)
async def test_a_plain_proxy_may_have_passed_the_request_on(gateway: Gateway, fifth: Fifth) -> None:
    """Without a tunnel the proxy reads the request itself: one that closes leaves the outcome unknown."""
    gateway.on("POST", "*", b"")

    async with fifth.open(base_url="http://api.internal", proxy=gateway.url) as client:
        with pytest.raises(hh.SubmitOutcomeUnknownError):
            await client.submit(hh.TextToVideo("a train"))

    assert 1 == len(gateway.requests)


@pytest.mark.fault(88)
@pytest.mark.parametrize("method", ["POST", "CONNECT"])
async def test_a_proxy_that_wants_a_login_has_passed_nothing_on(gateway: Gateway, method: str) -> None:
    """A 407 comes from the proxy, with and without a tunnel, and no further attempt is of use."""
    gateway.on(method, "*", gateway.reply(status=407, then="close"))
    transport = AiohttpTransport(proxy=gateway.url)
    scheme = "http" if method == "POST" else "https"

    with pytest.raises(hh.TransportError, match="407") as raised:
        await transport.send(hh.HttpRequest(method="POST", url=f"{scheme}://provider.invalid/v", body=b"{}"), timeout=5)
    await transport.aclose()

    assert (False, False) == (raised.value.sent, raised.value.retryable)


async def test_a_connector_that_raises_what_it_likes(gateway: Gateway) -> None:
    """An exception of a foreign connector is a transport error, and nothing has been sent."""

    class Broken(aiohttp.TCPConnector):
        async def _create_connection(self, *_: object, **__: object) -> None:  # type: ignore[override]
            raise RuntimeError("general SOCKS server failure")

    async with Broken() as connector:
        transport = AiohttpTransport(connector=connector)
        with pytest.raises(hh.TransportError, match="RuntimeError") as raised:
            await transport.send(hh.HttpRequest(method="POST", url=f"{gateway.url}/v", body=b"{}"), timeout=5)
        await transport.aclose()

    assert not raised.value.sent
    assert raised.value.__context__ is None


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Remove the proxies of the environment."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


@pytest.mark.fault(88)
@pytest.mark.parametrize(("proxy", "targets"), [(None, ["/v"]), ("env", ["http://provider.invalid/v"])])
async def test_the_environment_is_used_only_on_demand(
    gateway: Gateway, environment: pytest.MonkeyPatch, proxy: str | None, targets: list[str]
) -> None:
    """Proxies of the environment are ignored, unless the caller asks for them."""
    environment.setenv("HTTP_PROXY", gateway.url)
    gateway.on("POST", "*", {})
    transport = AiohttpTransport(proxy=proxy)
    root = "http://provider.invalid" if proxy else gateway.url

    await transport.send(hh.HttpRequest(method="POST", url=f"{root}/v", body=b"{}"), timeout=5)
    await transport.aclose()

    assert targets == [seen.target for seen in gateway.requests]


@pytest.mark.parametrize(
    ("variables", "scheme", "host", "found"),
    [
        ({}, "https", "api.example.com", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https", "api.example.com", "http://p:1"),
        ({"https_proxy": "http://p:1"}, "https", "api.example.com", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http", "api.example.com", None),
        ({"ALL_PROXY": "http://p:2"}, "https", "api.example.com", "http://p:2"),
        ({"HTTPS_PROXY": "http://p:1", "ALL_PROXY": "http://p:2"}, "https", "api.example.com", "http://p:1"),
        ({"HTTPS_PROXY": "127.0.0.1:7890"}, "https", "api.example.com", "http://127.0.0.1:7890"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.com"}, "https", "api.example.com", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https", "api.example.com", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "other.org"}, "https", "api.example.com", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "127.0.0.1:80"}, "http", "127.0.0.1:8080", "http://p:1"),
    ],
)
def test_which_proxy_the_environment_names(
    environment: pytest.MonkeyPatch, variables: dict[str, str], scheme: str, host: str, found: str | None
) -> None:
    """`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` mean what they mean elsewhere."""
    for name, value in variables.items():
        environment.setenv(name, value)

    assert found == Proxies.of("env").find(scheme, host)


@pytest.mark.parametrize(
    "proxy",
    [
        "",
        "proxy.example:3128",
        "socks5://127.0.0.1:1080",
        "ftp://p",
        "http://",
        "http://p:99999",
        "ENV",
        "http://p\n",
    ],
)
def test_what_is_not_a_proxy_is_refused_when_the_client_is_made(fifth: Fifth, proxy: str) -> None:
    """A proxy is an http(s) URL or "env"; anything else is a mistake in the configuration."""
    with pytest.raises(hh.ConfigurationError, match=r"^proxy: "):
        fifth.client(proxy=proxy)


def test_a_proxy_of_the_environment_that_cannot_be_used(fifth: Fifth, environment: pytest.MonkeyPatch) -> None:
    """The error names the variable, and not the password in it."""
    environment.setenv("ALL_PROXY", "socks5://user:pa55word@127.0.0.1:1080")

    with pytest.raises(hh.ConfigurationError, match="ALL_PROXY must be") as raised:
        fifth.client(proxy="env")

    assert "pa55word" not in str(raised.value)
