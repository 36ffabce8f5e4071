"""When a job is sent: in the order of the submit queue, as soon as there is room at the provider and a slot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from ..background import Background
from ..exchange import Exchange
from ..job import Job
from ..ratelimit.submit_queue import SubmitQueue
from ..ratelimit.unprotected import UnprotectedSubmitLimit
from ..tracked_job import TrackedJob


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
        self._pauses = Background()
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
        if not self._work:
            self._work.spawn(self._run())

    def put_back(self, tracked: TrackedJob, delay: float) -> None:
        """Queue a job in front of all others after *delay* seconds, unless it has ended by then."""
        if not self._closing:
            self._pauses.spawn(self._put_after(delay, tracked))

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
                self._changed.clear()
                await self._changed.wait()
            async with AsyncExitStack() as slot:
                await slot.enter_async_context(self._unprotected.slot())
                await slot.enter_async_context(self._exchange.submit_slot())
                # A job may have been withdrawn, or room have been lost, while the slot was waited for.
                tracked = self._queue.take()
                if tracked is not None:
                    tracked.permit = self._running.acquire(self._queue_key(tracked.job))
                    self._start(tracked, slot.pop_all())

    async def aclose(self) -> None:
        """Start no more submits."""
        self._closing = True
        async with AsyncExitStack() as closing:
            closing.callback(self._running.listeners.discard, self._changed.set)
            closing.push_async_callback(self._pauses.aclose)
            closing.push_async_callback(self._work.aclose)
