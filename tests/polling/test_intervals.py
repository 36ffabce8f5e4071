"""When to look at a task next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from attrs import evolve

import happyhorse_async as hh
from happyhorse_async.polling.intervals import PollIntervals
from happyhorse_async.timing import PollSchedule
from happyhorse_async.tracked_job import TrackedJob

pytestmark = pytest.mark.usefixtures("no_chance")

ADVICE = PollSchedule(interval=15)
REF = hh.TaskRef("fifth", "t-1")
RUNNING = hh.Task(ref=REF, status=hh.TaskStatus.RUNNING)
PENDING = hh.Task(ref=REF, status=hh.TaskStatus.PENDING)
DONE = hh.Task(ref=REF, status=hh.TaskStatus.SUCCEEDED)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def submitted(intervals: PollIntervals, at: float = 1000.0) -> TrackedJob:
    """Watch a task that was taken at *at*."""
    tracked = TrackedJob(REF, job_id="job")
    tracked.submitted, tracked.alive, tracked.kind = at, at, intervals.kind(None)
    return tracked


def experienced(schedule: PollSchedule | None = None, *, seconds: float = 120.0, spread: float = 0.25) -> PollIntervals:
    """Know a hundred tasks that took about *seconds*."""
    intervals = PollIntervals(schedule or PollSchedule(), ADVICE)
    for number in range(100):
        intervals.estimator.add(intervals.kind(None), seconds * (1 + spread * (number / 50 - 1)))
    return intervals


def looks(intervals: PollIntervals, until: float) -> list[float]:
    """Return the times, from the submit, at which a task that goes on until *until* is looked at."""
    tracked = submitted(intervals)
    now = 1000.0 + intervals.after_submit(tracked)
    times = []
    while now < 1000.0 + until:
        times.append(now - 1000.0)
        intervals.goes_on(tracked, RUNNING, now)
        now += intervals.after_look(tracked, now)
    return [*times, now - 1000.0]


def test_before_anything_is_known() -> None:
    """The first tasks are looked at no later than the adapter advises."""
    times = looks(PollIntervals(PollSchedule(), ADVICE), 120)

    assert all(after - before <= 15.1 for before, after in zip([0, *times], times, strict=False))


def test_fewer_looks_and_less_delay_than_any_fixed_interval() -> None:
    """Once it is known how long tasks take, each is looked at a few times, and seen soon after its end."""
    intervals = experienced()
    ends = [90 + 60 * number / 30 for number in range(31)]
    found = [looks(intervals, end) for end in ends]
    number = sum(len(times) for times in found) / len(found)
    delay = sum(times[-1] - end for times, end in zip(found, ends, strict=True)) / len(found)

    # An interval costs the time divided by it, and notices an end after half of it.
    assert number < 5.5
    assert delay < 120 / number / 2 / 2


def test_an_interval_of_the_callers_own_is_kept() -> None:
    """Who sets an interval gets it, whatever was learned."""
    assert [2.0 * number * 0.9 for number in range(1, 7)] == pytest.approx(
        looks(experienced(PollSchedule(interval=2)), 10.5)
    )


def test_a_first_look_of_the_callers_own_is_kept() -> None:
    """Who sets the time of the first look gets it, and what was learned from then on."""
    first, second, *_ = looks(experienced(PollSchedule(first_after=1, jitter=0)), 120)

    assert 1 == first
    assert second > 60


def test_the_longest_interval_of_the_callers_own_is_kept() -> None:
    """However sure it is that nothing has ended, no look is later than the caller allows."""
    times = looks(experienced(PollSchedule(max_interval=20)), 120)

    assert all(after - before <= 20 for before, after in pairwise(times))


def test_a_short_task_is_looked_at_more_often_than_advised() -> None:
    """An interval that is meant for minutes does not hold for tasks of seconds."""
    times = looks(experienced(seconds=6), 6)

    assert times[-1] - 6 < 1


@pytest.mark.parametrize("interval", [None, 5])
def test_who_is_called_back_looks_rarely(interval: float | None) -> None:
    """Where the provider calls at the end, looks only make sure, but never stop, whatever the interval."""
    intervals = experienced(PollSchedule(interval=interval, reconcile=60, jitter=0))
    tracked = submitted(intervals)
    place = hh.Endpoint(provider="fifth", adapter="fifth", base_url="https://fifth.example")
    tracked.job = hh.Job(
        job_id="job", endpoint=place, model="m", created_at=NOON, callback_url="https://app.example/hook"
    )

    assert 60 == intervals.after_submit(tracked)
    assert 60 == intervals.after_look(tracked, 5000.0)


def test_a_crowd_makes_looks_rarer() -> None:
    """Where looks come later than they were wanted, fewer are wanted."""
    intervals = experienced()
    tracked = submitted(intervals)
    tracked.alive, tracked.due = 1100.0, 1102.0
    relaxed = intervals.after_look(tracked, 1100.0)
    for _ in range(100):
        intervals.taken(tracked, 1110.0)
    crowded = intervals.after_look(tracked, 1100.0)
    for _ in range(100):
        intervals.taken(tracked, 1102.0)

    assert crowded > 2 * relaxed
    assert intervals.after_look(tracked, 1100.0) == pytest.approx(relaxed, rel=0.1)


def test_a_page_that_shows_many_makes_looks_cheap() -> None:
    """Where a request looks at twenty tasks, each is looked at more often; but not without end."""
    intervals = experienced()
    tracked = submitted(intervals)
    alone = intervals.after_look(tracked, 1100.0)
    for _ in range(50):
        intervals.looked(20)
    together = intervals.after_look(tracked, 1100.0)
    for _ in range(50):
        intervals.looked(1_000_000)

    assert together < alone / 2
    assert intervals.after_look(tracked, 1100.0) > 1.5


def test_one_that_has_not_begun_may_take_as_long_as_any() -> None:
    """A task that is still queued is not looked at before it could have run."""
    intervals = experienced()
    tracked = submitted(intervals)
    intervals.goes_on(tracked, PENDING, 1500.0)

    assert 80 < intervals.after_look(tracked, 1500.0) < 105


def test_the_providers_word_on_when_it_began() -> None:
    """Where the provider says when a task began to run, its age counts from then."""
    intervals = experienced()
    tracked = submitted(intervals)
    begun = evolve(RUNNING, created_at=NOON, started_at=NOON + timedelta(seconds=400))
    intervals.goes_on(tracked, begun, 1500.0)
    late = evolve(RUNNING, created_at=NOON, started_at=NOON + timedelta(days=3))
    other = submitted(intervals)
    intervals.goes_on(other, late, 1500.0)

    assert intervals.after_look(tracked, 1500.0) < 12
    assert 80 < intervals.after_look(other, 1500.0) < 105


@pytest.mark.parametrize(
    ("stamps", "least", "most"),
    [
        pytest.param({"created_at": NOON, "finished_at": NOON + timedelta(seconds=103)}, 95, 112, id="exact"),
        pytest.param(
            {"created_at": NOON - timedelta(hours=1), "started_at": NOON, "finished_at": NOON + timedelta(seconds=103)},
            95, 112, id="from its start",
        ),
        pytest.param({"created_at": NOON, "finished_at": NOON + timedelta(seconds=4000)}, 105, 131, id="a fast clock"),
        pytest.param({"created_at": NOON, "finished_at": NOON - timedelta(seconds=40)}, 88, 108, id="a clock set back"),
        pytest.param({}, 100, 120, id="none"),
    ],
)  # fmt: skip
def test_how_long_a_task_took(stamps: dict[str, datetime], least: float, most: float) -> None:
    """The provider's stamps are believed as far as they agree with what was seen from here."""
    intervals = PollIntervals(PollSchedule(), ADVICE)
    for _ in range(20):
        tracked = submitted(intervals)
        tracked.alive = 1100.0
        intervals.ended(tracked, evolve(DONE, **stamps), 1120.0)

    assert least < intervals.kind(None).median < most


@pytest.mark.parametrize("status", [hh.TaskStatus.CANCELED, hh.TaskStatus.EXPIRED])
def test_what_did_not_end_by_itself_teaches_nothing(status: hh.TaskStatus) -> None:
    """A task that was cancelled or has expired does not tell how long tasks take."""
    intervals = PollIntervals(PollSchedule(), ADVICE)
    intervals.ended(submitted(intervals), evolve(DONE, status=status), 1001.0)

    assert 0 == intervals.estimator.learned


def test_one_of_unknown_age_teaches_nothing() -> None:
    """A task that was resumed and had ended before the first look does not tell how long it took."""
    intervals = PollIntervals(PollSchedule(), ADVICE)
    tracked = submitted(intervals)
    tracked.alive = 0.0
    intervals.ended(tracked, DONE, 5000.0)

    assert 0 == intervals.estimator.learned


def test_what_is_looked_at_along() -> None:
    """A task is looked at along with others if its own look is close, and not while it is being looked at."""
    intervals = experienced()
    tracked = submitted(intervals)
    tracked.alive, tracked.due = 1100.0, 1104.0

    assert [False, True, True] == [intervals.is_nearly_due(tracked, now) for now in (1101.0, 1103.0, 1110.0)]
    tracked.due = float("inf")
    assert not intervals.is_nearly_due(tracked, 1110.0)
