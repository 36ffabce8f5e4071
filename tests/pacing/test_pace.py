"""How many tasks a provider may have, by how fast its videos come."""

from __future__ import annotations

import asyncio
from bisect import insort
from itertools import cycle, islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from happyhorse_async.pacing.running import Running, Stay
from happyhorse_async.timing import Limits

from .turns import now

LIMITS = Limits(running_at_once=5, queued_at_once=500)
THREE_HOURS = 3 * 3600.0


def filled(running: Running, most: int = 10_000) -> list[Stay]:
    """Hand over as many tasks as there may be, or *most*."""
    stays: list[Stay] = []
    while running.has_room("a") and len(stays) < most:
        stay = running.begin("a")
        assert stay is not None
        stays.append(stay)
    return stays


async def served(stays: list[Stay], count: int, *, each: float, made: bool = True) -> None:
    """Let the first *count* tasks end, five at a time."""
    for _ in range(count // 5):
        await asyncio.sleep(each)
        for _ in range(5):
            stays.pop(0).end(made=made)


def room(running: Running) -> int:
    """Return how many more there may be now."""
    return len(filled(running))


@pytest.mark.parametrize(
    ("limits", "gives_up_after", "most"),
    [
        (LIMITS, THREE_HOURS, 300),
        (LIMITS, None, 505),
        (LIMITS, 60.0, 10),
        (Limits(running_at_once=5, queued_at_once=20), THREE_HOURS, 25),
        (Limits(running_at_once=5), THREE_HOURS, 5),
        (Limits(running_at_once=100, queued_at_once=500), THREE_HOURS, 600),
    ],
)
async def test_before_anything_is_known(limits: Limits, gives_up_after: float | None, most: int) -> None:
    """At first there may be as many as end in time at three minutes each, and never more than the limits say."""

    assert most == room(Running(limits, gives_up_after))


async def test_lines_learn_apart() -> None:
    """How fast one model is tells nothing of another."""
    running = Running(LIMITS, THREE_HOURS)
    await served(filled(running), 30, each=60)

    assert running.pace("a") is not None
    assert running.pace("b") is None


async def test_the_pace() -> None:
    """It is told by ten videos, and comes closer to the true one from below the more there are."""
    running = Running(LIMITS, THREE_HOURS)
    stays = filled(running)
    await served(stays, 5, each=120)
    assert running.pace("a") is None
    await served(stays, 5, each=120)
    assert 5 / 240 == pytest.approx(running.pace("a"))
    await served(stays, 40, each=120)
    assert 45 / 1200 == pytest.approx(running.pace("a"))


async def test_a_fast_provider_is_given_more() -> None:
    """What four fifths of the time suffice for may be there, up to what the limits say."""
    running = Running(LIMITS, THREE_HOURS)
    stays = filled(running)
    await served(stays, 40, each=120)
    assert int(0.8 * THREE_HOURS * 35 / 960) == 260 + room(running)


async def test_the_limits_are_the_ceiling() -> None:
    """However fast a provider is, it is not given more than the limits say."""
    running = Running(LIMITS, THREE_HOURS)
    await served(filled(running), 60, each=60)

    assert 505 == 240 + room(running)


async def test_a_few_videos_foretell_little() -> None:
    """However fast the first videos come, or seem to come since nobody looked, each foretells ten at most."""
    running = Running(LIMITS, THREE_HOURS)
    await served(filled(running, 60), 15, each=1)

    assert 10 * 15 == 45 + room(running)


async def test_a_slow_provider_is_given_less() -> None:
    """One that needs longer than the longest that was seen gets fewer, and always enough to be busy."""
    running = Running(LIMITS, THREE_HOURS)
    stays = filled(running, 60)
    await served(stays, 15, each=3600)
    assert 0 == room(running)
    await served(stays, 40, each=3600)
    assert 10 == running.count("a") + room(running)


async def test_what_is_no_video_tells_nothing() -> None:
    """Tasks that failed, were cancelled or are not looked at any more leave at once, and show no pace."""
    running = Running(LIMITS, THREE_HOURS)
    await served(filled(running), 55, each=1, made=False)

    assert running.pace("a") is None
    assert 55 == room(running)


async def test_what_was_sent_earlier_tells_nothing() -> None:
    """A task that was taken up may have ended long ago: that it is seen now shows no pace."""
    running = Running(LIMITS, THREE_HOURS)
    stays = [stay for _ in range(60) if (stay := running.begin("a", was_sent=False))]
    await served(stays, 55, each=1)

    assert running.pace("a") is None


async def test_little_to_do_is_not_slow() -> None:
    """While less is there than may run at once, videos tell how fast they are asked for, and not how fast they come."""
    running = Running(LIMITS, THREE_HOURS)
    for _ in range(50):
        stays = [stay for _ in range(4) if (stay := running.begin("a"))]
        await asyncio.sleep(600)
        for stay in stays:
            stay.end(made=True)

    assert running.pace("a") is None
    assert 300 == room(running)


async def test_a_pause_is_not_slow() -> None:
    """A time without tasks between two bursts makes the provider no slower."""
    running = Running(LIMITS, THREE_HOURS)
    await served(filled(running, 60), 60, each=120)
    await asyncio.sleep(3 * 3600)
    stays = filled(running)
    await served(stays, 5, each=120)
    assert running.pace("a") is None
    await served(stays, 5, each=120)
    assert 5 / 240 == pytest.approx(running.pace("a"))


async def test_a_pace_is_forgotten() -> None:
    """What was seen an hour ago is not relied on."""
    running = Running(LIMITS, THREE_HOURS)
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
    running = Running(Limits(running_at_once=at_once, queued_at_once=500), THREE_HOURS)
    left = asyncio.Event()
    running.listeners.add(left.set)
    free = [now()] * at_once
    paces: list[float] = []

    async def one(stay: Stay) -> None:
        end = max(free.pop(0), now()) + each
        insort(free, end)
        await asyncio.sleep(end + seen_after - now())
        stay.end(made=True)
        paces.append(running.pace("a") or 0.0)

    async with asyncio.TaskGroup() as tasks:
        for gap in islice(cycle(gaps), 100):
            while not running.has_room("a"):
                left.clear()
                await left.wait()
            stay = running.begin("a")
            assert stay is not None
            tasks.create_task(one(stay))
            await asyncio.sleep(gap)

    assert max(paces) <= at_once / each * (1 + 1e-6)
