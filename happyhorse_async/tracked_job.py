"""A live job as one client knows it: its entry, its submit, its polls, and who waits for it."""

from __future__ import annotations

import asyncio
import marshal
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from sys import intern
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakSet

from attrs import evolve

from . import telemetry
from .billing import ExpectedUsage
from .errors import HappyHorseError
from .job import Job
from .ratelimit import Permit
from .task import Task, TaskRef, TaskStatus

if TYPE_CHECKING:
    from .jobs.attempt import SubmitAttempt
    from .polling.estimator import DurationModel

_QUEUE_SIZE = 100
_NO_RAW: Mapping[str, Any] = {}
_PACKED_NO_RAW = marshal.dumps({})


class TrackedJob:
    """
    What a client knows of one job and its task. All handles of the job share it.

    :param job: the journal's entry, or, for a task that the journal does not know, one that is made up.
    :param is_recorded: whether the journal has the job. Only then are changes of it written.
    """

    __slots__ = (
        "__weakref__",
        "_observers",
        "_raw",
        "_subscriptions",
        "_waiters",
        "attempt",
        "gone",
        "is_recorded",
        "job",
        "permit",
        "poll",
        "span",
        "task",
    )

    def __init__(self, job: Job, *, is_recorded: bool = True) -> None:
        self.job = job
        """The entry as it is here and now, which the store has or is about to have. Changed by `jobs.journal`."""
        self.is_recorded = is_recorded
        self.attempt: SubmitAttempt | None = None
        """The submit, while the job is queued or being sent. Changed by `jobs.submit`."""
        self.poll = PollState()
        """The polls of the task. Changed by `polling`."""
        self.permit: Permit | None = None
        """Counts the task among those that the provider runs or queues, where these are limited."""
        self.span: telemetry.JobSpan | None = None
        """The span of the job, if traces are recorded."""
        self.gone: HappyHorseError | None = None
        """Why waiting has ended although the task has not, or why there is no task."""
        self.task: Task | None = job.task
        """The last observation, without the provider's object; `None` until there is one."""
        self._raw: bytes | Mapping[str, Any] = _PACKED_NO_RAW
        # Nearly every job has one waiter, for which a list would need twice the memory.
        self._waiters: tuple[asyncio.Future[None], ...] = ()
        self._observers: tuple[asyncio.Future[None], ...] = ()
        self._subscriptions: WeakSet[Subscription] | None = None

    @property
    def job_id(self) -> str:
        """Our own id of the job."""
        return self.job.job_id

    @property
    def ref(self) -> TaskRef | None:
        """The ref of the task, once the job was accepted."""
        return self.job.ref

    @property
    def whole_task(self) -> Task | None:
        """The last observation, with the provider's object as it was last seen."""
        task = self.task
        if task is not None and not task.raw and self._raw is not _PACKED_NO_RAW:
            # What is packed is our own data, which never left memory.
            raw = marshal.loads(self._raw) if isinstance(self._raw, bytes) else self._raw  # noqa: S302
            task = evolve(task, raw=raw)
            if task.status.is_terminal:
                self.task = task
        return task

    @property
    def ended(self) -> bool:
        """Whether the task has ended."""
        return self.task is not None and self.task.status.is_terminal

    @property
    def is_polled(self) -> bool:
        """Whether the task is being polled."""
        return self.poll.entry > 0

    def load(self, job: Job) -> None:
        """
        Take over what the store knows of the job.

        A success whose URLs have died needs another poll, and so does a task that had expired: it may have reappeared.
        """
        last, task = self.task, job.task
        is_empty = task is not None and task.status is TaskStatus.SUCCEEDED and not task.videos
        is_stale = is_empty or (task is not None and task.status is TaskStatus.EXPIRED)
        self.job, self.is_recorded, self.task = job, True, None if is_stale else task
        self._publish(last)

    def record(self, job: Job) -> None:
        """Replace the entry. If it comes with an observation, that is the last one."""
        last = self.task
        if job.task is not self.job.task:
            self.task = job.task
        self.job = job
        self._publish(last)

    def observe(self, task: Task) -> bool:
        """Make *task* the last observation, and return whether it says anything new."""
        last, self.task = self.task, self.without_raw(task)
        return self._publish(last)

    def _publish(self, last: Task | None) -> bool:
        task = self.task
        if task is None or task is last or (last is not None and _says_the_same(task, last)):
            return False
        if self._subscriptions:
            task = self.whole_task or task
            for subscription in list(self._subscriptions):
                subscription.put(task)
        return True

    def without_raw(self, task: Task) -> Task:
        """Keep the provider's object for `whole_task`, and return *task* without it, and with the model of the job."""
        if not task.raw:
            return self.job.with_model(task)
        try:
            # As objects, a small response takes a kilobyte, which the garbage collector has to traverse all the time.
            self._raw = marshal.dumps(cast("Any", task.raw))
        except ValueError:
            # The adapter has put values into it that JSON does not have.
            self._raw = task.raw
        last, model = self.task, task.model or self.job.model
        # What many observations have in common is held in memory once. `evolve` would take three times as long.
        return Task(
            ref=task.ref if last is None or last.ref != task.ref else last.ref,
            status=task.status,
            raw_status=None if task.raw_status is None else intern(str(task.raw_status)),
            progress=task.progress,
            videos=task.videos,
            error=task.error,
            usage=task.usage,
            model=intern(str(model)) if model else task.model,
            created_at=task.created_at,
            started_at=task.started_at,
            finished_at=task.finished_at,
            observed_at=task.observed_at,
            request_id=task.request_id,
            raw=_NO_RAW,
        )

    def give_up(self, error: HappyHorseError) -> None:
        """Tell everyone who waits that nothing more will come, and why."""
        self.gone = error.about(ref=self.ref, job_id=self.job_id)
        self.poll.entry = 0
        self.wake()

    def wake(self) -> None:
        """Wake everyone who waits: the job was accepted, the task has ended, or nothing more will come."""
        if self.ended or self.gone is not None:
            self.release_permit()
            telemetry.end(self.span, self.task, self.gone)
        woken = (*self._waiters, *self._observers)
        self._waiters = self._observers = ()
        for waiter in woken:
            if not waiter.done():
                waiter.set_result(None)
        for subscription in list(self._subscriptions or ()):
            subscription.wake()

    def release_permit(self) -> None:
        """Stop counting the task among those of the provider: it has ended, or it is not polled any more."""
        permit, self.permit = self.permit, None
        if permit is not None:
            permit.release()

    def check(self) -> None:
        """
        Make sure that more will come.

        :raises HappyHorseError: nothing more will come. Each waiter gets an exception of its own.
        """
        if self.gone is not None:
            raise copy(self.gone) from self.gone.__cause__

    def changed(self) -> asyncio.Future[None]:
        """Return a future that is done when `wake` is called; raises what `check` raises."""
        self.check()
        waiter = asyncio.get_running_loop().create_future()
        self._waiters = (*_pending(self._waiters), waiter)
        return waiter

    @property
    def has_waiters(self) -> bool:
        """Whether anyone waits. Those in `stopped` do not count: nothing is sent for them alone."""
        return bool(self._subscriptions) or any(_pending(self._waiters))

    async def accepted(self) -> None:
        """
        Wait until the provider has accepted the job.

        :raises HappyHorseError: it will not.
        """
        while self.ref is None:
            await self.changed()

    async def stopped(self) -> None:
        """
        Wait until the task has ended, without counting as someone who waits.

        :raises HappyHorseError: nothing more will come.
        """
        while not self.ended:
            self.check()
            observer = asyncio.get_running_loop().create_future()
            self._observers = (*_pending(self._observers), observer)
            await observer

    def subscribe(self) -> Subscription:
        """Return a queue of all changes from now on, which begins with the last observation."""
        subscription, last = Subscription(), self.whole_task
        if last is not None:
            subscription.put(last)
        if self._subscriptions is None:
            self._subscriptions = WeakSet()
        self._subscriptions.add(subscription)
        return subscription


class Subscription:
    """
    The changes of one task that its consumer has not taken yet.

    A consumer that falls far behind misses the oldest changes, never the last one, and never delays anyone else.
    """

    def __init__(self) -> None:
        self._tasks: deque[Task] = deque(maxlen=_QUEUE_SIZE)
        self._changed = asyncio.Event()

    def put(self, task: Task) -> None:
        """Add a change."""
        self._tasks.append(task)
        self._changed.set()

    def wake(self) -> None:
        """Let the consumer check whether more will come."""
        self._changed.set()

    def take(self) -> Task | None:
        """Take the oldest change; `None` if there is none yet."""
        return self._tasks.popleft() if self._tasks else None

    async def wait(self) -> None:
        """Wait until there may be a change. Cancelling this loses nothing."""
        self._changed.clear()
        await self._changed.wait()


class PollState:
    """The polls of one task. Times are the event loop's, in seconds."""

    __slots__ = (
        "active_at",
        "due",
        "empty_successes",
        "entry",
        "expected",
        "failures",
        "is_taken_over",
        "list_polls",
        "model",
        "position",
        "queued_for",
        "submitted_at",
        "unchanged",
    )

    def __init__(self) -> None:
        self.entry = 0
        """The number of its valid entry in the poll queue; 0 while it is not polled."""
        self.due = 0.0
        """When it is polled next."""
        self.submitted_at = 0.0
        """When the task's lifetime began."""
        self.active_at = 0.0
        """When the provider last showed that the task had not ended; 0 if it has not yet."""
        self.queued_for = 0.0
        """Seconds after its submit at which it was still queued at the provider."""
        self.model: DurationModel | None = None
        """What was learned of the duration of tasks like it."""
        self.expected: ExpectedUsage | None = None
        """What the request asked for of everything that is billed. Kept because the job may forget its request."""
        self.unchanged = 0
        """How many polls in a row brought no change."""
        self.empty_successes = 0
        """How many polls showed a success without a video."""
        self.failures: PollFailures | None = None
        """The polls that have failed since the last one that succeeded."""
        self.is_taken_over = False
        """Whether another process has polled it so far."""
        self.list_polls = 0
        """How many polls in a row were made by the provider's list."""
        self.position = ListPosition()
        """Where the provider's list should show it."""

    def failing(self) -> PollFailures:
        """Return the counts of failed polls, to be increased."""
        if self.failures is None:
            self.failures = PollFailures()
        return self.failures


class PollFailures:
    """Polls of one task that have failed in a row, by the kind of failure."""

    __slots__ = ("faults", "not_found", "refusals")

    def __init__(self) -> None:
        self.faults = 0
        """No answer, or none that says anything of the task."""
        self.not_found = 0
        """The provider does not know the task."""
        self.refusals = 0
        """The provider refused the request."""


class ListPosition:
    """Where the provider's list should show one task."""

    __slots__ = ("is_disputed", "missing", "number", "others_before")

    def __init__(self) -> None:
        self.number = 0
        """Its number in the order in which this client's tasks were accepted."""
        self.others_before = 0
        """How many tasks of others the account had accepted before it, as far as list pages have shown."""
        self.missing = 0
        """How many pages in a row did not show it where it should have been."""
        self.is_disputed = False
        """Whether the list shows its end, and a query is to confirm it."""


def _pending(futures: Iterable[asyncio.Future[None]]) -> Iterator[asyncio.Future[None]]:
    # A waiter that was cancelled leaves its future behind.
    return (future for future in futures if not future.done())


def _says_the_same(task: Task, last: Task) -> bool:
    return (
        task.status == last.status
        and task.raw_status == last.raw_status
        and task.progress == last.progress
        and task.videos == last.videos
        and task.error == last.error
    )
