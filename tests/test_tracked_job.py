"""What is known of one task, and who waits for it."""

from __future__ import annotations

import asyncio
import pickle
import weakref
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve, fields

from happyhorse_async.errors import AuthenticationError
from happyhorse_async.job import Endpoint, Job, JobState
from happyhorse_async.task import Task, TaskFailure, TaskRef, TaskStatus, Usage, Video
from happyhorse_async.tracked_job import TrackedJob

REF = TaskRef("main", "1")
PENDING = Task(ref=REF, status=TaskStatus.PENDING, model="m")
RUNNING = Task(ref=REF, status=TaskStatus.RUNNING, model="m")
SUCCEEDED = Task(ref=REF, status=TaskStatus.SUCCEEDED, model="m")
JOB = Job(
    job_id="j1",
    endpoint=Endpoint(provider="main", adapter="fifth", base_url="https://fifth.example"),
    model="m",
    created_at=datetime.now(UTC),
    state=JobState.ACCEPTED,
    task_id="1",
)


async def turn() -> None:
    """Let everything that is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def collected(tracked: TrackedJob) -> list[Task]:
    """Collect every observation until the end."""
    seen = list[Task]()
    subscription = tracked.subscribe()
    while not seen or not seen[-1].status.is_terminal:
        task = subscription.take()
        if task is None:
            tracked.check()
            await subscription.wait()
        else:
            seen.append(task)
    return seen


@pytest.fixture
def tracked() -> TrackedJob:
    """A job of which nothing was observed yet."""
    return TrackedJob(JOB)


def test_a_new_watch(tracked: TrackedJob) -> None:
    """A watch begins with the names alone."""

    assert (REF, "j1", None, None) == (tracked.ref, tracked.job_id, tracked.task, tracked.gone)
    assert not tracked.ended


@pytest.mark.parametrize("status", list(TaskStatus))
def test_the_end(tracked: TrackedJob, status: TaskStatus) -> None:
    """A task has ended when its last observation is an end."""
    tracked.observe(evolve(PENDING, status=status))

    assert status.is_terminal is tracked.ended


@pytest.mark.parametrize(
    ("change", "new"),
    [
        ({}, False),
        ({"request_id": "r2"}, False),
        ({"raw": {"a": 1}}, False),
        ({"status": TaskStatus.SUCCEEDED}, True),
        ({"raw_status": "STORING"}, True),
        ({"progress": 50}, True),
    ],
)
def test_what_is_news(tracked: TrackedJob, change: dict[str, Any], new: bool) -> None:
    """An observation is new when it says something else of the task; the last one is kept in any case."""
    observation = evolve(RUNNING, **change)

    assert tracked.observe(RUNNING)
    assert new is tracked.observe(observation)
    assert observation == tracked.whole_task


def test_an_observation_keeps_every_field(tracked: TrackedJob) -> None:
    now = datetime.now(UTC)
    whole = Task(
        ref=REF,
        status=TaskStatus.FAILED,
        raw_status="FAILED",
        progress=50.0,
        videos=(Video(url="https://v.example/1.mp4"),),
        error=TaskFailure(message="no"),
        usage=Usage(duration=5.0),
        model="m",
        created_at=now,
        started_at=now,
        finished_at=now,
        observed_at=now,
        request_id="r-1",
        raw={"id": 1},
    )
    assert all(getattr(whole, field.name) for field in fields(Task)), "every field must be set here"

    tracked.observe(whole)

    assert tracked.task == evolve(whole, raw={})
    assert tracked.task is not None
    assert tracked.task.observed_at == now
    assert tracked.whole_task == whole


def test_the_model_of_the_job_is_that_of_a_task_without_one(tracked: TrackedJob) -> None:
    """What the provider says itself counts more."""
    tracked.observe(evolve(PENDING, model=None))
    filled_in = tracked.task
    tracked.observe(evolve(RUNNING, model="m-2"))

    assert PENDING == filled_in
    assert tracked.task is not None
    assert "m-2" == tracked.task.model


def raw_of(tracked: TrackedJob) -> Any:
    """Return the provider's object as it is shown."""
    assert tracked.whole_task is not None
    return tracked.whole_task.raw


@pytest.mark.parametrize("status", [TaskStatus.RUNNING, TaskStatus.FAILED])
@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"id": "1", "deep": {"rows": [1, -0.0, 1e300, 2**80, None, True, "ü\N{FILM FRAMES}\0", ""]}, "": {}},
        # Such as no JSON has, and an adapter may put there all the same.
        {"seen": datetime(2026, 11, 21, tzinfo=UTC), "half": "\ud83c"},
    ],
)
def test_the_providers_object(tracked: TrackedJob, raw: dict[str, Any], status: TaskStatus) -> None:
    """The provider's object is shown as it was given, in its order and with its types, and can be carried away."""
    tracked.observe(evolve(RUNNING, status=status, raw=raw))

    assert repr(raw) == repr(raw_of(tracked))
    assert raw == raw_of(tracked) == raw_of(tracked)
    assert isinstance(raw_of(tracked), dict)
    for travelled in (pickle.loads(pickle.dumps(tracked.whole_task)), deepcopy(tracked.whole_task)):
        assert raw == travelled.raw


@pytest.mark.parametrize("status", [TaskStatus.RUNNING, TaskStatus.EXPIRED])
def test_an_observation_without_an_object(tracked: TrackedJob, status: TaskStatus) -> None:
    """Where an observation is not the provider's own answer, the last object that it gave is shown on."""
    tracked.observe(evolve(RUNNING, raw={"a": 1}))
    tracked.observe(evolve(RUNNING, status=status))

    assert evolve(RUNNING, status=status) == tracked.whole_task
    assert {"a": 1} == raw_of(tracked)


async def test_all_who_wait_are_woken(tracked: TrackedJob) -> None:
    """At the end everybody who waits goes on."""
    waiting = [asyncio.create_task(tracked.stopped()) for _ in range(3)]
    await turn()
    tracked.observe(RUNNING)
    tracked.wake()
    await turn()

    assert not [task for task in waiting if task.done()]
    tracked.observe(SUCCEEDED)
    tracked.wake()
    await asyncio.gather(*waiting)


async def test_nobody_waits_for_what_has_ended(tracked: TrackedJob) -> None:
    """Waiting for a task that has ended is over at once."""
    tracked.observe(SUCCEEDED)
    async with asyncio.timeout(1):
        await tracked.stopped()

    assert [SUCCEEDED] == await collected(tracked)


async def test_a_waiter_may_leave(tracked: TrackedJob) -> None:
    """A waiter that is cancelled leaves the others waiting, and nothing of itself behind."""
    leaving, staying = asyncio.create_task(tracked.stopped()), asyncio.create_task(tracked.stopped())
    await turn()
    leaving.cancel()
    await turn()
    tracked.observe(SUCCEEDED)
    tracked.wake()
    await staying

    assert leaving.cancelled()


async def test_everybody_gets_an_error_of_their_own(tracked: TrackedJob) -> None:
    """When nobody looks any more, each waiter and each reader gets an exception of its own that says so."""
    waiting = [asyncio.create_task(tracked.stopped()) for _ in range(2)]
    reading = [asyncio.create_task(collected(tracked)) for _ in range(2)]
    await turn()
    tracked.gone = AuthenticationError("no", ref=REF)
    tracked.wake()
    found = await asyncio.gather(*waiting, *reading, return_exceptions=True)

    assert {AuthenticationError} == {type(error) for error in found}
    assert {str(tracked.gone)} == {str(error) for error in found}
    assert 5 == len({id(error) for error in [*found, tracked.gone]})


async def test_the_end_wins_over_a_farewell(tracked: TrackedJob) -> None:
    """A waiter is not told that nobody looks any more when the task has come to its end all the same."""
    waiting = asyncio.create_task(tracked.stopped())
    await turn()
    tracked.gone = AuthenticationError("no", ref=REF)
    tracked.observe(SUCCEEDED)
    tracked.wake()

    async with asyncio.timeout(1):
        await waiting

    assert [SUCCEEDED] == await collected(tracked)


async def test_waiting_goes_on_when_looking_does(tracked: TrackedJob) -> None:
    """A waiter that is woken while somebody has begun to look again goes on waiting."""
    waiting = asyncio.create_task(tracked.stopped())
    await turn()
    tracked.gone = AuthenticationError("no", ref=REF)
    tracked.wake()
    tracked.gone = None
    await turn()

    assert not waiting.done()
    tracked.observe(SUCCEEDED)
    tracked.wake()
    await waiting


async def test_changes(tracked: TrackedJob) -> None:
    """A reader sees what is known, then every change once, and the end as the last."""
    tracked.observe(PENDING)
    reading = asyncio.create_task(collected(tracked))
    await turn()
    for task in (PENDING, RUNNING, evolve(RUNNING, request_id="r2"), evolve(RUNNING, progress=50), SUCCEEDED):
        tracked.observe(task)
        await turn()

    assert [PENDING, RUNNING, evolve(RUNNING, progress=50), SUCCEEDED] == await reading


async def test_every_reader_sees_every_change(tracked: TrackedJob) -> None:
    """Readers do not take changes from each other, and one that leaves does not disturb the rest."""
    first, second, third = (asyncio.create_task(collected(tracked)) for _ in range(3))
    await turn()
    tracked.observe(RUNNING)
    await turn()
    second.cancel()
    tracked.observe(SUCCEEDED)

    assert [RUNNING, SUCCEEDED] == await first
    assert [RUNNING, SUCCEEDED] == await third
    await turn()
    assert second.cancelled()


@pytest.mark.fault(81)
async def test_a_reader_that_begins_again_sees_the_last_observation_first(tracked: TrackedJob) -> None:
    """A subscription begins with what is known."""
    tracked.observe(PENDING)
    assert PENDING == tracked.subscribe().take()
    tracked.observe(RUNNING)
    assert RUNNING == tracked.subscribe().take()


@pytest.mark.fault(81)
async def test_a_slow_reader_misses_the_oldest_changes_and_never_the_end(tracked: TrackedJob) -> None:
    """Memory stays bounded, however far a reader falls behind."""
    subscription = tracked.subscribe()
    tracked.observe(PENDING)
    seen = [subscription.take()]
    for step in range(10_000):
        tracked.observe(evolve(RUNNING, progress=step / 100))
    tracked.observe(SUCCEEDED)
    while (task := subscription.take()) is not None:
        seen.append(task)

    assert 100 == len(seen) - 1
    assert SUCCEEDED == seen[-1]


async def test_a_reader_that_is_dropped_is_not_awaited(tracked: TrackedJob) -> None:
    """A subscription that nobody holds any more does not count as a waiter."""
    subscription = tracked.subscribe()
    assert tracked.has_waiters
    del subscription

    assert not tracked.has_waiters


async def test_nothing_is_held_for_ever() -> None:
    """A watch that nobody uses any more is gone."""
    tracked = TrackedJob(JOB)
    waiting = asyncio.create_task(tracked.stopped())
    await turn()
    waiting.cancel()
    await turn()
    trace = weakref.ref(tracked)
    del tracked, waiting

    assert None is trace()
