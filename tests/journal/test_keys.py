"""The caller's own key: the same key and request are the same task, whoever asks, and however often."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh
from happyhorse_async.job import Job, JobState

pytestmark = pytest.mark.usefixtures("no_chance")

REQUEST = hh.TextToVideo("a train at night", extra={"b": 1, "a": [2]})
ANOTHER = hh.TextToVideo("a train at noon")
SLOWLY = hh.PollSchedule(interval=3600)


async def test_at_the_same_time(gateway: Any, fifth: Any, store: hh.TaskStore) -> None:
    """However many ask at once, by whatever call, one request is sent and all get its task."""
    gateway.accept("t-1")

    async with fifth.open(store=store, poll=SLOWLY) as client:
        handles = await asyncio.gather(*(client.submit(REQUEST, key="order-1") for _ in range(20)))
        enqueued = await client.enqueue(REQUEST, key="order-1")

    assert 1 == len(gateway.requests)
    assert {"fifth:t-1"} == {str(handle.ref) for handle in [*handles, enqueued]}
    assert 1 == len({handle.job_id for handle in [*handles, enqueued]})


@pytest.mark.fault(74)
async def test_two_clients(gateway: Any, fifth: Any, store: hh.TaskStore) -> None:
    """Two clients of one process that share a store share its keys."""
    answer = asyncio.Event()
    gateway.on("POST", "/videos", gateway.reply({"id": "t-1", "status": "queued"}, after=answer))

    async with fifth.client(store=store, poll=SLOWLY) as one, fifth.client(store=store, poll=SLOWLY) as other:
        submitting = [asyncio.create_task(client.submit(REQUEST, key="order-1")) for client in (one, other)]
        await gateway.until(1, "POST")
        await asyncio.sleep(0.05)
        answer.set()
        handles = await asyncio.gather(*submitting)

    assert 1 == len(gateway.requests)
    assert ["fifth:t-1"] * 2 == [str(handle.ref) for handle in handles]


@pytest.mark.fault(74)
async def test_two_processes(gateway: Any, path: Path) -> None:
    """Two processes that ask for the same keys at the same time have each video made once."""
    numbers = iter(range(100))
    gateway.on("POST", "/videos", lambda _: {"id": f"t-{next(numbers)}", "status": "queued"})
    script = Path(__file__).with_name("submit_many.py")

    processes = [
        await asyncio.create_subprocess_exec(sys.executable, str(script), str(path), gateway.url, "False", "15")
        for _ in range(2)
    ]
    codes = [await process.wait() for process in processes]

    assert [0, 0] == codes
    assert {1: 15} == Counter(Counter(seen.body for seen in gateway.requests).values())


async def test_after_a_restart(gateway: Any, fifth: Any, path: Path) -> None:
    """Another client on the same file gets the task of the first, and its end without asking the provider again."""
    gateway.accept("t-1")
    gateway.show("t-1", "done")
    async with fifth.open(store=hh.SQLiteStore(path)) as client:
        first = await client.submit(REQUEST, key="order-1")
        await first

    async with fifth.open(store=hh.SQLiteStore(path)) as client:
        again = await client.submit(REQUEST, key="order-1")
        task = await again

    assert (first.ref, first.job_id) == (again.ref, again.job_id)
    assert hh.TaskStatus.SUCCEEDED is task.status
    assert ["POST", "GET"] == [seen.method for seen in gateway.requests]


async def test_another_request(gateway: Any, fifth: Any, store: hh.TaskStore) -> None:
    """A key that stands for another request is a mistake, and nothing is sent for it."""
    gateway.accept("t-1")

    async with fifth.open(store=store, poll=SLOWLY) as client:
        handle = await client.submit(REQUEST, key="order-1")
        for ask in (client.submit, client.enqueue):
            with pytest.raises(hh.InvalidRequestError, match="another request") as raised:
                await ask(ANOTHER, key="order-1")
            assert (handle.ref, handle.job_id) == (raised.value.ref, raised.value.job_id)

    assert 1 == len(gateway.requests)


async def test_a_key_is_free_after_a_refusal(gateway: Any, fifth: Any, store: hh.TaskStore) -> None:
    """What the provider refused may be asked for again by the same key, as it is or mended."""
    gateway.on("POST", "/videos", 400, 400, {"id": "t-1", "status": "queued"})

    async with fifth.open(store=store, poll=SLOWLY) as client:
        for _ in range(2):
            with pytest.raises(hh.InvalidRequestError, match="scripted 400"):
                await client.submit(REQUEST, key="order-1")
        handle = await client.submit(ANOTHER, key="order-1")

    assert "t-1" == handle.id


async def test_a_key_of_unknown_outcome(gateway: Any, fifth: Any, store: hh.TaskStore) -> None:
    """A key whose outcome is unknown is not sent again until somebody has settled it."""
    gateway.on("POST", "/videos", gateway.raw(b""), {"id": "t-2", "status": "queued"})

    async with fifth.open(store=store, poll=SLOWLY) as client:
        job_ids = set()
        for ask in (client.submit, client.submit, client.enqueue):
            with pytest.raises(hh.SubmitOutcomeUnknownError) as raised:
                await ask(REQUEST, key="order-1")
            job_ids.add(raised.value.job_id)
        sent = len(gateway.requests)
        [pending] = await client.pending()
        await client.resolve(pending.job_id, write_off=True)
        handle = await client.submit(REQUEST, key="order-1")

    assert 1 == sent
    assert {pending.job_id} == job_ids
    assert "OUTCOME_UNKNOWN" == pending.state
    assert "t-2" == handle.id


async def test_what_its_process_takes_back_is_still_wanted_here(gateway: Any, fifth: Any, store: hh.TaskStore) -> None:
    """Who asked for the same key elsewhere does not lose it because the first one left before it was sent."""
    gateway.accept("t-1")
    slow = hh.Limits(submits_per_second=0.001)

    fifth.poll = SLOWLY
    async with fifth.client(store=store, limits=slow) as one, fifth.client(store=store) as two:
        await one.submit(ANOTHER)
        first = asyncio.create_task(one.submit(REQUEST, key="order-1"))
        await asyncio.sleep(0.02)
        second = asyncio.create_task(two.submit(REQUEST, key="order-1"))
        await asyncio.sleep(0.02)
        first.cancel()
        handle = await second

    assert "t-1" == handle.id
    assert 2 == len(gateway.requests)


async def test_a_promise_outlasts_the_one_who_asked_first(gateway: Any, fifth: Any, path: Path) -> None:
    """What one caller submits and another enqueues by the same key is sent, even if the first gives up."""
    gateway.accept("t-1", "t-2")
    slow = hh.Limits(submits_per_second=0.001)

    async with fifth.client(store=hh.SQLiteStore(path), poll=SLOWLY, limits=slow) as client:
        await client.submit(ANOTHER)
        first = asyncio.create_task(client.submit(REQUEST, key="order-1"))
        await asyncio.sleep(0.02)
        await client.enqueue(REQUEST, key="order-1")
        first.cancel()
        await asyncio.wait([first])
    async with fifth.open(store=hh.SQLiteStore(path), poll=SLOWLY):
        await gateway.until(2, "POST")

    assert 2 == len(gateway.requests)


async def test_a_waiter_for_another_process_is_told_of_the_closing(
    gateway: Any, fifth: Any, store: hh.TaskStore
) -> None:
    """Who waits for what another client sends does not wait on when his own is closed."""
    answer = asyncio.Event()
    gateway.on("POST", "/videos", gateway.reply({"id": "t-1", "status": "queued"}, after=answer))

    async with fifth.client(store=store, poll=SLOWLY) as one, fifth.client(store=store, poll=SLOWLY) as other:
        sending = asyncio.create_task(one.submit(REQUEST, key="order-1"))
        await gateway.until(1, "POST")
        waiting = asyncio.create_task(other.submit(REQUEST, key="order-1"))
        await asyncio.sleep(0.05)
        await other.aclose()
        with pytest.raises(hh.WaitTimeoutError):
            await waiting
        answer.set()
        await sending


@pytest.mark.parametrize("iterations", range(12))
async def test_a_waiter_is_told_of_the_closing_at_any_moment(gateway: Any, fifth: Any, iterations: int) -> None:
    """However far a submit has come that finds the job of another client, the closing of its own ends its wait."""
    answer, store = asyncio.Event(), hh.MemoryStore()
    gateway.on("POST", "/videos", gateway.reply({"id": "t-1", "status": "queued"}, after=answer))

    async with fifth.client(store=store, poll=SLOWLY) as one, fifth.client(store=store, poll=SLOWLY) as other:
        sending = asyncio.create_task(one.submit(REQUEST, key="order-1"))
        await gateway.until(1, "POST")
        waiting = asyncio.create_task(other.submit(REQUEST, key="order-1"))
        for _ in range(iterations):
            await asyncio.sleep(0)
        await other.aclose()
        async with asyncio.timeout(20):
            with pytest.raises((hh.WaitTimeoutError, RuntimeError)):
                await waiting
        answer.set()
        await sending


async def test_a_job_of_a_dead_process_by_its_key(
    gateway: Any, fifth: Any, path: Path, left_behind: Callable[..., Awaitable[Job]]
) -> None:
    """The key of a job whose process died while sending it is of unknown outcome, and is not sent again."""
    async with fifth.open(store=hh.SQLiteStore(path), poll=SLOWLY) as client:
        await left_behind(JobState.SUBMITTING, key="order-1")
        with pytest.raises(hh.SubmitOutcomeUnknownError, match="died"):
            await client.submit(hh.TextToVideo("a train at night"), key="order-1")

    assert [] == gateway.requests


@pytest.mark.parametrize(
    "extra",
    [{1: "a", "b": 2}, {"a": object()}, {"a": float("nan")}],
    ids=["key", "object", "NaN"],
)
async def test_a_request_that_cannot_be_written_down(gateway: Any, fifth: Any, extra: dict[Any, Any]) -> None:
    """What is no plain data is refused by name before anything is sent."""
    async with fifth.open() as client:
        with pytest.raises(hh.InvalidRequestError, match="cannot be written as JSON"):
            await client.submit(hh.TextToVideo("a train", extra=extra))

    assert [] == gateway.requests


class Forgetful(hh.MemoryStore):
    """A store whose disk is full when a job is to wait for another try, until it is mended."""

    def __init__(self) -> None:
        super().__init__()
        self.full = True
        self.refused = asyncio.Event()

    async def change(self, job: Job, **conditions: Any) -> bool:
        if self.full and job.state is JobState.QUEUED:
            self.refused.set()
            raise hh.StoreError("the disk is full")
        return await super().change(job, **conditions)


@pytest.mark.fault(71)
async def test_a_promise_after_a_full_disk(gateway: Any, fifth: Any) -> None:
    """What is promised while the disk lags behind is kept, and a promise that is on no disk is none."""
    gateway.on("POST", "/videos", 429, {"id": "t-1", "status": "queued"})
    store = Forgetful()
    briefly = hh.RetryPolicies(submit=hh.RetryPolicy(max_retries=4, initial_interval=0.1))
    async with fifth.open(store=store, retries=briefly) as client:
        submitting = asyncio.create_task(client.submit(REQUEST, key="order-1"))
        await store.refused.wait()
        with pytest.raises(hh.StoreError):
            await client.enqueue(REQUEST, key="order-1")
        store.full = False
        handle = await client.enqueue(REQUEST, key="order-1")
        promised = await store.get(handle.job_id)
        accepted = await submitting

    assert (True, JobState.QUEUED) == (promised.durable, promised.state)
    assert handle.job_id == accepted.job_id
    assert 2 == len(gateway.seen("POST"))


async def test_a_refusal_of_what_nobody_here_wants_any_more(gateway: Any, fifth: Any, path: Path) -> None:
    """A job that was refused for good is not sent again by the process that has promised it by its key."""
    answered = asyncio.Event()
    gateway.on("POST", "/videos", gateway.reply({"error": "no such thing"}, status=400, after=answered))
    async with (
        fifth.client(store=hh.SQLiteStore(path)) as here,
        fifth.client(store=hh.SQLiteStore(path)) as there,
        asyncio.timeout(20),
    ):
        submitting = asyncio.create_task(here.submit(REQUEST, key="order-1"))
        await gateway.until(1, "POST")
        handle = await there.enqueue(REQUEST, key="order-1")
        submitting.cancel()
        await asyncio.wait([submitting])
        answered.set()
        with pytest.raises(hh.InvalidRequestError, match="no such thing"):
            await handle

    assert 1 == len(gateway.seen("POST"))


@pytest.mark.fault(32)
async def test_a_promise_of_what_is_refused_for_an_hour(gateway: Any, fifth: Any, path: Path) -> None:
    """What another process has promised meanwhile is not given up, however long its refusal is meant to last."""
    answered = asyncio.Event()
    refusal = gateway.reply({}, status=429, headers={"Retry-After": "3600"}, after=answered)
    gateway.on("POST", "/videos", refusal, {"id": "t-1", "status": "queued"})
    async with (
        fifth.client(store=hh.SQLiteStore(path), poll=SLOWLY) as here,
        fifth.client(store=hh.SQLiteStore(path), poll=SLOWLY) as there,
        asyncio.timeout(20),
    ):
        submitting = asyncio.create_task(here.submit(REQUEST, key="order-1"))
        await gateway.until(1, "POST")
        await there.enqueue(REQUEST, key="order-1")
        answered.set()
        while [JobState.QUEUED] != [job.state for job in await there.pending()]:
            await asyncio.sleep(0.01)
        await here.aclose()
        with pytest.raises(hh.WaitTimeoutError):
            await submitting
        await gateway.until(2, "POST")
