"""The front door: one client for one account of one provider."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import uuid4

from attrs import evolve, frozen

from .adapter import Adapter, PageRequest, Submission, TaskPage
from .background import Background
from .batch import Batch
from .download import Progress, UrlRefusedError, download
from .errors import ConfigurationError, DownloadError, HappyHorseError, UnsupportedFeatureError
from .exchange import Exchange
from .handle import TaskHandle
from .listing import TaskList
from .messages import HttpRequest
from .pacing import Budget
from .poller import Poller
from .registry import find_adapter, providers_that_can
from .request import VideoRequest
from .settings import KeySource, Settings, check_api_key, check_url
from .submitter import Submitter
from .task import Task, TaskRef, TaskStatus
from .timing import Limits, PollSchedule
from .watch import Watch

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")

_BATCH_LIMIT = 1000
_UNSAFE_IN_A_FILE_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@frozen(kw_only=True)
class Plan:
    """What a submit would do, found out without the network."""

    provider: str
    """The configuration section's or adapter's name."""
    model: str
    """The provider's model id."""
    messages: tuple[HttpRequest, ...]
    """What would be sent, in order. Their repr hides credentials; their `headers` do not."""
    warnings: tuple[str, ...] = ()
    """What may surprise: a costly default, a prompt that will be cut."""


class Client:
    """
    Submits, watches, lists, cancels and downloads, for one account of one provider.

    Open it with `async with`. It may be created before the event loop runs.

    :param provider: the name of a registered adapter, or an `Adapter`.
    :param api_key: by default from the adapter's environment variable.
    :param base_url: the root of the API, instead of the provider's documented one.
    :param region: one of the adapter's regions.
    :param options: the adapter's own options.
    :param poll: how often to look; what is not set is the adapter's advice.
    :param limits: how much may be asked; what is not set is the adapter's default. Clients given the same object share
        one budget.
    :param connector: an aiohttp connector to use, and to leave open at the end.
    :param proxy: the URL of an HTTP proxy. Those of the environment are not looked at.
    :raises ConfigurationError: no such adapter, region or option; no key, or one that no header can carry.
    """

    def __init__(
        self,
        provider: str | Adapter,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        region: str | None = None,
        options: Mapping[str, Any] | None = None,
        poll: PollSchedule = PollSchedule(),  # noqa: B008 - immutable
        limits: Limits | None = None,
        connector: aiohttp.BaseConnector | None = None,
        proxy: str | None = None,
    ) -> None:
        self._adapter = adapter = provider if isinstance(provider, Adapter) else find_adapter(provider)
        self._account = adapter.account(
            provider=adapter.name,
            api_key=_api_key(adapter, api_key),
            base_url=None if base_url is None else check_url(base_url, where="base_url"),
            region=region,
            options=options,
        )
        self._poll = poll
        self._limits = limits
        self._connector = connector
        self._proxy = proxy
        self._callback_url: str | None = None
        self._open: _Open | None = None

    @classmethod
    def from_config(cls, path: str | PathLike[str] | None = None, *, provider: str | None = None) -> Self:
        """
        Make a client from `happyhorse.toml`, `[tool.happyhorse]` in `pyproject.toml`, and the environment.

        :param path: the file; by default `HAPPYHORSE_CONFIG`, or what is found in the current directory.
        :param provider: the section; by default `HAPPYHORSE_PROVIDER`, or the file's `default`.
        :raises ConfigurationError: names the file, the key and what is known.
        """
        settings = Settings.load(path)
        chosen = settings.choose(provider)
        client = cls(
            chosen.adapter,
            api_key=chosen.api_key,
            base_url=chosen.base_url,
            region=chosen.region,
            options=chosen.options,
            poll=settings.poll,
            limits=settings.limits,
        )
        client._account = evolve(client._account, provider=chosen.name)
        client._callback_url = chosen.callback_url
        return client

    @property
    def provider(self) -> str:
        """The name that the refs of this client's tasks begin with."""
        return self._account.provider

    async def __aenter__(self) -> Self:
        from .transports.aiohttp import AiohttpTransport  # noqa: PLC0415 - importing aiohttp takes longer than the rest

        if self._open is not None:
            raise RuntimeError("the client is already open")
        transport = AiohttpTransport(connector=self._connector, proxy=self._proxy)
        budget = Budget.of(self._limits, self._adapter.limits, self._adapter.name)
        self._open = _Open(Exchange(self._adapter, self._account, transport, budget), self._poll)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """
        Close the client. Tasks go on at the provider; whoever still waits for one is told its ref.

        A paid request on its way gets up to half a minute to be answered.
        """
        opened, self._open = self._open, None
        if opened is not None:
            await opened.aclose()

    async def submit(self, request: VideoRequest, *, callback_url: str | None = None) -> TaskHandle:
        """
        Ask for a video, and return as soon as the provider has taken the task.

        :param callback_url: called by the provider at the end, where it can; by default from the configuration.
        :raises UnsupportedFeatureError: the provider cannot express the request. Nothing was sent.
        :raises InvalidRequestError: a value is out of range (nothing was sent), or the provider refused the request.
        :raises SubmitOutcomeUnknownError: the request left and no readable answer came.
        :raises HappyHorseError: any other refusal; the task was certainly not taken.
        """
        opened = self._opened()
        submission = self._submission(request, callback_url)
        message = self._adapter.encode_submit(submission, self._account)
        return TaskHandle(self, await opened.submitter.submit(message, submission.job_id))

    async def generate(self, request: VideoRequest, *, timeout: float | None = None) -> Task:
        """
        Ask for a video and wait for it.

        :param timeout: seconds to wait after the provider has taken the task.
        :raises HappyHorseError: see `submit` and `TaskHandle.wait`.
        """
        handle = await self.submit(request)
        return await handle.wait(timeout)

    def generate_many(
        self, requests: Iterable[VideoRequest] | AsyncIterable[VideoRequest], *, limit: int | None = None
    ) -> Batch:
        """
        Ask for many videos, and yield each outcome as it comes.

        :param limit: how many may be in flight at once; by default 1,000. The provider's rates hold in any case.
        """
        self._opened()
        if limit is not None and limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit}")
        return Batch(self, requests, limit or _BATCH_LIMIT)

    def plan(self, request: VideoRequest, *, callback_url: str | None = None) -> Plan:
        """
        Find out what `submit` would send, without the network.

        :raises UnsupportedFeatureError: the provider cannot express the request.
        :raises InvalidRequestError: a value is out of range.
        """
        submission = self._submission(request, callback_url)
        return Plan(
            provider=self.provider,
            model=submission.offer.model,
            messages=(self._adapter.encode_submit(submission, self._account),),
            warnings=self._adapter.warnings(submission, self._account),
        )

    async def fetch(self, ref: TaskRef | str) -> Task:
        """
        Look at a task, once.

        :raises TaskNotFoundError: the provider never knew it, or has forgotten it.
        :raises HappyHorseError: the look failed, which says nothing of the task.
        """
        opened, ref = self._opened(), self._own(ref)
        async with _about(ref), opened.exchange.query_turn():
            task = await opened.exchange.fetch(ref)
        opened.poller.observe(task)
        return task

    def resume(self, ref: TaskRef | str) -> TaskHandle:
        """
        Take up a task that was submitted at another time or by another process. Sends nothing by itself.

        :raises ConfigurationError: the ref names another provider.
        """
        return TaskHandle(self, self._opened().poller.known(self._own(ref), _new_job_id()))

    async def cancel(self, ref: TaskRef | str) -> Task:
        """
        Ask the provider to cancel a task, and return how it stands afterwards: cancelled, or too far gone for it.

        :raises UnsupportedFeatureError: the provider cannot cancel. Nothing was sent.
        """
        opened, ref = self._opened(), self._own(ref)
        async with _about(ref), opened.exchange.query_turn():
            await opened.exchange.cancel(ref)
        return await self.fetch(ref)

    def list_tasks(self, *, limit: int | None = None) -> TaskList:
        """
        List the account's tasks, newest first: iterate with `async for`, or await a list.

        Some providers' lists leave out the videos; `fetch` has them.

        :param limit: how many at most.
        :raises UnsupportedFeatureError: the provider has no list.
        """
        opened = self._opened()

        async def fetch_page(page: PageRequest) -> TaskPage:
            async with opened.exchange.query_turn():
                return await opened.exchange.list_page(page)

        return TaskList(fetch_page, limit=limit)

    async def download(self, task: Task, path: str | PathLike[str], *, progress: Progress | None = None) -> Path:
        """
        Bring a finished video to disk. The file appears whole or not at all.

        :param path: the file, or a folder, where it is named after the task.
        :param progress: called with the bytes received and the bytes expected (`None` where unknown).
        :raises DownloadError: no video, a URL that stays refused, a body that is short or no video, a full disk.
        """
        opened = self._opened()
        target = Path(path)
        if await asyncio.to_thread(target.is_dir):
            target = target / f"{_UNSAFE_IN_A_FILE_NAME.sub('_', task.id)[:100]}.mp4"
        async with _about(task.ref), opened.exchange.budget.downloads:
            try:
                return await download(opened.exchange.transport, _url(task), target, progress=progress)
            except UrlRefusedError:
                # A signed URL may have outlived its signature while its video has not.
                fresh = await self.fetch(task.ref)
                return await download(opened.exchange.transport, _url(fresh), target, progress=progress)

    def watch(self, watch: Watch) -> None:
        """
        See to it that the task of *watch* is looked at.

        :raises RuntimeError: the client is closed, or runs in another event loop.
        """
        if not watch.ended:
            self._opened().poller.ensure(watch)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run *work* on its own until the client closes."""
        return self._opened().background.spawn(work)

    def _opened(self) -> _Open:
        if self._open is None:
            raise RuntimeError("the client is not open: use it inside 'async with'")
        if self._open.loop is not asyncio.get_running_loop():
            raise RuntimeError("the client was opened in another event loop; each loop needs a client of its own")
        return self._open

    def _own(self, ref: TaskRef | str) -> TaskRef:
        if not isinstance(ref, TaskRef):
            try:
                ref = TaskRef.parse(ref)
            except ValueError as error:
                raise ConfigurationError(str(error), provider=self.provider) from None
        if ref.provider != self.provider:
            raise ConfigurationError(
                f"the task {ref} belongs to the provider {ref.provider!r}, and this client talks to {self.provider!r}",
                ref=ref,
            )
        return ref

    def _submission(self, request: VideoRequest, callback_url: str | None) -> Submission:
        callback_url = callback_url or self._callback_url
        try:
            offer = self._adapter.check(request, provider=self.provider, callback_url=callback_url)
        except UnsupportedFeatureError as error:
            error.alternatives = providers_that_can(request, callback_url)
            raise
        return Submission(request=request, offer=offer, job_id=_new_job_id(), callback_url=callback_url)


class _Open:
    """All that exists only while a client is open."""

    def __init__(self, exchange: Exchange, schedule: PollSchedule) -> None:
        self.loop = asyncio.get_running_loop()
        self.background = Background()
        self.exchange = exchange
        self.poller = Poller(exchange, schedule)
        self.submitter = Submitter(exchange, self.poller)

    async def aclose(self) -> None:
        await self.submitter.aclose()
        await self.poller.aclose()
        await self.background.aclose()
        await self.exchange.transport.aclose()


def _new_job_id() -> str:
    return f"hh-{uuid4().hex}"


def _api_key(adapter: Adapter, api_key: str | None) -> str:
    if api_key is not None:
        return check_api_key(api_key, where="api_key")
    return KeySource(where=adapter.name, variable=adapter.api_key_env).read()


def _url(task: Task) -> str:
    if task.status is not TaskStatus.SUCCEEDED or task.video_url is None:
        raise DownloadError(f"there is no video to download: the task is {task.status}", ref=task.ref)
    return task.video_url


@asynccontextmanager
async def _about(ref: TaskRef) -> AsyncGenerator[None]:
    """Put *ref* on any error raised inside."""
    try:
        yield
    except HappyHorseError as error:
        error.about(ref=ref)
        raise
