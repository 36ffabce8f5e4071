"""A priority queue of due times: a waiting task costs one entry, and no coroutine or timer."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math

from ..tracked_job import TrackedJob

_BEFORE_ALL = 0.0


class PollQueue:
    """
    The tasks to poll, by the event loop's clock. Each has one valid entry; a new entry replaces the old one.

    An entry that was replaced stays in the heap until it comes up, and is skipped then.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, TrackedJob]] = []
        self._numbers = itertools.count(1)
        self._earlier = asyncio.Event()

    def put(self, tracked: TrackedJob, due: float, *, before_others: bool = False) -> None:
        """Make a task due at *due*; or now, before all others that are due."""
        tracked.poll.entry = next(self._numbers)
        tracked.poll.due = due
        if not self._heap or due < self._heap[0][0]:
            self._earlier.set()
        heapq.heappush(self._heap, (_BEFORE_ALL if before_others else due, tracked.poll.entry, tracked))

    def hold(self, tracked: TrackedJob) -> int:
        """
        Take a task out of the queue while it is polled.

        Returns the number of its entry. If it has changed after the poll, the task was put back meanwhile.
        """
        tracked.poll.entry, tracked.poll.due = next(self._numbers), math.inf
        return tracked.poll.entry

    async def until_due(self) -> None:
        """Wait until a task is due, or may be."""
        loop = asyncio.get_running_loop()
        while True:
            due = self._next_due()
            if due is not None and due <= loop.time():
                return
            self._earlier.clear()
            try:
                async with asyncio.timeout_at(due):
                    await self._earlier.wait()
            except TimeoutError:
                return

    def next(self, now: float) -> TrackedJob | None:
        """Remove and return the task that is due first; `None` if none is due."""
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
        """Remove and return all tasks."""
        tracked_jobs = [tracked for _, entry, tracked in self._heap if tracked.poll.entry == entry]
        self._heap.clear()
        return tracked_jobs
