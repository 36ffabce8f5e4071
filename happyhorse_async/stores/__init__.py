"""
The journal: jobs are written to a store, so that no paid task depends on a process staying alive.

`TaskStore` is the contract. `MemoryStore` is lost with its process. `SQLiteStore` is one file, shared by the processes
of one machine; its module is imported on first access, because a program without a file need not load SQLite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .contract import TaskStore
from .memory import MemoryStore

if TYPE_CHECKING:
    from .sqlite.store import SQLiteStore

__all__ = ["MemoryStore", "SQLiteStore", "TaskStore"]


def __getattr__(name: str) -> Any:
    if name != "SQLiteStore":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .sqlite.store import SQLiteStore  # noqa: PLC0415

    return SQLiteStore
