"""One connection to a database file: opened with care, used in transactions, its errors translated."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, TypeAlias

from ...errors import StoreError
from ...logs import get_logger
from ..columns import PAGE_SIZE
from .errors import FileLockedError, damaged, error_code, os_error, store_error
from .files import FileWatch, log_time, make_private, refuse_unusable
from .integrity import BackgroundCheck, check_all, check_size, is_small
from .owner_lock import living_owners
from .schema import APPLICATION_ID, MIGRATIONS, migrate, pragma
from .sharing import changed_after, last_change

_log = get_logger(__name__)

Work: TypeAlias = Callable[[sqlite3.Connection], Any]
"""Work to do within a transaction. It computes what it writes before it writes: it fails before that, or not at all."""

_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_RETRY_INTERVAL = 0.02
# A process that writes is waited for in so many seconds at a time, so that readers wait no longer than that.
_MOMENT = 0.25
_MOST_WRITTEN = 100
# Two changes of a file that are so many nanoseconds apart have different times.
_TICK = 100_000_000


class Database:
    """
    A connection to the job store at *path*, which is created if there is none. Belongs to the thread that made it.

    :param busy_timeout: seconds to wait for other processes that are writing.
    :raises StoreError: the file cannot be used, is not a job store, is damaged, or was written by a newer version. It
        is left as it is.
    """

    def __init__(self, path: Path, busy_timeout: float) -> None:
        self._path = path
        self._busy_timeout = busy_timeout
        self._written: list[tuple[int, int]] = []
        self._seen_version = -1
        self._seen_change: int | None = None
        self._quiet_since: int | None = None
        with self._translated_errors():
            refuse_unusable(path)
            is_new = not path.exists()
            is_empty = not is_new and not path.stat().st_size
            self._connection = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None)
        try:
            with self._translated_errors():
                self._connection.row_factory = sqlite3.Row
                self._refuse_foreign()
                make_private(path, is_new=is_new)
                version = self._prepare()
                self._files = FileWatch(path)
                self._wait_for_others(_MOMENT)
                self._check = None if is_small(path) else BackgroundCheck(path)
        except BaseException:
            self._connection.close()
            raise
        if is_empty and version == 0:
            _log.warning(
                "the job store %s was an empty file, and begins without jobs: if there were jobs in it, stop now and "
                "put a copy of the file in its place, or their keys are paid again",
                path,
            )

    def run(self, works: Sequence[Work], *, writes: bool, synced: bool = True) -> list[Any]:
        """
        Do *works* in one transaction, and return the result of each, or the exception that it raised.

        Where the transaction fails, each of them gets a transaction of its own, so that what fits on the disk is
        written.

        :param writes: whether any of them writes.
        :param synced: whether what they write has to be on the disk afterwards, or only visible to other processes.
        :raises FileLockedError: another process has been writing for longer than a moment. Nothing was done.
        """
        try:
            with nullcontext() if synced else self._unsynced():
                return self._transaction(works, writes)
        except StoreError as error:
            return [StoreError(error.message) for _ in works]
        except sqlite3.Error as error:
            if error_code(error) in _LOCKED:
                raise FileLockedError(error, self._path) from error
            if len(works) == 1:
                return [store_error(error, self._path) for _ in works]
        return [self._run_alone(work, writes=writes, synced=synced) for work in works]

    def _run_alone(self, work: Work, *, writes: bool, synced: bool) -> Any:
        try:
            return self.run([work], writes=writes, synced=synced)[0]
        except FileLockedError as locked:
            return locked.store_error()

    @contextmanager
    def _unsynced(self) -> Generator[None]:
        # With a write-ahead log, this does not endanger the file: the last transactions may be missing after a crash of
        # the machine. https://www.sqlite.org/pragma.html#pragma_synchronous
        self._connection.execute("PRAGMA synchronous = NORMAL")
        try:
            yield
        finally:
            self._connection.execute("PRAGMA synchronous = FULL")

    def changes(self, *, own: bool) -> Collection[str] | None:
        """
        Return the ids of the jobs that have changed since the last call; `None` if that is not known.

        The first call only marks the beginning.

        :param own: whether those count that this connection has changed.
        """
        logged_at = log_time(self._path)
        if logged_at is not None and logged_at == self._quiet_since and not (own and self._written):
            return ()
        # Later changes of the same moment would leave the same time behind.
        self._quiet_since = logged_at if logged_at and time.time_ns() > logged_at + _TICK else None
        written, self._written = self._written, []
        # Only other connections change this number.
        version = pragma(self._connection, "data_version")
        if version == self._seen_version and not (own and written):
            return ()
        self._seen_version, former = version, self._seen_change
        self._seen_change = last_change(self._connection)
        if former is None or self._seen_change < former:
            return None
        changed = changed_after(self._connection, former)
        return {
            job_id for job_id, number in changed if own or not any(first < number <= last for first, last in written)
        }

    def _transaction(self, works: Sequence[Work], writes: bool) -> list[Any]:
        if writes:
            self._check_files()
        self._connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        try:
            before = last_change(self._connection) if writes else 0
            results = [self._attempt(work) for work in works]
            after = last_change(self._connection) if writes else 0
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise
        if after > before:
            # Nothing but this transaction has made these changes. What is forgotten of them is told like any other.
            self._written = [*self._written[-_MOST_WRITTEN:], (before, after)]
        return results

    def _attempt(self, work: Work) -> Any:
        try:
            return work(self._connection)
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 - it belongs to the caller of the work, not to this thread
            return error

    def empty_log(self) -> None:
        """
        Copy the write-ahead log into the database and truncate it, so that erased data is gone from the disk.

        :raises StoreError: another process is reading or writing at this moment.
        """
        with self._translated_errors():
            self._check_files()
            if self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                raise StoreError(f"the job store {self._path}: another process is using its log, try again")

    @contextmanager
    def waiting(self, seconds: float) -> Generator[None]:
        """Wait up to so many seconds for other processes meanwhile."""
        self._wait_for_others(seconds)
        try:
            yield
        finally:
            self._wait_for_others(_MOMENT)

    def _wait_for_others(self, seconds: float) -> None:
        self._connection.execute(f"PRAGMA busy_timeout = {int(min(seconds, self._busy_timeout) * 1000)}")

    def close(self) -> None:
        """Close the connection. The last connection to a file removes its log."""
        if self._check is not None:
            self._check.close()
        with self._translated_errors():
            self._connection.close()

    @contextmanager
    def _translated_errors(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise store_error(error, self._path) from error
        except OSError as error:
            raise os_error(error, self._path) from error

    def _refuse_foreign(self) -> None:
        if not self._is_fresh() and pragma(self._connection, "application_id") != APPLICATION_ID:
            raise StoreError(
                f"the file {self._path} is the database of another application, and is left as it is: give the job "
                "store another path"
            )
        version = pragma(self._connection, "user_version")
        if version > len(MIGRATIONS):
            raise StoreError(
                f"the job store {self._path} was written by a newer version of happyhorse-async (schema {version}; "
                f"this one knows {len(MIGRATIONS)}), and is left as it is: upgrade happyhorse-async, or give another "
                "path"
            )

    def _is_fresh(self) -> bool:
        return not any(pragma(self._connection, name) for name in ("schema_version", "application_id", "user_version"))

    def _prepare(self) -> int:
        # This has an effect on a new file only.
        self._connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        self._connection.execute("PRAGMA synchronous = FULL")
        # A plain fsync on macOS leaves the data in the drive's cache.
        self._connection.execute("PRAGMA fullfsync = ON")
        self._connection.execute("PRAGMA secure_delete = ON")
        self._use_log()
        if is_small(self._path):
            check_all(self._connection, self._path)
        else:
            check_size(self._path)
        return migrate(self._connection, refuse_others=self._refuse_others)

    def _refuse_others(self) -> None:
        if owners := living_owners(self._path):
            raise StoreError(
                f"the job store {self._path} is open in a process of an earlier version of happyhorse-async "
                f"({', '.join(owners)}; each name begins with the process id), which cannot read it after the upgrade: "
                "end that process and try again"
            )

    def _use_log(self) -> None:
        # SQLite does not wait for other processes when it changes the journal mode of a new file.
        give_up_at = time.monotonic() + self._busy_timeout
        while True:
            try:
                mode = self._connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
                break
            except sqlite3.OperationalError as error:
                if error_code(error) not in _LOCKED or time.monotonic() >= give_up_at:
                    raise
            time.sleep(_RETRY_INTERVAL)
        if mode != "wal":
            raise StoreError(
                f"the job store {self._path}: its file system cannot share memory between processes, like most network "
                "drives: put it on a local disk"
            )

    def _check_files(self) -> None:
        """Make sure that what is written to the file can be read after a restart."""
        size, former_size = self._files.sizes()
        if size == 0 or (self._check is not None and self._check.found_damage):
            # SQLite would delete the log of an empty database, and the paid tasks in it.
            raise damaged(self._path)
        if size < former_size:
            # `VACUUM` of another process shrinks a sound file. Reading a file shows whether it was truncated, and this
            # connection would read it from its cache.
            with closing(sqlite3.connect(self._path, timeout=self._busy_timeout, isolation_level=None)) as other:
                check_all(other, self._path)
            self._files = FileWatch(self._path)
