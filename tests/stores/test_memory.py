"""What is different about the store in memory."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve

from happyhorse_async.job import Job, JobState
from happyhorse_async.stores import MemoryStore
from happyhorse_async.task import TaskRef

NewJob = Callable[..., Job]


async def test_finished_jobs_are_deleted_after_their_time(new_job: NewJob) -> None:
    """They are deleted with their key and their ref at the next write."""
    store = MemoryStore(keep_closed=0.0)
    job = await store.add(new_job(key="order-8472", state=JobState.ACCEPTED, task_id="1"))
    await store.change(evolve(job, state=JobState.SUCCEEDED))
    again = await store.add(new_job(key="order-8472"))

    assert again == await store.by_key("order-8472")
    assert await store.get(job.job_id) is None
    assert await store.by_ref(TaskRef("main", "1")) is None


async def test_finished_jobs_are_kept_for_their_time(new_job: NewJob) -> None:
    """Without a limit they are kept for ever."""
    for keep in (3600.0, None):
        store = MemoryStore(keep_closed=keep)
        job = await store.add(new_job(key="order-8472", state=JobState.SUCCEEDED))

        assert job == await store.add(new_job(key="order-8472"))


async def test_each_store_is_an_owner_of_its_own() -> None:
    """A store in memory does not know about other stores."""
    first, second = MemoryStore(), MemoryStore()

    assert await first.is_alive(first.owner)
    assert not await first.is_alive(second.owner)
