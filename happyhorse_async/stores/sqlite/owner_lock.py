"""
Shows which processes have a database open, to distinguish the jobs of killed and living processes.

Each process keeps a locked file of its own beside the database.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from glob import escape
from pathlib import Path

from ...file_lock import create_locked, remove_unless_locked

_OWNER = re.compile(r"\d+-[0-9a-f]{16}")

# A forked child inherits the open files, and with them the locks: it would keep a killed parent alive.
_held: set[int] = set()


def _close_in_child() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


def new_owner() -> str:
    """Return a name that no process has had before. It begins with the process id, for people who search for it."""
    return f"{os.getpid()}-{secrets.token_hex(8)}"


class OwnerFile:
    """The file that shows, while it is locked, that *owner* has *database* open."""

    def __init__(self, database: Path, owner: str) -> None:
        self._database = database
        self._path = _path(database, owner)
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """
        Create the file and lock it.

        :raises OSError: it cannot be created beside the database, or its file system has no locks.
        """
        # The users who may write the database have to see whether its owners are alive. Others could lock the file of
        # a killed process.
        is_shared = self._database.exists() and self._database.stat().st_mode & 0o020
        self._descriptor = create_locked(self._path, mode=0o660 if is_shared else 0o600)
        _held.add(self._descriptor)

    def release(self) -> None:
        """Unlock the file and remove it."""
        if self._descriptor is not None:
            _held.discard(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
            with suppress(OSError):
                self._path.unlink()


def is_alive(database: Path, owner: str) -> bool:
    """Return whether *owner* still has *database* open, and remove its file if not."""
    return _OWNER.fullmatch(owner) is not None and remove_unless_locked(_path(database, owner))


def owner_files(database: Path) -> Iterator[Path]:
    """Return the files of all owners of *database*, living or not."""
    prefix = f"{database.name}-owner-"
    for path in database.parent.glob(f"{escape(prefix)}*"):
        if _OWNER.fullmatch(path.name.removeprefix(prefix)):
            yield path


def living_owners(database: Path) -> list[str]:
    """Return the processes that have *database* open, and remove the files of those that were killed."""
    return [
        path.name.removeprefix(f"{database.name}-owner-")
        for path in owner_files(database)
        if remove_unless_locked(path)
    ]


def _path(database: Path, owner: str) -> Path:
    return database.with_name(f"{database.name}-owner-{owner}")
