"""The contract `TaskStore` for the states of a job: which jobs are unfinished, and which hold their keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from happyhorse_async.job import Job, JobError, JobState
from happyhorse_async.stores import TaskStore
from happyhorse_async.task import TaskRef

OpenStore = Callable[..., Awaitable[TaskStore]]
NewJob = Callable[..., Job]

NOW = datetime.now(UTC)
REF = TaskRef("main", "0385:dc79")


async def test_jobs_that_have_not_ended_are_unfinished_in_the_order_they_were_added(
    open_store: OpenStore, new_job: NewJob
) -> None:
    """The jobs of other providers are left out, and the clocks of the processes do not matter."""
    store = await open_store()
    jobs = [new_job(state=state, created_at=NOW - timedelta(hours=hours)) for hours, state in enumerate(JobState)]
    for job in jobs:
        await store.add(job)
    await store.add(new_job(provider="backup"))
    await store.change(evolve(jobs[0], owner="written again"))
    found = await store.unfinished("main")

    assert ["QUEUED", "SUBMITTING", "ACCEPTED", "OUTCOME_UNKNOWN"] == [job.state for job in found]


GAVE_UP = JobError(type="DownloadError", message="the URL has expired")


@pytest.mark.parametrize(
    ("fields", "unfinished"),
    [
        ({"state": JobState.SUCCEEDED}, False),
        ({"state": JobState.SUCCEEDED, "save_to": "/videos"}, True),
        ({"state": JobState.SUCCEEDED, "save_to": "/videos", "saved_to": "/videos/a.mp4"}, False),
        ({"state": JobState.SUCCEEDED, "save_to": "/videos", "error": GAVE_UP}, False),
        ({"state": JobState.FAILED, "save_to": "/videos"}, False),
        ({"state": JobState.WITHDRAWN, "save_to": "/videos"}, False),
    ],
)
async def test_a_success_is_unfinished_until_its_video_is_saved(
    open_store: OpenStore, new_job: NewJob, fields: dict[str, Any], unfinished: bool
) -> None:
    """Saving that was given up has an error, and is finished. A job without a video has nothing to save."""
    store = await open_store()
    job = await store.add(new_job())
    changed = await store.change(evolve(job, **fields))

    assert ([changed] if unfinished else []) == await store.unfinished("main")


async def test_an_ended_job_that_is_open_again_is_unfinished(open_store: OpenStore, new_job: NewJob) -> None:
    """A task that was EXPIRED may reappear at its provider."""
    store = await open_store()
    job = await store.add(new_job(state=JobState.EXPIRED, task_id=REF.id))
    again = await store.change(evolve(job, state=JobState.ACCEPTED))

    assert [again] == await store.unfinished("main")


RELEASES_KEY = [JobState.REFUSED, JobState.WITHDRAWN, JobState.WRITTEN_OFF]


@pytest.mark.parametrize("state", RELEASES_KEY)
async def test_a_job_without_a_task_releases_its_key_and_is_still_found(
    open_store: OpenStore, new_job: NewJob, state: JobState
) -> None:
    """It is found by its key until a new job has the key, and always by its id."""
    store = await open_store()
    first = await store.add(new_job(key="order-8472"))
    error = JobError(type="ContentRejectedError", message="no")
    first = await store.change(evolve(first, state=state, error=error))

    assert first is not None
    assert "order-8472" == first.key
    assert first == await store.by_key("order-8472")

    second = new_job(key="order-8472")

    assert second == await store.add(second)
    assert second == await store.by_key("order-8472")
    assert first == await store.get(first.job_id)


@pytest.mark.parametrize("state", [state for state in JobState if state not in RELEASES_KEY])
async def test_every_other_job_holds_its_key(open_store: OpenStore, new_job: NewJob, state: JobState) -> None:
    """A key whose task was paid, or may have been, is not paid again."""
    store = await open_store()
    job = await store.add(new_job(key="order-8472"))
    job = await store.change(evolve(job, state=state))

    assert job == await store.add(new_job(key="order-8472"))


async def test_a_released_key_leads_to_the_newest_job(open_store: OpenStore, new_job: NewJob) -> None:
    """Writing an older job again does not change that."""
    store = await open_store()
    jobs = [await store.add(new_job(key="order-8472", state=JobState.REFUSED)) for _ in range(3)]
    for job in jobs:
        await store.change(evolve(job, owner="written again"))

    assert evolve(jobs[2], owner="written again") == await store.by_key("order-8472")


async def test_a_released_job_that_turns_out_to_have_a_task_is_written(open_store: OpenStore, new_job: NewJob) -> None:
    """A late callback must not be lost because a newer job has the key."""
    store = await open_store()
    first = await store.add(new_job(key="order-8472", state=JobState.REFUSED))
    second = await store.add(new_job(key="order-8472"))
    accepted = evolve(first, state=JobState.ACCEPTED, task_id=REF.id)

    assert accepted == await store.change(accepted)
    assert accepted == await store.by_ref(REF)
    assert second == await store.by_key("order-8472") == await store.add(new_job(key="order-8472"))


async def test_a_released_job_that_turns_out_to_have_a_task_holds_its_key_again(
    open_store: OpenStore, new_job: NewJob
) -> None:
    """Where no newer job has the key, it is taken from then on."""
    store = await open_store()
    first = await store.add(new_job(key="order-8472", state=JobState.REFUSED))
    accepted = await store.change(evolve(first, state=JobState.ACCEPTED, task_id=REF.id))

    assert accepted == await store.add(new_job(key="order-8472"))
