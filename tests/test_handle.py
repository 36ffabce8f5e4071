"""A handle: waiting, giving up waiting, and watching on."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

import happyhorse_async as hh

if TYPE_CHECKING:
    from conftest import Fifth, Gateway

REQUEST = hh.TextToVideo("a train at night")
SLOWLY = hh.PollSchedule(interval=3600)


@pytest.fixture(autouse=True)
def accepting(gateway: Gateway) -> None:
    """Accept every submit as t-1."""
    gateway.accept("t-1")


async def test_a_handle_knows_its_task(gateway: Gateway, fifth: Fifth) -> None:
    """From the first moment a handle has the task's names and what the acceptance said."""
    async with fifth.open(poll=SLOWLY) as client:
        handle = await client.submit(REQUEST)

    assert ("fifth:t-1", "t-1") == (str(handle.ref), handle.id)
    assert handle.job_id.startswith("hh-")
    assert handle.task is not None
    assert hh.TaskStatus.PENDING is handle.task.status
    assert "<TaskHandle fifth:t-1 PENDING>" == repr(handle)


async def test_a_handle_can_be_awaited_again(gateway: Gateway, fifth: Fifth) -> None:
    """The same task comes out of every await, without another look."""
    gateway.show("t-1", "done")

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        first = await handle
        second = await handle.wait(0)

    assert first is second
    assert first.video_url == f"{gateway.url}/files/t-1.mp4?signature=s3cr3t"
    assert 1 == len(gateway.seen("GET"))


@pytest.mark.fault(60)
async def test_a_timeout_leaves_the_task(gateway: Gateway, fifth: Fifth) -> None:
    """Waiting that takes too long is a TimeoutError with the task's names, and the task goes on."""
    finish = asyncio.Event()
    gateway.show("t-1", lambda seen: {"id": "t-1", "status": "done" if finish.is_set() else "running", "urls": ["u"]})

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        async for snapshot in handle.updates():
            if snapshot.status is hh.TaskStatus.RUNNING:
                break
        with pytest.raises(TimeoutError, match=r"within 0\.05 s; it goes on") as raised:
            await handle.wait(0.05)
        finish.set()
        task = await handle

    error = raised.value
    assert isinstance(error, hh.WaitTimeoutError)
    assert (handle.ref, handle.job_id) == (error.ref, error.job_id)
    assert error.task is not None
    assert hh.TaskStatus.RUNNING is error.task.status
    assert hh.TaskStatus.SUCCEEDED is task.status
    assert 1 == len(gateway.seen("POST"))


async def test_a_timeout_of_the_caller(gateway: Gateway, fifth: Fifth) -> None:
    """A timeout around the waiting is the caller's own: it is passed on as it is."""
    async with fifth.open(poll=SLOWLY) as client:
        handle = await client.submit(REQUEST)
        with pytest.raises(TimeoutError) as raised:
            async with asyncio.timeout(0.02):
                await handle.wait(60)

    assert TimeoutError is type(raised.value)


async def test_two_waiters_share_the_looks(gateway: Gateway, fifth: Fifth) -> None:
    """However many wait for one task, it is looked at once."""
    gateway.show("t-1", "running", "done")

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        tasks = await asyncio.gather(*(handle.wait() for _ in range(5)), handle)

    assert 1 == len({id(task) for task in tasks})
    assert 2 == len(gateway.seen("GET"))


@pytest.mark.parametrize(
    ("look", "expected"), [("failed", hh.TaskFailedError), (401, hh.AuthenticationError)], ids=["failed", "refused"]
)
async def test_each_waiter_gets_an_exception_of_its_own(
    gateway: Gateway, fifth: Fifth, look: str | int, expected: type[Exception]
) -> None:
    """Two waiters never share an exception, or one's traceback would show up at the other."""
    gateway.show("t-1", look)

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        first, second = await asyncio.gather(handle.wait(), handle.wait(), return_exceptions=True)

    assert [expected, expected] == [type(first), type(second)]
    assert first is not second
    assert str(first) == str(second)


@pytest.mark.fault(77)
@pytest.mark.fault(81)
async def test_a_waiter_who_leaves(gateway: Gateway, fifth: Fifth) -> None:
    """Cancelling one waiter ends its waiting alone."""
    gateway.show("t-1", "running", "running", "done")

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        leaving = asyncio.create_task(handle.wait())
        staying = asyncio.create_task(handle.wait())
        await gateway.until(1, "GET")
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        task = await staying

    assert hh.TaskStatus.SUCCEEDED is task.status


async def test_updates(gateway: Gateway, fifth: Fifth) -> None:
    """Each change comes once, the end last, however often the same is seen."""
    at_half = {"id": "t-1", "status": "running", "progress": 50}
    gateway.show("t-1", "queued", "running", "running", at_half, at_half, "done")

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        seen = [(task.raw_status, task.progress) async for task in handle.updates()]

    assert [("queued", None), ("running", None), ("running", 50), ("done", None)] == seen
    assert 6 == len(gateway.seen("GET"))


async def test_the_providers_object_is_there(gateway: Gateway, fifth: Fifth) -> None:
    """Whoever is shown a task is shown the provider's object too: at any time, at the end, and by an error."""
    running = {"id": "t-1", "status": "running", "progress": 50}
    gateway.show("t-1", running, running, {"id": "t-1", "status": "failed", "extra": [1]})

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        accepted = handle.task
        seen = [task.raw async for task in handle.updates()]
        with pytest.raises(hh.TaskFailedError) as raised:
            await handle

    assert accepted is not None
    assert {"id": "t-1", "status": "queued"} == accepted.raw
    assert [accepted.raw, running, {"id": "t-1", "status": "failed", "extra": [1]}] == seen
    assert seen[-1] == raised.value.task.raw


async def test_each_change_has_its_time(gateway: Gateway, fifth: Fifth) -> None:
    """Every change says when it was observed, one after the other."""
    gateway.show("t-1", "running", "done")

    begun = datetime.now(UTC)
    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        times = [task.observed_at async for task in handle.updates() if task.observed_at]

    assert 3 == len(times)
    moments = [begun, *times, datetime.now(UTC)]
    assert sorted(moments) == moments


async def test_updates_of_a_failed_task(gateway: Gateway, fifth: Fifth) -> None:
    """A failure is an update like any other: it is yielded, not raised."""
    gateway.show("t-1", "failed")

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        seen = [task.status async for task in handle.updates()]
        again = [task.status async for task in handle.updates()]

    assert [hh.TaskStatus.PENDING, hh.TaskStatus.FAILED] == seen
    assert [hh.TaskStatus.FAILED] == again


@pytest.mark.fault(81)
async def test_updates_can_be_left(gateway: Gateway, fifth: Fifth) -> None:
    """Leaving the updates early disturbs neither the task nor who else waits."""
    gateway.show("t-1", "running", "running", "done")

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        async for task in handle.updates():
            if task.raw_status == "running":
                break
        task = await handle

    assert hh.TaskStatus.SUCCEEDED is task.status


@pytest.mark.fault(81)
async def test_a_slow_consumer_holds_up_nobody(gateway: Gateway, fifth: Fifth) -> None:
    """A consumer that falls far behind misses the oldest updates and still gets the end."""
    looks = [{"id": "t-1", "status": "running", "progress": number / 2} for number in range(150)]
    gateway.show("t-1", *looks, "done")

    async with fifth.open(poll=hh.PollSchedule(interval=0.001)) as client:
        handle = await client.submit(REQUEST)
        updates = handle.updates()
        first = await anext(updates)
        await handle
        rest = [task.progress async for task in updates]

    assert hh.TaskStatus.PENDING is first.status
    assert [*(number / 2 for number in range(51, 150)), None] == rest


async def collect(handle: hh.TaskHandle) -> list[hh.Task]:
    """Take all updates."""
    return [task async for task in handle.updates()]


async def test_a_closed_client(gateway: Gateway, fifth: Fifth) -> None:
    """A handle of a closed client says that it cannot wait, unless it knows the end already."""
    gateway.show("t-1", "done")
    gateway.show("t-2", "running")

    async with fifth.open() as client:
        ended = await client.submit(REQUEST)
        await ended
        going_on = client.resume("fifth:t-2")

    assert "done" == (await ended).raw_status
    with pytest.raises(RuntimeError, match="not open"):
        await going_on
    with pytest.raises(RuntimeError, match="not open"):
        await anext(going_on.updates())


@pytest.mark.fault(79)
async def test_a_client_that_opens_again(gateway: Gateway, fifth: Fifth) -> None:
    """A handle from an earlier time when the client was open is as good as ever."""
    gateway.show("t-1", "running")
    client = fifth.client(poll=SLOWLY)

    async with client:
        handle = await client.submit(REQUEST)
    async with client:
        waiting = asyncio.create_task(handle.wait(5))
        await gateway.until(1, "GET")
        gateway.show("t-1", "done")
        fetched = await client.fetch("fifth:t-1")
        task = await waiting

    assert hh.TaskStatus.SUCCEEDED is task.status
    assert fetched == task


@pytest.mark.fault(79)
async def test_another_event_loop(gateway: Gateway, fifth: Fifth) -> None:
    """A handle that is used on another event loop says so, and does not hang."""
    async with fifth.open(poll=SLOWLY) as client:
        handle = await client.submit(REQUEST)
        errors: list[Exception] = []

        def elsewhere() -> None:
            for use in (handle.wait, lambda: collect(handle), handle.cancel, lambda: handle.download("x.mp4")):
                try:
                    asyncio.run(use())
                except RuntimeError as error:
                    errors.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        await asyncio.to_thread(thread.join, 5)

    assert 4 == len(errors)
    assert all("another event loop" in str(error) for error in errors)


async def test_a_handle_can_be_gathered(gateway: Gateway, fifth: Fifth) -> None:
    """`wait` is a coroutine, fit for a task group, and a handle is awaitable wherever a future is."""
    gateway.show("t-1", "running", "done")

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(handle.wait())

    assert hh.TaskStatus.SUCCEEDED is task.result().status


async def test_canceling(gateway: Gateway, fifth: Fifth) -> None:
    """A cancellation that the provider accepts ends the task, for whoever waits as well."""
    gateway.on("POST", "/videos/t-1/cancel", {"canceled": True})
    gateway.show("t-1", "canceled")

    async with fifth.open(poll=SLOWLY) as client:
        handle = await client.submit(REQUEST)
        waiting = asyncio.create_task(handle.wait())
        await asyncio.sleep(0)
        task = await handle.cancel()
        assert task is not None
        with pytest.raises(hh.TaskCanceledError):
            await waiting

    assert hh.TaskStatus.CANCELED is task.status


async def test_canceling_too_late(gateway: Gateway, fifth: Fifth) -> None:
    """A cancellation that comes too late returns how the task stands, which goes on."""
    gateway.on("POST", "/videos/t-1/cancel", {"canceled": False})
    gateway.show("t-1", "running", "done")

    async with fifth.open(poll=hh.PollSchedule(interval=0.01, first_after=0.1)) as client:
        handle = await client.submit(REQUEST)
        task = await handle.cancel()
        assert task is not None
        end = await handle

    assert hh.TaskStatus.RUNNING is task.status
    assert hh.TaskStatus.SUCCEEDED is end.status


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(404, hh.TaskNotFoundError), (409, hh.InvalidRequestError), (500, hh.ProviderError), (b"", hh.TransportError)],
)
async def test_canceling_that_fails(
    gateway: Gateway, fifth: Fifth, answer: int | bytes, expected: type[hh.HappyHorseError]
) -> None:
    """A cancellation that is refused or lost is raised with the task's name, and is sent once."""
    gateway.on("POST", "/videos/t-1/cancel", answer)

    async with fifth.open(poll=SLOWLY) as client:
        handle = await client.submit(REQUEST)
        with pytest.raises(expected) as raised:
            await handle.cancel()

    assert handle.ref == raised.value.ref
    assert 1 == len(gateway.seen("POST", "/videos/t-1/cancel"))
