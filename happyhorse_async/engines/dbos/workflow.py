"""The workflow of a job. DBOS has one registry of functions for a process, in which they have no owner."""

from __future__ import annotations

import asyncio
from functools import cache

from .connection import Connection
from .names import WORKFLOW

_OPENED_POLL = 0.1


OPEN: dict[str, Connection] = {}
"""The open engines that run workflows, by name."""


async def run_job(engine: str, job_id: str) -> dict[str, str]:
    """Run a job, as a workflow. It waits while no client of this process is open."""
    while True:
        while (connection := OPEN.get(engine)) is None or connection.loop.is_closed():  # noqa: ASYNC110 - no event of one loop
            await asyncio.sleep(_OPENED_POLL)
        running = asyncio.wrap_future(connection.submit(job_id))
        try:
            return await running
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # The client was closed, and may be opened again.


@cache
def register() -> None:
    """Make the workflow known to DBOS."""
    from dbos import DBOS, WorkflowSerializationFormat  # noqa: PLC0415 - an extra

    # DBOS gives up a workflow after a hundred recoveries; a job is run until it has ended.
    decorate = DBOS.workflow(
        name=WORKFLOW, max_recovery_attempts=None, serialization_type=WorkflowSerializationFormat.PORTABLE
    )
    decorate(run_job)
