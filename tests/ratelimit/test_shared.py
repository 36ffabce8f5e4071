"""Limits that several processes share by their store: one pace, one pause, one count of tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

import pytest

import happyhorse_async as hh
from happyhorse_async.job import Endpoint, JobState
from happyhorse_async.ratelimit.shared import SharedConcurrencyLimiter, SharedRateLimiter
from happyhorse_async.timing import RateLimitWindow


class Row:
    """A store that spaces as it is told, and writes down what it is asked."""

    def __init__(self, *waits: float) -> None:
        self.waits = list(waits)
        self.intervals: list[float] = []
        self.held: list[dict[str, float]] = []
        self.counts: dict[str, int] = {}
        self.is_away = False

    async def pace(self, name: str, interval: float) -> float:
        if self.is_away:
            raise hh.StoreError("the store is away")
        self.intervals.append(interval)
        return self.waits.pop(0) if self.waits else 0.0

    async def hold_back(self, name: str, **how: float) -> None:
        self.held.append(how)

    async def count(self, endpoints: Collection[Endpoint], states: Collection[JobState]) -> Mapping[str, int]:
        if self.is_away:
            raise hh.StoreError("the store is away")
        return self.counts


async def test_every_request_waits_as_long_as_the_row_says() -> None:
    """Each asks for its own permit, and only when the one before has been used."""
    row = Row(0.0, 0.05, 0.05)
    limiter, loop = SharedRateLimiter(20, row, "main"), asyncio.get_running_loop()
    begin = loop.time()
    await asyncio.gather(*(limiter.acquire() for _ in range(3)))

    assert 0.095 < loop.time() - begin < 1.0
    assert [0.05] * 3 == row.intervals


async def test_one_permit_at_a_time_is_taken_ahead() -> None:
    """Of many that wait, one has asked the row: the others would all be due at once after a pause."""
    row = Row(3600.0)
    limiter = SharedRateLimiter(20, row, "main")
    waiting = [asyncio.ensure_future(limiter.acquire()) for _ in range(5)]
    await asyncio.sleep(0.02)

    assert 1 == len(row.intervals)

    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

    assert 0 == limiter.in_use


async def test_a_permit_that_is_not_used_in_time_is_taken_anew() -> None:
    """After the store has stood still, all processes would use at once what they had been given one by one."""
    row = Row()
    limiter, loop = SharedRateLimiter(5, row, "main"), asyncio.get_running_loop()
    await limiter.acquire()
    await limiter.renew(loop.time() - 0.1)

    assert 1 == len(row.intervals)

    row.waits = [0.05]
    begin = loop.time()
    await limiter.renew(begin - 0.3)

    assert 2 == len(row.intervals)
    assert 0.045 < loop.time() - begin


async def test_at_high_rates_a_permit_is_for_several_requests() -> None:
    """The store is not asked a thousand times a second."""
    row = Row()
    limiter = SharedRateLimiter(1000, row, "main")
    await asyncio.gather(*(limiter.acquire() for _ in range(20)))

    assert [0.02] == row.intervals


async def test_without_a_limit_the_row_is_not_asked() -> None:
    """There is nothing to share."""
    row = Row()
    limiter = SharedRateLimiter(None, row, "main")
    await limiter.acquire()

    assert [] == row.intervals


async def test_a_refusal_holds_all_processes_back() -> None:
    """With the pause and the reduced rate; refusals of the same moment count once."""
    row = Row()
    limiter = SharedRateLimiter(20, row, "main")
    limiter.back_off(4.0)
    limiter.back_off(None)
    await limiter.settle(1.0)
    [held] = row.held

    assert 3.9 < held["pause"] <= 5.0
    assert held["interval"] == pytest.approx(1 / 14, rel=0.01)
    assert held["lasting"] > 60


async def test_a_window_that_runs_low_is_told_to_all_processes() -> None:
    """The rest is spread over the time that is left. A window that is hardly used is no news."""
    row = Row()
    limiter = SharedRateLimiter(20, row, "main")
    limiter.apply_window(RateLimitWindow(limit=100, remaining=90, reset_after=10.0), 0)
    limiter.apply_window(RateLimitWindow(limit=100, remaining=20, reset_after=10.0), 0)
    await limiter.settle(1.0)
    [held] = row.held

    assert 0.0 == held["pause"]
    assert held["interval"] == pytest.approx(0.5, rel=0.05)
    assert held["lasting"] == pytest.approx(10.0, rel=0.05)


async def test_while_the_store_is_away_status_requests_go_on_slowly() -> None:
    """At a quarter of the rate that was last known."""
    row = Row()
    row.is_away = True
    limiter, loop = SharedRateLimiter(40, row, "main", name="queries"), asyncio.get_running_loop()
    begin = loop.time()
    for _ in range(2):
        await limiter.acquire()

    assert 0.19 < loop.time() - begin < 2.0


async def test_while_the_store_is_away_nothing_is_submitted() -> None:
    """It goes on as soon as the store is back."""
    row = Row()
    row.is_away = True
    limiter = SharedRateLimiter(40, row, "main", name="submits", needs_store=True)
    waiting = asyncio.ensure_future(limiter.acquire())
    await asyncio.sleep(0.1)

    assert not waiting.done()

    row.is_away = False
    async with asyncio.timeout(5):
        await waiting


@pytest.mark.parametrize(("per_model", "room"), [(True, {"a": False, "b": True}), (False, {"": False})])
async def test_tasks_of_other_processes_take_room(per_model: bool, room: dict[str, bool]) -> None:
    """They count where the provider counts them: for their model, or for the account."""
    row = Row()
    row.counts = {"a": 2}
    limiter = SharedConcurrencyLimiter(hh.Limits(max_running=1, max_queued=1), row, per_model=per_model)
    await limiter.refresh()

    assert room == {key: limiter.has_room(key) for key in room}


async def test_own_tasks_are_not_counted_twice() -> None:
    """The store has them too. When it is away, the last count holds."""
    row = Row()
    row.counts = {"a": 2}
    limiter = SharedConcurrencyLimiter(hh.Limits(max_running=2, max_queued=1), row, per_model=True)
    limiter.acquire("a")
    await limiter.refresh()

    assert limiter.has_room("a")

    limiter.acquire("a")
    row.is_away = True
    await limiter.refresh()

    assert not limiter.has_room("a")
