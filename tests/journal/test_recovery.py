"""What is found in the file when it is opened again, and what may be done about it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh
from happyhorse_async.job import Endpoint, Job, JobState

from ..waiting import until, until_pending

pytestmark = pytest.mark.usefixtures("no_chance")

REQUEST = hh.TextToVideo("a train at night")
SLOWLY = hh.PollSchedule(interval=3600)

LeftBehind = Callable[..., Awaitable[Job]]
Rows = Callable[[], list[dict[str, Any]]]


def ago(hours: float) -> datetime:
    """Return a moment in the past."""
    return datetime.now(UTC) - timedelta(hours=hours)


@pytest.mark.fault(75)
async def test_a_job_on_its_way_is_openly_unknown(
    gateway: Any, fifth: Any, path: Path, left_behind: LeftBehind
) -> None:
    """What a dead process may have sent is not sent again; it is listed, until somebody settles it."""
    await left_behind(key="order-1")

    async with fifth.open(store=hh.SQLiteStore(path), poll=SLOWLY) as client:
        pending = await client.pending()

    [job] = pending
    assert ("hh-left", None, "order-1", hh.JobState.OUTCOME_UNKNOWN) == (job.job_id, job.ref, job.key, job.state)
    assert isinstance(job.error, hh.SubmitOutcomeUnknownError)
    assert [] == gateway.requests


@pytest.mark.fault(39, 75)
async def test_a_job_on_its_way_is_sent_again_with_its_key(
    gateway: Any, fifth: Any, path: Path, rows: Rows, left_behind: LeftBehind
) -> None:
    """Where a key protects it, the very bytes go out again with the very key, and its task is found."""
    gateway.accept("t-1")
    left = await left_behind()

    async with fifth.open(fifth.adapter(idempotent=True), store=hh.SQLiteStore(path), poll=SLOWLY):
        await gateway.until(1, "POST")
    [row] = rows()

    [seen] = gateway.requests
    assert (left.body, "hh-left") == (seen.body, seen.headers["idempotency-key"])
    assert ("ACCEPTED", "t-1") == (row["state"], row["task_id"])


async def test_a_key_that_is_too_old(gateway: Any, fifth: Any, path: Path, left_behind: LeftBehind) -> None:
    """Close to the end of the key's life nothing relies on it any more."""
    await left_behind(submitted_at=ago(23.5))

    async with fifth.open(fifth.adapter(idempotent=True), store=hh.SQLiteStore(path), poll=SLOWLY) as client:
        [pending] = await client.pending()

    assert "OUTCOME_UNKNOWN" == pending.state
    assert [] == gateway.requests


async def test_a_key_ages_from_the_first_time(
    gateway: Any, fifth: Any, path: Path, rows: Rows, left_behind: LeftBehind
) -> None:
    """Sending a request again does not make its key younger."""
    left = await left_behind(submitted_at=ago(10))
    gateway.on("POST", "/videos", gateway.raw(b"", "hang"))

    async with fifth.open(fifth.adapter(idempotent=True), store=hh.SQLiteStore(path), poll=SLOWLY) as client:
        await gateway.until(1, "POST")
        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0.02)
        closing.cancel()
        await asyncio.wait([closing])
    [row] = rows()

    assert "SUBMITTING" == row["state"]
    assert left.submitted_at == datetime.fromisoformat(row["submitted_at"])


@pytest.mark.fault(75)
@pytest.mark.parametrize("durable", [True, False], ids=["enqueued", "submitted"])
async def test_a_job_that_was_not_sent(
    gateway: Any, fifth: Any, path: Path, rows: Rows, left_behind: LeftBehind, durable: bool
) -> None:
    """What was enqueued is sent; what only its dead caller waited for is not, and its key is free."""
    gateway.accept("t-1")
    left = await left_behind(JobState.QUEUED, durable=durable, key="order-1")

    async with fifth.open(store=hh.SQLiteStore(path), poll=SLOWLY):
        await until(lambda: rows()[0]["state"] not in ("QUEUED", "SUBMITTING"))
    [row] = rows()

    assert [left.body][:durable] == [seen.body for seen in gateway.requests]
    assert (("ACCEPTED", "order-1") if durable else ("WITHDRAWN", None)) == (row["state"], row["key"])


@pytest.mark.fault(74)
async def test_the_jobs_of_a_living_process(gateway: Any, fifth: Any, path: Path) -> None:
    """What another process is sending, or is going to send, is its own affair."""
    gateway.on("POST", "/videos", gateway.raw(b"", "hang"))
    limits = hh.Limits(submits_per_second=0.001)

    async with fifth.client(store=hh.SQLiteStore(path), limits=limits) as one:
        sending = asyncio.create_task(one.submit(REQUEST))
        await gateway.until(1, "POST")
        await one.enqueue(REQUEST)
        async with fifth.client(fifth.adapter(idempotent=True), store=hh.SQLiteStore(path)) as other:
            await asyncio.sleep(0.1)
            states = [job.state for job in await other.pending()]
        closing = asyncio.create_task(one.aclose())
        await asyncio.sleep(0.02)
        closing.cancel()
        await asyncio.wait([closing, sending])

    assert ["SUBMITTING", "QUEUED"] == states
    assert 1 == len(gateway.requests)


async def test_a_job_of_another_place(gateway: Any, fifth: Any, path: Path, left_behind: LeftBehind) -> None:
    """What was enqueued for another base URL is left to a client of that one."""
    elsewhere = Endpoint(provider="fifth", adapter="fifth", base_url="https://elsewhere.example")
    await left_behind(JobState.QUEUED, durable=True, endpoint=elsewhere)

    async with fifth.open(store=hh.SQLiteStore(path), poll=SLOWLY) as client:
        await asyncio.sleep(0.05)
        [pending] = await client.pending()

    assert "QUEUED" == pending.state
    assert [] == gateway.requests


async def test_a_promise_that_cannot_be_kept(
    gateway: Any, fifth: Any, path: Path, rows: Rows, left_behind: LeftBehind
) -> None:
    """A job that the adapter takes no longer is closed with the reason, and does not keep the client from opening."""
    await left_behind(JobState.QUEUED, durable=True, request={"mode": "t2v", "prompt": "a train", "resolution": "9P"})

    async with fifth.open(store=hh.SQLiteStore(path), poll=SLOWLY) as client:
        pending = await client.pending()
    [row] = rows()

    assert [] == pending
    assert "9P" in row["error"]


@pytest.mark.parametrize("idempotent", [False, True], ids=["without a key", "with a key"])
async def test_nothing_is_inherited(
    gateway: Any, fifth: Any, path: Path, rows: Rows, left_behind: LeftBehind, idempotent: bool
) -> None:
    """A client that is told not to sends nothing of the dead, and leaves it to others; what is lost is said to be."""
    await left_behind(JobState.QUEUED, job_id="hh-promised", durable=True)
    await left_behind(JobState.SUBMITTING)
    adapter = fifth.adapter(idempotent=idempotent)

    async with fifth.open(adapter, store=hh.SQLiteStore(path), poll=SLOWLY, recover=False) as client:
        await asyncio.sleep(0.05)
        states = [job.state for job in await client.pending()]
    kept = [row["body"] for row in rows()]
    sent = len(gateway.requests)
    gateway.accept("t-1", "t-2")
    async with fifth.open(adapter, store=hh.SQLiteStore(path), poll=SLOWLY):
        await gateway.until(2 if idempotent else 1, "POST")

    assert ["QUEUED", "SUBMITTING" if idempotent else "OUTCOME_UNKNOWN"] == states
    assert [b'{"the very": "bytes"}'] * 2 == kept
    assert 0 == sent


async def test_resuming_elsewhere(gateway: Any, fifth: Any, path: Path, left_behind: LeftBehind) -> None:
    """A ref that was submitted to another place is a mistake in the configuration, and not a task that is gone."""
    elsewhere = Endpoint(provider="fifth", adapter="fifth", base_url="https://elsewhere.example")
    await left_behind(JobState.ACCEPTED, task_id="t-1", endpoint=elsewhere)

    async with fifth.open(store=hh.SQLiteStore(path), poll=SLOWLY) as client:
        with pytest.raises(hh.ConfigurationError, match=r"elsewhere\.example") as raised:
            await client.resume("fifth:t-1")

    assert ("hh-left", "fifth:t-1") == (raised.value.job_id, str(raised.value.ref))
    assert [] == gateway.requests


async def test_resuming_what_is_pending(gateway: Any, fifth: Any, path: Path, left_behind: LeftBehind) -> None:
    """A task that was accepted before the restart is looked at, and not submitted."""
    gateway.show("t-1", "running", "done")
    await left_behind(JobState.ACCEPTED, task_id="t-1")

    async with fifth.open(store=hh.SQLiteStore(path)) as client:
        [pending] = await client.pending()
        assert pending.ref is not None
        handle = client.resume(pending.ref)
        task = await handle
        rest = await client.pending()

    assert ("hh-left", hh.TaskStatus.SUCCEEDED, []) == (handle.job_id, task.status, rest)
    assert {"GET"} == {seen.method for seen in gateway.requests}


async def test_an_end_that_the_journal_knows(gateway: Any, fifth: Any, path: Path) -> None:
    """A failure that was observed before the restart is told without asking anybody."""
    gateway.accept("t-1")
    gateway.show("t-1", "failed")
    for _ in range(2):
        async with fifth.open(store=hh.SQLiteStore(path)) as client:
            handle = client.resume("fifth:t-1") if gateway.requests else await client.submit(REQUEST)
            with pytest.raises(hh.TaskFailedError):
                await handle

    assert ["POST", "GET"] == [seen.method for seen in gateway.requests]


async def test_a_task_past_its_life(gateway: Any, fifth: Any, path: Path, left_behind: LeftBehind) -> None:
    """One look is enough for a task that is older than its provider remembers, and it is pending no more."""
    gateway.show("t-1", 404)
    await left_behind(JobState.ACCEPTED, task_id="t-1", submitted_at=ago(25), created_at=ago(25))

    async with fifth.open(store=hh.SQLiteStore(path), poll=SLOWLY) as client:
        with pytest.raises(hh.TaskExpiredError):
            async with asyncio.timeout(20):
                await client.resume("fifth:t-1")
        await until_pending(client)

    assert 1 == len(gateway.requests)


async def test_adopting(gateway: Any, fifth: Any, path: Path, rows: Rows, left_behind: LeftBehind) -> None:
    """The task that a person names becomes the job's, once the provider knows it and no other job has it."""
    await left_behind(key="order-1")
    await left_behind(JobState.ACCEPTED, job_id="hh-other", task_id="t-2")
    gateway.show("t-0", 404)
    gateway.show("t-1", "done")
    gateway.show("t-2", "running")

    async with fifth.open(store=hh.SQLiteStore(path)) as client:
        with pytest.raises(hh.TaskNotFoundError):
            await client.resolve("hh-left", adopt="t-0")
        with pytest.raises(hh.InvalidRequestError, match="hh-other"):
            await client.resolve("hh-left", adopt="fifth:t-2")
        with pytest.raises(hh.InvalidRequestError, match="no job"):
            await client.resolve("hh-nobody", adopt="t-1")
        handle = await client.resolve("hh-left", adopt="t-1")
        assert handle is not None
        task = await handle
        again = await client.submit(REQUEST, key="order-1")
        for settled in ("hh-left", "hh-other"):
            with pytest.raises(hh.InvalidRequestError, match="nothing to settle"):
                await client.resolve(settled, write_off=True)

    assert ("hh-left", "t-1", hh.TaskStatus.SUCCEEDED) == (handle.job_id, handle.id, task.status)
    assert handle.ref == again.ref
    assert ["t-1", "t-2"] == [row["task_id"] for row in rows()]
    assert [] == gateway.seen("POST")


async def test_two_people_settle_one_job(
    gateway: Any, fifth: Any, path: Path, rows: Rows, left_behind: LeftBehind
) -> None:
    """Who comes second is told so, and does not undo the first."""
    await left_behind(submitted_at=ago(1))
    looked = asyncio.Event()
    gateway.on("GET", "/videos/t-1", gateway.reply({"id": "t-1", "status": "running"}, after=looked))

    async with fifth.open(store=hh.SQLiteStore(path), poll=SLOWLY) as client:
        adopting = asyncio.create_task(client.resolve("hh-left", adopt="t-1"))
        await gateway.until(1, "GET")
        await client.resolve("hh-left", write_off=True)
        looked.set()
        with pytest.raises(hh.InvalidRequestError, match="in the meantime"):
            await adopting
    [row] = rows()

    assert ("WRITTEN_OFF", None) == (row["state"], row["task_id"])


async def test_writing_off_waits_for_the_timeout_of_the_submit(
    fifth: Any, path: Path, rows: Rows, left_behind: LeftBehind
) -> None:
    """The process that sent the job may only seem to be dead. Its answer would name a task that is paid for."""
    await left_behind()

    async with fifth.open(store=hh.SQLiteStore(path)) as client:
        with pytest.raises(hh.InvalidRequestError, match=r"waiting for the response; write it off in \d+ s"):
            await client.resolve("hh-left", write_off=True)
    [refused] = rows()
    async with fifth.open(store=hh.SQLiteStore(path), timeouts=hh.Timeouts(submit=0.001)) as client:
        await client.resolve("hh-left", write_off=True)
    [settled] = rows()

    assert ("OUTCOME_UNKNOWN", "WRITTEN_OFF") == (refused["state"], settled["state"])


@pytest.mark.fault(40)
async def test_candidates(gateway: Any, fifth: Any, path: Path, left_behind: LeftBehind) -> None:
    """The provider's tasks of about the time of the submit that are no other job's are guesses, and stay guesses."""
    sent = ago(1)
    await left_behind(submitted_at=sent)
    await left_behind(JobState.ACCEPTED, job_id="hh-other", task_id="t-owned")
    created = {
        "t-before": sent - timedelta(minutes=10),
        "t-at-once": sent + timedelta(seconds=1),
        "t-owned": sent + timedelta(seconds=2),
        "t-skewed": sent - timedelta(minutes=1),
        "t-after": sent + timedelta(minutes=10),
    }
    tasks = [{"id": name, "status": "running", "created": at.isoformat()} for name, at in created.items()]
    gateway.on("GET", "/videos", {"tasks": tasks[:3], "more": True}, {"tasks": tasks[3:]})

    async with fifth.open(store=hh.SQLiteStore(path), poll=SLOWLY) as client:
        found = await client.candidates("hh-left")
        with pytest.raises(hh.InvalidRequestError, match="nothing to settle"):
            await client.candidates("hh-other")
        pending = await client.pending()

    assert ["t-at-once", "t-skewed"] == [task.id for task in found]
    assert "OUTCOME_UNKNOWN" == pending[0].state


@pytest.mark.fault(41)
async def test_a_list_that_fails(gateway: Any, fifth: Any, path: Path, left_behind: LeftBehind) -> None:
    """A search that fails leaves the question open, to be asked again."""
    await left_behind()
    gateway.on("GET", "/videos", 500, {"tasks": []})

    async with fifth.open(store=hh.SQLiteStore(path), poll=SLOWLY) as client:
        with pytest.raises(hh.ProviderError):
            await client.candidates("hh-left")
        found = await client.candidates("hh-left")
        [pending] = await client.pending()

    assert ([], "OUTCOME_UNKNOWN") == (found, pending.state)
