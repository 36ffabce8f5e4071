"""What an engine promises, and what it gets from the client that it works for."""

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
        """Whether this process goes on with what dead processes have left; see `Client(recover=…)`."""
        ...

    async def run(self, job_id: str) -> Task:
        """Run a job to its end from wherever it stands; see `Client.run`."""
        ...

    async def read(self, job_id: str) -> Job:
        """
        Return what is known of a job.

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

    A client with an engine leaves enqueued jobs to it. What is in flight at the provider when a process dies is polled
    by the other processes in any case. An engine object belongs to one client.
    """

    async def open(self, jobs: EngineJobs) -> None:
        """
        Start. Called when the client is open.

        :raises ConfigurationError: it cannot work with this client.
        """
        ...

    def start(self, job_id: str) -> None:
        """Have a job run that is in the journal now. Called once or more for a job. Never blocks or raises."""
        ...

    async def aclose(self) -> None:
        """Stop. What has not ended goes on in another process. Harmless where the engine is not open."""
        ...
