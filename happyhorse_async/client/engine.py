"""The part of a client that an engine uses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..job import Job
from ..stores import TaskStore
from ..task import Task
from .runtime import Lifecycle


class ClientJobs:
    """The jobs of an open client: what `EngineJobs` promises."""

    def __init__(self, lifecycle: Lifecycle, run: Callable[[str], Awaitable[Task]]) -> None:
        self._lifecycle = lifecycle
        self._run = run

    @property
    def store(self) -> TaskStore:
        """The journal."""
        return self._lifecycle.options.store

    @property
    def works(self) -> bool:
        """Whether this process sends and polls jobs."""
        return self._lifecycle.options.work

    @property
    def recovers(self) -> bool:
        """Whether this process resumes the jobs of dead processes."""
        return self.works and self._lifecycle.options.recover

    async def run(self, job_id: str) -> Task:
        """Run a job to its end; see `Client.run`."""
        return await self._run(job_id)

    async def read(self, job_id: str) -> Job:
        """Return what is known of a job."""
        return await self._lifecycle.inside().intake.lookup.read(job_id=job_id)

    async def unsent(self) -> list[Job]:
        """Return the enqueued jobs that no living process is sending."""
        return await self._lifecycle.inside().takeover.recovery.unsent()
