"""How fast one account is asked, in virtual time."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from happyhorse_async.pacing import Budget, Pacer
from happyhorse_async.timing import Limits

P = ParamSpec("P")


class _Clock(selectors.DefaultSelector):
    """Waits for nothing: where a selector would sleep, its time goes on."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits, and nothing will ever happen"
            self.now += timeout
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in which sleeping takes no time and is exact."""

    def __init__(self) -> None:
        self._clock = _Clock()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test in a loop of its own in which sleeping takes no time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


def now() -> float:
    """Return the time of the event loop."""
    return asyncio.get_running_loop().time()


async def granted(pacer: Pacer, count: int) -> list[float]:
    """Ask for *count* turns at once, and return how long each took to come."""
    start = now()

    async def one() -> float:
        await pacer.turn()
        return now() - start

    return list(await asyncio.gather(*(one() for _ in range(count))))


@pytest.mark.parametrize(
    ("per_second", "times"),
    [
        (2, [0, 0, 1, 1, 2, 2, 3]),
        (1, [0, 1, 2, 3, 4, 5, 6]),
        (0.5, [0, 2, 4, 6, 8, 10, 12]),
        (2.5, [0, 0, 0.8, 0.8, 1.6, 1.6, 2.4]),
        (None, [0, 0, 0, 0, 0, 0, 0]),
    ],
)
@in_virtual_time
async def test_the_rate(per_second: float | None, times: list[float]) -> None:
    """A burst of what one window holds goes at once, and the rest at the rate; without a rate all go at once."""

    assert times == pytest.approx(await granted(Pacer(per_second), 7), abs=0.002)


@given(per_second=st.floats(0.3, 30), pauses=st.lists(st.floats(0, 3), min_size=1, max_size=30))
@in_virtual_time
async def test_no_window_holds_more_than_the_rate(per_second: float, pauses: list[float]) -> None:
    """However the callers come, no window of the rate's length sees more turns than the rate allows."""
    pacer = Pacer(per_second)
    times: list[float] = []
    for pause in pauses:
        await asyncio.sleep(pause)
        await pacer.turn()
        times.append(now())
    count = max(1, int(per_second))

    assert all(
        later - earlier >= count / per_second - 1e-6 for earlier, later in zip(times, times[count:], strict=False)
    )


@in_virtual_time
async def test_what_is_not_used_is_lost() -> None:
    """A quiet time saves nothing up: the burst after it is no larger than one window."""
    pacer = Pacer(2)
    await granted(pacer, 2)
    await asyncio.sleep(60)

    assert [0, 0, 1, 1] == pytest.approx(await granted(pacer, 4))


@in_virtual_time
async def test_first_come_first_served() -> None:
    """Turns are given in the order in which they were asked for."""
    pacer = Pacer(1)
    served: list[int] = []

    async def one(number: int) -> None:
        await pacer.turn()
        served.append(number)

    await asyncio.gather(*(one(number) for number in range(10)))

    assert list(range(10)) == served


@in_virtual_time
async def test_who_gives_up_costs_no_turn() -> None:
    """A caller that is cancelled while it waits takes no turn from those behind it."""
    pacer = Pacer(1)
    await pacer.turn()
    start = now()
    waiting = [asyncio.create_task(pacer.turn()) for _ in range(3)]
    await asyncio.sleep(0.5)
    waiting[0].cancel()
    waiting[1].cancel()
    await waiting[2]

    assert 1 == pytest.approx(now() - start)
    assert waiting[0].cancelled()


@in_virtual_time
async def test_a_refusal_holds_everybody_back() -> None:
    """After a refusal with a time, nobody gets a turn before it, those included who already wait."""
    pacer = Pacer(1)
    await pacer.turn()
    waiting = asyncio.create_task(granted(pacer, 2))
    await asyncio.sleep(0.5)
    pacer.refused(10)

    assert [10.5, 11.5] == pytest.approx(await waiting)


@in_virtual_time
async def test_a_refusal_counts_without_a_rate() -> None:
    """A pacer without a rate holds back as well once it is told to."""
    pacer = Pacer(None)
    pacer.refused(10)

    assert [10, 10] == pytest.approx(await granted(pacer, 2))


@in_virtual_time
async def test_the_longest_pause_holds() -> None:
    """A shorter wish does not take back a longer one."""
    pacer = Pacer(None)
    pacer.refused(10)
    pacer.refused(1)

    assert [10] == pytest.approx(await granted(pacer, 1))


@in_virtual_time
async def test_refusals_without_a_time() -> None:
    """Without a time the pauses grow from refusal to refusal up to half a minute, never twice the same."""
    pauses: list[float] = []
    pacer = Pacer(None)
    for _ in range(12):
        pacer.refused(None)
        pauses += await granted(pacer, 1)

    assert all(min(0.25 * 2**n, 15) <= pause <= min(0.5 * 2**n, 30) for n, pause in enumerate(pauses))
    assert 12 == len(set(pauses))


@in_virtual_time
async def test_acceptance_ends_the_growth() -> None:
    """Once the provider keeps up again, the next refusal begins with a short pause."""
    pacer = Pacer(None)
    for _ in range(8):
        pacer.refused(None)
    await pacer.turn()
    pacer.accepted()
    pacer.refused(None)
    (pause,) = await granted(pacer, 1)

    assert 0.25 <= pause <= 0.5


@in_virtual_time
async def test_a_budget_has_the_given_limits() -> None:
    """Queries and submits have rates of their own, and neither uses up the other's."""
    budget = Budget(Limits(queries_per_second=2, submits_per_second=1))

    assert [0, 0, 1] == pytest.approx(await granted(budget.queries, 3))
    assert [0, 1] == pytest.approx(await granted(budget.submits, 2))


@in_virtual_time
async def test_the_places_on_the_way() -> None:
    """No more requests are on the way at once than the limits say, of all kinds together."""
    budget = Budget(Limits(requests_at_once=3))
    on_the_way = most = 0

    async def one(pacer: Pacer) -> None:
        nonlocal on_the_way, most
        async with budget.request(pacer):
            on_the_way += 1
            most = max(most, on_the_way)
            await asyncio.sleep(1)
            on_the_way -= 1

    start = now()
    await asyncio.gather(*(one(pacer) for pacer in (budget.queries, budget.submits) * 5))

    assert 3 == most
    assert 4 == pytest.approx(now() - start)


@in_virtual_time
async def test_a_place_is_given_back() -> None:
    """A request that fails or is cancelled leaves its place to the next."""
    budget = Budget(Limits(requests_at_once=1))
    with pytest.raises(KeyError):
        async with budget.request(budget.queries):
            raise KeyError
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1), budget.request(budget.queries):
            await asyncio.sleep(2)

    async with asyncio.timeout(1), budget.request(budget.queries):
        pass


@in_virtual_time
async def test_who_waits_for_a_turn_takes_no_place() -> None:
    """While submits are held back, queries still find a place on the way."""
    budget = Budget(Limits(requests_at_once=1))
    budget.submits.refused(100)
    held_back = asyncio.create_task(budget.request(budget.submits).__aenter__())
    await asyncio.sleep(1)

    async with asyncio.timeout(1), budget.request(budget.queries):
        pass
    held_back.cancel()


@in_virtual_time
async def test_one_object_is_one_budget() -> None:
    """Clients that are given the same limits share one budget for an adapter; others do not."""
    limits, defaults = Limits(queries_per_second=2), Limits(queries_per_second=9, submits_per_second=1)

    assert Budget.of(limits, defaults, "a") is Budget.of(limits, defaults, "a")
    assert Budget.of(limits, defaults, "a") is not Budget.of(limits, defaults, "b")
    assert Budget.of(limits, defaults, "a") is not Budget.of(Limits(queries_per_second=2), defaults, "a")
    assert Budget.of(None, defaults, "a") is not Budget.of(None, defaults, "a")


@in_virtual_time
async def test_a_budget_without_limits() -> None:
    """Without limits of the caller's own the adapter's hold, and what the caller leaves open is the adapter's."""
    defaults = Limits(queries_per_second=1, submits_per_second=2)
    own = Budget.of(Limits(queries_per_second=3), defaults, "a")

    assert [0, 1] == pytest.approx(await granted(Budget.of(None, defaults, "a").queries, 2))
    assert [0, 0, 0, 1] == pytest.approx(await granted(own.queries, 4))
    assert [0, 0, 1] == pytest.approx(await granted(own.submits, 3))


def test_limits_may_outlive_a_loop() -> None:
    """The same limits serve one event loop after another, also where several callers wait at once."""
    limits = Limits(queries_per_second=1000, requests_at_once=1)

    async def crowd() -> int:
        budget = Budget.of(limits, Limits(), "a")

        async def one() -> int:
            async with budget.request(budget.queries):
                await asyncio.sleep(0)
                return 1

        return sum(await asyncio.gather(*(one() for _ in range(3))))

    assert [3, 3] == [asyncio.run(crowd()), asyncio.run(crowd())]
