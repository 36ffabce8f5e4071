"""The journal in memory: complete for as long as its process lives, and lost with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from heapq import nsmallest
from itertools import islice
from uuid import uuid4

from attrs import evolve

from ..budget import Cost, SpendingLimit
from ..errors import StoreError
from ..job import Endpoint, Job, JobState
from ..task import TaskRef
from .contract import Notify, holds_key, is_unfinished
from .memory_ledger import MemoryLedger
from .pacing import Pace
from .retention import KEEP_MEDIA, Dates, Retention, dates, running_time

_KEEP_CLOSED = 86400.0
_NO_DATES = Dates()


class MemoryStore:
    """
    Keeps jobs in memory: a `TaskStore` for a process whose jobs need not survive it.

    Several clients of one process may share it. Times are in seconds; `None` means without limit.

    :param keep_prompts: how long a request is kept after its outcome is known.
    :param keep_closed: how long a job is kept, with its key, after it is finished.
    :param keep_media: bytes of the largest local picture or video that is kept with an enqueued job until it is sent.
    """

    def __init__(
        self,
        *,
        keep_prompts: float | None = 0.0,
        keep_closed: float | None = _KEEP_CLOSED,
        keep_media: int = KEEP_MEDIA,
    ) -> None:
        self.keep_media = keep_media
        self._retention = Retention(prompts=keep_prompts, closed=keep_closed)
        self._owner = uuid4().hex
        self._jobs: dict[str, Job] = {}
        self._dates: dict[str, Dates] = {}
        self._holders: dict[str, str] = {}
        self._released: dict[str, str] = {}
        self._refs: dict[TaskRef, str] = {}
        # By a clock that cannot be set: jobs whose keys are deleted too early would be paid again.
        self._finished: dict[str, timedelta] = {}
        self._notes: dict[str, str] = {}
        self._ledger = MemoryLedger()
        self._unowned: dict[str, None] = {}
        self._subscribers: dict[object, Notify] = {}
        self._paces: dict[str, Pace] = {}

    @property
    def is_shared(self) -> bool:
        """False: there is no other process."""
        return False

    @property
    def owner(self) -> str:
        """The name of this store, which serves as the name of its process."""
        return self._owner

    async def open(self) -> None:
        """Do nothing: memory is always ready."""

    async def aclose(self) -> None:
        """Do nothing: the jobs stay until the store itself is gone."""

    async def add(self, job: Job, *, within: Collection[SpendingLimit] = ()) -> Job:
        """Write a new job; see `TaskStore.add`."""
        now = datetime.now(UTC)
        self._delete_old()
        there = self._holders.get(job.key) if job.key is not None else None
        if there is None and job.job_id not in self._jobs:
            self._write(job, None, now, within)
        return self._read(there or job.job_id, now)

    async def change(
        self,
        job: Job,
        *,
        only_from: Collection[JobState] | None = None,
        only_owner: str | None = None,
        within: Collection[SpendingLimit] = (),
    ) -> Job | None:
        """Write *job* over the entry with its id; see `TaskStore.change`."""
        now = datetime.now(UTC)
        self._delete_old()
        before = self._jobs.get(job.job_id)
        if before is None or only_owner not in (None, before.owner):
            return None
        if only_from is not None and before.state not in only_from:
            return None
        if before.durable and not job.durable:
            job = evolve(job, durable=True)
        job = job.written_over(save_to=before.save_to, saved_to=before.saved_to, owner=before.owner)
        self._write(job, before, now, within)
        return self._read(job.job_id, now)

    async def check_budget(self, job: Job, within: Collection[SpendingLimit]) -> None:
        """Make sure that there is room for a job; see `TaskStore.check_budget`."""
        self._ledger.check(job, within, datetime.now(UTC))

    def spent(self, currency: str, since: str) -> int:
        """Return what was spent in a currency since an hour, in billionths. For plans, which ask no store."""
        return self._ledger.spent(currency, since)

    async def costs(self) -> list[Cost]:
        """Return what the jobs have cost; see `TaskStore.costs`."""
        return self._ledger.costs()

    async def get(self, job_id: str) -> Job | None:
        """Return a job by its id."""
        return self._read(job_id, datetime.now(UTC)) if job_id in self._jobs else None

    async def by_key(self, key: str) -> Job | None:
        """Return the newest job that was added with *key*; see `TaskStore.by_key`."""
        job_id = self._holders.get(key, self._released.get(key))
        return None if job_id is None else await self.get(job_id)

    async def by_ref(self, ref: TaskRef) -> Job | None:
        """Return the job that a task belongs to."""
        job_id = self._refs.get(ref)
        return None if job_id is None else await self.get(job_id)

    async def get_many(self, job_ids: Collection[str]) -> list[Job]:
        """Return those of the given jobs that exist."""
        now = datetime.now(UTC)
        return [self._read(job_id, now) for job_id in job_ids if job_id in self._jobs]

    async def unfinished(self, provider: str, states: Collection[JobState] | None = None) -> list[Job]:
        """Return the jobs of *provider* that are not finished, in the order they were added."""
        now = datetime.now(UTC)
        return [
            self._read(job_id, now)
            for job_id, job in self._jobs.items()
            if job.endpoint.provider == provider
            and job_id not in self._finished
            and (states is None or job.state in states)
        ]

    async def count(self, endpoints: Collection[Endpoint], states: Collection[JobState]) -> Mapping[str, int]:
        """Return how many unfinished jobs are in one of the states; see `TaskStore.count`."""
        return Counter(
            job.model
            for job_id, job in self._jobs.items()
            if job.state in states and job.endpoint in endpoints and job_id not in self._finished
        )

    async def take_over(self, endpoints: Collection[Endpoint], states: Collection[JobState], limit: int) -> list[Job]:
        """Take the jobs that have no living owner; see `TaskStore.take_over`."""
        now = datetime.now(UTC)
        unowned = [self._jobs[job_id] for job_id in self._unowned]
        found = [job for job in unowned if job.state in states and job.endpoint in endpoints]
        taken = nsmallest(limit, found, key=lambda job: job.created_at)
        for job in taken:
            self._write(evolve(job, owner=self._owner), job, now)
        for job in found:
            if job.owner and job.state is JobState.QUEUED and job not in taken:
                self._write(evolve(job, owner=""), job, now)
        return [self._read(job.job_id, now) for job in taken]

    def subscribe(self, notify: Notify) -> Callable[[], None]:
        """Call *notify* when jobs are changed; see `TaskStore.subscribe`."""
        subscriber = object()
        self._subscribers[subscriber] = notify

        def unsubscribe() -> None:
            self._subscribers.pop(subscriber, None)

        return unsubscribe

    async def pace(self, name: str, interval: float) -> float:
        """Take the next permit for a request; see `TaskStore.pace`."""
        now = running_time().total_seconds()
        self._paces[name], wait = self._paces.get(name, Pace(now)).permit(now, interval)
        return wait

    async def hold_back(self, name: str, *, pause: float = 0.0, interval: float = 0.0, lasting: float = 0.0) -> None:
        """Delay the requests of all clients; see `TaskStore.hold_back`."""
        now = running_time().total_seconds()
        pace = self._paces.get(name, Pace(now))
        self._paces[name] = pace.held_back(now, pause=pause, interval=interval, lasting=lasting)

    async def recent(self, limit: int) -> list[Job]:
        """Return the jobs that were added last, the newest first."""
        now = datetime.now(UTC)
        return [self._read(job_id, now) for job_id in islice(reversed(self._jobs), limit)]

    async def get_note(self, name: str) -> str | None:
        """Return the note called *name*."""
        return self._notes.get(name)

    async def put_note(self, name: str, text: str) -> None:
        """Write the note called *name*."""
        self._notes[name] = text

    async def is_alive(self, owner: str) -> bool:
        """Return whether *owner* is this store: there is no other process."""
        return owner == self._owner

    def _write(self, job: Job, before: Job | None, now: datetime, within: Collection[SpendingLimit] = ()) -> None:
        names = self._names_for_key(job, before)
        self._ledger.write(job, within, now)
        if before is not None:
            self._remove_names(before)
        job = self._dated(job, now)
        # A dictionary keeps an entry at the position where it was first inserted.
        self._jobs[job.job_id] = job
        if job.key is not None and names is not None:
            names[job.key] = job.job_id
        if job.ref is not None:
            self._refs.setdefault(job.ref, job.job_id)
        if is_unfinished(job):
            self._finished.pop(job.job_id, None)
        else:
            self._finished.setdefault(job.job_id, running_time())
        if job.owner == self._owner or job.job_id in self._finished:
            self._unowned.pop(job.job_id, None)
        else:
            self._unowned[job.job_id] = None
        # The only subscriber knows what it has written itself.
        if len(self._subscribers) > 1:
            for notify in list(self._subscribers.values()):
                notify((job.job_id,))

    def _names_for_key(self, job: Job, before: Job | None) -> dict[str, str] | None:
        """Return where the key of *job* is to lead to it; `None` where a newer job has it."""
        if job.key is None:
            return None
        holder, released = self._holders.get(job.key), self._released.get(job.key)
        if holds_key(job):
            if holder in (None, job.job_id):
                return self._holders
            if before is None or before.key != job.key:
                raise StoreError("another job has this key", job_id=job.job_id, ref=job.ref)
        is_newest = before is None or holder == job.job_id or released in (None, job.job_id)
        return self._released if is_newest else None

    def _dated(self, job: Job, now: datetime) -> Job:
        """Return what is kept of *job*, and store the dates that its further retention depends on."""
        since = dates(job, now, self._dates.get(job.job_id))
        if since.closed_at or since.urls_until or self._retention.prompts != 0:
            self._dates[job.job_id] = since
        else:
            self._dates.pop(job.job_id, None)
        return self._retention.kept(job, since, now)

    def _read(self, job_id: str, now: datetime) -> Job:
        return self._retention.kept(self._jobs[job_id], self._dates.get(job_id, _NO_DATES), now)

    def _delete_old(self) -> None:
        if self._retention.closed is None or not self._finished:
            return
        limit = running_time() - timedelta(seconds=self._retention.closed)
        while self._finished:
            job_id, finished_at = next(iter(self._finished.items()))
            if finished_at > limit:
                return
            del self._finished[job_id], self._dates[job_id]
            self._remove_names(self._jobs.pop(job_id))
            self._ledger.forget(job_id)

    def _remove_names(self, job: Job) -> None:
        if job.key is not None:
            for names in (self._holders, self._released):
                if names.get(job.key) == job.job_id:
                    del names[job.key]
        if job.ref is not None and self._refs.get(job.ref) == job.job_id:
            del self._refs[job.ref]
