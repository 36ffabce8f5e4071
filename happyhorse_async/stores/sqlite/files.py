"""The files of a store as the file system shows them: usable, private, and still in place."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from ...errors import StoreError
from ...logs import get_logger
from .owner_lock import owner_files

_log = get_logger(__name__)

# SQLite keeps its log and its shared memory beside the database: https://www.sqlite.org/walformat.html
_COMPANIONS = ("-wal", "-shm", "-journal")

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def _companions(path: Path) -> list[Path]:
    return [path.with_name(f"{path.name}{suffix}") for suffix in _COMPANIONS]


def refuse_unusable(path: Path) -> None:
    """
    Check what is at *path* before anything is opened.

    :raises StoreError: it is not a regular file, or jobs are missing from it.
    """
    for file in (path, *_companions(path)):
        _refuse_other_kinds(file)
    if path.exists() and path.stat().st_size:
        return
    # SQLite would delete the log of an empty database, and the paid tasks in it.
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        raise StoreError(
            f"the job store {path} is missing or empty, while its log {log.name} is there: put the file back beside "
            "its log, or move the log away"
        )
    # An owner file is made after the database has its first page.
    if path.exists() and (owner := next(owner_files(path), None)):
        raise StoreError(
            f"the job store {path} is empty, while {owner.name} shows that it was in use: put a copy of the file in "
            f"its place; or, if no job in it matters, remove {path.name} and {owner.name}"
        )


def _refuse_other_kinds(path: Path) -> None:
    if path.exists():
        mode = path.stat().st_mode
        for is_kind, name in _KINDS:
            if is_kind(mode):
                raise StoreError(f"the job store {path} is {name}, not a regular file: give another path")


def make_private(path: Path, *, is_new: bool) -> None:
    """
    Make sure that other users cannot read the prompts and signed URLs in the file, nor in the files beside it.

    A file that its group may write was shared on purpose, and its group keeps its access.
    """
    exposed = [file for file in (path, *_companions(path)) if file.exists() and (is_new or _mode(file) & stat.S_IRWXO)]
    for file in exposed:
        is_shared = not is_new and _mode(file) & stat.S_IWGRP
        try:
            file.chmod(_mode(file) & (0o660 if is_shared else 0o600))
        except OSError as error:
            _log.warning(
                "the job store %s holds prompts and signed URLs, and every user of this machine can read it: its "
                "permissions cannot be changed (%s)", path, error.strerror,
            )  # fmt: skip
            return
    if exposed and not is_new:
        _log.warning("the job store %s could be read by every user of this machine: its permissions are changed", path)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def log_time(path: Path) -> int | None:
    """
    Return when the write-ahead log of a database was last written, in the nanoseconds of the file system.

    :return: `None` where that is not known: Windows may tell it only when a file is closed.
    """
    status = None if sys.platform == "win32" else _status(path.with_name(f"{path.name}-wal"))
    return None if status is None else status.st_mtime_ns


class FileWatch:
    """The identity and size of the files of an open database, by which it is found out that they were changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # SQLite creates and removes the log and the shared memory only with the first and the last connection.
        self._files = (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm"))
        self._identities = [_identity(_status(file)) for file in self._files]
        self._size = path.stat().st_size

    def sizes(self) -> tuple[int, int]:
        """
        Return the size of the database, and the largest one that was seen before.

        :raises StoreError: one of its files was removed or replaced.
        """
        statuses = [_status(file) for file in self._files]
        for file, status, identity in zip(self._files, statuses, self._identities, strict=True):
            if _identity(status) != identity:
                raise StoreError(
                    f"the job store {self._path}: the file {file.name} was removed or replaced while it was open: put "
                    "it back and restart; what is written now would be lost"
                )
        size, former = 0 if statuses[0] is None else statuses[0].st_size, self._size
        self._size = max(size, former)
        return size, former


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _identity(status: os.stat_result | None) -> tuple[int, int] | None:
    return None if status is None else (status.st_dev, status.st_ino)
