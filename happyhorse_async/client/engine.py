"""All that runs while a client is open, and the order in which it starts and stops."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack

from ..background import Background
from ..download import DownloadPolicy, Downloads
from ..exchange import Exchange
from ..job import Place
from ..jobs.deliveries import Deliveries
from ..jobs.jobs import Jobs
from ..jobs.journal import Journal
from ..jobs.questions import Questions
from ..jobs.saving import Savings
from ..jobs.submitter import Submitter
from ..jobs.unclaimed import Unclaimed
from ..polling import Experience, Poller
from ..retries import Retries
from ..stores import TaskStore
from ..timing import PollSchedule
from ..watch import Watch


class Engine:
    """The parts of one open client. Start it with `start`."""

    def __init__(
        self,
        exchange: Exchange,
        store: TaskStore,
        schedule: PollSchedule,
        retries: Retries,
        *,
        inherits: bool,
        adopts: bool,
        private_downloads: bool,
    ) -> None:
        account = exchange.account
        place = Place(provider=account.provider, adapter=exchange.adapter.name, base_url=account.base_url)
        self.loop = asyncio.get_running_loop()
        self.process = os.getpid()
        self.background = Background()
        self.exchange = exchange
        self._journal = Journal(store, place)
        self.poller = Poller(exchange, schedule, self._changed, retries.poll)
        self._experience = Experience(store, self.poller.durations, exchange.adapter.name)
        self.downloads = Downloads(
            exchange=exchange,
            fetch=self.poller.fetch,
            private=private_downloads,
            policy=DownloadPolicy(retry=retries.download),
        )
        self.savings = Savings(
            self.poller,
            self._journal,
            attend=self._attend,
            download=self.downloads.bring,
            retry=retries.save,
            inherits=inherits,
        )
        unclaimed = Unclaimed()
        self.questions = Questions(exchange, self.poller, self._journal, self.savings, adopts=adopts)
        self.submitter = Submitter(exchange, self.poller, self._journal, self.questions, unclaimed, retries)
        self.jobs = Jobs(
            exchange, self.poller, self.submitter, self._journal, self.questions, self.savings, inherits=inherits
        )
        self.deliveries = Deliveries(exchange, self.poller, self.submitter, self._journal, self.savings, unclaimed)

    @classmethod
    async def start(
        cls,
        exchange: Exchange,
        store: TaskStore,
        schedule: PollSchedule,
        retries: Retries = Retries(),  # noqa: B008 - immutable
        *,
        inherit: bool = True,
        adopt_unique: bool = False,
        private_downloads: bool = False,
    ) -> Engine:
        """
        Start everything.

        :param inherit: whether to send what dead processes have left to be sent, to save what they have not, and to
            search for what they have left unknown.
        :param adopt_unique: whether a job of unknown outcome adopts the only task that it can be.
        :raises StoreError: the store cannot be used.
        """
        engine = cls(
            exchange,
            store,
            schedule,
            retries,
            inherits=inherit,
            adopts=adopt_unique,
            private_downloads=private_downloads,
        )
        try:
            await engine.jobs.open()
            await engine._experience.load()
        except BaseException:
            await engine.aclose()
            raise
        return engine

    def _changed(self, watch: Watch) -> None:
        self._journal.observed(watch)
        self._experience.grown()

    async def _attend(self, watch: Watch) -> None:
        await self.jobs.attend(watch)

    async def aclose(self) -> None:
        """Stop everything, the requests that cost money first and with time to be answered."""
        # Last in, first out; and to the end, even if the one who closes is cancelled.
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self.exchange.transport.aclose)
            closing.push_async_callback(self._journal.aclose)
            closing.push_async_callback(self._experience.aclose)
            closing.push_async_callback(self.background.aclose)
            closing.push_async_callback(self.poller.aclose)
            closing.push_async_callback(self.savings.aclose)
            closing.push_async_callback(self.questions.aclose)
            closing.push_async_callback(self.submitter.aclose)
            closing.push_async_callback(self.jobs.aclose)
            closing.push_async_callback(self.deliveries.aclose)
