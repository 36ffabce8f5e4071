"""One connection to a database file: opened with care, worked in transactions, its errors made into ours."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

from ...errors import StoreError
from .errors import damaged, error_code, os_error, store_error
from .schema import APPLICATION_ID, MIGRATIONS, PAGE_SIZE, migrate, pragma

Work: TypeAlias = Callable[[sqlite3.Connection], Any]
"""Something to do within a transaction. It computes what it writes before it writes, and fails before or not at all."""

_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_RETRY_AFTER = 0.02


class Database:
    """
    A connection to the job store at *path*, which is created if there is none. Belongs to the thread that made it.

    :param busy_timeout: seconds to wait for other processes that are writing.
    :raises StoreError: the file cannot be used, is no job store, is damaged, or is from a newer version. It is left as
        it is.
    """

    def __init__(self, path: Path, busy_timeout: float) -> None:
        self._path = path
        self._busy_timeout = busy_timeout
        with self._explained():
            _refuse_orphan(path)
            is_new = not path.exists()
            self._connection = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None)
        try:
            with self._explained():
                self._connection.row_factory = sqlite3.Row
                self._refuse_strangers()
                if is_new:
                    # It is going to hold prompts and signed URLs. The files that SQLite puts beside it follow suit.
                    path.chmod(0o600)
                self._prepare()
                self._identity = _identity(path)
        except BaseException:
            self._connection.close()
            raise

    def run(self, works: Sequence[Work], *, writes: bool) -> list[Any]:
        """
        Do *works* in one transaction, and return the result of each, or the exception it ended in.

        Where the transaction fails, each gets one of its own, so that what fits on the disk is written.

        :param writes: whether any of them writes.
        """
        try:
            return self._transaction(works, writes)
        except StoreError as error:
            return [StoreError(error.message) for _ in works]
        except sqlite3.Error as error:
            if len(works) == 1 or error_code(error) in _LOCKED:
                return [store_error(error, self._path) for _ in works]
        return [self.run([work], writes=writes)[0] for work in works]

    def _transaction(self, works: Sequence[Work], writes: bool) -> list[Any]:
        if writes:
            self._refuse_removed()
        self._connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        try:
            results = [self._attempt(work) for work in works]
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise
        return results

    def _attempt(self, work: Work) -> Any:
        try:
            return work(self._connection)
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 - it belongs to the one who asked, and not to this thread
            return error

    def empty_log(self) -> None:
        """
        Bring the write-ahead log into the database and cut it to nothing, with what has been erased meanwhile.

        :raises StoreError: another process is just reading or writing.
        """
        with self._explained():
            if self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                raise StoreError(f"the job store {self._path}: another process keeps its log in use, try again")

    @contextmanager
    def impatient(self) -> Generator[None]:
        """Do not wait for other processes meanwhile."""
        self._connection.execute("PRAGMA busy_timeout = 0")
        try:
            yield
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {int(self._busy_timeout * 1000)}")

    def close(self) -> None:
        """Close the connection. The last one to a file takes its log away."""
        with self._explained():
            self._connection.close()

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise store_error(error, self._path) from error
        except OSError as error:
            raise os_error(error, self._path) from error

    def _refuse_strangers(self) -> None:
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

    def _prepare(self) -> None:
        # Has an effect on a new file alone.
        self._connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        self._connection.execute("PRAGMA synchronous = FULL")
        # A plain fsync on macOS leaves the data in the drive's cache.
        self._connection.execute("PRAGMA fullfsync = ON")
        self._connection.execute("PRAGMA secure_delete = ON")
        self._write_ahead()
        verdict = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise damaged(self._path)
        migrate(self._connection)

    def _write_ahead(self) -> None:
        # SQLite does not wait for others when it changes the journal of a new file.
        give_up_at = time.monotonic() + self._busy_timeout
        while True:
            try:
                mode = self._connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
                break
            except sqlite3.OperationalError as error:
                if error_code(error) not in _LOCKED or time.monotonic() >= give_up_at:
                    raise
            time.sleep(_RETRY_AFTER)
        if mode != "wal":
            raise StoreError(
                f"the job store {self._path}: its file system cannot share memory between processes, as network drives "
                "cannot: put it on a local disk"
            )

    def _refuse_removed(self) -> None:
        if _identity(self._path) != self._identity:
            raise StoreError(
                f"the job store {self._path} was removed or replaced while it was open: put it back and restart, what "
                "is written now would be lost"
            )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _refuse_orphan(path: Path) -> None:
    # SQLite would throw away the log of an empty database, and paid tasks with it. The log is looked at first: once
    # there is one, there is a database too.
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size and not (path.exists() and path.stat().st_size):
        raise StoreError(
            f"the job store {path} is missing or empty, while its log {log.name} is there: put the file back beside "
            "its log, or move the log away"
        )
