"""
The journal: jobs are written to a store, so that no paid task depends on a process staying alive.

`TaskStore` is the contract. `MemoryStore` is lost with its process. `SQLiteStore` is one file, shared by the processes
of one machine; `PostgresStore` is a database, shared by those of several. Their modules are imported on first access,
because a program that does not use them need not load them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .contract import TaskStore
from .memory import MemoryStore

if TYPE_CHECKING:
    from .postgres.store import PostgresStore
    from .sqlite.store import SQLiteStore

__all__ = ["MemoryStore", "PostgresStore", "SQLiteStore", "TaskStore"]


def __getattr__(name: str) -> Any:
    if name == "SQLiteStore":
        from .sqlite.store import SQLiteStore  # noqa: PLC0415

        return SQLiteStore
    if name == "PostgresStore":
        from .postgres.store import PostgresStore  # noqa: PLC0415

        return PostgresStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
