"""A server that several addresses belong to."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import closing

import aiohttp
import pytest
from aiohttp import web

from happyhorse_async.listening import listen


@pytest.fixture
async def runner() -> AsyncIterator[web.AppRunner]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="here")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    yield runner
    await runner.cleanup()


@pytest.mark.parametrize("host", ["localhost", None, "127.0.0.1"])
async def test_every_address_of_a_host_has_the_port_that_is_told(runner: web.AppRunner, host: str | None) -> None:
    port = await listen(runner, host, 0)

    assert {port} == {address[1] for address in runner.addresses}
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as answer:
        assert "here" == await answer.text()


async def test_the_port_is_the_one_that_was_asked_for(runner: web.AppRunner) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        free = other.getsockname()[1]

    assert free == await listen(runner, "127.0.0.1", free)


@pytest.mark.parametrize("host", ["localhost", None, "127.0.0.1"])
async def test_a_port_that_is_in_use_is_an_error(runner: web.AppRunner, host: str | None) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other, pytest.raises(OSError, match="in use"):
        await listen(runner, host, other.getsockname()[1])


async def test_an_unknown_host_is_an_error(runner: web.AppRunner) -> None:
    with pytest.raises(socket.gaierror):
        await listen(runner, "nothing.invalid", 0)
