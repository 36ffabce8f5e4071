"""The example apps, run for real against the emulator, which calls them."""

from __future__ import annotations

import asyncio
import json
import runpy
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn
from aiohttp import web

import happyhorse_async as hh
from happyhorse_async.registry import adapter_names

EXAMPLES = Path(__file__).parents[2] / "examples"
SECRET = "at least sixteen characters"


@pytest.fixture(params=["aiohttp_app", "fastapi_app"])
def example(request: pytest.FixtureRequest) -> str:
    """Name each example."""
    name: str = request.param
    return name


@pytest.fixture
def make_app(example: str) -> Any:
    """Take the front door of an example."""
    return runpy.run_path(str(EXAMPLES / f"{example}.py"))["make_app"]


@pytest.fixture
def listening() -> socket.socket:
    """Take a port, so that its number can be told before anybody serves there."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    return listening


@asynccontextmanager
async def served(app: Any, listening: socket.socket) -> AsyncGenerator[str]:
    """Serve an app as its own `__main__` would."""
    if isinstance(app, web.Application):
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.SockSite(runner, listening).start()
        stop = runner.cleanup
    else:
        server = uvicorn.Server(uvicorn.Config(app, ws="none", log_config=None, timeout_graceful_shutdown=1))
        serving = asyncio.create_task(server.serve(sockets=[listening]))

        async def stop() -> None:
            server.should_exit = True
            await serving

        while not server.started:
            await asyncio.sleep(0.005)
    try:
        yield "http://{}:{}".format(*listening.getsockname())
    finally:
        await stop()


@pytest.fixture
def client_of(
    example: str, listening: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, hh.Emulator], hh.Client]:
    """Make the client that an app would make of a file for one of the providers."""
    monkeypatch.setenv("KEY", "any")
    monkeypatch.setenv("SECRET", SECRET)
    port = listening.getsockname()[1]
    # What is mounted is found with a slash alone.
    hook = f"http://127.0.0.1:{port}/hooks{'/' if example == 'fastapi_app' else ''}"
    file = tmp_path / "happyhorse.toml"

    def client_of(provider: str, emulator: hh.Emulator) -> hh.Client:
        file.write_text("\n".join(lines_of(provider, emulator, hook)), "utf-8")
        return hh.Client.from_config(file)

    return client_of


def lines_of(provider: str, emulator: hh.Emulator, hook: str) -> list[str]:
    """Configure a provider, and as much of callbacks as it has."""
    lines = [f"[providers.{provider}]", 'api_key_env = "KEY"', f'base_url = "{emulator.url(provider)}"']
    if provider == "hiapi":
        lines.append(f'callback_url = "{hook}"')
    if provider in ("hiapi", "dashscope"):
        lines.append('callback_secret_env = "SECRET"')
    seldom, often = "interval = 30", "interval = 0.05"
    return [*lines, "[store]", 'path = "jobs.sqlite"', "[poll]", seldom if provider == "hiapi" else often]


async def asked(browser: aiohttp.ClientSession, method: str, url: str, **options: Any) -> tuple[int, bytes]:
    """Ask for something, and return the status and body of the answer."""
    async with browser.request(method, url, **options) as response:
        return response.status, await response.read()


async def told(browser: aiohttp.ClientSession, url: str) -> list[dict[str, Any]]:
    """Read server-sent events to their end."""
    async with browser.get(url) as response:
        assert "text/event-stream" == response.content_type
        lines = (await response.text()).splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line]


@pytest.mark.parametrize("provider", adapter_names())
async def test_a_video_is_asked_for_and_fetched(
    make_app: Any, client_of: Any, listening: socket.socket, provider: str, tmp_path: Path
) -> None:
    """The app answers 202 with the ref, tells how the task stands to its end, and serves the finished video."""
    async with (
        hh.Emulator(speed=600, callback_secret=SECRET) as emulator,
        served(make_app(client_of(provider, emulator), tmp_path), listening) as root,
        aiohttp.ClientSession(root) as browser,
    ):
        created, body = await asked(browser, "POST", "/videos", json={"prompt": "a paper boat", "duration": 3})
        ref = json.loads(body)["ref"]
        events = await told(browser, f"/videos/{ref}/events")
        video, again = [await asked(browser, "GET", f"/videos/{ref}/file") for _ in range(2)]
        refused, _ = await asked(browser, "POST", "/videos", json={"prompt": "a paper boat", "duration": 99})
        missing, _ = await asked(browser, "GET", "/videos/none/events")

    assert (202, "SUCCEEDED") == (created, events[-1]["status"])
    assert ref.startswith(f"{provider}:")
    assert (200, b"ftyp") == (video[0], video[1][4:8])
    assert (video, 400, 404) == (again, refused, missing)


async def test_the_provider_calls(make_app: Any, client_of: Any, listening: socket.socket, tmp_path: Path) -> None:
    """A call of the provider ends the events; a forgery and a second copy of it are answered as they deserve."""
    scenario = hh.CallbackScenario(duplicates=1, forge=1)
    async with (
        hh.Emulator(speed=600, callback_secret=SECRET, callbacks=scenario) as emulator,
        served(make_app(client_of("hiapi", emulator), tmp_path), listening) as root,
        aiohttp.ClientSession(root) as browser,
    ):
        _, body = await asked(browser, "POST", "/videos", json={"prompt": "a paper boat"})
        ref = json.loads(body)["ref"]
        events = await told(browser, f"/videos/{ref}/events")
        deliveries = await emulator.deliveries.wait(3)

    assert "SUCCEEDED" == events[-1]["status"]
    assert [401, 200, 200] == [delivery.status for delivery in deliveries]
