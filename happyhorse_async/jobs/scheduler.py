"""
When a job is sent: in the order of the submit queue, as soon as there is room at the provider and a slot.

A job that waits costs one entry, and waiting has no risk: a task's timeout at the provider begins with its submit.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import OrderedDict, defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Generic, TypeVar

from ..background import Background
from ..exchange import Exchange
from ..job import Job
from ..ratelimit import ConcurrencyLimiter
from ..tracked_job import TrackedJob

T = TypeVar("T")

# Of the jobs in flight, so many may be in this state at once; and never fewer than the minimum.
_SHARE = 0.005
_MINIMUM = 2
_GRACE = 2.0
# How often the tasks of other processes are counted while they leave no room.
_RECOUNT = 1.0


class SubmitScheduler:
    """
    The submit queue of one account. A job that waits in it costs an entry, and no coroutine.

    :param start: called with the next job to be sent, and with its slot, which ends when it is closed.
    :param in_flight: returns how many jobs the client has that have not ended.
    """

    def __init__(
        self, exchange: Exchange, start: Callable[[TrackedJob, AsyncExitStack], object], in_flight: Callable[[], int]
    ) -> None:
        self._exchange = exchange
        self._start = start
        self._running = exchange.limits.running
        self._queue: SubmitQueue[TrackedJob] = SubmitQueue(self._running)
        self._changed = asyncio.Event()
        self._work = Background()
        self._runner: asyncio.Task[None] | None = None
        self._closing = False
        self._unprotected = UnprotectedSubmitLimit(
            in_flight,
            maximum=exchange.limits.limits.max_unprotected_submits,
            is_protected=exchange.adapter.capabilities.idempotent,
        )
        self._running.listeners.add(self._changed.set)

    def count(self, tracked: TrackedJob) -> None:
        """Count the task of a job among those of the provider, until it has ended or is not polled any more."""
        if tracked.is_recorded and tracked.ref is not None and not tracked.ended and tracked.permit is None:
            tracked.permit = self._running.acquire(self._queue_key(tracked.job))

    def put(self, tracked: TrackedJob, *, first: bool = False) -> None:
        """Queue a job behind all others, or in front of them."""
        if self._closing:
            return
        self._queue.put(self._queue_key(tracked.job), tracked.job_id, tracked, first=first)
        self._changed.set()
        self._unprotected.recheck()
        if self._runner is None or self._runner.done():
            self._runner = self._work.spawn(self._run())

    def put_back(self, tracked: TrackedJob, delay: float) -> None:
        """Queue a job in front of all others after *delay* seconds, unless it has ended by then."""
        if not self._closing:
            self._work.spawn(self._put_after(delay, tracked))

    def postpone(self, delay: float, wanted: Callable[[TrackedJob], bool]) -> None:
        """Queue the waiting jobs that are *wanted* again after *delay* seconds."""
        for tracked in self._queue.remove_all(wanted):
            self.put_back(tracked, delay)

    def expected_wait(self, model: str, run_time: float) -> float:
        """
        Return for how many seconds a job would wait until it runs.

        :param run_time: the seconds that a task takes.
        """
        waiting, rate, running = len(self._queue), self._exchange.limits.submits.rate, self._running
        queued = waiting / rate if rate else 0.0
        most = self._exchange.limits.limits.max_running
        key = model if self._exchange.adapter.limits_per_model else ""
        # Whole rounds of tasks that have to end first.
        rounds = (running.count(key) + waiting) // most if most else 0
        return queued + rounds * run_time

    def remove(self, tracked: TrackedJob) -> None:
        """Remove a job from the queue if it is there."""
        self._queue.remove(self._queue_key(tracked.job), tracked.job_id)

    def _queue_key(self, job: Job) -> str:
        return job.model if self._exchange.adapter.limits_per_model else ""

    async def _put_after(self, delay: float, tracked: TrackedJob) -> None:
        await asyncio.sleep(delay)
        if tracked.attempt is not None:
            self.put(tracked, first=True)

    async def _run(self) -> None:
        while True:
            while self._queue.next_key() is None:
                await self._wait_for_change()
            async with AsyncExitStack() as slot:
                await slot.enter_async_context(self._unprotected.slot())
                await slot.enter_async_context(self._exchange.submit_slot())
                slot_at = asyncio.get_running_loop().time()
                await self._running.refresh()
                # A job may have been withdrawn, or room have been lost, while the slot was waited for.
                tracked = self._queue.take()
                if tracked is not None:
                    if tracked.attempt is not None:
                        tracked.attempt.slot_at = slot_at
                    tracked.permit = self._running.acquire(self._queue_key(tracked.job))
                    self._start(tracked, slot.pop_all())

    async def _wait_for_change(self) -> None:
        self._changed.clear()
        is_blocked = bool(self._queue) and self._running.changes_elsewhere
        try:
            async with asyncio.timeout(_RECOUNT if is_blocked else None):
                await self._changed.wait()
        except TimeoutError:
            # Tasks of other processes may have ended.
            await self._running.refresh()

    async def aclose(self) -> None:
        """Start no more submits."""
        self._closing = True
        async with AsyncExitStack() as closing:
            closing.callback(self._running.listeners.discard, self._changed.set)
            closing.push_async_callback(self._work.aclose)


class SubmitQueue(Generic[T]):
    """
    The jobs of one account that wait for their submit: first in, first out, with a queue key for each group of tasks
    that the provider limits separately (its models, or one for all). A key without room does not block the others.
    """

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

    def remove_all(self, wanted: Callable[[T], bool]) -> list[T]:
        """Remove and return all items that are *wanted*."""
        found: list[T] = []
        for waiting in self._queues.values():
            names = [job_id for job_id, (_, item) in waiting.items() if wanted(item)]
            found += [waiting.pop(job_id)[1] for job_id in names]
        return found

    def __len__(self) -> int:
        return sum(len(waiting) for waiting in self._queues.values())

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


class UnprotectedSubmitLimit:
    """
    Limits how many submits are unanswered at the same time, where no idempotency key protects them.

    If the process crashes, each of them has an unknown outcome for good: it may have been paid for, and it cannot be
    sent again. The price of the limit is speed: with answers after one second, two at a time are two submits a second.

    A submit that has been unanswered for two seconds is not counted any more. It is at risk already, and delaying the
    others would not make that better.

    :param in_flight: returns how many unfinished jobs the client has.
    :param maximum: `Limits.max_unprotected_submits`. By default two, or 0.5 % of the jobs in flight if that is more.
    :param is_protected: whether the provider supports idempotency keys, so that there is no limit.
    """

    def __init__(self, in_flight: Callable[[], int], *, maximum: int | None = None, is_protected: bool = False) -> None:
        self._in_flight = in_flight
        self._maximum = maximum
        self._is_protected = is_protected
        self._counted: set[object] = set()
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def slot(self) -> AsyncGenerator[None]:
        """Wait for room, and count one submit from here to the exit, for two seconds at most."""
        while not self._has_room():
            self._changed.clear()
            await self._changed.wait()
        token = object()
        self._counted.add(token)
        timer = asyncio.get_running_loop().call_later(_GRACE, self._stop_counting, token)
        try:
            yield
        finally:
            timer.cancel()
            self._stop_counting(token)

    def recheck(self) -> None:
        """Let waiting submits check again. Call it when more jobs are in flight."""
        self._changed.set()

    def _has_room(self) -> bool:
        if self._is_protected:
            return True
        maximum = self._maximum or max(_MINIMUM, int(self._in_flight() * _SHARE))
        return len(self._counted) < maximum

    def _stop_counting(self, token: object) -> None:
        self._counted.discard(token)
        self._changed.set()
