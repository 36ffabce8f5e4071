"""
Those who are measured. Each carries the jobs of a load, as its users would let it, and says what it noticed and when.

Here are this library and the fixed interval, a bare aiohttp loop. The others are in `peers`.
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
from figures import Notices
from limits import submits_unlimited
from loads import Job, Load

_MODEL = "happyhorse-1.1-t2v"
_SUBMIT = "/services/aigc/video-generation/video-synthesis"

Send: TypeAlias = Callable[[str, str, bytes | None], Awaitable[tuple[int, bytes]]]
"""Sends method, path and body, and returns status and body."""


class Contestant(Protocol):
    """Whoever carries the jobs of a load to a provider."""

    @property
    def form(self) -> str:
        """The wire form of the provider, by its name in `forms`."""

    async def __call__(self, base_url: str, load: Load, notices: Notices) -> Any: ...


class LostError(Exception):
    """The contestant has given a job up."""


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
        _, left = await asyncio.wait(running, timeout=load.patience)
        for task in left:
            notices.lose("never noticed")
            task.cancel()


@dataclass(frozen=True)
class Calls:
    """What can be asked of an open client."""

    carry: Callable[[str], Awaitable[str]]
    """Makes a video from a prompt, waits for it, and returns the id of the task."""
    look: Callable[[str], Awaitable[object]]
    """Queries a task by its id, once."""


class Caller(ABC):
    """A contestant that is a client: it is opened, and then called for each job."""

    form = "dashscope"

    def prepare(self) -> None:  # noqa: B027 - most have nothing to prepare
        """Import what takes its time, before anything is measured."""

    @abstractmethod
    def open(self, base_url: str) -> AbstractAsyncContextManager[Calls]:
        """Open a client of the provider at *base_url*."""

    async def __call__(self, base_url: str, load: Load, notices: Notices) -> None:
        async with self.open(base_url) as calls:
            await each(load, lambda job: calls.carry(job.prompt), notices)


class Library(Caller):
    """This library, by default with the adapter's own budget of queries and no limit on submits."""

    def __init__(
        self,
        poll: hh.PollSchedule | None = None,
        limits: Callable[[], hh.Limits] = submits_unlimited,
        provider: str = "dashscope",
        **options: Any,
    ) -> None:
        self.form = provider
        self._poll = poll or hh.PollSchedule()
        self._limits = limits
        self._options = options

    @asynccontextmanager
    async def open(self, base_url: str) -> AsyncIterator[Calls]:
        async with hh.Client(
            self.form, api_key="any", base_url=base_url, limits=self._limits(), poll=self._poll, **self._options
        ) as client:

            async def carry(prompt: str) -> str:
                request = hh.TextToVideo(prompt, resolution="720P", duration=5)
                return await self.make(client, request)

            async def look(task_id: str) -> object:
                return await client.fetch(f"{self.form}:{task_id}")

            yield Calls(carry, look)

    async def make(self, client: hh.Client, request: hh.TextToVideo) -> str:
        """Have the video made, as its user would."""
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
    Looks at every task every so many seconds, one by one.

    :param per_second: how many looks there are at most, at an even pace. Of the 20 that the provider allows, 19 are
        hardly ever refused.
    :param jitter: how far a look is moved, as a share of the interval.
    :param max_concurrent_submits: how many submits are on their way together, at most.
    """

    form = "dashscope"

    def __init__(
        self,
        interval: float,
        *,
        per_second: float | None = 19,
        connect: Callable[[str], AbstractAsyncContextManager[Send]] = over_sockets,
        jitter: float = 0.0,
        max_concurrent_submits: int = 1000,
    ) -> None:
        self._submits_at_once = max_concurrent_submits
        self._interval = interval
        self._gap = 1 / per_second if per_second else 0.0
        self._connect = connect
        self._jitter = jitter
        self._next = 0.0

    async def __call__(self, base_url: str, load: Load, notices: Notices) -> None:
        async with self._connect(base_url) as send:
            submits = asyncio.Semaphore(self._submits_at_once)

            async def carry(job: Job) -> str:
                order = {"model": _MODEL, "input": {"prompt": job.prompt}, "parameters": {}}
                async with submits:
                    _, body = await send("POST", _SUBMIT, json.dumps(order).encode())
                task_id = str(json.loads(body)["output"]["task_id"])
                while True:
                    await asyncio.sleep(self._interval * random.uniform(1 - self._jitter, 1 + self._jitter))
                    await self._turn()
                    status, body = await send("GET", f"/tasks/{task_id}", None)
                    if status == 200 and json.loads(body)["output"]["task_status"] == "SUCCEEDED":
                        return task_id

            await each(load, carry, notices)

    async def _turn(self) -> None:
        if self._gap:
            now = asyncio.get_running_loop().time()
            begin = max(now, self._next)
            self._next = begin + self._gap
            await asyncio.sleep(begin - now)
