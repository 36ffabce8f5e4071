"""
The clients that are measured. Each runs the jobs of a load as its users would, and records which ends it noticed when.

Here are this library and the baseline, a bare aiohttp loop with a fixed interval. The others are in `peers`.
"""

from __future__ import annotations

import asyncio
import json
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import aiohttp

import happyhorse_async as hh
from figures import Outcomes
from limits import submits_unlimited
from loads import Job, Load

_MODEL = "happyhorse-1.1-t2v"
_SUBMIT = "/services/aigc/video-generation/video-synthesis"

Send: TypeAlias = Callable[[str, str, bytes | None], Awaitable[tuple[int, bytes]]]
"""Sends method, path and body, and returns status and body."""


class BenchmarkClient(Protocol):
    """A client that runs the jobs of a load."""

    @property
    def wire_format(self) -> str:
        """The wire format of the provider, by its name in `forms`."""

    async def __call__(self, base_url: str, load: Load, outcomes: Outcomes) -> Any: ...


class LostError(Exception):
    """The client has given up a job."""


async def run_jobs(load: Load, run_job: Callable[[Job], Awaitable[str]], outcomes: Outcomes) -> None:
    """Start every job at its time, and record its outcome. *run_job* returns the id of the task that has ended."""
    loop = asyncio.get_running_loop()

    async def one(job: Job) -> None:
        try:
            outcomes.end(await run_job(job), loop.time())
        except Exception as error:  # noqa: BLE001 - the job is lost, whatever the error
            outcomes.lose(error)

    outcomes.jobs = len(load.jobs)
    running: set[asyncio.Task[None]] = set()
    for job in load.jobs:
        if (delay := job.at - loop.time()) > 0:
            await asyncio.sleep(delay)
        task = asyncio.create_task(one(job))
        running.add(task)
        task.add_done_callback(running.discard)
    if running:
        _, left = await asyncio.wait(running, timeout=load.patience)
        for task in left:
            outcomes.lose("never noticed")
            task.cancel()


@dataclass(frozen=True)
class Calls:
    """The operations of an open client."""

    generate: Callable[[str], Awaitable[str]]
    """Makes a video from a prompt, waits for it, and returns the id of the task."""
    poll: Callable[[str], Awaitable[object]]
    """Queries a task by its id, once."""


class Caller(ABC):
    """A client that is opened once, and then called for each job."""

    wire_format = "dashscope"

    def prepare(self) -> None:  # noqa: B027 - most clients have nothing to prepare
        """Import large modules before the measurement."""

    @abstractmethod
    def open(self, base_url: str) -> AbstractAsyncContextManager[Calls]:
        """Open a client of the provider at *base_url*."""

    async def __call__(self, base_url: str, load: Load, outcomes: Outcomes) -> None:
        async with self.open(base_url) as calls:
            await run_jobs(load, lambda job: calls.generate(job.prompt), outcomes)


class Library(Caller):
    """This library, by default with the adapter's own limit on queries and none on submits."""

    def __init__(
        self,
        poll: hh.PollSchedule | None = None,
        limits: Callable[[], hh.Limits] = submits_unlimited,
        provider: str | hh.Adapter = "dashscope",
        **options: Any,
    ) -> None:
        self._provider = provider
        self.wire_format = provider if isinstance(provider, str) else provider.name
        self._poll = poll or hh.PollSchedule()
        self._limits = limits
        self._options = options

    @asynccontextmanager
    async def open(self, base_url: str) -> AsyncIterator[Calls]:
        async with hh.Client(
            self._provider, api_key="any", base_url=base_url, limits=self._limits(), poll=self._poll, **self._options
        ) as client:

            async def generate(prompt: str) -> str:
                request = hh.TextToVideo(prompt, resolution="720P", duration=5)
                return await self.make(client, request)

            async def poll(task_id: str) -> object:
                return await client.fetch(f"{self.wire_format}:{task_id}")

            yield Calls(generate, poll)

    async def make(self, client: hh.Client, request: hh.TextToVideo) -> str:
        """Generate the video, as a user would."""
        return (await (await client.submit(request))).id


@asynccontextmanager
async def over_sockets(base_url: str) -> AsyncIterator[Send]:
    """Send with nothing but aiohttp."""
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer any"}) as session:

        async def send(method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
            async with session.request(method, base_url + path, data=body) as response:
                return response.status, await response.read()

        yield send


class FixedInterval:
    """
    Polls every task at a fixed interval, one by one.

    :param per_second: the rate limit of polls, evenly spaced. With 19 of the 20 that the provider allows, hardly any is
        answered with 429.
    :param jitter: how far a poll is moved, as a share of the interval.
    :param max_concurrent_submits: how many submits are in flight at the same time, at most.
    """

    wire_format = "dashscope"

    def __init__(
        self,
        interval: float,
        *,
        per_second: float | None = 19,
        connect: Callable[[str], AbstractAsyncContextManager[Send]] = over_sockets,
        jitter: float = 0.0,
        max_concurrent_submits: int = 1000,
    ) -> None:
        self._max_concurrent_submits = max_concurrent_submits
        self._interval = interval
        self._gap = 1 / per_second if per_second else 0.0
        self._connect = connect
        self._jitter = jitter
        self._next = 0.0

    async def __call__(self, base_url: str, load: Load, outcomes: Outcomes) -> None:
        async with self._connect(base_url) as send:
            submits = asyncio.Semaphore(self._max_concurrent_submits)

            async def run_job(job: Job) -> str:
                request = {"model": _MODEL, "input": {"prompt": job.prompt}, "parameters": {}}
                async with submits:
                    _, body = await send("POST", _SUBMIT, json.dumps(request).encode())
                task_id = str(json.loads(body)["output"]["task_id"])
                while True:
                    await asyncio.sleep(self._interval * random.uniform(1 - self._jitter, 1 + self._jitter))
                    await self._wait_for_slot()
                    status, body = await send("GET", f"/tasks/{task_id}", None)
                    if status == 200 and json.loads(body)["output"]["task_status"] == "SUCCEEDED":
                        return task_id

            await run_jobs(load, run_job, outcomes)

    async def _wait_for_slot(self) -> None:
        if self._gap:
            now = asyncio.get_running_loop().time()
            begin = max(now, self._next)
            self._next = begin + self._gap
            await asyncio.sleep(begin - now)
