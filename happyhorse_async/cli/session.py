"""What one run works with: its configuration, its journal, and clients that share the journal."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from attrs import evolve, frozen

from ..client import Client
from ..client.client import configured_store, make_command_client
from ..config import Settings
from ..errors import ConfigurationError, InvalidRequestError, TaskNotFoundError
from ..job import Job
from ..stores import MemoryStore, TaskStore
from ..task import TaskRef
from .options import Common
from .state import journal_file, make_folder

_JOB_PREFIX = "hh-"


@frozen(kw_only=True)
class Named:
    """A job or task that the user has named, by its ref or its job id."""

    provider: str
    ref: TaskRef | None = None
    job_id: str | None = None

    def __str__(self) -> str:
        return str(self.ref or self.job_id)


class Session:
    """
    The configuration and journal of one run.

    :param pays: whether the run submits: then its journal is made if there is none, so that nothing is paid twice.
    :raises ConfigurationError: the configuration is wrong, or the journal cannot be made.
    """

    def __init__(self, common: Common, *, pays: bool = False) -> None:
        self._common = common
        settings = Settings.load(common.config)
        self.settings = settings if common.proxy is None else settings.with_proxy(common.proxy)
        self.journal_name = None if common.no_store else self._journal_name()
        """Where the journal is; `None` with `--no-store`."""
        self._store = self._open_store(pays=pays)
        self._pays = pays

    @property
    def remembers(self) -> bool:
        """Whether other runs know what this one has submitted."""
        return self.journal_name is not None

    def _journal_name(self) -> str:
        if self.settings.store is not None:
            return self.settings.store.place
        return str(journal_file(self.settings.path).resolve())

    def _open_store(self, *, pays: bool) -> TaskStore:
        if self.journal_name is None:
            return MemoryStore()
        if self.settings.store is not None:
            return configured_store(self.settings) or MemoryStore()
        file = journal_file(self.settings.path)
        if pays:
            make_folder(file)
        elif not file.exists():
            # A command that only reads leaves no file behind.
            return MemoryStore()
        from ..stores.sqlite.store import SQLiteStore  # noqa: PLC0415 - takes longer to load than the rest

        return SQLiteStore(file)

    def client(self, provider: str | None = None, *, recover: bool = False) -> Client:
        """
        Make a client for *provider*, by default the chosen one. It is not open yet.

        :param recover: whether it sends what crashed processes were about to send. A command that only reads must not
            pay.
        """
        # A command that pays for nothing needs no budget.
        settings = self.settings if self._pays else evolve(self.settings, budget=None)
        # With an engine, what others have enqueued is for the worker.
        recover = recover and settings.engine is None
        settings = evolve(settings, engine=None)
        return make_command_client(settings, self._store, provider=provider, recover=recover)

    def shared_client(self, make: Callable[[Settings, TaskStore], Client]) -> Client:
        """Make a client in another way, with the configuration and journal of this run."""
        return make(self.settings, self._store)

    def command(self, *words: str) -> tuple[str, ...]:
        """Return a command line that has this run's configuration."""
        common = self._common
        options = (
            *(("--config", common.config) if common.config else ()),
            *(("--no-store",) if common.no_store else ()),
        )
        # The URL of a proxy may hold a password.
        proxy = ("--proxy", common.proxy) if common.proxy and "@" not in common.proxy else ()
        return ("happyhorse", *words, *options, *proxy)

    @asynccontextmanager
    async def journal(self) -> AsyncGenerator[TaskStore]:
        """Open the journal, whether or not a client has it open. Nothing is sent."""
        await self._store.open()
        try:
            yield self._store
        finally:
            await self._store.aclose()

    async def by_key(self, key: str) -> Job | None:
        """Find the job with *key*."""
        async with self.journal() as store:
            return await store.by_key(key)

    async def job(self, job_id: str) -> Job:
        """
        Find a job by its id.

        :raises ConfigurationError: there is no journal.
        :raises InvalidRequestError: it is not in the journal.
        """
        self.check_memory("finding a job by its id")
        async with self.journal() as store:
            job = await store.get(job_id)
        if job is None:
            raise InvalidRequestError(f"the journal has no job {job_id!r} ({self.journal_name})")
        return job

    async def find(self, name: str) -> Named:
        """
        Find what *name* names: a task by its ref, or a job by its id.

        :raises InvalidRequestError: it is neither, or the journal does not have the job.
        """
        if name.startswith(_JOB_PREFIX):
            job = await self.job(name)
            return Named(provider=job.endpoint.provider, ref=job.ref, job_id=job.job_id)
        try:
            ref = TaskRef.parse(name)
        except ValueError:
            raise InvalidRequestError(
                "expected a ref as it was printed (provider:id, such as main:0385dc79-5ff8) or a job id (hh-…)"
            ) from None
        return Named(provider=ref.provider, ref=ref)

    async def find_task(self, name: str) -> TaskRef:
        """
        Find the task that *name* names; see `find`.

        :raises TaskNotFoundError: the job has no task, or none yet.
        """
        named = await self.find(name)
        if named.ref is None:
            job = await self.job(name)
            reason = f": {job.error.message}" if job.error else ""
            raise TaskNotFoundError(f"the job has no task, its state is {job.state}{reason}", job_id=job.job_id)
        return named.ref

    async def is_attended(self, job: Job) -> bool:
        """Return whether the process that is to send *job* still runs."""
        async with self.journal() as store:
            return job.owner is not None and await store.is_alive(job.owner)

    def check_memory(self, purpose: str) -> None:
        """
        Make sure that there is a journal.

        :raises ConfigurationError: the run was told to go without.
        """
        if not self.remembers:
            raise ConfigurationError(f"{purpose} needs a journal: leave --no-store out")
