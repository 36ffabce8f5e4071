"""How many tasks the provider may have at the same time; the other jobs wait in the client."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

import happyhorse_async as hh
from happyhorse_async.ratelimit.concurrency import ConcurrencyLimiter

if TYPE_CHECKING:
    from conftest import Fifth, Gateway

pytestmark = pytest.mark.usefixtures("no_chance")

REQUEST = hh.TextToVideo("a train at night")
RARELY = hh.PollSchedule(interval=3600)


def accept_all(gateway: Gateway, status: str = "running") -> None:
    """Accept every submit as t-0, t-1 and so on. Each task has *status* until a test changes it."""
    numbers = iter(range(10_000))

    def accept(_: Any) -> dict[str, str]:
        task = f"t-{next(numbers)}"
        gateway.show(task, status)
        return {"id": task, "status": "queued"}

    gateway.on("POST", "/videos", accept)


async def exactly(count: int, gateway: Gateway) -> None:
    """Wait for *count* submits, and check that no more follow."""
    await gateway.until(count, "POST")
    await asyncio.sleep(0.03)
    assert count == len(gateway.seen("POST"))


def prompts(gateway: Gateway) -> list[str]:
    """Return the prompts in the order in which they were sent."""
    return [json.loads(seen.body)["prompt"] for seen in gateway.seen("POST")]


def limits(running: int, queued: int | None = None) -> hh.Limits:
    return hh.Limits(max_running=running, max_queued=queued)


def room(limiter: ConcurrencyLimiter, queue_key: str = "a") -> int:
    """Take all permits that are left, and return how many there were."""
    count = 0
    while limiter.has_room(queue_key):
        limiter.acquire(queue_key)
        count += 1
    return count


@pytest.mark.parametrize(
    ("limits", "execution_timeout", "most"),
    [
        pytest.param(hh.Limits(max_running=5, max_queued=500), 3 * 3600.0, 60, id="12 rounds of 15 minutes"),
        pytest.param(hh.Limits(max_running=5, max_queued=500), None, 505, id="no timeout"),
        pytest.param(hh.Limits(max_running=5, max_queued=500), 60.0, 10, id="a short timeout: two rounds"),
        pytest.param(hh.Limits(max_running=5, max_queued=20), 3 * 3600.0, 25, id="smaller limits"),
        pytest.param(hh.Limits(max_running=5), 3 * 3600.0, 5, id="no queue"),
        pytest.param(hh.Limits(max_running=100, max_queued=500), 3 * 3600.0, 600, id="a large account"),
    ],
)
def test_only_tasks_that_finish_in_time_are_handed_over(
    limits: hh.Limits, execution_timeout: float | None, most: int
) -> None:
    assert most == room(ConcurrencyLimiter(limits, execution_timeout))


def test_queue_keys_are_counted_separately() -> None:
    limiter = ConcurrencyLimiter(hh.Limits(max_running=2))

    assert (2, 2) == (room(limiter, "a"), room(limiter, "b"))
    assert (2, 0) == (limiter.count("a"), limiter.count("c"))


def test_without_a_limit_nothing_is_counted() -> None:
    limiter = ConcurrencyLimiter(hh.Limits())

    assert limiter.acquire("a") is None
    assert limiter.has_room("a")


def test_a_resumed_task_counts_although_there_is_no_room() -> None:
    limiter = ConcurrencyLimiter(hh.Limits(max_running=1))
    permits = [limiter.acquire("a") for _ in range(2)]

    assert 2 == limiter.count("a")
    for permit in permits:
        assert not limiter.has_room("a")
        assert permit is not None
        permit.release()
    assert limiter.has_room("a")


async def test_running_and_queued_tasks_are_submitted_and_each_end_makes_room(gateway: Gateway, fifth: Fifth) -> None:
    accept_all(gateway)

    async with fifth.open(limits=limits(2, 1)) as client:
        handles = [await client.enqueue(REQUEST) for _ in range(10)]
        await exactly(3, gateway)
        gateway.show("t-1", "done")
        await handles[1].wait(5)
        await exactly(4, gateway)

        assert 10 == len({handle.job_id for handle in handles})
        assert [job.ref is not None for job in await client.pending()] == [True] * 3 + [False] * 6


async def test_jobs_are_submitted_in_the_order_of_the_calls(gateway: Gateway, fifth: Fifth) -> None:
    accept_all(gateway, "done")

    async with fifth.open(limits=limits(1)) as client:
        handles = [await client.enqueue(hh.TextToVideo(f"video {number}")) for number in range(5)]
        await asyncio.gather(*(handle.wait(5) for handle in handles))

    assert [f"video {number}" for number in range(5)] == prompts(gateway)


async def test_a_waiting_job_that_is_cancelled_is_never_sent(gateway: Gateway, fifth: Fifth) -> None:
    """The jobs behind it move up."""
    accept_all(gateway)

    async with fifth.open(limits=limits(1)) as client:
        first = await client.enqueue(REQUEST)
        second, third = asyncio.create_task(client.submit(REQUEST)), await client.enqueue(hh.TextToVideo("the third"))
        await exactly(1, gateway)
        second.cancel()
        await asyncio.wait([second])
        gateway.show("t-0", "done")
        await first.wait(5)
        await exactly(2, gateway)

        assert "t-1" == third.id
        assert "the third" == prompts(gateway)[1]


@pytest.mark.parametrize("answer", [400, 502], ids=["refused", "unknown outcome"])
async def test_a_failed_submit_releases_its_permit(gateway: Gateway, fifth: Fifth, answer: int) -> None:
    """Also a submit of unknown outcome does not block the next job."""
    gateway.on("POST", "/videos", answer, {"id": "t-1", "status": "queued"})

    async with fifth.open(poll=RARELY, limits=limits(1)) as client:
        with pytest.raises(hh.HappyHorseError):
            await client.submit(REQUEST)
        handle = await asyncio.wait_for(client.submit(REQUEST), 100)

    assert "t-1" == handle.id


async def test_a_submit_that_got_a_429_is_retried_before_other_jobs(gateway: Gateway, fifth: Fifth) -> None:
    """Until then its permit is free."""
    gateway.on("POST", "/videos", 429, {"id": "t-1", "status": "queued"}, {"id": "t-2", "status": "queued"})

    async with fifth.open(poll=RARELY, limits=limits(1)) as client:
        first = await asyncio.wait_for(client.submit(REQUEST), 100)
        await client.enqueue(REQUEST)
        await exactly(2, gateway)

    assert "t-1" == first.id


async def test_clients_with_the_same_limits_object_share_the_permits(gateway: Gateway, fifth: Fifth) -> None:
    """When one client is closed, its permits are free for the other."""
    accept_all(gateway)
    shared = limits(2)

    async with fifth.client(limits=shared, poll=RARELY) as second:
        async with fifth.client(limits=shared, poll=RARELY) as first:
            await first.submit(REQUEST)
            await first.submit(REQUEST)
            handle = await second.enqueue(REQUEST)
            await exactly(2, gateway)
        await exactly(3, gateway)

        assert "t-2" == handle.id


async def test_a_resumed_task_counts_as_running_at_the_provider(gateway: Gateway, fifth: Fifth) -> None:
    accept_all(gateway)
    store = hh.MemoryStore()
    async with fifth.client(store=store, poll=RARELY) as client:
        ref = (await client.submit(REQUEST)).ref
    assert ref is not None

    async with fifth.client(store=store, poll=RARELY, limits=limits(1)) as client:
        with pytest.raises(hh.WaitTimeoutError):
            await client.resume(ref).wait(0.03)
        await client.enqueue(REQUEST)
        await exactly(1, gateway)
        assert 2 == len(await client.pending())


async def test_a_model_without_room_does_not_block_other_models(gateway: Gateway, fifth: Fifth) -> None:
    accept_all(gateway)
    adapter = fifth.adapter(limits_per_model=True)

    async with fifth.open(adapter, poll=RARELY, limits=limits(1)) as client:
        for prompt in ("one", "two"):
            await client.enqueue(hh.TextToVideo(prompt))
        await client.enqueue(hh.TextToVideo("another", model="other-model"))
        await exactly(2, gateway)

    assert ["one", "another"] == prompts(gateway)
