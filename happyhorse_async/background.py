"""Background tasks that a client owns. None of them outlives it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")

# This many calls take a few milliseconds.
_BETWEEN_PAUSES = 100


class Background:
    """
    Owns tasks that no single caller waits for, until it is closed.

    It is not a task group, because that would have to be closed by the task that opened it: web frameworks open and
    close their resources in different tasks.

    :param follows_caller: whether a task sees the context variables of the code that spawns it, and not those of the
        code that has created this object. Web frameworks keep the current request there: work for all requests must
        neither keep it in memory nor log it.
    """

    def __init__(self, *, follows_caller: bool = False) -> None:
        self._context = None if follows_caller else copy_context()
        self._tasks: set[asyncio.Task[Any]] = set()

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, T], *, then: Callable[[], object] | None = None) -> asyncio.Task[T]:
        """
        Run *work* as a task. It must handle its own errors unless the caller awaits the task.

        :param then: called when the task has ended, also if it was cancelled before it could begin.
        """
        task = asyncio.get_running_loop().create_task(
            work, context=None if self._context is None else self._context.copy()
        )
        self._tasks.add(task)
        if then is None:
            task.add_done_callback(self._tasks.discard)
            return task

        def end(task: asyncio.Task[T]) -> None:
            self._tasks.discard(task)
            then()

        task.add_done_callback(end)
        return task

    async def settle(self, grace: float) -> None:
        """Wait until all tasks that run now have ended, for *grace* seconds at most."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)

    async def aclose(self) -> None:
        """Cancel all tasks and wait until they have stopped."""
        # A cancelled task may spawn another one before it ends. A finished task leaves the set one iteration later.
        while tasks := [task for task in self._tasks if not task.done()]:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def for_each_yielding(items: Iterable[T], act: Callable[[T], object]) -> None:
    """
    Call *act* with each of *items* without blocking the event loop for long.

    If cancelled, it makes the remaining calls at once.
    """
    left = iter(items)
    try:
        for number, item in enumerate(left, start=1):
            act(item)
            if number % _BETWEEN_PAUSES == 0:
                await asyncio.sleep(0)
    finally:
        for item in left:
            act(item)
