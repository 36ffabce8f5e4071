"""
A client and a neutral provider, in two processes and over real sockets, with one clock.

Both are new for every run, so that none inherits another's caches, and the CPU of a client is its process's own.
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

from account import Account, ExpectedUsage, Task
from clocks import run_fast
from contestants import Contestant
from figures import Figures, Notices, measure
from forms import FORMS
from loads import Load
from wire import Call, Form

SPAWN = multiprocessing.get_context("spawn")
_real_sleep = time.sleep


@dataclass(frozen=True)
class Run:
    """What one run leaves behind. Times are seconds of its clock, CPU is real."""

    tasks: dict[str, Task]
    asked: list[ExpectedUsage]
    notices: Notices
    cpu: float
    """Seconds of the client's CPU, from the first submit to the last notice."""
    wall: float
    """Seconds of the run's clock, likewise."""
    answer: Any = None
    """What the contestant has returned."""

    def figures(self, since: float = 0.0, until: float = float("inf")) -> Figures:
        return measure(self.tasks, self.asked, self.notices, since=since, until=until)


def race(
    contestant: Contestant,
    load: Load,
    *,
    page: int = 50,
    per_second: float | None = 20,
    speed: float = 1.0,
    there: int = 0,
) -> Run:
    """
    Let *contestant* carry *load* to a provider over sockets, with a clock that is *speed* times as fast.

    The provider speaks the contestant's own wire form.

    :param there: how many tasks the provider has from the beginning. They run for ever.
    """
    options = {
        "largest_page": page,
        "queries_per_second": per_second,
        "running": load.running,
        "there": there,
        "foreign": load.of_others,
    }
    with Child(serve, contestant.form, options, speed) as server, Child(_carry, contestant, load, speed) as client:
        began = time.monotonic() + 0.2
        server.say(began)
        base_url = server.hear()
        client.say((began, base_url))
        notices, cpu, wall, answer = client.hear()
        server.say("stop")
        tasks, asked = server.hear()
    return Run(tasks, asked, notices, cpu, wall, answer)


class Child:
    """A process of ours, ready for work when it is entered."""

    def __init__(self, work: Callable[..., None], *arguments: Any) -> None:
        self._pipe, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(target=work, args=(theirs, *arguments), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        assert self.hear() == "ready"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def say(self, what: Any) -> None:
        self._pipe.send(what)

    def hear(self) -> Any:
        while not self._pipe.poll(1.0):
            if not self._process.is_alive():
                raise RuntimeError(f"a process has died with {self._process.exitcode}")
        return self._pipe.recv()


def serve(pipe: Connection, form: str, options: dict[str, Any], speed: float) -> None:
    """Be a provider that speaks *form*: hear when it begins, say the base URL, hear the end, say what there was."""
    pipe.send("ready")
    began: float = pipe.recv()

    async def work() -> None:
        loop = asyncio.get_running_loop()
        account = Account(loop.time, **options)
        provider = FORMS[form](account)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", lambda request: _answer(provider, request))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
        pipe.send(f"http://127.0.0.1:{runner.addresses[0][1]}{provider.root}")
        await loop.run_in_executor(None, pipe.recv)
        account.settle()
        pipe.send((account.tasks, account.asked))

    run_fast(work(), speed=speed, began=began)


async def _answer(provider: Form, request: web.Request) -> web.Response:
    headers = {name.lower(): value for name, value in request.headers.items()}
    path = request.path.removeprefix(provider.root)
    status, body = provider.answer(Call(request.method, path, request.query, headers, await request.read()))
    if status == 0:
        assert request.transport is not None
        request.transport.close()
    return web.Response(status=status or 200, body=body, content_type="application/json")


def _carry(pipe: Connection, contestant: Contestant, load: Load, speed: float) -> None:
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    if hasattr(contestant, "prepare"):
        contestant.prepare()
    # What waits in a thread waits for this.
    time.sleep = lambda seconds: _real_sleep(float(seconds) / speed)
    pipe.send("ready")
    began, base_url = pipe.recv()
    notices = Notices()

    async def work() -> tuple[float, float, Any]:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(-loop.time())
        cpu, begun = time.process_time(), loop.time()
        answer = await contestant(base_url, load, notices)
        return time.process_time() - cpu, loop.time() - begun, answer

    pipe.send((notices, *run_fast(work(), speed=speed, began=began)))


def in_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """Call *work* in a new process, and return what it returns."""
    with Child(_call, work, *arguments) as child:
        return child.hear()


def _call(pipe: Connection, work: Callable[..., Any], *arguments: Any) -> None:
    pipe.send("ready")
    pipe.send(work(*arguments))
