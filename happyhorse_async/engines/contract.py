"""The contract of an engine, and the interface that its client provides."""

from __future__ import annotations

from typing import Protocol

from ..job import Job
from ..stores import TaskStore
from ..task import Task


class EngineJobs(Protocol):
    """The jobs of an open client, as an engine sees them."""

    @property
    def store(self) -> TaskStore:
        """The journal, which is open."""
        ...

    @property
    def works(self) -> bool:
        """Whether this process sends and polls jobs; see `Client(work=…)`."""
        ...

    @property
    def recovers(self) -> bool:
        """Whether this process resumes the jobs of dead processes; see `Client(recover=…)`."""
        ...

    async def run(self, job_id: str) -> Task:
        """Run a job to its end from its present state; see `Client.run`."""
        ...

    async def read(self, job_id: str) -> Job:
        """
        Return a job.

        :raises TaskNotFoundError: there is no such job.
        """
        ...

    async def unsent(self) -> list[Job]:
        """
        Return the enqueued jobs that no living process is sending.

        Jobs of dead processes that were not enqueued are withdrawn: their callers are gone.
        """
        ...


class Engine(Protocol):
    """
    Makes recorded jobs run somewhere: it calls `Client.run` at least once for each of them, in some process.

    A client with an engine leaves enqueued jobs to it. When a process dies, the others poll its tasks at the provider
    in any case. An engine object belongs to one client.
    """

    async def open(self, jobs: EngineJobs) -> None:
        """
        Start. Called when the client is open.

        :raises ConfigurationError: it cannot work with this client.
        """
        ...

    def start(self, job_id: str) -> None:
        """Run a job that is in the journal. Called at least once for each job. Never blocks or raises."""
        ...

    async def aclose(self) -> None:
        """Stop. Unfinished jobs continue in another process. Harmless if the engine is not open."""
        ...
