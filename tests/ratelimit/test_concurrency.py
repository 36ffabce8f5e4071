"""A burst of jobs at a provider that runs a few at a time: fed as it can take them, and the rest waits here."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

import happyhorse_async as hh

if TYPE_CHECKING:
    from conftest import Fifth, Gateway

pytestmark = pytest.mark.usefixtures("no_chance")

REQUEST = hh.TextToVideo("a train at night")
SLOWLY = hh.PollSchedule(interval=3600)


def endless(gateway: Gateway, status: str = "running") -> None:
    """Accept every submit as t-0, t-1 and so on. Each runs until it is ended, or shows another *status*."""
    numbers = iter(range(10_000))

    def accept(_: Any) -> dict[str, str]:
        task = f"t-{next(numbers)}"
        gateway.show(task, status)
        return {"id": task, "status": "queued"}

    gateway.on("POST", "/videos", accept)


async def still(gateway: Gateway, count: int) -> None:
    """Wait for *count* submits, and see that no more follow."""
    await gateway.until(count, "POST")
    await asyncio.sleep(0.03)
    assert count == len(gateway.seen("POST"))


def prompts(gateway: Gateway) -> list[str]:
    """Return the prompts in the order in which they were sent."""
    return [json.loads(seen.body)["prompt"] for seen in gateway.seen("POST")]


def limits(running: int, queued: int | None = None) -> hh.Limits:
    return hh.Limits(max_running=running, max_queued=queued)


async def test_as_many_as_the_provider_takes(gateway: Gateway, fifth: Fifth) -> None:
    """Those that run and those that may wait there are sent, and each that ends makes room for one."""
    endless(gateway)

    async with fifth.open(limits=limits(2, 1)) as client:
        handles = [await client.enqueue(REQUEST) for _ in range(10)]
        await still(gateway, 3)
        gateway.show("t-1", "done")
        await handles[1].wait(5)
        await still(gateway, 4)

        assert 10 == len({handle.job_id for handle in handles})
        assert [job.ref is not None for job in await client.pending()] == [True] * 3 + [False] * 6


async def test_in_order(gateway: Gateway, fifth: Fifth) -> None:
    """One after the other, in the order of the calls."""
    endless(gateway, "done")

    async with fifth.open(limits=limits(1)) as client:
        handles = [await client.enqueue(hh.TextToVideo(f"video {number}")) for number in range(5)]
        await asyncio.gather(*(handle.wait(5) for handle in handles))

    assert [f"video {number}" for number in range(5)] == prompts(gateway)


async def test_what_waits_can_be_cancelled(gateway: Gateway, fifth: Fifth) -> None:
    """A job that waits for a place is withdrawn, and never sent; those behind it move up."""
    endless(gateway)

    async with fifth.open(limits=limits(1)) as client:
        first = await client.enqueue(REQUEST)
        second, third = asyncio.create_task(client.submit(REQUEST)), await client.enqueue(hh.TextToVideo("the third"))
        await still(gateway, 1)
        second.cancel()
        await asyncio.wait([second])
        gateway.show("t-0", "done")
        await first.wait(5)
        await still(gateway, 2)

        assert "t-1" == third.id
        assert "the third" == prompts(gateway)[1]


@pytest.mark.parametrize("answer", [400, 502], ids=["refused", "lost"])
async def test_a_job_that_came_to_nothing_leaves_its_place(gateway: Gateway, fifth: Fifth, answer: int) -> None:
    """A submit that was refused, or whose outcome is unknown, keeps nobody waiting."""
    gateway.on("POST", "/videos", answer, {"id": "t-1", "status": "queued"})

    async with fifth.open(poll=SLOWLY, limits=limits(1)) as client:
        with pytest.raises(hh.HappyHorseError):
            await client.submit(REQUEST)
        handle = await asyncio.wait_for(client.submit(REQUEST), 5)

    assert "t-1" == handle.id


async def test_a_refusal_is_repeated_in_its_place(gateway: Gateway, fifth: Fifth) -> None:
    """While a job that was refused as too much waits to be sent again, its place is free; then it goes first."""
    gateway.on("POST", "/videos", 429, {"id": "t-1", "status": "queued"}, {"id": "t-2", "status": "queued"})

    async with fifth.open(poll=SLOWLY, limits=limits(1)) as client:
        first = await asyncio.wait_for(client.submit(REQUEST), 5)
        await client.enqueue(REQUEST)
        await still(gateway, 2)

    assert "t-1" == first.id


async def test_one_object_counts_for_all(gateway: Gateway, fifth: Fifth) -> None:
    """Clients that share their limits share the places, and what one of them no longer needs the other gets."""
    endless(gateway)
    shared = limits(2)

    async with fifth.client(limits=shared, poll=SLOWLY) as second:
        async with fifth.client(limits=shared, poll=SLOWLY) as first:
            await first.submit(REQUEST)
            await first.submit(REQUEST)
            handle = await second.enqueue(REQUEST)
            await still(gateway, 2)
        await still(gateway, 3)

        assert "t-2" == handle.id


async def test_a_task_that_is_taken_up_counts(gateway: Gateway, fifth: Fifth) -> None:
    """A task of an earlier time that somebody waits for is one of those that run."""
    endless(gateway)
    store = hh.MemoryStore()
    async with fifth.client(store=store, poll=SLOWLY) as client:
        ref = (await client.submit(REQUEST)).ref
    assert ref is not None

    async with fifth.client(store=store, poll=SLOWLY, limits=limits(1)) as client:
        with pytest.raises(hh.WaitTimeoutError):
            await client.resume(ref).wait(0.03)
        await client.enqueue(REQUEST)
        await still(gateway, 1)
        assert 2 == len(await client.pending())


async def test_models_that_are_counted_apart(gateway: Gateway, fifth: Fifth) -> None:
    """Where the provider counts by model, one that is full does not hold up the others."""
    endless(gateway)
    adapter = fifth.adapter(limits_per_model=True)

    async with fifth.open(adapter, poll=SLOWLY, limits=limits(1)) as client:
        for prompt in ("one", "two"):
            await client.enqueue(hh.TextToVideo(prompt))
        await client.enqueue(hh.TextToVideo("another", model="other-model"))
        await still(gateway, 2)

    assert ["one", "another"] == prompts(gateway)


async def test_a_wait_of_hours_is_said_at_once(
    gateway: Gateway, fifth: Fifth, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot begin in the provider's own time is said in the plan, logged once, and costs no coroutine."""
    endless(gateway)
    caplog.set_level(logging.WARNING, "happyhorse_async")
    adapter = fifth.adapter(execution_timeout=3 * 3600.0)

    async with fifth.open(adapter, poll=SLOWLY, limits=limits(5, 50)) as client:
        assert not any("hours" in warning for warning in client.plan(REQUEST).warnings)
        before = len(asyncio.all_tasks())
        for _ in range(400):
            await client.enqueue(REQUEST)
        [warning] = [warning for warning in client.plan(REQUEST).warnings if "hours" in warning]
        # The server's connections are a few.
        assert len(asyncio.all_tasks()) < before + 70

    assert "400 jobs are before it" in warning
    [logged] = [message for message in caplog.messages if "jobs are before it" in message]
    assert "301 jobs are before it" in logged


@pytest.mark.parametrize(("end", "sent"), [("done", 41), ("failed", 22)])
async def test_a_fast_provider_is_given_more(gateway: Gateway, fifth: Fifth, end: str, sent: int) -> None:
    """Where tasks may grow too old, as many are sent as end in time at a usual pace, until the true one is known."""
    endless(gateway)
    adapter = fifth.adapter(execution_timeout=36 * 60.0)

    async with fifth.open(adapter, limits=limits(1, 30)) as client:
        for _ in range(60):
            await client.enqueue(REQUEST)
        await still(gateway, 12)
        for number in range(10):
            gateway.show(f"t-{number}", end)
        await still(gateway, sent)
