"""
Runs a client against a neutral provider: two processes, real sockets, one clock.

Both processes are new for every run, so that no run benefits from the caches of another. The CPU time of a client is
that of its process.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Self

from aiohttp import web

from account import Account, SeenRequest, Task
from clients import BenchmarkClient
from clocks import run_fast
from figures import Figures, Outcomes, measure
from loads import Load
from wire_format import Call, WireFormat
from wire_formats import WIRE_FORMATS

SPAWN = multiprocessing.get_context("spawn")
_real_sleep = time.sleep


@dataclass(frozen=True)
class Run:
    """The result of one run. Times are seconds of its clock; CPU time is real."""

    tasks: dict[str, Task]
    requests: list[SeenRequest]
    outcomes: Outcomes
    cpu: float
    """CPU seconds of the client, from the first submit to the last end that it noticed."""
    wall: float
    """Seconds of the run's clock for the same span."""
    answer: Any = None
    """What the client has returned."""

    def figures(self, since: float = 0.0, until: float = float("inf")) -> Figures:
        return measure(self.tasks, self.requests, self.outcomes, since=since, until=until)


def run_over_sockets(
    benchmarked: BenchmarkClient,
    load: Load,
    *,
    page: int = 50,
    per_second: float | None = 20,
    speed: float = 1.0,
    initial: int = 0,
) -> Run:
    """
    Run the jobs of *load* over sockets, with a clock that is *speed* times as fast. The provider uses the client's own
    wire format.

    :param initial: how many tasks the provider has from the beginning. They run for ever.
    """
    options = {
        "largest_page": page,
        "queries_per_second": per_second,
        "running": load.running,
        "initial": initial,
        "others": load.of_others,
    }
    with (
        Child(serve, benchmarked.wire_format, options, speed) as server,
        Child(_run, benchmarked, load, speed) as client,
    ):
        began = time.monotonic() + 0.2
        server.send(began)
        base_url = server.receive()
        client.send((began, base_url))
        outcomes, cpu, wall, answer = client.receive()
        server.send("stop")
        tasks, requests = server.receive()
    return Run(tasks, requests, outcomes, cpu, wall, answer)


class Child:
    """A child process, ready for work when the context is entered."""

    def __init__(self, work: Callable[..., None], *arguments: Any) -> None:
        self._pipe, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(target=work, args=(theirs, *arguments), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        assert self.receive() == "ready"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def send(self, message: Any) -> None:
        self._pipe.send(message)

    def receive(self) -> Any:
        while not self._pipe.poll(1.0):
            if not self._process.is_alive():
                raise RuntimeError(f"a child process died with exit code {self._process.exitcode}")
        return self._pipe.recv()


def serve(pipe: Connection, wire_format: str, options: dict[str, Any], speed: float) -> None:
    """Run a provider: receive the start time, send the base URL, wait for the end, and send what was recorded."""
    pipe.send("ready")
    began: float = pipe.recv()

    async def work() -> None:
        loop = asyncio.get_running_loop()
        account = Account(loop.time, **options)
        provider = WIRE_FORMATS[wire_format](account)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", lambda request: _answer(provider, request))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
        pipe.send(f"http://127.0.0.1:{runner.addresses[0][1]}{provider.root}")
        await loop.run_in_executor(None, pipe.recv)
        account.settle()
        pipe.send((account.tasks, account.requests))

    run_fast(work(), speed=speed, began=began)


async def _answer(provider: WireFormat, request: web.Request) -> web.Response:
    headers = {name.lower(): value for name, value in request.headers.items()}
    path = request.path.removeprefix(provider.root)
    status, body = provider.answer(Call(request.method, path, request.query, headers, await request.read()))
    if status == 0:
        assert request.transport is not None
        request.transport.close()
    return web.Response(status=status or 200, body=body, content_type="application/json")


def _run(pipe: Connection, benchmarked: BenchmarkClient, load: Load, speed: float) -> None:
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    if hasattr(benchmarked, "prepare"):
        benchmarked.prepare()
    # Clients with threads sleep with this function.
    time.sleep = lambda seconds: _real_sleep(float(seconds) / speed)
    pipe.send("ready")
    began, base_url = pipe.recv()
    outcomes = Outcomes()

    async def work() -> tuple[float, float, Any]:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(-loop.time())
        cpu, begun = time.process_time(), loop.time()
        answer = await benchmarked(base_url, load, outcomes)
        return time.process_time() - cpu, loop.time() - begun, answer

    pipe.send((outcomes, *run_fast(work(), speed=speed, began=began)))


def in_new_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """Call *work* in a new process, and return what it returns."""
    with Child(_call, work, *arguments) as child:
        return child.receive()


def _call(pipe: Connection, work: Callable[..., Any], *arguments: Any) -> None:
    pipe.send("ready")
    pipe.send(work(*arguments))
