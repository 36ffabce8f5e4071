"""When to look, when to try again, how much at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from happyhorse_async.errors import ConfigurationError
from happyhorse_async.messages import HttpResponse
from happyhorse_async.timing import Limits, PollSchedule, retry_after

ADVICE = PollSchedule(interval=10, first_after=30, max_interval=60, jitter=2)

_DATES = st.from_regex(
    r"((Mon|Tue|Xyz), )?\d{1,30} (Jan|feb|Foo) \d{1,30} \d{1,3}:\d\d(:\d\d)?( (GMT|EST|[+-]\d{1,30}))?", fullmatch=True
)


def answer(value: str, date: str | None = None) -> HttpResponse:
    """Make a refusal with a Retry-After header, and perhaps the server's date."""
    return HttpResponse(status=429, headers={"Retry-After": value} | ({"Date": date} if date else {}))


@pytest.mark.parametrize("value", [-1, math.inf, math.nan, "5", True])
@pytest.mark.parametrize(
    "name", ["interval", "first_after", "max_interval", "jitter", "reconcile", "not_found_retries"]
)
def test_a_schedule_refuses_what_is_no_time(name: str, value: Any) -> None:
    """A time that is negative, endless or no number is refused by name."""
    with pytest.raises(ConfigurationError, match=f"{name} must be a"):
        PollSchedule(**{name: value})


@pytest.mark.parametrize("name", ["interval", "max_interval", "reconcile", "not_found_retries"])
def test_a_schedule_refuses_to_look_without_a_pause(name: str) -> None:
    """An interval of zero would ask for ever without a pause, and no misses at all would never find a task."""
    with pytest.raises(ConfigurationError, match=f"{name} must be "):
        PollSchedule(**{name: 0})


def test_a_schedule_may_look_at_once() -> None:
    """The first look may come at once, and jitter may be switched off."""
    schedule = PollSchedule(first_after=0, jitter=0).advised_by(ADVICE)

    assert 0.0 == schedule.after_submit()
    assert 10.0 == schedule.after_look(0)


@pytest.mark.parametrize(
    ("own", "effective"),
    [
        (PollSchedule(), (10, 30, 60, 2)),
        (PollSchedule(first_after=1), (10, 1, 60, 2)),
        (PollSchedule(max_interval=20), (10, 30, 20, 2)),
        (PollSchedule(max_interval=4), (4, 30, 4, 2)),
        (PollSchedule(jitter=0), (10, 30, 60, 0)),
        (PollSchedule(interval=2), (2, 2, 2, 0.2)),
        (PollSchedule(interval=2, first_after=5, max_interval=8, jitter=1), (2, 5, 8, 1)),
    ],
)
def test_what_is_not_set_is_advised(own: PollSchedule, effective: tuple[float, ...]) -> None:
    """The caller's figures win, the adapter's fill the rest; a caller's own interval takes none of the advice."""
    schedule = own.advised_by(ADVICE)

    assert effective == (schedule.interval, schedule.first_after, schedule.max_interval, schedule.jitter)


def test_without_any_advice() -> None:
    """An adapter that advises nothing gets a look every 15 seconds, the first of them after 15 as well."""
    schedule = PollSchedule().advised_by(PollSchedule())

    assert (15, 15, 15, 1.5) == (schedule.interval, schedule.first_after, schedule.max_interval, schedule.jitter)


def test_the_first_look_waits_an_interval() -> None:
    """An adapter that advises an interval alone is not asked the moment a task is accepted."""

    assert 10 == PollSchedule(jitter=0).advised_by(PollSchedule(interval=10)).after_submit()


def test_patience_is_the_callers() -> None:
    """How often a task may be missed, and how often to look beside callbacks, is never advised."""
    schedule = PollSchedule(not_found_retries=2, reconcile=7).advised_by(
        PollSchedule(not_found_retries=9, reconcile=99)
    )

    assert (2, 7) == (schedule.not_found_retries, schedule.reconcile)


def test_looks_grow_apart() -> None:
    """While nothing changes, the interval grows by half from look to look, up to its limit."""
    schedule = PollSchedule(interval=4, max_interval=10, jitter=0).advised_by(ADVICE)

    assert [4, 6, 9, 10, 10] == [schedule.after_look(unchanged) for unchanged in range(5)]
    assert 10 == schedule.after_look(10**6)


def test_a_fixed_interval_stays() -> None:
    """A caller's interval without a limit is kept to, whatever the adapter's limit is."""
    schedule = PollSchedule(interval=0.01, jitter=0).advised_by(ADVICE)

    assert {0.01} == {schedule.after_look(unchanged) for unchanged in range(50)}
    assert 0.01 == schedule.after_submit()


def test_faults_slow_down() -> None:
    """After failed looks the pause doubles up to a minute, or stays where the interval is longer than that."""
    short = PollSchedule(interval=5, jitter=0).advised_by(ADVICE)
    long = PollSchedule(interval=100, jitter=0).advised_by(ADVICE)

    assert [10, 20, 40, 60, 60] == [short.after_fault(faults) for faults in range(1, 6)]
    assert 60 == short.after_fault(10**6)
    assert 100 == long.after_fault(3)


def test_misses_spread_over_minutes() -> None:
    """A task that the provider does not know is looked at again with doubling pauses of up to two minutes."""
    schedule = PollSchedule(interval=15, jitter=0).advised_by(ADVICE)

    assert [15, 30, 60, 120, 120] == [schedule.after_miss(misses) for misses in range(1, 6)]
    assert 120 == schedule.after_miss(10**6)


@pytest.mark.parametrize(
    "delay",
    [
        lambda schedule: schedule.after_submit(),
        lambda schedule: schedule.after_look(0),
        lambda schedule: schedule.after_miss(1),
    ],
)
def test_jitter_moves_either_way(delay: Callable[[PollSchedule], float]) -> None:
    """A pause is moved by up to the jitter, both ways, and differs from time to time."""
    delays = [delay(PollSchedule(interval=10, jitter=3).advised_by(ADVICE)) for _ in range(200)]

    assert all(7 <= delay <= 13 for delay in delays)
    assert min(delays) < 10 < max(delays)


def test_jitter_never_makes_a_pause_negative() -> None:
    """A jitter larger than the interval moves a look to the present at most."""
    schedule = PollSchedule(interval=1, jitter=50).advised_by(ADVICE)

    assert all(0 <= schedule.after_look(0) <= 2 for _ in range(200))


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan, "5", True])
@pytest.mark.parametrize(
    "name",
    ["queries_per_second", "submits_per_second", "max_concurrent_queries", "max_running", "max_concurrent_downloads"],
)
def test_limits_refuse_what_is_no_limit(name: str, value: Any) -> None:
    """A limit is a number above zero; no limit at all is None."""
    with pytest.raises(ConfigurationError, match=f"{name} must be "):
        Limits(**{name: value})


@pytest.mark.parametrize("name", ["max_concurrent_queries", "max_concurrent_submits", "max_running", "max_queued"])
def test_what_is_counted_is_whole(name: str) -> None:
    """Half a request cannot be on its way: a fraction would never count down to nothing, and so limit nothing."""
    half: Any = 2.5
    with pytest.raises(ConfigurationError, match=f"{name} must be a whole number"):
        Limits(**{name: half})


def test_no_queue_at_all() -> None:
    """Nothing may be left waiting at the provider, and that is not the same as leaving it to the adapter."""
    defaults = Limits(max_running=5, max_queued=50)

    assert 5 == Limits(max_queued=0).filled_from(defaults).max_tasks
    assert 55 == Limits().filled_from(defaults).max_tasks
    assert Limits().filled_from(Limits()).max_tasks is None
    for wrong in (-1, True, 0.0, "5"):
        with pytest.raises(ConfigurationError, match="max_queued must be a whole number of at least 0"):
            Limits(max_queued=wrong)  # type: ignore[arg-type]


def test_rates_may_be_fractions() -> None:
    """One query in two seconds is a rate like any other."""

    assert 0.5 == Limits(queries_per_second=0.5).queries_per_second


def test_limits_are_filled() -> None:
    """What is not set is the adapter's, and what the adapter does not set either is ours."""
    filled = Limits(queries_per_second=2).filled_from(Limits(queries_per_second=9, submits_per_second=5))

    assert (2, 5, 32, 4) == (
        filled.queries_per_second,
        filled.submits_per_second,
        filled.max_concurrent_queries,
        filled.max_concurrent_downloads,
    )
    assert (1, 1) == (
        Limits(max_concurrent_queries=1).filled_from(Limits(max_concurrent_queries=9)).max_concurrent_queries,
        Limits(max_concurrent_downloads=1).filled_from(Limits(max_concurrent_downloads=9)).max_concurrent_downloads,
    )


def test_limits_are_told_apart_by_identity() -> None:
    """Two objects with the same figures are two budgets."""

    assert Limits(queries_per_second=1) != Limits(queries_per_second=1)


@pytest.mark.fault(32, 33)
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("300", 300.0),
        ("301", 301.0),
        ("86400", 86400.0),
        ("86401", 300.0),
        ("1e999", 300.0),
        ("inf", 300.0),
        ("9" * 5000, 300.0),
        ("", None),
        ("-1", None),
        ("nan", None),
        ("soon", None),
        ("Mon, 31 Feb 2026 00:00:00 GMT", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2026 00:00:00 +99999999999999999999", None),
    ],
)
def test_retry_after_in_seconds(value: str, seconds: float | None) -> None:
    """More than a day counts as five minutes, and what is negative or no time at all as not given."""

    assert seconds == retry_after(answer(value))


def test_no_retry_after() -> None:
    """Without the header nothing is said."""

    assert None is retry_after(HttpResponse(status=429))


@pytest.mark.fault(33)
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("Sat, 21 Nov 2026 07:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 07:00:30 +0000", 30.0),
        ("Sat, 21 Nov 2026 08:00:30 +0100", 30.0),
        ("Sat, 21 Nov 2026 07:00:30 -0000", 30.0),
        ("Saturday, 21-Nov-26 07:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 06:59:59 GMT", 0.0),
        ("Sat, 21 Nov 1970 07:00:30 GMT", 0.0),
        ("Sun, 22 Nov 2026 07:00:00 GMT", 86400.0),
        ("Sun, 22 Nov 2026 07:00:01 GMT", 300.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 300.0),
    ],
)
def test_retry_after_as_a_date(value: str, seconds: float) -> None:
    """A date is read against the server's own, so that a clock that is wrong here does not matter."""

    assert seconds == retry_after(answer(value, date="Sat, 21 Nov 2026 07:00:00 GMT"))


@pytest.mark.parametrize("date", [None, "yesterday", "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"])
def test_retry_after_as_a_date_without_the_servers(date: str | None) -> None:
    """Where the server does not tell its time, or cannot, the clock here has to do."""
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)

    assert 90 < (retry_after(answer(until, date)) or 0) <= 100


@given(value=st.text() | _DATES | st.floats().map(str) | st.integers().map(str), date=st.none() | st.text() | _DATES)
def test_retry_after_is_always_in_bounds(value: str, date: str | None) -> None:
    """Whatever a server writes, it is read as no more than a day or as nothing."""
    seconds = retry_after(answer(value, date))

    assert seconds is None or 0 <= seconds <= 86400
