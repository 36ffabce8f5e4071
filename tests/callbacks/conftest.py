"""What the tests of callbacks share: a receiver behind a real server, and a provider's calls to it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import uvicorn
from aiohttp import web

import happyhorse_async as hh

SECRET = "the-canary-of-the-callbacks-0451"


class Hook:
    """A URL that the fifth provider calls."""

    def __init__(self, url: str, session: aiohttp.ClientSession, sign: Callable[..., str]) -> None:
        self.url = url
        self._session = session
        self._sign = sign

    async def call(
        self,
        said: Mapping[str, Any] | bytes,
        *,
        secret: str | None = SECRET,
        at: float | None = None,
        headers: Mapping[str, str] | None = None,
        query: str = "",
    ) -> int:
        """Call it, signed unless *secret* is `None`, and return the status of its answer."""
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        given = {"Content-Type": "application/json"}
        if secret is not None:
            given["X-Fifth-Signature"] = self._sign(body, secret, time.time() if at is None else at)
        return await self.send("POST", body, {**given, **(headers or {})}, query)

    async def send(self, method: str, body: Any = None, headers: Any = None, query: str = "") -> int:
        """Send any request, and return the status of its answer."""
        url = f"{self.url}?{query}" if query else self.url
        async with self._session.request(method, url, data=body, headers=headers) as response:
            return response.status


Serve = Callable[..., Awaitable[Hook]]


@pytest.fixture(params=["aiohttp", "asgi"])
def framework(request: pytest.FixtureRequest) -> str:
    """Name each of the two ways to put a receiver into a web app."""
    name: str = request.param
    return name


@pytest.fixture
async def serve(framework: str, fifth: Any, caplog: pytest.LogCaptureFixture) -> AsyncGenerator[Serve]:
    """Put receivers behind real servers on loopback. No log may show the secret."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def serve(app: Any, path: str = "/hooks/fifth") -> Hook:
            served = served_by_aiohttp if framework == "aiohttp" else served_by_uvicorn
            if isinstance(app, hh.CallbackReceiver):
                app = app.aiohttp_handler if framework == "aiohttp" else app.asgi_app
            root = await stack.enter_async_context(served(app))
            return Hook(f"{root}{path}", session, fifth.sign)

        yield serve
    assert SECRET not in caplog.text


@asynccontextmanager
async def served_by_aiohttp(handler: Any) -> AsyncGenerator[str]:
    """Serve a handler of aiohttp."""
    app = web.Application()
    app.router.add_route("*", "/hooks/fifth", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def served_by_uvicorn(app: Any) -> AsyncGenerator[str]:
    """Serve an ASGI app."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="off", ws="none", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        await serving


@pytest.fixture
def signing(fifth: Any) -> hh.Adapter:
    """Make the fifth provider sign its calls."""
    fifth.poll = hh.PollSchedule(interval=3600)
    return fifth.adapter(signed=True)


@pytest.fixture
def calling(fifth: Any) -> hh.Adapter:
    """Make the fifth provider call without a signature."""
    fifth.poll = hh.PollSchedule(interval=3600)
    return fifth.adapter(callbacks=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "jobs.sqlite"


@pytest.fixture
def done(gateway: Any) -> Callable[[str], dict[str, Any]]:
    """Say that a task has its video."""
    return lambda task_id: {
        "id": task_id, "status": "done", "urls": [f"{gateway.url}/files/{task_id}.mp4?signature=s3cr3t"],
    }  # fmt: skip


@pytest.fixture
def query_of() -> Callable[[Any], str]:
    """Find the query of the URL that a submit has asked to be called at."""
    return lambda seen: urlsplit(json.loads(seen.body)["call"]).query


@pytest.fixture
def changes() -> Callable[[hh.TaskHandle], asyncio.Task[list[hh.TaskStatus]]]:
    """Follow a task to its end, and note every change."""

    async def follow(handle: hh.TaskHandle) -> list[hh.TaskStatus]:
        return [task.status async for task in handle.updates()]

    return lambda handle: asyncio.create_task(follow(handle))
