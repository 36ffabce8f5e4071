"""The thread of the store: what is written together, what waits for it, and when it ends."""

# ruff: noqa: ASYNC240 - the files of a test are small

from __future__ import annotations

import asyncio
import sqlite3
import struct
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest
from attrs import evolve

from happyhorse_async import stores
from happyhorse_async.errors import StoreError
from happyhorse_async.job import Job, JobState
from happyhorse_async.stores import SQLiteStore

NewJob = Callable[..., Job]
OpenFile = Callable[..., Awaitable[SQLiteStore]]


def commits(path: Path) -> int:
    """Count the transactions in the write-ahead log: https://www.sqlite.org/fileformat2.html#the_write_ahead_log"""
    log = path.with_name(f"{path.name}-wal").read_bytes()
    page_size, salt = struct.unpack(">I", log[8:12])[0], log[16:24]
    heads = [log[start : start + 24] for start in range(32, len(log), page_size + 24)]
    return sum(head[8:16] == salt and struct.unpack(">I", head[4:8])[0] > 0 for head in heads)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "happyhorse-store"]


async def all_threads_end() -> None:
    for thread in threads():
        await asyncio.to_thread(thread.join, 10)

    assert [] == threads()


async def test_simultaneous_writes_share_transactions(path: Path, open_file: OpenFile, new_job: NewJob) -> None:
    """So many jobs at once cost few flushes of the disk."""
    store = await open_file()
    await asyncio.gather(*(store.add(new_job()) for _ in range(300)))

    assert 1 <= commits(path) <= 10


async def test_each_write_is_on_the_disk_when_it_returns(path: Path, open_file: OpenFile, new_job: NewJob) -> None:
    """A single write has a transaction of its own, which is complete before the caller goes on."""
    store = await open_file()
    counted: list[int] = []
    for _ in range(5):
        await store.add(new_job())
        counted.append(commits(path))

    assert [1, 2, 3, 4, 5] == counted


async def test_a_cancelled_caller_does_not_undo_its_write(open_file: OpenFile, new_job: NewJob) -> None:
    """The write still happens, and the store can be used."""
    store = await open_file()
    job = new_job()
    adding = asyncio.create_task(store.add(job))
    await asyncio.sleep(0)
    adding.cancel()
    await asyncio.wait([adding])

    assert adding.cancelled()
    assert job == await store.get(job.job_id)


async def test_the_event_loop_is_not_blocked_while_another_process_writes(
    path: Path, open_file: OpenFile, new_job: NewJob
) -> None:
    """Writers wait for the lock meanwhile."""
    store = await open_file(busy_timeout=30.0)
    job = new_job()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        adding = asyncio.create_task(store.add(job))
        abandoned = asyncio.create_task(store.add(new_job(key="order-8472")))
        for _ in range(1000):
            await asyncio.sleep(0)
        abandoned.cancel()

        assert not adding.done()

        other.execute("COMMIT")

    assert job == await adding
    assert await store.by_key("order-8472") is not None


async def test_closing_completes_the_writes_that_were_requested_before(path: Path, new_job: NewJob) -> None:
    """Their callers get their results."""
    store = SQLiteStore(path)
    await store.open()
    adding = [asyncio.create_task(store.add(new_job())) for _ in range(1000)]
    await asyncio.sleep(0)
    await store.aclose()
    added = await asyncio.gather(*adding)
    await store.open()

    assert added == await store.unfinished("main")

    await store.aclose()
    await all_threads_end()


async def test_using_a_store_that_is_not_open_is_an_error(path: Path, new_job: NewJob) -> None:
    """Closing it again is harmless."""
    store = SQLiteStore(path)
    await store.aclose()
    with pytest.raises(RuntimeError, match="not open"):
        await store.add(new_job())
    with pytest.raises(RuntimeError, match="not open"):
        _ = store.owner
    await store.open()
    await store.aclose()
    with pytest.raises(RuntimeError, match="not open"):
        await store.get("x")


@pytest.mark.fault(79)
async def test_using_a_store_on_another_event_loop_is_an_error(open_file: OpenFile) -> None:
    """Every method says so, and the store still works on its own event loop."""
    store = await open_file()

    def elsewhere() -> None:
        async def use() -> None:
            for call in (store.get("x"), store.open(), store.aclose(), store.is_alive("x")):
                with pytest.raises(RuntimeError, match="another event loop"):
                    await call

        asyncio.run(use())

    await asyncio.to_thread(elsewhere)

    assert await store.get("x") is None


@pytest.mark.fault(79)
def test_a_store_can_be_used_on_one_event_loop_after_another(path: Path, new_job: NewJob) -> None:
    """It is closed in between."""
    store = SQLiteStore(path)
    job = new_job()

    async def add() -> Job:
        await store.open()
        try:
            return await store.add(job)
        finally:
            await store.aclose()

    assert job == asyncio.run(add()) == asyncio.run(add())


async def test_simultaneous_openings_raise_separate_errors(path: Path) -> None:
    """A later opening may succeed."""
    path.write_text("my shopping list")
    store = SQLiteStore(path)
    failures = await asyncio.gather(store.open(), store.open(), return_exceptions=True)

    assert [StoreError, StoreError] == [type(failure) for failure in failures]
    assert failures[0] is not failures[1]

    await all_threads_end()
    path.unlink()
    await store.open()
    await store.aclose()


async def test_a_cancelled_opening_leaves_nothing_open(path: Path, new_job: NewJob) -> None:
    """Other callers that wait for the same opening are not affected."""
    store = SQLiteStore(path)
    alone = asyncio.create_task(store.open())
    await asyncio.sleep(0)
    alone.cancel()
    await asyncio.wait([alone])
    await all_threads_end()

    assert alone.cancelled()
    assert ["jobs.sqlite"] == [entry.name for entry in path.parent.iterdir()]

    both = [asyncio.create_task(store.open()) for _ in range(2)]
    await asyncio.sleep(0)
    both[0].cancel()
    await both[1]

    assert both[0].cancelled()
    assert await store.add(new_job())

    await store.aclose()


async def test_many_stores_can_create_the_same_file_at_once(path: Path, new_job: NewJob) -> None:
    """All of them use it afterwards."""
    stores = [SQLiteStore(path) for _ in range(8)]
    await asyncio.gather(*(store.open() for store in stores))
    jobs = [await store.add(new_job()) for store in stores]

    assert jobs == await stores[0].unfinished("main")
    assert 8 == len({store.owner for store in stores})

    await asyncio.gather(*(store.aclose() for store in stores))

    assert [] == list(path.parent.glob("*-owner-*"))


async def test_opening_waits_for_another_process_that_creates_the_file(path: Path, new_job: NewJob) -> None:
    """It goes on when the other process has finished."""
    store = SQLiteStore(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        opening = asyncio.create_task(store.open())
        await asyncio.wait([opening], timeout=0.2)

        assert not opening.done()

        other.execute("COMMIT")

    await opening

    assert await store.add(new_job())

    await store.aclose()


async def test_two_stores_of_one_process_share_a_file(open_file: OpenFile, new_job: NewJob) -> None:
    """The conditions of their changes are checked as between processes."""
    first, second = await open_file(), await open_file()
    job = await first.add(new_job(key="order-8472"))
    taken = evolve(job, state=JobState.SUBMITTING, owner=second.owner)

    assert job == await second.add(new_job(key="order-8472"))
    assert await second.change(taken, only_from={JobState.QUEUED})
    assert not await first.change(evolve(taken, owner=first.owner), only_from={JobState.QUEUED})
    assert await first.is_alive(second.owner)


@pytest.mark.fault(80)
@pytest.mark.filterwarnings("default::ResourceWarning")
async def test_a_store_that_is_dropped_while_open_warns(path: Path) -> None:
    """Its thread ends."""
    store = SQLiteStore(path)
    await store.open()
    forget = [store]
    del store
    with pytest.warns(ResourceWarning, match="never closed"):
        forget.clear()
    await all_threads_end()


def test_the_module_has_no_names_but_its_own() -> None:
    """SQLiteStore is imported on first access; other names are errors."""
    assert SQLiteStore is stores.SQLiteStore
    with pytest.raises(AttributeError, match="no attribute 'RedisStore'"):
        _ = stores.RedisStore
