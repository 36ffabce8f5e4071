"""
Jobs that wait to be sent, in the order in which they came: a line for each model where the provider counts so.

A line whose tasks are as many as the provider may have waits, and the others go on. A job that waits costs an entry and
nothing else, and nothing is lost by its waiting here: what ends a task of old age begins with its submit.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict, defaultdict
from typing import Generic, TypeVar

from .concurrency import USUAL_TIME, ConcurrencyLimiter

T = TypeVar("T")


class SubmitQueue(Generic[T]):
    """The lines in front of one account."""

    def __init__(self, running: ConcurrencyLimiter) -> None:
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

    def long_wait(self, line: str) -> str | None:
        """Say how long one more waits, where it cannot begin within the time of one at the provider."""
        at_once, given = self._running.at_once, self._running.execution_timeout
        if at_once is None or given is None:
            return None
        ahead, pace = self.ahead(line), self._running.pace(line)
        wait = ahead / (pace or at_once / USUAL_TIME)
        if wait <= given:
            return None
        known = f"{pace * 3600:.3g} came to an end in an hour" if pace else f"{at_once} run at once"
        guessed = "" if pace else f"at {USUAL_TIME / 60:.0f} minutes each "
        return (
            f"{ahead} jobs are before it, and {known}: {guessed}it begins in about {wait / 3600:.0f} hours. It waits "
            f"here, unsent, so that it is not among those that the provider gives up after {given / 3600:g} hours, "
            "and can be withdrawn at no cost"
        )
