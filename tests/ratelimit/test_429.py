"""What a pacer makes of a refusal: everybody pauses, and the rate shrinks until it has been quiet for a while."""

from __future__ import annotations

import asyncio
import logging
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from happyhorse_async.ratelimit import RateLimiter

from .slots import granted, now


@pytest.mark.fault(32)
@pytest.mark.usefixtures("no_chance")
async def test_a_refusal_holds_everybody_back() -> None:
    """After a refusal with a time, nobody gets a turn before it, those included who already wait."""
    limiter = RateLimiter(1)
    await limiter.acquire()
    waiting = asyncio.create_task(granted(limiter, 2))
    await asyncio.sleep(0.5)
    limiter.refused(10)

    assert [10.5, 10.5 + 1 / 0.7] == pytest.approx(await waiting)


@pytest.mark.usefixtures("no_chance")
async def test_a_refusal_counts_without_a_rate() -> None:
    """A pacer without a rate holds back as well once it is told to."""
    limiter = RateLimiter(None)
    limiter.refused(10)

    assert [10, 10] == pytest.approx(await granted(limiter, 2))


@pytest.mark.usefixtures("no_chance")
async def test_the_longest_pause_holds() -> None:
    """A shorter wish does not take back a longer one."""
    limiter = RateLimiter(None)
    limiter.refused(10)
    limiter.refused(1)

    assert [10] == pytest.approx(await granted(limiter, 1))


@pytest.mark.fault(31, 34)
async def test_refusals_without_a_time() -> None:
    """Without a time the pauses grow from refusal to refusal up to half a minute, never twice the same."""
    pauses: list[float] = []
    limiter = RateLimiter(None)
    for _ in range(12):
        limiter.refused(None)
        pauses += await granted(limiter, 1)

    assert all(min(0.25 * 2**n, 15) <= pause <= min(0.5 * 2**n, 30) for n, pause in enumerate(pauses))
    assert 12 == len(set(pauses))


async def test_acceptance_ends_the_growth() -> None:
    """Once the provider keeps up again, the next refusal begins with a short pause."""
    limiter = RateLimiter(None)
    for _ in range(8):
        limiter.refused(None)
    await limiter.acquire()
    limiter.accepted()
    limiter.refused(None)
    (pause,) = await granted(limiter, 1)

    assert 0.25 <= pause <= 0.5


@pytest.mark.fault(31)
@pytest.mark.fault(31)
@pytest.mark.usefixtures("no_chance")
async def test_a_refusal_shrinks_the_rate(caplog: pytest.LogCaptureFixture) -> None:
    """A refusal without a time takes the rate down by three tenths, and says so; those sent together count once."""
    caplog.set_level(logging.INFO, "happyhorse_async")
    limiter = RateLimiter(10, name="queries")
    for _ in range(5):
        limiter.refused(None)

    assert 7 == pytest.approx(limiter.rate)
    [line] = caplog.messages
    assert "refuses queries as too many" in line
    assert "7 a second instead of 10" in line


@pytest.mark.usefixtures("no_chance")
async def test_the_shrunk_rate_is_kept() -> None:
    """After the pause turns come at the smaller rate."""
    limiter = RateLimiter(10)
    await granted(limiter, 1)
    limiter.refused(None)
    times = await granted(limiter, 36)

    assert 7.0 == pytest.approx(35 / (times[-1] - times[0]), rel=0.3)
    assert 0.12 < times[-1] - times[-2] < 1 / 7


@pytest.mark.fault(31)
@pytest.mark.usefixtures("no_chance")
async def test_quiet_grows_it_back() -> None:
    """While nothing is refused the rate grows by the same amount every second, until it is what it was."""
    limiter = RateLimiter(10)
    limiter.refused(None)
    rates: list[float] = []
    for _ in range(7):
        await asyncio.sleep(15)
        rates.append(limiter.rate or 0.0)
    steps = [later - earlier for earlier, later in pairwise(rates) if later < 10]

    assert 10 == rates[-1]
    assert [0.5] * len(steps) == pytest.approx(steps)
    assert len(steps) > 2


@pytest.mark.usefixtures("no_chance")
async def test_there_is_a_floor() -> None:
    """However often it is refused, and at once, a hundredth of the rate is tried."""
    limiter = RateLimiter(10)
    for _ in range(100):
        limiter.refused(None)
        await limiter.acquire()

    assert 0.1 == pytest.approx(limiter.rate, rel=0.01)


@given(refusals=st.lists(st.floats(0, 40), max_size=8), pauses=st.lists(st.floats(0, 3), min_size=20, max_size=60))
async def test_the_full_rate_holds_while_the_rate_changes(refusals: list[float], pauses: list[float]) -> None:
    """Shrinking and growing, no window ever sees more turns than the full rate allows."""
    limiter = RateLimiter(5)
    loop, times = asyncio.get_running_loop(), list[float]()
    for at in refusals:
        loop.call_later(at, limiter.refused, None)
    for pause in pauses:
        await asyncio.sleep(pause)
        start = now()
        times += [start + wait for wait in await granted(limiter, 2)]
    times.sort()

    assert all(later - earlier >= 1 - 1e-6 for earlier, later in zip(times, times[5:], strict=False))


@pytest.mark.fault(32)
@pytest.mark.fault(32)
async def test_a_time_is_kept_and_a_little_more() -> None:
    """Nobody gets a turn before the provider's time is over, and not everybody in the same moment after it."""
    waits: list[float] = []
    for _ in range(5):
        limiter = RateLimiter(None)
        limiter.refused(10)
        waits += await granted(limiter, 1)

    assert all(10 <= wait <= 10.5 for wait in waits)
    assert len(set(waits)) > 1


@pytest.mark.fault(33)
@pytest.mark.fault(33)
async def test_a_time_in_the_past() -> None:
    """A time that is over holds nobody up."""
    limiter = RateLimiter(None)
    limiter.refused(0)

    assert [0] == await granted(limiter, 1)
