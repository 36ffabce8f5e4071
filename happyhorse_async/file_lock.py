"""
Locked files that show whether the process that made them is alive.

A process id is not enough for that: the system reuses it, and it means nothing in another container. The
operating system releases a file lock when its process ends, however it ends.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

_PATIENCE = 2.0
_RETRY_INTERVAL = 0.01


def create_locked(path: Path, *, mode: int = 0o600, may_lack_lock: bool = False) -> int:
    """
    Create the file at *path*, lock it, and return its descriptor. It stays locked until the descriptor is closed.

    Blocks briefly if other processes check the file at the same moment.

    :param mode: its permissions. Anyone who may read a file may also lock it, and so make a dead process look alive.
    :param may_lack_lock: return the file unlocked if the file system has no locks. It then looks abandoned.
    :raises OSError: the file exists, cannot be created, or cannot be locked. No file is left behind.
    """
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0), mode)
        try:
            _lock(descriptor)
        except OSError:
            if may_lack_lock:
                return descriptor
            os.close(descriptor)
            with suppress(OSError):
                path.unlink()
            raise
        # Between these calls another process may have considered the file abandoned, and removed it.
        if _has_name(descriptor):
            return descriptor
        os.close(descriptor)


def remove_unless_locked(path: Path) -> bool:
    """Return whether a living process has the file at *path* locked, and remove the file if not."""
    try:
        return _is_locked(path)
    except FileNotFoundError:
        return False
    except OSError:
        # It is locked. A file that cannot be opened counts as locked, too.
        return True


if sys.platform == "win32":
    # A file that Python has open cannot be removed on Windows, which serves as the lock.

    def _lock(descriptor: int) -> None: ...

    def _has_name(descriptor: int) -> bool:  # noqa: ARG001 - as on other systems
        return True

    def _is_locked(path: Path) -> bool:
        path.unlink()
        return False

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        # Non-blocking: another user could hold a lock for ever.
        give_up_at = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES) or time.monotonic() >= give_up_at:
                    raise
            time.sleep(_RETRY_INTERVAL)

    def _has_name(descriptor: int) -> bool:
        return os.fstat(descriptor).st_nlink > 0

    def _is_locked(path: Path) -> bool:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            # Shared, so that two processes that check at the same moment do not mistake each other for the owner.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            # The path names this file until it is removed: its creator waits for this lock before it creates another.
            if _has_name(descriptor):
                with suppress(OSError):
                    path.unlink()
            return False
        finally:
            os.close(descriptor)
