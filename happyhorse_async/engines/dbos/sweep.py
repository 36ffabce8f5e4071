"""Finds workflows of dead processes in DBOS, and jobs that never got a workflow."""

from __future__ import annotations

import asyncio
import random
from contextlib import nullcontext

from ...errors import HappyHorseError
from ...logs import get_logger
from .connection import Connection
from .names import EXECUTOR

_log = get_logger(__name__)

_TAKEOVER_INTERVAL = 2.0
_SEARCH_INTERVAL = 10.0
# Each search for lost jobs reads all that are queued. So many are read per second on average.
_READ_RATE = 100
_CHUNK = 200


class Sweep:
    """
    Finds workflows of dead processes, and jobs without a workflow.

    Two processes may find the same at the same time. With a journal in PostgreSQL one of them leaves it to the other;
    otherwise a job is run in both, and one of them waits for the other.
    """

    def __init__(self, connection: Connection) -> None:
        self._engine = connection
        self._suspects: set[str] = set()
        self._is_failing = False

    async def run(self) -> None:
        """Search periodically, for ever."""
        search_in = 0.0
        while True:
            try:
                if self._engine.is_launched:
                    await self._take_over()
                if search_in <= 0:
                    count = await self._search()
                    search_in = max(_SEARCH_INTERVAL, count / _READ_RATE)
            except Exception as error:  # noqa: BLE001 - DBOS raises those of its database driver, too
                if not self._is_failing:
                    reason = error.message if isinstance(error, HappyHorseError) else type(error).__name__
                    _log.warning("what dead processes have left cannot be found in DBOS: %s", reason)
                self._is_failing = True
            else:
                self._is_failing = False
            pause = _TAKEOVER_INTERVAL * random.uniform(0.7, 1.3)
            search_in -= pause
            await asyncio.sleep(pause)

    async def _take_over(self) -> None:
        """Resume the workflows of dead processes, those of the program included."""
        engine = self._engine
        pending = await engine.workflows(status="PENDING")
        dead: dict[str, bool] = {}
        for executor in {workflow.executor_id or "" for workflow in pending} - {engine.executor_id}:
            if executor.startswith(EXECUTOR):
                dead[executor] = not await engine.jobs.store.is_alive(executor.removeprefix(EXECUTOR))
        for executor in (executor for executor, is_dead in dead.items() if is_dead):
            await self._resume_those_of(executor)

    async def _resume_those_of(self, executor: str) -> None:
        # Of several survivors one does it, where the store can choose. The others would do it again.
        alone = getattr(self._engine.jobs.store, "alone", None)
        async with nullcontext(True) if alone is None else alone(executor) as is_chosen:
            if not is_chosen:
                return
            # Another one may have just done it.
            pending = await self._engine.workflows(status="PENDING", executor_id=executor)
            if left := [workflow.workflow_id for workflow in pending]:
                await self._engine.resume(left)
                _log.info("%d workflows of a dead process are resumed", len(left))

    async def _search(self) -> int:
        """
        Start jobs without a workflow, and jobs started by a dead process, if two searches find them.

        A single search also finds jobs that another process is just starting.

        :return: how many jobs were read.
        """
        jobs = {job.job_id: job for job in await self._engine.jobs.unsent()}
        ids = list(jobs)
        known: dict[str, str] = {}
        for first in range(0, len(ids), _CHUNK):
            for workflow in await self._engine.workflows(workflow_ids=ids[first : first + _CHUNK]):
                known[workflow.workflow_id] = workflow.status
        missing = {job_id for job_id in ids if job_id not in known}
        orphans: set[str] = set()
        if not self._engine.is_launched:
            # Who has died is not known of executors that others have named. But where a job has had an owner, its
            # workflow had begun.
            orphans = {job_id for job_id in ids if known.get(job_id) == "PENDING" and jobs[job_id].owner}
        for job_id in missing & self._suspects:
            await self._engine.start(job_id)
        if abandoned := list(orphans & self._suspects):
            await self._engine.resume(abandoned)
        self._suspects = missing | orphans
        return len(ids)
