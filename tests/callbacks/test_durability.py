"""A call is only answered well once what it said is in the store; where that cannot be, the provider calls again."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh

SECRET = "the-canary-of-the-callbacks-0451"
URL = "https://app.example/hooks"
REQUEST = hh.TextToVideo("a train at night")


class SlowStore(hh.MemoryStore):
    """A store that writes down an end when it is let, and fails to when it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.may_write = asyncio.Event()
        self.fails = False

    async def change(self, job: hh.Job, **conditions: Any) -> bool:
        if job.state is hh.JobState.SUCCEEDED:
            await self.may_write.wait()
            if self.fails:
                raise hh.StoreError("the disk is full")
        return await super().change(job, **conditions)


async def test_a_call_is_answered_when_it_is_written_down(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any
) -> None:
    """While the store is busy with the end of a task, neither the call nor the same one again is answered."""
    gateway.accept("t-1")
    store = SlowStore()
    async with fifth.open(signing, store=store) as client:
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        handle = await client.submit(REQUEST, callback_url=URL)
        calls = [asyncio.create_task(hook.call(done("t-1"))) for _ in range(2)]
        await handle
        answered, _ = await asyncio.wait(calls, timeout=0.05)
        store.may_write.set()
        statuses = await asyncio.gather(*calls)
        job = await store.get(handle.job_id)

    assert (set(), [200, 200]) == (answered, statuses)
    assert hh.JobState.SUCCEEDED is job.state


async def test_a_store_that_fails(gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any) -> None:
    """Where the store fails the call is answered with a 503, also the same one again; the waiter has its video."""
    gateway.accept("t-1")
    store = SlowStore()
    store.may_write.set()
    store.fails = True
    async with fifth.open(signing, store=store) as client:
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        handle = await client.submit(REQUEST, callback_url=URL)
        failed = [await hook.call(done("t-1")) for _ in range(2)]
        task = await handle
        store.fails = False

    assert ([503, 503], hh.TaskStatus.SUCCEEDED) == (failed, task.status)
    assert hh.JobState.SUCCEEDED is (await store.get(handle.job_id)).state


async def test_a_store_that_cannot_be_asked(gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any) -> None:
    """Where the store cannot say whose task it is, the call is answered with a 503."""

    class Deaf(hh.MemoryStore):
        async def by_ref(self, ref: hh.TaskRef) -> hh.Job | None:
            raise hh.StoreError("the disk is gone")

    async with fifth.open(signing, store=Deaf()) as client:
        hook = await serve(hh.CallbackReceiver(client, SECRET))

        assert 503 == await hook.call(done("t-1"))


async def test_what_was_said_is_on_the_disk(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, path: Path
) -> None:
    """When a call is answered, the end stands in the file for everybody to read."""
    gateway.accept("t-1")
    async with fifth.open(signing, store=hh.SQLiteStore(path)) as client:
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        await client.submit(REQUEST, callback_url=URL)
        await hook.call(done("t-1"))

        assert [("SUCCEEDED", "t-1")] == rows(path)


async def test_an_early_call_is_on_the_disk(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, path: Path, query_of: Callable[[Any], str]
) -> None:
    """A call that overtakes the answer is on the disk when it is answered, and the answer does not undo it."""
    answered = asyncio.Event()
    gateway.on("POST", "/videos", gateway.reply({"id": "t-1", "status": "queued"}, after=answered))
    async with fifth.open(signing, store=hh.SQLiteStore(path)) as client:
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        submitting = asyncio.create_task(client.submit(REQUEST, callback_url=URL))
        await gateway.until(1, "POST")
        await hook.call(done("t-1"), query=query_of(gateway.seen("POST")[0]))
        before = rows(path)
        answered.set()
        await submitting

    assert [("SUCCEEDED", "t-1")] == before == rows(path)


async def test_a_closed_client(fifth: Any, signing: Any, serve: Any, done: Any) -> None:
    """A call that comes while the client is not open is answered with a 503, and taken in when it comes again."""
    client = fifth.client(signing)
    hook = await serve(hh.CallbackReceiver(client, SECRET))
    before = await hook.call(done("t-1"))
    async with client:
        during = await hook.call(done("t-1"))
    after = await hook.call(done("t-1"))

    assert (503, 200, 503) == (before, during, after)


async def test_a_fault_of_ours(fifth: Any, serve: Any, done: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An adapter that cannot verify a call is our fault: it is answered with a 500, and the log says why."""

    def stumble(*_: object) -> None:
        raise ZeroDivisionError("a mistake of ours")

    async with fifth.open(fifth.adapter(signed=True, verify_callback=stumble)) as client:
        hook = await serve(hh.CallbackReceiver(client, SECRET))

        assert 500 == await hook.call(done("t-1"))
    assert "a mistake of ours" in caplog.text


async def test_a_call_after_a_restart(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, path: Path
) -> None:
    """A call about a task that an earlier process has submitted is written down, and whoever resumes it has it."""
    gateway.accept("t-1")
    async with fifth.open(signing, store=hh.SQLiteStore(path)) as client:
        await client.submit(REQUEST, callback_url=URL)
    async with fifth.open(signing, store=hh.SQLiteStore(path)) as client:
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        status = await hook.call(done("t-1"))
        task = await client.resume("fifth:t-1")

    assert (200, hh.TaskStatus.SUCCEEDED) == (status, task.status)
    assert [] == gateway.seen("GET")


def rows(path: Path) -> list[tuple[str, str]]:
    """Read the journal as somebody else would."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT state, task_id FROM jobs ORDER BY number").fetchall()
    finally:
        connection.close()
