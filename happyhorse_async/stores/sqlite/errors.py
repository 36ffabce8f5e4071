"""What goes wrong with a database file, in sentences that name the file and the way out."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ...errors import StoreError

# https://www.sqlite.org/rescode.html
_SENTENCES: dict[int, str] = {
    sqlite3.SQLITE_BUSY: "another process keeps it locked: end that process, or try again",
    sqlite3.SQLITE_LOCKED: "another connection keeps it locked: close that one, or try again",
    sqlite3.SQLITE_FULL: "the disk is full, or the file has reached its size limit: make room and try again",
    sqlite3.SQLITE_READONLY: "it cannot be written: see to the permissions of the file and of its folder",
    sqlite3.SQLITE_PERM: "it cannot be written: see to the permissions of the file and of its folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: see that its folder exists, and to the permissions of both",
    sqlite3.SQLITE_NOTADB: "it is not a database, and is left as it is: give the store another path",
    sqlite3.SQLITE_CORRUPT: (
        "it is damaged, and is left as it is: stop every process that uses it, then recover it with sqlite3's "
        "`.recover` or put a copy in its place"
    ),
    sqlite3.SQLITE_IOERR: "the disk reports a fault: see to the disk and the room on it",
    sqlite3.SQLITE_NOMEM: "the memory is exhausted",
    sqlite3.SQLITE_TOOBIG: "what is to be written is larger than a database can hold",
    sqlite3.SQLITE_CONSTRAINT: "what is to be written contradicts another entry, perhaps by using its key",
}


def store_error(error: sqlite3.Error, path: Path) -> StoreError:
    """
    Turn SQLite's error into ours.

    SQLite's own words are left out, but for the name of the code: they may quote a statement.
    """
    return _explained(error_code(error), getattr(error, "sqlite_errorname", type(error).__name__), path)


def damaged(path: Path) -> StoreError:
    """Make the error for a file whose parts contradict each other."""
    return _explained(sqlite3.SQLITE_CORRUPT, "SQLITE_CORRUPT", path)


def _explained(code: int, name: str, path: Path) -> StoreError:
    """Make the error for a result code of SQLite's."""
    return StoreError(f"the job store {path}: {_SENTENCES.get(code, 'SQLite refuses what is asked of it')} ({name})")


def error_code(error: sqlite3.Error) -> int:
    """Return the primary result code of *error*; 0 where it did not come from SQLite itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def os_error(error: OSError, path: Path) -> StoreError:
    """Turn the system's refusal to let files stand beside the database at *path* into our error."""
    return StoreError(
        f"the job store {path}: its folder cannot be used ({error.strerror}): see that it exists, to its permissions "
        "and to the room on its disk"
    )
