"""The journal in memory: complete for as long as its process lives, and gone with it."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from attrs import evolve

from ..errors import StoreError
from ..job import Job, JobState
from ..task import TaskRef
from .retention import Dates, Retention, dates

_KEEP_CLOSED = 86400.0
_NO_DATES = Dates()


class MemoryStore:
    """
    Keeps jobs in memory: a `TaskStore` for a process that has nothing to lose.

    Several clients of one process may share it. Times are in seconds; `None` means without limit.

    :param keep_prompts: how long a request is kept after its outcome is known.
    :param keep_closed: how long a job is kept, with its key, after it is closed.
    """

    def __init__(self, *, keep_prompts: float | None = 0.0, keep_closed: float | None = _KEEP_CLOSED) -> None:
        self._retention = Retention(prompts=keep_prompts, closed=keep_closed)
        self._owner = uuid4().hex
        self._jobs: dict[str, Job] = {}
        self._dates: dict[str, Dates] = {}
        self._keys: dict[str, str] = {}
        self._refs: dict[TaskRef, str] = {}
        self._closed: dict[str, None] = {}
        self._kept: dict[str, str] = {}

    @property
    def owner(self) -> str:
        """The name of this store, which is as good as its process's."""
        return self._owner

    async def open(self) -> None:
        """Do nothing: memory is always ready."""

    async def aclose(self) -> None:
        """Do nothing: what was written down stays until the store itself is gone."""

    async def add(self, job: Job) -> Job:
        """Write down a new job; see `TaskStore.add`."""
        now = datetime.now(UTC)
        self._prune(now)
        there = self._keys.get(job.key) if job.key is not None else None
        if there is None and job.job_id not in self._jobs:
            self._write(job, now)
        return self._read(there or job.job_id, now)

    async def change(self, job: Job, *, only_from: JobState | None = None, only_owner: str | None = None) -> bool:
        """Write *job* over the entry with its id; see `TaskStore.change`."""
        now = datetime.now(UTC)
        self._prune(now)
        before = self._jobs.get(job.job_id)
        if before is None or only_from not in (None, before.state) or only_owner not in (None, before.owner):
            return False
        if job.key is not None and self._keys.get(job.key, job.job_id) != job.job_id:
            raise StoreError("another job has this key", job_id=job.job_id, ref=job.ref)
        if before.durable and not job.durable:
            job = evolve(job, durable=True)
        job = job.written_over(save_to=before.save_to, saved_to=before.saved_to, owner=before.owner)
        self._write(job, now)
        return True

    async def get(self, job_id: str) -> Job | None:
        """Return a job by its id."""
        return self._read(job_id, datetime.now(UTC)) if job_id in self._jobs else None

    async def by_key(self, key: str) -> Job | None:
        """Return a job by the caller's own name for it."""
        job_id = self._keys.get(key)
        return None if job_id is None else await self.get(job_id)

    async def by_ref(self, ref: TaskRef) -> Job | None:
        """Return the job that a task belongs to."""
        job_id = self._refs.get(ref)
        return None if job_id is None else await self.get(job_id)

    async def unfinished(self, provider: str) -> list[Job]:
        """Return the jobs of *provider* that are not closed, in the order they were added."""
        now = datetime.now(UTC)
        return [
            self._read(job_id, now)
            for job_id, job in self._jobs.items()
            if job.endpoint.provider == provider and job.state is not JobState.CLOSED
        ]

    async def get_note(self, name: str) -> str | None:
        """Return what was last kept under *name*."""
        return self._kept.get(name)

    async def put_note(self, name: str, text: str) -> None:
        """Keep *text* under *name*."""
        self._kept[name] = text

    async def is_alive(self, owner: str) -> bool:
        """Tell whether *owner* is this store: there is no other process."""
        return owner == self._owner

    def _write(self, job: Job, now: datetime) -> None:
        before = self._jobs.get(job.job_id)
        if before is not None:
            self._forget_names(before)
        job = self._dated(job, now)
        # A dictionary keeps an entry at the place where it was first put.
        self._jobs[job.job_id] = job
        if job.key is not None:
            self._keys[job.key] = job.job_id
        if job.ref is not None:
            self._refs.setdefault(job.ref, job.job_id)
        if job.state is JobState.CLOSED:
            self._closed.setdefault(job.job_id)
        else:
            self._closed.pop(job.job_id, None)

    def _dated(self, job: Job, now: datetime) -> Job:
        """Return what is left of *job*, and note the dates that what is left to forget of it counts from."""
        since = dates(job, now, self._dates.get(job.job_id))
        if since.closed_at or since.urls_until or self._retention.prompts != 0:
            self._dates[job.job_id] = since
        else:
            self._dates.pop(job.job_id, None)
        return self._retention.kept(job, since, now)

    def _read(self, job_id: str, now: datetime) -> Job:
        return self._retention.kept(self._jobs[job_id], self._dates.get(job_id, _NO_DATES), now)

    def _prune(self, now: datetime) -> None:
        forgotten = self._retention.closed_before(now)
        while forgotten is not None and self._closed:
            job_id = next(iter(self._closed))
            closed_at = self._dates[job_id].closed_at
            if closed_at is not None and closed_at > forgotten:
                return
            del self._closed[job_id], self._dates[job_id]
            self._forget_names(self._jobs.pop(job_id))

    def _forget_names(self, job: Job) -> None:
        if job.key is not None:
            self._keys.pop(job.key, None)
        if job.ref is not None and self._refs.get(job.ref) == job.job_id:
            del self._refs[job.ref]
