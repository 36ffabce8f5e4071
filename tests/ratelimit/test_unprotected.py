"""How many submits may be unanswered at the same time where no idempotency key protects them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from happyhorse_async.jobs.scheduler import UnprotectedSubmitLimit

from .slots import now


async def submit_all(limit: UnprotectedSubmitLimit, answer_times: Sequence[float]) -> list[float]:
    """Submit one job after the other, each answered after so many seconds; return when each was sent."""
    start, sent = now(), list[float]()

    async def submit(seconds: float) -> None:
        async with limit.slot():
            sent.append(now() - start)
            await asyncio.sleep(seconds)

    await asyncio.gather(*(submit(seconds) for seconds in answer_times))
    return sent


async def test_two_submits_at_a_time_by_default() -> None:
    limit = UnprotectedSubmitLimit(lambda: 10)

    assert [0, 0, 1, 1, 2, 2] == pytest.approx(await submit_all(limit, [1.0] * 6))


async def test_half_a_percent_of_many_jobs_in_flight() -> None:
    limit = UnprotectedSubmitLimit(lambda: 1000)

    assert [0, 0, 0, 0, 0, 1] == pytest.approx(await submit_all(limit, [1.0] * 6))


async def test_the_setting_replaces_the_default() -> None:
    limit = UnprotectedSubmitLimit(lambda: 1000, maximum=3)

    assert [0, 0, 0, 1] == pytest.approx(await submit_all(limit, [1.0] * 4))


async def test_idempotency_keys_need_no_limit() -> None:
    limit = UnprotectedSubmitLimit(lambda: 0, maximum=1, is_protected=True)

    assert [0] * 20 == pytest.approx(await submit_all(limit, [1.0] * 20))


async def test_hanging_submits_block_the_others_for_two_seconds_only() -> None:
    """Two of twenty submits hang for two minutes: the others go on after two seconds."""
    limit = UnprotectedSubmitLimit(lambda: 20)
    sent = await submit_all(limit, [120.0, 120.0, *[0.1] * 18])

    assert [0, 0, 2] == pytest.approx(sent[:3])
    assert sent[-1] < 4


async def test_if_every_submit_hangs_two_are_sent_every_two_seconds() -> None:
    limit = UnprotectedSubmitLimit(lambda: 6)

    assert [0, 0, 2, 2, 4, 4] == pytest.approx(await submit_all(limit, [120.0] * 6))


async def test_a_submit_that_ends_late_is_not_counted_twice() -> None:
    """A submit that left the count after two seconds gives no second slot when it is answered."""
    limit = UnprotectedSubmitLimit(lambda: 6, maximum=1)

    assert [0, 2, 4, 6] == pytest.approx(await submit_all(limit, [3.0] * 4))


async def test_more_jobs_in_flight_make_room_after_a_recheck() -> None:
    in_flight = 0
    limit = UnprotectedSubmitLimit(lambda: in_flight)
    submits = asyncio.create_task(submit_all(limit, [1.5] * 3))
    await asyncio.sleep(1)
    in_flight = 1000
    limit.recheck()

    assert [0, 0, 1] == pytest.approx(await submits)


async def test_a_cancelled_or_failed_submit_gives_its_slot_back() -> None:
    limit = UnprotectedSubmitLimit(lambda: 0, maximum=1)
    with pytest.raises(KeyError):
        async with limit.slot():
            raise KeyError
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1), limit.slot():
            await asyncio.sleep(1.5)

    async with asyncio.timeout(0.5), limit.slot():
        pass


async def test_a_cancelled_waiter_takes_no_slot() -> None:
    limit = UnprotectedSubmitLimit(lambda: 0, maximum=1)
    async with limit.slot():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5), limit.slot():
                pass

    async with asyncio.timeout(0.5), limit.slot():
        pass
