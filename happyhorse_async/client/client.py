"""The client: the main class of the public API."""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from attrs import evolve

from .. import telemetry
from ..adapter import Adapter
from ..budget import Budget, limits_of
from ..config import Settings
from ..download import Progress, VideoStream
from ..engines import Engine
from ..errors import ConfigurationError, HappyHorseError, InvalidRequestError
from ..retry import RetryPolicies
from ..routing import Routing
from ..stores import MemoryStore, TaskStore
from ..task import Task
from ..timeouts import Timeouts
from ..timing import Limits, PollSchedule
from ..transports import Transport
from .account_factory import Options
from .engine import ClientJobs
from .health import Health, health_of
from .new_jobs import NewJobs
from .plan import Planner
from .provider import (
    AccountSettings,
    Defaults,
    Provider,
    as_providers,
    configured_accounts,
    default_of,
    settings_of,
)
from .runtime import Lifecycle

if TYPE_CHECKING:
    import aiohttp


class Client(NewJobs):
    """
    Submits, waits for, lists, cancels and downloads videos.

    Open it with `async with`. It may be created before the event loop runs.

    :param provider: the name of a registered adapter, an `Adapter`, a `Provider`, or several of these. The first one
        gets new jobs, unless *routing* or the call says otherwise.
    :param api_key: by default from the adapter's environment variable.
    :param base_url: the root of the API, instead of the provider's documented one.
    :param region: one of the adapter's regions.
    :param options: the adapter's own options.
    :param routing: selects the account of a job, and the next one after a refusal. By default the first account gets
        every job.
    :param budget: a spending limit for all clients and processes that share the store; several apply together. With a
        store in memory, the client warns.
    :param store: where jobs are recorded; by default a `MemoryStore`.
    :param engine: the system that runs enqueued jobs, such as a `DBOSEngine`; by default every client runs its own. It
        needs a persistent store that all processes share.
    :param poll: the polling schedule; unset fields get the adapter's defaults.
    :param limits: rate and concurrency limits; unset fields get the adapter's defaults. Clients that are given the same
        object share the limits.
    :param retries: how often failed requests are retried, phase by phase.
    :param timeouts: how long each kind of request may take.
    :param transport: sends all requests, instead of aiohttp: for tests and other HTTP stacks. It is not closed with the
        client.
    :param connector: an aiohttp connector to use. It is not closed with the client.
    :param proxy: the URL of an HTTP proxy, or `"env"` for `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` of
        the environment, which are ignored otherwise.
    :param recover: whether the client resumes the jobs of crashed processes: it sends enqueued jobs and jobs that an
        idempotency key protects, saves videos, and searches for lost responses (`auto_adopt`).
    :param work: whether the client sends and polls jobs. With `False` it only records jobs and waits, and other
        processes send them, such as `happyhorse worker`; that implies `recover=False`, and needs a store that they
        share.
    :param auto_adopt: whether a submit whose response was lost adopts the only matching task in the provider's list, if
        the list shows all tasks. If other programs use the account, that task may be theirs.
    :param allow_private_hosts: whether a video may be downloaded from an address that is not on the public internet. By
        default only if the API itself is at one, such as an emulator.
    :raises ConfigurationError: an unknown adapter, region or option; no API key, or one that cannot be sent in a
        header.
    """

    def __init__(
        self,
        provider: str | Adapter | Provider | Sequence[Provider],
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        region: str | None = None,
        options: Mapping[str, Any] | None = None,
        routing: Routing | None = None,
        budget: Budget | Iterable[Budget] | None = None,
        store: TaskStore | None = None,
        engine: Engine | None = None,
        poll: PollSchedule = PollSchedule(),  # noqa: B008 - immutable
        limits: Limits | None = None,
        retries: RetryPolicies = RetryPolicies(),  # noqa: B008 - immutable
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - immutable
        transport: Transport | None = None,
        connector: aiohttp.BaseConnector | None = None,
        proxy: str | None = None,
        recover: bool = True,
        work: bool = True,
        auto_adopt: bool = False,
        allow_private_hosts: bool = False,
    ) -> None:
        try:
            providers = as_providers(provider, api_key, base_url, region=region, options=options)
            defaults = Defaults(
                limits=limits,
                shares_limits=len(providers) == 1,
                proxy=proxy,
                auto_adopt=auto_adopt,
                allow_private_hosts=allow_private_hosts,
            )
            accounts = [settings_of(one, defaults) for one in providers]
            default = default_of(accounts, routing)
        except HappyHorseError as error:
            # Error trackers record the local variables of each frame, and must not see a key that is nearly right.
            refusal, api_key, provider = error.with_traceback(None), None, ""
            raise refusal from None
        self._use(
            accounts,
            default,
            Options(
                store=store or MemoryStore(),
                poll=poll,
                retries=retries,
                timeouts=timeouts,
                transport=transport,
                connector=connector,
                recover=recover,
                work=work,
                engine=engine,
                routing=routing,
                within=limits_of(budget),
            ),
        )

    def _use(self, accounts: Iterable[AccountSettings], default: str, options: Options) -> None:
        if options.within and isinstance(options.store, MemoryStore):
            warnings.warn(
                "the budget counts only what this process spends, because the jobs are recorded in memory: give the "
                "client a store on disk",
                stacklevel=3,
            )
        planners = {account.name: Planner(account) for account in accounts}
        self._lifecycle = Lifecycle(planners, options, default=default)

    @classmethod
    def from_config(
        cls,
        path: str | PathLike[str] | Settings | None = None,
        *,
        provider: str | None = None,
        store: TaskStore | None = None,
        recover: bool = True,
        work: bool = True,
        transport: Transport | None = None,
        connector: aiohttp.BaseConnector | None = None,
    ) -> Self:
        """
        Make a client from `happyhorse.toml`, `[tool.happyhorse]` in `pyproject.toml`, and the environment.

        :param path: the file, or loaded settings; by default `HAPPYHORSE_CONFIG`, or a file in the current directory.
        :param provider: the section; by default `HAPPYHORSE_PROVIDER`, or the file's `default`.
        :param store: where jobs are recorded; by default the file of `[store]`, or memory.
        :param recover: see `Client`.
        :param work: see `Client`; also `False` if the file has `[store] work = false`.
        :param transport: see `Client`.
        :param connector: see `Client`.
        :raises ConfigurationError: names the file, the key and the known values.
        """
        settings = path if isinstance(path, Settings) else Settings.load(path)
        chosen = settings.choose(provider)
        client = cls.__new__(cls)
        client._use(  # noqa: SLF001 - of this very class
            configured_accounts(settings, chosen),
            chosen.name,
            Options(
                store=configured_store(settings) or MemoryStore() if store is None else store,
                poll=settings.poll,
                retries=settings.retries,
                timeouts=Timeouts(),
                transport=transport,
                connector=connector,
                recover=recover,
                work=work and (settings.store is None or settings.store.work),
                engine=configured_engine(settings),
                routing=settings.routing_for(provider),
                within=limits_of(settings.budget),
            ),
        )
        return client

    def _limit_work(self, **changes: Any) -> None:
        lifecycle = self._lifecycle
        options = evolve(lifecycle.options, **changes)
        self._lifecycle = Lifecycle(lifecycle.planners, options, default=lifecycle.default)

    @property
    def provider(self) -> str:
        """The name of the account for new jobs. The refs of its tasks begin with it."""
        return self._lifecycle.default

    @property
    def adapter(self) -> Adapter:
        """The adapter of the account for new jobs."""
        return self._planner().adapter

    @property
    def adapters(self) -> Mapping[str, Adapter]:
        """The adapter of each account, by the account's name."""
        return {name: planner.adapter for name, planner in self._lifecycle.planners.items()}

    async def __aenter__(self) -> Self:
        await self._lifecycle.open()
        try:
            await self._open_engine()
        except BaseException:
            await self._lifecycle.aclose()
            raise
        return self

    async def _open_engine(self) -> None:
        engine = self._lifecycle.options.engine
        if engine is not None:
            await engine.open(ClientJobs(self._lifecycle, self.run))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """
        Close the client. Tasks continue at the provider; waiters get an error with the ref.

        A paid request in flight gets up to half a minute for its response, and a video that is being saved a minute.

        :raises RuntimeError: it was opened in another event loop, or before this process was forked.
        """
        engine = self._lifecycle.options.engine
        if engine is not None and self._lifecycle.is_open:
            self._lifecycle.inside()
            await engine.aclose()
        await self._lifecycle.aclose()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client cannot be pickled, because of its connections and API key: make one in each process")

    async def download(self, task: Task, path: str | PathLike[str], *, progress: Progress | None = None) -> Path:
        """
        Download a finished video to disk. The file appears complete or not at all.

        :param path: the file, or a folder, where it is named after the task. A path with a trailing separator is a
            folder, which is created. A symbolic link to a file is followed; nothing but a regular file is replaced.
        :param progress: called with the bytes received and the bytes expected (`None` where unknown). It may be a
            coroutine function.
        :raises DownloadError: no video, no response, a URL that has expired, an incomplete video, or a path that cannot
            be written. The task is not affected, and can be downloaded again.
        :raises InvalidRequestError: *task* is not a `Task`, but for example a ref.
        """
        if not isinstance(task, Task):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidRequestError(f"download() takes a Task, such as fetch() returns, not {type(task).__name__}")
        return await self._lifecycle.inside().download(task, path, progress=progress)

    @asynccontextmanager
    async def stream(self, task: Task) -> AsyncGenerator[VideoStream]:
        """
        Stream a finished video, to object storage or to a browser: `async with client.stream(task) as chunks`.

        It is resumed and checked like a download. Its first bytes have arrived when the block is entered, so that most
        errors come before any byte was passed on; `chunks.total` is its size if the server announces it. If the stream
        ends in an error, discard the bytes already passed on.

        :raises DownloadError: see `download`; also while the stream is read.
        """
        runtime = self._lifecycle.inside()
        downloads = runtime.accounts.named(task.ref.provider).downloads
        with telemetry.stream(runtime.tracker.span_of(task.ref)):
            async with downloads.stream(task) as chunks:
                yield chunks

    async def health(self) -> Health:
        """
        Return the state of the client, for a readiness probe. Sends nothing, and also works before the client is open.

        :raises RuntimeError: it was opened in another event loop, or before this process was forked.
        """
        runtime = self._lifecycle.inside() if self._lifecycle.is_open else None
        return await health_of(runtime, list(self._lifecycle.planners))


def lifecycle_of(client: Client) -> Lifecycle:
    """Return the lifecycle of *client*, for a callback receiver."""
    return client._lifecycle  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def make_worker(
    settings: Settings, store: TaskStore, *, providers: Sequence[str] = (), concurrency: int | None = None
) -> Client:
    """
    Make a client that takes over the jobs of other processes, whatever the configuration says.

    :param providers: the accounts whose jobs it takes; empty for all.
    :param concurrency: the number of jobs at a time; `None` for as many as the limits allow.
    :raises ConfigurationError: there is no such account, or an engine distributes the jobs.
    """
    if settings.store is not None:
        settings = evolve(settings, store=evolve(settings.store, work=True))
    if settings.engine is not None:
        if providers:
            raise ConfigurationError("a worker with an [engine] works for all accounts: name no provider")
        if concurrency is not None:
            settings = evolve(settings, engine=evolve(settings.engine, concurrency=concurrency))
    for name in providers:
        settings.choose(name)
    client = Client.from_config(settings, provider=providers[0] if providers else None, store=store)
    # Only `happyhorse worker` calls this, so it is not a public method.
    takes = frozenset(providers) or None
    client._limit_work(takes=takes, concurrency=concurrency)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    return client


def make_command_client(settings: Settings, store: TaskStore, *, provider: str | None, recover: bool) -> Client:
    """
    Make a client for a short command, which leaves the tasks of earlier commands to `resume`.

    :param provider: see `Client.from_config`.
    :param recover: see `Client`.
    """
    client = Client.from_config(settings, provider=provider, store=store, recover=recover)
    client._limit_work(takes_polled=False)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    return client


def configured_store(settings: Settings) -> TaskStore | None:
    """Return the store of *settings*, if there is one."""
    if settings.store is None:
        return None
    database = settings.store.database()
    if database is not None:
        from ..stores.postgres.store import PostgresStore  # noqa: PLC0415 - only a cluster needs it

        return PostgresStore(*database, **settings.store.options)
    from ..stores.sqlite.store import SQLiteStore  # noqa: PLC0415 - only a program with a journal on disk needs SQLite

    assert settings.store.path is not None
    return SQLiteStore(settings.store.path, **settings.store.options)


def configured_engine(settings: Settings) -> Engine | None:
    """Return the engine of *settings*, if there is one."""
    if settings.engine is None:
        return None
    from ..engines.dbos import DBOSEngine  # noqa: PLC0415 - few programs need it

    return DBOSEngine(settings.engine.database(), **settings.engine.options)
