"""What a job store promises, and the rules on states that every store shares."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from ..job import Job, JobState
from ..task import TaskRef

_KEY_RELEASED = frozenset({JobState.REFUSED, JobState.WITHDRAWN, JobState.WRITTEN_OFF})


def holds_key(job: Job) -> bool:
    """Return whether the key of *job* is taken. A job that certainly has no task leaves its key to the next one."""
    return job.key is not None and job.state not in _KEY_RELEASED


def is_unfinished(job: Job) -> bool:
    """Return whether *job* still needs work: it has not ended, or its video has yet to be saved."""
    if not job.state.is_final:
        return True
    unsaved = job.save_to is not None and job.saved_to is None
    # An error beside a success says that saving the video was given up.
    return job.state is JobState.SUCCEEDED and unsaved and job.error is None


class TaskStore(Protocol):
    """
    Keeps jobs. Every method returns only when its change would survive the death of the process, where the store can.

    A store never blocks the event loop. Cancelling a caller does not undo its request: the write still happens.
    Errors are `StoreError`s. They name the store, say what to do, and carry the job id and the ref where a job is
    concerned.

    A store forgets on purpose. The request body is erased once the job is ACCEPTED or final. The request is erased at
    the same time, or later as the store is configured. The callback URL is erased when the job is finished. Videos are
    erased when their URLs expire, so a task that has SUCCEEDED may come back without any; a poll may return them
    again. `Task.raw` is never kept. A job that finished long ago is deleted.
    """

    async def open(self) -> None:
        """
        Get ready. Opening a store twice is harmless; each open is matched by one close.

        :raises StoreError: the store cannot be read or written, is not a job store, or was written by a newer version.
        :raises RuntimeError: the store is open on another event loop, or in another process.
        """
        ...

    async def aclose(self) -> None:
        """Complete the pending requests and release all resources."""
        ...

    async def add(self, job: Job) -> Job:
        """
        Write a new job, and return it as it is kept.

        Where another job holds its key, or a job with its id exists, write nothing and return that one. A job that was
        REFUSED, WITHDRAWN or WRITTEN_OFF does not hold its key any more. Two processes that add the same key at the
        same moment get the same job.

        :raises StoreError: the job could not be written.
        """
        ...

    async def change(
        self, job: Job, *, only_from: Collection[JobState] | None = None, only_owner: str | None = None
    ) -> Job | None:
        """
        Write *job* over the entry with its id. The conditions are checked and the change is made in one step.

        `durable` stays true once it was written: the caller may have read the job before that. The same holds for the
        path at which the video is to be saved; see `Job.written_over`.

        :param only_from: change it only if its present state is one of these.
        :param only_owner: change it only if this process still owns it.
        :return: the entry as it is kept; `None` where a condition does not hold, or there is no such entry.
        :raises StoreError: the job could not be written, or another job holds its key.
        """
        ...

    async def get(self, job_id: str) -> Job | None:
        """Return a job by its id."""
        ...

    async def by_key(self, key: str) -> Job | None:
        """Return the newest job that was added with *key*, also where it does not hold the key any more."""
        ...

    async def by_ref(self, ref: TaskRef) -> Job | None:
        """Return the job that a task belongs to, the first where several claim it."""
        ...

    async def unfinished(self, provider: str) -> list[Job]:
        """Return the jobs of *provider* for which `is_unfinished` holds, in the order they were added."""
        ...

    async def recent(self, limit: int) -> list[Job]:
        """Return the *limit* jobs that were added last, of all providers and in every state, the newest first."""
        ...

    async def get_note(self, name: str) -> str | None:
        """Return the note called *name*; `None` if there is none."""
        ...

    async def put_note(self, name: str, text: str) -> None:
        """
        Write the note called *name*, over the previous one. A note is a few kilobytes of data that can be recomputed.

        :raises StoreError: the note could not be written.
        """
        ...

    async def is_alive(self, owner: str) -> bool:
        """Return whether the process that the property `owner` names so still has the store open."""
        ...

    @property
    def owner(self) -> str:
        """
        The name of this process, as it is written in `Job.owner`. Unique among all processes that ever open the store.

        :raises RuntimeError: the store is not open, where that makes a difference.
        """
        ...
