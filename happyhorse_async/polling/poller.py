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

from ..background import Background, for_each_yielding
from ..billing import ExpectedUsage, expected_usage
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
from ..retry import RetryPolicies, RetryPolicy
from ..task import FailureReason, Task, TaskRef, TaskStatus
from ..timing import PollSchedule
from ..tracked_job import TrackedJob
from .intervals import PollIntervals
from .list_index import ListIndex, Page
from .poll_queue import PollQueue

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
        on_change: Callable[[TrackedJob], object] = lambda _: None,
        retry: RetryPolicy = RetryPolicies().poll,  # noqa: B008 - immutable
    ) -> None:
        adapter = exchange.adapter
        self._intervals = PollIntervals(schedule, adapter.poll)
        self.estimator = self._intervals.estimator
        """What was learned of how long tasks take."""
        self._exchange = exchange
        self._on_change = on_change
        self._retry = retry
        self._schedule = self._intervals.schedule
        self._has_whole_list = adapter.capabilities.list_has_results
        self._pages = ListIndex(is_usable=adapter.capabilities.list_is_live, interval=self._schedule.interval or 15.0)
        self._known: WeakValueDictionary[TaskRef, TrackedJob] = WeakValueDictionary()
        self._poll_queue = PollQueue()
        self._lead = asyncio.Lock()
        self._workers = Background()
        self._strange_words: set[str] = set()

    def accepted(self, tracked: TrackedJob, task: Task) -> None:
        """Begin to look at the task that has just come of a job."""
        tracked.ref = task.ref
        self._known[task.ref] = tracked
        self._take_in(tracked, task)
        if not tracked.ended:
            # Its lifetime begins now, whatever the clocks of the provider and of this machine say.
            tracked.poll.active_at = self._begin(tracked)
            self._schedule_look(tracked, self._intervals.after_submit(tracked))
        tracked.wake()

    def known(self, ref: TaskRef, job_id: str) -> TrackedJob:
        """Return the one watch on *ref*, without beginning to look. One on an expired task gives way to a new one."""
        tracked = self._known.get(ref)
        if tracked is None or (tracked.task is not None and tracked.task.status is TaskStatus.EXPIRED):
            tracked = self._known[ref] = TrackedJob(ref, job_id=job_id)
        return tracked

    def tracked_by_ref(self, ref: TaskRef) -> TrackedJob | None:
        """Return the watch on *ref*, where anybody here has to do with it."""
        return self._known.get(ref)

    def ensure(self, tracked: TrackedJob) -> None:
        """See to it that somebody looks at a task that has not ended."""
        if tracked.ref is not None and not tracked.poll.entry and not tracked.ended:
            # Its handle may come from an earlier time when the client was open.
            self._known.setdefault(tracked.ref, tracked)
            self._begin(tracked)
            self._schedule_look(tracked, 0.0)

    async def fetch(self, ref: TaskRef) -> Task:
        """
        Look at a task now and once, whoever else waits for it.

        :raises TaskNotFoundError: the provider does not know it.
        """
        async with self._exchange.query_slot():
            task = await self._exchange.fetch(ref)
        self.observe(task)
        return task

    @property
    def in_flight(self) -> int:
        """How many tasks are looked at."""
        return len(self._pages)

    def observe(self, task: Task) -> None:
        """Take in one observation, wherever it comes from. The first end of a task stays its end."""
        tracked = self._known.get(task.ref)
        if tracked is not None:
            self._take_in(tracked, task)

    def _take_in(self, tracked: TrackedJob, task: Task) -> None:
        if tracked.ended:
            return
        tracked.faults = tracked.misses = tracked.refusals = 0
        if _delivers_nothing(task) and tracked.poll.empty_successes < _EMPTY_SUCCESSES:
            # Some providers say "success" a moment before the URL is there.
            tracked.poll.empty_successes += 1
            return
        self._age(tracked, task)
        if tracked.poll.entry:
            now = asyncio.get_running_loop().time()
            learn = self._intervals.observed_end if task.status.is_terminal else self._intervals.observed_active
            learn(tracked, task, now)
        self._record(tracked, task)
        if tracked.ended:
            self._check_bill(tracked, task)
            self._leave(tracked)

    def _record(self, tracked: TrackedJob, task: Task) -> None:
        if task.status is TaskStatus.UNKNOWN:
            self._mention(task)
        changed = tracked.record(task)
        tracked.poll.unchanged = 0 if changed else tracked.poll.unchanged + 1
        if changed:
            self._on_change(tracked)

    def _mention(self, task: Task) -> None:
        word = redact_text(task.raw_status or "", self._exchange.account.api_key)[:_LONGEST_WORD]
        if word not in self._strange_words and len(self._strange_words) < _MOST_WORDS:
            self._strange_words.add(word)
            _log.warning("%s: the provider calls its status %r, which is no word we know", task.ref, word)

    def _check_bill(self, tracked: TrackedJob, task: Task) -> None:
        differences = (tracked.poll.expected or _expected_usage(tracked)).differences(task.usage) if task.usage else []
        if differences:
            _log.warning("%s: what was billed is not what was asked for: %s", task.ref, ", ".join(differences))

    def _age(self, tracked: TrackedJob, task: Task) -> None:
        if tracked.task is None and task.created_at is not None:
            age = (datetime.now(UTC) - task.created_at).total_seconds()
            # One of the two clocks may be wrong by hours. What the provider still shows is not given up at first sight.
            still = self._schedule.not_found_retries * (self._schedule.interval or 15.0)
            earliest = asyncio.get_running_loop().time() + still - self._exchange.adapter.task_ttl
            tracked.poll.submitted_at = min(tracked.poll.submitted_at, max(tracked.poll.submitted_at - age, earliest))

    def _begin(self, tracked: TrackedJob) -> float:
        """Make ready to look at a task, and return the time."""
        now = asyncio.get_running_loop().time()
        tracked.gone = None
        tracked.poll.submitted_at = now
        tracked.poll.model = self._intervals.model(tracked.job)
        tracked.poll.expected = tracked.poll.expected or _expected_usage(tracked)
        self._pages.add(tracked)
        if not self._workers:
            for _ in range(_WORKERS):
                self._workers.spawn(self._work())
        return now

    def _schedule_look(self, tracked: TrackedJob, delay: float, *, before_others: bool = False) -> None:
        now = asyncio.get_running_loop().time()
        deadline = tracked.poll.submitted_at + self._exchange.adapter.task_ttl
        if deadline <= now:
            self._expire(tracked)
        else:
            self._poll_queue.put(tracked, min(now + delay, deadline), before_others=before_others)

    async def _work(self) -> None:
        # One worker at a time waits for the next task to be due, while the others look or queue up behind it.
        loop, slot = asyncio.get_running_loop(), self._exchange.query_slot()
        while True:
            async with self._lead:
                await self._poll_queue.until_due()
                await slot.acquire()
                tracked = self._poll_queue.next(loop.time())
            try:
                if tracked is not None:
                    await self._look(tracked, loop.time())
            finally:
                slot.release()

    async def _look(self, tracked: TrackedJob, now: float) -> None:
        self._intervals.started(tracked, now)
        page = self._pages.page_for(tracked, now)
        if page is not None:
            tracked_jobs = [each for each in self._pages.expected_on(page) if self._intervals.is_nearly_due(each, now)]
            if self._pages.is_worthwhile(tracked_jobs):
                await self._look_at_page(page, tracked_jobs)
                return
        await self._look_at_one(tracked)

    async def _look_at_one(self, tracked: TrackedJob) -> None:
        asked_at = asyncio.get_running_loop().time()
        entry = self._poll_queue.hold(tracked)
        is_disputed, tracked.poll.position.is_disputed = tracked.poll.position.is_disputed, False
        if not is_disputed:
            self._pages.queried(tracked)
            self._intervals.polled(1)
        delay: float | None = 0.0
        try:
            delay = await self._delay_after_look(tracked)
        except Exception:  # noqa: BLE001 - whatever is wrong with one look, the task goes on
            _log.exception("a look at %s failed for a reason that is no fault of the provider", tracked.ref)
            tracked.faults += 1
            delay = self._schedule.after_failure(tracked.faults, self._retry)
        finally:
            if delay is not None and tracked.poll.entry == entry:
                self._schedule_look(tracked, delay)
        if is_disputed and not tracked.ended and tracked.poll.active_at >= asked_at:
            self._pages.mismatch(asked_at)

    async def _delay_after_look(self, tracked: TrackedJob) -> float | None:
        """Look once, and return the seconds until the next look; `None` where there will be none."""
        ref = tracked.ref
        assert ref is not None
        try:
            self._take_in(tracked, await self._exchange.fetch(ref))
        except _WILL_NOT_HEAL as error:
            self._give_up(tracked, error)
            return None
        except TaskNotFoundError as error:
            return self._missed(tracked, error)
        except (RateLimitError, *_FAULTS) as error:
            return self._failed(tracked, error)
        except HappyHorseError as error:
            return self._refused(tracked, error)
        now = asyncio.get_running_loop().time()
        return None if tracked.ended or tracked.gone else self._intervals.after_poll(tracked, now)

    def _failed(self, tracked: TrackedJob, error: HappyHorseError) -> float | None:
        tracked.faults += 1
        if tracked.faults > self._retry.max_retries:
            self._give_up(tracked, error)
            return None
        _log.info("%s: look failed %d times in a row: %s", tracked.ref, tracked.faults, error)
        if isinstance(error, RateLimitError):
            # Everything that the account asks is slowed down already.
            return self._schedule.after_poll(tracked.poll.unchanged)
        return self._schedule.after_failure(tracked.faults, self._retry, getattr(error, "retry_after", None))

    def _missed(self, tracked: TrackedJob, error: TaskNotFoundError) -> float | None:
        tracked.misses += 1
        _log.info("%s: unknown to the provider %d times in a row: %s", tracked.ref, tracked.misses, error)
        if tracked.misses < self._schedule.not_found_retries:
            return self._schedule.after_not_found(tracked.misses)
        self._expire(tracked)
        return None

    def _refused(self, tracked: TrackedJob, error: HappyHorseError) -> float | None:
        tracked.refusals += 1
        if tracked.refusals < self._schedule.not_found_retries and tracked.refusals <= self._retry.max_retries:
            return self._schedule.after_failure(tracked.refusals, self._retry)
        self._give_up(tracked, error)
        return None

    def _give_up(self, tracked: TrackedJob, error: HappyHorseError) -> None:
        self._pages.remove(tracked, asyncio.get_running_loop().time())
        tracked.give_up(error)

    async def _look_at_page(self, page: Page, tracked_jobs: list[TrackedJob]) -> None:
        # Nobody else takes them while the page is on its way.
        held = {self._poll_queue.hold(tracked): tracked for tracked in tracked_jobs}
        try:
            answer = await self._exchange.list_page(page.request)
            self._take_in_page(self._pages.read(page, answer, self._known.get))
        except HappyHorseError as error:
            self._pages.failed(error, page.requested_at)
            wish: float = getattr(error, "retry_after", None) or 0.0
            self._pages.pause_until(asyncio.get_running_loop().time() + wish)
        except Exception:  # noqa: BLE001 - whatever is wrong with the list, the tasks go on
            _log.exception("a look at the task list failed for a reason that is no fault of the provider")
            self._pages.open_circuit("it cannot be read", page.requested_at)
        finally:
            for entry, tracked in held.items():
                if tracked.poll.entry == entry:
                    self._pages.missing(tracked)
                    self._schedule_look(tracked, 0.0)

    def _take_in_page(self, found: list[tuple[TrackedJob, Task]]) -> None:
        now = asyncio.get_running_loop().time()
        due = [
            tracked
            for tracked, _ in found
            if tracked.poll.due == math.inf or self._intervals.is_nearly_due(tracked, now)
        ]
        self._intervals.polled(len(due))
        worthwhile = set(due)
        for tracked, row in found:
            # An end is news at any time, unless a query that has just failed is to tell how.
            is_news = row.status.is_terminal and not (tracked.faults or tracked.misses or tracked.refusals)
            if tracked in worthwhile or is_news:
                self._take_in_row(tracked, row, now)

    def _take_in_row(self, tracked: TrackedJob, row: Task, now: float) -> None:
        is_whole = self._has_whole_list and row.status is TaskStatus.SUCCEEDED and row.videos
        if row.status.is_terminal and not is_whole:
            # The list tells that it has ended, and a query how.
            if not tracked.poll.position.is_disputed:
                tracked.poll.position.is_disputed = True
                self._schedule_look(tracked, 0.0, before_others=True)
            return
        self._take_in(tracked, row if self._has_whole_list else _updated(tracked.task, row))
        if not tracked.ended:
            self._schedule_look(tracked, self._intervals.after_poll(tracked, now))

    def _expire(self, tracked: TrackedJob) -> None:
        assert tracked.ref is not None
        last = tracked.task or Task(ref=tracked.ref, status=TaskStatus.EXPIRED)
        self._record(tracked, evolve(last, status=TaskStatus.EXPIRED, observed_at=datetime.now(UTC)))
        self._leave(tracked)

    def _leave(self, tracked: TrackedJob) -> None:
        tracked.poll.entry = 0
        self._pages.remove(tracked, asyncio.get_running_loop().time())
        tracked.wake()

    async def aclose(self) -> None:
        """Stop looking. Whoever still waits is told, and told the ref."""
        try:
            await self._workers.aclose()
        finally:
            # Two watches may be on one task, of which only the later is known by its ref.
            tracked_jobs = [*self._known.values(), *self._poll_queue.clear()]
            # A query from elsewhere that is still on its way has nobody to tell.
            self._known.clear()
            await for_each_yielding(tracked_jobs, _part_with)


def _part_with(tracked: TrackedJob) -> None:
    if tracked.poll.entry:
        tracked.give_up(WaitTimeoutError("the client was closed while the task was going on", task=tracked.whole_task))


def _expected_usage(tracked: TrackedJob) -> ExpectedUsage:
    return expected_usage(tracked.job.request if tracked.job else None)


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
