"""A clock that skips the time that others would wait, and an order of things that is the same in every run."""

from __future__ import annotations

import asyncio
import itertools
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_NUMBERS = itertools.count()
_LAST = 100_000.0


class Clock(selectors.SelectSelector):
    """Skips the time that others would wait."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "everybody waits, and nothing will ever happen"
        self.now += timeout
        assert self.now < _LAST, "somebody waits for ever"
        return []


class _Numbered:
    # Sets of futures would be ordered by addresses otherwise, which differ from run to run.
    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._number = next(_NUMBERS)
        super().__init__(*arguments, **options)

    def __hash__(self) -> int:
        return self._number


class NumberedFuture(_Numbered, asyncio.Future[Any]): ...


class NumberedTask(_Numbered, asyncio.Task[Any]): ...


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Do what never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits")
