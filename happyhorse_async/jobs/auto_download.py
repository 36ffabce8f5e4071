"""
Saving videos where that was asked for with the job, as soon as they are there and while nobody waits for them.

Where a video is to be saved stands in the journal. What a process leaves unsaved, whoever opens the store next goes on
with, until the video is saved or its URL has died.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from attrs import define, evolve, field

from ..background import Background
from ..download.fetch import UrlRefusedError
from ..download.part_file import discard_abandoned
from ..download.target import target_path
from ..errors import HappyHorseError, SubmitOutcomeUnknownError, WaitTimeoutError
from ..job import Job, JobState
from ..polling import Poller
from ..retry import RetryPolicies, RetryPolicy
from ..task import Task, TaskStatus
from ..tracked_job import TrackedJob
from .journal import Journal

_log = logging.getLogger("happyhorse_async")

_CLOSING_GRACE = 60.0


@define(kw_only=True, eq=False)
class AutoDownload:
    """
    One video that is to be saved. Whatever goes wrong is logged, with the task and the path.

    :param watch: the job and its task.
    :param path: the file, or a folder; absolute.
    :param journal: where it is written down what has become of it.
    :param attend: sees to it that somebody looks at the task.
    :param download: brings the video to the file.
    :param inherited: whether a process that has died may have begun to save it.
    """

    tracked: TrackedJob
    path: Path
    journal: Journal
    attend: Callable[[TrackedJob], Awaitable[object]]
    download: Callable[[Task, Path], Awaitable[object]]
    recovered: bool = False
    retry: RetryPolicy = RetryPolicies().save
    tried: asyncio.Event = field(factory=asyncio.Event, init=False)
    """Set when the video is saved, or could not be saved at once."""
    pausing: bool = field(default=False, init=False)
    """Whether it waits to try again."""

    @property
    def under_way(self) -> bool:
        """Whether there is a video, and it is being saved right now."""
        task = self.tracked.task
        return task is not None and task.status is TaskStatus.SUCCEEDED and not self.pausing

    async def run(self) -> None:
        """Wait for the video and save it."""
        try:
            await self._run()
        except (asyncio.CancelledError, WaitTimeoutError) as error:
            self._leave()
            if isinstance(error, asyncio.CancelledError):
                raise
        except UrlRefusedError as error:
            _log.error("the video is not saved at %s: %s", self.path, error)
            await self.journal.given_up(self.tracked, self.path, error)
        except HappyHorseError as error:
            # Without a ref there is no task: the job was refused, or taken back.
            level = logging.INFO if self.tracked.ref is None else logging.ERROR
            _log.log(level, "the video is not saved at %s: %s", self.path, error.about(ref=self.tracked.ref))
        except Exception:  # noqa: BLE001 - nobody waits for it, and the others are to go on
            _log.exception("the video of %s is not saved at %s", self._name, self.path)
        finally:
            self.tried.set()

    async def _run(self) -> None:
        await self.attend(self.tracked)
        await self.tracked.stopped()
        task = self.tracked.task
        assert task is not None
        if task.status is not TaskStatus.SUCCEEDED:
            level = logging.ERROR if task.status is TaskStatus.EXPIRED else logging.INFO
            _log.log(level, "nothing to save at %s: the task %s is %s", self.path, task.ref, task.status)
            return
        target = await asyncio.to_thread(target_path, self.path, task.id)
        if self.recovered:
            await asyncio.to_thread(discard_abandoned, target)
        if not await asyncio.to_thread(self._stands_at, target):
            await self._save(task, target)

    async def _save(self, task: Task, target: Path) -> None:
        tries = 0
        while True:
            try:
                await self.download(task, target)
                break
            except UrlRefusedError:
                raise
            except HappyHorseError as error:
                if tries >= self.retry.max_retries:
                    raise
                delay = self.retry.delay(tries)
                _log.error("the video is not yet saved at %s, tried again in %.0f s: %s", target, delay, error)
                await self._pause(delay)
                tries += 1
        _log.info("the video of %s is saved at %s", task.ref, target)
        await self.journal.saved(self.tracked, self.path, target)

    async def _pause(self, delay: float) -> None:
        self.tried.set()
        self.pausing = True
        try:
            await asyncio.sleep(delay)
        finally:
            self.pausing = False
            self.tried.clear()

    def _stands_at(self, target: Path) -> bool:
        """Whether an earlier run has saved it there."""
        saved_to = self.tracked.job.saved_to if self.tracked.job else None
        return saved_to == str(target) and target.is_file()

    def _leave(self) -> None:
        if self.tracked.job is not None and self.tracked.job.state is JobState.CLOSED:
            return
        cut = " in the midst of it" if self.under_way else ""
        message = "the client closes before the video of %s is saved at %s%s; whoever opens the store next saves it"
        _log.warning(message, self._name, self.path, cut)
        self.journal.left_unsaved(self.tracked, self.path)

    @property
    def _name(self) -> str:
        return str(self.tracked.ref or self.tracked.job_id)


class AutoDownloads:
    """
    The videos that a client is to save.

    :param attend: sees to it that somebody looks at the task of a watch.
    :param download: brings the video of a task to a file.
    :param retry: how often that is tried again.
    :param inherits: whether videos are saved that other processes were to save.
    """

    def __init__(
        self,
        poller: Poller,
        journal: Journal,
        *,
        attend: Callable[[TrackedJob], Awaitable[object]],
        download: Callable[[Task, Path], Awaitable[object]],
        retry: RetryPolicy,
        recovers: bool,
    ) -> None:
        self._poller = poller
        self._journal = journal
        self._attend = attend
        self._download = download
        self._retry = retry
        self._recovers = recovers
        self._unsettled: set[str] = set()
        self._auto_downloads: dict[tuple[TrackedJob, Path], AutoDownload] = {}
        self._work = Background()

    def begin(self, tracked: TrackedJob, *, recovered: bool = False) -> None:
        """Save the video of *watch* where its job says, if anywhere, and once at the same path."""
        if tracked.job is None or tracked.job.save_to is None:
            return
        path = Path(tracked.job.save_to)
        if (tracked, path) in self._auto_downloads:
            return
        saving = AutoDownload(
            tracked=tracked,
            path=path,
            journal=self._journal,
            attend=self._attend,
            download=self._download,
            recovered=recovered,
            retry=self._retry,
        )
        self._auto_downloads[tracked, path] = saving
        self._work.spawn(self._run(saving))

    async def _run(self, saving: AutoDownload) -> None:
        try:
            await saving.run()
        finally:
            del self._auto_downloads[saving.tracked, saving.path]
            if isinstance(saving.tracked.gone, SubmitOutcomeUnknownError):
                self._unsettled.add(saving.tracked.job_id)

    def sees_to(self, job: Job) -> bool:
        """Tell whether the video of *job*, for whose task nobody waits here, is for this client to save."""
        return self._recovers or job.job_id in self._unsettled

    async def wish(self, tracked: TrackedJob, path: str) -> None:
        """
        Save the video of *watch*, whose job was written down before, at *path*.

        :raises StoreError: it cannot be written down.
        """
        await self._journal.wished(tracked, path)
        self.begin(tracked)

    async def recover(self, job: Job) -> None:
        """Go on with a job whose task is known, and whose video a process was to save that has died."""
        mine = evolve(job, owner=self._journal.store.owner)
        if job.ref is None or not await self._journal.store.change(
            mine, only_from=JobState.ACCEPTED, only_owner=job.owner
        ):
            return
        tracked = self._poller.known(job.ref, job.job_id)
        tracked.job = mine
        self.begin(tracked, recovered=True)

    async def tried(self, job_id: str) -> None:
        """Wait until the video of a job is saved, or could not be saved at once."""
        for saving in [saving for saving in self._auto_downloads.values() if saving.tracked.job_id == job_id]:
            await saving.tried.wait()

    async def aclose(self) -> None:
        """Stop. What is being saved gets a minute to be whole; the rest is left to whoever opens the store next."""
        try:
            under_way = [
                self._work.spawn(saving.tried.wait()) for saving in self._auto_downloads.values() if saving.under_way
            ]
            if under_way:
                await asyncio.wait(under_way, timeout=_CLOSING_GRACE)
        finally:
            await self._work.aclose()
