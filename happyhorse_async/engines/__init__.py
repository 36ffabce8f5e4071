"""
Engines: systems that run recorded jobs.

The journal makes a job happen exactly once. An engine only has to call `Client.run` at least once for each job, in any
process and after any crash. Without one, every client does so for its own jobs, and `happyhorse worker` for the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .contract import Engine, EngineJobs

if TYPE_CHECKING:
    from .dbos import DBOSEngine

__all__ = ["DBOSEngine", "Engine", "EngineJobs"]


def __getattr__(name: str) -> Any:
    if name == "DBOSEngine":
        from .dbos import DBOSEngine  # noqa: PLC0415 - few programs need it

        return DBOSEngine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
