"""The polling schedule, limits, and `Retry-After`."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from happyhorse_async.errors import ConfigurationError
from happyhorse_async.messages import HttpResponse
from happyhorse_async.retry import RetryPolicy
from happyhorse_async.timing import Limits, PollSchedule, retry_after

ADVICE = PollSchedule(interval=10, first_after=30, max_interval=60, jitter=2)

_DATES = st.from_regex(
    r"((Mon|Tue|Xyz), )?\d{1,30} (Jan|feb|Foo) \d{1,30} \d{1,3}:\d\d(:\d\d)?( (GMT|EST|[+-]\d{1,30}))?", fullmatch=True
)


def answer(value: str, date: str | None = None) -> HttpResponse:
    """Make a 429 with a Retry-After header, and optionally the server's date."""
    return HttpResponse(status=429, headers={"Retry-After": value} | ({"Date": date} if date else {}))


@pytest.mark.parametrize("value", [-1, math.inf, math.nan, "5", True])
@pytest.mark.parametrize(
    "name", ["interval", "first_after", "max_interval", "jitter", "reconcile", "not_found_retries"]
)
def test_a_schedule_rejects_a_time_that_is_negative_infinite_or_not_a_number(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be a"):
        PollSchedule(**{name: value})


@pytest.mark.parametrize("name", ["interval", "max_interval", "reconcile", "not_found_retries"])
def test_a_schedule_rejects_zero_where_it_would_poll_without_pause(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be "):
        PollSchedule(**{name: 0})


def test_the_first_poll_may_come_at_once_and_without_jitter() -> None:
    schedule = PollSchedule(first_after=0, jitter=0).advised_by(ADVICE)

    assert 0.0 == schedule.after_submit()
    assert 10.0 == schedule.after_poll(0)


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
def test_the_adapters_advice_fills_what_the_caller_has_not_set(own: PollSchedule, effective: tuple[float, ...]) -> None:
    """But none of it applies to a caller's own interval."""
    schedule = own.advised_by(ADVICE)

    assert effective == (schedule.interval, schedule.first_after, schedule.max_interval, schedule.jitter)


def test_without_advice_a_task_is_polled_every_15_seconds() -> None:
    schedule = PollSchedule().advised_by(PollSchedule())

    assert (15, 15, 15, 1.5) == (schedule.interval, schedule.first_after, schedule.max_interval, schedule.jitter)


def test_the_first_poll_comes_after_one_interval() -> None:
    assert 10 == PollSchedule(jitter=0).advised_by(PollSchedule(interval=10)).after_submit()


def test_not_found_retries_and_reconcile_are_never_advised() -> None:
    schedule = PollSchedule(not_found_retries=2, reconcile=7).advised_by(
        PollSchedule(not_found_retries=9, reconcile=99)
    )

    assert (2, 7) == (schedule.not_found_retries, schedule.reconcile)


def test_without_a_change_the_interval_grows_by_half_up_to_its_maximum() -> None:
    schedule = PollSchedule(interval=4, max_interval=10, jitter=0).advised_by(ADVICE)

    assert [4, 6, 9, 10, 10] == [schedule.after_poll(unchanged) for unchanged in range(5)]
    assert 10 == schedule.after_poll(10**6)


def test_a_callers_interval_without_maximum_does_not_grow() -> None:
    schedule = PollSchedule(interval=0.01, jitter=0).advised_by(ADVICE)

    assert {0.01} == {schedule.after_poll(unchanged) for unchanged in range(50)}
    assert 0.01 == schedule.after_submit()


def test_failed_polls_back_off_up_to_a_minute_and_never_below_the_interval() -> None:
    short = PollSchedule(interval=5, jitter=0).advised_by(ADVICE)
    long = PollSchedule(interval=100, jitter=0).advised_by(ADVICE)

    for failures, most in enumerate([10, 20, 40, 60, 60], start=1):
        assert all(max(5, most / 2) <= short.after_failure(failures) <= most for _ in range(50))
    assert short.after_failure(10**6) <= 60
    assert all(100 <= long.after_failure(3) <= 200 for _ in range(50))


def test_failed_polls_use_the_retry_policy_of_polls() -> None:
    """Its pauses hold where they are longer than the interval."""
    schedule = PollSchedule(interval=1, jitter=0).advised_by(ADVICE)
    policy = RetryPolicy(max_retries=9, initial_interval=30, max_interval=600)

    for failures, most in enumerate([30, 60, 120, 240, 480, 600], start=1):
        assert all(most / 2 <= schedule.after_failure(failures, policy) <= most for _ in range(50))


def test_retry_after_makes_the_pause_of_a_failed_poll_longer_but_not_shorter() -> None:
    schedule = PollSchedule(interval=15).advised_by(ADVICE)

    assert 200 == schedule.after_failure(1, retry_after=200)
    assert 300 == schedule.after_failure(1, retry_after=9999)
    assert 15 <= schedule.after_failure(1, retry_after=0) <= 30


def test_polls_of_an_unknown_task_spread_over_minutes() -> None:
    schedule = PollSchedule(interval=15, jitter=0).advised_by(ADVICE)

    for misses, most in enumerate([30, 60, 120, 120, 120], start=1):
        assert all(most / 2 <= schedule.after_not_found(misses) <= most for _ in range(50))
    assert schedule.after_not_found(10**6) <= 120


@pytest.mark.parametrize(
    "delay",
    [
        lambda schedule: schedule.after_submit(),
        lambda schedule: schedule.after_poll(0),
    ],
)
def test_jitter_moves_a_poll_either_way(delay: Callable[[PollSchedule], float]) -> None:
    delays = [delay(PollSchedule(interval=10, jitter=3).advised_by(ADVICE)) for _ in range(200)]

    assert all(7 <= delay <= 13 for delay in delays)
    assert min(delays) < 10 < max(delays)


def test_a_jitter_larger_than_the_interval_gives_no_negative_pause() -> None:
    schedule = PollSchedule(interval=1, jitter=50).advised_by(ADVICE)

    assert all(0 <= schedule.after_poll(0) <= 2 for _ in range(200))


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan, "5", True])
@pytest.mark.parametrize(
    "name",
    ["queries_per_second", "submits_per_second", "max_concurrent_queries", "max_running", "max_concurrent_downloads"],
)
def test_limits_reject_what_is_not_a_number_above_zero(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be "):
        Limits(**{name: value})


@pytest.mark.parametrize(
    "name",
    [
        "max_concurrent_queries",
        "max_concurrent_submits",
        "max_running",
        "max_queued",
        "max_unprotected_submits",
    ],
)
def test_limits_reject_fractions_of_what_is_counted(name: str) -> None:
    half: Any = 2.5
    with pytest.raises(ConfigurationError, match=f"{name} must be a whole number"):
        Limits(**{name: half})


def test_a_queue_of_zero_is_not_the_adapters_default() -> None:
    defaults = Limits(max_running=5, max_queued=50)

    assert 5 == Limits(max_queued=0).filled_from(defaults).max_tasks
    assert 55 == Limits().filled_from(defaults).max_tasks
    assert Limits().filled_from(Limits()).max_tasks is None
    for wrong in (-1, True, 0.0, "5"):
        with pytest.raises(ConfigurationError, match="max_queued must be a whole number of at least 0"):
            Limits(max_queued=wrong)  # type: ignore[arg-type]


def test_rates_may_be_fractions() -> None:
    assert 0.5 == Limits(queries_per_second=0.5).queries_per_second


def test_what_is_not_set_is_the_adapters_or_the_librarys_default() -> None:
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


def test_limits_objects_are_compared_by_identity() -> None:

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
    """More than a day counts as five minutes; what is negative or not a time counts as absent."""
    assert seconds == retry_after(answer(value))


def test_without_the_header_there_is_no_retry_after() -> None:
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
def test_a_retry_after_date_is_compared_with_the_servers_own_date(value: str, seconds: float) -> None:
    assert seconds == retry_after(answer(value, date="Sat, 21 Nov 2026 07:00:00 GMT"))


@pytest.mark.parametrize("date", [None, "yesterday", "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"])
def test_without_a_server_date_the_local_clock_is_used(date: str | None) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)

    assert 90 < (retry_after(answer(until, date)) or 0) <= 100


@settings(max_examples=60)
@given(value=st.text() | _DATES | st.floats().map(str) | st.integers().map(str), date=st.none() | st.text() | _DATES)
def test_retry_after_is_always_in_bounds(value: str, date: str | None) -> None:
    seconds = retry_after(answer(value, date))

    assert seconds is None or 0 <= seconds <= 86400
