"""
The shared poller: one for each client, however many tasks are in flight.

A waiting task costs an entry in a heap of due times and no coroutine, timer or connection. Whatever is learned of a
task, by a look or otherwise, enters by one door, `Poller._take_in`. A look that fails never fails the task: it is
repeated later, until the task's lifetime is over. Only what will never heal ends the waiting, and even that leaves the
task as it is, to be resumed by its ref.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from weakref import WeakValueDictionary

from attrs import evolve

from .background import Background
from .errors import (
    AuthenticationError,
    HappyHorseError,
    InvalidResponseError,
    PermissionDeniedError,
    ProviderError,
    QuotaExceededError,
    RateLimitError,
    TaskNotFoundError,
    TransportError,
    WaitTimeoutError,
)
from .exchange import Exchange
from .task import FailureReason, Task, TaskRef, TaskStatus
from .timing import PollSchedule
from .watch import Watch

_log = logging.getLogger("happyhorse_async")

_WORKERS = 16
_EMPTY_SUCCESSES = 3

_WILL_NOT_HEAL = (AuthenticationError, PermissionDeniedError, QuotaExceededError)
_FAULTS = (TransportError, ProviderError, InvalidResponseError)


class Poller:
    """Looks at the tasks of one client until each has ended."""

    def __init__(
        self, exchange: Exchange, schedule: PollSchedule, on_change: Callable[[Watch], object] = lambda _: None
    ) -> None:
        self._exchange = exchange
        self._on_change = on_change
        self._schedule = schedule.advised_by(exchange.adapter.poll)
        self._known: WeakValueDictionary[TaskRef, Watch] = WeakValueDictionary()
        self._heap: list[tuple[float, int, Watch]] = []
        self._numbers = itertools.count(1)
        self._news = asyncio.Event()
        self._lead = asyncio.Lock()
        self._workers = Background()

    def accepted(self, watch: Watch, task: Task) -> None:
        """Begin to look at the task that has just come of a job."""
        watch.ref = task.ref
        self._known[task.ref] = watch
        self._take_in(watch, task)
        if not watch.ended:
            # Its lifetime begins now, whatever the clocks of the provider and of this machine say.
            self._watch(watch, self._schedule.after_submit())
        watch.wake()

    def known(self, ref: TaskRef, job_id: str) -> Watch:
        """Return the one watch on *ref*, without beginning to look. One on an expired task gives way to a new one."""
        watch = self._known.get(ref)
        if watch is None or (watch.task is not None and watch.task.status is TaskStatus.EXPIRED):
            watch = self._known[ref] = Watch(ref, job_id=job_id)
        return watch

    def ensure(self, watch: Watch) -> None:
        """See to it that somebody looks at a task that has not ended."""
        if watch.ref is not None and not watch.entry and not watch.ended:
            # Its handle may come from an earlier time when the client was open.
            self._known.setdefault(watch.ref, watch)
            self._watch(watch, 0.0)

    def observe(self, task: Task) -> None:
        """Take in one observation, wherever it comes from. The first end of a task stays its end."""
        watch = self._known.get(task.ref)
        if watch is not None:
            self._take_in(watch, task)

    def _take_in(self, watch: Watch, task: Task) -> None:
        if watch.ended:
            return
        watch.faults = watch.misses = watch.refusals = 0
        if _delivers_nothing(task) and watch.empty_successes < _EMPTY_SUCCESSES:
            # Some providers say "success" a moment before the URL is there.
            watch.empty_successes += 1
            return
        self._age(watch, task)
        self._record(watch, task)
        if watch.ended:
            self._leave(watch)

    def _record(self, watch: Watch, task: Task) -> None:
        changed = watch.record(task)
        watch.unchanged = 0 if changed else watch.unchanged + 1
        if changed:
            self._on_change(watch)

    def _age(self, watch: Watch, task: Task) -> None:
        if watch.task is None and task.created_at is not None:
            age = (datetime.now(UTC) - task.created_at).total_seconds()
            watch.deadline -= max(0.0, age)

    def _watch(self, watch: Watch, delay: float) -> None:
        watch.gone = None
        watch.deadline = asyncio.get_running_loop().time() + self._exchange.adapter.lifetime
        self._schedule_look(watch, delay)
        if not self._workers:
            for _ in range(_WORKERS):
                self._workers.spawn(self._work())

    def _schedule_look(self, watch: Watch, delay: float) -> None:
        now = asyncio.get_running_loop().time()
        if watch.deadline <= now:
            self._expire(watch)
            return
        watch.entry = next(self._numbers)
        due = min(now + delay, watch.deadline)
        if not self._heap or due < self._heap[0][0]:
            self._news.set()
        heapq.heappush(self._heap, (due, watch.entry, watch))

    async def _work(self) -> None:
        # One worker at a time waits for the next task to be due, while the others look or queue up behind it.
        while True:
            async with AsyncExitStack() as turn:
                async with self._lead:
                    await self._until_due()
                    await turn.enter_async_context(self._exchange.query_turn())
                    watch = self._take()
                if watch is not None:
                    await self._look(watch)

    async def _until_due(self) -> None:
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

    def _next_due(self) -> float | None:
        while self._heap:
            due, entry, watch = self._heap[0]
            if watch.entry == entry:
                return due
            heapq.heappop(self._heap)
        return None

    def _take(self) -> Watch | None:
        due = self._next_due()
        if due is None or due > asyncio.get_running_loop().time():
            return None
        return heapq.heappop(self._heap)[2]

    async def _look(self, watch: Watch) -> None:
        entry = watch.entry
        try:
            delay = await self._delay_after_look(watch)
        except Exception:  # noqa: BLE001 - whatever is wrong with one look, the task goes on
            _log.exception("a look at %s failed for a reason that is no fault of the provider", watch.ref)
            watch.faults += 1
            delay = self._schedule.after_fault(watch.faults)
        if delay is not None and watch.entry == entry:
            self._schedule_look(watch, delay)

    async def _delay_after_look(self, watch: Watch) -> float | None:
        """Look once, and return the seconds until the next look; `None` where there will be none."""
        ref = watch.ref
        assert ref is not None
        try:
            self._take_in(watch, await self._exchange.fetch(ref))
        except _WILL_NOT_HEAL as error:
            watch.give_up(error)
        except TaskNotFoundError as error:
            return self._missed(watch, error)
        except RateLimitError as error:
            _log.info("%s: too many queries, slowing down: %s", watch.ref, error)
            return self._schedule.after_look(watch.unchanged)
        except _FAULTS as error:
            watch.faults += 1
            _log.info("%s: look failed %d times in a row: %s", watch.ref, watch.faults, error)
            return self._schedule.after_fault(watch.faults)
        except HappyHorseError as error:
            return self._refused(watch, error)
        return None if watch.ended or watch.gone else self._schedule.after_look(watch.unchanged)

    def _missed(self, watch: Watch, error: TaskNotFoundError) -> float | None:
        watch.misses += 1
        _log.info("%s: unknown to the provider %d times in a row: %s", watch.ref, watch.misses, error)
        if watch.misses < self._schedule.misses:
            return self._schedule.after_miss(watch.misses)
        self._expire(watch)
        return None

    def _refused(self, watch: Watch, error: HappyHorseError) -> float | None:
        watch.refusals += 1
        if watch.refusals < self._schedule.misses:
            return self._schedule.after_fault(watch.refusals)
        watch.give_up(error)
        return None

    def _expire(self, watch: Watch) -> None:
        assert watch.ref is not None
        last = watch.task or Task(ref=watch.ref, status=TaskStatus.EXPIRED)
        self._record(watch, evolve(last, status=TaskStatus.EXPIRED))
        self._leave(watch)

    def _leave(self, watch: Watch) -> None:
        watch.entry = 0
        watch.wake()

    async def aclose(self) -> None:
        """Stop looking. Whoever still waits is told, and told the ref."""
        try:
            await self._workers.aclose()
        finally:
            for watch in list(self._known.values()):
                if watch.entry:
                    error = WaitTimeoutError("the client was closed while the task was going on", task=watch.task)
                    watch.give_up(error)
            self._heap.clear()


def _delivers_nothing(task: Task) -> bool:
    return task.error is not None and task.error.reason is FailureReason.NO_OUTPUT
