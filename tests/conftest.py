"""
What the tests of the I/O half share: a gateway they script byte by byte, and a fifth provider that talks to it.

The gateway is a bare server on loopback. It records what really arrived on the wire and answers what a test tells it
to, broken answers included. The provider is none of the four, so that no test of the core depends on them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import socket
import struct
import subprocess
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

import pytest
from attrs import frozen
from hypothesis import HealthCheck, settings

import happyhorse_async as hh

from .fifth import FifthAdapter, sign, variant
from .postgres_server import PostgresServer

# How long an example takes says how busy the machine is.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")

# A shell starts background jobs with SIGINT ignored, and children inherit that: tests that interrupt a program would
# wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests that start programs or live through thousands of worlds. `pytest -m "not slow"` is the quick loop without them.
SLOW = (
    "budget/test_processes",
    "callbacks/test_processes",
    "cli/",
    "docs/test_blocks",
    "docs/test_site",
    "download/test_files",
    "emulator/test_official_fal_client",
    "emulator/test_official_sdks",
    "emulator/test_videos",
    "engines/",
    "examples/",
    "journal/test_enqueue",
    "journal/test_keys",
    "journal/test_killed",
    "journal/test_postgres_killed",
    "journal/test_saving",
    "simulation/",
    "stores/test_postgres_processes",
    "stores/test_sqlite_processes",
    "studio/",
    "test_end_to_end",
    "test_packaging",
    "test_process_end",
    "test_pytest_plugin",
    "test_third_party",
)

# Of a test with more cases, the quick loop runs so many: the first, the last, and some evenly between them.
MOST_CASES = 4

KEY = "sk-canary-0451-never-to-be-seen"
"""The API key of every client here. Whatever is logged is searched for it."""

Ending: TypeAlias = Literal["keep", "close", "reset", "hang"]


@frozen(kw_only=True)
class Seen:
    """A request as it arrived."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def path(self) -> str:
        """The target without its query."""
        return urlsplit(self.target).path


@frozen
class Reply:
    """Bytes to write, what becomes of the connection then, and what to wait for before."""

    data: bytes
    then: Ending = "keep"
    after: asyncio.Event | None = None


Step: TypeAlias = "Reply | bytes | int | dict[str, Any] | Callable[[Seen], Step]"
"""A reply; bytes to write before closing; a status with an error body; the JSON of a 200; or what chooses one."""


class Gateway:
    """A server that answers as scripted. The last step of a script is repeated for ever."""

    def __init__(self) -> None:
        self.requests: list[Seen] = []
        self.unexpected: list[str] = []
        self.connections = 0
        self.resets = 0
        """How many of the next connections are reset before anything is read."""
        self.greeting = b""
        """What is written on a connection before anything is read."""
        self._scripts: dict[tuple[str, str], deque[Step]] = {}
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._port = 0
        self._arrived = asyncio.Event()

    @property
    def url(self) -> str:
        """The root, with the port."""
        return f"http://127.0.0.1:{self._port}"

    def on(self, method: str, path: str, *steps: Step) -> None:
        """Answer *method* on *path*, which may hold `*`, with *steps* in turn. What is said last wins."""
        self._scripts.pop((method, path), None)
        self._scripts[method, path] = deque(steps)

    def accept(self, *task_ids: str) -> None:
        """Accept submits of the fifth provider as *task_ids*."""
        self.on("POST", "/videos", *({"id": task_id, "status": "queued"} for task_id in task_ids))

    def show(self, task_id: str, *steps: Step | str) -> None:
        """Answer looks at a task of the fifth provider; a word stands for a task with that status."""
        self.on("GET", f"/videos/{task_id}", *(self._looked(task_id, step) for step in steps))

    def _looked(self, task_id: str, step: Step | str) -> Step:
        if step == "done":
            return {"id": task_id, "status": "done", "urls": [f"{self.url}/files/{task_id}.mp4?signature=s3cr3t"]}
        return {"id": task_id, "status": step} if isinstance(step, str) else step

    def reply(
        self,
        content: bytes | Any = b"",
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        then: Ending = "keep",
        after: asyncio.Event | None = None,
    ) -> Reply:
        """Make a whole answer. Content that is not bytes is sent as JSON; a header given here wins."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        fields = {"Content-Length": str(len(body)), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
        return Reply(f"HTTP/1.1 {status} Scripted\r\n{head}\r\n".encode() + body, then, after)

    def raw(self, data: bytes, then: Ending = "close", after: asyncio.Event | None = None) -> Reply:
        """Make an answer of any bytes."""
        return Reply(data, then, after)

    def seen(self, method: str, path: str = "*") -> list[Seen]:
        """Return the requests that arrived with *method* on *path*."""
        return [seen for seen in self.requests if seen.method == method and fnmatch(seen.path, path)]

    async def until(self, count: int, method: str, path: str = "*") -> None:
        """Wait until *count* such requests have arrived."""
        async with asyncio.timeout(10):
            while len(self.seen(method, path)) < count:
                self._arrived.clear()
                await self._arrived.wait()

    async def start(self) -> None:
        """Listen, on a free port at first and on the same one ever after."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, backlog=1024)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close every connection and listen no longer."""
        assert self._server is not None
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        try:
            if self.resets:
                self.resets -= 1
                _reset(writer)
            writer.write(self.greeting)
            while not writer.is_closing():
                await self._answer(await _read(reader), writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.close()

    async def _answer(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        self.requests.append(seen)
        self._arrived.set()
        reply = self._next(seen)
        if reply.after is not None:
            await reply.after.wait()
        writer.write(reply.data)
        await writer.drain()
        if reply.then == "hang":
            await asyncio.Event().wait()
        if reply.then == "reset":
            _reset(writer)
        if reply.then == "close":
            writer.close()

    def _next(self, seen: Seen) -> Reply:
        for (method, path), steps in reversed(self._scripts.items()):
            if method == seen.method and fnmatch(seen.path, path):
                return self._made(steps.popleft() if len(steps) > 1 else steps[0], seen)
        self.unexpected.append(f"{seen.method} {seen.target}")
        return self.reply({"error": "not scripted"}, status=599, then="close")

    def _made(self, step: Step, seen: Seen) -> Reply:
        match step:
            case Reply():
                return step
            case bytes():
                return self.raw(step)
            case int():
                return self.reply({"error": f"scripted {step}"}, status=step)
            case dict():
                return self.reply(step)
            case _:
                return self._made(step(seen), seen)


async def _read(reader: asyncio.StreamReader) -> Seen:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
    method, target, _ = lines[0].split(" ")
    pairs = (line.split(": ", 1) for line in lines[1:] if line)
    headers = {name.lower(): value for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Seen(method=method, target=target, headers=headers, body=body, at=asyncio.get_running_loop().time())


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Fifth:
    """Clients of the fifth provider, whose API is the gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self.poll = hh.PollSchedule(interval=0.01)
        self._gateway = gateway

    def adapter(self, **members: Any) -> hh.Adapter:
        """Make a variant of the adapter; see `variant`."""
        return variant(**members)

    def sign(self, body: bytes, secret: str, at: float) -> str:
        """Make the header with which the provider signs a call."""
        return sign(body, secret, int(at))

    def client(self, adapter: hh.Adapter | None = None, **options: Any) -> hh.Client:
        """Make a client that is not open yet."""
        settings = {"api_key": KEY, "base_url": self._gateway.url, "poll": self.poll, **options}
        return hh.Client(adapter or FifthAdapter(), **settings)

    def open(self, adapter: hh.Adapter | None = None, **options: Any) -> AbstractAsyncContextManager[hh.Client]:
        """Open a client, and at the end see to it that nothing of it is left."""

        @asynccontextmanager
        async def opened() -> AsyncIterator[hh.Client]:
            async with self.client(adapter, **options) as client:
                yield client
            assert [] == ours_running()

        return opened()


def ours_running() -> list[str]:
    """Name the coroutines of the library that the event loop still runs on their own."""
    running: list[Any] = [task.get_coro() for task in asyncio.all_tasks() if not task.done()]
    return [coroutine.__qualname__ for coroutine in running if "happyhorse" in coroutine.cr_code.co_filename]


@pytest.fixture
async def gateway(caplog: pytest.LogCaptureFixture) -> AsyncGenerator[Gateway]:
    """Serve a gateway. Afterwards nothing unscripted may have been asked, and no log may show the key."""
    caplog.set_level(logging.DEBUG)
    gateway = Gateway()
    await gateway.start()
    yield gateway
    await gateway.stop()
    assert [] == gateway.unexpected
    assert KEY not in caplog.text
    assert "s3cr3t" not in caplog.text


@pytest.fixture
def fifth(gateway: Gateway) -> Fifth:
    """Make clients of the fifth provider."""
    return Fifth(gateway)


@pytest.fixture(scope="session")
def postgres_server() -> Generator[PostgresServer]:
    """Run a PostgreSQL server for all tests of this process; each test has a schema of its own."""
    try:
        server = PostgresServer()
    except (OSError, subprocess.SubprocessError) as error:
        reason = f"no PostgreSQL server can be started here: {error}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    yield server
    server.close()


@pytest.fixture
def no_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the chance out of delays: each is as short as it may be."""
    monkeypatch.setattr(random, "uniform", lambda shortest, _: shortest)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests, and all but some cases of tests that have many."""
    here = Path(__file__).parent
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.path.is_relative_to(here) and item.path.relative_to(here).as_posix().startswith(SLOW):
            item.add_marker(pytest.mark.slow)
        else:
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for every in cases.values():
        quick = {round(number * (len(every) - 1) / (MOST_CASES - 1)) for number in range(MOST_CASES)}
        for number, item in enumerate(every):
            if number not in quick:
                item.add_marker(pytest.mark.slow)
