"""
The queue of jobs that have not been submitted yet: first in, first out, with a queue key for each group of tasks that
the provider limits separately (its models, or one for all).

A queue key without room at the provider does not block the others. A waiting job costs one entry, and waiting has no
risk: a task's timeout at the provider begins with its submit.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict, defaultdict
from typing import Generic, TypeVar

from .concurrency import ConcurrencyLimiter

T = TypeVar("T")


class SubmitQueue(Generic[T]):
    """The jobs of one account that wait for their submit."""

    def __init__(self, limiter: ConcurrencyLimiter) -> None:
        self._limiter = limiter
        self._queues: defaultdict[str, OrderedDict[str, tuple[int, T]]] = defaultdict(OrderedDict)
        self._last = itertools.count(1)
        self._first = itertools.count(0, -1)

    def put(self, queue_key: str, job_id: str, item: T, *, first: bool = False) -> None:
        """Add *item* at the end of the queue, or in front of all others."""
        self._queues[queue_key][job_id] = (next(self._first if first else self._last), item)
        self._queues[queue_key].move_to_end(job_id, last=not first)

    def remove(self, queue_key: str, job_id: str) -> None:
        """Remove a job if it is waiting."""
        self._queues[queue_key].pop(job_id, None)

    def next_key(self) -> str | None:
        """Return the queue key of the oldest job that may be submitted; `None` if there is none."""
        heads = [
            (next(iter(waiting.values()))[0], queue_key)
            for queue_key, waiting in self._queues.items()
            if waiting and self._limiter.has_room(queue_key)
        ]
        return min(heads)[1] if heads else None

    def take(self) -> T | None:
        """Remove and return the oldest job that may be submitted; `None` if there is none."""
        queue_key = self.next_key()
        return None if queue_key is None else self._queues[queue_key].popitem(last=False)[1][1]
