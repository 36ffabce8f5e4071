"""
Whose turn it is: jobs are sent in the order in which they were taken in, those of another model apart where the
provider counts tasks by model.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack

from ..background import Background
from ..exchange import Exchange
from ..job import Job
from ..ratelimit.submit_queue import SubmitQueue
from ..tracked_job import TrackedJob
from .attempt import SubmitAttempt

_log = logging.getLogger("happyhorse_async")

# What is on its way when a process dies is of unknown outcome for good, where no key protects it.
_MOST_EXPOSED = 0.005
_FEWEST = 2


class UnprotectedSubmitLimit:
    """
    Keeps small what a crash would leave unknown: few requests are on the way at once, of many jobs in flight a
    two-hundredth. Entered by one task at a time.
    """

    def __init__(self, in_flight: Callable[[], int], *, is_protected: bool) -> None:
        self.news = asyncio.Event()
        """To be set when more jobs are in flight."""
        self._in_flight = in_flight
        self._is_protected = is_protected
        self._exposed = 0

    async def __aenter__(self) -> None:
        while not self._is_protected and self._exposed >= max(_FEWEST, int(self._in_flight() * _MOST_EXPOSED)):
            self.news.clear()
            await self.news.wait()
        self._exposed += 1

    async def __aexit__(self, *_: object) -> None:
        self._exposed -= 1
        self.news.set()


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
        self._exposure = UnprotectedSubmitLimit(in_flight, is_protected=exchange.adapter.capabilities.idempotent)
        self._running.listeners.add(self._news.set)
        self._long = False

    def warnings(self, model: str) -> tuple[str, ...]:
        """Say what may surprise whoever wants a task of *model* now: that it waits for hours."""
        warning = self._lines.long_wait(self._line(model))
        return (warning,) if warning else ()

    def count(self, tracked: TrackedJob) -> None:
        """Count the task of *watch* among those that the provider has, from now until nobody looks at it any more."""
        if tracked.job is not None and tracked.ref is not None and not tracked.ended and tracked.permit is None:
            tracked.permit = self._running.begin(self._line(tracked.job.model), was_sent=False)

    def put(self, attempt: SubmitAttempt) -> None:
        """Let a job go after all those of its line."""
        self._say_how_long(attempt.job)
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

    def _say_how_long(self, job: Job) -> None:
        warning = self._lines.long_wait(self._line(job.model))
        if warning and not self._long:
            _log.warning("job %s, and all of %s that follow: %s", job.job_id, job.model, warning)
        self._long = warning is not None

    async def _put_after(self, delay: float, attempt: SubmitAttempt) -> None:
        await asyncio.sleep(delay)
        if not attempt.withdrawn:
            self._put(attempt, first=True)

    def _put(self, attempt: SubmitAttempt, *, first: bool) -> None:
        if self._closing:
            return
        self._lines.put(self._line(attempt.job.model), attempt.job.job_id, attempt, first=first)
        self._news.set()
        self._exposure.news.set()
        if not self._work:
            self._work.spawn(self._dispatch())

    async def _dispatch(self) -> None:
        while True:
            await self._until_queued()
            async with AsyncExitStack() as turn:
                await turn.enter_async_context(self._exposure)
                await turn.enter_async_context(self._exchange.submit_slot())
                self._start_next(turn)

    def _start_next(self, turn: AsyncExitStack) -> None:
        attempt = self._lines.take()
        if attempt is not None:
            attempt.leaving = True
            attempt.tracked.permit = self._running.begin(self._line(attempt.job.model))
            self._go(attempt, turn.pop_all())

    async def _until_queued(self) -> None:
        while self._lines.next_line() is None:
            self._news.clear()
            await self._news.wait()

    async def aclose(self) -> None:
        """Let nothing go any more."""
        self._closing = True
        async with AsyncExitStack() as closing:
            closing.callback(self._running.listeners.discard, self._news.set)
            closing.push_async_callback(self._pauses.aclose)
            closing.push_async_callback(self._work.aclose)
