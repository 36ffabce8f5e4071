"""The downloads of one client: how many run at once, which is next, and a fresh URL where the old one is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

from attrs import field, frozen

from ..errors import DownloadError, HappyHorseError, TaskNotFoundError
from ..exchange import Exchange
from ..task import Task, TaskRef, TaskStatus
from ..transports.ip_filter import is_public_host
from .expiry import UrlLife, tracked_by_ref
from .fetch import Progress, download
from .naming import place_for
from .policy import DownloadPolicy


@frozen(kw_only=True)
class Downloads:
    """
    Brings the videos of tasks to disk.

    :param fetch: looks at a task, once.
    :param private: whether hosts may be asked that are not on the public internet. They may in any case where the
        provider itself is not: that is an emulator, or a gateway at home.
    """

    exchange: Exchange
    fetch: Callable[[TaskRef], Awaitable[Task]]
    private: bool = False
    policy: DownloadPolicy = field(factory=DownloadPolicy)

    async def bring(self, task: Task, path: Path, *, progress: Progress | None = None) -> Path:
        """
        Bring the video of *task* to *path*, a file or a folder.

        :raises DownloadError: there is no video, or it cannot be brought there whole. Has the task's ref.
        """

        async def renew() -> str | None:
            return await self._fresh_url(task.ref)

        try:
            url = _url(task)
            target = await asyncio.to_thread(place_for, path, task.id)
            life = UrlLife.of(task, datetime.now(UTC))
            async with AsyncExitStack() as place:
                with tracked_by_ref(task, life):
                    # Whose URL dies first goes first, however many wait.
                    await place.enter_async_context(self.exchange.limits.downloads.acquire(life.ends.timestamp()))
                return await download(
                    self.exchange.transport,
                    url,
                    target,
                    progress=progress,
                    policy=self.policy,
                    renew=renew,
                    public_only=not self.private and await is_public_host(self.exchange.account.base_url),
                )
        except HappyHorseError as error:
            error.about(ref=task.ref)
            raise

    async def _fresh_url(self, ref: TaskRef) -> str | None:
        # A signed URL may have outlived its signature while its video has not.
        try:
            task = await self.fetch(ref)
        except TaskNotFoundError:
            return None
        except HappyHorseError as error:
            raise DownloadError(
                f"the URL of the video has expired, and there is no fresh one: {error.message}"
            ) from error
        return task.video_url if task.status is TaskStatus.SUCCEEDED else None


def _url(task: Task) -> str:
    if task.status is not TaskStatus.SUCCEEDED or task.video_url is None:
        raise DownloadError(f"there is no video to download: the task is {task.status}")
    return task.video_url
