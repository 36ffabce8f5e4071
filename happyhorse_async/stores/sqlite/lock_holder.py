"""Which process keeps a database locked, where the system tells."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_LOCKS = Path("/proc/locks")
# The byte of the shared memory that a writer locks: https://www.sqlite.org/walformat.html#the_wal_index_file_format
_WRITE_LOCK = 120
_STOPPED = ("T", "t")


def lock_holder(database: Path) -> str | None:
    """
    Return the process that is writing to *database*, and whether it is stopped, in words; `None` if that is not known.

    Linux tells it of the processes that this one can see. The file itself must not be opened to ask: closing it would
    give up the locks of this process.
    """
    with suppress(OSError, ValueError):
        memory = database.with_name(f"{database.name}-shm").stat().st_ino
        for line in _LOCKS.read_text("ascii").splitlines():
            # 12: POSIX  ADVISORY  WRITE 4711 fe:01:131092 120 120
            kind, pid, file, first, last = line.split()[-5:]
            inode = int(file.rpartition(":")[2])
            if kind == "WRITE" and inode == memory and int(first) <= _WRITE_LOCK <= int(last) and int(pid) > 0:
                return f"process {pid}, which is stopped," if _is_stopped(pid) else f"process {pid}"
    return None


def _is_stopped(pid: str) -> bool:
    # The name of a program may contain blanks, so count from behind its parenthesis.
    return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0] in _STOPPED
