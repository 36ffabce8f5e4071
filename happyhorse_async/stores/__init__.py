"""
The journal: where jobs are written down, so that nothing that was paid for depends on a process staying alive.

`TaskStore` is the contract. `MemoryStore` forgets with its process; `SQLiteStore` is one file, shared by the processes
of one machine. It is loaded when it is asked for, since a program without a file need not load SQLite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ..job import Job, JobState
from ..task import TaskRef
from .memory import MemoryStore

if TYPE_CHECKING:
    from .sqlite.store import SQLiteStore

__all__ = ["MemoryStore", "SQLiteStore", "TaskStore"]


def __getattr__(name: str) -> Any:
    if name != "SQLiteStore":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .sqlite.store import SQLiteStore  # noqa: PLC0415

    return SQLiteStore


class TaskStore(Protocol):
    """
    Keeps jobs. Every method returns only when its change would survive the death of the process, where the store can.

    A store never blocks the event loop. Cancelling a caller does not undo what it has asked for: it is written, or not
    yet. Errors are `StoreError`s, which name the file, say what to do, and carry the job and the ref where one is at
    stake.

    A store forgets on purpose, and gives back what is left. The bytes to be sent are gone once the job is ACCEPTED or
    CLOSED; its request goes then, or some time later as the store is set; its callback URL goes when it is CLOSED.
    Videos are gone when their URLs die, so a task that has SUCCEEDED may come back without any, and only another look
    at the provider may have them anew. `Task.raw` is never kept. A job that has been CLOSED for long is forgotten
    altogether.
    """

    async def open(self) -> None:
        """
        Get ready. Opening a store twice is harmless; each open is matched by one close.

        :raises StoreError: it cannot be read or written, is no store, or was written by a newer version.
        :raises RuntimeError: it is open on another event loop, or in another process.
        """
        ...

    async def aclose(self) -> None:
        """Let go of everything, after what was asked before is done."""
        ...

    async def add(self, job: Job) -> Job:
        """
        Write down a new job, and return it; or, where a job has its `key` or its id already, write nothing and return
        that one.

        Two processes that add the same key at the same moment get the same job.
        """
        ...

    async def change(self, job: Job, *, only_from: JobState | None = None, only_owner: str | None = None) -> bool:
        """
        Write *job* over the entry with its id. The conditions are judged and the change is made in one step.

        `durable` is a promise: once made, no change unmakes it, since whoever changes a job may have read it before.
        Where its video is to be saved is another; see `Job.written_over`.

        :param only_from: change it only where its state is still this one.
        :param only_owner: change it only where this process still owns it.
        :return: whether it was changed; `False` where a condition does not hold, or there is no such entry.
        :raises StoreError: it could not be written, or another job has its key.
        """
        ...

    async def get(self, job_id: str) -> Job | None:
        """Return a job by its id."""
        ...

    async def by_key(self, key: str) -> Job | None:
        """Return a job by the caller's own name for it."""
        ...

    async def by_ref(self, ref: TaskRef) -> Job | None:
        """Return the job that a task belongs to, the first where several claim it."""
        ...

    async def unfinished(self, provider: str) -> list[Job]:
        """Return the jobs of *provider* that are not closed, in the order they were added."""
        ...

    async def get_note(self, name: str) -> str | None:
        """Return what was last kept under *name*; `None` where nothing was."""
        ...

    async def put_note(self, name: str, text: str) -> None:
        """
        Keep *text* under *name*, in place of what was there: a few kilobytes that are useful and can be done without.

        :raises StoreError: it could not be written.
        """
        ...

    async def is_alive(self, owner: str) -> bool:
        """Tell whether the process *owner*, as named by `owner`, still has the store open."""
        ...

    @property
    def owner(self) -> str:
        """
        The name of this process, as it stands in `Job.owner`. Unique among all processes that ever open the store.

        :raises RuntimeError: the store is not open, where that makes a difference.
        """
        ...
