"""What a client is opened with, the opening, and the end of it."""

from __future__ import annotations

import asyncio
import os
import warnings
import weakref
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen

from ..adapter import Adapter
from ..config import KeySource, Settings, check_api_key
from ..exchange import Exchange
from ..ratelimit import AccountLimits
from ..retry import RetryPolicies
from ..stores import TaskStore
from ..timeouts import Timeouts
from ..timing import Limits, PollSchedule
from .engine import Engine
from .plan import Planner

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")


@frozen(kw_only=True)
class Setup:
    """How an open client goes about its work; see `Client` for the meaning."""

    poll: PollSchedule
    limits: Limits | None
    retries: RetryPolicies
    timeouts: Timeouts
    connector: aiohttp.BaseConnector | None
    proxy: str | None
    recover: bool
    auto_adopt: bool
    allow_private_hosts: bool

    async def start(self, planner: Planner, store: TaskStore) -> Engine:
        """
        Start all that runs while a client is open.

        :raises StoreError: the store cannot be used.
        """
        from ..transports.aiohttp import AiohttpTransport  # noqa: PLC0415 - importing aiohttp takes longer than the rest

        transport = AiohttpTransport(connector=self.connector, proxy=self.proxy, timeouts=self.timeouts)
        adapter = planner.adapter
        budget = AccountLimits.of(
            self.limits, adapter.limits, adapter.name, execution_timeout=adapter.execution_timeout
        )
        exchange = Exchange(adapter, planner.account, transport, budget, self.timeouts)
        return await Engine.start(
            exchange,
            store,
            self.poll,
            self.retries,
            recover=self.recover,
            auto_adopt=self.auto_adopt,
            allow_private_hosts=self.allow_private_hosts,
        )


class Door:
    """Where a client is gone in by: open from its start to its end, to the process and event loop that opened it."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._if_dropped: weakref.finalize[..., Door] | None = None
        self.engine: Engine | None = None
        """All that runs; `None` while the client is not open."""

    async def open(self, planner: Planner, store: TaskStore) -> None:
        """
        Start all that runs while the client is open.

        :raises RuntimeError: it is open already.
        :raises StoreError: the store cannot be used.
        """
        if self.engine is not None:
            raise RuntimeError("the client is already open")
        self.engine = await self._setup.start(planner, store)
        self._if_dropped = weakref.finalize(self, _warn_of_dropped, planner.account.provider, os.getpid())

    def inside(self) -> Engine:
        """
        Return all that runs.

        :raises RuntimeError: the client is not open, or not in this process and event loop.
        """
        if self.engine is None:
            raise RuntimeError("the client is not open: use it inside 'async with'")
        if self.engine.process != os.getpid():
            raise RuntimeError("the client was opened before this process was forked: open one in each process")
        if self.engine.loop is not asyncio.get_running_loop():
            raise RuntimeError("the client was opened in another event loop; each loop needs a client of its own")
        return self.engine

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
        if self.engine is not None:
            opened, self.engine = self.inside(), None
            if self._if_dropped is not None:
                self._if_dropped.detach()
            await opened.aclose()


def _warn_of_dropped(provider: str, process: int) -> None:
    if process == os.getpid():
        message = f"the client of {provider} was never closed; what it had going on is in its store"
        warnings.warn(message, ResourceWarning, stacklevel=2)


def configured_store(settings: Settings) -> TaskStore | None:
    """Make the store that *settings* name, if they name one."""
    if settings.store is None:
        return None
    from ..stores.sqlite.store import SQLiteStore  # noqa: PLC0415 - only a program with a journal on disk needs SQLite

    return SQLiteStore(settings.store.path, **settings.store.options)


def api_key_for(adapter: Adapter, api_key: str | None) -> str:
    """
    Return *api_key*, or else the key in the adapter's environment variable.

    :raises ConfigurationError: there is none, or it cannot be one.
    """
    if api_key is not None:
        return check_api_key(api_key, where="api_key")
    return KeySource(where=adapter.name, variable=adapter.api_key_env).read()
