"""A number of places, given first to whoever has the least time left."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class PrioritySemaphore:
    """
    Lets a number of callers in at once. The others wait, in the order of a figure that each of them brings.

    Must be created inside the event loop that uses it.

    :param count: how many at once.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    @asynccontextmanager
    async def hold(self, until: float) -> AsyncGenerator[None]:
        """Hold a place. The smallest *until* is let in next; those with the same one are served as they come."""
        await self._take(until)
        try:
            yield
        finally:
            self._give_back()

    async def _take(self, until: float) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (until, next(self._numbers), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._give_back()
            raise

    def _give_back(self) -> None:
        while self._waiting:
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
