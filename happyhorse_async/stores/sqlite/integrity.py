"""Whether the content of a database is sound. To find out, all of it has to be read."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path

from ...logs import get_logger
from .errors import damaged

_log = get_logger(__name__)

_SMALL = 8_000_000
"""A database of so many bytes is read in some tens of milliseconds, before it is used."""
_DELAY = 2.0
# https://www.sqlite.org/fileformat2.html#in_header_database_size
_PAGE_SIZE, _PAGES = slice(16, 18), slice(28, 32)


def is_small(path: Path) -> bool:
    """Return whether a database can be checked before it is used."""
    return path.stat().st_size <= _SMALL


def check_all(connection: sqlite3.Connection, path: Path) -> None:
    """
    Read a database, and check that its pages fit together.

    :raises StoreError: they do not.
    """
    if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise damaged(path)


def check_size(path: Path) -> None:
    """
    Check that nothing is cut off at the end of a database. What a log still holds may be missing there.

    :raises StoreError: something is.
    """
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        return
    with path.open("rb") as file:
        head = file.read(100)
    # The largest size of a page does not fit into its two bytes.
    page_size = int.from_bytes(head[_PAGE_SIZE]) or 1
    page_size = 65536 if page_size == 1 else page_size
    if int.from_bytes(head[_PAGES]) * page_size > path.stat().st_size:
        raise damaged(path)


class BackgroundCheck:
    """Checks a large database in a thread of its own, while it is in use."""

    def __init__(self, path: Path) -> None:
        self.found_damage = False
        """Whether it is damaged, as far as is known."""
        self._path = path
        self._closing = threading.Event()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._thread = threading.Thread(target=self._run, name="happyhorse-store-check", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with closing(self._connection):
            # What a process was started for comes first, and many have ended by then.
            if self._closing.wait(_DELAY):
                return
            try:
                is_sound = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
            except sqlite3.OperationalError:
                # It was closed, or another process changes the file. The next opening checks it again.
                return
            except sqlite3.DatabaseError:
                is_sound = False
        if not is_sound:
            self.found_damage = True
            _log.critical("%s", damaged(self._path).message)

    def close(self) -> None:
        """End the check."""
        self._closing.set()
        with suppress(sqlite3.Error):
            self._connection.interrupt()
        self._thread.join()
