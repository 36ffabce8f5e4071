"""What a client is opened with, and the opening."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from ..adapter import Adapter
from ..exchange import Exchange
from ..pacing import Budget
from ..retries import Retries
from ..settings import KeySource, Settings, check_api_key
from ..stores import TaskStore
from ..timing import Limits, PollSchedule
from .engine import Engine
from .planning import Planner

if TYPE_CHECKING:
    import aiohttp


@frozen(kw_only=True)
class Setup:
    """How an open client goes about its work; see `Client` for the meaning."""

    poll: PollSchedule
    limits: Limits | None
    retries: Retries
    connector: aiohttp.BaseConnector | None
    proxy: str | None
    inherit: bool
    adopt_unique: bool
    private_downloads: bool

    async def start(self, planner: Planner, store: TaskStore) -> Engine:
        """
        Start all that runs while a client is open.

        :raises StoreError: the store cannot be used.
        """
        from ..transports.aiohttp import AiohttpTransport  # noqa: PLC0415 - importing aiohttp takes longer than the rest

        transport = AiohttpTransport(connector=self.connector, proxy=self.proxy)
        adapter = planner.adapter
        budget = Budget.of(self.limits, adapter.limits, adapter.name, gives_up_after=adapter.gives_up_after)
        exchange = Exchange(adapter, planner.account, transport, budget)
        return await Engine.start(
            exchange,
            store,
            self.poll,
            self.retries,
            inherit=self.inherit,
            adopt_unique=self.adopt_unique,
            private_downloads=self.private_downloads,
        )


def configured_store(settings: Settings) -> TaskStore | None:
    """Make the store that *settings* name, if they name one."""
    if settings.store is None:
        return None
    from ..stores.sqlite import SQLiteStore  # noqa: PLC0415 - only a program with a journal on disk needs SQLite

    return SQLiteStore(settings.store.path, **settings.store.options)


def api_key_for(adapter: Adapter, api_key: str | None) -> str:
    """
    Return *api_key*, or else the key in the adapter's environment variable.

    :raises ConfigurationError: there is none, or it cannot be one.
    """
    if api_key is not None:
        return check_api_key(api_key, where="api_key")
    return KeySource(where=adapter.name, variable=adapter.api_key_env).read()
