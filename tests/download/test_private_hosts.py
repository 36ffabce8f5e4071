"""From where videos are fetched: from the public internet, unless the provider itself is elsewhere."""

from __future__ import annotations

import asyncio
import socket
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from attrs import evolve

import happyhorse_async as hh
from happyhorse_async.transports.aiohttp import AiohttpTransport
from happyhorse_async.transports.ip_filter import is_private_host, is_public, is_public_host

from .videos import done, names, video_file

if TYPE_CHECKING:
    from conftest import Fifth, Gateway

PUBLIC = "https://203-0-113-9.fifth.example"
"""A provider whose name does not resolve, and so is not known to be private."""


VIDEO = video_file(b"\1" * 999)


@pytest.mark.fault(44)
@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1", "172.16.3.4", "192.168.1.1", "127.0.0.1", "127.255.0.9", "169.254.169.254", "100.64.0.1",
        "100.100.100.200", "192.0.0.192", "168.63.129.16", "198.18.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1",
        "239.1.2.3", "240.0.0.1", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1",
        "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
        "2001:db8::1", "", "example.org", "127.1", "0x7f000001", "127.0.0.01",
    ],
)  # fmt: skip
def test_private_addresses_are_not_public(address: str) -> None:
    """Whatever a stranger has no business with is not public, however it is written."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "47.88.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"]
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    """Addresses of the internet are public, those written as IPv6 included."""
    assert is_public(address)


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("127.0.0.1", True), ("127.1", True), ("2130706433", True), ("::1", True), ("localhost", True),
        ("LOCALHOST.", True), ("files.localhost", True), ("8.8.8.8", False), ("2606:4700::1111", False),
        ("files.example.org", False), ("8.8.8.8.example.org", False), ("", False),
    ],
)  # fmt: skip
def test_a_host_is_judged_without_a_name_lookup(host: str, private: bool) -> None:
    """A host that is written as a number, or is this machine, is judged without being looked up."""
    assert private is is_private_host(host)


@pytest.mark.parametrize(
    ("host", "public"),
    [
        ("127.0.0.1", False), ("localhost", False), ("::1", False), ("10.1.2.3", False), ("8.8.8.8", True),
        ("no-such-host.invalid", True), ("0x7f.1", False), ("", True),
    ],
)  # fmt: skip
async def test_a_host_is_judged_by_its_addresses(host: str, public: bool) -> None:
    """A host is public if all its addresses are; one that does not resolve counts as public."""
    assert public is await is_public_host(host)


HOSTS = ["127.0.0.1", "localhost", "LocalHost.", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "[::1]"]


@pytest.mark.fault(44)
@pytest.mark.parametrize("host", [*HOSTS, "[::ffff:127.0.0.1]", "169.254.169.254", "[fe80::1%25lo]", "10.0.0.1"])
async def test_a_url_of_a_private_host_is_refused_before_connecting(
    gateway: Gateway, fifth: Fifth, tmp_path: Path, host: str
) -> None:
    """A public provider that names a private host is refused, and nothing is sent there."""
    port = gateway.url.rpartition(":")[2]

    async with fifth.open(base_url=PUBLIC) as client:
        with pytest.raises(hh.DownloadError) as raised:
            await client.download(done(f"http://{host}:{port}/latest/meta-data"), tmp_path)

    assert "fifth:t-1" == str(raised.value.ref)
    assert [] == gateway.requests
    assert 0 == gateway.connections
    assert [] == names(tmp_path)


@pytest.mark.fault(44)
async def test_the_refusal_of_a_private_host_says_why(gateway: Gateway, fifth: Fifth, tmp_path: Path) -> None:
    """The refusal says that the host is the reason."""
    async with fifth.open(base_url=PUBLIC) as client:
        with pytest.raises(hh.DownloadError, match="not on the public internet"):
            await client.download(done(f"{gateway.url}/v.mp4"), tmp_path)


@pytest.mark.fault(44)
async def test_allow_private_hosts_permits_any_host(gateway: Gateway, fifth: Fifth, tmp_path: Path) -> None:
    """A caller who wants it may fetch from anywhere."""
    gateway.on("GET", "/v.mp4", gateway.reply(VIDEO))

    async with fifth.open(base_url=PUBLIC, allow_private_hosts=True) as client:
        path = await client.download(done(f"{gateway.url}/v.mp4"), tmp_path)

    assert VIDEO == path.read_bytes()


@pytest.mark.fault(44)
@pytest.mark.parametrize("allowed", [True, False])
async def test_allow_private_hosts_can_be_configured(gateway: Gateway, tmp_path: Path, allowed: bool) -> None:
    """The configuration file allows it as well, and by default it does not."""
    key, line = "sk-1234567890", "allow_private_hosts = true" if allowed else ""
    (tmp_path / "happyhorse.toml").write_text(f"""
        [providers.main]
        adapter = "dashscope"
        api_key_file = "key"
        {line}
    """)
    (tmp_path / "key").write_text(key)
    (tmp_path / "videos").mkdir()
    gateway.on("GET", "/v.mp4", gateway.reply(VIDEO))

    async with hh.Client.from_config(tmp_path / "happyhorse.toml") as client:
        task = evolve(done(f"{gateway.url}/v.mp4"), ref=hh.TaskRef("main", "t-1"))
        downloading = client.download(task, tmp_path / "videos")
        with nullcontext() if allowed else pytest.raises(hh.DownloadError, match="not on the public internet"):
            await downloading

    assert allowed == bool(names(tmp_path / "videos"))


class Rebinding(AbstractResolver):
    """Finds the loopback address for every name, as a name server may that has found a public one a moment ago."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.fault(44)
@pytest.mark.parametrize("answer", [VIDEO, b"\1"])
async def test_a_name_that_changes_its_address_is_refused(
    gateway: Gateway, fifth: Fifth, tmp_path: Path, answer: bytes
) -> None:
    """What counts is the address that was connected to, also where a connector of the caller's has found it."""
    gateway.on("GET", "/v.mp4", gateway.reply(answer))
    port = gateway.url.rpartition(":")[2]

    async with (
        aiohttp.TCPConnector(resolver=Rebinding()) as connector,
        fifth.open(base_url=PUBLIC, connector=connector) as client,
    ):
        with pytest.raises(hh.DownloadError, match="not on the public internet"):
            await client.download(done(f"http://files.example:{port}/v.mp4"), tmp_path)

    assert [] == gateway.requests
    assert [] == names(tmp_path)


@pytest.mark.fault(44)
@pytest.mark.parametrize("proxied", [False, True], ids=["connector", "proxy"])
async def test_a_name_of_a_private_host_is_refused_before_anything_is_sent(
    gateway: Gateway, fifth: Fifth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxied: bool
) -> None:
    """A name is looked up and judged first, also where a connector or a proxy of the caller's is used."""
    port = gateway.url.rpartition(":")[2]

    loop = asyncio.get_running_loop()
    look_up = loop.getaddrinfo

    async def private(host: str, *rest: Any, **options: Any) -> Any:
        return await look_up("127.0.0.1" if host == "intranet.example" else host, *rest, **options)

    monkeypatch.setattr(loop, "getaddrinfo", private)
    options: dict[str, Any] = {"proxy": gateway.url} if proxied else {}

    async with aiohttp.TCPConnector() as connector:
        if not proxied:
            options["connector"] = connector
        async with fifth.open(base_url="https://8.8.8.8", **options) as client:
            with pytest.raises(hh.DownloadError, match="not on the public internet; allow_private_hosts"):
                await client.download(done(f"http://intranet.example:{port}/admin/delete?all=1"), tmp_path)

    assert [] == gateway.requests
    assert 0 == gateway.connections


class LocalProxy(aiohttp.TCPConnector):
    """Connects to a local proxy, whatever it is asked for, as connectors for SOCKS do."""

    def __init__(self) -> None:
        super().__init__(resolver=Rebinding())


@pytest.mark.fault(44)
async def test_the_peer_of_a_connector_that_is_a_proxy_says_nothing(
    gateway: Gateway, fifth: Fifth, tmp_path: Path
) -> None:
    """Where the caller's connector does not connect to the origin itself, only the name is judged."""
    gateway.on("GET", "/v.mp4", gateway.reply(VIDEO))
    port = gateway.url.rpartition(":")[2]

    async with LocalProxy() as connector, fifth.open(base_url=PUBLIC, connector=connector) as client:
        path = await client.download(done(f"http://files.example:{port}/v.mp4"), tmp_path)
        with pytest.raises(hh.DownloadError, match="not on the public internet"):
            await client.download(done(f"http://127.0.0.1:{port}/secret"), tmp_path)

    assert VIDEO == path.read_bytes()
    assert 1 == len(gateway.requests)


@pytest.mark.fault(43, 44)
@pytest.mark.parametrize("location", ["http://169.254.169.254/latest", "http://localhost/", "http://[::1]/"])
async def test_a_redirect_to_a_private_host_is_refused(
    gateway: Gateway, fifth: Fifth, tmp_path: Path, location: str
) -> None:
    """A redirect is judged like the URL itself. The proxy plays a public server, and is asked once."""
    gateway.on("GET", "/v.mp4", gateway.reply(status=302, headers={"Location": location}))

    async with fifth.open(base_url=PUBLIC, proxy=gateway.url) as client:
        with pytest.raises(hh.DownloadError, match="not on the public internet"):
            await client.download(done("http://files.example/v.mp4"), tmp_path)

    assert ["http://files.example/v.mp4"] == [seen.target for seen in gateway.requests]


@pytest.mark.fault(44)
async def test_the_address_of_a_proxy_says_nothing_of_the_video(gateway: Gateway, fifth: Fifth, tmp_path: Path) -> None:
    """A proxy at a private address carries videos of the internet: where it is says nothing of them."""
    gateway.on("GET", "/v.mp4", gateway.reply(VIDEO))

    async with fifth.open(base_url=PUBLIC, proxy=gateway.url) as client:
        path = await client.download(done("http://files.example/v.mp4"), tmp_path)

    assert VIDEO == path.read_bytes()


async def test_a_name_that_does_not_resolve_is_not_private() -> None:
    """A name that cannot be looked up is not taken for a private host: it may be found at the next attempt."""
    transport = AiohttpTransport()
    request = hh.HttpRequest(method="GET", url="http://no-such-host.invalid/v.mp4")

    with pytest.raises(hh.TransportError, match="cannot be resolved") as raised:
        async with transport.stream(request, public_only=True):
            pass
    await transport.aclose()

    assert raised.value.retryable
