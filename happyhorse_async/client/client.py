"""The front door."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from attrs import evolve

from ..adapter import Adapter
from ..config import KeySource, Settings, check_api_key, check_base_url, check_further_urls, check_proxy
from ..download import Progress, VideoStream
from ..errors import HappyHorseError, InvalidRequestError
from ..media.inspect import UnreadableFileError
from ..registry import find_adapter
from ..request import VideoRequest
from ..retry import RetryPolicies
from ..stores import MemoryStore, TaskStore
from ..task import Task
from ..timeouts import Timeouts
from ..timing import Limits, PollSchedule
from ..tracked_job import TrackedJob
from ..transports import Transport
from ..transports.proxy import Proxies
from .batch import Batch, JobRequest, Outcome, generate_one
from .handle import JobHandle, TaskHandle
from .health import Health, health_of
from .media import has_local_media
from .plan import Plan, Planner
from .recorded_jobs import RecordedJobs, check_key
from .runtime import Lifecycle, Options

if TYPE_CHECKING:
    import aiohttp


class Client(RecordedJobs):
    """
    Submits, waits for, lists, cancels and downloads videos.

    Open it with `async with`. It may be created before the event loop runs.

    :param provider: the name of a registered adapter, or an `Adapter`.
    :param api_key: by default from the adapter's environment variable.
    :param base_url: the root of the API, instead of the provider's documented one.
    :param region: one of the adapter's regions.
    :param options: the adapter's own options.
    :param store: where jobs are recorded; by default a `MemoryStore`.
    :param poll: when tasks are polled; what is not set is the adapter's default.
    :param limits: rate and concurrency limits; what is not set is the adapter's default. Clients that are given the
        same object share the limits.
    :param retries: how often failed requests are retried, phase by phase.
    :param timeouts: how long each kind of request may take.
    :param transport: sends all requests, instead of aiohttp: for tests and other HTTP stacks. It is not closed with the
        client.
    :param connector: an aiohttp connector to use. It is not closed with the client.
    :param proxy: the URL of an HTTP proxy, or `"env"` for `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` of
        the environment, which are ignored otherwise.
    :param recover: whether the client goes on with what processes that have died have left: it sends enqueued jobs and
        jobs that an idempotency key protects, saves videos, and searches for lost answers (`auto_adopt`).
    :param auto_adopt: whether a submit whose answer was lost adopts the only task in the provider's list that it can
        have, if the list shows all tasks. If other programs use the account, that task may be theirs.
    :param allow_private_hosts: whether a video may be downloaded from an address that is not on the public internet. By
        default only if the API itself is at one, such as an emulator.
    :raises ConfigurationError: an unknown adapter, region or option; no API key, or one that no header can carry.
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
        retries: RetryPolicies = RetryPolicies(),  # noqa: B008 - immutable
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - immutable
        transport: Transport | None = None,
        connector: aiohttp.BaseConnector | None = None,
        proxy: str | None = None,
        recover: bool = True,
        auto_adopt: bool = False,
        allow_private_hosts: bool = False,
    ) -> None:
        Proxies.of(None if proxy is None else check_proxy(proxy, where="proxy"))
        adapter = provider if isinstance(provider, Adapter) else find_adapter(provider)
        check_further_urls(adapter, options or {}, where="options")
        try:
            account = adapter.account(
                provider=adapter.name,
                api_key=KeySource(where=adapter.name, variable=adapter.api_key_env).read()
                if api_key is None
                else check_api_key(api_key, where="api_key"),
                base_url=None if base_url is None else check_base_url(base_url, where="base_url"),
                region=region,
                options=options,
            )
        except HappyHorseError as error:
            # A key that is nearly right is not for error trackers that record the local variables of each frame.
            refusal, api_key = error.with_traceback(None), None
            raise refusal from None
        self._use(
            Planner(adapter=adapter, account=account),
            Options(
                store=store or MemoryStore(),
                poll=poll,
                limits=limits,
                retries=retries,
                timeouts=timeouts,
                transport=transport,
                connector=connector,
                proxy=proxy,
                recover=recover,
                auto_adopt=auto_adopt,
                allow_private_hosts=allow_private_hosts,
            ),
        )

    def _use(self, planner: Planner, options: Options) -> None:
        self._default = planner.account.provider
        self._options = options
        self._lifecycle = Lifecycle({self._default: planner}, options)

    @classmethod
    def from_config(
        cls,
        path: str | PathLike[str] | Settings | None = None,
        *,
        provider: str | None = None,
        store: TaskStore | None = None,
        recover: bool = True,
        transport: Transport | None = None,
        connector: aiohttp.BaseConnector | None = None,
    ) -> Self:
        """
        Make a client from `happyhorse.toml`, `[tool.happyhorse]` in `pyproject.toml`, and the environment.

        :param path: the file, or settings that were read already; by default `HAPPYHORSE_CONFIG`, or what is found in
            the current directory.
        :param provider: the section; by default `HAPPYHORSE_PROVIDER`, or the file's `default`.
        :param store: where jobs are recorded; by default the file of `[store]`, or memory.
        :param recover: see `Client`.
        :param transport: see `Client`.
        :param connector: see `Client`.
        :raises ConfigurationError: names the file, the key and the known values.
        """
        settings = path if isinstance(path, Settings) else Settings.load(path)
        chosen = settings.choose(provider)
        client = cls(
            chosen.adapter,
            api_key=chosen.api_key,
            base_url=chosen.base_url,
            region=chosen.region,
            options=chosen.options,
            store=configured_store(settings) if store is None else store,
            poll=settings.poll,
            limits=settings.limits,
            retries=settings.retries,
            transport=transport,
            connector=connector,
            proxy=chosen.proxy,
            recover=recover,
            auto_adopt=chosen.auto_adopt,
            allow_private_hosts=chosen.allow_private_hosts,
        )
        planner = client._planner()
        named = evolve(
            planner,
            account=evolve(planner.account, provider=chosen.name),
            callback_url=chosen.callback_url,
            callback_secret=chosen.callback_secret,
            prices=chosen.prices,
        )
        client._use(named, client._options)
        return client

    @property
    def provider(self) -> str:
        """The name of the account for new jobs. The refs of its tasks begin with it."""
        return self._default

    @property
    def adapter(self) -> Adapter:
        """The adapter of the account for new jobs."""
        return self._planner().adapter

    async def __aenter__(self) -> Self:
        await self._lifecycle.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """
        Close the client. Tasks go on at the provider; everyone who still waits for one is told its ref.

        A paid request in flight gets up to half a minute to be answered, and a video that is being saved a minute.

        :raises RuntimeError: it was opened in another event loop, or before this process was forked.
        """
        await self._lifecycle.aclose()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client cannot be pickled, because of its connections and API key: make one in each process")

    async def submit(
        self,
        request: VideoRequest,
        *,
        provider: str | None = None,
        key: str | None = None,
        callback_url: str | None = None,
        save_to: str | PathLike[str] | None = None,
    ) -> TaskHandle:
        """
        Request a video, and return as soon as the provider has accepted the task.

        Cancelling the call withdraws the job as long as it has not been sent. A request in flight goes on, and its task
        is recorded in the store.

        :param provider: the account; by default the client's own.
        :param key: your own name for the job. The same key and request are the same task, also in another process or
            after a restart, as long as the store remembers it.
        :param callback_url: called by the provider when the task has ended, if it can; by default from the
            configuration.
        :param save_to: a file or a folder, where the video is saved in the background as soon as it is there. Failures
            are logged with the path, and the download is tried again for as long as the video lives. The path is
            recorded with the job: what is not saved when the client is closed or its process dies, the next client that
            opens the store saves, and the job is pending until then. There is one path: if it is given again with the
            same key, the last one counts.
        :raises UnsupportedFeatureError: the provider cannot express the request. Nothing was sent.
        :raises InvalidRequestError: a value is out of range (nothing was sent), or the provider refused the request.
        :raises DownloadError: no video can be written to *save_to*. Nothing was sent.
        :raises SubmitOutcomeUnknownError: the request was sent and no readable answer came.
        :raises HappyHorseError: any other refusal; the task was certainly not accepted.
        """
        tracked = await self._add(request, provider, callback_url, key=key, durable=False, save_to=save_to)
        await self._lifecycle.inside().submitter.accepted(tracked)
        return TaskHandle(self._lifecycle, tracked)

    async def enqueue(
        self,
        request: VideoRequest,
        *,
        provider: str | None = None,
        key: str | None = None,
        callback_url: str | None = None,
        save_to: str | PathLike[str] | None = None,
    ) -> JobHandle:
        """
        Record that a video is wanted, and return at once; it is submitted when the limits allow.

        With a store on disk the job outlives this process: the next one that opens the store sends it. As long as the
        provider certainly has not accepted it, it is tried again.

        :param provider: see `submit`.
        :param key: see `submit`.
        :param callback_url: see `submit`.
        :param save_to: see `submit`.
        :raises UnsupportedFeatureError: the provider cannot express the request.
        :raises InvalidRequestError: a value is out of range, or the key was used for another request.
        :raises DownloadError: no video can be written to *save_to*.
        :raises StoreError: it cannot be recorded.
        """
        tracked = await self._add(request, provider, callback_url, key=key, durable=True, save_to=save_to)
        return JobHandle(self._lifecycle, tracked)

    async def _add(
        self,
        request: VideoRequest,
        provider: str | None,
        callback_url: str | None,
        *,
        key: str | None,
        durable: bool,
        save_to: str | PathLike[str] | None,
    ) -> TrackedJob:
        runtime, planner = self._lifecycle.inside(), self._planner(provider)
        if key is not None:
            check_key(key)
        submission = planner.submission(request, callback_url)
        account = runtime.accounts.named(planner.account.provider)
        if not has_local_media(request):
            return await runtime.intake.add(account, submission, key=key, durable=durable, save_to=save_to)
        preparation = planner.media(submission.spec, runtime.media_limiter)
        try:
            prepared = await preparation.prepare(request, durable=durable)
        except UnreadableFileError:
            # Of a key the content counts; where it is gone, the key alone says which job it is.
            known = None if key is None else await runtime.intake.find(key)
            if known is None:
                raise
            return known
        submission = evolve(submission, request=prepared.request)
        return await runtime.intake.add(
            account, submission, media=prepared.media, key=key, durable=durable, save_to=save_to
        )

    async def generate(
        self,
        request: VideoRequest,
        *,
        timeout: float | None = None,
        provider: str | None = None,
        key: str | None = None,
        callback_url: str | None = None,
        save_to: str | PathLike[str] | None = None,
    ) -> Task:
        """
        Request a video and wait for it.

        :param timeout: seconds to wait after the provider has accepted the task.
        :param provider: see `submit`.
        :param key: see `submit`.
        :param callback_url: see `submit`.
        :param save_to: see `submit`. The call returns when the video is saved, or could not be saved at once.
        :raises HappyHorseError: see `submit` and `JobHandle.wait`.
        """
        runtime = self._lifecycle.inside()
        tracked = await self._add(request, provider, callback_url, key=key, durable=False, save_to=save_to)
        await runtime.submitter.accepted(tracked)
        task = await TaskHandle(self._lifecycle, tracked).wait(timeout)
        if save_to is not None:
            await runtime.auto_downloads.tried(tracked)
        return task

    def generate_many(
        self,
        requests: Iterable[VideoRequest | JobRequest] | AsyncIterable[VideoRequest | JobRequest],
        *,
        limit: int | None = None,
        timeout: float | None = None,
        provider: str | None = None,
        callback_url: str | None = None,
        save_to: str | PathLike[str] | None = None,
    ) -> Batch[Outcome]:
        """
        Request many videos, and yield each outcome as it comes.

        :param requests: an item may be a `JobRequest`, which has options of its own.
        :param limit: how many may be in flight at once; by default 1,000. The provider's limits hold in any case.
        :param timeout: seconds to wait for each task after the provider has accepted it.
        :param provider: see `submit`.
        :param callback_url: see `submit`.
        :param save_to: a folder for the videos; see `submit`.
        :raises ValueError: *save_to* is a file, in which each video would replace the one before.
        """
        runtime = self._lifecycle.inside()
        if save_to is not None and not (Path(save_to).is_dir() or str(save_to).endswith(("/", os.sep))):
            raise ValueError(f"save_to must be a folder where many videos are saved, not {save_to}")

        async def submit(job: JobRequest) -> TrackedJob:
            tracked = await self._add(
                job.request,
                job.provider or provider,
                job.callback_url or callback_url,
                key=job.key,
                durable=False,
                save_to=save_to if job.save_to is None else job.save_to,
            )
            await runtime.submitter.accepted(tracked)
            return tracked

        async def wait(tracked: TrackedJob, job: JobRequest) -> Task:
            task = await TaskHandle(self._lifecycle, tracked).wait(timeout)
            if job.save_to is not None or save_to is not None:
                await runtime.auto_downloads.tried(tracked)
            return task

        async def work(index: int, item: VideoRequest | JobRequest, submitted: Callable[[], None]) -> Outcome:
            return await generate_one(index, JobRequest.of(item), submitted, submit=submit, wait=wait)

        return Batch(requests, work, spawn=self._lifecycle.spawn, limit=limit)

    def plan(self, request: VideoRequest, *, provider: str | None = None, callback_url: str | None = None) -> Plan:
        """
        Find out what `submit` would send, without the network.

        :raises UnsupportedFeatureError: the provider cannot express the request.
        :raises InvalidRequestError: a value is out of range.
        """
        return self._planner(provider).plan(request, callback_url)

    async def download(self, task: Task, path: str | PathLike[str], *, progress: Progress | None = None) -> Path:
        """
        Download a finished video to disk. The file appears whole or not at all.

        :param path: the file, or a folder, where it is named after the task. A path with a separator at its end is a
            folder, which is made. A symbolic link to a file is followed; nothing but a regular file is replaced.
        :param progress: called with the bytes received and the bytes expected (`None` where unknown). It may be a
            coroutine function.
        :raises DownloadError: no video, no response, a URL that has expired, a body that is not a whole video, or a
            path that cannot be written. The task stays as it is, and can be downloaded again.
        :raises InvalidRequestError: *task* is not a task, but its ref, say.
        """
        if not isinstance(task, Task):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidRequestError(f"download() takes a Task, such as fetch() returns, not {type(task).__name__}")
        return await self._lifecycle.inside().download(task, path, progress=progress)

    @asynccontextmanager
    async def stream(self, task: Task) -> AsyncGenerator[VideoStream]:
        """
        Stream a finished video, to object storage or to a browser: `async with client.stream(task) as chunks`.

        It is resumed and checked like a download. Its first bytes have arrived when the block is entered, so that most
        errors come before anything has been passed on; `chunks.total` is its size where the server announces it. What
        was passed on is void if the stream ends in an error.

        :raises DownloadError: see `download`; also while the stream is read.
        """
        account = self._lifecycle.inside().accounts.named(task.ref.provider)
        async with account.downloads.stream(task) as chunks:
            yield chunks

    async def health(self) -> Health:
        """
        Return how the client works, for a readiness probe. Nothing is sent, and a client that is not open says so.

        :raises RuntimeError: it was opened in another event loop, or before this process was forked.
        """
        runtime = self._lifecycle.inside() if self._lifecycle.is_open else None
        return await health_of(runtime, list(self._lifecycle.planners))


def lifecycle_of(client: Client) -> Lifecycle:
    """Return what a callback receiver needs of *client*."""
    return client._lifecycle  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def configured_store(settings: Settings) -> TaskStore | None:
    """Return the store that *settings* name, if they name one."""
    if settings.store is None:
        return None
    from ..stores.sqlite.store import SQLiteStore  # noqa: PLC0415 - only a program with a journal on disk needs SQLite

    return SQLiteStore(settings.store.path, **settings.store.options)
