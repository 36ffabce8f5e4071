"""
Jobs that wait to be sent, in the order in which they came: a line for each model where the provider counts so.

A line whose tasks are as many as the provider may have waits, and the others go on. A job that waits costs an entry and
nothing else, and nothing is lost by its waiting here: what ends a task of old age begins with its submit.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict, defaultdict
from typing import Generic, TypeVar

from .pacing import Running
from .timing import Limits

T = TypeVar("T")

_USUAL_TIME = 180.0
_LONGEST_TIME = 900.0


class Lines(Generic[T]):
    """The lines in front of one account."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._lines: defaultdict[str, OrderedDict[str, tuple[int, T]]] = defaultdict(OrderedDict)
        self._last = itertools.count(1)
        self._first = itertools.count(0, -1)

    def put(self, line: str, name: str, item: T, *, first: bool = False) -> None:
        """Put *item* at the end of a line, or before all others."""
        self._lines[line][name] = (next(self._first if first else self._last), item)
        self._lines[line].move_to_end(name, last=not first)

    def remove(self, line: str, name: str) -> None:
        """Take out what waits by that name, if it does."""
        self._lines[line].pop(name, None)

    def ahead(self, line: str) -> int:
        """Return how many of a line there are, those that the provider has included."""
        return len(self._lines[line]) + self._running.count(line)

    def next_line(self) -> str | None:
        """Return the line whose first has waited longest among those that may go on."""
        heads = [
            (next(iter(waiting.values()))[0], line)
            for line, waiting in self._lines.items()
            if waiting and self._running.has_room(line)
        ]
        return min(heads)[1] if heads else None

    def take(self) -> T | None:
        """Take out the one that is next, if any may go on."""
        line = self.next_line()
        return None if line is None else self._lines[line].popitem(last=False)[1][1]


def long_wait(ahead: int, limits: Limits, gives_up_after: float | None) -> str | None:
    """Say how long a job waits with *ahead* before it, where it cannot begin within the time of one at the provider."""
    if limits.running_at_once is None or gives_up_after is None:
        return None
    wait = ahead / limits.running_at_once * _USUAL_TIME
    if wait <= gives_up_after:
        return None
    return (
        f"{ahead} jobs are before it, and {limits.running_at_once} run at once: at {_USUAL_TIME / 60:.0f} minutes each "
        f"it begins in about {wait / 3600:.0f} hours. It waits here, unsent, so that it is not among those that the "
        f"provider gives up after {gives_up_after / 3600:g} hours, and can be withdrawn at no cost"
    )


def deep_queue(limits: Limits, gives_up_after: float | None) -> str | None:
    """Say that *limits* let more tasks wait at the provider than it may end before it gives them up."""
    if limits.running_at_once is None or limits.tasks_at_once is None or gives_up_after is None:
        return None
    safe = int(gives_up_after / _LONGEST_TIME - 1) * limits.running_at_once
    if (limits.queued_at_once or 0) <= safe:
        return None
    return (
        f"the limits let {limits.queued_at_once} tasks wait at the provider, which gives up after "
        f"{gives_up_after / 3600:g} hours what it has not ended: with {limits.running_at_once} running at once and up "
        f"to {_LONGEST_TIME / 60:.0f} minutes for each, the last may be lost. queued_at_once={safe} is safe"
    )
