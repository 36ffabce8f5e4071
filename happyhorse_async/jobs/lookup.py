"""What the store and this process know of a job, without any request."""

from __future__ import annotations

from ..errors import TaskNotFoundError
from ..job import Job
from ..stores import TaskStore
from ..stores.contract import holds_key
from ..task import TaskRef
from ..tracker import Tracker
from .account import Accounts


class JobLookup:
    """Finds jobs. What this process knows of a job is newer than what the store has."""

    def __init__(self, accounts: Accounts, tracker: Tracker, store: TaskStore) -> None:
        self._accounts = accounts
        self._tracker = tracker
        self._store = store

    async def read(self, *, job_id: str | None = None, key: str | None = None, ref: TaskRef | None = None) -> Job:
        """
        Return what is known of a job.

        :raises TaskNotFoundError: there is no such job.
        """
        store = self._store
        here = self._tracker.by_ref(ref) if ref else self._tracker.by_id(job_id) if job_id else None
        if here is not None and here.is_recorded:
            return here.job
        if ref is not None:
            job = await store.by_ref(ref)
        else:
            job = await store.get(job_id) if job_id is not None else await store.by_key(key or "")
        if job is None:
            name = f"with the key {key!r}" if key is not None else str(ref or job_id)
            raise TaskNotFoundError(f"the job store has no job {name}", ref=ref, job_id=job_id)
        here = self._tracker.by_id(job.job_id) or (self._tracker.by_ref(job.ref) if job.ref else None)
        return here.job if here is not None and here.is_recorded and here.job_id == job.job_id else job

    async def has_key(self, key: str | None) -> bool:
        """Return whether a job holds *key*."""
        job = None if key is None else await self._store.by_key(key)
        return job is not None and holds_key(job)

    async def pending(self) -> list[Job]:
        """Return the jobs of all accounts that are unfinished, the oldest first."""
        found: list[Job] = []
        for provider in self._accounts.endpoints:
            found += await self._store.unfinished(provider)
        return sorted(found, key=lambda job: job.created_at) if len(self._accounts.endpoints) > 1 else found
