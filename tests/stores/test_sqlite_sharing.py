"""Several stores with the same file: each wakes the others, none takes what another has, and the pace is one."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

import pytest
from attrs import evolve

from happyhorse_async.job import Endpoint, Job, JobState
from happyhorse_async.stores import SQLiteStore

NewJob = Callable[..., Job]
OpenFile = Callable[..., Awaitable[SQLiteStore]]
Start = Callable[..., Awaitable[asyncio.subprocess.Process]]

MAIN = Endpoint(provider="main", adapter="fifth", base_url="https://fifth.example")

# Adds jobs, prints a line, and waits to be killed.
OWN_JOBS = """
async def main():
    store = SQLiteStore(sys.argv[1])
    await store.open()
    for number in range(20):
        await store.add(new_job(f"job-{number}", owner=store.owner))
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def told_of(job: Job, told: list[Collection[str] | None]) -> None:
    async with asyncio.timeout(20):
        while not any(each is None or job.job_id in each for each in told):
            await asyncio.sleep(0.01)
    told.clear()


async def test_a_change_by_another_store_wakes_a_subscriber(open_file: OpenFile, new_job: NewJob) -> None:
    """Its ids are told, not only that there was a change."""
    store, other = await open_file(), await open_file()
    told: list[Collection[str] | None] = []
    unsubscribe = store.subscribe(told.append)
    job = await other.add(new_job())
    await told_of(job, told)
    await other.change(evolve(job, state=JobState.SUBMITTING))
    async with asyncio.timeout(20):
        while {job.job_id} not in [each if each is None else set(each) for each in told]:
            await asyncio.sleep(0.01)

    unsubscribe()


async def test_a_store_takes_over_nothing_from_a_living_one(path: Path, open_file: OpenFile, new_job: NewJob) -> None:
    """As soon as the other has closed the file, everything is free."""
    store, other = await open_file(), SQLiteStore(path)
    await other.open()
    job = await other.add(new_job(owner=other.owner))
    endpoints = [job.endpoint]

    assert [] == await store.take_over(endpoints, [JobState.QUEUED], 10)

    await other.aclose()

    assert [evolve(job, owner=store.owner)] == await store.take_over(endpoints, [JobState.QUEUED], 10)


async def test_survivors_share_the_jobs_of_a_killed_process(path: Path, start: Start, open_file: OpenFile) -> None:
    """None of them gets the same job."""
    process = await start(OWN_JOBS, path)
    assert process.stdout is not None
    assert b"ready\n" == await process.stdout.readline()
    stores = [await open_file() for _ in range(3)]

    assert [] == await stores[0].take_over([MAIN], [JobState.QUEUED], 10)

    process.kill()
    await process.wait()
    batches = await asyncio.gather(*(store.take_over([MAIN], [JobState.QUEUED], 8) for store in stores))

    assert 20 == len({job.job_id for batch in batches for job in batch}) == sum(map(len, batches))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGSTOP")
async def test_a_stopped_process_is_alive(path: Path, start: Start, open_file: OpenFile) -> None:
    """It is only slow, and goes on with its jobs later."""
    process = await start(OWN_JOBS, path)
    assert process.stdout is not None
    assert b"ready\n" == await process.stdout.readline()
    os.kill(process.pid, signal.SIGSTOP)
    store = await open_file()

    assert [] == await store.take_over([MAIN], [JobState.QUEUED], 10)

    os.kill(process.pid, signal.SIGCONT)


async def test_stores_share_one_pace(open_file: OpenFile) -> None:
    """A permit of one delays the next permit of the other, and so does a refusal."""
    store, other = await open_file(), await open_file()

    assert 0.0 == await store.pace("main/submits", 5.0)
    assert 3.0 < await other.pace("main/submits", 5.0) <= 5.0

    await other.hold_back("main/submits", pause=20.0)

    assert 18.0 < await store.pace("main/submits", 5.0) <= 20.0
