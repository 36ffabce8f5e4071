"""
The shared poller: one for each client, however many tasks are in flight.

A waiting task costs an entry in a heap of due times and no coroutine, timer or connection. Whatever is learned of a
task, by a query, by the provider's list or otherwise, enters by one door, `Poller._take_in`. A look that fails never
fails the task: it is repeated later, until the task's lifetime is over. Only what will never heal ends the waiting, and
even that leaves the task as it is, to be resumed by its ref.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime
from weakref import WeakValueDictionary

from attrs import evolve

from ..background import Background, one_by_one
from ..billing import Asked, asked_in
from ..errors import (
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
from ..exchange import Exchange
from ..redaction import redact_text
from ..retries import LONGEST_WAIT, Retries, RetryPolicy
from ..task import FailureReason, Task, TaskRef, TaskStatus
from ..timing import PollSchedule
from ..watch import Watch
from .agenda import Agenda
from .cadence import Cadence
from .pages import Page, Pages

_log = logging.getLogger("happyhorse_async")

_WORKERS = 16
_EMPTY_SUCCESSES = 3
_LONGEST_WORD = 80
_MOST_WORDS = 20

_WILL_NOT_HEAL = (AuthenticationError, PermissionDeniedError, QuotaExceededError)
_FAULTS = (TransportError, ProviderError, InvalidResponseError)


class Poller:
    """Looks at the tasks of one client until each has ended."""

    def __init__(
        self,
        exchange: Exchange,
        schedule: PollSchedule,
        on_change: Callable[[Watch], object] = lambda _: None,
        retry: RetryPolicy = Retries().poll,  # noqa: B008 - immutable
    ) -> None:
        adapter = exchange.adapter
        self._cadence = Cadence(schedule, adapter.poll)
        self.durations = self._cadence.durations
        """What was learned of how long tasks take."""
        self._exchange = exchange
        self._on_change = on_change
        self._retry = retry
        self._schedule = self._cadence.schedule
        self._has_whole_list = adapter.capabilities.whole_list
        self._pages = Pages(is_usable=adapter.capabilities.live_list, interval=self._schedule.interval or 15.0)
        self._known: WeakValueDictionary[TaskRef, Watch] = WeakValueDictionary()
        self._agenda = Agenda()
        self._lead = asyncio.Lock()
        self._workers = Background()
        self._strange_words: set[str] = set()

    def accepted(self, watch: Watch, task: Task) -> None:
        """Begin to look at the task that has just come of a job."""
        watch.ref = task.ref
        self._known[task.ref] = watch
        self._take_in(watch, task)
        if not watch.ended:
            # Its lifetime begins now, whatever the clocks of the provider and of this machine say.
            watch.alive = self._begin(watch)
            self._schedule_look(watch, self._cadence.after_submit(watch))
        watch.wake()

    def known(self, ref: TaskRef, job_id: str) -> Watch:
        """Return the one watch on *ref*, without beginning to look. One on an expired task gives way to a new one."""
        watch = self._known.get(ref)
        if watch is None or (watch.task is not None and watch.task.status is TaskStatus.EXPIRED):
            watch = self._known[ref] = Watch(ref, job_id=job_id)
        return watch

    def watched(self, ref: TaskRef) -> Watch | None:
        """Return the watch on *ref*, where anybody here has to do with it."""
        return self._known.get(ref)

    def ensure(self, watch: Watch) -> None:
        """See to it that somebody looks at a task that has not ended."""
        if watch.ref is not None and not watch.entry and not watch.ended:
            # Its handle may come from an earlier time when the client was open.
            self._known.setdefault(watch.ref, watch)
            self._begin(watch)
            self._schedule_look(watch, 0.0)

    async def fetch(self, ref: TaskRef) -> Task:
        """
        Look at a task now and once, whoever else waits for it.

        :raises TaskNotFoundError: the provider does not know it.
        """
        async with self._exchange.query_turn():
            task = await self._exchange.fetch(ref)
        self.observe(task)
        return task

    @property
    def in_flight(self) -> int:
        """How many tasks are looked at."""
        return len(self._pages)

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
        if watch.entry:
            now = asyncio.get_running_loop().time()
            learn = self._cadence.ended if task.status.is_terminal else self._cadence.goes_on
            learn(watch, task, now)
        self._record(watch, task)
        if watch.ended:
            self._check_bill(watch, task)
            self._leave(watch)

    def _record(self, watch: Watch, task: Task) -> None:
        if task.status is TaskStatus.UNKNOWN:
            self._mention(task)
        changed = watch.record(task)
        watch.unchanged = 0 if changed else watch.unchanged + 1
        if changed:
            self._on_change(watch)

    def _mention(self, task: Task) -> None:
        word = redact_text(task.raw_status or "", self._exchange.account.api_key)[:_LONGEST_WORD]
        if word not in self._strange_words and len(self._strange_words) < _MOST_WORDS:
            self._strange_words.add(word)
            _log.warning("%s: the provider calls its status %r, which is no word we know", task.ref, word)

    def _check_bill(self, watch: Watch, task: Task) -> None:
        differences = (watch.asked or _asked(watch)).differences(task.usage) if task.usage else []
        if differences:
            _log.warning("%s: what was billed is not what was asked for: %s", task.ref, ", ".join(differences))

    def _age(self, watch: Watch, task: Task) -> None:
        if watch.task is None and task.created_at is not None:
            age = (datetime.now(UTC) - task.created_at).total_seconds()
            # One of the two clocks may be wrong by hours. What the provider still shows is not given up at first sight.
            still = self._schedule.misses * (self._schedule.interval or 15.0)
            earliest = asyncio.get_running_loop().time() + still - self._exchange.adapter.lifetime
            watch.submitted = min(watch.submitted, max(watch.submitted - age, earliest))

    def _begin(self, watch: Watch) -> float:
        """Make ready to look at a task, and return the time."""
        now = asyncio.get_running_loop().time()
        watch.gone = None
        watch.submitted = now
        watch.kind = self._cadence.kind(watch.job)
        watch.asked = watch.asked or _asked(watch)
        self._pages.enter(watch)
        if not self._workers:
            for _ in range(_WORKERS):
                self._workers.spawn(self._work())
        return now

    def _schedule_look(self, watch: Watch, delay: float, *, before_others: bool = False) -> None:
        now = asyncio.get_running_loop().time()
        deadline = watch.submitted + self._exchange.adapter.lifetime
        if deadline <= now:
            self._expire(watch)
        else:
            self._agenda.put(watch, min(now + delay, deadline), before_others=before_others)

    async def _work(self) -> None:
        # One worker at a time waits for the next task to be due, while the others look or queue up behind it.
        loop, turn = asyncio.get_running_loop(), self._exchange.query_turn()
        while True:
            async with self._lead:
                await self._agenda.until_due()
                await turn.take()
                watch = self._agenda.next(loop.time())
            try:
                if watch is not None:
                    await self._look(watch, loop.time())
            finally:
                turn.leave()

    async def _look(self, watch: Watch, now: float) -> None:
        self._cadence.taken(watch, now)
        page = self._pages.page_with(watch, now)
        if page is not None:
            watches = [each for each in self._pages.on(page) if self._cadence.is_nearly_due(each, now)]
            if self._pages.is_worth(watches):
                await self._look_at_page(page, watches)
                return
        await self._look_at_one(watch)

    async def _look_at_one(self, watch: Watch) -> None:
        asked_at = asyncio.get_running_loop().time()
        entry = self._agenda.hold(watch)
        is_disputed, watch.is_disputed = watch.is_disputed, False
        if not is_disputed:
            self._pages.queried(watch)
            self._cadence.looked(1)
        delay: float | None = 0.0
        try:
            delay = await self._delay_after_look(watch)
        except Exception:  # noqa: BLE001 - whatever is wrong with one look, the task goes on
            _log.exception("a look at %s failed for a reason that is no fault of the provider", watch.ref)
            watch.faults += 1
            delay = self._schedule.after_fault(watch.faults)
        finally:
            if delay is not None and watch.entry == entry:
                self._schedule_look(watch, delay)
        if is_disputed and not watch.ended and watch.alive >= asked_at:
            self._pages.contradicted(asked_at)

    async def _delay_after_look(self, watch: Watch) -> float | None:
        """Look once, and return the seconds until the next look; `None` where there will be none."""
        ref = watch.ref
        assert ref is not None
        try:
            self._take_in(watch, await self._exchange.fetch(ref))
        except _WILL_NOT_HEAL as error:
            self._give_up(watch, error)
            return None
        except TaskNotFoundError as error:
            return self._missed(watch, error)
        except (RateLimitError, *_FAULTS) as error:
            return self._failed(watch, error)
        except HappyHorseError as error:
            return self._refused(watch, error)
        now = asyncio.get_running_loop().time()
        return None if watch.ended or watch.gone else self._cadence.after_look(watch, now)

    def _failed(self, watch: Watch, error: HappyHorseError) -> float | None:
        watch.faults += 1
        if watch.faults > self._retry.retries:
            self._give_up(watch, error)
            return None
        _log.info("%s: look failed %d times in a row: %s", watch.ref, watch.faults, error)
        if isinstance(error, RateLimitError):
            # Everything that the account asks is slowed down already.
            return self._schedule.after_look(watch.unchanged)
        delay = self._schedule.after_fault(watch.faults, base=self._retry.base, cap=self._retry.cap)
        return max(delay, min(getattr(error, "retry_after", None) or 0.0, LONGEST_WAIT))

    def _missed(self, watch: Watch, error: TaskNotFoundError) -> float | None:
        watch.misses += 1
        _log.info("%s: unknown to the provider %d times in a row: %s", watch.ref, watch.misses, error)
        if watch.misses < self._schedule.misses:
            return self._schedule.after_miss(watch.misses)
        self._expire(watch)
        return None

    def _refused(self, watch: Watch, error: HappyHorseError) -> float | None:
        watch.refusals += 1
        if watch.refusals < self._schedule.misses and watch.refusals <= self._retry.retries:
            return self._schedule.after_fault(watch.refusals)
        self._give_up(watch, error)
        return None

    def _give_up(self, watch: Watch, error: HappyHorseError) -> None:
        self._pages.leave(watch, asyncio.get_running_loop().time())
        watch.give_up(error)

    async def _look_at_page(self, page: Page, watches: list[Watch]) -> None:
        # Nobody else takes them while the page is on its way.
        held = {self._agenda.hold(watch): watch for watch in watches}
        try:
            answer = await self._exchange.list_page(page.request)
            self._take_in_page(self._pages.read(page, answer, self._known))
        except HappyHorseError as error:
            self._pages.failed(error, page.asked_at)
            wish: float = getattr(error, "retry_after", None) or 0.0
            self._pages.leave_until(asyncio.get_running_loop().time() + wish)
        except Exception:  # noqa: BLE001 - whatever is wrong with the list, the tasks go on
            _log.exception("a look at the task list failed for a reason that is no fault of the provider")
            self._pages.distrust("it cannot be read", page.asked_at)
        finally:
            for entry, watch in held.items():
                if watch.entry == entry:
                    self._pages.missed(watch)
                    self._schedule_look(watch, 0.0)

    def _take_in_page(self, found: list[tuple[Watch, Task]]) -> None:
        now = asyncio.get_running_loop().time()
        due = [watch for watch, _ in found if watch.due == math.inf or self._cadence.is_nearly_due(watch, now)]
        self._cadence.looked(len(due))
        worthwhile = set(due)
        for watch, row in found:
            # An end is news at any time, unless a query that has just failed is to tell how.
            is_news = row.status.is_terminal and not (watch.faults or watch.misses or watch.refusals)
            if watch in worthwhile or is_news:
                self._take_in_row(watch, row, now)

    def _take_in_row(self, watch: Watch, row: Task, now: float) -> None:
        is_whole = self._has_whole_list and row.status is TaskStatus.SUCCEEDED and row.videos
        if row.status.is_terminal and not is_whole:
            # The list tells that it has ended, and a query how.
            if not watch.is_disputed:
                watch.is_disputed = True
                self._schedule_look(watch, 0.0, before_others=True)
            return
        self._take_in(watch, row if self._has_whole_list else _updated(watch.task, row))
        if not watch.ended:
            self._schedule_look(watch, self._cadence.after_look(watch, now))

    def _expire(self, watch: Watch) -> None:
        assert watch.ref is not None
        last = watch.task or Task(ref=watch.ref, status=TaskStatus.EXPIRED)
        self._record(watch, evolve(last, status=TaskStatus.EXPIRED, observed_at=datetime.now(UTC)))
        self._leave(watch)

    def _leave(self, watch: Watch) -> None:
        watch.entry = 0
        self._pages.leave(watch, asyncio.get_running_loop().time())
        watch.wake()

    async def aclose(self) -> None:
        """Stop looking. Whoever still waits is told, and told the ref."""
        try:
            await self._workers.aclose()
        finally:
            # Two watches may be on one task, of which only the later is known by its ref.
            watches = [*self._known.values(), *self._agenda.clear()]
            # A query from elsewhere that is still on its way has nobody to tell.
            self._known.clear()
            await one_by_one(watches, _part_with)


def _part_with(watch: Watch) -> None:
    if watch.entry:
        watch.give_up(WaitTimeoutError("the client was closed while the task was going on", task=watch.whole_task))


def _asked(watch: Watch) -> Asked:
    return asked_in(watch.job.request if watch.job else None)


def _delivers_nothing(task: Task) -> bool:
    return task.error is not None and task.error.reason is FailureReason.NO_OUTPUT


def _updated(task: Task | None, row: Task) -> Task:
    """Add to what is known of a task what a list tells of one that goes on, which is little."""
    if task is None:
        return row
    is_news = row.status is TaskStatus.RUNNING and (task.status is not row.status or not task.started_at)
    if not is_news:
        # A list may lag behind.
        return task
    return evolve(
        task,
        status=row.status,
        raw_status=row.raw_status,
        created_at=row.created_at or task.created_at,
        started_at=row.started_at or task.started_at,
        observed_at=row.observed_at,
    )
