"""A client and its provider in one thread on a skipping clock: an hour of work in seconds, without a socket."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import happyhorse_async as hh
import happyhorse_async.transports.aiohttp as carrier
from clocks import run_skipping
from figures import Figures, Notices, measure
from loads import Job, Load
from provider import Provider

BASE_URL = "https://provider.example/api/v1"
# There and back, each.
_LATENCY = (0.015, 0.060)
# The provider gives a job up after three hours.
_PATIENCE = 3 * 3600.0


class Wire:
    """The way to the provider and back."""

    def __init__(self, provider: Provider, seed: int) -> None:
        self._provider = provider
        self._chance = random.Random(seed)

    async def send(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None = None
    ) -> tuple[int, bytes]:
        await asyncio.sleep(self._chance.uniform(*_LATENCY))
        answer = self._provider.answer(method, path, query, body)
        await asyncio.sleep(self._chance.uniform(*_LATENCY))
        return answer


class Transport:
    """Takes the place of the library's transport, and has a wire instead of sockets."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def send(self, request: hh.HttpRequest, *, timeout: float) -> hh.HttpResponse:
        url = urlsplit(request.url)
        path = url.path.removeprefix(urlsplit(BASE_URL).path)
        status, body = await self._wire.send(request.method, path, dict(parse_qsl(url.query)), request.body)
        return hh.HttpResponse(status=status, headers={"content-type": "application/json"}, body=body)

    def stream(self, *_: object, **__: object) -> Any:
        raise NotImplementedError("nothing is downloaded here")

    async def aclose(self) -> None: ...


class Contestant(Protocol):
    """Whoever carries the jobs of a load."""

    async def __call__(self, wire: Wire, load: Load, notices: Notices) -> None: ...


async def each(load: Load, carry: Callable[[Job], Awaitable[str]], notices: Notices) -> None:
    """Begin every job at its time, and note what becomes of it. *carry* returns the id of the task that has ended."""
    loop = asyncio.get_running_loop()

    async def one(job: Job) -> None:
        try:
            notices.end(await carry(job), loop.time())
        except Exception as error:  # noqa: BLE001 - whatever it is, the job is lost
            notices.lose(error)

    running: set[asyncio.Task[None]] = set()
    for job in load.jobs:
        if (delay := job.at - loop.time()) > 0:
            await asyncio.sleep(delay)
        task = asyncio.create_task(one(job))
        running.add(task)
        task.add_done_callback(running.discard)
    if running:
        _, left = await asyncio.wait(running, timeout=_PATIENCE)
        for task in left:
            notices.lose("never noticed")
            task.cancel()


@contextmanager
def _carried_by(wire: Wire) -> Iterator[None]:
    # The client makes its transport itself, from whatever stands here when it is opened.
    real = carrier.AiohttpTransport
    carrier.AiohttpTransport = lambda **_: Transport(wire)  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        carrier.AiohttpTransport = real  # type: ignore[misc]


class Library:
    """The library as it is installed, with the adapter's own budget and no limit on submits."""

    def __init__(self, poll: hh.PollSchedule | None = None) -> None:
        self._poll = poll or hh.PollSchedule()

    async def __call__(self, wire: Wire, load: Load, notices: Notices) -> None:
        limits = hh.Limits(submits_per_second=1e6)
        with _carried_by(wire):
            async with hh.Client(
                "dashscope", api_key="any", base_url=BASE_URL, limits=limits, poll=self._poll
            ) as client:

                async def carry(job: Job) -> str:
                    request = hh.TextToVideo(job.prompt, resolution="720P", duration=5)
                    task = await (await client.submit(request))
                    return task.id

                await each(load, carry, notices)


class FixedInterval:
    """Looks at every task every so many seconds, one by one, and never oftener than the budget allows."""

    def __init__(self, interval: float, per_second: float = 18) -> None:
        self._interval = interval
        self._gap = 1 / per_second
        self._next = 0.0

    async def __call__(self, wire: Wire, load: Load, notices: Notices) -> None:
        async def carry(job: Job) -> str:
            order = {"model": "happyhorse-1.1-t2v", "input": {"prompt": job.prompt}, "parameters": {}}
            _, body = await wire.send("POST", "/services/aigc/any", {}, json.dumps(order).encode())
            task_id = str(json.loads(body)["output"]["task_id"])
            while True:
                await asyncio.sleep(self._interval)
                await self._turn()
                status, body = await wire.send("GET", f"/tasks/{task_id}", {})
                if status == 200 and json.loads(body)["output"]["task_status"] == "SUCCEEDED":
                    return task_id

        await each(load, carry, notices)

    async def _turn(self) -> None:
        now = asyncio.get_running_loop().time()
        begin = max(now, self._next)
        self._next = begin + self._gap
        await asyncio.sleep(begin - now)


def run(
    contestant: Contestant,
    load: Load,
    *,
    page: int = 50,
    per_second: float | None = 20,
    since: float = 0.0,
    until: float = float("inf"),
    seed: int = 1,
) -> tuple[Figures, Notices, Provider]:
    """Let *contestant* carry *load*, and measure it from *since* to *until*."""
    notices = Notices()
    # Both in the library and here, chance is that of the module.
    random.seed(seed)

    async def work() -> Provider:
        clock = asyncio.get_running_loop().time
        provider = Provider(clock, queries_per_second=per_second, largest_page=page, running=load.running)
        await contestant(Wire(provider, seed), load, notices)
        provider.settle()
        return provider

    provider = run_skipping(work())
    return measure(provider.tasks, provider.asked, notices, since=since, until=until), notices, provider
