"""Everything that runs while a client is open, and the order in which it starts and stops."""

from __future__ import annotations

import asyncio
import os
import warnings
import weakref
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from attrs import frozen

from .. import telemetry
from ..background import Background
from ..download import DownloadPolicy, Downloads, Progress
from ..errors import HappyHorseError, TaskNotFoundError
from ..exchange import Exchange
from ..job import Job
from ..jobs.account import AccountRuntime, Accounts
from ..jobs.auto_download import AutoDownloads
from ..jobs.callbacks import CallbackProcessor
from ..jobs.intake import Intake
from ..jobs.job_errors import error_of
from ..jobs.journal import Journal
from ..jobs.reconcile import Reconciler
from ..jobs.recovery import Recovery
from ..jobs.submit import Submitter
from ..polling import EstimatorPersistence, Poller
from ..ratelimit import AccountLimits
from ..retry import RetryPolicies
from ..stores import TaskStore
from ..task import Task, TaskRef, TaskStatus
from ..timeouts import Timeouts
from ..timing import Limits, PollSchedule
from ..tracked_job import TrackedJob
from ..tracker import Tracker
from ..transports import Transport
from .plan import Planner

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")


@frozen(kw_only=True)
class Options:
    """How a client works; see `Client`."""

    store: TaskStore
    poll: PollSchedule
    limits: Limits | None
    retries: RetryPolicies
    timeouts: Timeouts
    transport: Transport | None
    connector: aiohttp.BaseConnector | None
    proxy: str | None
    recover: bool
    auto_adopt: bool
    allow_private_hosts: bool


class ClientRuntime:
    """The parts of one open client: one store and one registry of jobs, and one or several accounts."""

    def __init__(self, planners: Mapping[str, Planner], options: Options) -> None:
        self.loop = asyncio.get_running_loop()
        self.process = os.getpid()
        self.background = Background(follows_caller=True)
        # Each picture that is examined is decoded in memory.
        self.media_limiter = anyio.CapacityLimiter(1)
        self.accounts = Accounts()
        self.tracker = Tracker()
        self.journal = Journal(options.store)
        self.auto_downloads = AutoDownloads(
            self.tracker,
            self.journal,
            attend=self._attend,
            download=self._save,
            retry=options.retries.save,
            recovers=options.recover,
        )
        self.reconciler = Reconciler(
            self.accounts, self.tracker, self.journal, self.auto_downloads, auto_adopt=options.auto_adopt
        )
        self.submitter = Submitter(self.accounts, self.tracker, self.journal, self.reconciler, options.retries)
        self.recovery = Recovery(
            self.accounts,
            self.journal,
            self.submitter,
            self.reconciler,
            self.auto_downloads,
            is_enabled=options.recover,
        )
        self.intake = Intake(
            self.accounts, self.tracker, self.journal, self.submitter, self.recovery, self.auto_downloads
        )
        self.callbacks = CallbackProcessor(self.tracker, self.submitter, self.journal, self.auto_downloads)
        for planner in planners.values():
            self.accounts.add(self._account(planner, options))

    @classmethod
    async def open(cls, planners: Mapping[str, Planner], options: Options) -> ClientRuntime:
        """
        Start everything.

        :raises StoreError: the store cannot be used.
        """
        runtime = cls(planners, options)
        try:
            await runtime.recovery.open()
            for account in runtime.accounts:
                await account.persistence.load()
        except BaseException:
            await runtime.aclose()
            raise
        return runtime

    def _account(self, planner: Planner, options: Options) -> AccountRuntime:
        adapter = planner.adapter
        limits = AccountLimits.of(
            options.limits, adapter.limits, adapter.name, execution_timeout=adapter.execution_timeout
        )
        exchange = Exchange(
            adapter, planner.account, options.transport or _transport(options), limits, options.timeouts
        )
        poller = Poller(exchange, options.poll, self.tracker, self._changed, options.retries.poll)
        downloads = Downloads(
            exchange=exchange,
            fetch=poller.fetch,
            private=options.allow_private_hosts,
            policy=DownloadPolicy(retry=options.retries.download, patience=options.timeouts.download),
        )
        return AccountRuntime(
            exchange,
            poller,
            EstimatorPersistence(options.store, poller.estimator, adapter.name),
            downloads,
            self.submitter.start,
            lambda: len(self.tracker) + poller.in_flight,
            owns_transport=options.transport is None,
        )

    def _changed(self, tracked: TrackedJob) -> None:
        self.journal.observed(tracked)
        if tracked.ended:
            self.accounts.of(tracked.job).persistence.save_periodically()

    async def _attend(self, tracked: TrackedJob) -> None:
        await self.intake.attend(tracked)

    async def download(self, task: Task, path: str | PathLike[str], *, progress: Progress | None = None) -> Path:
        """Download the video of a task; see `Client.download`."""
        downloads = self.accounts.named(task.ref.provider).downloads
        return await telemetry.download(
            self.tracker.span_of(task.ref), downloads.download(task, path, progress=progress)
        )

    async def _save(self, task: Task, path: Path) -> Path:
        downloads = self.accounts.named(task.ref.provider).downloads
        saving = downloads.with_few_retries().download(task, path)
        return await telemetry.download(self.tracker.span_of(task.ref), saving, is_callers=False)

    def find(self, ref: TaskRef) -> TrackedJob:
        """
        Return the tracked job of a task, without I/O.

        :raises ConfigurationError: the client does not have its provider.
        """
        account = self.accounts.named(ref.provider)
        return self.tracker.for_ref(ref, account.unrecorded(ref))

    async def ref_of(self, job_id: str) -> TaskRef:
        """
        Return the task of a job.

        :raises TaskNotFoundError: there is no such job, or it has no task yet.
        :raises HappyHorseError: why it will never have one.
        """
        job: Job = await self.intake.read(job_id=job_id)
        if job.ref is not None:
            return job.ref
        error: HappyHorseError | None = error_of(job)
        raise error or TaskNotFoundError(f"the job has no task yet: it is {job.state}", job_id=job_id)

    async def fetch(self, ref: TaskRef) -> Task:
        """Poll a task once; see `Client.fetch`."""
        account = self.accounts.named(ref.provider)
        return await telemetry.query("fetch", account.endpoint, self.tracker.span_of(ref), account.poller.fetch(ref))

    async def cancel(self, ref: TaskRef) -> Task:
        """Cancel a task; see `Client.cancel`."""
        account = self.accounts.named(ref.provider)
        async with account.exchange.query_slot():
            cancelling = account.exchange.cancel(ref)
            is_taken = await telemetry.query("cancel", account.endpoint, self.tracker.span_of(ref), cancelling)
        try:
            return await self.fetch(ref)
        except TaskNotFoundError:
            if not is_taken:
                raise
        # Some providers forget a task as soon as it is cancelled.
        canceled = Task(ref=ref, status=TaskStatus.CANCELED)
        account.poller.observe(canceled)
        return canceled

    async def aclose(self) -> None:
        """Stop everything: paid requests first, with some time to be answered."""
        # Last in, first out; and to the end, even if the caller is cancelled.
        async with AsyncExitStack() as closing:
            for account in self.accounts:
                closing.push_async_callback(account.aclose)
            closing.push_async_callback(self.journal.aclose)
            for account in self.accounts:
                closing.push_async_callback(account.persistence.aclose)
            closing.push_async_callback(self.background.aclose)
            for account in self.accounts:
                closing.push_async_callback(account.poller.aclose)
            closing.push_async_callback(self.auto_downloads.aclose)
            closing.push_async_callback(self.reconciler.aclose)
            closing.push_async_callback(self.submitter.aclose)
            closing.push_async_callback(self.recovery.aclose)
            closing.push_async_callback(self.intake.aclose)
            closing.push_async_callback(self.callbacks.aclose)


def _transport(options: Options) -> Transport:
    from ..transports.aiohttp import AiohttpTransport  # noqa: PLC0415 - aiohttp takes longer to import than the rest

    return AiohttpTransport(connector=options.connector, proxy=options.proxy, timeouts=options.timeouts)


class Lifecycle:
    """When a client is open: from its start to its end, in the process and event loop that opened it."""

    def __init__(self, planners: Mapping[str, Planner], options: Options) -> None:
        self.planners = planners
        self._options = options
        self._if_dropped: weakref.finalize[..., Lifecycle] | None = None
        self._runtime: ClientRuntime | None = None

    async def open(self) -> None:
        """
        Start everything that runs while the client is open.

        :raises RuntimeError: it is open already.
        :raises StoreError: the store cannot be used.
        """
        if self._is_dead():
            self._forget()
        if self._runtime is not None:
            raise RuntimeError("the client is already open")
        self._runtime = await ClientRuntime.open(self.planners, self._options)
        self._if_dropped = weakref.finalize(self, _warn_of_dropped, ", ".join(self.planners), os.getpid())

    def _is_dead(self) -> bool:
        """Whether the event loop was closed before the client. Nothing of it can run or be closed any more."""
        return self._runtime is not None and self._runtime.loop.is_closed()

    def _forget(self) -> ClientRuntime | None:
        runtime, self._runtime = self._runtime, None
        if self._if_dropped is not None:
            self._if_dropped.detach()
        return runtime

    @property
    def is_open(self) -> bool:
        """Whether the client is open, wherever that was."""
        return self._runtime is not None and not self._is_dead()

    def inside(self) -> ClientRuntime:
        """
        Return everything that runs.

        :raises RuntimeError: the client is not open, or not in this process and event loop.
        """
        if self._runtime is None:
            raise RuntimeError("the client is not open: use it inside 'async with'")
        if self._runtime.process != os.getpid():
            raise RuntimeError("the client was opened before this process was forked: open one in each process")
        if self._runtime.loop is not asyncio.get_running_loop():
            raise RuntimeError("the client was opened in another event loop; each loop needs a client of its own")
        return self._runtime

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run *work* on its own until the client closes."""
        try:
            background = self.inside().background
        except RuntimeError:
            work.close()
            raise
        return background.spawn(work)

    async def aclose(self) -> None:
        """Stop what runs, if anything does; raises what `inside` raises."""
        if self._is_dead():
            self._forget()
        if self._runtime is not None:
            runtime = self.inside()
            self._forget()
            await runtime.aclose()


def _warn_of_dropped(provider: str, process: int) -> None:
    if process == os.getpid():
        message = f"the client of {provider} was never closed; what it was doing is in its store"
        warnings.warn(message, ResourceWarning, stacklevel=2)
