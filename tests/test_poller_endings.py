"""The shared poller: what does end the waiting, and what the one who waited is told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import happyhorse_async as hh

if TYPE_CHECKING:
    from conftest import Fifth, Gateway

pytestmark = pytest.mark.usefixtures("no_chance")

REQUEST = hh.TextToVideo("a train at night")
EMPTY: dict[str, Any] = {"id": "t-1", "status": "done", "urls": []}


@pytest.fixture(autouse=True)
def accepting(gateway: Gateway) -> None:
    """Accept every submit as t-1."""
    gateway.accept("t-1")


@pytest.mark.fault(62)
async def test_a_failed_task(gateway: Gateway, fifth: Fifth) -> None:
    """A task that failed raises with its last observation, its code and its names."""
    gateway.show("t-1", "running", {"id": "t-1", "status": "failed", "error": "the prompt is too dull"})

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        with pytest.raises(hh.TaskFailedError, match="the prompt is too dull") as raised:
            await handle

    assert ("fifth:t-1", handle.job_id) == (str(raised.value.ref), raised.value.job_id)
    assert handle.task is raised.value.task
    assert "E1" == raised.value.code
    assert hh.FailureReason.UNKNOWN is raised.value.reason


async def test_a_canceled_task(gateway: Gateway, fifth: Fifth) -> None:
    """A task that somebody cancelled raises an error of its own."""
    gateway.show("t-1", "canceled")

    async with fifth.open() as client:
        with pytest.raises(hh.TaskCanceledError) as raised:
            await client.generate(REQUEST)

    assert "fifth:t-1" == str(raised.value.ref)


@pytest.mark.fault(24, 25, 94)
@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, hh.AuthenticationError), (402, hh.QuotaExceededError), (403, hh.PermissionDeniedError)],
)
async def test_what_will_not_heal(
    gateway: Gateway, fifth: Fifth, status: int, expected: type[hh.HappyHorseError]
) -> None:
    """A refused key ends the waiting at once; the task stays as it is, and whoever waits later looks again."""
    gateway.show("t-1", "running", status, "done")

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        with pytest.raises(expected) as raised:
            await handle
        looks = len(gateway.seen("GET"))
        await asyncio.sleep(0.05)
        idle = len(gateway.seen("GET"))
        stood = handle.task
        task = await handle

    assert ("fifth:t-1", handle.job_id) == (str(raised.value.ref), raised.value.job_id)
    assert 2 == looks == idle
    assert stood is not None
    assert hh.TaskStatus.RUNNING is stood.status
    assert hh.TaskStatus.SUCCEEDED is task.status


async def test_a_refused_key_ends_updates(gateway: Gateway, fifth: Fifth) -> None:
    """Updates end with the same error, after what was seen before it."""
    gateway.show("t-1", "running", 401, "done")

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        updates = handle.updates()
        seen = [(await anext(updates)).raw_status, (await anext(updates)).raw_status]
        with pytest.raises(hh.AuthenticationError) as raised:
            await anext(updates)
        later = [task.raw_status async for task in handle.updates()]

    assert ["queued", "running"] == seen
    assert "fifth:t-1" == str(raised.value.ref)
    assert ["running", "done"] == later


async def test_a_refused_look(gateway: Gateway, fifth: Fifth) -> None:
    """A refusal of the look itself is believed when it is repeated as often as a miss would be."""
    gateway.show("t-1", 400)

    async with fifth.open(poll=hh.PollSchedule(interval=0.01, not_found_retries=3)) as client:
        with pytest.raises(hh.InvalidRequestError) as raised:
            await client.generate(REQUEST)

    assert 3 == len(gateway.seen("GET"))
    assert "fifth:t-1" == str(raised.value.ref)


@pytest.mark.fault(58)
async def test_a_task_that_is_gone(gateway: Gateway, fifth: Fifth) -> None:
    """A task is expired when the provider did not know it five times in a row."""
    gateway.show("t-1", "running", 404)

    async with fifth.open() as client:
        with pytest.raises(hh.TaskExpiredError) as raised:
            await client.generate(REQUEST)

    assert 6 == len(gateway.seen("GET"))
    assert hh.TaskStatus.EXPIRED is raised.value.task.status
    assert "running" == raised.value.task.raw_status


async def test_a_task_that_was_never_there(gateway: Gateway, fifth: Fifth) -> None:
    """A resumed task that the provider never knew is expired too, and has nothing to show but its name."""
    gateway.show("t-0", 404)

    async with fifth.open(poll=hh.PollSchedule(interval=0.01, not_found_retries=1)) as client:
        with pytest.raises(hh.TaskExpiredError) as raised:
            await client.resume("fifth:t-0")

    assert hh.Task(ref=hh.TaskRef("fifth", "t-0"), status=hh.TaskStatus.EXPIRED) == raised.value.task


@pytest.mark.fault(58)
async def test_a_task_that_reappears(gateway: Gateway, fifth: Fifth) -> None:
    """Misses count only in a row: a task that is seen again starts anew."""
    gateway.show("t-1", *[404] * 4, "running", *[404] * 4, "done")

    async with fifth.open() as client:
        task = await client.generate(REQUEST)

    assert hh.TaskStatus.SUCCEEDED is task.status
    assert 10 == len(gateway.seen("GET"))


@pytest.mark.fault(58)
async def test_an_expired_task_can_be_resumed(gateway: Gateway, fifth: Fifth) -> None:
    """That a task is gone is our conclusion, not the provider's: resuming it looks again."""
    gateway.show("t-1", *[404] * 5, "done")

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        with pytest.raises(hh.TaskExpiredError):
            await handle
        task = await client.resume("fifth:t-1")
        with pytest.raises(hh.TaskExpiredError):
            await handle

    assert hh.TaskStatus.SUCCEEDED is task.status


@pytest.mark.fault(61)
async def test_a_success_without_a_video(gateway: Gateway, fifth: Fifth) -> None:
    """A success that delivers nothing is looked at three times more, and then it is a failure."""
    gateway.show("t-1", EMPTY)

    async with fifth.open() as client:
        with pytest.raises(hh.TaskFailedError) as raised:
            await client.generate(REQUEST)

    assert 4 == len(gateway.seen("GET"))
    assert hh.FailureReason.NO_OUTPUT is raised.value.reason
    assert EMPTY == raised.value.task.raw


@pytest.mark.fault(61)
async def test_a_video_that_comes_late(gateway: Gateway, fifth: Fifth) -> None:
    """A success whose video is there at the next look is a success, and nobody saw it fail."""
    gateway.show("t-1", EMPTY, EMPTY, "done")

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        seen = [task.status async for task in handle.updates()]

    assert [hh.TaskStatus.PENDING, hh.TaskStatus.SUCCEEDED] == seen


@pytest.mark.fault(60)
async def test_a_lifetime_that_is_over(gateway: Gateway, fifth: Fifth) -> None:
    """A task that the provider shows as active does not expire, however old it is."""
    gateway.show("t-1", *["running"] * 20, "done")

    async with fifth.open(fifth.adapter(task_ttl=0.05)) as client:
        task = await client.generate(REQUEST)

    assert hh.TaskStatus.SUCCEEDED is task.status


async def test_a_lifetime_that_ends_in_an_outage(gateway: Gateway, fifth: Fifth) -> None:
    """The lifetime holds while every look fails, and the last look comes at its end."""
    gateway.show("t-1", 502)

    async with fifth.open(fifth.adapter(task_ttl=0.3), poll=hh.PollSchedule(interval=0.05)) as client:
        with pytest.raises(hh.TaskExpiredError):
            await client.generate(REQUEST)

    (submit,), looks = gateway.seen("POST"), gateway.seen("GET")
    assert 0.25 < looks[-1].at - submit.at < 0.5


@pytest.mark.fault(54)
async def test_a_task_that_is_older_than_it_can_be(gateway: Gateway, fifth: Fifth) -> None:
    """A resumed task that is shown as active is polled on, although the provider should have forgotten it by now."""
    old = {"id": "t-1", "created": (datetime.now(UTC) - timedelta(days=99)).isoformat()}
    gateway.show("t-1", *[old | {"status": "running"}] * 20, "done")

    async with fifth.open() as client:
        task = await client.resume("fifth:t-1").wait(5)

    assert hh.TaskStatus.SUCCEEDED is task.status


@pytest.mark.fault(54)
@pytest.mark.parametrize("hours", [-48, 48])
async def test_a_clock_that_is_wrong(gateway: Gateway, fifth: Fifth, hours: int) -> None:
    """A task that was accepted a moment ago is no older than that, whatever the two clocks say."""
    created = (datetime.now(UTC) + timedelta(hours=hours)).isoformat()
    gateway.on("POST", "/videos", {"id": "t-1", "status": "queued", "created": created})
    gateway.show("t-1", {"id": "t-1", "status": "running", "created": created}, "done")

    async with fifth.open() as client:
        task = await client.generate(REQUEST)

    assert hh.TaskStatus.SUCCEEDED is task.status


async def test_two_handles_know_the_same(gateway: Gateway, fifth: Fifth) -> None:
    """Whoever resumes a task that is being watched shares its looks and its observations."""
    gateway.show("t-1", "running", "running", "done")

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        other = client.resume(str(handle.ref))
        first, second = await asyncio.gather(handle.wait(), other.wait())

    assert first is second
    assert handle.job_id == other.job_id
    assert 3 == len(gateway.seen("GET"))
