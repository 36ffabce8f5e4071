"""Several clients with one journal, as the processes of a cluster: each job is sent and polled by one of them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh
from happyhorse_async.job import JobState

Shared = Callable[[], hh.TaskStore]

_NUMBERS = itertools.count()
REQUEST = hh.TextToVideo("a train at night")
QUICKLY = hh.PollSchedule(interval=0.05)
SLOWLY = hh.PollSchedule(interval=3600)


@pytest.fixture(params=["sqlite", "postgres"])
def shared(request: pytest.FixtureRequest, path: Path) -> Shared:
    """Make stores that have their jobs in common, as processes do: on one machine, and on several."""
    if request.param == "sqlite":
        return lambda: hh.SQLiteStore(path)
    url = request.getfixturevalue("postgres_server").url
    schema = f"cluster_{next(_NUMBERS)}"
    return lambda: hh.PostgresStore(url, schema=schema, takeover_after=0.0)


def numbered(gateway: Any) -> None:
    numbers = iter(range(1000))
    gateway.on("POST", "/videos", lambda _: {"id": f"t-{next(numbers)}", "status": "queued"})


async def test_a_task_is_polled_by_one_process_and_wakes_the_waiters_of_all(
    gateway: Any, fifth: Any, shared: Shared
) -> None:
    """The others learn of the end from the journal. They send nothing."""
    gateway.accept("t-1")
    gateway.show("t-1", "running", "running", "done")

    async with (
        fifth.client(store=shared(), poll=QUICKLY) as owner,
        fifth.client(store=shared(), poll=QUICKLY) as other,
        fifth.client(store=shared(), poll=QUICKLY) as third,
    ):
        handle = await owner.submit(REQUEST)
        async with asyncio.timeout(20):
            tasks = await asyncio.gather(
                handle.wait(), other.resume(handle.ref).wait(), third.resume_job(handle.job_id).wait()
            )

    assert ["t-1"] * 3 == [task.id for task in tasks]
    assert 3 == len(gateway.seen("GET"))


async def test_updates_come_from_the_journal(gateway: Any, fifth: Any, shared: Shared) -> None:
    """Every change that the owner records is yielded elsewhere, the end last."""
    gateway.accept("t-1")
    gateway.show("t-1", "running", "running", "done")

    async with (
        fifth.client(store=shared(), poll=hh.PollSchedule(interval=0.3)) as owner,
        fifth.client(store=shared(), poll=QUICKLY) as other,
    ):
        handle = await owner.submit(REQUEST)
        async with asyncio.timeout(20):
            seen = [task.status async for task in other.resume(handle.ref).updates()]
        owned = await owner.job(handle.job_id)

    assert hh.TaskStatus.RUNNING in seen
    assert hh.TaskStatus.SUCCEEDED is seen[-1]
    assert JobState.SUCCEEDED is owned.state
    assert 3 == len(gateway.seen("GET"))


async def test_a_client_that_does_not_work_leaves_its_jobs_to_others(gateway: Any, fifth: Any, shared: Shared) -> None:
    """It sends nothing itself. Its waiters are woken when a worker has begun, and when the video is there."""
    gateway.accept("t-1", "t-2")
    gateway.show("t-1", "done")
    gateway.show("t-2", "done")

    async with fifth.client(store=shared(), poll=QUICKLY, work=False) as web:
        enqueued = await web.enqueue(REQUEST)
        submitting = asyncio.create_task(web.submit(hh.TextToVideo("another")))
        await asyncio.sleep(0.3)
        before = len(gateway.requests)
        async with fifth.client(store=shared(), poll=QUICKLY), asyncio.timeout(20):
            submitted = await submitting
            tasks = [await enqueued, await submitted]

    assert 0 == before
    assert {"t-1", "t-2"} == {task.id for task in tasks}
    assert 2 == len(gateway.seen("POST"))


async def test_an_open_client_takes_over_what_another_leaves(gateway: Any, fifth: Any, shared: Shared) -> None:
    """Within seconds, and not only when it is opened: what is queued is sent, what was accepted is polled."""
    numbered(gateway)
    gateway.show("t-0", "running", "running", "done")
    one_only = hh.Limits(submits_per_second=0.001)

    async with fifth.client(store=shared(), poll=SLOWLY) as survivor:
        async with fifth.client(store=shared(), poll=SLOWLY, limits=one_only) as leaving:
            first = await leaving.submit(REQUEST)
            second = await leaving.enqueue(hh.TextToVideo("another"))
        async with asyncio.timeout(20):
            while 2 != (await survivor.health()).accounts["fifth"].jobs.get(JobState.ACCEPTED):
                await asyncio.sleep(0.02)
        states = {(await survivor.job(handle.job_id)).state for handle in (first, second)}

    assert first.job_id != second.job_id
    assert {JobState.ACCEPTED} == states
    assert 2 == len(gateway.seen("POST"))


async def test_a_job_is_run_by_any_number_and_paid_once(gateway: Any, fifth: Any, shared: Shared) -> None:
    """Also by a client that otherwise leaves its jobs to others, and again after the end."""
    gateway.accept("t-1")
    gateway.show("t-1", "running", "done")

    async with (
        fifth.client(store=shared(), poll=QUICKLY, work=False) as one,
        fifth.client(store=shared(), poll=QUICKLY, work=False) as other,
    ):
        handle = await one.enqueue(REQUEST)
        async with asyncio.timeout(20):
            tasks = await asyncio.gather(
                *(client.run(handle.job_id) for client in (one, other)), *(one.run(handle.job_id) for _ in range(3))
            )
            tasks.append(await other.run(handle.job_id))

    assert {"t-1"} == {task.id for task in tasks}
    assert 1 == len(gateway.seen("POST"))


async def test_running_what_cannot_be_run(gateway: Any, fifth: Any, shared: Shared) -> None:
    """A job that is not there is a `TaskNotFoundError`, one that was refused raises what it was refused with."""
    gateway.on("POST", "/videos", gateway.reply({"error": "no such thing"}, status=400))

    async with fifth.client(store=shared(), poll=QUICKLY) as client:
        with pytest.raises(hh.TaskNotFoundError):
            await client.run("hh-nothing")
        handle = await client.enqueue(REQUEST)
        for _ in range(2):
            with pytest.raises(hh.InvalidRequestError):
                await client.run(handle.job_id)

    assert 1 == len(gateway.seen("POST"))


async def test_a_job_that_is_cancelled_elsewhere_is_not_sent(gateway: Any, fifth: Any, shared: Shared) -> None:
    """Its waiters are told at once, wherever they are."""
    numbered(gateway)
    one_only = hh.Limits(submits_per_second=0.001)

    async with (
        fifth.client(store=shared(), poll=SLOWLY, limits=one_only) as owner,
        fifth.client(store=shared(), poll=SLOWLY) as other,
    ):
        await owner.submit(REQUEST)
        handle = await owner.enqueue(hh.TextToVideo("another"))
        waiting = [
            asyncio.create_task(handle.wait()),
            asyncio.create_task(other.resume_job(handle.job_id).wait()),
        ]
        await asyncio.sleep(0.1)

        assert await other.cancel(handle.job_id) is None

        async with asyncio.timeout(20):
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)

    assert ["TaskCanceledError"] * 2 == [type(outcome).__name__ for outcome in outcomes]
    assert 1 == len(gateway.seen("POST"))


async def test_processes_share_the_rate_of_an_account(gateway: Any, fifth: Any, shared: Shared) -> None:
    """The requests of all together keep to the limit of one."""
    numbered(gateway)
    limits = [hh.Limits(submits_per_second=10) for _ in range(3)]

    async with (
        fifth.client(store=shared(), poll=SLOWLY, limits=limits[0]) as one,
        fifth.client(store=shared(), poll=SLOWLY, limits=limits[1]) as two,
        fifth.client(store=shared(), poll=SLOWLY, limits=limits[2]) as three,
    ):
        for number in range(12):
            await (one, two, three)[number % 3].enqueue(hh.TextToVideo(f"video {number}"))
        await gateway.until(12, "POST")

    times = sorted(seen.at for seen in gateway.seen("POST"))
    # Eleven steps of a tenth of a second. How evenly they arrive depends on the machine.
    assert 1.0 <= times[-1] - times[0]


async def test_processes_share_the_room_at_the_provider(gateway: Any, fifth: Any, shared: Shared) -> None:
    """What one has running, another does not submit beside it."""
    numbered(gateway)
    gateway.show("t-0", "running", "running", "running", "done")
    limits = hh.Limits(max_running=1, max_queued=0)

    async with (
        fifth.client(store=shared(), poll=QUICKLY, limits=limits) as one,
        fifth.client(store=shared(), poll=SLOWLY, limits=hh.Limits(max_running=1, max_queued=0)) as two,
    ):
        first = await one.submit(REQUEST)
        await two.enqueue(hh.TextToVideo("another"))
        await asyncio.sleep(0.1)
        early = len(gateway.seen("POST"))
        async with asyncio.timeout(20):
            await first
            await gateway.until(2, "POST")

    assert 1 == early
