"""How many tasks a provider may have, by how fast its videos come."""

from __future__ import annotations

import asyncio
from bisect import insort
from itertools import cycle, islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from happyhorse_async.ratelimit.concurrency import ConcurrencyLimiter, Permit
from happyhorse_async.timing import Limits

from .slots import now

LIMITS = Limits(max_running=5, max_queued=500)
THREE_HOURS = 3 * 3600.0


def filled(running: ConcurrencyLimiter, most: int = 10_000) -> list[Permit]:
    """Hand over as many tasks as there may be, or *most*."""
    stays: list[Permit] = []
    while running.has_room("a") and len(stays) < most:
        permit = running.begin("a")
        assert permit is not None
        stays.append(permit)
    return stays


async def served(stays: list[Permit], count: int, *, each: float, made: bool = True) -> None:
    """Let the first *count* tasks end, five at a time."""
    for _ in range(count // 5):
        await asyncio.sleep(each)
        for _ in range(5):
            stays.pop(0).end(made=made)


def room(running: ConcurrencyLimiter) -> int:
    """Return how many more there may be now."""
    return len(filled(running))


@pytest.mark.parametrize(
    ("limits", "execution_timeout", "most"),
    [
        (LIMITS, THREE_HOURS, 300),
        (LIMITS, None, 505),
        (LIMITS, 60.0, 10),
        (Limits(max_running=5, max_queued=20), THREE_HOURS, 25),
        (Limits(max_running=5), THREE_HOURS, 5),
        (Limits(max_running=100, max_queued=500), THREE_HOURS, 600),
    ],
)
async def test_before_anything_is_known(limits: Limits, execution_timeout: float | None, most: int) -> None:
    """At first there may be as many as end in time at three minutes each, and never more than the limits say."""

    assert most == room(ConcurrencyLimiter(limits, execution_timeout))


async def test_lines_learn_apart() -> None:
    """How fast one model is tells nothing of another."""
    running = ConcurrencyLimiter(LIMITS, THREE_HOURS)
    await served(filled(running), 30, each=60)

    assert running.pace("a") is not None
    assert running.pace("b") is None


async def test_the_pace() -> None:
    """It is told by ten videos, and comes closer to the true one from below the more there are."""
    running = ConcurrencyLimiter(LIMITS, THREE_HOURS)
    stays = filled(running)
    await served(stays, 5, each=120)
    assert running.pace("a") is None
    await served(stays, 5, each=120)
    assert 5 / 240 == pytest.approx(running.pace("a"))
    await served(stays, 40, each=120)
    assert 45 / 1200 == pytest.approx(running.pace("a"))


async def test_a_fast_provider_is_given_more() -> None:
    """What four fifths of the time suffice for may be there, up to what the limits say."""
    running = ConcurrencyLimiter(LIMITS, THREE_HOURS)
    stays = filled(running)
    await served(stays, 40, each=120)
    assert int(0.8 * THREE_HOURS * 35 / 960) == 260 + room(running)


async def test_the_limits_are_the_ceiling() -> None:
    """However fast a provider is, it is not given more than the limits say."""
    running = ConcurrencyLimiter(LIMITS, THREE_HOURS)
    await served(filled(running), 60, each=60)

    assert 505 == 240 + room(running)


async def test_a_few_videos_foretell_little() -> None:
    """However fast the first videos come, or seem to come since nobody looked, each foretells ten at most."""
    running = ConcurrencyLimiter(LIMITS, THREE_HOURS)
    await served(filled(running, 60), 15, each=1)

    assert 10 * 15 == 45 + room(running)


async def test_a_slow_provider_is_given_less() -> None:
    """One that needs longer than the longest that was seen gets fewer, and always enough to be busy."""
    running = ConcurrencyLimiter(LIMITS, THREE_HOURS)
    stays = filled(running, 60)
    await served(stays, 15, each=3600)
    assert 0 == room(running)
    await served(stays, 40, each=3600)
    assert 10 == running.count("a") + room(running)


async def test_what_is_no_video_tells_nothing() -> None:
    """Tasks that failed, were cancelled or are not looked at any more leave at once, and show no pace."""
    running = ConcurrencyLimiter(LIMITS, THREE_HOURS)
    await served(filled(running), 55, each=1, made=False)

    assert running.pace("a") is None
    assert 55 == room(running)


async def test_what_was_sent_earlier_tells_nothing() -> None:
    """A task that was taken up may have ended long ago: that it is seen now shows no pace."""
    running = ConcurrencyLimiter(LIMITS, THREE_HOURS)
    stays = [permit for _ in range(60) if (permit := running.begin("a", was_sent=False))]
    await served(stays, 55, each=1)

    assert running.pace("a") is None


async def test_little_to_do_is_not_slow() -> None:
    """While less is there than may run at once, videos tell how fast they are asked for, and not how fast they come."""
    running = ConcurrencyLimiter(LIMITS, THREE_HOURS)
    for _ in range(50):
        stays = [permit for _ in range(4) if (permit := running.begin("a"))]
        await asyncio.sleep(600)
        for permit in stays:
            permit.end(made=True)

    assert running.pace("a") is None
    assert 300 == room(running)


async def test_a_pause_is_not_slow() -> None:
    """A time without tasks between two bursts makes the provider no slower."""
    running = ConcurrencyLimiter(LIMITS, THREE_HOURS)
    await served(filled(running, 60), 60, each=120)
    await asyncio.sleep(3 * 3600)
    stays = filled(running)
    await served(stays, 5, each=120)
    assert running.pace("a") is None
    await served(stays, 5, each=120)
    assert 5 / 240 == pytest.approx(running.pace("a"))


async def test_a_pace_is_forgotten() -> None:
    """What was seen an hour ago is not relied on."""
    running = ConcurrencyLimiter(LIMITS, THREE_HOURS)
    await served(filled(running, 60), 60, each=60)
    await asyncio.sleep(3599)
    assert running.pace("a") is not None
    await asyncio.sleep(2)
    assert 300 == room(running)


@settings(deadline=None)
@given(
    at_once=st.integers(1, 8),
    each=st.floats(10, 900),
    seen_after=st.floats(0, 900),
    gaps=st.lists(st.sampled_from([0.0, 1.0, 60.0, 1000.0]), min_size=1, max_size=20),
)
async def test_the_pace_is_never_too_high(at_once: int, each: float, seen_after: float, gaps: list[float]) -> None:
    """However tasks come, in lumps or alone, they never seem to be made faster than they are."""
    running = ConcurrencyLimiter(Limits(max_running=at_once, max_queued=500), THREE_HOURS)
    left = asyncio.Event()
    running.listeners.add(left.set)
    free = [now()] * at_once
    paces: list[float] = []

    async def one(permit: Permit) -> None:
        end = max(free.pop(0), now()) + each
        insort(free, end)
        await asyncio.sleep(end + seen_after - now())
        permit.end(made=True)
        paces.append(running.pace("a") or 0.0)

    async with asyncio.TaskGroup() as tasks:
        for gap in islice(cycle(gaps), 100):
            while not running.has_room("a"):
                left.clear()
                await left.wait()
            permit = running.begin("a")
            assert permit is not None
            tasks.create_task(one(permit))
            await asyncio.sleep(gap)

    assert max(paces) <= at_once / each * (1 + 1e-6)
