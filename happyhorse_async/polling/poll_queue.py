"""When which task is due: a heap, so that a waiting task costs an entry and nothing has to run for it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math

from ..tracked_job import TrackedJob

_FIRST = 0.0


class PollQueue:
    """The tasks to look at, by the event loop's clock. Each is on it once; a new entry takes the place of the old."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, TrackedJob]] = []
        self._numbers = itertools.count(1)
        self._news = asyncio.Event()

    def put(self, tracked: TrackedJob, due: float, *, before_others: bool = False) -> None:
        """Have *watch* be due at *due*; or now, even if others have waited for longer."""
        tracked.poll.entry = next(self._numbers)
        tracked.poll.due = due
        if not self._heap or due < self._heap[0][0]:
            self._news.set()
        heapq.heappush(self._heap, (_FIRST if before_others else due, tracked.poll.entry, tracked))

    def hold(self, tracked: TrackedJob) -> int:
        """Take *watch* off while it is looked at, and return the number by which to see whether it is back on."""
        tracked.poll.entry, tracked.poll.due = next(self._numbers), math.inf
        return tracked.poll.entry

    async def until_due(self) -> None:
        """Wait until one is due, or may be."""
        loop = asyncio.get_running_loop()
        while True:
            due = self._next_due()
            if due is not None and due <= loop.time():
                return
            self._news.clear()
            try:
                async with asyncio.timeout_at(due):
                    await self._news.wait()
            except TimeoutError:
                return

    def next(self, now: float) -> TrackedJob | None:
        """Take off the one that is due first; `None` where none is due."""
        due = self._next_due()
        return None if due is None or due > now else heapq.heappop(self._heap)[2]

    def _next_due(self) -> float | None:
        while self._heap:
            due, entry, tracked = self._heap[0]
            if tracked.poll.entry == entry:
                return due
            heapq.heappop(self._heap)
        return None

    def clear(self) -> list[TrackedJob]:
        """Take all off, and return them."""
        tracked_jobs = [tracked for _, entry, tracked in self._heap if tracked.poll.entry == entry]
        self._heap.clear()
        return tracked_jobs
