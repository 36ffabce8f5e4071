"""The downloads of one client: their concurrency and order, and fresh URLs for refused ones."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from ..errors import DownloadError, HappyHorseError
from ..exchange import Exchange
from ..logs import get_logger, log_fields
from ..task import Task, TaskRef, TaskStatus
from ..transports.ip_filter import is_public_host
from .expiry import ResultUrl, warning_when_old
from .fetch import Fetch
from .part_file import PartFile
from .policy import DownloadPolicy
from .stream import VideoStream, open_stream
from .target import StrPath, target_path

Progress: TypeAlias = Callable[[int, int | None], object]
"""
Called with the bytes received and the bytes expected (`None` if the server does not announce them). It may be a
coroutine function, which is awaited.
"""

_log = get_logger(__name__)


@frozen(kw_only=True)
class Downloads:
    """
    Fetches the videos of tasks.

    :param fetch: polls a task, once.
    :param submitted_at: returns when the request of a task was sent, if this process knows it.
    :param private: whether hosts outside the public internet are allowed. They are always allowed if the API itself is
        on such a host: then it is an emulator, or the user's own gateway.
    """

    exchange: Exchange
    fetch: Callable[[TaskRef], Awaitable[Task]]
    submitted_at: Callable[[TaskRef], datetime | None] = field(default=lambda _: None)
    private: bool = False
    policy: DownloadPolicy = field(factory=DownloadPolicy)

    def with_few_retries(self) -> Downloads:
        """Return downloads that give up within seconds, for a caller with its own retries."""
        retry = self.policy.retry
        few = evolve(retry, max_retries=min(retry.max_retries, 4), max_interval=min(retry.max_interval, 8.0))
        return evolve(self, policy=evolve(self.policy, retry=few))

    async def download(self, task: Task, path: StrPath, *, progress: Progress | None = None) -> Path:
        """
        Write the video of *task* to *path*, a file or a folder; a folder with a trailing separator is created.

        :raises DownloadError: there is no video, it cannot be fetched completely, or the path cannot be written.
            Carries the task's ref.
        """
        try:
            url = self._url(task)
            target = await asyncio.to_thread(target_path, path, task.id)
            return await download(await self._begin(task, url), target, progress=progress)
        except HappyHorseError as error:
            error.about(ref=task.ref).mask(self.exchange.account.api_key)
            raise

    @asynccontextmanager
    async def stream(self, task: Task) -> AsyncGenerator[VideoStream]:
        """
        Fetch the video of *task* as a stream of bytes.

        :raises DownloadError: there is no video, or it cannot be fetched completely; also while the stream is read.
            Carries the task's ref.
        """
        try:
            async with open_stream(await self._begin(task, self._url(task))) as stream:
                yield stream
        except DownloadError as error:
            error.about(ref=task.ref).mask(self.exchange.account.api_key)
            raise

    async def _begin(self, task: Task, url: ResultUrl) -> Fetch:
        async def renew() -> ResultUrl | None:
            return await self._fresh_url(task.ref)

        api_host = urlsplit(self.exchange.account.base_url).hostname or ""
        return Fetch(
            self.exchange.transport,
            url,
            self.policy,
            renew=renew,
            slot=lambda: self._slot(task.ref, url),
            public_only=not self.private and await is_public_host(api_host),
            secrets=(self.exchange.account.api_key,),
        )

    @asynccontextmanager
    async def _slot(self, ref: TaskRef, url: ResultUrl) -> AsyncGenerator[None]:
        async with AsyncExitStack() as slot:
            with warning_when_old(ref, url):
                # The URL that expires first is fetched first, however many are queued.
                deadline = url.ends.timestamp() if url.ends else 0.0
                await slot.enter_async_context(self.exchange.limits.downloads.acquire(deadline))
            yield

    async def _fresh_url(self, ref: TaskRef) -> ResultUrl | None:
        # The signature of a URL may expire before its video does.
        try:
            task = await self.fetch(ref)
        except HappyHorseError as error:
            _log.info("no fresh URL for the video of %s: %s", ref, error, extra=log_fields(ref, reason=error))
            return None
        return self._url_of(task) if task.status is TaskStatus.SUCCEEDED else None

    def _url(self, task: Task) -> ResultUrl:
        url = self._url_of(task)
        if task.status is not TaskStatus.SUCCEEDED or url is None:
            raise DownloadError(f"there is no video to download: the task is {task.status}")
        return url

    def _url_of(self, task: Task) -> ResultUrl | None:
        return ResultUrl.of(task, datetime.now(UTC), submitted_at=self.submitted_at(task.ref))


async def download(fetch: Fetch, target: Path, *, progress: Progress | None = None) -> Path:
    """
    Write the video that *fetch* yields to *target*, completely or not at all, and return *target*.

    :raises DownloadError: it cannot be fetched, or the target cannot be written.
    """
    part, meter = PartFile(target), _Meter(progress)
    try:
        await part.open()
        async with aclosing(fetch.pieces()) as pieces:
            async for piece in pieces:
                if piece.start == 0:
                    part.restart()
                await part.add(piece.data)
                await meter.report(part.size, fetch.total)
        await part.publish()
    finally:
        await part.discard()
    return target


class _Meter:
    """Reports progress, which never decreases: bytes that are fetched again are not counted again."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._furthest = 0
        self._failed = False

    async def report(self, received: int, expected: int | None) -> None:
        if self._progress is None or received <= self._furthest:
            return
        self._furthest = received
        try:
            result = self._progress(received, expected)
            if inspect.isawaitable(result):
                await result
        except Exception:  # noqa: BLE001 - the caller's own code, and the video is paid for
            if not self._failed:
                _log.exception("the progress callback of a download failed; the download continues")
            self._failed = True
