"""What is kept, and for how long: the rules without a store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from happyhorse_async.job import Job, JobState
from happyhorse_async.stores.retention import Dates, JumpGuard, Retention, Upkeep, dates, running_time
from happyhorse_async.task import Task, TaskRef, TaskStatus, Video

NewJob = Callable[..., Job]

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=1)
DAY = timedelta(hours=24)
TASK = Task(ref=TaskRef("main", "1"), status=TaskStatus.SUCCEEDED, videos=(Video(url="https://cdn.example/a.mp4"),))


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), 1e11])
def test_a_retention_time_that_is_not_a_duration_is_refused(seconds: float) -> None:
    """It is a finite number of seconds, at least zero, or None."""
    with pytest.raises(ValueError, match="None for no limit"):
        Retention(prompts=seconds, closed=None)
    with pytest.raises(ValueError, match="None for no limit"):
        Retention(prompts=None, closed=seconds)


@pytest.mark.parametrize(
    ("state", "before", "settled_at", "closed_at"),
    [
        (JobState.QUEUED, Dates(), None, None),
        (JobState.SUBMITTING, Dates(), None, None),
        (JobState.OUTCOME_UNKNOWN, Dates(), None, None),
        (JobState.ACCEPTED, Dates(), NOW, None),
        (JobState.ACCEPTED, Dates(settled_at=EARLIER), EARLIER, None),
        *((state, Dates(), NOW, NOW) for state in JobState if state.is_final),
        (JobState.FAILED, Dates(settled_at=EARLIER), EARLIER, NOW),
        (JobState.FAILED, Dates(settled_at=EARLIER, closed_at=EARLIER), EARLIER, EARLIER),
        (JobState.ACCEPTED, Dates(settled_at=EARLIER, closed_at=EARLIER), EARLIER, None),
        (JobState.OUTCOME_UNKNOWN, Dates(settled_at=EARLIER, closed_at=EARLIER), None, None),
    ],
)
def test_times_count_from_the_first_moment_of_a_state(
    new_job: NewJob, state: JobState, before: Dates, settled_at: datetime | None, closed_at: datetime | None
) -> None:
    """A state that was left and entered again counts anew."""
    since = dates(new_job(state=state), NOW, before)

    assert Dates(settled_at=settled_at, closed_at=closed_at) == since


@pytest.mark.parametrize(
    ("task", "before", "until"),
    [
        (None, Dates(), None),
        (evolve(TASK, videos=()), Dates(urls_until=EARLIER), EARLIER),
        (TASK, Dates(), NOW + DAY),
        (evolve(TASK, finished_at=EARLIER), Dates(), EARLIER + DAY),
        (evolve(TASK, finished_at=NOW + DAY), Dates(), NOW + DAY),
        (evolve(TASK, finished_at=NOW), Dates(urls_until=EARLIER), EARLIER),
        (evolve(TASK, videos=(Video(url="u", expires_at=NOW + 2 * DAY), Video(url="v", expires_at=NOW))), Dates(), NOW),
        (evolve(TASK, videos=(Video(url="u", expires_at=NOW + DAY),)), Dates(urls_until=NOW), NOW + DAY),
    ],
)
def test_urls_live_until_the_first_of_them_expires(
    new_job: NewJob, task: Task | None, before: Dates, until: datetime | None
) -> None:
    """Where none states its expiry it is a day after the end, which writing the job again does not prolong."""
    assert until == dates(new_job(task=task), NOW, before).urls_until


def test_data_expires_at_the_very_end_of_its_time(new_job: NewJob) -> None:
    """A request and a URL are there a microsecond before it."""
    retention = Retention(prompts=3600.0, closed=None)
    job = new_job(state=JobState.ACCEPTED, request={"prompt": "p"}, task=TASK)
    since = Dates(settled_at=EARLIER, urls_until=NOW)
    before = retention.kept(job, since, NOW - timedelta(microseconds=1))
    after = retention.kept(job, since, NOW)

    assert job == before
    assert evolve(job, request=None, task=evolve(TASK, videos=())) == after


KEEP = timedelta(days=30)
MINUTE = timedelta(minutes=1)


def suspensions(*clock: tuple[timedelta, timedelta], last: Upkeep | None = None) -> list[bool]:
    """Whether deletion is suspended at each upkeep, given the wall clock and the running time since NOW."""
    guard, found = JumpGuard(KEEP), list[bool]()
    for wall, running in clock:
        last = guard.upkeep(last, NOW + wall, running)
        found.append(last.suspended_at is not None)
    return found


def test_a_steady_clock_never_suspends_deletion() -> None:
    """A machine that sleeps for a week is steady: the running time goes on meanwhile."""
    week = timedelta(days=7)

    assert [False] * 4 == suspensions((0 * DAY, 0 * DAY), (MINUTE, MINUTE), (week, week), (2 * week, 2 * week))


@pytest.mark.parametrize("jump", [timedelta(hours=2), KEEP + DAY, 3650 * DAY])
def test_a_jump_ahead_suspends_deletion_for_as_long_as_jobs_are_kept(jump: timedelta) -> None:
    """A key that is deleted too early is paid again."""
    clock = [0 * DAY, MINUTE, MINUTE + KEEP - DAY, MINUTE + KEEP]

    assert [False, True, True, False] == suspensions(
        *((wall + jump * (number > 0), wall) for number, wall in enumerate(clock))
    )


def test_a_corrected_jump_ends_the_suspension() -> None:
    """The clock is back where it was."""
    assert [False, True, False, False] == suspensions(
        (0 * DAY, 0 * DAY), (40 * DAY, MINUTE), (2 * MINUTE, 2 * MINUTE), (3 * MINUTE, 3 * MINUTE)
    )


def test_a_jump_back_suspends_nothing_until_it_is_corrected() -> None:
    """Nothing is deleted too early by a clock that is behind. Jobs that ended meanwhile look old once it is right."""
    assert [False, False, True] == suspensions((0 * DAY, 0 * DAY), (-40 * DAY, MINUTE), (2 * MINUTE, 2 * MINUTE))


def test_a_small_correction_is_not_a_jump() -> None:
    """Time servers move clocks by seconds."""
    assert [False, False] == suspensions((0 * DAY, 0 * DAY), (timedelta(minutes=50), MINUTE))


@pytest.mark.parametrize(("gap", "suspended"), [(timedelta(hours=20), False), (40 * DAY, True)])
def test_a_long_break_suspends_deletion(gap: timedelta, suspended: bool) -> None:
    """While no process had the store open, a jump cannot be told from time that passed."""
    assert [suspended] == suspensions((gap, 0 * DAY), last=Upkeep(last_at=NOW))


def test_a_store_that_is_opened_once_a_month_deletes_old_jobs_at_last() -> None:
    """Every second break is long enough after the one before it."""
    last: Upkeep | None = None
    found: list[bool] = []
    for month in range(5):
        last = JumpGuard(KEEP).upkeep(last, NOW + 31 * month * DAY, 0 * DAY)
        found.append(last.suspended_at is not None)

    assert [False, True, False, True, False] == found


def test_the_running_time_runs() -> None:
    """It is not the wall clock."""
    assert timedelta(0) <= running_time() <= running_time()
