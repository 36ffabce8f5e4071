"""Jobs that wait for a place among those that the provider has."""

from __future__ import annotations

import asyncio

import pytest

from happyhorse_async.ratelimit.concurrency import ConcurrencyLimiter
from happyhorse_async.ratelimit.submit_queue import SubmitQueue
from happyhorse_async.timing import Limits

THREE_HOURS = 3 * 3600.0


def filled(most: int | None, *jobs: str) -> tuple[SubmitQueue[str], ConcurrencyLimiter]:
    """Let *jobs* wait, each in the line of its first letter."""
    running = ConcurrencyLimiter(Limits(max_running=most))
    lines = SubmitQueue[str](running)
    for job in jobs:
        lines.put(job[0], job, job)
    return lines, running


def all_of(lines: SubmitQueue[str], running: ConcurrencyLimiter) -> list[str]:
    """Send whatever may be sent."""
    sent: list[str] = []
    while (job := lines.take()) is not None:
        running.begin(job[0])
        sent.append(job)
    return sent


async def test_in_the_order_in_which_they_came() -> None:
    """With places for all, lines make no difference."""
    assert ["a1", "b1", "a2", "b2"] == all_of(*filled(9, "a1", "b1", "a2", "b2"))
    assert ["a1", "b1", "a2", "b2"] == all_of(*filled(None, "a1", "b1", "a2", "b2"))


async def test_a_full_line_holds_up_no_other() -> None:
    """Where one line is full, the jobs of the others go past it."""
    lines, running = filled(1, "a1", "a2", "a3", "b1")

    assert ["a1", "b1"] == all_of(lines, running)
    assert (3, 1) == (lines.ahead("a"), lines.ahead("b"))


async def test_a_place_that_becomes_free() -> None:
    """The end of a task lets the next of its line go on, and says so."""
    lines, running = filled(1, "a2")
    heard: list[str] = []
    running.listeners.add(lambda: heard.append("free"))
    permit = running.begin("a")
    assert permit is not None

    assert lines.take() is None
    permit.end(made=True)
    assert ["free"] == heard
    assert "a2" == lines.take()
    assert running.has_room("a")
    assert 0 == running.count("a")


async def test_one_that_goes_first() -> None:
    """What is to be sent again stands before all others; what is taken out is not missed."""
    lines, running = filled(9, "a1", "a2", "b1", "a3")
    lines.put("a", "a0", "a0", first=True)
    lines.remove("a", "a2")
    lines.remove("a", "a9")

    assert ["a0", "a1", "b1", "a3"] == all_of(lines, running)


def crowded(ahead: int, limits: Limits, execution_timeout: float | None) -> SubmitQueue[str]:
    """Let so many jobs wait in the line `a`."""
    lines = SubmitQueue[str](ConcurrencyLimiter(limits, execution_timeout))
    for number in range(ahead):
        lines.put("a", str(number), "a")
    return lines


async def test_a_wait_that_is_said() -> None:
    """A job that cannot begin within the provider's own time is told how long it waits, and what that means."""
    sentence = crowded(1000, Limits(max_running=5, max_queued=500), THREE_HOURS).long_wait("a") or ""

    assert "1000 jobs are before it, and 5 run at once" in sentence
    assert "begins in about 10 hours" in sentence
    assert "unsent" in sentence


@pytest.mark.parametrize(
    ("ahead", "limits", "execution_timeout"),
    [
        (300, Limits(max_running=5), THREE_HOURS),
        (1000, Limits(max_running=5), None),
        (1000, Limits(), THREE_HOURS),
    ],
)
async def test_a_wait_that_is_not_worth_saying(ahead: int, limits: Limits, execution_timeout: float | None) -> None:
    """A wait within the time, without such a time, or without a limit is nothing to speak of."""

    assert crowded(ahead, limits, execution_timeout).long_wait("a") is None


@pytest.mark.parametrize(
    ("each", "said"), [(900, "18.8 came to an end in an hour: it begins in about 53 hours"), (30, None)]
)
async def test_a_wait_by_the_pace(each: float, said: str | None) -> None:
    """Once it was seen how fast videos come, a wait is told by that, and no longer by how long tasks usually take."""
    running = ConcurrencyLimiter(Limits(max_running=5, max_queued=500), THREE_HOURS)
    lines = SubmitQueue[str](running)
    stays = [permit for _ in range(100) if (permit := running.begin("a"))]
    for _ in range(16):
        await asyncio.sleep(each)
        for _ in range(5):
            stays.pop(0).end(made=True)
    for number in range(980):
        lines.put("a", str(number), "a")

    assert (said or "") in (lines.long_wait("a") or "")
    assert (said is None) is (lines.long_wait("a") is None)
