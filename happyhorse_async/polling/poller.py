"""
The shared poller: one for each account of a client, however many tasks are in flight.

A waiting task costs an entry in a heap of due times, and no coroutine, timer or connection. Every observation of a
task, by a query, the provider's list or a callback, goes through `Poller.observe`. A poll that fails never fails the
task: it is repeated until the task's lifetime is over. Only errors that no repetition can cure end the waiting, and
even then the task goes on and can be resumed by its ref.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from attrs import evolve

from .. import telemetry
from ..background import Background, for_each_yielding
from ..billing import expected_usage
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
from ..logs import POLL_FAILED, get_logger, log_fields
from ..redaction import redact_text
from ..retry import RetryPolicies, RetryPolicy
from ..task import FailureReason, Task, TaskRef, TaskStatus
from ..timing import PollSchedule
from ..tracked_job import TrackedJob
from ..tracker import Tracker
from .intervals import PollIntervals
from .list_index import ListIndex, Page, updated
from .poll_queue import PollQueue

_log = get_logger(__name__)

_EMPTY_SUCCESSES = 3
_LONGEST_WORD = 80
_MOST_WORDS = 20

_PERMANENT = (AuthenticationError, PermissionDeniedError, QuotaExceededError)


class Poller:
    """
    Polls the tasks of one account until each has ended.

    :param tracker: the live jobs of the client.
    :param on_change: called when an observation says anything new.
    :param on_leave: called with each task that is still polled when this is closed.
    """

    def __init__(
        self,
        exchange: Exchange,
        schedule: PollSchedule,
        tracker: Tracker,
        on_change: Callable[[TrackedJob], object] = lambda _: None,
        on_leave: Callable[[TrackedJob], object] = lambda _: None,
        retry: RetryPolicy = RetryPolicies().poll,  # noqa: B008 - immutable
    ) -> None:
        adapter = exchange.adapter
        self._intervals = PollIntervals(schedule, adapter.poll)
        self.estimator = self._intervals.estimator
        """What was learned of the duration of tasks."""
        self._exchange = exchange
        self._tracker = tracker
        self._on_change = on_change
        self._on_leave = on_leave
        self._retry = retry
        self._schedule = self._intervals.schedule
        self._list = ListIndex(is_usable=adapter.capabilities.list_is_live, interval=self._schedule.interval or 15.0)
        self._queue = PollQueue()
        self._polls = Background()
        self._unknown_words: set[str] = set()

    @property
    def in_flight(self) -> int:
        """How many tasks are polled."""
        return len(self._list)

    def accepted(self, tracked: TrackedJob, task: Task, *, at_once: bool = False) -> None:
        """
        Begin to poll the task of a job that was just accepted.

        :param task: what was recorded with the acceptance.
        """
        self._tracker.accepted(tracked)
        if tracked.ended:
            self._check_bill(tracked, task)
        else:
            # Its lifetime begins now, whatever the clocks of the provider and of this machine say.
            tracked.poll.active_at = self._begin(tracked)
            self._schedule_poll(tracked, 0.0 if at_once else self._intervals.after_submit(tracked))
        tracked.wake()

    def prepare(self, tracked: TrackedJob) -> None:
        """Note what polling needs of a job's request. The request is erased as soon as the acceptance is recorded."""
        poll = tracked.poll
        poll.model = poll.model or self._intervals.model(tracked.job)
        poll.expected = poll.expected or expected_usage(tracked.job.request)

    def ensure(self, tracked: TrackedJob, age: float | None = None) -> None:
        """
        Make sure that a task is polled unless it has ended.

        :param age: seconds since its submit, by this machine's clock, if known.
        """
        if tracked.ref is None or tracked.ended:
            return
        if not tracked.is_polled:
            self._restore(tracked, age)
            self._schedule_poll(tracked, 0.0)
        elif tracked.poll.is_taken_over and tracked.poll.due < math.inf:
            # It was taken over, and has not been polled here yet.
            tracked.poll.is_taken_over = False
            self._schedule_poll(tracked, 0.0)

    def take_over(self, tracked: TrackedJob, age: float) -> None:
        """
        Poll a task that another process has polled so far, unless it has ended.

        :param age: seconds since its submit, by this machine's clock.
        """
        if tracked.ref is None or tracked.is_polled or tracked.ended:
            return
        now = self._restore(tracked, age)
        # Many may be taken over at once. Nothing is known of when they were polled last.
        delay = 0.0 if tracked.has_waiters else random.random() * self._intervals.after_poll(tracked, now)
        tracked.poll.is_taken_over = True
        self._schedule_poll(tracked, delay)

    def _restore(self, tracked: TrackedJob, age: float | None) -> float:
        """Prepare to poll a task that was submitted earlier, and return the time."""
        self._tracker.restore(tracked)
        now = self._begin(tracked)
        # Without an observation, the first one will say how old it is.
        if age is not None and (tracked.task is not None or age > self._exchange.adapter.task_ttl):
            tracked.poll.submitted_at = now - age
        return now

    async def fetch(self, ref: TaskRef) -> Task:
        """
        Poll a task once, now.

        :raises TaskNotFoundError: the provider does not know it.
        """
        async with self._exchange.query_slot():
            task = await self._exchange.fetch(ref)
        self.observe(task)
        tracked = self._tracker.by_ref(ref)
        return task if tracked is None else tracked.job.with_model(task)

    def observe(self, task: Task) -> None:
        """Take in one observation, wherever it comes from. The first end of a task stays its end."""
        tracked = self._tracker.by_ref(task.ref)
        if tracked is not None:
            self._take_in(tracked, task)

    def _take_in(self, tracked: TrackedJob, task: Task) -> None:
        if tracked.ended:
            return
        poll = tracked.poll
        poll.failures = None
        has_no_output = task.error is not None and task.error.reason is FailureReason.NO_OUTPUT
        if has_no_output and poll.empty_successes < _EMPTY_SUCCESSES:
            # Some providers report success a moment before the URL is there.
            poll.empty_successes += 1
            return
        if tracked.task is None and task.created_at is not None:
            self._learn_age(tracked, task.created_at)
        has_ended = task.status.is_terminal
        if tracked.is_polled:
            learn = self._intervals.observed_end if has_ended else self._intervals.observed_active
            learn(tracked, task, asyncio.get_running_loop().time())
        self._record(tracked, task)
        if has_ended:
            self._check_bill(tracked, task)
            self._stop(tracked)

    def _record(self, tracked: TrackedJob, task: Task) -> None:
        if task.status is TaskStatus.UNKNOWN:
            self._warn_of_unknown_status(task)
        is_new = tracked.observe(task)
        tracked.poll.unchanged = 0 if is_new else tracked.poll.unchanged + 1
        if is_new:
            self._on_change(tracked)

    def _warn_of_unknown_status(self, task: Task) -> None:
        word = redact_text(task.raw_status or "", self._exchange.account.api_key)[:_LONGEST_WORD]
        if word not in self._unknown_words and len(self._unknown_words) < _MOST_WORDS:
            self._unknown_words.add(word)
            _log.warning("%s: unknown task status %r", task.ref, word, extra=log_fields(task.ref))

    def _check_bill(self, tracked: TrackedJob, task: Task) -> None:
        expected = tracked.poll.expected or expected_usage(tracked.job.request)
        differences = expected.differences(task.usage) if task.usage else []
        if differences:
            message = "%s: the bill differs from the request: %s"
            _log.warning(message, task.ref, ", ".join(differences), extra=log_fields(tracked.job))

    def _learn_age(self, tracked: TrackedJob, created_at: datetime) -> None:
        age = (datetime.now(UTC) - created_at).total_seconds()
        # The provider's clock or ours may be wrong by hours.
        tracked.poll.submitted_at -= min(max(age, 0.0), self._exchange.adapter.task_ttl)

    def _deadline(self, tracked: TrackedJob) -> float:
        """
        Return when the lifetime of a task is over, if it is not seen until then.

        An answer of the provider outweighs our clock: a task that it shows as active does not expire by its age.
        """
        return max(tracked.poll.submitted_at, tracked.poll.active_at or -math.inf) + self._exchange.adapter.task_ttl

    def _begin(self, tracked: TrackedJob) -> float:
        """Prepare to poll a task, and return the time."""
        now = asyncio.get_running_loop().time()
        tracked.gone = None
        tracked.span = telemetry.begin(tracked.job, tracked.span)
        tracked.poll.submitted_at = now
        self.prepare(tracked)
        self._list.add(tracked)
        self._tracker.begin_polling(tracked)
        if not self._polls:
            self._polls.spawn(self._start_polls())
        return now

    def _schedule_poll(self, tracked: TrackedJob, delay: float, *, before_others: bool = False) -> None:
        now, deadline = asyncio.get_running_loop().time(), self._deadline(tracked)
        due = min(now + delay, deadline) if deadline > now else now + delay
        self._queue.put(tracked, due, before_others=before_others)

    async def _start_polls(self) -> None:
        loop, slot = asyncio.get_running_loop(), self._exchange.query_slot()
        while True:
            await self._queue.until_due()
            await slot.acquire()
            now = loop.time()
            tracked = self._queue.next(now)
            if tracked is None:
                slot.release()
            else:
                self._polls.spawn(self._poll(tracked, now)).add_done_callback(lambda _: slot.release())

    def _poll(self, tracked: TrackedJob, now: float) -> Coroutine[Any, Any, None]:
        """Return the request that polls a task. What it polls leaves the queue: no other request polls that."""
        self._intervals.started(tracked, now)
        uses_list = self._list.is_usable and self._list.is_worthwhile(self._list)
        page = self._list.page_for(tracked, now) if uses_list else None
        if page is not None:
            on_page = [each for each in self._list.expected_on(page) if self._intervals.is_nearly_due(each, now)]
            # What has left the queue must be polled by this very request.
            if tracked in on_page and self._list.is_worthwhile(on_page):
                return self._poll_page(page, {self._queue.hold(each): each for each in on_page})
        return self._poll_one(tracked, self._queue.hold(tracked), now)

    async def _poll_one(self, tracked: TrackedJob, entry: int, asked_at: float) -> None:
        position = tracked.poll.position
        tracked.poll.is_taken_over = False
        is_disputed, position.is_disputed = position.is_disputed, False
        if not is_disputed:
            self._list.queried(tracked)
            self._intervals.polled(1)
        delay: float | None = 0.0
        try:
            assert tracked.ref is not None
            request = self._exchange.fetch(tracked.ref)
            task = await (request if tracked.span is None else telemetry.poll(tracked.span, request))
            self._take_in(tracked, task)
            now = asyncio.get_running_loop().time()
            delay = None if tracked.ended or tracked.gone else self._intervals.after_poll(tracked, now)
        except HappyHorseError as error:
            delay = self._after_error(tracked, error)
        except Exception:  # noqa: BLE001 - the task goes on, whatever is wrong with one poll
            message = "polling %s failed with an unexpected error"
            _log.exception(message, tracked.ref, extra=log_fields(tracked.job))
            failures = tracked.poll.failing()
            failures.faults += 1
            delay = self._schedule.after_failure(failures.faults, self._retry)
        finally:
            if delay is not None and tracked.poll.entry == entry:
                self._schedule_poll(tracked, delay)
        if is_disputed and not tracked.ended and tracked.poll.active_at >= asked_at:
            self._list.mismatch(asked_at)

    def _after_error(self, tracked: TrackedJob, error: HappyHorseError) -> float | None:
        """Return the seconds until the next poll after one that ended in *error*; `None` if there will be none."""
        if isinstance(error, _PERMANENT):
            self._give_up(tracked, error)
            return None
        if isinstance(error, TaskNotFoundError):
            return self._not_found(tracked, error)
        if isinstance(error, RateLimitError | TransportError | ProviderError | InvalidResponseError):
            return self._failed(tracked, error)
        return self._refused(tracked, error)

    def _failed(self, tracked: TrackedJob, error: HappyHorseError) -> float | None:
        failures = tracked.poll.failing()
        failures.faults += 1
        if failures.faults > self._retry.max_retries:
            self._give_up(tracked, error)
            return None
        fields = log_fields(tracked.job, event=POLL_FAILED, reason=error)
        _log.info("%s: poll failed %d times in a row: %s", tracked.ref, failures.faults, error, extra=fields)
        # An age by the clocks of two machines may be wrong: such a task gets as many polls as one that is not found.
        has_been_tried = tracked.poll.active_at or failures.faults >= self._schedule.not_found_retries
        if has_been_tried and self._is_too_old(tracked):
            self._expire(tracked)
            return None
        if isinstance(error, RateLimitError):
            # The rate limiter slows down all requests of the account already.
            return self._schedule.after_poll(tracked.poll.unchanged)
        return self._schedule.after_failure(failures.faults, self._retry, getattr(error, "retry_after", None))

    def _not_found(self, tracked: TrackedJob, error: TaskNotFoundError) -> float | None:
        failures = tracked.poll.failing()
        failures.not_found += 1
        message = "%s: unknown to the provider %d times in a row: %s"
        _log.info(message, tracked.ref, failures.not_found, error, extra=log_fields(tracked.job, reason=error))
        if failures.not_found < self._schedule.not_found_retries and not self._is_too_old(tracked):
            return self._schedule.after_not_found(failures.not_found)
        self._expire(tracked)
        return None

    def _is_too_old(self, tracked: TrackedJob) -> bool:
        return self._deadline(tracked) <= asyncio.get_running_loop().time()

    def _refused(self, tracked: TrackedJob, error: HappyHorseError) -> float | None:
        failures = tracked.poll.failing()
        failures.refusals += 1
        if failures.refusals < self._schedule.not_found_retries and failures.refusals <= self._retry.max_retries:
            return self._schedule.after_failure(failures.refusals, self._retry)
        self._give_up(tracked, error)
        return None

    def _give_up(self, tracked: TrackedJob, error: HappyHorseError) -> None:
        self._list.remove(tracked, asyncio.get_running_loop().time())
        tracked.give_up(error)

    async def _poll_page(self, page: Page, held: dict[int, TrackedJob]) -> None:
        try:
            answer = await telemetry.poll_list(self._exchange.endpoint, self._exchange.list_page(page.request))
            self._take_in_page(self._list.read(page, answer, self._tracker.by_ref))
        except HappyHorseError as error:
            self._list.failed(error, page.requested_at)
            retry_after: float = getattr(error, "retry_after", None) or 0.0
            self._list.pause_until(asyncio.get_running_loop().time() + retry_after)
        except Exception:  # noqa: BLE001 - the tasks go on, whatever is wrong with the list
            _log.exception("polling the task list failed with an unexpected error")
            self._list.open_circuit("it cannot be read", page.requested_at)
        finally:
            for entry, tracked in held.items():
                if tracked.poll.entry == entry:
                    self._list.missing(tracked)
                    self._schedule_poll(tracked, 0.0)

    def _take_in_page(self, found: list[tuple[TrackedJob, Task]]) -> None:
        now = asyncio.get_running_loop().time()
        due = {
            tracked
            for tracked, _ in found
            if tracked.poll.due == math.inf or self._intervals.is_nearly_due(tracked, now)
        }
        self._intervals.polled(len(due))
        for tracked, row in found:
            # An end is news at any time, unless a query that has just failed is to tell how it ended.
            if tracked in due or (row.status.is_terminal and tracked.poll.failures is None):
                self._take_in_row(tracked, row, now)

    def _take_in_row(self, tracked: TrackedJob, row: Task, now: float) -> None:
        has_whole_list = self._exchange.adapter.capabilities.list_has_results
        is_whole = has_whole_list and row.status is TaskStatus.SUCCEEDED and row.videos
        if row.status.is_terminal and not is_whole:
            # The list shows that the task has ended; a query shows how.
            if not tracked.poll.position.is_disputed:
                tracked.poll.position.is_disputed = True
                self._schedule_poll(tracked, 0.0, before_others=True)
            return
        self._take_in(tracked, row if has_whole_list else updated(tracked.task, row))
        if not tracked.ended:
            self._schedule_poll(tracked, self._intervals.after_poll(tracked, now))

    def _expire(self, tracked: TrackedJob) -> None:
        assert tracked.ref is not None
        last = tracked.task or Task(ref=tracked.ref, status=TaskStatus.EXPIRED)
        self._record(tracked, evolve(last, status=TaskStatus.EXPIRED, observed_at=datetime.now(UTC)))
        self._stop(tracked)

    def leave(self, tracked: TrackedJob) -> None:
        """Stop polling a task: it has ended, as another process has found out, or is polled by another process."""
        if tracked.is_polled:
            self._stop(tracked)

    def _stop(self, tracked: TrackedJob) -> None:
        tracked.poll.entry = 0
        self._tracker.end_polling(tracked)
        self._list.remove(tracked, asyncio.get_running_loop().time())
        tracked.wake()

    async def aclose(self) -> None:
        """Stop polling. Everyone who still waits gets an error with the ref."""
        try:
            await self._polls.aclose()
        finally:
            # The queue may hold two jobs of one task, of which only the later is found by its ref.
            await for_each_yielding([*self._tracker.clear(), *self._queue.clear()], self._close)

    def _close(self, tracked: TrackedJob) -> None:
        if tracked.is_polled:
            self._on_leave(tracked)
            error = WaitTimeoutError("the client was closed while the task was going on", task=tracked.whole_task)
            tracked.give_up(error)
