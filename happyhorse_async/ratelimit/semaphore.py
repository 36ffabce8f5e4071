"""A semaphore with a priority queue."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class PrioritySemaphore:
    """
    Like `asyncio.Semaphore`, but waiters are served in order of a number that each of them gives: the smallest first.

    Must be created inside the event loop that uses it.

    :param count: the number of slots.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiters: list[tuple[float, int, asyncio.Future[None]]] = []
        self._tie_breaker = itertools.count()

    @asynccontextmanager
    async def acquire(self, priority: float) -> AsyncGenerator[None]:
        """Hold a slot. The waiter with the smallest *priority* is served next; equal ones in order of arrival."""
        await self._take(priority)
        try:
            yield
        finally:
            self._release()

    async def _take(self, priority: float) -> None:
        if self._free:
            self._free -= 1
            return
        waiter = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiters, (priority, next(self._tie_breaker), waiter))
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                self._release()
            raise

    def _release(self) -> None:
        while self._waiters:
            waiter = heapq.heappop(self._waiters)[2]
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1
