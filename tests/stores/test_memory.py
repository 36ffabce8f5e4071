"""What the store in memory does in its own way."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve

from happyhorse_async.job import Job, JobState
from happyhorse_async.stores import MemoryStore
from happyhorse_async.task import TaskRef

NewJob = Callable[..., Job]


async def test_closed_jobs_are_forgotten(new_job: NewJob) -> None:
    """A closed job goes with its key and its task once its time is over, at the next write."""
    store = MemoryStore(keep_closed=0.0)
    job = await store.add(new_job(key="order-8472", state=JobState.ACCEPTED, task_id="1"))
    await store.change(evolve(job, state=JobState.CLOSED))
    again = await store.add(new_job(key="order-8472"))

    assert again == await store.by_key("order-8472")
    assert await store.get(job.job_id) is None
    assert await store.by_ref(TaskRef("main", "1")) is None


async def test_closed_jobs_are_kept_for_their_time(new_job: NewJob) -> None:
    """A closed job is there until its time is over, and for ever where there is no limit."""
    for keep in (3600.0, None):
        store = MemoryStore(keep_closed=keep)
        job = await store.add(new_job(key="order-8472", state=JobState.CLOSED))

        assert job == await store.add(new_job(key="order-8472"))


async def test_two_stores_are_two_owners() -> None:
    """A store in memory knows no other."""
    first, second = MemoryStore(), MemoryStore()

    assert await first.is_alive(first.owner)
    assert not await first.is_alive(second.owner)
