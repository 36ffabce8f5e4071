"""A job is found by what its owner has: its ref, its job id or its key; in any process, and also after its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import happyhorse_async as hh

if TYPE_CHECKING:
    from .conftest import Fifth, Gateway

REQUEST = hh.TextToVideo("a train at night")
SLOWLY = hh.PollSchedule(interval=3600)


async def test_a_job_is_found_by_ref_job_id_and_key(gateway: Gateway, fifth: Fifth) -> None:
    gateway.accept("t-1")
    async with fifth.open(poll=SLOWLY) as client:
        handle = await client.submit(REQUEST, key="order-1")
        found = [
            await client.job(handle.ref),
            await client.job(str(handle.ref)),
            await client.job(handle.job_id),
            await client.job(key="order-1"),
        ]

    assert {(handle.job_id, "order-1", hh.JobState.ACCEPTED, handle.ref, None)} == {
        (job.job_id, job.key, job.state, job.ref, job.error) for job in found
    }
    assert "fifth:t-1" == found[0].to_dict()["ref"] == found[0].to_dict()["task"]["ref"]


@pytest.mark.parametrize("store", ["memory"])
async def test_a_refused_job_keeps_its_error_after_a_restart(gateway: Gateway, fifth: Fifth, store: str) -> None:
    gateway.on("POST", "/videos", 400)
    kept = hh.MemoryStore()
    async with fifth.open(store=kept) as client:
        handle = await client.enqueue(REQUEST, key="order-1")
        with pytest.raises(hh.InvalidRequestError):
            await handle
    async with fifth.open(store=kept) as client:
        job = await client.job(handle.job_id)
        with pytest.raises(hh.InvalidRequestError):
            await client.fetch(handle.job_id)
        with pytest.raises(hh.InvalidRequestError):
            await client.resume_job(key="order-1")
        pending = await client.pending()

    assert hh.JobState.REFUSED is job.state
    assert isinstance(job.error, hh.InvalidRequestError)
    assert 400 == job.error.status_code
    assert "InvalidRequestError" == job.to_dict()["error"]["type"]
    assert [] == pending


async def test_a_failed_task_is_found_with_its_error(gateway: Gateway, fifth: Fifth) -> None:
    gateway.accept("t-1")
    gateway.show("t-1", {"id": "t-1", "status": "failed", "error": "too dull"})
    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        with pytest.raises(hh.TaskFailedError):
            await handle
        job = await client.job(handle.job_id)

    assert hh.JobState.FAILED is job.state
    assert isinstance(job.error, hh.TaskFailedError)
    assert job.ref == job.error.ref


async def test_a_written_off_job_is_found_with_its_error(gateway: Gateway, fifth: Fifth) -> None:
    gateway.on("POST", "/videos", b"")
    async with fifth.open() as client:
        with pytest.raises(hh.SubmitOutcomeUnknownError) as raised:
            await client.submit(REQUEST)
        assert raised.value.job_id is not None
        await client.resolve(raised.value.job_id, write_off=True)
        job = await client.job(raised.value.job_id)

    assert hh.JobState.WRITTEN_OFF is job.state
    assert isinstance(job.error, hh.SubmitOutcomeUnknownError)


@pytest.mark.parametrize("by", ["job_id", "key"])
async def test_a_job_is_resumed_in_another_client(gateway: Gateway, fifth: Fifth, by: str) -> None:
    gateway.accept("t-1")
    gateway.show("t-1", "running")
    store = hh.MemoryStore()
    async with fifth.open(store=store, poll=SLOWLY) as client:
        handle = await client.submit(REQUEST, key="order-1")
    gateway.show("t-1", "done")
    async with fifth.open(store=store) as client:
        resumed = client.resume_job(handle.job_id) if by == "job_id" else client.resume_job(key="order-1")
        task = await resumed

    assert hh.TaskStatus.SUCCEEDED is task.status
    assert (handle.job_id, handle.ref) == (resumed.job_id, resumed.ref)
    assert 1 == len(gateway.seen("POST"))


async def test_names_that_nobody_has(gateway: Gateway, fifth: Fifth) -> None:
    async with fifth.open() as client:
        for call in (client.job, client.fetch, client.cancel):
            with pytest.raises(hh.TaskNotFoundError):
                await call("hh-0")
            with pytest.raises(hh.TaskNotFoundError, match="neither a ref nor a job id"):
                await call("../etc/passwd")
            with pytest.raises(hh.TaskNotFoundError, match="neither a ref nor a job id"):
                await call("fifth:\ud800")
            with pytest.raises(hh.TaskNotFoundError, match="a text of 5003 characters is neither") as caught:
                await call("hh-" + 5000 * "x")
            assert 100 > len(str(caught.value))
        with pytest.raises(hh.TaskNotFoundError):
            await client.resume_job("hh-0")
        with pytest.raises(hh.TaskNotFoundError, match="no job with the key 'no such order'"):
            await client.resume_job(key="no such order")
        with pytest.raises(hh.ConfigurationError, match="fifth"):
            client.resume("main:t-1")

    assert [] == gateway.requests


async def test_a_job_that_waits_is_cancelled_by_its_id(gateway: Gateway, fifth: Fifth) -> None:
    gateway.accept("t-1")
    limits = hh.Limits(max_running=1)
    async with fifth.open(poll=SLOWLY, limits=limits) as client:
        await client.submit(REQUEST)
        handle = await client.enqueue(REQUEST)
        with pytest.raises(hh.TaskNotFoundError, match="no task yet"):
            await client.fetch(handle.job_id)
        assert await client.cancel(handle.job_id) is None
        with pytest.raises(hh.TaskCanceledError) as raised:
            await handle
        job = await client.job(handle.job_id)

    assert (None, None) == (raised.value.task, raised.value.ref)
    assert hh.JobState.WITHDRAWN is job.state
    assert 1 == len(gateway.seen("POST"))


async def test_a_job_that_waits_in_another_process_is_cancelled(gateway: Gateway, fifth: Fifth) -> None:
    gateway.accept("t-1")
    store, limits = hh.MemoryStore(), hh.Limits(max_running=1)
    async with fifth.client(store=store, poll=SLOWLY, limits=limits) as owner, fifth.client(store=store) as other:
        first = await owner.submit(REQUEST)
        handle = await owner.enqueue(hh.TextToVideo("another"))
        assert await other.cancel(handle.job_id) is None
        gateway.show("t-1", "done")
        await owner.fetch(first.ref)
        with pytest.raises(hh.TaskCanceledError):
            await asyncio.wait_for(handle.wait(), 5)

    assert 1 == len(gateway.seen("POST"))


@pytest.mark.parametrize("key", ["", 5, "\ud800"])
async def test_a_key_is_a_text_that_is_not_empty(gateway: Gateway, fifth: Fifth, key: str) -> None:
    async with fifth.open() as client:
        with pytest.raises(hh.InvalidRequestError, match="key must be"):
            await client.submit(REQUEST, key=key)

    assert [] == gateway.requests


async def test_what_is_not_a_request_is_refused_by_name(gateway: Gateway, fifth: Fifth) -> None:
    async with fifth.open() as client:
        with pytest.raises(hh.InvalidRequestError, match=r"TextToVideo.* not str"):
            await client.submit("a train")  # type: ignore[arg-type]

    assert [] == gateway.requests


async def test_a_cancelled_anext_loses_no_update(gateway: Gateway, fifth: Fifth) -> None:
    gateway.accept("t-1")
    gateway.show("t-1", "running", "done")
    async with fifth.open(poll=hh.PollSchedule(interval=0.05, jitter=0)) as client:
        handle = await client.submit(REQUEST)
        updates, seen = handle.updates(), list[hh.TaskStatus]()
        while not seen or not seen[-1].is_terminal:
            try:
                seen.append((await asyncio.wait_for(anext(updates), 0.01)).status)
            except TimeoutError:
                continue
        with pytest.raises(StopAsyncIteration):
            await anext(updates)

    assert [hh.TaskStatus.PENDING, hh.TaskStatus.RUNNING, hh.TaskStatus.SUCCEEDED] == seen


async def test_the_last_snapshot_is_repeated_after_a_quiet_time(gateway: Gateway, fifth: Fifth) -> None:
    gateway.accept("t-1")
    async with fifth.open(poll=SLOWLY) as client:
        handle = await client.submit(REQUEST)
        updates = handle.updates(repeat_after=0.01)
        first, second, third = [await anext(updates) for _ in range(3)]

    assert first is second is third


@pytest.mark.parametrize("status", [401, 403])
async def test_save_to_goes_on_after_an_error_that_ends_the_wait(
    gateway: Gateway, fifth: Fifth, status: int, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ends a caller's wait, the task is polled again to save its video."""
    monkeypatch.setattr(
        "happyhorse_async.jobs.auto_download._WAIT_AGAIN",
        hh.RetryPolicy(max_retries=9, initial_interval=0.01, max_interval=0.01),
    )
    video = b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\x09mdat\1" + b"\0\0\0\x08moov"
    gateway.accept("t-1")
    gateway.show("t-1", status, "done")
    gateway.on("GET", "/files/t-1.mp4", gateway.reply(video))
    async with fifth.open() as client:
        handle = await client.submit(REQUEST, save_to=f"{tmp_path}/v.mp4")
        with pytest.raises(hh.HappyHorseError):
            await handle
        async with asyncio.timeout(5):
            while await client.pending():
                await asyncio.sleep(0.01)
        job = await client.job(handle.job_id)

    assert hh.JobState.SUCCEEDED is job.state


async def test_an_end_without_a_video_in_the_answer_to_the_submit_is_confirmed_by_a_poll(
    gateway: Gateway, fifth: Fifth
) -> None:
    gateway.on("POST", "/videos", {"id": "t-1", "status": "done", "urls": []})
    gateway.show("t-1", "done")
    async with fifth.open(poll=SLOWLY) as client:
        task = await asyncio.wait_for(client.generate(REQUEST), 5)

    assert task.video_url is not None
    assert 1 == len(gateway.seen("GET"))
