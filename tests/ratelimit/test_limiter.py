"""When a rate limiter grants slots."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from happyhorse_async.ratelimit import RateLimiter

from .slots import granted, now


@pytest.mark.parametrize(
    ("per_second", "times"),
    [
        (2, [0, 0, 1, 1.5, 2, 2.5, 3]),
        (1, [0, 1, 2, 3, 4, 5, 6]),
        (0.5, [0, 2, 4, 6, 8, 10, 12]),
        (2.5, [0, 0, 0.8, 1.2, 1.6, 2.0, 2.4]),
        (None, [0, 0, 0, 0, 0, 0, 0]),
    ],
)
async def test_one_burst_and_then_evenly_spaced_slots(per_second: float | None, times: list[float]) -> None:
    assert times == pytest.approx(await granted(RateLimiter(per_second), 7), abs=0.002)


@given(per_second=st.floats(0.3, 30), pauses=st.lists(st.floats(0, 3), min_size=1, max_size=30))
async def test_no_window_exceeds_the_rate(per_second: float, pauses: list[float]) -> None:
    limiter = RateLimiter(per_second)
    times: list[float] = []
    for pause in pauses:
        await asyncio.sleep(pause)
        await limiter.acquire()
        times.append(now())
    count = max(1, int(per_second))

    assert all(
        later - earlier >= count / per_second - 1e-6 for earlier, later in zip(times, times[count:], strict=False)
    )


async def test_unused_slots_are_not_saved_up() -> None:
    limiter = RateLimiter(2)
    await granted(limiter, 2)
    await asyncio.sleep(60)

    assert [0, 0, 1, 1.5] == pytest.approx(await granted(limiter, 4))


async def test_first_come_first_served() -> None:
    limiter = RateLimiter(1)
    served: list[int] = []

    async def one(number: int) -> None:
        await limiter.acquire()
        served.append(number)

    await asyncio.gather(*(one(number) for number in range(10)))

    assert list(range(10)) == served


async def test_a_cancelled_waiter_uses_no_slot() -> None:
    limiter = RateLimiter(1)
    await limiter.acquire()
    start = now()
    waiting = [asyncio.create_task(limiter.acquire()) for _ in range(3)]
    await asyncio.sleep(0.5)
    waiting[0].cancel()
    waiting[1].cancel()
    await waiting[2]

    assert 1 == pytest.approx(now() - start)
    assert waiting[0].cancelled()


async def test_no_more_slots_are_held_than_max_concurrent() -> None:
    """A released slot is granted to the next waiter immediately."""
    limiter = RateLimiter(None, max_concurrent=3)
    in_flight = most = 0

    async def one() -> None:
        nonlocal in_flight, most
        async with limiter:
            in_flight += 1
            most = max(most, in_flight)
            await asyncio.sleep(1)
            in_flight -= 1

    start = now()
    await asyncio.gather(*(one() for _ in range(10)))

    assert 3 == most
    assert 4 == pytest.approx(now() - start)


async def test_a_failed_or_cancelled_request_releases_its_slot() -> None:
    limiter = RateLimiter(None, max_concurrent=1)
    with pytest.raises(KeyError):
        async with limiter:
            raise KeyError
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1), limiter:
            await asyncio.sleep(2)

    async with asyncio.timeout(1), limiter:
        pass


async def test_a_waiter_cancelled_in_the_moment_of_the_grant_releases_the_slot() -> None:
    limiter = RateLimiter(None, max_concurrent=1)
    await limiter.acquire()
    late, next_one = asyncio.create_task(limiter.acquire()), asyncio.create_task(limiter.acquire())
    await asyncio.sleep(0)
    limiter.release()
    late.cancel()

    await asyncio.wait_for(next_one, 1)
    assert late.cancelled()


async def test_free_rate_and_waiting_show_the_state() -> None:
    limiter = RateLimiter(2)

    assert (True, 2, 0) == (limiter.free(), limiter.rate, limiter.waiting)
    waiters = [asyncio.create_task(limiter.acquire()) for _ in range(5)]
    await asyncio.sleep(0.1)
    assert (False, 2, 3) == (limiter.free(), limiter.rate, limiter.waiting)
    waiters[3].cancel()
    await asyncio.wait(waiters)
    assert (False, 0) == (limiter.free(), limiter.waiting)
    await asyncio.sleep(1)
    assert limiter.free()
    assert RateLimiter(None).rate is None


async def test_a_free_slot_is_granted_without_yielding_to_the_event_loop() -> None:
    limiter = RateLimiter(2)
    ran: list[str] = []
    asyncio.get_running_loop().call_soon(ran.append, "another task")
    async with limiter:
        pass

    assert [] == ran


async def test_under_constant_load_slots_are_evenly_spaced() -> None:
    limiter = RateLimiter(10)
    times = await granted(limiter, 60)

    assert all(0.1 == pytest.approx(later - earlier, abs=0.002) for earlier, later in pairwise(times[10:]))


async def test_a_burst_is_ten_slots_at_most() -> None:
    times = await granted(RateLimiter(50), 40)

    assert [0.0] * 10 == times[:10]
    assert all(0.02 == pytest.approx(later - earlier, abs=0.002) for earlier, later in pairwise(times[10:]))
    assert 0.2 == pytest.approx(times[10])


async def test_a_rate_beyond_reach_costs_no_time() -> None:
    limiter = RateLimiter(1e6)
    times = await granted(limiter, 5000)

    assert max(times) < 1
