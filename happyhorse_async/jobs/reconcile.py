"""
Jobs of unknown outcome: what their tasks may be, and how the question is settled.

A person settles it, or nobody does; unless the client was told to adopt the only task that a job can be. Then the
provider's list is searched as soon as an answer was lost.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from attrs import frozen

from ..adapter import PageRequest
from ..background import Background
from ..errors import HappyHorseError, InvalidRequestError
from ..exchange import Exchange
from ..job import Job, JobState
from ..polling import Poller
from ..task import Task, TaskRef
from ..tracked_job import TrackedJob
from .auto_download import AutoDownloads
from .journal import Journal, Written
from .submit_errors import closed_meanwhile

_log = logging.getLogger("happyhorse_async")

# A provider's clock and ours may differ, and a request may have waited on the way.
_BEFORE, _AFTER = timedelta(minutes=2), timedelta(minutes=3)
_SEARCHED_PAGES = 5
# A task may take its time to appear in a list.
_PAUSE = 60.0
_LONGEST_PAUSE = 900.0


@frozen
class _Finding:
    """What a search has found."""

    tasks: tuple[Task, ...]
    """What a job may be."""
    disputed: bool
    """Whether another job of unknown task may be one of them as well."""


class Reconciler:
    """
    The jobs of one client whose outcome is unknown.

    :param savings: where the video of a task that is found may be wanted.
    :param adopts: whether the only task that a job can be is adopted without asking.
    """

    def __init__(
        self, exchange: Exchange, poller: Poller, journal: Journal, auto_downloads: AutoDownloads, *, adopts: bool
    ) -> None:
        self._exchange = exchange
        self._poller = poller
        self._journal = journal
        self._auto_downloads = auto_downloads
        self._searches = Background()
        self._closing = False
        self.searches = adopts and exchange.adapter.capabilities.list_is_live
        """Whether an answer that was lost is searched for."""

    async def adopt(self, job_id: str, ref: TaskRef) -> TrackedJob:
        """
        Settle a job of unknown outcome: *ref* is its task.

        :raises InvalidRequestError: there is no such job, it is settled, or the task is another job's.
        :raises TaskNotFoundError: the provider does not know the task.
        """
        job = await self._open_question(job_id)
        other = await self._journal.store.by_ref(ref)
        if other is not None:
            raise InvalidRequestError(f"the task is that of job {other.job_id}", ref=ref, job_id=job_id)
        return await self._adopt(job, ref)

    async def _adopt(self, job: Job, ref: TaskRef, tracked: TrackedJob | None = None) -> TrackedJob:
        async with self._exchange.query_slot():
            task = await self._exchange.fetch(ref)
        adopted = await _answered(self._journal.accepted(job, task, only_from=JobState.OUTCOME_UNKNOWN))
        tracked = tracked or self._poller.known(ref, job.job_id)
        tracked.job_id, tracked.job = job.job_id, adopted
        # Whoever has asked before the client was closed must not set anything going after it.
        if self._closing:
            raise closed_meanwhile(task, ref, job.job_id)
        self._poller.accepted(tracked, task)
        self._auto_downloads.begin(tracked)
        return tracked

    async def write_off(self, job_id: str) -> None:
        """
        Settle a job of unknown outcome: there is no task, or nobody wants it. Its key is free again.

        :raises InvalidRequestError: there is no such job, or it is settled.
        """
        job = await self._open_question(job_id)
        await _answered(self._journal.refused(job, None, only_from=JobState.OUTCOME_UNKNOWN))

    async def candidates(self, job_id: str) -> list[Task]:
        """
        Search the provider's list for tasks that may be a job of unknown outcome. They are guesses.

        A candidate was created about when the job was sent, runs the same model, and is no other job's.

        :raises InvalidRequestError: there is no such job, or it is settled.
        :raises UnsupportedFeatureError: the provider has no list.
        """
        job = await self._open_question(job_id)
        return await self._unowned(await self._listed(job))

    async def _listed(self, job: Job) -> list[Task]:
        # A task that comes meanwhile moves the others on to the next page.
        found: dict[TaskRef, Task] = {}
        page: PageRequest | None = PageRequest()
        for _ in range(_SEARCHED_PAGES):
            if page is None:
                break
            async with self._exchange.query_slot():
                answer = await self._exchange.list_page(page)
            found.update((task.ref, task) for task in answer.tasks if _may_be(task, job))
            page = answer.next
        return list(found.values())

    async def _unowned(self, tasks: list[Task]) -> list[Task]:
        return [task for task in tasks if await self._journal.store.by_ref(task.ref) is None]

    async def seek(self, job: Job, tracked: TrackedJob) -> str:
        """
        Search for the task of *job*, now and after a minute, and adopt it where it can be no other.

        :return: what else was found, in a sentence; empty where the task was adopted. Where that is not the last word,
            the search goes on.
        """
        said, is_final = "", False
        for pause in (0.0, _PAUSE):
            await asyncio.sleep(pause)
            try:
                finding = await self._find(job)
                if await self._is_adopted(job, finding, tracked):
                    return ""
            except InvalidRequestError as error:
                return error.message
            except HappyHorseError as error:
                said, is_final = f"The provider's list cannot be searched: {error.message}", False
                continue
            said, is_final = _in_words(finding), not finding.disputed
            if is_final and finding.tasks:
                break
        if not is_final:
            self.seek_later(job)
        return said

    def seek_later(self, job: Job) -> None:
        """Search for the task of *job*, for which nobody waits, for as long as its provider would remember it."""
        if self.searches and not self._closing and self._may_live(job):
            self._searches.spawn(self._seek_on(job))

    def _may_live(self, job: Job) -> bool:
        age = datetime.now(UTC) - (job.submitted_at or job.created_at)
        return age.total_seconds() < self._exchange.adapter.task_ttl

    async def _seek_on(self, job: Job) -> None:
        pause, answers = _PAUSE, 0
        while self._may_live(job):
            try:
                finding = await self._find(job)
                if await self._is_adopted(job, finding, TrackedJob(job_id=job.job_id)):
                    return
                answers += 1
                if not finding.disputed and (finding.tasks or answers > 1):
                    _log.warning("job %s: %s", job.job_id, _in_words(finding))
                    return
            except InvalidRequestError:
                # Somebody has settled it.
                return
            except HappyHorseError as error:
                _log.warning("job %s: the provider's list cannot be searched: %s", job.job_id, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _find(self, job: Job) -> _Finding:
        await self._open_question(job.job_id)
        listed = await self._listed(job)
        # In this order: whichever job a listed task belongs to, it is either open still or its owner by then.
        others = [
            other
            for other in await self._journal.store.unfinished(job.endpoint.provider)
            if other.job_id != job.job_id and other.endpoint == job.endpoint and _is_open(other)
        ]
        found = await self._unowned(listed)
        disputed = any(_may_be(task, other) for task in found for other in others)
        return _Finding(tuple(found), disputed)

    async def _is_adopted(self, job: Job, finding: _Finding, tracked: TrackedJob) -> bool:
        if len(finding.tasks) != 1 or finding.disputed:
            return False
        [task] = finding.tasks
        await self._adopt(job, task.ref, tracked)
        _log.warning("job %s has adopted %s, the only task that it can be", job.job_id, task.ref)
        return True

    async def aclose(self) -> None:
        """Stop searching."""
        self._closing = True
        await self._searches.aclose()

    async def _open_question(self, job_id: str) -> Job:
        # What a callback has told may be on its way to the store.
        await self._journal.written(job_id)
        job = await self._journal.store.get(job_id)
        if job is None or job.endpoint != self._journal.endpoint:
            raise InvalidRequestError(f"{self._journal.endpoint.provider} has no job {job_id!r}", job_id=job_id)
        if job.state is not JobState.OUTCOME_UNKNOWN:
            raise InvalidRequestError(f"there is nothing to settle: the job is {job.state}", job_id=job_id, ref=job.ref)
        return job


def _may_be(task: Task, job: Job) -> bool:
    created, sent = task.created_at, job.submitted_at or job.created_at
    return task.model in (None, job.model) and created is not None and sent - _BEFORE <= created <= sent + _AFTER


def _is_open(job: Job) -> bool:
    """Tell whether *job* may have a task that the store does not know."""
    return job.state in (JobState.SUBMITTING, JobState.OUTCOME_UNKNOWN)


def _in_words(finding: _Finding) -> str:
    if not finding.tasks:
        return "The provider's list has no task that it can be."
    refs = ", ".join(str(task.ref) for task in finding.tasks)
    other = ", or that of another job whose outcome is not known" if finding.disputed else ""
    return f"It may be {refs}{other}."


async def _answered(written: Written) -> Job:
    if not await asyncio.shield(written[1]):
        raise InvalidRequestError("there is nothing to settle any more: somebody has", job_id=written[0].job_id)
    return written[0]
