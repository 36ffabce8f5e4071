"""The task of a lost answer, searched for in the provider's list; adopted where that was chosen and no other fits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

import happyhorse_async as hh
from happyhorse_async.job import Job, JobState

pytestmark = pytest.mark.usefixtures("no_chance")

REQUEST = hh.TextToVideo("a train at night")
SLOWLY = hh.PollSchedule(interval=36000)

LeftBehind = Callable[..., Awaitable[Job]]
Skip = Callable[[float], Awaitable[None]]


@pytest.fixture
def skip(monkeypatch: pytest.MonkeyPatch) -> Skip:
    """Let time pass that nobody waits for."""
    passed = 0.0

    async def skip(seconds: float) -> None:
        nonlocal passed
        loop = asyncio.get_running_loop()
        if not passed:
            clock = loop.time
            monkeypatch.setattr(loop, "time", lambda: clock() + passed)
        await asyncio.sleep(0.02)
        passed += seconds
        await asyncio.sleep(0.02)

    return skip


def client(fifth: Any, *, auto_adopt: bool = True, list_is_live: bool = True, **options: Any) -> Any:
    """Open a client whose provider has a list."""
    adapter = fifth.adapter()
    type(adapter).capabilities = evolve(adapter.capabilities, list_is_live=list_is_live)
    return fifth.open(adapter, poll=SLOWLY, auto_adopt=auto_adopt, **options)


def listed(*names: str, model: str = "fifth-t2v") -> dict[str, Any]:
    """Make a list of tasks that were created now."""
    now = datetime.now(UTC).isoformat()
    return {"tasks": [{"id": name, "status": "queued", "created": now, "model": model} for name in names]}


def lose(gateway: Any, *task_ids: str) -> None:
    """Lose the answers to all submits, of which these tasks have come."""
    gateway.on("POST", "/videos", b"")
    for task_id in task_ids:
        gateway.show(task_id, "running")


async def accepted(opened: hh.Client) -> None:
    """Wait until the one job has a task."""
    async with asyncio.timeout(20):
        while [job.state for job in await opened.pending()] != ["ACCEPTED"]:
            await asyncio.sleep(0.005)


@pytest.mark.fault(39)
@pytest.mark.fault(40)
async def test_the_only_one(gateway: Any, fifth: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The one task that it can be is the job's, and a warning says so."""
    lose(gateway, "t-1")
    gateway.on("GET", "/videos", lambda _: listed("t-1"))

    async with client(fifth) as opened:
        handle = await opened.submit(REQUEST, key="order-1")
        again = await opened.submit(REQUEST, key="order-1")
        [pending] = await opened.pending()

    assert "fifth:t-1" == str(handle.ref) == str(again.ref)
    assert ("ACCEPTED", handle.job_id, handle.ref) == (pending.state, pending.job_id, pending.ref)
    assert 1 == len(gateway.seen("POST"))
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [f"job {handle.job_id} has adopted fifth:t-1, the only task that it can have"] == warnings


@pytest.mark.fault(40)
async def test_the_same_one_on_two_pages(gateway: Any, fifth: Any) -> None:
    """A task that moves on to the next page while the list is searched is no second candidate."""
    lose(gateway, "t-1")
    gateway.on("GET", "/videos", lambda seen: listed("t-1") | {"more": "page=1&" in seen.target})

    async with client(fifth) as opened:
        handle = await opened.submit(REQUEST)

    assert "fifth:t-1" == str(handle.ref)


@pytest.mark.fault(40)
async def test_none_at_first(gateway: Any, fifth: Any, skip: Skip) -> None:
    """A task that is not in the list yet is looked for once more after a minute."""
    lose(gateway, "t-1")
    gateway.on("GET", "/videos", listed(), lambda _: listed("t-1"))

    async with client(fifth) as opened:
        submitting = asyncio.create_task(opened.submit(REQUEST))
        await gateway.until(1, "GET", "/videos")
        await skip(59)
        early = len(gateway.seen("GET", "/videos"))
        await skip(2)
        handle = await submitting

    assert "fifth:t-1" == str(handle.ref)
    assert 1 == early


@pytest.mark.fault(40)
async def test_none_at_all(gateway: Any, fifth: Any, skip: Skip) -> None:
    """After two searches without a find the outcome is openly unknown."""
    lose(gateway)
    gateway.on("GET", "/videos", listed())

    async with client(fifth) as opened:
        submitting = asyncio.create_task(opened.submit(REQUEST))
        await gateway.until(1, "GET", "/videos")
        await skip(61)
        with pytest.raises(hh.SubmitOutcomeUnknownError, match="list has no task that it can have"):
            await submitting
        await skip(100_000)
        [pending] = await opened.pending()

    assert "OUTCOME_UNKNOWN" == pending.state
    assert 2 == len(gateway.seen("GET", "/videos"))


@pytest.mark.fault(40)
async def test_two(gateway: Any, fifth: Any) -> None:
    """Where it may be either of two, both are named and none is adopted."""
    lose(gateway)
    gateway.on("GET", "/videos", lambda _: listed("t-1", "t-2"))

    async with client(fifth) as opened:
        with pytest.raises(hh.SubmitOutcomeUnknownError, match="It may have fifth:t-1, fifth:t-2") as raised:
            await opened.submit(REQUEST)
        [pending] = await opened.pending()

    assert (raised.value.job_id, "OUTCOME_UNKNOWN") == (pending.job_id, pending.state)


@pytest.mark.fault(40)
@pytest.mark.parametrize("options", [{"auto_adopt": False}, {"list_is_live": False}], ids=["off", "no true list"])
async def test_it_is_asked_for(gateway: Any, fifth: Any, options: dict[str, bool]) -> None:
    """Nothing is adopted by default, nor where a list does not show every task: it stays a guess."""
    lose(gateway)
    gateway.on("GET", "/videos", lambda _: listed("t-1"))

    async with client(fifth, **options) as opened:
        with pytest.raises(hh.SubmitOutcomeUnknownError) as raised:
            await opened.submit(REQUEST)
        unasked = len(gateway.seen("GET"))
        guesses = await opened.candidates(raised.value.job_id)

    assert 0 == unasked
    assert ["t-1"] == [task.id for task in guesses]


@pytest.mark.fault(40)
async def test_two_jobs_and_one_task(gateway: Any, fifth: Any, skip: Skip) -> None:
    """A task that may be that of either of two lost submits is adopted by neither."""
    lose(gateway)
    gateway.on("GET", "/videos", lambda _: listed("t-1"))

    async with client(fifth) as opened:
        submitting = [asyncio.create_task(opened.submit(REQUEST)) for _ in range(2)]
        await gateway.until(2, "GET", "/videos")
        await skip(61)
        outcomes = await asyncio.gather(*submitting, return_exceptions=True)
        pending = await opened.pending()

    assert ["OUTCOME_UNKNOWN"] * 2 == [job.state for job in pending]
    assert all("or these belong to another job" in str(outcome) for outcome in outcomes)


@pytest.mark.fault(41)
async def test_a_list_that_fails(gateway: Any, fifth: Any, skip: Skip) -> None:
    """A list that cannot be read leaves the question open, and is searched again later."""
    lose(gateway, "t-1")
    gateway.on("GET", "/videos", 500, 500, 500, lambda _: listed("t-1"))

    async with client(fifth) as opened:
        submitting = asyncio.create_task(opened.submit(REQUEST, key="order-1"))
        await gateway.until(1, "GET", "/videos")
        await skip(61)
        with pytest.raises(hh.SubmitOutcomeUnknownError, match="list cannot be searched"):
            await submitting
        await gateway.until(3, "GET", "/videos")
        [during] = await opened.pending()
        await skip(61)
        await accepted(opened)
        handle = await opened.submit(REQUEST, key="order-1")

    assert "OUTCOME_UNKNOWN" == during.state
    assert "fifth:t-1" == str(handle.ref)
    assert 1 == len(gateway.seen("POST"))


@pytest.mark.parametrize("state", [JobState.SUBMITTING, JobState.OUTCOME_UNKNOWN])
async def test_what_the_dead_have_left(
    gateway: Any, fifth: Any, path: Path, left_behind: LeftBehind, state: JobState
) -> None:
    """What a dead process may have sent, or has left unknown, is searched for when the store is opened."""
    await left_behind(state, key="order-1")
    gateway.show("t-1", "running")
    gateway.on("GET", "/videos", lambda _: listed("t-1"))

    async with client(fifth, store=hh.SQLiteStore(path)) as opened:
        await accepted(opened)
        handle = await opened.submit(REQUEST, key="order-1")

    assert "fifth:t-1" == str(handle.ref)
    assert [] == gateway.seen("POST")


@pytest.mark.parametrize("state", [JobState.SUBMITTING, JobState.OUTCOME_UNKNOWN])
async def test_a_client_that_only_looks(
    gateway: Any, fifth: Any, path: Path, left_behind: LeftBehind, state: JobState
) -> None:
    """A client that is to inherit nothing searches for, adopts and saves nothing that others have left."""
    await left_behind(state, key="order-1", save_to=str(path.with_name("1.mp4")))
    gateway.show("t-1", "done")
    gateway.on("GET", "/videos", lambda _: listed("t-1"))

    async with client(fifth, store=hh.SQLiteStore(path), recover=False) as opened:
        await asyncio.sleep(0.05)
        [pending] = await opened.pending()

    assert "OUTCOME_UNKNOWN" == pending.state
    assert [] == gateway.requests


async def test_what_is_too_old_is_not_searched_for(
    gateway: Any, fifth: Any, path: Path, left_behind: LeftBehind
) -> None:
    """A task that its provider has forgotten cannot be found."""
    await left_behind(JobState.OUTCOME_UNKNOWN, submitted_at=datetime.now(UTC) - timedelta(hours=25))

    async with client(fifth, store=hh.SQLiteStore(path)):
        await asyncio.sleep(0.05)

    assert [] == gateway.requests


async def test_closing_during_a_search(gateway: Any, fifth: Any) -> None:
    """A client that is closed meanwhile says at once what is known: nothing."""
    lose(gateway)
    gateway.on("GET", "/videos", listed())

    async with client(fifth) as opened:
        submitting = asyncio.create_task(opened.submit(REQUEST))
        await gateway.until(1, "GET", "/videos")
        await asyncio.sleep(0.02)
    with pytest.raises(hh.SubmitOutcomeUnknownError):
        async with asyncio.timeout(20):
            await submitting


@pytest.mark.fault(40)
async def test_a_person_is_faster(gateway: Any, fifth: Any, skip: Skip) -> None:
    """Whoever waits for a search that a person has made needless gets the task that the person named."""
    lose(gateway, "t-1")
    gateway.on("GET", "/videos", listed())
    store = hh.MemoryStore()

    async with client(fifth, store=store) as opened:
        submitting = asyncio.create_task(opened.submit(REQUEST))
        await gateway.until(1, "GET", "/videos")
        await skip(1)
        [pending] = await opened.pending()
        await opened.resolve(pending.job_id, adopt="t-1")
        await skip(61)
        handle = await submitting

    assert "fifth:t-1" == str(handle.ref)


@pytest.mark.fault(40)
async def test_a_client_that_closes_while_it_adopts(gateway: Any, fifth: Any) -> None:
    """What was adopted is not forgotten by a client that closes before it is written down."""
    lose(gateway, "t-1")
    gateway.on("GET", "/videos", lambda _: listed("t-1"))
    reached, let_go, in_order = asyncio.Event(), asyncio.Event(), asyncio.Lock()

    class Held(hh.MemoryStore):
        async def change(self, job: Job, **conditions: Any) -> bool:
            async with in_order:
                if job.state is JobState.ACCEPTED:
                    reached.set()
                    await let_go.wait()
                return await super().change(job, **conditions)

    store = Held()
    async with client(fifth, store=store) as opened:
        submitting = asyncio.create_task(opened.submit(REQUEST))
        await reached.wait()
        closing = asyncio.create_task(opened.aclose())
        handle = await submitting
        let_go.set()
        await closing
    job = await store.get(handle.job_id)

    assert (JobState.ACCEPTED, "t-1") == (job.state, job.task_id)
