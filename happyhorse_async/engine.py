"""All that runs while a client is open, and the order in which it starts and stops."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from .background import Background
from .deliveries import Deliveries
from .exchange import Exchange
from .job import Place
from .jobs import Jobs
from .journal import Journal
from .polling import Experience, Poller
from .stores import TaskStore
from .submitter import Submitter
from .timing import PollSchedule
from .unclaimed import Unclaimed
from .watch import Watch


class Engine:
    """The parts of one open client. Start it with `start`."""

    def __init__(self, exchange: Exchange, store: TaskStore, schedule: PollSchedule) -> None:
        account = exchange.account
        place = Place(provider=account.provider, adapter=exchange.adapter.name, base_url=account.base_url)
        self.loop = asyncio.get_running_loop()
        self.background = Background()
        self.exchange = exchange
        self._journal = Journal(store, place)
        self.poller = Poller(exchange, schedule, self._changed)
        self._experience = Experience(store, self.poller.durations, exchange.adapter.name)
        unclaimed = Unclaimed()
        self.submitter = Submitter(exchange, self.poller, self._journal, unclaimed)
        self.jobs = Jobs(exchange, self.poller, self.submitter, self._journal)
        self.deliveries = Deliveries(exchange, self.poller, self.submitter, self._journal, unclaimed)

    @classmethod
    async def start(cls, exchange: Exchange, store: TaskStore, schedule: PollSchedule) -> Engine:
        """
        Start everything.

        :raises StoreError: the store cannot be used.
        """
        engine = cls(exchange, store, schedule)
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

    async def aclose(self) -> None:
        """Stop everything, the requests that cost money first and with time to be answered."""
        # Last in, first out; and to the end, even if the one who closes is cancelled.
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self.exchange.transport.aclose)
            closing.push_async_callback(self._journal.aclose)
            closing.push_async_callback(self._experience.aclose)
            closing.push_async_callback(self.background.aclose)
            closing.push_async_callback(self.poller.aclose)
            closing.push_async_callback(self.submitter.aclose)
            closing.push_async_callback(self.jobs.aclose)
            closing.push_async_callback(self.deliveries.aclose)
