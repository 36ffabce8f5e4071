"""What the tests of the examples share: an emulator, a configuration that leads to it, and servers."""

from __future__ import annotations

import asyncio
import importlib
import socket
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from aiohttp import web

import happyhorse_async as hh

EXAMPLES = Path(__file__).parents[2] / "examples"
SECRET = "at least sixteen characters"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Any]]:
    """Import an example by its name, with its neighbours importable."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return lambda name: vars(importlib.import_module(name))


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """Bind a port, so that its number is known before the server starts."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    yield listening
    listening.close()


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write the configuration that the examples read, for one provider of an emulator."""
    monkeypatch.setenv("KEY", "any")
    monkeypatch.setenv("SECRET", SECRET)

    def configure(provider: str, emulator: hh.Emulator, hook: str | None = None) -> Path:
        lines = [f"[providers.{provider}]", 'api_key_env = "KEY"', f'base_url = "{emulator.url(provider)}"']
        if hook is not None and provider == "hiapi":
            lines.append(f'callback_url = "{hook}"')
        if provider in ("hiapi", "dashscope"):
            lines.append('callback_secret_env = "SECRET"')
        # With webhooks, polls are only for those that are lost.
        interval = 30 if hook is not None and provider == "hiapi" else 0.05
        lines += ["[store]", 'path = "jobs.sqlite"', "[poll]", f"interval = {interval}"]
        file = tmp_path / "happyhorse.toml"
        file.write_text("\n".join(lines), "utf-8")
        monkeypatch.setenv("HAPPYHORSE_CONFIG", str(file))
        return file

    return configure


@asynccontextmanager
async def served(app: Any, listening: socket.socket) -> AsyncGenerator[str]:
    """Serve an app on a bound socket, and yield its root URL."""
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
