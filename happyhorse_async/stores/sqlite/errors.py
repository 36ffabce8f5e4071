"""The errors of a database file, in sentences that name the file and say what to do."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ...errors import StoreError
from .lock_holder import lock_holder

# https://www.sqlite.org/rescode.html
_SENTENCES: dict[int, str] = {
    sqlite3.SQLITE_BUSY: "another process keeps it locked: end that process, or try again",
    sqlite3.SQLITE_LOCKED: "another connection keeps it locked: close that connection, or try again",
    sqlite3.SQLITE_FULL: "the disk is full, or the file has reached its size limit: make room and try again",
    sqlite3.SQLITE_READONLY: "it cannot be written: check the permissions of the file and of its folder",
    sqlite3.SQLITE_PERM: "it cannot be written: check the permissions of the file and of its folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check that its folder exists, and the permissions of both",
    sqlite3.SQLITE_NOTADB: "it is not a database, and is left as it is: give the store another path",
    sqlite3.SQLITE_CORRUPT: (
        "it is damaged, and is left as it is: stop every process that uses it, then recover it with sqlite3's "
        "`.recover` or put a copy in its place"
    ),
    sqlite3.SQLITE_IOERR: "the disk reports an error: check the disk and its free space",
    sqlite3.SQLITE_NOMEM: "the machine is out of memory",
    sqlite3.SQLITE_TOOBIG: "the job is larger than a database can hold",
    sqlite3.SQLITE_CONSTRAINT: "the job conflicts with another one, for example because it has the same key",
}


class FileLockedError(Exception):
    """Another process has been writing for longer than a moment. Nothing was done, and it can be tried again."""

    def __init__(self, error: sqlite3.Error, path: Path) -> None:
        super().__init__(error_code(error))
        self._error = error
        self._path = path

    def store_error(self) -> StoreError:
        """Return the error for those who wait no longer, which names that process."""
        return store_error(self._error, self._path)


def store_error(error: sqlite3.Error, path: Path) -> StoreError:
    """
    Return the `StoreError` for an error of SQLite.

    SQLite's own message is left out, except for the name of the code: it may quote a statement.
    """
    if error_code(error) == sqlite3.SQLITE_BUSY and (holder := lock_holder(path)) is not None:
        return StoreError(
            f"the job store {path}: {holder} keeps it locked: let it go on or end it, or try again (SQLITE_BUSY)"
        )
    return _explained(error_code(error), getattr(error, "sqlite_errorname", type(error).__name__), path)


def damaged(path: Path) -> StoreError:
    """Return the error for a file whose content is inconsistent."""
    return _explained(sqlite3.SQLITE_CORRUPT, "SQLITE_CORRUPT", path)


def _explained(code: int, name: str, path: Path) -> StoreError:
    return StoreError(f"the job store {path}: {_SENTENCES.get(code, 'SQLite reports an error')} ({name})")


def error_code(error: sqlite3.Error) -> int:
    """Return the primary result code of *error*; 0 where it did not come from SQLite itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def os_error(error: OSError, path: Path) -> StoreError:
    """Return the error for a file beside the database at *path* that the operating system refuses to create."""
    return StoreError(
        f"the job store {path}: its folder cannot be used ({error.strerror}): check that it exists, its permissions "
        "and the free space on its disk"
    )
