"""How much is asked, and how soon it is noticed: with every call delivered, and with every one lost."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import happyhorse_async as hh

SECRET = "the-canary-of-the-callbacks-0451"
URL = "https://app.example/hooks"
REQUEST = hh.TextToVideo("a train at night")
JOBS = 100


@pytest.fixture
def task_ids(gateway: Any) -> list[str]:
    """Let the provider take a hundred tasks, which are running for whoever looks."""
    names = [f"t-{number}" for number in range(JOBS)]
    gateway.accept(*names)
    gateway.on("GET", "/videos/*", lambda seen: {"id": seen.path.rpartition("/")[2], "status": "running"})
    return names


async def test_all_calls_are_delivered(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, task_ids: list[str]
) -> None:
    """A hundred jobs that are called about cost no look, and each is noticed within 100 ms of its call."""
    loop = asyncio.get_running_loop()
    async with fifth.open(signing, poll=hh.PollSchedule(interval=0.05)) as client:
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        handles = [await client.submit(REQUEST, callback_url=URL) for _ in task_ids]
        ends: dict[str, float] = {}

        async def wait(handle: hh.TaskHandle) -> None:
            ends[(await handle).id] = loop.time()

        waiting = [asyncio.create_task(wait(handle)) for handle in handles]
        delays: list[float] = []
        for task_id in reversed(task_ids):
            begun = loop.time()
            assert 200 == await hook.call(done(task_id))
            delays.append(ends[task_id] - begun)
        await asyncio.gather(*waiting)

    print(f"looks {len(gateway.seen('GET'))}, slowest notice {max(delays) * 1000:.1f} ms")
    assert len(gateway.seen("GET")) <= 0.2 * JOBS
    assert sorted(delays)[JOBS * 9 // 10] < 0.1


@pytest.mark.fault(53)
async def test_all_calls_are_lost(gateway: Any, fifth: Any, signing: Any, task_ids: list[str]) -> None:
    """A job whose call never comes is found by looking."""
    gateway.on("GET", "/videos/*", lambda seen: {**json.loads(DONE), "id": seen.path.rpartition("/")[2]})
    gateway.on("GET", "/videos", listed(task_ids))
    async with fifth.open(signing, poll=hh.PollSchedule(interval=0.05, reconcile=0.05)) as client:
        hh.CallbackReceiver(client, SECRET)
        handles = [await client.submit(REQUEST, callback_url=URL) for _ in task_ids]
        tasks = await asyncio.gather(*handles)

    assert {hh.TaskStatus.SUCCEEDED} == {task.status for task in tasks}


DONE = '{"status": "done", "urls": ["https://files.example/v.mp4?signature=s3cr3t"]}'


def listed(task_ids: list[str]) -> dict[str, Any]:
    """Answer a list, should anybody ask for one."""
    return {"tasks": [{**json.loads(DONE), "id": task_id} for task_id in task_ids]}


async def test_a_job_that_is_called_about_is_marked(gateway: Any, fifth: Any, signing: Any) -> None:
    """The journal knows whether the provider of a task was given a callback URL, also after a restart."""
    gateway.accept("t-1", "t-2")
    store = hh.MemoryStore()
    async with fifth.open(signing, store=store) as client:
        called = await client.submit(REQUEST, callback_url=URL)
        alone = await client.submit(REQUEST)
    jobs = [await store.get(handle.job_id) for handle in (called, alone)]

    assert [True, False] == [job is not None and job.callback_url is not None for job in jobs]
