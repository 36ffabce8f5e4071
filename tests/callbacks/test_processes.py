"""Two processes with one store: the call reaches one of them, and the other waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh

SECRET = "the-canary-of-the-callbacks-0451"
URL = "https://app.example/hooks"
REQUEST = hh.TextToVideo("a train at night")


@pytest.mark.fault(47)
async def test_the_waiter_is_elsewhere(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, path: Path
) -> None:
    """A call is written down where it arrives, and the waiter in the other process has the end at its next look."""
    gateway.accept("t-1")
    gateway.show("t-1", "running")
    often = hh.PollSchedule(interval=0.02, reconcile=0.02)
    store, other_store = hh.SQLiteStore(path), hh.SQLiteStore(path)
    async with (
        fifth.client(signing, store=store, poll=often) as here,
        fifth.client(signing, store=other_store) as there,
    ):
        handle = await here.submit(REQUEST, callback_url=URL)
        waiting = asyncio.create_task(handle.wait())
        hook = await serve(hh.CallbackReceiver(there, SECRET))
        status = await hook.call(done("t-1"))
        job = await other_store.get(handle.job_id)
        gateway.show("t-1", "done")
        task = await waiting

    assert (200, hh.JobState.SUCCEEDED) == (status, job.state)
    assert hh.TaskStatus.SUCCEEDED is task.status


@pytest.mark.fault(46)
async def test_the_submit_is_elsewhere(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, path: Path, query_of: Callable[[Any], str]
) -> None:
    """A call that overtakes the answer to the submit of another process tells that one, through the store, the end."""
    answered = asyncio.Event()
    gateway.on("POST", "/videos", gateway.reply({"id": "t-1", "status": "queued"}, after=answered))
    store, other_store = hh.SQLiteStore(path), hh.SQLiteStore(path)
    async with fifth.client(signing, store=store) as here, fifth.client(signing, store=other_store) as there:
        submitting = asyncio.create_task(here.submit(REQUEST, callback_url=URL))
        await gateway.until(1, "POST")
        hook = await serve(hh.CallbackReceiver(there, SECRET))
        status = await hook.call(done("t-1"), query=query_of(gateway.seen("POST")[0]))
        answered.set()
        handle = await submitting
        task = await handle
        job = await store.get(handle.job_id)

    assert (200, hh.TaskStatus.SUCCEEDED, hh.JobState.SUCCEEDED) == (status, task.status, job.state)
    assert [] == gateway.seen("GET")


@pytest.mark.fault(46)
async def test_the_submit_that_is_sent_again_is_elsewhere(
    gateway: Any, fifth: Any, serve: Any, done: Any, path: Path, query_of: Callable[[Any], str]
) -> None:
    """A submit whose answer was lost is not sent again once a callback has told another process of its task."""
    adapter = fifth.adapter(idempotent=True, signed=True)
    lost = asyncio.Event()
    gateway.on("POST", "/videos", gateway.raw(b"", then="reset", after=lost))
    store, other_store = hh.SQLiteStore(path), hh.SQLiteStore(path)
    slowly = hh.PollSchedule(interval=3600)
    async with (
        fifth.client(adapter, store=store, poll=slowly) as here,
        fifth.client(adapter, store=other_store, poll=slowly) as there,
    ):
        submitting = asyncio.create_task(here.submit(REQUEST, callback_url=URL))
        await gateway.until(1, "POST")
        hook = await serve(hh.CallbackReceiver(there, SECRET))
        await hook.call(done("t-1"), query=query_of(gateway.seen("POST")[0]))
        lost.set()
        task = await (await submitting)

    assert ("fifth:t-1", hh.TaskStatus.SUCCEEDED) == (str(task.ref), task.status)
    assert 1 == len(gateway.seen("POST"))


@pytest.mark.fault(48)
async def test_another_place(gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, path: Path) -> None:
    """A task that was submitted to the provider at another address is not the one that the call is about."""
    gateway.accept("t-1")
    async with fifth.client(signing, store=hh.SQLiteStore(path), base_url=f"{gateway.url}/") as here:
        handle = await here.submit(REQUEST, callback_url=URL)
    elsewhere = fifth.client(signing, store=hh.SQLiteStore(path), base_url="http://127.0.0.1:9")
    async with elsewhere:
        hook = await serve(hh.CallbackReceiver(elsewhere, SECRET))
        status = await hook.call(done("t-1"))
    store = hh.SQLiteStore(path)
    await store.open()
    job = await store.get(handle.job_id)
    await store.aclose()

    assert (200, hh.JobState.ACCEPTED) == (status, job.state)


async def test_several_calls_in_several_processes(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, path: Path
) -> None:
    """The same call in both processes at the same moment is one end, and the first stays."""
    gateway.accept("t-1")
    store, other_store = hh.SQLiteStore(path), hh.SQLiteStore(path)
    async with fifth.client(signing, store=store) as here, fifth.client(signing, store=other_store) as there:
        handle = await here.submit(REQUEST, callback_url=URL)
        hooks = [await serve(hh.CallbackReceiver(client, SECRET)) for client in (here, there)]
        statuses = await asyncio.gather(*(hook.call(done("t-1")) for hook in hooks * 10))
        late = await hooks[1].call({"id": "t-1", "status": "failed"})
        job = await store.get(handle.job_id)

    assert ({200}, 200) == (set(statuses), late)
    assert hh.TaskStatus.SUCCEEDED is job.task.status


@pytest.mark.fault(47)
@pytest.mark.parametrize("journal", ["sqlite", "postgres"])
async def test_a_call_at_a_process_that_does_not_work_wakes_the_waiters_of_others(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, path: Path, request: Any, journal: str
) -> None:
    """One process submits, one receives the call, and one waits. None polls, and all have the end."""
    gateway.accept("t-1")
    slowly = hh.PollSchedule(interval=3600)
    if journal == "sqlite":
        stores: list[hh.TaskStore] = [hh.SQLiteStore(path) for _ in range(3)]
    else:
        url, schema = request.getfixturevalue("postgres_server").url, f"callbacks_{time.monotonic_ns()}"
        stores = [hh.PostgresStore(url, schema=schema) for _ in range(3)]
    async with (
        fifth.client(signing, store=stores[0], poll=slowly) as worker,
        fifth.client(signing, store=stores[1], poll=slowly, work=False) as web,
        fifth.client(signing, store=stores[2], poll=slowly, work=False) as other,
    ):
        handle = await worker.submit(REQUEST, callback_url=URL)
        waiting = asyncio.create_task(other.resume_job(handle.job_id).wait(timeout=150))
        hook = await serve(hh.CallbackReceiver(web, SECRET))
        status = await hook.call(done("t-1"))
        tasks = await asyncio.gather(waiting, handle.wait(timeout=150))

    assert 200 == status
    assert [hh.TaskStatus.SUCCEEDED] * 2 == [task.status for task in tasks]
    assert [] == gateway.seen("GET")
