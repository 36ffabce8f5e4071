"""All that runs while a client is open, and the order in which it starts and stops."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack

from ..background import Background
from ..download import DownloadPolicy, Downloads
from ..exchange import Exchange
from ..job import Endpoint
from ..jobs.auto_download import AutoDownloads
from ..jobs.callbacks import CallbackProcessor
from ..jobs.early_callbacks import EarlyCallbacks
from ..jobs.journal import Journal
from ..jobs.manager import Jobs
from ..jobs.reconcile import Reconciler
from ..jobs.submit import Submitter
from ..polling import EstimatorPersistence, Poller
from ..retry import RetryPolicies
from ..stores import TaskStore
from ..timing import PollSchedule
from ..tracked_job import TrackedJob


class Engine:
    """The parts of one open client. Start it with `start`."""

    def __init__(
        self,
        exchange: Exchange,
        store: TaskStore,
        schedule: PollSchedule,
        retries: RetryPolicies,
        *,
        recovers: bool,
        adopts: bool,
        allow_private_hosts: bool,
    ) -> None:
        account = exchange.account
        endpoint = Endpoint(provider=account.provider, adapter=exchange.adapter.name, base_url=account.base_url)
        self.loop = asyncio.get_running_loop()
        self.process = os.getpid()
        self.background = Background()
        self.exchange = exchange
        self._journal = Journal(store, endpoint)
        self.poller = Poller(exchange, schedule, self._changed, retries.poll)
        self._persistence = EstimatorPersistence(store, self.poller.estimator, exchange.adapter.name)
        self.downloads = Downloads(
            exchange=exchange,
            fetch=self.poller.fetch,
            private=allow_private_hosts,
            policy=DownloadPolicy(retry=retries.download, patience=exchange.timeouts.download),
        )
        self.auto_downloads = AutoDownloads(
            self.poller,
            self._journal,
            attend=self._attend,
            download=self.downloads.with_few_retries().download,
            retry=retries.save,
            recovers=recovers,
        )
        early_callbacks = EarlyCallbacks()
        self.reconciler = Reconciler(exchange, self.poller, self._journal, self.auto_downloads, adopts=adopts)
        self.submitter = Submitter(exchange, self.poller, self._journal, self.reconciler, early_callbacks, retries)
        self.jobs = Jobs(
            exchange,
            self.poller,
            self.submitter,
            self._journal,
            self.reconciler,
            self.auto_downloads,
            recovers=recovers,
        )
        self.callback_processor = CallbackProcessor(
            exchange, self.poller, self.submitter, self._journal, self.auto_downloads, early_callbacks
        )

    @classmethod
    async def start(
        cls,
        exchange: Exchange,
        store: TaskStore,
        schedule: PollSchedule,
        retries: RetryPolicies = RetryPolicies(),  # noqa: B008 - immutable
        *,
        recover: bool = True,
        auto_adopt: bool = False,
        allow_private_hosts: bool = False,
    ) -> Engine:
        """
        Start everything.

        :param inherit: whether to send what dead processes have left to be sent, to save what they have not, and to
            search for what they have left unknown.
        :param auto_adopt: whether a job of unknown outcome adopts the only task that it can be.
        :raises StoreError: the store cannot be used.
        """
        engine = cls(
            exchange,
            store,
            schedule,
            retries,
            recovers=recover,
            adopts=auto_adopt,
            allow_private_hosts=allow_private_hosts,
        )
        try:
            await engine.jobs.open()
            await engine._persistence.load()
        except BaseException:
            await engine.aclose()
            raise
        return engine

    def _changed(self, tracked: TrackedJob) -> None:
        self._journal.observed(tracked)
        self._persistence.grown()

    async def _attend(self, tracked: TrackedJob) -> None:
        await self.jobs.attend(tracked)

    async def aclose(self) -> None:
        """Stop everything, the requests that cost money first and with time to be answered."""
        # Last in, first out; and to the end, even if the one who closes is cancelled.
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self.exchange.transport.aclose)
            closing.push_async_callback(self._journal.aclose)
            closing.push_async_callback(self._persistence.aclose)
            closing.push_async_callback(self.background.aclose)
            closing.push_async_callback(self.poller.aclose)
            closing.push_async_callback(self.auto_downloads.aclose)
            closing.push_async_callback(self.reconciler.aclose)
            closing.push_async_callback(self.submitter.aclose)
            closing.push_async_callback(self.jobs.aclose)
            closing.push_async_callback(self.callback_processor.aclose)
