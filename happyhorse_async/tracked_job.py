"""A live job as one client knows it, and the registry of all of them."""

from __future__ import annotations

import asyncio
import marshal
from collections import OrderedDict
from collections.abc import Mapping
from copy import copy
from sys import intern
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from attrs import evolve

from . import telemetry
from .errors import HappyHorseError
from .job import Job
from .poll_state import PollState
from .ratelimit.concurrency import Permit
from .task import Task, TaskRef, TaskStatus
from .waiters import Subscription, Waiters

if TYPE_CHECKING:
    from .jobs.attempt import SubmitAttempt

_MOST_EARLY = 1000
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
        "_is_stale",
        "_latest",
        "_raw",
        "attempt",
        "gone",
        "is_recorded",
        "job",
        "permit",
        "poll",
        "span",
        "waiters",
    )

    def __init__(self, job: Job, *, is_recorded: bool = True) -> None:
        self.job = job
        """The entry as it is here and now, which the store has or is about to have. Changed by `jobs.journal`."""
        self.is_recorded = is_recorded
        self.attempt: SubmitAttempt | None = None
        """The submit, while the job is queued or being sent. Changed by `jobs.submit`."""
        self.poll = PollState()
        """The polls of the task. Changed by `polling`."""
        self.waiters = Waiters()
        """Who waits for it."""
        self.permit: Permit | None = None
        """Counts the task among those that the provider runs or queues, where these are limited."""
        self.span: telemetry.JobSpan | None = None
        """The span of the job, if traces are recorded."""
        self.gone: HappyHorseError | None = None
        """Why waiting has ended although the task has not, or why there is no task."""
        self._latest: Task | None = None
        self._is_stale = False
        self._raw: bytes | Mapping[str, Any] = _PACKED_NO_RAW

    @property
    def job_id(self) -> str:
        """Our own id of the job."""
        return self.job.job_id

    @property
    def ref(self) -> TaskRef | None:
        """The ref of the task, once the job was accepted."""
        return self.job.ref

    @property
    def task(self) -> Task | None:
        """The last observation, without the provider's object; `None` until there is one."""
        if self._latest is not None:
            return self._latest
        return None if self._is_stale else self.job.task

    @property
    def whole_task(self) -> Task | None:
        """The last observation, with the provider's object as it was last seen."""
        task = self.task
        if task is not None:
            task = self._with_raw(task)
            if task.status.is_terminal:
                self._latest = task
        return task

    def _with_raw(self, task: Task) -> Task:
        return task if task.raw or self._raw is _PACKED_NO_RAW else evolve(task, raw=_unpacked(self._raw))

    @property
    def ended(self) -> bool:
        """Whether the task has ended."""
        return self.task is not None and self.task.status.is_terminal

    @property
    def is_polled(self) -> bool:
        """Whether the task is being polled."""
        return self.poll.entry > 0

    @property
    def has_callback(self) -> bool:
        """Whether the provider was given a callback URL, so that polls only find callbacks that were lost."""
        return self.job.callback_url is not None

    def load(self, job: Job) -> None:
        """
        Take over what the store knows of the job.

        A success whose URLs have died needs another poll, and so does a task that had expired: it may have reappeared.
        """
        before, task = self.task, job.task
        is_empty = task is not None and task.status is TaskStatus.SUCCEEDED and not task.videos
        self._is_stale = is_empty or (task is not None and task.status is TaskStatus.EXPIRED)
        self.job, self.is_recorded, self._latest = job, True, None
        self._publish(before, self.task)

    def record(self, job: Job) -> None:
        """Replace the entry. If it comes with an observation, that is the last one."""
        before = self.task
        if job.task is not self.job.task:
            self._latest, self._is_stale = None, False
        self.job = job
        self._publish(before, self.task)

    def observe(self, task: Task) -> bool:
        """Make *task* the last observation, and return whether it says anything new."""
        last, self._latest = self.task, self.without_raw(task)
        return self._publish(last, task)

    def _publish(self, last: Task | None, task: Task | None) -> bool:
        if task is None or task is last or (last is not None and _content(last) == _content(task)):
            return False
        if self.waiters.has_subscriptions:
            self.waiters.publish(self._with_raw(task))
        return True

    def without_raw(self, task: Task) -> Task:
        """Keep the provider's object for `whole_task`, and return *task* without it."""
        if not task.raw:
            return task
        self._raw = _packed(task.raw)
        ref = self.ref
        # What many observations have in common is held in memory once.
        return evolve(
            task,
            ref=ref if ref is not None and ref == task.ref else task.ref,
            raw_status=_interned(task.raw_status),
            model=_interned(task.model),
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
        self.waiters.wake()

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
        return self.waiters.wait()

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
            await self.waiters.observe()

    def subscribe(self) -> Subscription:
        """Return a queue of the last observation and every change from now on."""
        return self.waiters.subscribe(self.whole_task)


class Tracker:
    """
    The registry of the live jobs of one client: by job id until a job is accepted, by ref afterwards.

    An accepted job is held by the poll queue and by its handles; here it is only found.
    """

    def __init__(self) -> None:
        self._unaccepted: dict[str, TrackedJob] = {}
        self._by_ref: WeakValueDictionary[TaskRef, TrackedJob] = WeakValueDictionary()
        self._early: OrderedDict[TaskRef, None] = OrderedDict()

    def add(self, tracked: TrackedJob) -> None:
        """Track a job that waits to be sent."""
        self._unaccepted[tracked.job_id] = tracked

    def by_id(self, job_id: str) -> TrackedJob | None:
        """Return a job that is queued or being sent here."""
        return self._unaccepted.get(job_id)

    def by_ref(self, ref: TaskRef) -> TrackedJob | None:
        """Return the job of a task, if anything here has to do with it."""
        return self._by_ref.get(ref)

    def span_of(self, ref: TaskRef, job_id: str | None = None) -> telemetry.JobSpan | None:
        """Return the span of a job, if it is known here and traces are recorded."""
        tracked = self.by_ref(ref) or self.by_id(job_id or "")
        return None if tracked is None else tracked.span

    def for_job(self, job: Job) -> TrackedJob:
        """Return the one tracked job of an entry of the store whose task is known."""
        assert job.ref is not None
        tracked = self.usable(job.ref)
        if tracked is None:
            tracked = self._by_ref[job.ref] = TrackedJob(job)
            tracked.load(job)
        elif not tracked.is_recorded:
            tracked.load(job)
        return tracked

    def for_ref(self, ref: TaskRef, unrecorded: Job) -> TrackedJob:
        """Return the one tracked job of a task, of which the store has not been asked yet."""
        tracked = self.usable(ref)
        if tracked is None:
            tracked = self._by_ref[ref] = TrackedJob(unrecorded, is_recorded=False)
        return tracked

    def usable(self, ref: TaskRef) -> TrackedJob | None:
        """Return the job of a task, unless it has expired: such a task may have reappeared, and is polled anew."""
        tracked = self._by_ref.get(ref)
        has_expired = tracked is not None and tracked.task is not None and tracked.task.status is TaskStatus.EXPIRED
        return None if has_expired else tracked

    def name(self, tracked: TrackedJob) -> None:
        """Track a job by its ref too, which was just learned."""
        assert tracked.ref is not None
        self._by_ref[tracked.ref] = tracked

    def accepted(self, tracked: TrackedJob) -> None:
        """Track a job by its ref alone from now on."""
        self.forget(tracked)
        self.name(tracked)

    def note_early_callback(self, ref: TaskRef) -> None:
        """Remember that the provider has called about a task that is not known here, or not yet."""
        self._early[ref] = None
        if len(self._early) > _MOST_EARLY:
            self._early.popitem(last=False)

    def take_early_callback(self, ref: TaskRef) -> bool:
        """Return whether the provider has called about a task before it was known, so that it should be polled now."""
        return self._early.pop(ref, self) is None

    def restore(self, tracked: TrackedJob) -> None:
        """Track the job of a handle from an earlier time when the client was open."""
        if tracked.ref is not None:
            self._by_ref.setdefault(tracked.ref, tracked)

    def forget(self, tracked: TrackedJob) -> None:
        """Stop tracking a job by its id: it was accepted, or has ended."""
        if self._unaccepted.get(tracked.job_id) is tracked:
            del self._unaccepted[tracked.job_id]

    def unaccepted(self) -> list[TrackedJob]:
        """Return the jobs that are queued or being sent."""
        return list(self._unaccepted.values())

    def __len__(self) -> int:
        return len(self._unaccepted)

    def clear(self) -> list[TrackedJob]:
        """Forget all jobs that are tracked by ref, and return them. A late observation reaches none of them."""
        found = list(self._by_ref.values())
        self._by_ref.clear()
        return found


def _interned(word: str | None) -> str | None:
    return None if word is None else intern(str(word))


def _packed(raw: Any) -> bytes | Mapping[str, Any]:
    # As objects, a small response takes a kilobyte, which the garbage collector has to traverse again and again.
    try:
        packed: bytes | Mapping[str, Any] = marshal.dumps(raw)
    except ValueError:
        # The adapter has put values into it that JSON does not have.
        packed = raw
    return packed


def _unpacked(raw: bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    return marshal.loads(raw) if isinstance(raw, bytes) else raw  # noqa: S302 - our own data, which never left memory


def _content(task: Task) -> tuple[object, ...]:
    return task.status, task.raw_status, task.progress, task.videos, task.error
