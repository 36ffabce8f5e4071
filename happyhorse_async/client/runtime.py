"""Everything that runs while a client is open, and the order in which it starts and stops."""

from __future__ import annotations

import asyncio
import os
import warnings
import weakref
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import anyio

from .. import telemetry
from ..background import Background
from ..download import Progress
from ..errors import HappyHorseError, TaskNotFoundError
from ..job import Job
from ..jobs.account import Accounts
from ..jobs.auto_download import AutoDownloads
from ..jobs.callbacks import CallbackProcessor
from ..jobs.intake import Intake
from ..jobs.job_errors import error_of
from ..jobs.journal import NO_OWNER, Journal
from ..jobs.reconcile import Reconciler
from ..jobs.recovery import Recovery, is_unsent
from ..jobs.state import JobEvent
from ..jobs.submit import Submitter
from ..jobs.takeover import TakeOver
from ..task import Task, TaskRef, TaskStatus
from ..tracked_job import TrackedJob
from ..tracker import Tracker
from .account_factory import AccountFactory, Options
from .media import Keeping
from .plan import Planner
from .router import Fit, Router
from .spending import KnownSpending

T = TypeVar("T")


class ClientRuntime:
    """The parts of one open client: one store and one registry of jobs, and one or several accounts."""

    def __init__(self, planners: Mapping[str, Planner], options: Options, router: Router) -> None:
        self.loop = asyncio.get_running_loop()
        self.process = os.getpid()
        self.background = Background(follows_caller=True)
        self.tracker = Tracker()
        self.journal = Journal(options.store, options.within)
        self._factory = AccountFactory(planners, options, self)
        endpoints = {name: planner.settings.endpoint for name, planner in planners.items()}
        self.accounts = Accounts(endpoints, self._factory.start)
        # Each picture that is examined is decoded in memory.
        router.open(self.accounts, anyio.CapacityLimiter(1), Keeping.by(options.store), self.loop.time)
        recovers = options.work and options.recover
        self.auto_downloads = AutoDownloads(
            self.journal,
            attend=self._attend,
            download=self._save,
            retry=options.retries.save,
            recovers=recovers,
            works=options.work,
        )
        self.reconciler = Reconciler(self.accounts, self.tracker, self.journal, self.auto_downloads, works=options.work)
        self.submitter = Submitter(self.accounts, self.tracker, self.journal, self.reconciler, options.retries, router)
        recovery = Recovery(
            self.accounts,
            self.tracker,
            self.journal,
            self.submitter,
            self.reconciler,
            self.auto_downloads,
            is_enabled=recovers,
        )
        self.intake = Intake(
            self.accounts,
            self.tracker,
            self.journal,
            self.submitter,
            recovery,
            self.auto_downloads,
            works=options.work,
            has_engine=options.engine is not None,
        )
        self.takeover = TakeOver(
            options.store,
            self.accounts,
            self.tracker,
            recovery,
            self.intake.followers,
            is_enabled=recovers,
            takes_queued=options.engine is None,
            takes_polled=options.takes_polled,
            takes=options.takes,
            concurrency=options.concurrency,
        )
        self.callbacks = CallbackProcessor(self.tracker, self.submitter, self.journal, self.auto_downloads)

    @classmethod
    async def open(
        cls, planners: Mapping[str, Planner], options: Options, router: Router, *, default: str
    ) -> ClientRuntime:
        """
        Start everything.

        :param default: the account that is opened at once.
        :raises StoreError: the store cannot be used.
        """
        runtime = cls(planners, options, router)
        try:
            runtime.accounts.named(default)
            await runtime.journal.open()
            runtime.tracker.open(options.store)
            runtime.intake.followers.open()
            await runtime.takeover.open()
            for account in runtime.accounts:
                await account.persistence.load()
            runtime._factory.is_started = True
        except BaseException:
            await runtime.aclose()
            raise
        return runtime

    def admitting(self, names: Sequence[str], fit: Fit) -> Iterator[str]:
        """
        Yield the accounts that may be asked now, and then those that routing leaves out: no other has taken the job.

        :param fit: to which is added why an account has been left out.
        """
        left_out: list[str] = []
        for name in names:
            breaker = self.accounts.named(name).breaker
            if len(names) == 1 or breaker.admits(fit.submissions[name].job_id, self.loop.time()) or not breaker.error:
                yield name
            else:
                fit.refusals[name] = breaker.error
                left_out.append(name)
        yield from left_out

    def changed(self, tracked: TrackedJob) -> None:
        """Record what was observed of a task."""
        self.journal.observed(tracked)
        self.intake.followers.reread(tracked.job_id)
        if tracked.ended:
            self.accounts.of(tracked.job).persistence.save_periodically()

    def left(self, tracked: TrackedJob) -> None:
        """Leave a task that is polled here to other processes."""
        store = self.journal.store
        if tracked.job.owner != store.owner or not tracked.is_recorded or self.journal.is_pending(tracked.job_id):
            return
        if store.is_shared or self.tracker.has_siblings:
            self.journal.record(tracked, JobEvent.RELEASE, owner=NO_OWNER)

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
        # A job that is still queued may say why it has not been accepted yet.
        error: HappyHorseError | None = None if is_unsent(job) else error_of(job)
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
            self.accounts.close()
            closing.push_async_callback(self._factory.aclose)
            closing.push_async_callback(self.journal.aclose)
            closing.callback(self.tracker.close, self.journal.store)
            closing.push_async_callback(self._factory.settle)
            for account in self.accounts:
                closing.push_async_callback(account.persistence.aclose)
            closing.push_async_callback(self.background.aclose)
            for account in self.accounts:
                closing.push_async_callback(account.poller.aclose)
            closing.push_async_callback(self.auto_downloads.aclose)
            closing.push_async_callback(self.reconciler.aclose)
            closing.push_async_callback(self.submitter.aclose)
            closing.push_async_callback(self.takeover.recovery.aclose)
            closing.push_async_callback(self.intake.aclose)
            closing.push_async_callback(self.takeover.aclose)
            closing.push_async_callback(self.callbacks.aclose)


class Lifecycle:
    """When a client is open: from its start to its end, in the process and event loop that opened it."""

    def __init__(self, planners: Mapping[str, Planner], options: Options, *, default: str) -> None:
        self.planners = planners
        self.default = default
        """The account for new jobs."""
        self._spending = KnownSpending(options.store, options.within)
        self.router = Router(planners, default, options.routing, self._spending)
        """Which accounts a request can go to."""
        self.options = options
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
        self._runtime = await ClientRuntime.open(self.planners, self.options, self.router, default=self.default)
        await self._spending.read(self.planners[self.default].settings.endpoint)
        self._if_dropped = weakref.finalize(self, _warn_of_dropped, ", ".join(self.planners), os.getpid())

    def _is_dead(self) -> bool:
        """Whether the event loop was closed before the client. Nothing of it can run or be closed any more."""
        return self._runtime is not None and self._runtime.loop.is_closed()

    def _forget(self) -> ClientRuntime | None:
        runtime, self._runtime = self._runtime, None
        self.router.close()
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
