"""A server that is told to stop does not wait for open event streams."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import happyhorse_async as hh

from .conftest import EXAMPLES

STREAMS = 10


def command(name: str, port: int, server: str = "uvicorn") -> list[str]:
    """Start an example as its first lines say."""
    if name == "aiohttp_app":
        # The example takes aiohttp's default port.
        start = f"import aiohttp_app; from aiohttp import web; web.run_app(aiohttp_app.make_app(), port={port})"
        return [sys.executable, "-c", start]
    if server == "hypercorn":
        bind = ("--bind", f"127.0.0.1:{port}", "--workers", "0", "--graceful-timeout", "100")
        return [sys.executable, "-m", "hypercorn", *bind, f"{name}:make_app()"]
    options = ("--factory", f"{name}:make_app", "--port", str(port), "--timeout-graceful-shutdown", "100")
    return [sys.executable, "-m", "uvicorn", *options]


async def until_it_answers(browser: aiohttp.ClientSession) -> None:
    """Wait until the server has started."""
    while True:
        try:
            async with browser.get("/videos/none"):
                return
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("aiohttp_app", "aiohttp"),
        *((name, "uvicorn") for name in ("fastapi_app", "litestar_app", "starlette_app", "quart_app")),
        *((name, "hypercorn") for name in ("starlette_app", "quart_app")),
    ],
)
async def test_a_server_with_open_streams_stops_at_once(
    name: str, program: str, configure: Callable[..., Path], unused_tcp_port: int, tmp_path: Path
) -> None:
    """After SIGTERM, ten streams end long before the server would cut them, and the journal still has every task."""
    endless = hh.Scenario(choose=lambda *_: hh.SimulatedTask(queue=math.inf))
    async with hh.Emulator(speed=600, scenario=endless) as emulator:
        configure("dashscope", emulator)
        server = await asyncio.create_subprocess_exec(
            *command(name, unused_tcp_port, program), cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(EXAMPLES)}
        )
        async with aiohttp.ClientSession(f"http://127.0.0.1:{unused_tcp_port}") as browser:
            await until_it_answers(browser)
            streams = [await open_stream(browser) for _ in range(STREAMS)]
            server.send_signal(signal.SIGTERM)
            began = time.monotonic()
            await server.wait()
            took = time.monotonic() - began
            rests = [await stream.read() for stream in streams]

        async with hh.Client.from_config() as client:
            pending = await client.pending()

    assert took < 50
    assert STREAMS == len(rests) == len(pending)
    assert {hh.JobState.ACCEPTED} == {job.state for job in pending}


async def open_stream(browser: aiohttp.ClientSession) -> Any:
    """Submit a job, open its event stream, and read the first event."""
    async with browser.post("/videos", json={"prompt": "a glacier"}) as created:
        job = (await created.json())["job"]
    stream = await browser.get(f"/videos/{job}/events")
    assert (await stream.content.readline()).startswith(b"data: ")
    return stream
