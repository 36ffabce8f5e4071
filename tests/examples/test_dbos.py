"""The workflow of DBOS with a video in it, killed in the middle, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from attrs import Factory, frozen

import happyhorse_async as hh

from ..postgres_server import PostgresServer
from .conftest import EXAMPLES

PROVIDER = "hiapi"


@frozen
class World:
    """What is outside of the workflow: where videos are uploaded to, and who is notified."""

    url: str
    uploads: dict[str, bytes] = Factory(dict)
    news: list[Any] = Factory(list)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Serve both."""

    async def take(request: web.Request) -> web.Response:
        world.uploads[request.path] = await request.read()
        return web.Response()

    async def hear(request: web.Request) -> web.Response:
        world.news.append(await request.json())
        return web.Response()

    app = web.Application(client_max_size=1 << 30)
    app.router.add_put("/{name}", take)
    app.router.add_post("/news", hear)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    world = World(f"http://127.0.0.1:{runner.addresses[0][1]}")
    yield world
    await runner.cleanup()


@pytest.fixture
def own_server(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """Run a server for this test alone: DBOS keeps its tables where every program on a server finds them."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.mark.timeout(600)
async def test_a_killed_workflow_goes_on_and_pays_once(
    own_server: PostgresServer, world: World, tmp_path: Path
) -> None:
    """It is killed while the video is made. The next run uploads it and sends the news."""
    async with hh.Emulator(speed=20) as emulator:
        file = tmp_path / "happyhorse.toml"
        file.write_text(
            f'[providers.main]\nadapter = "{PROVIDER}"\napi_key_env = "KEY"\nbase_url = "{emulator.url(PROVIDER)}"\n'
            f'[store]\nurl_env = "WORKFLOWS_URL"\nschema = "example_{os.getpid()}"\ntakeover_after = 3.0\n'
            "[poll]\ninterval = 0.1\n"
        )
        environment = {
            **os.environ,
            "HAPPYHORSE_CONFIG": str(file),
            "KEY": "any",
            "WORKFLOWS_URL": own_server.url,
            "UPLOAD_URL": world.url,
            "NOTIFY_URL": f"{world.url}/news",
        }

        async def start() -> asyncio.subprocess.Process:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                str(EXAMPLES / "dbos_workflow.py"),
                "order-8472",
                "cardboard trains",
                env=environment,
                stdout=asyncio.subprocess.PIPE,
            )

        first = await start()
        try:
            async with asyncio.timeout(150):
                while not emulator.billed():
                    assert first.returncode is None
                    await asyncio.sleep(0.05)
        finally:
            first.kill()
            await first.communicate()
        assert {} == world.uploads

        second = await start()
        async with asyncio.timeout(150):
            output, _ = await second.communicate()

        assert 0 == second.returncode
        assert f"{world.url}/order-8472.mp4" == output.decode().split()[-1]
        assert 1 == emulator.billed()
        assert b"ftyp" == world.uploads["/order-8472.mp4"][4:8]
        assert [{"order": "order-8472", "video": f"{world.url}/order-8472.mp4"}] == world.news
