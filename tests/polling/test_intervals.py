"""When a task is polled next."""

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


def tracked_task(ref: hh.TaskRef) -> TrackedJob:
    """Make the job of a task that nothing is known of."""
    endpoint = hh.Endpoint(provider=ref.provider, adapter="fifth", base_url="https://fifth.example")
    job = hh.Job(
        job_id="job",
        endpoint=endpoint,
        model="",
        created_at=datetime.now(UTC),
        state=hh.JobState.ACCEPTED,
        task_id=ref.id,
    )
    return TrackedJob(job)


def submitted(intervals: PollIntervals, at: float = 1000.0) -> TrackedJob:
    """Return a job whose task was accepted at *at*."""
    tracked = tracked_task(REF)
    tracked.poll.submitted_at, tracked.poll.active_at, tracked.poll.model = at, at, intervals.model(None)
    return tracked


def having_learned(
    schedule: PollSchedule | None = None, *, seconds: float = 120.0, spread: float = 0.25
) -> PollIntervals:
    """Return intervals that have learned from a hundred tasks of about *seconds*."""
    intervals = PollIntervals(schedule or PollSchedule(), ADVICE)
    for number in range(100):
        intervals.estimator.add(intervals.model(None), seconds * (1 + spread * (number / 50 - 1)))
    return intervals


def polls(intervals: PollIntervals, until: float) -> list[float]:
    """Return the times, from the submit, at which a task that ends at *until* is polled."""
    tracked = submitted(intervals)
    now = 1000.0 + intervals.after_submit(tracked)
    times = []
    while now < 1000.0 + until:
        times.append(now - 1000.0)
        intervals.observed_active(tracked, RUNNING, now)
        now += intervals.after_poll(tracked, now)
    return [*times, now - 1000.0]


def test_before_anything_is_learned_no_poll_is_later_than_advised() -> None:
    times = polls(PollIntervals(PollSchedule(), ADVICE), 120)

    assert all(after - before <= 15.1 for before, after in zip([0, *times], times, strict=False))


def test_learned_intervals_need_fewer_polls_and_less_delay_than_a_fixed_interval() -> None:
    intervals = having_learned()
    ends = [90 + 60 * number / 30 for number in range(31)]
    found = [polls(intervals, end) for end in ends]
    number = sum(len(times) for times in found) / len(found)
    delay = sum(times[-1] - end for times, end in zip(found, ends, strict=True)) / len(found)

    # An interval costs the time divided by it, and notices an end after half of it.
    assert number < 5.5
    assert delay < 120 / number / 2 / 2


def test_a_callers_interval_is_kept_whatever_was_learned() -> None:
    assert [2.0 * number * 0.9 for number in range(1, 7)] == pytest.approx(
        polls(having_learned(PollSchedule(interval=2)), 10.5)
    )


def test_a_callers_time_of_the_first_poll_is_kept() -> None:
    """From then on the learned durations decide."""
    first, second, *_ = polls(having_learned(PollSchedule(first_after=1, jitter=0)), 120)

    assert 1 == first
    assert second > 60


def test_no_poll_is_later_than_the_callers_max_interval() -> None:
    times = polls(having_learned(PollSchedule(max_interval=20)), 120)

    assert all(after - before <= 20 for before, after in pairwise(times))


def test_tasks_of_seconds_are_polled_more_often_than_advised() -> None:
    times = polls(having_learned(seconds=6), 6)

    assert times[-1] - 6 < 1


@pytest.mark.parametrize("interval", [None, 5])
def test_a_task_with_a_callback_is_polled_every_reconcile_seconds(interval: float | None) -> None:
    """Whatever the interval."""
    intervals = having_learned(PollSchedule(interval=interval, reconcile=60, jitter=0))
    tracked = submitted(intervals)
    endpoint = hh.Endpoint(provider="fifth", adapter="fifth", base_url="https://fifth.example")
    tracked.job = hh.Job(
        job_id="job", endpoint=endpoint, model="m", created_at=NOON, callback_url="https://app.example/hook"
    )

    assert 60 == intervals.after_submit(tracked)
    assert 60 == intervals.after_poll(tracked, 5000.0)


def test_polls_become_rarer_where_they_come_later_than_planned() -> None:
    intervals = having_learned()
    tracked = submitted(intervals)
    tracked.poll.active_at, tracked.poll.due = 1100.0, 1102.0
    relaxed = intervals.after_poll(tracked, 1100.0)
    for _ in range(100):
        intervals.started(tracked, 1110.0)
    crowded = intervals.after_poll(tracked, 1100.0)
    for _ in range(100):
        intervals.started(tracked, 1102.0)

    assert crowded > 2 * relaxed
    assert intervals.after_poll(tracked, 1100.0) == pytest.approx(relaxed, rel=0.1)


def test_polls_become_more_frequent_where_one_request_polls_many_tasks() -> None:
    """Up to a limit."""
    intervals = having_learned()
    tracked = submitted(intervals)
    alone = intervals.after_poll(tracked, 1100.0)
    for _ in range(50):
        intervals.polled(20)
    together = intervals.after_poll(tracked, 1100.0)
    for _ in range(50):
        intervals.polled(1_000_000)

    assert together < alone / 2
    assert intervals.after_poll(tracked, 1100.0) > 1.5


def test_a_queued_task_is_not_polled_before_it_can_have_run() -> None:
    intervals = having_learned()
    tracked = submitted(intervals)
    intervals.observed_active(tracked, PENDING, 1500.0)

    assert 80 < intervals.after_poll(tracked, 1500.0) < 105


def test_the_age_of_a_task_counts_from_the_start_that_the_provider_reports() -> None:
    """Unless that start lies in the future."""
    intervals = having_learned()
    tracked = submitted(intervals)
    begun = evolve(RUNNING, created_at=NOON, started_at=NOON + timedelta(seconds=400))
    intervals.observed_active(tracked, begun, 1500.0)
    late = evolve(RUNNING, created_at=NOON, started_at=NOON + timedelta(days=3))
    other = submitted(intervals)
    intervals.observed_active(other, late, 1500.0)

    assert intervals.after_poll(tracked, 1500.0) < 12
    assert 80 < intervals.after_poll(other, 1500.0) < 105


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
def test_the_providers_timestamps_are_used_within_what_was_observed(
    stamps: dict[str, datetime], least: float, most: float
) -> None:
    intervals = PollIntervals(PollSchedule(), ADVICE)
    for _ in range(20):
        tracked = submitted(intervals)
        tracked.poll.active_at = 1100.0
        intervals.observed_end(tracked, evolve(DONE, **stamps), 1120.0)

    assert least < intervals.model(None).median < most


@pytest.mark.parametrize("status", [hh.TaskStatus.CANCELED, hh.TaskStatus.EXPIRED])
def test_canceled_and_expired_tasks_are_not_learned_from(status: hh.TaskStatus) -> None:
    intervals = PollIntervals(PollSchedule(), ADVICE)
    intervals.observed_end(submitted(intervals), evolve(DONE, status=status), 1001.0)

    assert 0 == intervals.estimator.learned


def test_a_resumed_task_of_unknown_age_is_not_learned_from() -> None:
    intervals = PollIntervals(PollSchedule(), ADVICE)
    tracked = submitted(intervals)
    tracked.poll.active_at = 0.0
    intervals.observed_end(tracked, DONE, 5000.0)

    assert 0 == intervals.estimator.learned


def test_a_task_that_is_nearly_due_is_polled_with_others() -> None:
    """Unless it is being polled already."""
    intervals = having_learned()
    tracked = submitted(intervals)
    tracked.poll.active_at, tracked.poll.due = 1100.0, 1104.0

    assert [False, True, True] == [intervals.is_nearly_due(tracked, now) for now in (1101.0, 1103.0, 1110.0)]
    tracked.poll.due = float("inf")
    assert not intervals.is_nearly_due(tracked, 1110.0)
