"""
Event loops with virtual time, so that an hour can be measured in seconds.

A skipping clock advances only while no task is ready to run: without sockets, an hour takes as long as its CPU work. A
fast clock runs at a multiple of real time, with real sockets. Both apply to every timer of every client alike, and to
the calendar.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import time_machine

from account import EPOCH

T = TypeVar("T")

_real_monotonic = time.monotonic


class _Skipping(selectors.SelectSelector):
    """Advances the time instead of waiting."""

    def __init__(self, calendar: time_machine.Traveller) -> None:
        super().__init__()
        self.now = 0.0
        self._calendar = calendar

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "all tasks wait, and no timer is set"
        if timeout > 0:
            self.now += timeout
            self._calendar.move_to(EPOCH + self.now)
        return []


class _Fast(selectors.DefaultSelector):
    """Waits for sockets, and for a fraction of the time."""

    def __init__(self, calendar: time_machine.Traveller, speed: float, began: float) -> None:
        super().__init__()
        self._calendar = calendar
        self._speed = speed
        self._began = began

    @property
    def now(self) -> float:
        return (_real_monotonic() - self._began) * self._speed

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(timeout if timeout is None else timeout / self._speed)
        self._calendar.move_to(EPOCH + self.now)
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: _Skipping | _Fast) -> None:
        self._clock = clock
        super().__init__(clock)

    def time(self) -> float:
        return self._clock.now


def run_skipping(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* on a skipping clock."""
    with time_machine.travel(EPOCH, tick=False) as calendar:
        return _run(work, _Skipping(calendar))


def run_fast(work: Coroutine[Any, Any, T], *, speed: float, began: float) -> T:
    """
    Run *work* on a clock that is *speed* times as fast as real time.

    :param began: what the system's monotonic clock, common to all processes, showed at second 0.
    """
    with time_machine.travel(EPOCH, tick=False) as calendar:
        return _run(work, _Fast(calendar, speed, began))


def _run(work: Coroutine[Any, Any, T], clock: _Skipping | _Fast) -> T:
    with asyncio.Runner(loop_factory=lambda: _Loop(clock)) as runner:
        return runner.run(work)
