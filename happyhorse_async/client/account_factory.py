"""Makes the accounts of an open client, each when it is first needed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

from ..budget import SpendingLimit
from ..download import DownloadPolicy, Downloads
from ..engines import Engine
from ..exchange import Exchange
from ..jobs.account import AccountRuntime
from ..jobs.breaker import Breaker
from ..polling import EstimatorPersistence, Poller
from ..ratelimit import AccountLimits
from ..retry import RetryPolicies
from ..routing import Routing
from ..stores import TaskStore
from ..timeouts import Timeouts
from ..timing import Limits, PollSchedule
from ..transports import Transport
from .plan import Planner

if TYPE_CHECKING:
    import aiohttp

    from ..background import Background
    from ..jobs.submit import Submitter
    from ..tracked_job import TrackedJob
    from ..tracker import Tracker


@frozen(kw_only=True)
class Options:
    """The options of a client; see `Client`."""

    store: TaskStore
    poll: PollSchedule
    retries: RetryPolicies
    timeouts: Timeouts
    transport: Transport | None
    connector: aiohttp.BaseConnector | None
    recover: bool
    work: bool = True
    engine: Engine | None = None
    """The engine that runs enqueued jobs; `None`: every client runs its own."""
    takes_polled: bool = True
    """Whether tasks that are only polled, and not saved, are taken over."""
    takes: frozenset[str] | None = None
    """The accounts whose jobs are taken over; `None` for all."""
    concurrency: int | None = None
    """The maximum number of jobs of a worker at a time; `None` for no such limit."""
    routing: Routing | None = None
    within: tuple[SpendingLimit, ...] = ()
    """The budget."""
    shared_limits: Limits = field(factory=Limits)
    """The limits of accounts without their own. Sections with the same key and address are one account."""

    @property
    def recovers(self) -> bool:
        """Whether the client goes on with what processes that have died have left."""
        return self.work and self.recover


class Surroundings(Protocol):
    """The common parts of all accounts of a client."""

    tracker: Tracker
    submitter: Submitter
    background: Background

    def changed(self, tracked: TrackedJob) -> None:
        """Record an observation of a task."""
        ...

    def left(self, tracked: TrackedJob) -> None:
        """Leave a task that is polled here to other processes."""
        ...


class AccountFactory:
    """Makes the accounts of one open client, and the transports that they share."""

    def __init__(self, planners: Mapping[str, Planner], options: Options, client: Surroundings) -> None:
        self._planners = planners
        self._options = options
        self._client = client
        self._limits: list[AccountLimits] = []
        self._breakers: dict[tuple[str, ...], Breaker] = {}
        self.is_started = False
        """Whether the client is open: learned durations of later accounts are then loaded separately."""
        self._transports: dict[str | None, Transport] = {}

    def start(self, name: str) -> AccountRuntime:
        """
        Make an account ready. Nothing is sent.

        :raises ConfigurationError: it has no key.
        """
        planner, options, client = self._planners[name], self._options, self._client
        settings, adapter = planner.settings, planner.adapter
        limits = AccountLimits.of(
            settings.limits or options.shared_limits,
            adapter.limits,
            adapter.name if settings.shares_limits and settings.limits is not None else settings.identity,
            execution_timeout=adapter.execution_timeout,
            store=options.store,
            per_model=adapter.limits_per_model,
        )
        limits.serve(settings.endpoint)
        self._limits.append(limits)
        exchange = Exchange(adapter, settings.account, self._transport(settings.proxy), limits, options.timeouts)
        poller = Poller(exchange, options.poll, client.tracker, client.changed, client.left, retry=options.retries.poll)
        downloads = Downloads(
            exchange=exchange,
            fetch=poller.fetch,
            submitted_at=client.tracker.submitted_at,
            private=settings.allow_private_hosts,
            policy=DownloadPolicy(retry=options.retries.download, patience=options.timeouts.download),
        )
        account = AccountRuntime(
            exchange,
            poller,
            EstimatorPersistence(options.store, poller.estimator, name),
            downloads,
            client.submitter.start,
            lambda: len(client.tracker) + poller.in_flight,
            self._breakers.setdefault(settings.identity, Breaker()),
            auto_adopt=settings.auto_adopt,
        )
        if self.is_started:
            client.background.spawn(account.persistence.load())
        return account

    def _transport(self, proxy: str | None) -> Transport:
        if self._options.transport is not None:
            return self._options.transport
        if proxy not in self._transports:
            # aiohttp takes longer to import than the rest.
            from ..transports.aiohttp import AiohttpTransport  # noqa: PLC0415

            self._transports[proxy] = AiohttpTransport(
                connector=self._options.connector, proxy=proxy, timeouts=self._options.timeouts
            )
        return self._transports[proxy]

    async def settle(self) -> None:
        """Wait until the state of the limits is in the store, which is still open."""
        for limits in self._limits:
            await limits.aclose()

    async def aclose(self) -> None:
        """Close the connections. The caller's own transport stays open."""
        async with AsyncExitStack() as closing:
            for transport in self._transports.values():
                closing.push_async_callback(transport.aclose)
