"""The front door: one client for one account of one provider."""

from __future__ import annotations

import asyncio
import os
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
from .batch import Batch
from .download import Progress, UrlRefusedError, download
from .engine import Engine
from .errors import ConfigurationError, DownloadError, HappyHorseError, UnsupportedFeatureError
from .exchange import Exchange
from .handle import TaskHandle
from .job import PendingJob
from .listing import TaskList
from .messages import HttpRequest
from .pacing import Budget
from .registry import find_adapter, providers_that_can
from .request import VideoRequest
from .settings import KeySource, Settings, check_api_key, check_url
from .stores import MemoryStore, TaskStore
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
    :param store: where jobs are written down; by default a `MemoryStore`.
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
        store: TaskStore | None = None,
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
        self._store = store or MemoryStore()
        self._poll = poll
        self._limits = limits
        self._connector = connector
        self._proxy = proxy
        self._callback_url: str | None = None
        self._engine: Engine | None = None

    @classmethod
    def from_config(
        cls,
        path: str | PathLike[str] | None = None,
        *,
        provider: str | None = None,
        store: TaskStore | None = None,
    ) -> Self:
        """
        Make a client from `happyhorse.toml`, `[tool.happyhorse]` in `pyproject.toml`, and the environment.

        :param path: the file; by default `HAPPYHORSE_CONFIG`, or what is found in the current directory.
        :param provider: the section; by default `HAPPYHORSE_PROVIDER`, or the file's `default`.
        :param store: where jobs are written down; by default the file of `[store]`, or memory.
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
            store=store or None,
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

        if self._engine is not None:
            raise RuntimeError("the client is already open")
        transport = AiohttpTransport(connector=self._connector, proxy=self._proxy)
        budget = Budget.of(self._limits, self._adapter.limits, self._adapter.name)
        exchange = Exchange(self._adapter, self._account, transport, budget)
        self._engine = await Engine.start(exchange, self._store, self._poll)
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
        opened, self._engine = self._engine, None
        if opened is not None:
            await opened.aclose()

    async def submit(
        self, request: VideoRequest, *, key: str | None = None, callback_url: str | None = None
    ) -> TaskHandle:
        """
        Ask for a video, and return as soon as the provider has taken the task.

        Cancelling the call takes the job back as long as it has not been sent. Once it is on its way it goes on, and
        its task is in the store.

        :param key: your own name for the job. The same key and request give the same task, also from another process
            or after a restart, as long as the store remembers it.
        :param callback_url: called by the provider at the end, where it can; by default from the configuration.
        :raises UnsupportedFeatureError: the provider cannot express the request. Nothing was sent.
        :raises InvalidRequestError: a value is out of range (nothing was sent), or the provider refused the request.
        :raises SubmitOutcomeUnknownError: the request left and no readable answer came.
        :raises HappyHorseError: any other refusal; the task was certainly not taken.
        """
        watch = await self._take_in(request, key=key, callback_url=callback_url, durable=False)
        try:
            await watch.accepted()
        except asyncio.CancelledError:
            if not watch.awaited:
                self.withdraw(watch)
            raise
        return TaskHandle(self, watch)

    async def enqueue(
        self, request: VideoRequest, *, key: str | None = None, callback_url: str | None = None
    ) -> TaskHandle:
        """
        Write down that a video is wanted, and return at once; it is asked for when the limits allow.

        With a store on disk the job outlives this process: whoever opens the store next sends it. As long as it is
        certain that the provider did not take it, it is tried again.

        :param key: see `submit`.
        :raises UnsupportedFeatureError: the provider cannot express the request.
        :raises InvalidRequestError: a value is out of range, or the key stands for another request.
        :raises StoreError: it cannot be written down.
        """
        return TaskHandle(self, await self._take_in(request, key=key, callback_url=callback_url, durable=True))

    async def _take_in(
        self, request: VideoRequest, *, key: str | None, callback_url: str | None, durable: bool
    ) -> Watch:
        opened = self._opened()
        submission = self._submission(request, callback_url)
        message = self._adapter.encode_submit(submission, self._account)
        return await opened.jobs.take_in(submission, message, key=key, durable=durable)

    async def generate(self, request: VideoRequest, *, timeout: float | None = None, key: str | None = None) -> Task:
        """
        Ask for a video and wait for it.

        :param timeout: seconds to wait after the provider has taken the task.
        :param key: see `submit`.
        :raises HappyHorseError: see `submit` and `TaskHandle.wait`.
        """
        handle = await self.submit(request, key=key)
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
        if await asyncio.to_thread(os.path.isdir, target):  # Path.is_dir raises where no such file can be
            target = target / f"{_UNSAFE_IN_A_FILE_NAME.sub('_', task.id)[:100]}.mp4"
        async with _about(task.ref), opened.exchange.budget.downloads:
            try:
                return await download(opened.exchange.transport, _url(task), target, progress=progress)
            except UrlRefusedError:
                # A signed URL may have outlived its signature while its video has not.
                fresh = await self.fetch(task.ref)
                return await download(opened.exchange.transport, _url(fresh), target, progress=progress)

    async def pending(self) -> list[PendingJob]:
        """List the jobs of this provider that are not at their end, those of other processes included."""
        return await self._opened().jobs.pending()

    async def candidates(self, job_id: str) -> list[Task]:
        """
        Search the provider's list for tasks that may be a job of unknown outcome. They are guesses; see `resolve`.

        :raises InvalidRequestError: there is no such job, or it is settled.
        :raises UnsupportedFeatureError: the provider has no list.
        """
        return await self._opened().jobs.candidates(job_id)

    async def resolve(
        self, job_id: str, *, adopt: TaskRef | str | None = None, write_off: bool = False
    ) -> TaskHandle | None:
        """
        Settle a job of unknown outcome.

        :param adopt: its task, by ref or by the provider's id.
        :param write_off: there is no task, or nobody wants it. The job's key is free again.
        :return: the handle of the adopted task.
        :raises InvalidRequestError: there is no such job, it is settled, or the task is another job's.
        :raises TaskNotFoundError: the provider does not know the task to adopt.
        """
        jobs = self._opened().jobs
        if (adopt is None) == (not write_off):
            raise ValueError("say one of the two: adopt=… or write_off=True")
        if adopt is None:
            await jobs.write_off(job_id)
            return None
        is_ref = isinstance(adopt, TaskRef) or adopt.startswith(f"{self.provider}:")
        ref = self._own(adopt) if is_ref else self._account.ref(str(adopt))
        return TaskHandle(self, await jobs.adopt(job_id, ref))

    async def attend(self, watch: Watch) -> None:
        """
        See to it that the task of *watch* is looked at.

        :raises ConfigurationError: the store knows that the task was submitted elsewhere.
        :raises RuntimeError: the client is closed, or runs in another event loop.
        """
        if not watch.ended:
            await self._opened().jobs.attend(watch)

    def withdraw(self, watch: Watch) -> bool:
        """Take back a job that has not been sent, and return whether that was possible."""
        return self._engine is not None and self._engine.submitter.withdraw(watch.job_id)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run *work* on its own until the client closes."""
        try:
            background = self._opened().background
        except RuntimeError:
            work.close()
            raise
        return background.spawn(work)

    def _opened(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("the client is not open: use it inside 'async with'")
        if self._engine.loop is not asyncio.get_running_loop():
            raise RuntimeError("the client was opened in another event loop; each loop needs a client of its own")
        return self._engine

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
