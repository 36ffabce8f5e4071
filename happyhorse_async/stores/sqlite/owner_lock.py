"""
Which processes have a database open, so that a job whose process was killed can be told from one that is being seen to.

A process id says too little: it is given out again, and means nothing in the next container. So each owner keeps a file
of its own open beside the database, and the operating system lets go of it however the process ends.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
from contextlib import suppress
from glob import escape
from pathlib import Path

_OWNER = re.compile(r"\d+-[0-9a-f]{16}")


def new_owner() -> str:
    """Return a name that no process has had before. It begins with the process id, for people who look for it."""
    return f"{os.getpid()}-{secrets.token_hex(8)}"


class OwnerFile:
    """The file that shows, while it is held, that *owner* has *database* open."""

    def __init__(self, database: Path, owner: str) -> None:
        self._path = _path(database, owner)
        self._descriptor: int | None = None

    def hold(self) -> None:
        """
        Create the file and hold it.

        :raises OSError: it cannot be created beside the database, or its file system knows no locks.
        """
        while self._descriptor is None:
            self._descriptor = _hold(self._path)

    def release(self) -> None:
        """Let go of the file and remove it."""
        if self._descriptor is not None:
            _release(self._descriptor)
            self._descriptor = None
            with suppress(OSError):
                self._path.unlink()


def is_alive(database: Path, owner: str) -> bool:
    """Tell whether *owner* still has *database* open, and remove what it has left behind if not."""
    return _OWNER.fullmatch(owner) is not None and _is_held(_path(database, owner))


def remove_stale(database: Path) -> None:
    """Remove the files that killed processes have left beside *database*."""
    for path in database.parent.glob(f"{escape(database.name)}-owner-*"):
        is_alive(database, path.name.removeprefix(f"{database.name}-owner-"))


def _path(database: Path, owner: str) -> Path:
    return database.with_name(f"{database.name}-owner-{owner}")


if sys.platform == "win32":

    def _hold(path: Path) -> int:
        # Opened in this way, the file cannot be removed by anybody until it is closed.
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR)

    def _release(descriptor: int) -> None:
        os.close(descriptor)

    def _is_held(path: Path) -> bool:
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

else:
    import fcntl

    # flock belongs to the open file, which a forked child shares: the child would keep a killed parent alive.
    _held: set[int] = set()

    def _let_go_in_child() -> None:
        for descriptor in _held:
            os.close(descriptor)
        _held.clear()

    os.register_at_fork(after_in_child=_let_go_in_child)

    def _hold(path: Path) -> int | None:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
        _held.add(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Between the two calls above, somebody may have taken the file for a stale one and removed it.
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except OSError:
            _release(descriptor)
            path.unlink()
            raise
        _release(descriptor)
        return None

    def _release(descriptor: int) -> None:
        _held.discard(descriptor)
        os.close(descriptor)

    def _is_held(path: Path) -> bool:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        try:
            # Shared, so that two who look at the same moment do not take each other for the owner.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        else:
            # The path leads to this file for as long as it has a name: an owner that lost it to somebody who cleaned up
            # has to wait for this lock before it makes another.
            if os.fstat(descriptor).st_nlink:
                with suppress(OSError):
                    path.unlink()
            return False
        finally:
            os.close(descriptor)
