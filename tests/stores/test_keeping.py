"""What every store keeps of a job, and for how long; for each store of the registry in conftest.py."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from happyhorse_async.job import Job, JobError, JobState
from happyhorse_async.stores import TaskStore
from happyhorse_async.task import Task, TaskFailure, TaskRef, TaskStatus, Video

OpenStore = Callable[..., Awaitable[TaskStore]]
NewJob = Callable[..., Job]

NOW = datetime.now(UTC)
REF = TaskRef("main", "1")
REQUEST = {"mode": "t2v", "prompt": "a train at night"}
VIDEO = Video(url="https://cdn.example/a.mp4?signature=s3cr3t", expires_at=NOW + timedelta(hours=24))
SUCCEEDED = Task(ref=REF, status=TaskStatus.SUCCEEDED, videos=(VIDEO,), model="fifth-t2v-1.0", finished_at=NOW)
FAILED = Task(ref=REF, status=TaskStatus.FAILED, error=TaskFailure(code="E1", message="no"))


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.SUBMITTING, JobState.OUTCOME_UNKNOWN])
async def test_a_request_is_kept_until_its_outcome_is_known(
    open_store: OpenStore, new_job: NewJob, state: JobState
) -> None:
    """It may have to be sent again, with the same bytes."""
    store = await open_store()
    job = await store.add(new_job(request=REQUEST, body=b"{}"))
    job = evolve(job, state=state)
    await store.change(job)

    assert job == await store.get(job.job_id)


@pytest.mark.parametrize("state", [JobState.ACCEPTED, JobState.FAILED])
@pytest.mark.parametrize(("keep", "kept"), [(0.0, None), (3600.0, REQUEST), (None, REQUEST)])
async def test_the_body_goes_with_the_outcome_and_the_request_after_its_time(
    open_store: OpenStore, new_job: NewJob, state: JobState, keep: float | None, kept: dict[str, Any] | None
) -> None:
    """The time of the request is a setting of the store."""
    store = await open_store(keep_prompts=keep)
    job = await store.add(new_job(request=REQUEST, body=b"{}"))
    await store.change(evolve(job, state=state))

    assert evolve(job, state=state, body=None, request=kept) == await store.get(job.job_id)


@pytest.mark.parametrize("state", [JobState.ACCEPTED, JobState.FAILED])
async def test_writing_a_job_again_does_not_bring_its_request_back(
    open_store: OpenStore, new_job: NewJob, state: JobState
) -> None:
    """Nor does it prolong the time for which the request is kept."""
    store = await open_store(keep_prompts=0.02)
    job = await store.add(new_job(request=REQUEST, state=state))
    await asyncio.sleep(0.03)
    for owner in ("first", "second"):
        job = evolve(job, owner=owner)
        await store.change(job)

        assert evolve(job, request=None) == await store.get(job.job_id)


async def test_the_callback_url_is_kept_until_the_job_is_finished(open_store: OpenStore, new_job: NewJob) -> None:
    """It may hold a secret."""
    store = await open_store()
    job = await store.add(new_job(callback_url="https://app.example/hooks", state=JobState.ACCEPTED))

    assert job == await store.get(job.job_id)

    closed = evolve(job, state=JobState.CANCELED)
    await store.change(closed)

    assert evolve(closed, callback_url=None) == await store.get(job.job_id)


async def test_expired_urls_are_gone(open_store: OpenStore, new_job: NewJob) -> None:
    """The task comes back without videos, and otherwise complete."""
    store = await open_store()
    dead = evolve(SUCCEEDED, videos=(evolve(VIDEO, expires_at=NOW - timedelta(seconds=1)),))
    job = await store.add(new_job(state=JobState.SUCCEEDED, task_id=REF.id, task=dead))
    found = await store.get(job.job_id)

    assert evolve(job, task=evolve(dead, videos=())) == found


async def test_urls_without_a_stated_expiry_expire_a_day_after_the_end(open_store: OpenStore, new_job: NewJob) -> None:
    """Every known provider documents 24 hours."""
    store = await open_store()
    videos = (evolve(VIDEO, expires_at=None),)
    young = evolve(SUCCEEDED, videos=videos, finished_at=NOW - timedelta(hours=23))
    old = evolve(SUCCEEDED, videos=videos, finished_at=NOW - timedelta(hours=25))
    jobs = [await store.add(new_job(state=JobState.SUCCEEDED, task=task)) for task in (young, old)]
    found = [await store.get(job.job_id) for job in jobs]

    assert [videos, ()] == [job.task.videos for job in found if job and job.task]


async def test_the_raw_object_of_the_provider_is_not_kept(open_store: OpenStore, new_job: NewJob) -> None:
    """It may hold secrets."""
    store = await open_store()
    job = await store.add(new_job(state=JobState.ACCEPTED, task=evolve(FAILED, raw={"url": "https://x?signature=1"})))
    found = await store.get(job.job_id)

    assert found is not None
    assert found.task is not None
    assert {} == found.task.raw


async def test_signed_urls_in_error_messages_are_masked(open_store: OpenStore, new_job: NewJob) -> None:
    """A provider may quote the URL that it could not fetch."""
    store = await open_store()
    quote = "cannot fetch https://bucket.example/in.png?signature=s3cr3t"
    task = evolve(FAILED, error=TaskFailure(message=quote))
    job = await store.add(new_job(state=JobState.SUCCEEDED, error=JobError(type="X", message=quote), task=task))
    found = await store.get(job.job_id)

    assert found is not None
    assert found.error is not None
    assert found.task is not None
    assert found.task.error is not None
    assert "cannot fetch https://bucket.example/in.png?***" == found.error.message == found.task.error.message
