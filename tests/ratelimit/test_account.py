"""The limits of an account, and which clients share them."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from happyhorse_async.ratelimit import AccountLimits
from happyhorse_async.timing import Limits

from .slots import granted


async def test_queries_and_submits_have_separate_rates() -> None:
    account = AccountLimits(Limits(queries_per_second=2, submits_per_second=1))

    assert [0, 0, 1] == pytest.approx(await granted(account.queries, 3))
    assert [0, 1] == pytest.approx(await granted(account.submits, 2))


async def test_hanging_submits_do_not_block_queries() -> None:
    account = AccountLimits(Limits(max_concurrent_submits=2, max_concurrent_queries=1))
    for _ in range(2):
        await account.submits.acquire()

    assert not account.submits.free()
    async with asyncio.timeout(1), account.queries:
        pass


async def test_only_the_same_limits_object_is_shared() -> None:
    """Equal limits are not enough, and each adapter has its own."""
    limits, defaults = Limits(queries_per_second=2), Limits(queries_per_second=9, submits_per_second=1)

    assert AccountLimits.of(limits, defaults, "a") is AccountLimits.of(limits, defaults, "a")
    assert AccountLimits.of(limits, defaults, "a") is not AccountLimits.of(limits, defaults, "b")
    assert AccountLimits.of(limits, defaults, "a") is not AccountLimits.of(Limits(queries_per_second=2), defaults, "a")
    assert AccountLimits.of(None, defaults, "a") is not AccountLimits.of(None, defaults, "a")


async def test_what_the_caller_does_not_set_is_the_adapters() -> None:
    defaults = Limits(queries_per_second=1, submits_per_second=2)
    own = AccountLimits.of(Limits(queries_per_second=3), defaults, "a")

    assert [0, 1] == pytest.approx(await granted(AccountLimits.of(None, defaults, "a").queries, 2))
    assert [0, 0, 0, 1] == pytest.approx(await granted(own.queries, 4))
    assert [0, 0, 1] == pytest.approx(await granted(own.submits, 3))


def test_a_limits_object_serves_one_event_loop_after_another() -> None:
    limits = Limits(queries_per_second=1000, max_concurrent_queries=1)

    async def run() -> int:
        account = AccountLimits.of(limits, Limits(), "a")

        async def one() -> int:
            async with account.queries:
                await asyncio.sleep(0)
                return 1

        return sum(await asyncio.gather(*(one() for _ in range(3))))

    assert [3, 3] == [asyncio.run(run()), asyncio.run(run())]


def test_two_event_loops_do_not_take_the_shared_limits_from_each_other() -> None:
    """Each loop has its own limits for the same object, and keeps them while another loop is used."""
    limits = Limits(queries_per_second=2)

    async def shared() -> AccountLimits:
        return AccountLimits.of(limits, Limits(), "a")

    with asyncio.Runner() as first, asyncio.Runner() as second:
        of_first, of_second = first.run(shared()), second.run(shared())
        assert of_first is not of_second
        assert of_first is first.run(shared())
        assert of_second is second.run(shared())


async def test_the_shared_limits_live_as_long_as_the_limits_object() -> None:
    limits = Limits()
    account = weakref.ref(AccountLimits.of(limits, Limits(), "a"))
    gc.collect()
    assert account() is not None
    del limits
    gc.collect()

    assert account() is None
