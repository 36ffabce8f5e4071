"""The turns of one account, one after the other."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from happyhorse_async.ratelimit import AccountLimits, RateLimiter
from happyhorse_async.timing import Limits

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
async def test_the_rate(per_second: float | None, times: list[float]) -> None:
    """A burst of what one window holds goes at once, and the rest evenly; without a rate all go at once."""

    assert times == pytest.approx(await granted(RateLimiter(per_second), 7), abs=0.002)


@given(per_second=st.floats(0.3, 30), pauses=st.lists(st.floats(0, 3), min_size=1, max_size=30))
async def test_no_window_holds_more_than_the_rate(per_second: float, pauses: list[float]) -> None:
    """However the callers come, no window of the rate's length sees more turns than the rate allows."""
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


async def test_what_is_not_used_is_lost() -> None:
    """A quiet time saves nothing up: the burst after it is no larger than one window."""
    limiter = RateLimiter(2)
    await granted(limiter, 2)
    await asyncio.sleep(60)

    assert [0, 0, 1, 1.5] == pytest.approx(await granted(limiter, 4))


async def test_first_come_first_served() -> None:
    """Turns are given in the order in which they were asked for."""
    limiter = RateLimiter(1)
    served: list[int] = []

    async def one(number: int) -> None:
        await limiter.acquire()
        served.append(number)

    await asyncio.gather(*(one(number) for number in range(10)))

    assert list(range(10)) == served


async def test_who_gives_up_costs_no_turn() -> None:
    """A caller that is cancelled while it waits takes no turn from those behind it."""
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


async def test_a_budget_has_the_given_limits() -> None:
    """Queries and submits have rates of their own, and neither uses up the other's."""
    budget = AccountLimits(Limits(queries_per_second=2, submits_per_second=1))

    assert [0, 0, 1] == pytest.approx(await granted(budget.queries, 3))
    assert [0, 1] == pytest.approx(await granted(budget.submits, 2))


async def test_the_places_on_the_way() -> None:
    """No more turns are held at once than there are places, and who waits for one is served as soon as one is left."""
    limiter = RateLimiter(None, at_once=3)
    on_the_way = most = 0

    async def one() -> None:
        nonlocal on_the_way, most
        async with limiter:
            on_the_way += 1
            most = max(most, on_the_way)
            await asyncio.sleep(1)
            on_the_way -= 1

    start = now()
    await asyncio.gather(*(one() for _ in range(10)))

    assert 3 == most
    assert 4 == pytest.approx(now() - start)


async def test_a_place_is_given_back() -> None:
    """A request that fails or is cancelled leaves its place to the next."""
    limiter = RateLimiter(None, at_once=1)
    with pytest.raises(KeyError):
        async with limiter:
            raise KeyError
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1), limiter:
            await asyncio.sleep(2)

    async with asyncio.timeout(1), limiter:
        pass


async def test_a_turn_that_came_too_late() -> None:
    """A caller that is cancelled in the very moment in which its turn comes leaves the place to the next."""
    limiter = RateLimiter(None, at_once=1)
    await limiter.acquire()
    late, next_one = asyncio.create_task(limiter.acquire()), asyncio.create_task(limiter.acquire())
    await asyncio.sleep(0)
    limiter.release()
    late.cancel()

    await asyncio.wait_for(next_one, 1)
    assert late.cancelled()


async def test_submits_that_hang_do_not_keep_anybody_from_looking() -> None:
    """Submits and queries have places of their own: with every submit unanswered, queries go on."""
    budget = AccountLimits(Limits(max_concurrent_submits=2, max_concurrent_queries=1))
    for _ in range(2):
        await budget.submits.acquire()

    assert not budget.submits.free()
    async with asyncio.timeout(1), budget.queries:
        pass


async def test_what_can_be_seen_of_a_budget() -> None:
    """Whether a turn is free, the rate, and how many wait for one."""
    limiter = RateLimiter(2)

    assert (True, 2, 0) == (limiter.free(), limiter.rate, limiter.waiting)
    crowd = [asyncio.create_task(limiter.acquire()) for _ in range(5)]
    await asyncio.sleep(0.1)
    assert (False, 2, 3) == (limiter.free(), limiter.rate, limiter.waiting)
    crowd[3].cancel()
    await asyncio.wait(crowd)
    assert (False, 0) == (limiter.free(), limiter.waiting)
    await asyncio.sleep(1)
    assert limiter.free()
    assert RateLimiter(None).rate is None


async def test_a_free_turn_needs_no_switch() -> None:
    """Whoever finds a turn free goes on at once: nobody else runs in between."""
    limiter = RateLimiter(2)
    ran: list[str] = []
    asyncio.get_running_loop().call_soon(ran.append, "somebody else")
    async with limiter:
        pass

    assert [] == ran


async def test_a_steady_load_is_even() -> None:
    """Where turns are always wanted, they come one by one and not in a burst for each window."""
    limiter = RateLimiter(10)
    times = await granted(limiter, 60)

    assert all(0.1 == pytest.approx(later - earlier, abs=0.002) for earlier, later in pairwise(times[10:]))


async def test_a_burst_is_small() -> None:
    """However high the rate, ten go at once, and those after them one by one."""
    times = await granted(RateLimiter(50), 40)

    assert [0.0] * 10 == times[:10]
    assert all(0.02 == pytest.approx(later - earlier, abs=0.002) for earlier, later in pairwise(times[10:]))
    assert 0.2 == pytest.approx(times[10])


async def test_a_rate_without_end() -> None:
    """A rate that nobody can reach costs no memory and no time."""
    limiter = RateLimiter(1e6)
    times = await granted(limiter, 5000)

    assert max(times) < 1


async def test_one_object_is_one_budget() -> None:
    """Clients that are given the same limits share one budget for an adapter; others do not."""
    limits, defaults = Limits(queries_per_second=2), Limits(queries_per_second=9, submits_per_second=1)

    assert AccountLimits.of(limits, defaults, "a") is AccountLimits.of(limits, defaults, "a")
    assert AccountLimits.of(limits, defaults, "a") is not AccountLimits.of(limits, defaults, "b")
    assert AccountLimits.of(limits, defaults, "a") is not AccountLimits.of(Limits(queries_per_second=2), defaults, "a")
    assert AccountLimits.of(None, defaults, "a") is not AccountLimits.of(None, defaults, "a")


async def test_a_budget_without_limits() -> None:
    """Without limits of the caller's own the adapter's hold, and what the caller leaves open is the adapter's."""
    defaults = Limits(queries_per_second=1, submits_per_second=2)
    own = AccountLimits.of(Limits(queries_per_second=3), defaults, "a")

    assert [0, 1] == pytest.approx(await granted(AccountLimits.of(None, defaults, "a").queries, 2))
    assert [0, 0, 0, 1] == pytest.approx(await granted(own.queries, 4))
    assert [0, 0, 1] == pytest.approx(await granted(own.submits, 3))


def test_limits_may_outlive_a_loop() -> None:
    """The same limits serve one event loop after another, also where several callers wait at once."""
    limits = Limits(queries_per_second=1000, max_concurrent_queries=1)

    async def crowd() -> int:
        budget = AccountLimits.of(limits, Limits(), "a")

        async def one() -> int:
            async with budget.queries:
                await asyncio.sleep(0)
                return 1

        return sum(await asyncio.gather(*(one() for _ in range(3))))

    assert [3, 3] == [asyncio.run(crowd()), asyncio.run(crowd())]
