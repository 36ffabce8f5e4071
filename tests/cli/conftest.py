"""What the tests of the command share: the program itself, and an emulator for it to talk to."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import shlex
import signal
import sys
import threading
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias

import aiohttp
import pytest
from aiohttp import web
from attrs import field, frozen

from happyhorse_async.cli import main
from happyhorse_async.emulator import Emulator, Scenario
from happyhorse_async.registry import adapter_names

KEY = "sk-never-to-be-seen"
PROVIDERS = adapter_names()
QUICK = Scenario(queue=(1.0, 2.0), run=(6.0, 12.0))

Emulate: TypeAlias = Callable[..., AbstractAsyncContextManager[Emulator]]
Gated: TypeAlias = Callable[..., AbstractAsyncContextManager["Gate"]]


@frozen
class Run:
    """How one run of the command ended."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The lines of the standard output as JSON."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def events(self) -> list[str]:
        """The names of the events in them."""
        return [event["event"] for event in self.objects]

    @property
    def error(self) -> dict[str, Any]:
        """The error on the standard error as JSON."""
        error: dict[str, Any] = json.loads(self.err.splitlines()[-1])["error"]
        return error


class Program:
    """The `happyhorse` command, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, name: str, text: str) -> None:
        """Write a file into the folder."""
        (self._folder / name).write_text(text)

    def remove(self, name: str) -> None:
        """Remove a file of the folder."""
        (self._folder / name).unlink()

    def folder(self, name: str) -> None:
        """Make a folder in the folder."""
        (self._folder / name).mkdir()

    def configure(self, urls: Mapping[str, str], *, store: bool = False) -> None:
        """Write a configuration for providers at *urls*, the first of them the default."""
        sections = "".join(
            f'[providers.{name}]\nbase_url = "{url}"\napi_key_env = "EMULATOR_KEY"\n' for name, url in urls.items()
        )
        kept = '[store]\npath = "jobs.sqlite"\n' if store else ""
        self.write("happyhorse.toml", f'default = "{next(iter(urls))}"\n{sections}{kept}[poll]\ninterval = 0.05\n')

    def read(self, name: str) -> bytes:
        """Read a file of the folder."""
        return (self._folder / name).read_bytes()

    def videos(self) -> list[str]:
        """Name the videos in the folder."""
        return sorted(path.name for path in self._folder.glob("*.mp4"))

    async def run(self, *arguments: str) -> Run:
        """Run it in this process, beside the event loop that serves the emulator."""
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = await _in_a_thread(lambda: main(arguments))
        return Run(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))

    async def start(self, *arguments: str, stdout: int | IO[bytes] = PIPE, stderr: int = PIPE) -> Process:
        """Start the installed program as a process of its own."""
        program = Path(sys.executable).with_name("happyhorse")
        return await asyncio.create_subprocess_exec(
            program, *arguments, stdin=DEVNULL, stdout=stdout, stderr=stderr, preexec_fn=_hear_signals
        )

    async def run_on_a_terminal(self, *arguments: str) -> Run:
        """Run it as a process whose standard error is a terminal."""
        terminal, its_end = os.openpty()
        process = await self.start(*arguments, stderr=its_end)
        os.close(its_end)
        shown = asyncio.create_task(asyncio.to_thread(_read_terminal, terminal))
        run = await self.end(process)
        return Run(run.code, run.out, (await shown).decode())

    async def run_closed(self, *arguments: str) -> Run:
        """Run it as a process whose standard output is closed, as by `>&-` of a shell."""
        command = f"exec {shlex.join((str(Path(sys.executable).with_name('happyhorse')), *arguments))} >&-"
        return await self.end(await asyncio.create_subprocess_shell(command, stdin=DEVNULL, stderr=PIPE))

    async def end(self, process: Process, seen: bytes = b"") -> Run:
        """Wait for the end of *process*; *seen* is what was already read of its standard error."""
        out, err = await process.communicate()
        assert process.returncode is not None
        return Run(process.returncode, (out or b"").decode(), (seen + (err or b"")).decode())


async def _in_a_thread(work: Callable[[], int]) -> int:
    # A thread of the loop's own pool that never ended would hold up the end of the tests.
    loop = asyncio.get_running_loop()
    code: asyncio.Future[int] = loop.create_future()
    threading.Thread(target=lambda: loop.call_soon_threadsafe(code.set_result, work()), daemon=True).start()
    async with asyncio.timeout(40):
        return await code


def _read_terminal(terminal: int) -> bytes:
    shown = b""
    with os.fdopen(terminal, "rb", buffering=0) as stream, contextlib.suppress(OSError):
        # On Linux, reading a terminal whose other end is closed is an error.
        while part := stream.read(4096):
            shown += part
    return shown


def _hear_signals() -> None:
    # A shell starts what runs in its background with SIGINT ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Run the command in an empty folder and a clean environment."""
    for name in [*os.environ]:
        if name.startswith("HAPPYHORSE_") or name.endswith("_API_KEY") or name in ("FORCE_COLOR", "PYTHONPATH"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("EMULATOR_KEY", KEY)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Program(folder)


@pytest.fixture
def emulate(program: Program) -> Emulate:
    """Serve an emulator, and configure the command for it."""

    @asynccontextmanager
    async def emulate(scenario: Scenario = QUICK, *, store: bool = False, **options: Any) -> AsyncGenerator[Emulator]:
        async with Emulator(speed=60, seed=1, scenario=scenario, **options) as emulator:
            program.configure({name: emulator.url(name) for name in PROVIDERS}, store=store)
            yield emulator

    return emulate


@frozen
class Gate:
    """A proxy in front of an emulated provider, which can delay paid requests and replace their responses."""

    address: str
    """Where the emulator is."""
    spoils: bool = False
    """Whether what was taken is answered with a gateway's fault."""
    bodies: list[bytes] = field(factory=list[bytes])
    """The paid requests."""
    arrived: asyncio.Event = field(factory=asyncio.Event)
    """Set by the first of them."""
    polls: set[str] = field(factory=set[str])
    """The paths of the polls."""
    opened: asyncio.Event = field(factory=asyncio.Event)
    """What they wait for."""

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """Pass *request* on."""
        body = await request.read()
        if request.method == "GET":
            self.polls.add(request.path)
        if request.method == "POST":
            self.bodies.append(body)
            self.arrived.set()
            await self.opened.wait()
        headers = {name: request.headers[name] for name in request.headers if name not in ("Host", "Content-Length")}
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, self.address + request.path_qs, data=body, headers=headers) as answer,
        ):
            if self.spoils and request.method == "POST":
                return web.Response(status=502)
            return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")


@pytest.fixture
def gated(program: Program) -> Gated:
    """Serve a gate before an emulated provider, and configure the command for it."""

    @asynccontextmanager
    async def gated(
        emulator: Emulator, provider: str = "hiapi", *, store: bool = False, spoils: bool = False, opened: bool = False
    ) -> AsyncGenerator[Gate]:
        gate = Gate(emulator.address, spoils)
        if opened:
            gate.opened.set()
        path = emulator.url(provider).removeprefix(emulator.address)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", gate.forward)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        program.configure({provider: f"http://127.0.0.1:{runner.addresses[0][1]}{path}"}, store=store)
        try:
            yield gate
        finally:
            gate.opened.set()
            await runner.cleanup()

    return gated


@pytest.fixture
async def emulator(emulate: Emulate) -> AsyncGenerator[Emulator]:
    """Serve an emulator whose tasks succeed within half a second."""
    async with emulate() as emulator:
        yield emulator
