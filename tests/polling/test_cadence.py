"""When to look at a task next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from attrs import evolve

import happyhorse_async as hh
from happyhorse_async.polling.cadence import Cadence
from happyhorse_async.timing import PollSchedule
from happyhorse_async.watch import Watch

pytestmark = pytest.mark.usefixtures("no_chance")

ADVICE = PollSchedule(interval=15)
REF = hh.TaskRef("fifth", "t-1")
RUNNING = hh.Task(ref=REF, status=hh.TaskStatus.RUNNING)
PENDING = hh.Task(ref=REF, status=hh.TaskStatus.PENDING)
DONE = hh.Task(ref=REF, status=hh.TaskStatus.SUCCEEDED)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def submitted(cadence: Cadence, at: float = 1000.0) -> Watch:
    """Watch a task that was taken at *at*."""
    watch = Watch(REF, job_id="job")
    watch.submitted, watch.alive, watch.kind = at, at, cadence.kind(None)
    return watch


def experienced(schedule: PollSchedule | None = None, *, seconds: float = 120.0, spread: float = 0.25) -> Cadence:
    """Know a hundred tasks that took about *seconds*."""
    cadence = Cadence(schedule or PollSchedule(), ADVICE)
    for number in range(100):
        cadence.durations.add(cadence.kind(None), seconds * (1 + spread * (number / 50 - 1)))
    return cadence


def looks(cadence: Cadence, until: float) -> list[float]:
    """Return the times, from the submit, at which a task that goes on until *until* is looked at."""
    watch = submitted(cadence)
    now = 1000.0 + cadence.after_submit(watch)
    times = []
    while now < 1000.0 + until:
        times.append(now - 1000.0)
        cadence.goes_on(watch, RUNNING, now)
        now += cadence.after_look(watch, now)
    return [*times, now - 1000.0]


def test_before_anything_is_known() -> None:
    """The first tasks are looked at no later than the adapter advises."""
    times = looks(Cadence(PollSchedule(), ADVICE), 120)

    assert all(after - before <= 15.1 for before, after in zip([0, *times], times, strict=False))


def test_fewer_looks_and_less_delay_than_any_fixed_interval() -> None:
    """Once it is known how long tasks take, each is looked at a few times, and seen soon after its end."""
    cadence = experienced()
    ends = [90 + 60 * number / 30 for number in range(31)]
    found = [looks(cadence, end) for end in ends]
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
    cadence = experienced(PollSchedule(interval=interval, reconcile=60, jitter=0))
    watch = submitted(cadence)
    place = hh.Place(provider="fifth", adapter="fifth", base_url="https://fifth.example")
    watch.job = hh.Job(job_id="job", place=place, model="m", created_at=NOON, callback_url="https://app.example/hook")

    assert 60 == cadence.after_submit(watch)
    assert 60 == cadence.after_look(watch, 5000.0)


def test_a_crowd_makes_looks_rarer() -> None:
    """Where looks come later than they were wanted, fewer are wanted."""
    cadence = experienced()
    watch = submitted(cadence)
    watch.alive, watch.due = 1100.0, 1102.0
    relaxed = cadence.after_look(watch, 1100.0)
    for _ in range(100):
        cadence.taken(watch, 1110.0)
    crowded = cadence.after_look(watch, 1100.0)
    for _ in range(100):
        cadence.taken(watch, 1102.0)

    assert crowded > 2 * relaxed
    assert cadence.after_look(watch, 1100.0) == pytest.approx(relaxed, rel=0.1)


def test_a_page_that_shows_many_makes_looks_cheap() -> None:
    """Where a request looks at twenty tasks, each is looked at more often; but not without end."""
    cadence = experienced()
    watch = submitted(cadence)
    alone = cadence.after_look(watch, 1100.0)
    for _ in range(50):
        cadence.looked(20)
    together = cadence.after_look(watch, 1100.0)
    for _ in range(50):
        cadence.looked(1_000_000)

    assert together < alone / 2
    assert cadence.after_look(watch, 1100.0) > 1.5


def test_one_that_has_not_begun_may_take_as_long_as_any() -> None:
    """A task that is still queued is not looked at before it could have run."""
    cadence = experienced()
    watch = submitted(cadence)
    cadence.goes_on(watch, PENDING, 1500.0)

    assert 80 < cadence.after_look(watch, 1500.0) < 105


def test_the_providers_word_on_when_it_began() -> None:
    """Where the provider says when a task began to run, its age counts from then."""
    cadence = experienced()
    watch = submitted(cadence)
    begun = evolve(RUNNING, created_at=NOON, started_at=NOON + timedelta(seconds=400))
    cadence.goes_on(watch, begun, 1500.0)
    late = evolve(RUNNING, created_at=NOON, started_at=NOON + timedelta(days=3))
    other = submitted(cadence)
    cadence.goes_on(other, late, 1500.0)

    assert cadence.after_look(watch, 1500.0) < 12
    assert 80 < cadence.after_look(other, 1500.0) < 105


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
    cadence = Cadence(PollSchedule(), ADVICE)
    for _ in range(20):
        watch = submitted(cadence)
        watch.alive = 1100.0
        cadence.ended(watch, evolve(DONE, **stamps), 1120.0)

    assert least < cadence.kind(None).median < most


@pytest.mark.parametrize("status", [hh.TaskStatus.CANCELED, hh.TaskStatus.EXPIRED])
def test_what_did_not_end_by_itself_teaches_nothing(status: hh.TaskStatus) -> None:
    """A task that was cancelled or has expired does not tell how long tasks take."""
    cadence = Cadence(PollSchedule(), ADVICE)
    cadence.ended(submitted(cadence), evolve(DONE, status=status), 1001.0)

    assert 0 == cadence.durations.learned


def test_one_of_unknown_age_teaches_nothing() -> None:
    """A task that was resumed and had ended before the first look does not tell how long it took."""
    cadence = Cadence(PollSchedule(), ADVICE)
    watch = submitted(cadence)
    watch.alive = 0.0
    cadence.ended(watch, DONE, 5000.0)

    assert 0 == cadence.durations.learned


def test_what_is_looked_at_along() -> None:
    """A task is looked at along with others if its own look is close, and not while it is being looked at."""
    cadence = experienced()
    watch = submitted(cadence)
    watch.alive, watch.due = 1100.0, 1104.0

    assert [False, True, True] == [cadence.is_nearly_due(watch, now) for now in (1101.0, 1103.0, 1110.0)]
    watch.due = float("inf")
    assert not cadence.is_nearly_due(watch, 1110.0)
