"""What is known of one task, and who waits for it."""

from __future__ import annotations

import asyncio
import pickle
import weakref
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve

from happyhorse_async.errors import AuthenticationError, HappyHorseError
from happyhorse_async.task import Task, TaskRef, TaskStatus
from happyhorse_async.watch import Watch

REF = TaskRef("main", "1")
PENDING = Task(ref=REF, status=TaskStatus.PENDING)
RUNNING = Task(ref=REF, status=TaskStatus.RUNNING)
SUCCEEDED = Task(ref=REF, status=TaskStatus.SUCCEEDED)


async def turn() -> None:
    """Let everything that is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def collected(watch: Watch) -> list[Task]:
    """Collect every observation until the end."""
    return [task async for task in watch.changes()]


@pytest.fixture
def watch() -> Watch:
    """A watch that knows nothing yet."""
    return Watch(REF, job_id="j1")


def test_a_new_watch(watch: Watch) -> None:
    """A watch begins with the names alone."""

    assert (REF, "j1", None, None) == (watch.ref, watch.job_id, watch.task, watch.gone)
    assert not watch.ended


@pytest.mark.parametrize("status", list(TaskStatus))
def test_the_end(watch: Watch, status: TaskStatus) -> None:
    """A task has ended when its last observation is an end."""
    watch.record(evolve(PENDING, status=status))

    assert status.is_terminal is watch.ended


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
def test_what_is_news(watch: Watch, change: dict[str, Any], new: bool) -> None:
    """An observation is new when it says something else of the task; the last one is kept in any case."""
    observation = evolve(RUNNING, **change)

    assert watch.record(RUNNING)
    assert new is watch.record(observation)
    assert observation == watch.whole_task


def raw_of(watch: Watch) -> Any:
    """Return the provider's object as it is shown."""
    assert watch.whole_task is not None
    return watch.whole_task.raw


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
def test_the_providers_object(watch: Watch, raw: dict[str, Any], status: TaskStatus) -> None:
    """The provider's object is shown as it was given, in its order and with its types, and can be carried away."""
    watch.record(evolve(RUNNING, status=status, raw=raw))

    assert repr(raw) == repr(raw_of(watch))
    assert raw == raw_of(watch) == raw_of(watch)
    assert isinstance(raw_of(watch), dict)
    for travelled in (pickle.loads(pickle.dumps(watch.whole_task)), deepcopy(watch.whole_task)):
        assert raw == travelled.raw


@pytest.mark.parametrize("status", [TaskStatus.RUNNING, TaskStatus.EXPIRED])
def test_an_observation_without_an_object(watch: Watch, status: TaskStatus) -> None:
    """Where an observation is not the provider's own answer, the last object that it gave is shown on."""
    watch.record(evolve(RUNNING, raw={"a": 1}))
    watch.record(evolve(RUNNING, status=status))

    assert evolve(RUNNING, status=status) == watch.whole_task
    assert {"a": 1} == raw_of(watch)


async def test_all_who_wait_are_woken(watch: Watch) -> None:
    """At the end everybody who waits goes on."""
    waiting = [asyncio.create_task(watch.stopped()) for _ in range(3)]
    await turn()
    watch.record(RUNNING)
    watch.wake()
    await turn()

    assert not [task for task in waiting if task.done()]
    watch.record(SUCCEEDED)
    watch.wake()
    await asyncio.gather(*waiting)


async def test_nobody_waits_for_what_has_ended(watch: Watch) -> None:
    """Waiting for a task that has ended is over at once."""
    watch.record(SUCCEEDED)
    async with asyncio.timeout(1):
        await watch.stopped()

    assert [SUCCEEDED] == await collected(watch)


async def test_a_waiter_may_leave(watch: Watch) -> None:
    """A waiter that is cancelled leaves the others waiting, and nothing of itself behind."""
    leaving, staying = asyncio.create_task(watch.stopped()), asyncio.create_task(watch.stopped())
    await turn()
    leaving.cancel()
    await turn()
    watch.record(SUCCEEDED)
    watch.wake()
    await staying

    assert leaving.cancelled()


async def test_everybody_gets_an_error_of_their_own(watch: Watch) -> None:
    """When nobody looks any more, each waiter and each reader gets an exception of its own that says so."""
    waiting = [asyncio.create_task(watch.stopped()) for _ in range(2)]
    reading = [asyncio.create_task(collected(watch)) for _ in range(2)]
    await turn()
    watch.gone = AuthenticationError("no", ref=REF)
    watch.wake()
    found = await asyncio.gather(*waiting, *reading, return_exceptions=True)

    assert {AuthenticationError} == {type(error) for error in found}
    assert {str(watch.gone)} == {str(error) for error in found}
    assert 5 == len({id(error) for error in [*found, watch.gone]})


async def test_the_end_wins_over_a_farewell(watch: Watch) -> None:
    """A waiter is not told that nobody looks any more when the task has come to its end all the same."""
    waiting = asyncio.create_task(watch.stopped())
    await turn()
    watch.gone = AuthenticationError("no", ref=REF)
    watch.record(SUCCEEDED)
    watch.wake()

    async with asyncio.timeout(1):
        await waiting

    assert [SUCCEEDED] == await collected(watch)


async def test_waiting_goes_on_when_looking_does(watch: Watch) -> None:
    """A waiter that is woken while somebody has begun to look again goes on waiting."""
    waiting = asyncio.create_task(watch.stopped())
    await turn()
    watch.gone = AuthenticationError("no", ref=REF)
    watch.wake()
    watch.gone = None
    await turn()

    assert not waiting.done()
    watch.record(SUCCEEDED)
    watch.wake()
    await waiting


async def test_changes(watch: Watch) -> None:
    """A reader sees what is known, then every change once, and the end as the last."""
    watch.record(PENDING)
    reading = asyncio.create_task(collected(watch))
    await turn()
    for task in (PENDING, RUNNING, evolve(RUNNING, request_id="r2"), evolve(RUNNING, progress=50), SUCCEEDED):
        watch.record(task)
        await turn()

    assert [PENDING, RUNNING, evolve(RUNNING, progress=50), SUCCEEDED] == await reading


async def test_every_reader_sees_every_change(watch: Watch) -> None:
    """Readers do not take changes from each other, and one that leaves does not disturb the rest."""
    first, second, third = (asyncio.create_task(collected(watch)) for _ in range(3))
    await turn()
    watch.record(RUNNING)
    await turn()
    second.cancel()
    watch.record(SUCCEEDED)

    assert [RUNNING, SUCCEEDED] == await first
    assert [RUNNING, SUCCEEDED] == await third
    await turn()
    assert second.cancelled()


@pytest.mark.fault(81)
async def test_a_reader_may_stop_at_any_time(watch: Watch) -> None:
    """Whoever leaves the loop and begins again sees the last observation first."""
    watch.record(PENDING)
    changes = watch.changes()

    assert PENDING == await anext(changes)
    await changes.aclose()
    watch.record(RUNNING)
    again = watch.changes()
    assert RUNNING == await anext(again)
    await again.aclose()


async def test_what_was_seen_before_a_farewell(watch: Watch) -> None:
    """A reader gets what was observed before it is told that nobody looks any more."""
    watch.record(RUNNING)
    watch.gone = AuthenticationError("no", ref=REF)
    changes = watch.changes()

    assert RUNNING == await anext(changes)
    with pytest.raises(HappyHorseError, match="no"):
        await anext(changes)


@pytest.mark.fault(81)
async def test_a_slow_reader(watch: Watch) -> None:
    """A reader that falls far behind misses the oldest changes, never the end, and memory stays bounded."""
    changes = watch.changes()
    watch.record(PENDING)
    seen = [await anext(changes)]
    for step in range(10_000):
        watch.record(evolve(RUNNING, progress=step / 100))
    watch.record(SUCCEEDED)
    seen += [task async for task in changes]

    assert 100 == len(seen) - 1
    assert SUCCEEDED == seen[-1]
    assert 99.99 == seen[-2].progress


async def test_nothing_is_held_for_ever() -> None:
    """A watch that nobody uses any more is gone."""
    watch = Watch(REF, job_id="j1")
    waiting = asyncio.create_task(watch.stopped())
    await turn()
    waiting.cancel()
    await turn()
    trace = weakref.ref(watch)
    del watch, waiting

    assert None is trace()
