"""What strangers can do to an emulator: web pages, large bodies, other networks."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from happyhorse_async.emulator import Emulator

HEADERS = {"Authorization": "Bearer sk-any"}


@pytest.mark.parametrize(
    "name", ["evil.example", "127.0.0.1.evil.example", "192.168.1.7:8080", "localhost.evil.example"]
)
@pytest.mark.parametrize("path", ["/", "/hiapi/v1/tasks", "/videos/a.mp4", "/_emulator"])
async def test_another_host_name_is_refused_on_loopback(
    emulator: Emulator, http: ClientSession, name: str, path: str
) -> None:
    """A web page that lets its name resolve to this machine (DNS rebinding) gets no answer."""
    async with http.get(emulator.address + path, headers={**HEADERS, "Host": name}) as response:
        assert 421 == response.status


@pytest.mark.parametrize(
    "name", ["localhost", "LOCALHOST:1234", "happyhorse.localhost", "127.0.0.1:99", "127.1.2.3", "[::1]"]
)
async def test_a_loopback_name_is_answered(emulator: Emulator, http: ClientSession, name: str) -> None:
    """Every spelling of this machine is fine."""
    async with http.get(emulator.url("hiapi") + "/v1/tasks", headers={**HEADERS, "Host": name}) as response:
        assert 200 == response.status


async def test_with_another_host_every_name_is_answered(http: ClientSession) -> None:
    """In a container the emulator has the name of its service."""
    async with Emulator(host="0.0.0.0") as emulator:
        url = f"http://127.0.0.1:{emulator.address.rpartition(':')[2]}/hiapi/v1/tasks"
        async with http.get(url, headers={**HEADERS, "Host": "emulator:8080"}) as response:
            assert 200 == response.status


async def test_a_body_that_is_too_large_is_refused_unread(emulator: Emulator) -> None:
    """A body of 400 MB is a 413 at once, and costs no memory."""
    port = int(emulator.address.rpartition(":")[2])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /nexusflow/v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: {400 * 1024**2}\r\n\r\n"
    writer.write(head.encode())
    status = await asyncio.wait_for(reader.readline(), 100)
    writer.close()

    assert status.startswith(b"HTTP/1.1 413 ")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024


async def test_chunked_bodies_that_are_too_large_leave_no_memory(emulator: Emulator, http: ClientSession) -> None:
    """Their size is not announced; what was read is freed when the limit is reached."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(80):
            yield b"x" * 1024**2

    async def send() -> None:
        async with http.post(emulator.url("hiapi") + "/v1/tasks", data=chunks(), headers=HEADERS) as response:
            assert 413 == response.status

    await send()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3):
        await send()

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
