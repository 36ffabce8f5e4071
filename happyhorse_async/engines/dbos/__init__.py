"""
Runs enqueued jobs as durable workflows of DBOS.

Each job has one workflow, whose id is the job id. It calls `Client.run`, which pays once however often it is called:
DBOS promises at least once, and the journal makes that exactly once. DBOS has one instance per process, with threads
of its own; all calls of it are made in threads of this engine, so that the event loop is not blocked.

https://docs.dbos.dev/python/reference/dbos-class
"""

from __future__ import annotations

from .engine import DBOSEngine

__all__ = ["DBOSEngine"]
