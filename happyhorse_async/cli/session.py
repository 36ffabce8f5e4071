"""What one run works with: its configuration, its clients, and the journal that they share."""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from ..client import Client
from ..client.client import configured_store
from ..config import Settings
from ..errors import ConfigurationError, InvalidRequestError
from ..job import Job
from ..stores import MemoryStore, TaskStore


class Session:
    """
    One run's configuration.

    :param config: the configuration file that was named.
    :raises ConfigurationError: it cannot be read, or holds something wrong.
    """

    def __init__(self, config: str | None) -> None:
        self.config = config
        self.settings = Settings.load(config)
        store = configured_store(self.settings)
        self.remembers = store is not None
        """Whether another run will know what this one has done."""
        self._store = store or MemoryStore()

    def client(self, provider: str | None = None, *, recover: bool = False) -> Client:
        """
        Make a client for *provider*, by default the one that is chosen. It is not open yet.

        :param inherit: whether it sends what dead processes were to send. A command that only looks must not pay.
        """
        with warnings.catch_warnings():
            # What there is to say about the file was said when it was read for this session.
            warnings.simplefilter("ignore")
            return Client.from_config(self.config, provider=provider, store=self._store, recover=recover)

    def command(self, *words: str) -> tuple[str, ...]:
        """Return a command line that has this run's configuration."""
        return ("happyhorse", *words, *(("--config", self.config) if self.config else ()))

    @asynccontextmanager
    async def journal(self) -> AsyncGenerator[TaskStore]:
        """Open the journal, whether or not a client has it open. Nothing is sent."""
        await self._store.open()
        try:
            yield self._store
        finally:
            await self._store.aclose()

    async def by_key(self, key: str) -> Job | None:
        """Find the job that has *key*."""
        async with self.journal() as store:
            return await store.by_key(key)

    async def job(self, job_id: str) -> Job:
        """
        Find a job by its id.

        :raises ConfigurationError: there is no journal on disk.
        :raises InvalidRequestError: it is not in the journal.
        """
        self.check_memory(f"{job_id} is no ref, and finding a job by its id")
        async with self.journal() as store:
            job = await store.get(job_id)
        if job is None:
            raise InvalidRequestError(f"the journal has no job {job_id!r}")
        return job

    async def is_seen_to(self, job: Job) -> bool:
        """Tell whether the process that is to send *job* is still there."""
        async with self.journal() as store:
            return job.owner is not None and await store.is_alive(job.owner)

    def check_memory(self, purpose: str) -> None:
        """
        Make sure that there is a journal on disk.

        :raises ConfigurationError: jobs are kept in memory, and every run begins with nothing in it.
        """
        if not self.remembers:
            raise ConfigurationError(
                f"{purpose} needs a journal on disk: set path in the table [store] of the configuration"
            )
