"""The front door: one client for one account of one provider."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from attrs import evolve

from ..adapter import Adapter, PageRequest, TaskPage
from ..config import SecretSource, Settings, check_base_url, check_proxy
from ..download import Progress
from ..errors import ConfigurationError
from ..job import PendingJob
from ..messages import HttpRequest
from ..registry import find_adapter
from ..request import VideoRequest
from ..retry import RetryPolicies
from ..stores import MemoryStore, TaskStore
from ..task import Task, TaskRef
from ..timing import Limits, PollSchedule
from ..tracked_job import TrackedJob
from .batch import Batch, JobRequest, Outcome, generate_one
from .handle import TaskHandle
from .opening import Door, Setup, api_key_for, configured_store
from .plan import Plan, Planner, new_job_id
from .task_list import TaskList

if TYPE_CHECKING:
    import aiohttp


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
    :param retries: how often what fails is tried again, phase by phase.
    :param connector: an aiohttp connector to use, and to leave open at the end.
    :param proxy: the URL of an HTTP proxy, or `"env"` for those of the environment (`HTTPS_PROXY` and the like).
    :param allow_private_hosts: whether a video may be fetched from an address that is not on the public internet. By
        default only where the API itself is at one, as an emulator is.
    :param inherit: whether the client goes on with what processes that have died have left: sends what was enqueued and
        what an idempotency key protects, saves videos, and searches for lost answers (`auto_adopt`).
    :param auto_adopt: whether a submit whose answer was lost adopts the only task in the provider's list that it can
        be, where the list shows all tasks. That task may be somebody else's if other programs use the account.
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
        retries: RetryPolicies = RetryPolicies(),  # noqa: B008 - immutable
        connector: aiohttp.BaseConnector | None = None,
        proxy: str | None = None,
        allow_private_hosts: bool = False,
        recover: bool = True,
        auto_adopt: bool = False,
    ) -> None:
        adapter = provider if isinstance(provider, Adapter) else find_adapter(provider)
        account = adapter.account(
            provider=adapter.name,
            api_key=api_key_for(adapter, api_key),
            base_url=None if base_url is None else check_base_url(base_url, where="base_url"),
            region=region,
            options=options,
        )
        self._planner = Planner(adapter=adapter, account=account)
        self._store = store or MemoryStore()
        setup = Setup(
            poll=poll,
            limits=limits,
            retries=retries,
            connector=connector,
            proxy=None if proxy is None else check_proxy(proxy, where="proxy"),
            recover=recover,
            auto_adopt=auto_adopt,
            allow_private_hosts=allow_private_hosts,
        )
        self._door = Door(setup)
        self._callback_secret: SecretSource | None = None

    @classmethod
    def from_config(
        cls,
        path: str | PathLike[str] | Settings | None = None,
        *,
        provider: str | None = None,
        store: TaskStore | None = None,
        recover: bool = True,
    ) -> Self:
        """
        Make a client from `happyhorse.toml`, `[tool.happyhorse]` in `pyproject.toml`, and the environment.

        :param path: the file, or settings that were read already; by default `HAPPYHORSE_CONFIG`, or what is found in
            the current directory.
        :param provider: the section; by default `HAPPYHORSE_PROVIDER`, or the file's `default`.
        :param store: where jobs are written down; by default the file of `[store]`, or memory.
        :param inherit: see `Client`.
        :raises ConfigurationError: names the file, the key and what is known.
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
            proxy=chosen.proxy,
            recover=recover,
            auto_adopt=chosen.auto_adopt,
            allow_private_hosts=chosen.allow_private_hosts,
        )
        account = evolve(client._planner.account, provider=chosen.name)
        client._planner = evolve(client._planner, account=account, callback_url=chosen.callback_url)
        client._callback_secret = chosen.callback_secret
        return client

    @property
    def provider(self) -> str:
        """The name that the refs of this client's tasks begin with."""
        return self._planner.account.provider

    @property
    def adapter(self) -> Adapter:
        """All that is known of the provider."""
        return self._planner.adapter

    def callback_secrets(self) -> tuple[str, ...]:
        """
        Read the secrets that the configuration names for callbacks, if it names any.

        :raises ConfigurationError: it does, and there is none.
        """
        return self._callback_secret.read_all() if self._callback_secret else ()

    async def __aenter__(self) -> Self:
        await self._door.open(self._planner, self._store)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """
        Close the client. Tasks go on at the provider; whoever still waits for one is told its ref.

        A paid request on its way gets up to half a minute to be answered, and a video that is being saved a minute.

        :raises RuntimeError: it was opened in another event loop, or before this process was forked.
        """
        await self._door.aclose()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client cannot be pickled, connections and API key included: make one in each process")

    async def submit(
        self,
        request: VideoRequest,
        *,
        key: str | None = None,
        callback_url: str | None = None,
        save_to: str | PathLike[str] | None = None,
    ) -> TaskHandle:
        """
        Ask for a video, and return as soon as the provider has taken the task.

        Cancelling the call takes the job back as long as it has not been sent. Once it is on its way it goes on, and
        its task is in the store.

        :param key: your own name for the job. The same key and request give the same task, also from another process
            or after a restart, as long as the store remembers it.
        :param callback_url: called by the provider at the end, where it can; by default from the configuration.
        :param save_to: a file or a folder, where the video is saved in the background as soon as it is there. What goes
            wrong is logged with the path, and tried again for as long as the video can be fetched. It stands in the
            store with the job: what is not saved when the client is closed or its process dies, whoever opens the store
            next saves, and the job stays pending until then. It is one place: given again with the same key, the last
            one counts.
        :raises UnsupportedFeatureError: the provider cannot express the request. Nothing was sent.
        :raises InvalidRequestError: a value is out of range (nothing was sent), or the provider refused the request.
        :raises SubmitOutcomeUnknownError: the request left and no readable answer came.
        :raises HappyHorseError: any other refusal; the task was certainly not taken.
        """
        opened, submission = self._door.inside(), self._planner.submission(request, callback_url)
        tracked = await opened.jobs.take_in(submission, key=key, durable=False, save_to=save_to)
        await opened.submitter.accepted(tracked)
        return TaskHandle(self, tracked)

    async def enqueue(
        self,
        request: VideoRequest,
        *,
        key: str | None = None,
        callback_url: str | None = None,
        save_to: str | PathLike[str] | None = None,
    ) -> TaskHandle:
        """
        Write down that a video is wanted, and return at once; it is asked for when the limits allow.

        With a store on disk the job outlives this process: whoever opens the store next sends it. As long as it is
        certain that the provider did not take it, it is tried again.

        :param key: see `submit`.
        :param save_to: see `submit`.
        :raises UnsupportedFeatureError: the provider cannot express the request.
        :raises InvalidRequestError: a value is out of range, or the key stands for another request.
        :raises StoreError: it cannot be written down.
        """
        opened, submission = self._door.inside(), self._planner.submission(request, callback_url)
        tracked = await opened.jobs.take_in(submission, key=key, durable=True, save_to=save_to)
        return TaskHandle(self, tracked)

    async def generate(
        self,
        request: VideoRequest,
        *,
        timeout: float | None = None,
        key: str | None = None,
        save_to: str | PathLike[str] | None = None,
    ) -> Task:
        """
        Ask for a video and wait for it.

        :param timeout: seconds to wait after the provider has taken the task.
        :param key: see `submit`.
        :param save_to: see `submit`. The call returns when the video is there, or could not be saved at once.
        :raises HappyHorseError: see `submit` and `TaskHandle.wait`.
        """
        opened = self._door.inside()
        handle = await self.submit(request, key=key, save_to=save_to)
        task = await handle.wait(timeout)
        if save_to is not None:
            await opened.auto_downloads.tried(handle.job_id)
        return task

    def generate_many(
        self,
        requests: Iterable[VideoRequest | JobRequest] | AsyncIterable[VideoRequest | JobRequest],
        *,
        limit: int | None = None,
        timeout: float | None = None,
        callback_url: str | None = None,
        save_to: str | PathLike[str] | None = None,
    ) -> Batch[Outcome]:
        """
        Submit many requests, and yield each outcome as it comes.

        :param requests: an item may be a `JobRequest`, which has options of its own.
        :param limit: how many are in flight at once; by default 1,000. The provider's rate limits hold in any case.
        :param timeout: seconds to wait for each task after the provider has accepted it.
        :param callback_url: see `submit`.
        :param save_to: a folder for the videos; see `submit`.
        :raises ValueError: *save_to* is a file, in which each video would replace the one before.
        """
        self._door.inside()
        if save_to is not None and not (Path(save_to).is_dir() or str(save_to).endswith(("/", os.sep))):
            raise ValueError(f"save_to must be a folder where many videos are saved, not {save_to}")

        async def submit(job: JobRequest) -> TaskHandle:
            if job.provider not in (None, self.provider):
                raise ConfigurationError(f"this client has no provider {job.provider!r}", provider=self.provider)
            return await self.submit(
                job.request,
                key=job.key,
                callback_url=job.callback_url or callback_url,
                save_to=save_to if job.save_to is None else job.save_to,
            )

        async def wait(handle: TaskHandle, job: JobRequest) -> Task:
            task = await handle.wait(timeout)
            if job.save_to is not None or save_to is not None:
                await self._door.inside().auto_downloads.tried(handle.job_id)
            return task

        async def work(index: int, item: VideoRequest | JobRequest, submitted: Callable[[], None]) -> Outcome:
            return await generate_one(index, JobRequest.of(item), submitted, submit=submit, wait=wait)

        return Batch(requests, work, spawn=self._door.spawn, limit=limit)

    def plan(self, request: VideoRequest, *, callback_url: str | None = None) -> Plan:
        """
        Find out what `submit` would send, without the network.

        :raises UnsupportedFeatureError: the provider cannot express the request.
        :raises InvalidRequestError: a value is out of range.
        """
        plan = self._planner.plan(request, callback_url)
        engine = self._door.engine
        return plan if engine is None else evolve(plan, warnings=plan.warnings + engine.submitter.warnings(plan.model))

    async def fetch(self, ref: TaskRef | str) -> Task:
        """
        Look at a task, once.

        :raises TaskNotFoundError: the provider never knew it, or has forgotten it.
        :raises HappyHorseError: the look failed, which says nothing of the task.
        """
        return await self._door.inside().poller.fetch(self._planner.account.own(ref))

    def resume(self, ref: TaskRef | str) -> TaskHandle:
        """
        Take up a task that was submitted at another time or by another process. Sends nothing by itself.

        :raises ConfigurationError: the ref names another provider.
        """
        return TaskHandle(self, self._door.inside().poller.known(self._planner.account.own(ref), new_job_id()))

    async def cancel(self, ref: TaskRef | str) -> Task:
        """
        Ask the provider to cancel a task, and return how it stands afterwards: cancelled, or too far gone for it.

        :raises UnsupportedFeatureError: the provider cannot cancel. Nothing was sent.
        """
        opened, ref = self._door.inside(), self._planner.account.own(ref)
        async with opened.exchange.query_slot():
            await opened.exchange.cancel(ref)
        return await self.fetch(ref)

    def list_tasks(self, *, limit: int | None = None) -> TaskList:
        """
        List the account's tasks, newest first: iterate with `async for`, or await a list.

        Some providers' lists leave out the videos; `fetch` has them.

        :param limit: how many at most.
        :raises UnsupportedFeatureError: the provider has no list.
        """
        opened = self._door.inside()

        async def fetch_page(page: PageRequest) -> TaskPage:
            async with opened.exchange.query_slot():
                return await opened.exchange.list_page(page)

        return TaskList(fetch_page, limit=limit)

    async def download(self, task: Task, path: str | PathLike[str], *, progress: Progress | None = None) -> Path:
        """
        Bring a finished video to disk. The file appears whole or not at all.

        :param path: the file, or a folder, where it is named after the task.
        :param progress: called with the bytes received and the bytes expected (`None` where unknown).
        :raises DownloadError: no video, no answer, a URL that stays refused, a body that is no whole video, or a disk
            that refuses it. The task stays as it is, and can be downloaded again.
        """
        return await self._door.inside().downloads.bring(task, Path(path), progress=progress)

    async def pending(self) -> list[PendingJob]:
        """List the jobs of this provider that are not at their end, those of other processes included."""
        return await self._door.inside().jobs.pending()

    async def candidates(self, job_id: str) -> list[Task]:
        """
        Search the provider's list for tasks that may be a job of unknown outcome. They are guesses; see `resolve`.

        :raises InvalidRequestError: there is no such job, or it is settled.
        :raises UnsupportedFeatureError: the provider has no list.
        """
        return await self._door.inside().reconciler.candidates(job_id)

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
        reconciler = self._door.inside().reconciler
        if (adopt is None) == (not write_off):
            raise ValueError("say one of the two: adopt=… or write_off=True")
        if adopt is None:
            await reconciler.write_off(job_id)
            return None
        is_ref = isinstance(adopt, TaskRef) or adopt.startswith(f"{self.provider}:")
        ref = self._planner.account.own(adopt) if is_ref else self._planner.account.ref(str(adopt))
        return TaskHandle(self, await reconciler.adopt(job_id, ref))

    async def take_callback(self, message: HttpRequest, secrets: Sequence[str], *, job_id: str | None) -> Task | None:
        """
        Take in what the provider says of a task by calling us; see `CallbackReceiver.receive`.

        :param message: its header names are lower-case, and its body is as it arrived.
        :param secrets: those that prove it to be the provider's.
        :param job_id: what the URL that was called says of the job.
        """
        return await self._door.inside().callback_processor.take_in(message, secrets, job_id=job_id)

    async def attend(self, tracked: TrackedJob) -> None:
        """
        See to it that the task of *watch* is looked at.

        :raises ConfigurationError: the store knows that the task was submitted elsewhere.
        :raises RuntimeError: the client is closed, or runs in another event loop.
        """
        if not tracked.ended:
            await self._door.inside().jobs.attend(tracked)

    async def withdraw(self, tracked: TrackedJob) -> bool:
        """
        Take back a job that has not been sent, and return whether that was possible.

        :raises StoreError: that cannot be written down.
        """
        return self._door.engine is not None and await self._door.inside().jobs.withdraw(tracked.job_id)
