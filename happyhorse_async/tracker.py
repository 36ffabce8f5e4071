"""The registry of the live jobs of one client."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime
from weakref import WeakValueDictionary

from . import telemetry
from .job import Job
from .task import TaskRef, TaskStatus
from .tracked_job import TrackedJob

_MOST_EARLY = 1000


class Tracker:
    """
    The registry of the live jobs of one client: by job id until a job is accepted, by ref afterwards.

    An accepted job is held by the poll queue and by its handles; here it is only found.
    """

    def __init__(self) -> None:
        self._polled: WeakValueDictionary[str, TrackedJob] = WeakValueDictionary()
        self._siblings: set[Tracker] = set()
        self._unaccepted: dict[str, TrackedJob] = {}
        self._by_ref: WeakValueDictionary[TaskRef, TrackedJob] = WeakValueDictionary()
        self._early: OrderedDict[TaskRef, None] = OrderedDict()

    def add(self, tracked: TrackedJob) -> None:
        """Track a job that waits to be sent."""
        self._unaccepted[tracked.job_id] = tracked

    def by_id(self, job_id: str) -> TrackedJob | None:
        """Return a job that is queued or being sent here."""
        return self._unaccepted.get(job_id)

    def open(self, store: object) -> None:
        """Register with the other clients of this process that use the same store. They own each other's jobs."""
        self._siblings = _SIBLINGS.setdefault(id(store), set())
        self._siblings.add(self)

    def close(self, store: object) -> None:
        """Stop being a sibling of other clients."""
        self._siblings.discard(self)
        if not self._siblings:
            _SIBLINGS.pop(id(store), None)

    @property
    def has_siblings(self) -> bool:
        """Whether other clients of this process use the same store."""
        return len(self._siblings) > 1

    def has_sibling_with(self, job_id: str) -> bool:
        """Return whether another client of this process polls a job."""
        return self.has_siblings and any(each is not self and each.polls(job_id) for each in list(self._siblings))

    def polls(self, job_id: str) -> bool:
        """Return whether a job is polled here."""
        tracked = self._polled.get(job_id)
        return tracked is not None and tracked.is_polled

    def begin_polling(self, tracked: TrackedJob) -> None:
        """Note that a job is polled here."""
        self._polled[tracked.job_id] = tracked

    def end_polling(self, tracked: TrackedJob) -> None:
        """Note that a job is no longer polled here."""
        self._polled.pop(tracked.job_id, None)

    def anywhere(self, job_id: str) -> TrackedJob | None:
        """Return a job that is queued, sent or polled here."""
        return self._unaccepted.get(job_id) or self._polled.get(job_id)

    def by_ref(self, ref: TaskRef) -> TrackedJob | None:
        """Return the job of a task, if this client works on it or waits for it."""
        return self._by_ref.get(ref)

    def submitted_at(self, ref: TaskRef) -> datetime | None:
        """Return when the request of a task was sent, if that is known here."""
        tracked = self.by_ref(ref)
        return tracked.job.submitted_at if tracked else None

    def span_of(self, ref: TaskRef, job_id: str | None = None) -> telemetry.JobSpan | None:
        """Return the span of a job, if it is known here and traces are recorded."""
        tracked = self.by_ref(ref) or self.by_id(job_id or "")
        return None if tracked is None else tracked.span

    def for_job(self, job: Job) -> TrackedJob:
        """Return the one tracked job of a store entry whose task is known."""
        assert job.ref is not None
        tracked = self.usable(job.ref)
        if tracked is None:
            tracked = self._by_ref[job.ref] = TrackedJob(job)
            tracked.load(job)
        elif not tracked.is_recorded:
            tracked.load(job)
        return tracked

    def for_ref(self, ref: TaskRef, unrecorded: Job) -> TrackedJob:
        """Return the one tracked job of a task whose store entry has not been read yet."""
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
        """Track a job also by its ref, which has just become known."""
        assert tracked.ref is not None
        self._by_ref[tracked.ref] = tracked

    def accepted(self, tracked: TrackedJob) -> None:
        """Track a job by its ref alone from now on."""
        self.forget(tracked)
        self.name(tracked)

    def note_early_callback(self, ref: TaskRef) -> None:
        """Remember a webhook about a task that is not known here, or not yet."""
        self._early[ref] = None
        if len(self._early) > _MOST_EARLY:
            self._early.popitem(last=False)

    def take_early_callback(self, ref: TaskRef) -> bool:
        """Return whether a webhook about a task arrived before the task was known, so that it should be polled now."""
        return self._early.pop(ref, self) is None

    def restore(self, tracked: TrackedJob) -> None:
        """Track the job of a handle that was made before the client was closed and opened again."""
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


_SIBLINGS: dict[int, set[Tracker]] = {}
"""The registries of open clients, by the identity of the store that they share."""
