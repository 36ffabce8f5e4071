"""The tasks of the event loop that a client owns. None of them outlives it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

# So many take a few thousandths of a second.
_BETWEEN_PAUSES = 100


class Background:
    """
    Owns tasks that no single caller waits for, until it is closed.

    A task group would tie a client to the task that opened it, while web frameworks open and close their resources from
    different ones.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run *work* on its own. It must see to its own errors unless the caller awaits the task."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def settle(self, grace: float) -> None:
        """Wait until everything that runs now has ended by itself, for *grace* seconds at most."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)

    async def aclose(self) -> None:
        """Cancel whatever still runs and wait until it has stopped."""
        # What is cancelled may spawn something more on its way out. One that is done leaves the set a turn later.
        while tasks := [task for task in self._tasks if not task.done()]:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def for_each_yielding(items: Iterable[T], act: Callable[[T], object]) -> None:
    """
    Call *act* with each of *items*, however many they are, and let others use the event loop in between.

    Whoever cancels this makes it hurry, and does not spare anything its call.
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
