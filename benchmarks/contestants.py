"""
Those who are measured. Each carries the jobs of a load, as its users would let it, and says what it noticed and when.

The vendor's SDK is used as its own pages show it, with its own intervals. The fixed interval is a bare aiohttp loop.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
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


class Library:
    """This library, by default with the adapter's own budget of queries and no limit on submits."""

    def __init__(
        self, poll: hh.PollSchedule | None = None, limits: Callable[[], hh.Limits] = submits_unlimited
    ) -> None:
        self._poll = poll or hh.PollSchedule()
        self._limits = limits

    async def __call__(self, base_url: str, load: Load, notices: Notices) -> None:
        async with hh.Client(
            "dashscope", api_key="any", base_url=base_url, limits=self._limits(), poll=self._poll
        ) as client:

            async def carry(job: Job) -> str:
                request = hh.TextToVideo(job.prompt, resolution="720P", duration=5)
                return (await (await client.submit(request))).id

            await each(load, carry, notices)


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
    :param submits_at_once: how many submits are on their way together, at most.
    """

    def __init__(
        self,
        interval: float,
        *,
        per_second: float | None = 19,
        connect: Callable[[str], AbstractAsyncContextManager[Send]] = over_sockets,
        jitter: float = 0.0,
        submits_at_once: int = 1000,
    ) -> None:
        self._submits_at_once = submits_at_once
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


class _Vendor:
    def prepare(self) -> None:
        """Import what takes its time before the race begins."""
        import dashscope.aigc.video_synthesis  # noqa: F401, PLC0415


class VendorAsync(_Vendor):
    """The vendor's SDK, the class that its users know, with asyncio: `AioVideoSynthesis.call`."""

    async def __call__(self, base_url: str, load: Load, notices: Notices) -> None:
        import dashscope  # noqa: PLC0415 - takes longer than all the rest
        from dashscope.aigc.video_synthesis import AioVideoSynthesis  # noqa: PLC0415

        dashscope.base_http_api_url, dashscope.api_key = base_url, "any"

        async def carry(job: Job) -> str:
            return _result(await AioVideoSynthesis.call(model=_MODEL, prompt=job.prompt))

        await each(load, carry, notices)
        await dashscope.close_shared_aio_session()


class VendorThreads(_Vendor):
    """The same in its blocking form, with a thread for each job: `VideoSynthesis.call`."""

    async def __call__(self, base_url: str, load: Load, notices: Notices) -> None:
        import dashscope  # noqa: PLC0415
        from dashscope.aigc.video_synthesis import VideoSynthesis  # noqa: PLC0415

        dashscope.base_http_api_url, dashscope.api_key = base_url, "any"
        loop = asyncio.get_running_loop()

        with ThreadPoolExecutor(max_workers=max(1, len(load.jobs))) as threads:

            async def carry(job: Job) -> str:
                def call() -> Any:
                    return VideoSynthesis.call(model=_MODEL, prompt=job.prompt)

                return _result(await loop.run_in_executor(threads, call))

            await each(load, carry, notices)


class VendorClient(_Vendor):
    """The client of the vendor's SDK since version 2: `AsyncClient().videos.generate`."""

    async def __call__(self, base_url: str, load: Load, notices: Notices) -> None:
        import dashscope  # noqa: PLC0415

        async with dashscope.AsyncClient(base_url=base_url, api_key="any") as client:

            async def carry(job: Job) -> str:
                done = await client.videos.generate(model=_MODEL, prompt=job.prompt)
                if done.status != "SUCCEEDED":
                    raise LostError(f"ended as {done.status}")
                return str(done.task_id)

            await each(load, carry, notices)


def _result(response: Any) -> str:
    # It returns the refusal of a look as if it were the outcome of the job.
    if response.status_code != 200:
        raise LostError(f"{response.status_code} {response.code}")
    output: Mapping[str, str] = response.output
    if output["task_status"] != "SUCCEEDED":
        raise LostError(f"ended as {output['task_status']}")
    return output["task_id"]
