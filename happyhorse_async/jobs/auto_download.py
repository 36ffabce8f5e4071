"""
`save_to`: videos that are downloaded in the background as soon as they are ready.

The path is recorded with the job. If a process ends before the video is saved, the next client that opens the store
continues, until the video is saved or its URL has expired. An error that ends a caller's wait, such as a refused key,
does not end this.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from pathlib import Path

from attrs import define, field

from ..background import Background
from ..download.fetch import UrlRefusedError
from ..download.part_file import discard_abandoned
from ..download.target import target_path
from ..errors import ConfigurationError, HappyHorseError, SubmitOutcomeUnknownError, WaitTimeoutError
from ..job import Job, JobError
from ..logs import LogFields, get_logger, log_fields
from ..retry import RetryPolicies, RetryPolicy
from ..task import Task, TaskStatus
from ..tracked_job import TrackedJob
from .job_errors import to_data
from .journal import NO_OWNER, Journal
from .state import JobEvent

_log = get_logger(__name__)

_CLOSING_GRACE = 60.0
# After an error that ended the wait, the task is polled again within a minute, and then less and less often.
_WAIT_AGAIN = RetryPolicy(max_retries=math.inf, initial_interval=60.0, max_interval=3600.0)
# A task may run for a day, and its video is available for another.
_LONGEST_WAIT = 2 * 86_400.0


@define(kw_only=True, eq=False)
class AutoDownload:
    """
    One video to save. Every failure is logged with the task and the path.

    :param tracked: the job and its task.
    :param path: the file, or a folder; absolute.
    :param journal: where the result is recorded.
    :param attend: makes sure that the task is polled.
    :param download: downloads the video to the file.
    :param recovered: whether a process that has died may have begun to save it.
    """

    tracked: TrackedJob
    path: str
    journal: Journal
    attend: Callable[[TrackedJob], Awaitable[object]]
    download: Callable[[Task, Path], Awaitable[object]]
    recovered: bool = False
    retry: RetryPolicy = RetryPolicies().save
    tried: asyncio.Event = field(factory=asyncio.Event, init=False)
    """Set when the video was saved, or could not be saved at once."""
    pausing: bool = field(default=False, init=False)
    """Whether it waits for its next attempt."""

    @property
    def under_way(self) -> bool:
        """Whether there is a video, and it is being saved right now."""
        task = self.tracked.task
        return task is not None and task.status is TaskStatus.SUCCEEDED and not self.pausing

    def _fields(self, error: HappyHorseError | None = None) -> LogFields:
        return log_fields(self.tracked.job, reason=error)

    async def run(self) -> None:
        """Wait for the video and save it."""
        try:
            await self._run()
        except (asyncio.CancelledError, WaitTimeoutError) as error:
            self._leave()
            if isinstance(error, asyncio.CancelledError):
                raise
        except UrlRefusedError as error:
            _log.error("the video is not saved at %s: %s", self.path, error, extra=self._fields(error))
            await self._record(error=to_data(error))
        except HappyHorseError as error:
            # Without a ref there is no task: the job was refused or withdrawn.
            level = logging.INFO if self.tracked.ref is None else logging.ERROR
            error.about(ref=self.tracked.ref)
            _log.log(level, "the video is not saved at %s: %s", self.path, error, extra=self._fields(error))
        except Exception:  # noqa: BLE001 - no caller waits for it, and the others go on
            _log.exception("the video of %s is not saved at %s", self._name, self.path, extra=self._fields())
        finally:
            self.tried.set()

    async def _run(self) -> None:
        task = await self._wait_for_end()
        if task.status is not TaskStatus.SUCCEEDED:
            level = logging.ERROR if task.status is TaskStatus.EXPIRED else logging.INFO
            message = "nothing to save at %s: the task %s is %s"
            _log.log(level, message, self.path, task.ref, task.status, extra=self._fields())
            return
        target = await asyncio.to_thread(target_path, self.path, task.id)
        if self.recovered:
            await asyncio.to_thread(discard_abandoned, target)
        is_saved = self.tracked.job.saved_to == str(target)
        if not is_saved or not await asyncio.to_thread(target.is_file):
            await self._save(task, target)

    async def _wait_for_end(self) -> Task:
        loop, attempt = asyncio.get_running_loop(), 0
        until = loop.time() + _LONGEST_WAIT
        while True:
            try:
                await self.attend(self.tracked)
                await self.tracked.stopped()
            except (WaitTimeoutError, ConfigurationError):
                raise
            except HappyHorseError as error:
                if self.tracked.ref is None or loop.time() > until:
                    raise
                delay = _WAIT_AGAIN.delay(attempt)
                message = "the task %s is polled again in %.0f s, to save its video: %s"
                _log.error(message, self._name, delay, error, extra=self._fields(error))
                await self._pause(delay)
                attempt += 1
            else:
                task = self.tracked.whole_task
                assert task is not None
                return task

    async def _save(self, task: Task, target: Path) -> None:
        attempt = 0
        while True:
            try:
                await self.download(task, target)
                break
            except HappyHorseError as error:
                # A video whose URL should still be valid has not expired: the storage may be late.
                if isinstance(error, UrlRefusedError) or attempt >= self.retry.max_retries:
                    raise
                delay = self.retry.delay(attempt)
                message = "the video is not yet saved at %s; next attempt in %.0f s: %s"
                _log.error(message, target, delay, error, extra=self._fields(error))
                await self._pause(delay)
                attempt += 1
        _log.info("the video of %s is saved at %s", task.ref, target, extra=self._fields())
        await self._record(saved_to=str(target), error=None)

    async def _record(self, *, error: JobError | None, saved_to: str | None = None) -> None:
        # Another path may have been requested in the meantime. Then the download to that path is recorded.
        if self.tracked.job.save_to in (None, self.path):
            write = self.journal.record(
                self.tracked, JobEvent.SAVE_ENDED, save_to=self.path, saved_to=saved_to, error=error
            )
            if write is not None:
                await asyncio.shield(write)

    async def _pause(self, delay: float) -> None:
        self.tried.set()
        self.pausing = True
        try:
            await asyncio.sleep(delay)
        finally:
            self.pausing = False
            self.tried.clear()

    def _leave(self) -> None:
        if not self.tracked.job.is_unfinished:
            return
        cut = " while it was being downloaded" if self.under_way else ""
        message = (
            "the client was closed before the video of %s was saved at %s%s; the next that opens the store saves it"
        )
        _log.warning(message, self._name, self.path, cut, extra=self._fields())
        if self.tracked.ref is not None:
            self.journal.record(self.tracked, JobEvent.RELEASE, save_to=self.path, owner=NO_OWNER)

    @property
    def _name(self) -> str:
        return str(self.tracked.ref or self.tracked.job_id)


class AutoDownloads:
    """
    The videos that a client saves.

    :param attend: makes sure that the task of a job is polled.
    :param download: downloads the video of a task to a file.
    :param retry: how often that is tried again.
    :param recovers: whether videos are saved that other processes were to save.
    :param works: whether this process saves videos at all. Otherwise it leaves them to others.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        attend: Callable[[TrackedJob], Awaitable[object]],
        download: Callable[[Task, Path], Awaitable[object]],
        retry: RetryPolicy,
        recovers: bool,
        works: bool = True,
    ) -> None:
        self._journal = journal
        self._attend = attend
        self._download = download
        self._retry = retry
        self._recovers = recovers
        self._works = works
        self._unsettled: set[str] = set()
        self._running: dict[tuple[TrackedJob, str], AutoDownload] = {}
        self._work = Background()

    def begin(self, tracked: TrackedJob, *, recovered: bool = False) -> None:
        """Save the video of a job at the path that is recorded with it, if any, and once at each path."""
        if tracked.job.save_to is None or not self._works:
            return
        path = tracked.job.save_to
        if (tracked, path) in self._running:
            return
        download = AutoDownload(
            tracked=tracked,
            path=path,
            journal=self._journal,
            attend=self._attend,
            download=self._download,
            recovered=recovered,
            retry=self._retry,
        )
        self._running[tracked, path] = download
        self._work.spawn(self._run(download))

    async def _run(self, download: AutoDownload) -> None:
        try:
            await download.run()
        finally:
            del self._running[download.tracked, download.path]
            if isinstance(download.tracked.gone, SubmitOutcomeUnknownError):
                self._unsettled.add(download.tracked.job_id)

    def is_responsible(self, job: Job) -> bool:
        """Return whether this client is to save the video of *job*, which it does not send itself."""
        return self._recovers or job.job_id in self._unsettled

    async def request(self, tracked: TrackedJob, path: str) -> None:
        """
        Save the video of a job that was recorded before at *path*.

        :raises StoreError: it cannot be recorded.
        """
        await self._journal.request_save(tracked, path, saver=self._journal.store.owner if self._works else NO_OWNER)
        self.begin(tracked)

    async def tried(self, tracked: TrackedJob) -> None:
        """Wait until the video of a job was saved, or could not be saved at once."""
        for download in [download for download in self._running.values() if download.tracked is tracked]:
            await download.tried.wait()

    async def aclose(self) -> None:
        """Stop. What is being downloaded gets a minute; the rest is left to the next client that opens the store."""
        try:
            under_way = [
                self._work.spawn(download.tried.wait()) for download in self._running.values() if download.under_way
            ]
            if under_way:
                await asyncio.wait(under_way, timeout=_CLOSING_GRACE)
        finally:
            await self._work.aclose()
