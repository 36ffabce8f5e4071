"""What is in the journal at which moment: before the request leaves, when its answer is told, and at the end."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh
from happyhorse_async.job import JobState

from ..waiting import until

pytestmark = pytest.mark.usefixtures("no_chance")

REQUEST = hh.TextToVideo("a train at night")
SLOWLY = hh.PollSchedule(interval=3600)

Rows = Callable[[], list[dict[str, Any]]]


@pytest.mark.fault(75)
@pytest.mark.parametrize("asked", ["submit", "enqueue"])
async def test_the_intent_is_on_the_disk_before_the_request(
    gateway: Any, fifth: Any, path: Path, rows: Rows, asked: str
) -> None:
    """When the provider reads the request, any process can read in the file that it was about to be sent."""
    seen: list[dict[str, Any]] = []

    def take(_: object) -> dict[str, str]:
        seen.extend(rows())
        return {"id": "t-1", "status": "queued"}

    gateway.on("POST", "/videos", take)
    async with fifth.open(store=hh.SQLiteStore(path), poll=SLOWLY) as client:
        handle = await getattr(client, asked)(REQUEST, key="order-1")
        await gateway.until(1, "POST")

    [row] = seen
    assert (handle.job_id, "order-1", "SUBMITTING", None) == (row["job_id"], row["key"], row["state"], row["task_id"])
    assert gateway.requests[0].body == row["body"]
    assert gateway.url == row["base_url"]


async def test_the_id_is_on_the_disk_before_the_caller_has_it(gateway: Any, fifth: Any, path: Path, rows: Rows) -> None:
    """When `submit` returns, the task's id is in the file, and the bytes that were sent are not."""
    gateway.accept("t-1")

    async with fifth.open(store=hh.SQLiteStore(path), poll=SLOWLY) as client:
        handle = await client.submit(REQUEST)
        [row] = rows()

    assert ("ACCEPTED", "t-1", handle.job_id) == (row["state"], row["task_id"], row["job_id"])
    assert (None, None) == (row["body"], row["request"])


async def test_a_task_has_the_process_that_polls_it_as_its_owner(
    gateway: Any, fifth: Any, path: Path, rows: Rows
) -> None:
    """Until it is closed: then the task is left to the others."""
    gateway.accept("t-1")
    store = hh.SQLiteStore(path)

    async with fifth.open(store=store, poll=SLOWLY) as client:
        await client.submit(REQUEST)
        [polled] = rows()
        owner = store.owner
    [left] = rows()

    assert (owner, "") == (polled["owner"], left["owner"])


async def test_a_request_is_not_held_for_as_long_as_its_task_takes(
    gateway: Any, fifth: Any, store: hh.TaskStore
) -> None:
    """What is sent may hold whole images, and thousands may be in flight: it is let go of when the task is taken."""
    gateway.accept("t-1")
    prompt = f"a train at night {time.time()}"
    before = sys.getrefcount(prompt)

    async with fifth.open(store=store, poll=SLOWLY) as client:
        await client.submit(hh.TextToVideo(prompt))
        async with asyncio.timeout(20):
            while sys.getrefcount(prompt) > before:
                await asyncio.sleep(0.001)


async def has_status(store: hh.TaskStore, status: hh.TaskStatus) -> bool:
    """Tell whether the journal has a task of the key order-1 with *status*."""
    job = await store.by_key("order-1")
    return job is not None and job.task is not None and status is job.task.status


async def test_every_change_and_the_end(gateway: Any, fifth: Any, store: hh.TaskStore) -> None:
    """What is observed of a task is in the journal a moment later, and its end closes the job."""
    gateway.accept("t-1")
    gateway.show("t-1", "running", "done")

    async with fifth.open(store=store, poll=hh.PollSchedule(interval=0.2)) as client:
        handle = await client.submit(REQUEST, key="order-1")
        statuses = []
        async for task in handle.updates():
            await until(lambda status=task.status: has_status(store, status))
            job = await store.by_key("order-1")
            assert job is not None
            statuses.append((task.status, job.state))
        pending = await client.pending()

    assert [
        (hh.TaskStatus.PENDING, JobState.ACCEPTED),
        (hh.TaskStatus.RUNNING, JobState.ACCEPTED),
        (hh.TaskStatus.SUCCEEDED, JobState.SUCCEEDED),
    ] == statuses
    assert [] == pending


@pytest.mark.fault(86)
async def test_no_secret_is_in_the_file(gateway: Any, fifth: Any, path: Path) -> None:
    """The API key is not in the file, and the prompt is gone from it when it is purged after the answer."""
    gateway.accept("t-1")
    store = hh.SQLiteStore(path)

    async with fifth.open(store=store, poll=SLOWLY) as client:
        await client.submit(REQUEST)
        await store.purge()
        files = {file.name: file.read_bytes() for file in path.parent.iterdir()}

    content = b"".join(files.values())
    assert b"fifth-t2v" in content
    assert b"sk-canary" not in content
    assert b"a train at night" not in content


@pytest.mark.fault(71)
@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.SUBMITTING])
async def test_nothing_is_sent_that_cannot_be_written_down(
    gateway: Any, fifth: Any, failing_store: Callable[..., hh.TaskStore], state: JobState
) -> None:
    """Where the intent cannot be stored, the request stays here, and the caller is told why."""
    async with fifth.open(store=failing_store(state), poll=SLOWLY) as client:
        with pytest.raises(hh.StoreError, match="disk is full") as raised:
            await client.submit(REQUEST)

    assert raised.value.job_id
    assert [] == gateway.requests


@pytest.mark.fault(71)
async def test_what_was_enqueued_waits_for_the_store(
    gateway: Any, fifth: Any, failing_store: Callable[..., Any]
) -> None:
    """A promise outlasts a disk that is full for a while."""
    gateway.accept("t-1")
    store = failing_store(JobState.SUBMITTING)

    async with fifth.open(store=store, poll=SLOWLY) as client:
        handle = await client.enqueue(REQUEST)
        while store.refused < 2:
            await asyncio.sleep(0.01)
        store.states.clear()
        await gateway.until(1, "POST")

    assert "t-1" == handle.id


@pytest.mark.fault(71)
async def test_a_store_that_fails_after_the_acceptance(
    gateway: Any, fifth: Any, failing_store: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A task that was taken is handed over, cried out with its ref, and written down when the store allows."""
    gateway.accept("t-1")
    store = failing_store(JobState.ACCEPTED)

    async with fifth.open(store=store, poll=SLOWLY) as client:
        handle = await client.submit(REQUEST)
        during = await store.get(handle.job_id)
        store.states.clear()
    after = await store.get(handle.job_id)

    critical = [record.getMessage() for record in caplog.records if record.levelno == logging.CRITICAL]
    assert "fifth:t-1" == str(handle.ref)
    assert (JobState.SUBMITTING, None) == (during.state, during.task_id)
    assert [True] == ["fifth:t-1" in message and handle.job_id in message for message in critical]
    assert (JobState.ACCEPTED, "t-1") == (after.state, after.task_id)


@pytest.mark.fault(71)
async def test_the_latest_is_written_after_a_failure(
    gateway: Any, fifth: Any, failing_store: Callable[..., Any]
) -> None:
    """What could not be written is not written over what has come since."""
    gateway.accept("t-1")
    gateway.show("t-1", "running", "done")
    store = failing_store(JobState.ACCEPTED)

    async with fifth.open(store=store) as client:
        handle = await client.submit(REQUEST)
        await handle
        store.states.clear()
    job = await store.get(handle.job_id)

    assert (JobState.SUCCEEDED, hh.TaskStatus.SUCCEEDED) == (job.state, job.task.status)


async def test_a_snapshot_that_no_store_can_write(gateway: Any, fifth: Any, path: Path, rows: Rows) -> None:
    """An adapter that fills a task with the impossible does not take the task's id along."""
    gateway.accept("t-1")

    def decode_submit(_: object, response: hh.HttpResponse, account: hh.Account) -> hh.Task:
        impossible: Any = object()
        return hh.Task(ref=account.ref("t-1"), status=hh.TaskStatus.PENDING, created_at=impossible)

    adapter = fifth.adapter(decode_submit=decode_submit)
    async with fifth.open(adapter, store=hh.SQLiteStore(path), poll=SLOWLY) as client:
        handle = await client.submit(REQUEST)
    [row] = rows()

    assert "t-1" == handle.id
    assert (handle.job_id, "t-1", "ACCEPTED") == (row["job_id"], row["task_id"], row["state"])
