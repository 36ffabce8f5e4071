"""
Whose turn it is: jobs are sent in the order in which they were taken in, those of another model apart where the
provider counts tasks by model.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from ..background import Background
from ..exchange import Exchange
from ..ratelimit.submit_queue import SubmitQueue
from ..ratelimit.unprotected import UnprotectedSubmitLimit
from ..tracked_job import TrackedJob
from .attempt import SubmitAttempt


class SubmitScheduler:
    """
    Lets the jobs of one client go, each when its turn comes.

    :param go: called with a job whose turn it is, and with the turn, which is over when it is closed.
    :param in_flight: returns how many jobs the client has that have not ended.
    """

    def __init__(
        self, exchange: Exchange, go: Callable[[SubmitAttempt, AsyncExitStack], object], in_flight: Callable[[], int]
    ) -> None:
        self._exchange = exchange
        self._go = go
        self._running = exchange.limits.running
        self._lines: SubmitQueue[SubmitAttempt] = SubmitQueue(self._running)
        self._news = asyncio.Event()
        self._work = Background()
        self._pauses = Background()
        self._closing = False
        self._unprotected = UnprotectedSubmitLimit(
            in_flight,
            maximum=exchange.limits.limits.max_unprotected_submits,
            is_protected=exchange.adapter.capabilities.idempotent,
        )
        self._running.listeners.add(self._news.set)

    def count(self, tracked: TrackedJob) -> None:
        """Count the task of *watch* among those that the provider has, from now until nobody looks at it any more."""
        if tracked.job is not None and tracked.ref is not None and not tracked.ended and tracked.permit is None:
            tracked.permit = self._running.acquire(self._line(tracked.job.model))

    def put(self, attempt: SubmitAttempt) -> None:
        """Let a job go after all those of its line."""
        self._put(attempt, first=False)

    def put_back(self, attempt: SubmitAttempt, delay: float) -> None:
        """Let a job go again after *delay* seconds, before all those of its line."""
        if not self._closing:
            self._pauses.spawn(self._put_after(delay, attempt))

    def remove(self, attempt: SubmitAttempt) -> None:
        """Do not let it go."""
        self._lines.remove(self._line(attempt.job.model), attempt.job.job_id)

    def _line(self, model: str) -> str:
        return model if self._exchange.adapter.limits_per_model else ""

    async def _put_after(self, delay: float, attempt: SubmitAttempt) -> None:
        await asyncio.sleep(delay)
        if not attempt.withdrawn:
            self._put(attempt, first=True)

    def _put(self, attempt: SubmitAttempt, *, first: bool) -> None:
        if self._closing:
            return
        self._lines.put(self._line(attempt.job.model), attempt.job.job_id, attempt, first=first)
        self._news.set()
        self._unprotected.recheck()
        if not self._work:
            self._work.spawn(self._dispatch())

    async def _dispatch(self) -> None:
        while True:
            await self._until_queued()
            async with AsyncExitStack() as turn:
                await turn.enter_async_context(self._unprotected.slot())
                await turn.enter_async_context(self._exchange.submit_slot())
                self._start_next(turn)

    def _start_next(self, turn: AsyncExitStack) -> None:
        attempt = self._lines.take()
        if attempt is not None:
            attempt.leaving = True
            attempt.tracked.permit = self._running.acquire(self._line(attempt.job.model))
            self._go(attempt, turn.pop_all())

    async def _until_queued(self) -> None:
        while self._lines.next_key() is None:
            self._news.clear()
            await self._news.wait()

    async def aclose(self) -> None:
        """Let nothing go any more."""
        self._closing = True
        async with AsyncExitStack() as closing:
            closing.callback(self._running.listeners.discard, self._news.set)
            closing.push_async_callback(self._pauses.aclose)
            closing.push_async_callback(self._work.aclose)
