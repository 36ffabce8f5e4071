"""The journal in a file: one SQLite database, shared by the processes of one machine."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from pathlib import Path
from sqlite3 import Connection
from typing import Any, TypeVar

from ...budget import Cost, SpendingLimit
from ...errors import BudgetExceededError, StoreError
from ...job import Endpoint, Job, JobState
from ...task import TaskRef
from ..contract import Notify
from ..pacing import Pace
from ..retention import KEEP_MEDIA, Retention, running_time
from . import ledger, sharing
from .database import Database, Work
from .errors import FileLockedError, os_error
from .owner_lock import OwnerFile, is_alive, living_owners, new_owner
from .statements import Jobs, get_note, put_note
from .thread import StoreThread

T = TypeVar("T")

_KEEP_CLOSED = 30 * 86400.0
_BUSY_TIMEOUT = 10.0


class SQLiteStore:
    """
    Keeps jobs in the file at *path*: a `TaskStore` that outlives its process, for all processes of one machine.

    What a method has written is on the disk when it returns. The file can be read with the `sqlite3` tool while it is
    in use. Its folder also holds SQLite's log and one empty file for each process that has the store open. An open
    store belongs to one process and one event loop; any number of stores may have the same path.

    It holds no API key. Request bodies are erased once their outcome is known, the URLs of videos when they expire.
    Erased data is overwritten on the disk within about a minute, as long as any process has the store open. The file
    and the files beside it are readable by their owner only; the group of a file that it may write keeps its access.

    Times are in seconds; `None` means without limit.

    :param path: the file, on a local disk. It is created if it does not exist; its folder is not.
    :param keep_prompts: how long a request (prompt, media URLs) is kept after its outcome is known.
    :param keep_closed: how long a job is kept after it is finished. Its key is free again after that. Where the clock
        has jumped ahead, or the store was closed for more than a day, jobs are kept up to twice as long.
    :param keep_media: bytes of the largest local picture or video that is kept with an enqueued job until it is sent.
    :param busy_timeout: how long to wait while another process writes. If it still does then, operations that write
        fail at once until it has ended, or goes on.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        keep_prompts: float | None = 0.0,
        keep_closed: float | None = _KEEP_CLOSED,
        keep_media: int = KEEP_MEDIA,
        busy_timeout: float = _BUSY_TIMEOUT,
    ) -> None:
        self.keep_media = keep_media
        if os.fspath(path) == ":memory:":
            raise ValueError("use a MemoryStore for a job store in memory")
        self._path = Path(path)
        self._busy_timeout = busy_timeout
        self._jobs = Jobs(Retention(prompts=keep_prompts, closed=keep_closed))
        self._session: _Session | None = None

    @property
    def is_shared(self) -> bool:
        """True: any number of processes may have the file open."""
        return True

    @property
    def owner(self) -> str:
        """
        The name under which this store has its file open, new each time it is opened.

        :raises RuntimeError: it is not open.
        """
        if self._session is None:
            raise RuntimeError(f"the job store {self._path} is not open")
        return self._session.owner

    @property
    def write_error(self) -> str | None:
        """
        Why nothing can be written at present; `None` if it can, as far as is known.

        A process that was stopped while it wrote keeps the others from writing until it goes on. They can read.
        """
        return None if self._session is None else self._session.thread.write_error

    async def open(self) -> None:
        """
        Open the file, or create it.

        :raises StoreError: it cannot be read or written, is not a regular file, is not a job store, is damaged, was
            written by a newer version, or is in use by an earlier one. The file is left as it is.
        :raises RuntimeError: it is open in another process or on another event loop.
        """
        if self._session is None:
            self._session = _Session(self._path, self._busy_timeout, self._jobs)
        session = self._open_session()
        session.users += 1
        try:
            # Shielded, because other callers may wait for the same opening.
            await asyncio.shield(session.thread.opened)
        except StoreError as error:
            self._leave(session)
            # Each opener gets an exception of its own.
            raise copy(error) from error.__cause__
        except BaseException:
            self._leave(session)
            raise

    async def aclose(self) -> None:
        """
        Close the file after the last of its users. Earlier requests are completed first.

        :raises StoreError: the file could not be closed properly. What was confirmed before is on the disk.
        """
        if self._session is not None:
            session = self._open_session()
            if self._leave(session):
                await session.thread.closed

    async def purge(self) -> None:
        """
        Erase what has expired now, and overwrite it on the disk. This happens automatically about every minute.

        :raises StoreError: it could not be done. It is tried again automatically.
        """
        await self._open_session().thread.upkeep()

    async def add(self, job: Job, *, within: Collection[SpendingLimit] = ()) -> Job:
        """Write a new job; see `TaskStore.add`."""
        return await self._write(lambda connection: self._jobs.add(connection, job, within), job)

    async def change(
        self,
        job: Job,
        *,
        only_from: Collection[JobState] | None = None,
        only_owner: str | None = None,
        within: Collection[SpendingLimit] = (),
    ) -> Job | None:
        """Write *job* over the entry with its id; see `TaskStore.change`."""
        return await self._write(
            lambda connection: self._jobs.change(connection, job, only_from, only_owner, within), job
        )

    async def check_budget(self, job: Job, within: Collection[SpendingLimit]) -> None:
        """Make sure that there is room for a job; see `TaskStore.check_budget`."""
        await self._read(lambda connection: ledger.check(connection, job, within))

    def spent(self, currency: str, since: str) -> int:
        """Return what was spent in a currency since an hour, in billionths. For plans; it does not wait for writers."""
        return ledger.read_spent(self._path, currency, since)

    async def costs(self) -> list[Cost]:
        """Return what the jobs have cost; see `TaskStore.costs`."""
        return await self._read(ledger.costs)

    async def get(self, job_id: str) -> Job | None:
        """Return a job by its id."""
        return await self._read(lambda connection: self._jobs.get(connection, job_id))

    async def by_key(self, key: str) -> Job | None:
        """Return the newest job that was added with *key*; see `TaskStore.by_key`."""
        return await self._read(lambda connection: self._jobs.by_key(connection, key))

    async def by_ref(self, ref: TaskRef) -> Job | None:
        """Return the job that a task belongs to."""
        return await self._read(lambda connection: self._jobs.by_ref(connection, ref))

    async def get_many(self, job_ids: Collection[str]) -> list[Job]:
        """Return those of the given jobs that exist."""
        return await self._read(lambda connection: self._jobs.get_many(connection, job_ids))

    async def unfinished(self, provider: str, states: Collection[JobState] | None = None) -> list[Job]:
        """Return the jobs of *provider* that are not finished, in the order they were added."""
        return await self._read(lambda connection: self._jobs.unfinished(connection, provider, states))

    async def count(self, endpoints: Collection[Endpoint], states: Collection[JobState]) -> Mapping[str, int]:
        """Return how many unfinished jobs are in one of the states; see `TaskStore.count`."""
        return await self._read(lambda connection: sharing.count(connection, endpoints, states))

    async def take_over(self, endpoints: Collection[Endpoint], states: Collection[JobState], limit: int) -> list[Job]:
        """Take the jobs that have no living owner; see `TaskStore.take_over`."""
        session = self._open_session()

        def orphans(connection: Connection) -> sharing.Orphans:
            return sharing.orphans(connection, endpoints, states, limit, session.is_alive)

        def take(connection: Connection) -> list[Job]:
            found = orphans(connection)
            self._jobs.release(connection, found.released)
            return self._jobs.take(connection, found.taken, session.owner)

        # Reading does not keep other processes from writing, and mostly there is nothing to take.
        if not any(await session.thread.read(orphans)):
            return []
        return await session.thread.write(take)

    def subscribe(self, notify: Notify) -> Callable[[], None]:
        """Call *notify* when jobs are changed; see `TaskStore.subscribe`."""
        return self._open_session().thread.subscribe(notify)

    async def pace(self, name: str, interval: float) -> float:
        """Take the next permit for a request; see `TaskStore.pace`."""

        def take(connection: Connection) -> float:
            now = running_time().total_seconds()
            pace, wait = sharing.pace(connection, name, now).permit(now, interval)
            sharing.set_pace(connection, name, pace)
            return wait

        return await self._open_session().thread.write(take, synced=False)

    async def hold_back(self, name: str, *, pause: float = 0.0, interval: float = 0.0, lasting: float = 0.0) -> None:
        """Delay the requests of all processes; see `TaskStore.hold_back`."""

        def delay(connection: Connection) -> None:
            now = running_time().total_seconds()
            row: Pace = sharing.pace(connection, name, now)
            sharing.set_pace(connection, name, row.held_back(now, pause=pause, interval=interval, lasting=lasting))

        await self._open_session().thread.write(delay, synced=False)

    async def recent(self, limit: int) -> list[Job]:
        """Return the jobs that were added last, the newest first."""
        return await self._read(lambda connection: self._jobs.recent(connection, limit))

    async def get_note(self, name: str) -> str | None:
        """Return the note called *name*."""
        return await self._read(lambda connection: get_note(connection, name))

    async def put_note(self, name: str, text: str) -> None:
        """Write the note called *name*; see `TaskStore.put_note`."""
        await self._open_session().thread.write(lambda connection: put_note(connection, name, text))

    async def is_alive(self, owner: str) -> bool:
        """Return whether *owner* still has the file open, in this process or another. A killed process has not."""
        return await asyncio.to_thread(is_alive, self._open_session().path, owner)

    async def _read(self, work: Callable[[Connection], T]) -> T:
        return await self._open_session().thread.read(work)

    async def _write(self, work: Callable[[Connection], T], job: Job) -> T:
        try:
            return await self._open_session().thread.write(work)
        except (BudgetExceededError, StoreError) as error:
            error.about(ref=job.ref, job_id=job.job_id)
            raise

    def _open_session(self) -> _Session:
        if self._session is None:
            raise RuntimeError(f"the job store {self._path} is not open")
        self._session.check()
        return self._session

    def _leave(self, session: _Session) -> bool:
        session.users -= 1
        if session.users:
            return False
        self._session = None
        session.thread.stop()
        return True

    def __del__(self) -> None:
        session: _Session | None = getattr(self, "_session", None)
        if session is not None and session.process == os.getpid():
            session.thread.stop()
            warnings.warn(f"the job store {self._path} was never closed", ResourceWarning, stacklevel=2, source=self)


def _real_path(path: Path) -> Path:
    try:
        os.fsencode(path)
        return Path(os.path.realpath(path))
    except ValueError as error:
        raise StoreError(
            f"the path of the job store, {str(path)!r}, cannot name a file ({error}): give another path"
        ) from None


class _Session:
    """The file from its opening to its closing, and the only thread that uses it."""

    def __init__(self, path: Path, busy_timeout: float, jobs: Jobs) -> None:
        # A file that is reached by two names must have one place for the files of its owners.
        self.path = _real_path(path)
        self.owner = new_owner()
        self.process = os.getpid()
        self.users = 0
        self.thread = StoreThread(_File(self.path, busy_timeout, jobs, OwnerFile(self.path, self.owner)), busy_timeout)

    def is_alive(self, owner: str) -> bool:
        """Return whether *owner* has the file open. Reads a lock file."""
        return owner == self.owner or is_alive(self.path, owner)

    def check(self) -> None:
        # A forked child does not have the thread, and a result cannot be handed to another event loop.
        if self.process != os.getpid():
            raise RuntimeError(
                f"the job store {self.path} was opened before this process was forked: create a store in each process"
            )
        if self.thread.loop is not asyncio.get_running_loop():
            raise RuntimeError(
                f"the job store {self.path} is open on another event loop: close it there, or create one for each loop"
            )


class _File:
    """What the thread works on: the database, and the lock file that shows that this process has it open."""

    def __init__(self, path: Path, busy_timeout: float, jobs: Jobs, owner: OwnerFile) -> None:
        self._path = path
        self._busy_timeout = busy_timeout
        self._jobs = jobs
        self._owner = owner
        self._database: Database | None = None

    def open(self) -> None:
        self._database = Database(self._path, self._busy_timeout)
        try:
            self._owner.acquire()
            # Removes what killed processes have left.
            living_owners(self._path)
        except OSError as error:
            self.close()
            raise os_error(error, self._path) from error

    def run(self, works: Sequence[Work], *, writes: bool, synced: bool) -> list[Any]:
        return self._opened().run(works, writes=writes, synced=synced)

    def changes(self, *, own: bool) -> Collection[str] | None:
        return self._opened().changes(own=own)

    def upkeep(self, *, waits: bool) -> None:
        database = self._opened()
        with database.waiting(self._busy_timeout if waits else 0.0):
            try:
                outcome = database.run([self._jobs.forget], writes=True)[0]
            except FileLockedError as locked:
                outcome = locked.store_error()
            if isinstance(outcome, Exception):
                raise outcome
            database.empty_log()

    def close(self) -> None:
        try:
            self._opened().close()
        finally:
            self._owner.release()

    def _opened(self) -> Database:
        assert self._database is not None
        return self._database
