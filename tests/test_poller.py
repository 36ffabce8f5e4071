"""The shared poller: what a look may meet on the way, and that the task goes on all the same."""

from __future__ import annotations

import asyncio
import logging
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

import happyhorse_async as hh

from .broken import BROKEN

if TYPE_CHECKING:
    from conftest import Ending, Fifth, Gateway

pytestmark = pytest.mark.usefixtures("no_chance")

REQUEST = hh.TextToVideo("a train at night")

FAULTS: dict[str, Any] = {
    **BROKEN,
    "NaN": b'HTTP/1.1 200 OK\r\n\r\n{"id": "t-1", "progress": NaN}',
    "not UTF-8": b'HTTP/1.1 200 OK\r\n\r\n{"id": "\xff"}',
    "a redirect": b"HTTP/1.1 302 Found\r\nLocation: https://login.example/\r\nContent-Length: 0\r\n\r\n",
    "a redirect to nowhere": b"HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n",
    "another task": {"id": "t-9", "status": "done", "urls": ["https://other.example/somebody-elses.mp4"]},
    "an adapter's bug": {"id": "t-1", "status": "running", "urls": 7},
}


def script(gateway: Gateway, *looks: Any) -> None:
    """Accept a submit as t-1, and answer looks at it with *looks* in turn."""
    gateway.accept("t-1")
    gateway.show("t-1", *(gateway.raw(*look) if isinstance(look, tuple) else look for look in looks))


@pytest.mark.fault(6, 8, 10, 13, 14, 15, 16, 17, 20, 22, 27, 35, 36, 37, 42, 57, 63)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_fault_does_not_fail_the_task(
    gateway: Gateway, fifth: Fifth, fault: bytes | int | tuple[bytes, Ending] | dict[str, Any]
) -> None:
    """Whatever a look meets, the task is looked at again, and its video is delivered."""
    script(gateway, "running", fault, fault, "running", fault, "done")

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        seen = [task.status async for task in handle.updates()]

    assert [hh.TaskStatus.PENDING, hh.TaskStatus.RUNNING, hh.TaskStatus.SUCCEEDED] == seen
    assert 1 == len(gateway.seen("POST"))


@pytest.mark.fault(2)
async def test_a_server_that_is_away(gateway: Gateway, fifth: Fifth) -> None:
    """While nobody listens the waiting goes on, and once somebody does again the video is delivered."""
    script(gateway, "running", "done")

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        await gateway.until(1, "GET")
        await gateway.stop()
        with pytest.raises(hh.TransportError) as caught:
            await client.fetch(str(handle.ref))
        await gateway.start()
        task = await handle

    assert not caught.value.sent
    assert hh.TaskStatus.SUCCEEDED is task.status


async def test_faults_slow_the_looks_down(gateway: Gateway, fifth: Fifth) -> None:
    """From fault to fault the next look is later, and after a good one the pace is back."""
    script(gateway, 502, 502, 502, 502, "running", "done")

    async with fifth.open(poll=hh.PollSchedule(interval=0.02, jitter=0)) as client:
        await client.generate(REQUEST)

    times = [seen.at for seen in gateway.seen("GET")]
    waits = [after - before for before, after in pairwise(times)]
    assert all(wait >= least for wait, least in zip(waits, [0.02, 0.04, 0.08, 0.16], strict=False))
    assert waits[4] < 0.16


async def test_a_bug_in_an_adapter_is_reported(
    gateway: Gateway, fifth: Fifth, caplog: pytest.LogCaptureFixture
) -> None:
    """What is no fault of the provider is logged with its traceback, and only it."""
    script(gateway, {"id": "t-1", "status": "running", "urls": 7}, 502, "done")

    async with fifth.open() as client:
        await client.generate(REQUEST)

    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.exc_info is not None
    assert TypeError is record.exc_info[0]
    assert "/t-1" in record.getMessage()


@pytest.mark.fault(32)
async def test_too_many_queries(gateway: Gateway, fifth: Fifth) -> None:
    """A 429 with a wish holds back the looks at every task of the account for that long."""
    gateway.accept("t-1", "t-2")
    gateway.show("t-1", gateway.reply({}, status=429, headers={"Retry-After": "0.5"}), "done")
    gateway.show("t-2", "done")

    async with fifth.open(poll=hh.PollSchedule(interval=0.01, first_after=0.05, jitter=0)) as client:
        first = await client.submit(REQUEST)
        await gateway.until(1, "GET")
        second = await client.submit(REQUEST)
        await asyncio.gather(first.wait(), second.wait())

    refused, *others = gateway.seen("GET")
    assert "/videos/t-1" == refused.path
    assert all(seen.at - refused.at >= 0.5 for seen in others)


@pytest.mark.fault(31)
async def test_too_many_queries_without_a_wish(gateway: Gateway, fifth: Fifth) -> None:
    """A 429 without a wish slows down, and does not count against the task."""
    script(gateway, 429, "done")

    async with fifth.open(poll=hh.PollSchedule(interval=0.01, not_found_retries=1)) as client:
        await client.generate(REQUEST)

    refused, other = gateway.seen("GET")
    assert other.at - refused.at >= 0.25


@pytest.mark.fault(55)
async def test_a_status_of_unknown_name(gateway: Gateway, fifth: Fifth) -> None:
    """A word we do not know is passed on as it is and ends nothing."""
    script(gateway, "dreaming", {"id": "t-1"}, "done")

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        seen = [(task.status, task.raw_status) async for task in handle.updates()]

    assert (hh.TaskStatus.UNKNOWN, "dreaming") == seen[1]
    assert (hh.TaskStatus.UNKNOWN, None) == seen[2]
    assert hh.TaskStatus.SUCCEEDED == seen[-1][0]


@pytest.mark.fault(59)
async def test_a_status_that_goes_backwards(gateway: Gateway, fifth: Fifth) -> None:
    """A task that was running and is queued again is passed on as it is."""
    script(gateway, "running", "queued", "running", "done")

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        seen = [task.raw_status async for task in handle.updates()]

    assert ["queued", "running", "queued", "running", "done"] == seen


@pytest.mark.fault(59)
async def test_the_first_end_stays(gateway: Gateway, fifth: Fifth) -> None:
    """A task that has ended does not change any more, whatever the provider says later."""
    script(gateway, "done", "failed")

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        await handle
        fetched = await client.fetch("fifth:t-1")
        task = await handle

    assert hh.TaskStatus.FAILED is fetched.status
    assert hh.TaskStatus.SUCCEEDED is task.status
    assert 2 == len(gateway.seen("GET"))


async def test_a_task_is_not_looked_at_after_its_end(gateway: Gateway, fifth: Fifth) -> None:
    """The end of a task is the end of the looks at it."""
    script(gateway, "done")

    async with fifth.open() as client:
        await client.generate(REQUEST)
        await asyncio.sleep(0.05)

    assert 1 == len(gateway.seen("GET"))


async def test_a_submit_that_is_done_at_once(gateway: Gateway, fifth: Fifth) -> None:
    """A task whose very acceptance says that it has ended is never looked at."""
    gateway.on("POST", "/videos", {"id": "t-1", "status": "done", "urls": ["https://fifth.example/t-1.mp4"]})

    async with fifth.open() as client:
        task = await client.generate(REQUEST)
        await asyncio.sleep(0.05)

    assert "https://fifth.example/t-1.mp4" == task.video_url
    assert [] == gateway.seen("GET")


async def test_another_look_ends_the_waiting(gateway: Gateway, fifth: Fifth) -> None:
    """What is learned by `fetch` enters by the same door: whoever waits is told."""
    script(gateway, "done")

    async with fifth.open(poll=hh.PollSchedule(interval=3600)) as client:
        handle = await client.submit(REQUEST)
        waiting = asyncio.create_task(handle.wait())
        await asyncio.sleep(0)
        fetched = await client.fetch("fifth:t-1")
        task = await waiting

    assert fetched == task


async def test_the_first_look_is_late(gateway: Gateway, fifth: Fifth) -> None:
    """Nothing finishes in the first seconds, so the first look waits for as long as it was told."""
    script(gateway, "done")

    async with fifth.open(poll=hh.PollSchedule(interval=0.01, first_after=0.3, jitter=0)) as client:
        await client.generate(REQUEST)

    (submit,), (look,) = gateway.seen("POST"), gateway.seen("GET")
    assert look.at - submit.at >= 0.3


async def test_a_task_that_is_due_earlier_is_looked_at_earlier(gateway: Gateway, fifth: Fifth) -> None:
    """A task that is resumed is not kept waiting by one whose look is an hour away."""
    script(gateway, "running")
    gateway.show("t-2", "done")

    async with fifth.open(poll=hh.PollSchedule(interval=3600)) as client:
        await client.submit(REQUEST)
        await asyncio.sleep(0.02)
        async with asyncio.timeout(20):
            task = await client.resume("fifth:t-2")

    assert "t-2" == task.id
    assert ["/videos/t-2"] == [seen.path for seen in gateway.seen("GET")]


async def test_the_budget_is_kept(gateway: Gateway, fifth: Fifth) -> None:
    """However many tasks are due, looks go out no faster than the account allows."""
    gateway.on("POST", "/videos", *({"id": f"t-{number}", "status": "queued"} for number in range(30)))
    for number in range(30):
        gateway.show(f"t-{number}", "running", "done")
    limits = hh.Limits(queries_per_second=40)

    async with fifth.open(limits=limits) as client:
        handles = await asyncio.gather(*(client.submit(REQUEST) for _ in range(30)))
        await asyncio.gather(*(handle.wait() for handle in handles))

    times = [seen.at for seen in gateway.seen("GET")]
    assert 60 == len(times)
    assert all(later - earlier > 0.95 for earlier, later in zip(times, times[40:], strict=False))


async def test_no_coroutine_for_a_task(gateway: Gateway, fifth: Fifth) -> None:
    """Three hundred tasks in flight run no more coroutines than one does."""
    numbers = iter(range(300))
    gateway.on("POST", "/videos", lambda seen: {"id": f"t-{next(numbers)}", "status": "queued"})

    async with fifth.open(poll=hh.PollSchedule(interval=3600)) as client:
        first = await client.submit(REQUEST)
        few = await settled()
        rest = await asyncio.gather(*(client.submit(REQUEST) for _ in range(299)))
        many = await settled()

    assert 300 == len({handle.ref for handle in [first, *rest]})
    assert many <= few


async def settled() -> int:
    """Count what runs in the event loop, but for the server's connections."""
    await asyncio.sleep(0.02)
    return sum("_serve" not in repr(task) for task in asyncio.all_tasks())
