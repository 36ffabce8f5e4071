"""Jobs that wait for a place among those that the provider has."""

from __future__ import annotations

import pytest

from happyhorse_async.lines import Lines, deep_queue, long_wait
from happyhorse_async.pacing import Running
from happyhorse_async.timing import Limits

THREE_HOURS = 3 * 3600.0


def filled(most: int | None, *jobs: str) -> tuple[Lines[str], Running]:
    """Let *jobs* wait, each in the line of its first letter."""
    running = Running(most)
    lines = Lines[str](running)
    for job in jobs:
        lines.put(job[0], job, job)
    return lines, running


def all_of(lines: Lines[str], running: Running) -> list[str]:
    """Send whatever may be sent."""
    sent: list[str] = []
    while (job := lines.take()) is not None:
        running.begin(job[0])
        sent.append(job)
    return sent


def test_in_the_order_in_which_they_came() -> None:
    """With places for all, lines make no difference."""
    assert ["a1", "b1", "a2", "b2"] == all_of(*filled(9, "a1", "b1", "a2", "b2"))
    assert ["a1", "b1", "a2", "b2"] == all_of(*filled(None, "a1", "b1", "a2", "b2"))


def test_a_full_line_holds_up_no_other() -> None:
    """Where one line is full, the jobs of the others go past it."""
    lines, running = filled(1, "a1", "a2", "a3", "b1")

    assert ["a1", "b1"] == all_of(lines, running)
    assert (3, 1) == (lines.ahead("a"), lines.ahead("b"))


def test_a_place_that_becomes_free() -> None:
    """The end of a task lets the next of its line go on, and says so; it counts once, however often it is told."""
    lines, running = filled(1, "a2")
    heard: list[str] = []
    running.listeners.add(lambda: heard.append("free"))
    end = running.begin("a")
    assert end is not None

    assert lines.take() is None
    end()
    end()
    assert ["free"] == heard
    assert "a2" == lines.take()
    assert running.has_room("a")
    assert 0 == running.count("a")


def test_one_that_goes_first() -> None:
    """What is to be sent again stands before all others; what is taken out is not missed."""
    lines, running = filled(9, "a1", "a2", "b1", "a3")
    lines.put("a", "a0", "a0", first=True)
    lines.remove("a", "a2")
    lines.remove("a", "a9")

    assert ["a0", "a1", "b1", "a3"] == all_of(lines, running)


def test_a_wait_that_is_said() -> None:
    """A job that cannot begin within the provider's own time is told how long it waits, and what that means."""
    limits = Limits(running_at_once=5, queued_at_once=50)
    sentence = long_wait(1000, limits, THREE_HOURS) or ""

    assert "1000 jobs are before it, and 5 run at once" in sentence
    assert "begins in about 10 hours" in sentence
    assert "unsent" in sentence


@pytest.mark.parametrize(
    ("ahead", "limits", "gives_up_after"),
    [
        (300, Limits(running_at_once=5), THREE_HOURS),
        (1000, Limits(running_at_once=5), None),
        (1000, Limits(), THREE_HOURS),
    ],
)
def test_a_wait_that_is_not_worth_saying(ahead: int, limits: Limits, gives_up_after: float | None) -> None:
    """A wait within the time, without such a time, or without a limit is nothing to speak of."""

    assert long_wait(ahead, limits, gives_up_after) is None


def test_a_queue_that_is_too_deep() -> None:
    """Limits under which tasks may grow too old at the provider are said to be so, with figures that are safe."""
    sentence = deep_queue(Limits(running_at_once=5, queued_at_once=500), THREE_HOURS) or ""

    assert "let 500 tasks wait" in sentence
    assert "gives up after 3 hours" in sentence
    assert "queued_at_once=55" in sentence


@pytest.mark.parametrize("limits", [Limits(running_at_once=5, queued_at_once=55), Limits(running_at_once=5), Limits()])
def test_a_queue_that_is_safe(limits: Limits) -> None:
    """A queue that is through in time, even if all its tasks are long, needs no word."""

    assert deep_queue(limits, THREE_HOURS) is None
    assert deep_queue(Limits(running_at_once=1, queued_at_once=9999), None) is None
