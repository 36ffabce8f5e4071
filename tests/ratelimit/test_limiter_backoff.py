"""What a rate limiter does after a 429: it pauses, and reduces the rate, which recovers over time."""

from __future__ import annotations

import asyncio
import logging
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from happyhorse_async.ratelimit import RateLimiter

from .slots import granted, now


@pytest.mark.fault(32)
@pytest.mark.usefixtures("no_chance")
async def test_retry_after_pauses_also_the_callers_that_already_wait() -> None:
    limiter = RateLimiter(1)
    await limiter.acquire()
    waiting = asyncio.create_task(granted(limiter, 2))
    await asyncio.sleep(0.5)
    limiter.back_off(10)

    assert [10.5, 10.5 + 1 / 0.7] == pytest.approx(await waiting)


@pytest.mark.usefixtures("no_chance")
async def test_a_limiter_without_a_rate_pauses_as_well() -> None:
    limiter = RateLimiter(None)
    limiter.back_off(10)

    assert [10, 10] == pytest.approx(await granted(limiter, 2))


@pytest.mark.usefixtures("no_chance")
async def test_a_shorter_retry_after_does_not_shorten_the_pause() -> None:
    limiter = RateLimiter(None)
    limiter.back_off(10)
    limiter.back_off(1)

    assert [10] == pytest.approx(await granted(limiter, 1))


@pytest.mark.fault(31, 34)
async def test_without_retry_after_the_pauses_double_up_to_half_a_minute_with_jitter() -> None:
    pauses: list[float] = []
    limiter = RateLimiter(None)
    for _ in range(12):
        limiter.back_off(None)
        pauses += await granted(limiter, 1)

    assert all(min(0.25 * 2**n, 15) <= pause <= min(0.5 * 2**n, 30) for n, pause in enumerate(pauses))
    assert 12 == len(set(pauses))


async def test_after_a_success_the_next_pause_is_short_again() -> None:
    limiter = RateLimiter(None)
    for _ in range(8):
        limiter.back_off(None)
    await limiter.acquire()
    limiter.succeeded()
    limiter.back_off(None)
    (pause,) = await granted(limiter, 1)

    assert 0.25 <= pause <= 0.5


@pytest.mark.fault(31)
@pytest.mark.usefixtures("no_chance")
async def test_a_429_reduces_the_rate_by_30_percent_once_for_all_in_flight(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "happyhorse_async")
    limiter = RateLimiter(10, name="queries")
    for _ in range(5):
        limiter.back_off(None)

    assert 7 == pytest.approx(limiter.rate)
    [line] = caplog.messages
    assert "rate limit exceeded (429): no queries for" in line
    assert "7 per second instead of 10" in line


@pytest.mark.usefixtures("no_chance")
async def test_after_the_pause_slots_come_at_the_reduced_rate() -> None:
    limiter = RateLimiter(10)
    await granted(limiter, 1)
    limiter.back_off(None)
    times = await granted(limiter, 36)

    assert 7.0 == pytest.approx(35 / (times[-1] - times[0]), rel=0.3)
    assert 0.12 < times[-1] - times[-2] < 1 / 7


@pytest.mark.fault(31)
@pytest.mark.usefixtures("no_chance")
async def test_without_another_429_the_rate_recovers_linearly() -> None:
    limiter = RateLimiter(10)
    limiter.back_off(None)
    rates: list[float] = []
    for _ in range(7):
        await asyncio.sleep(15)
        rates.append(limiter.rate or 0.0)
    steps = [later - earlier for earlier, later in pairwise(rates) if later < 10]

    assert 10 == rates[-1]
    assert [0.5] * len(steps) == pytest.approx(steps)
    assert len(steps) > 2


@pytest.mark.usefixtures("no_chance")
async def test_the_rate_never_falls_below_one_percent() -> None:
    limiter = RateLimiter(10)
    for _ in range(100):
        limiter.back_off(None)
        await limiter.acquire()

    assert 0.1 == pytest.approx(limiter.rate, rel=0.01)


@settings(max_examples=40)
@given(refusals=st.lists(st.floats(0, 40), max_size=8), pauses=st.lists(st.floats(0, 3), min_size=20, max_size=60))
async def test_no_window_exceeds_the_full_rate_while_the_rate_changes(
    refusals: list[float], pauses: list[float]
) -> None:
    limiter = RateLimiter(5)
    loop, times = asyncio.get_running_loop(), list[float]()
    for at in refusals:
        loop.call_later(at, limiter.back_off, None)
    for pause in pauses:
        await asyncio.sleep(pause)
        start = now()
        times += [start + wait for wait in await granted(limiter, 2)]
    times.sort()

    assert all(later - earlier >= 1 - 1e-6 for earlier, later in zip(times, times[5:], strict=False))


@pytest.mark.fault(32)
async def test_retry_after_is_honoured_with_some_jitter() -> None:
    waits: list[float] = []
    for _ in range(5):
        limiter = RateLimiter(None)
        limiter.back_off(10)
        waits += await granted(limiter, 1)

    assert all(10 <= wait <= 10.5 for wait in waits)
    assert len(set(waits)) > 1


@pytest.mark.fault(33)
async def test_a_retry_after_in_the_past_pauses_for_the_jitter_only() -> None:
    limiter = RateLimiter(None)
    limiter.back_off(0)

    assert 0 <= (await granted(limiter, 1))[0] <= 0.5
