"""
Accepts a job: by the response to its submit, a callback that overtakes the response, or an entry of the store.

Whichever comes first hands the job over to the poller. The others are compared with it, and the response takes
precedence.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from attrs import evolve

from ..errors import InvalidResponseError, StoreError
from ..logs import JOB_ACCEPTED, get_logger, log_fields
from ..task import Task, TaskStatus
from ..tracked_job import TrackedJob
from ..tracker import Tracker
from .account import Accounts
from .journal import Journal, Write
from .state import JobEvent

_log = get_logger(__name__)


class Acceptance:
    """Records the task of a job, and starts polling it."""

    def __init__(self, accounts: Accounts, tracker: Tracker, journal: Journal) -> None:
        self._accounts = accounts
        self._tracker = tracker
        self._journal = journal

    async def accept(self, tracked: TrackedJob, task: Task) -> None:
        """Record the task of the response, and start polling it."""
        if tracked.attempt is None:
            self._compare(tracked, task)
            return
        # An end reported this early is confirmed by a poll, which also has the video.
        is_early_end = task.status.is_terminal and not task.videos
        task = tracked.without_raw(unended(task) if is_early_end else task)
        self._accounts.of(tracked.job).poller.prepare(tracked)
        write = self._journal.record(tracked, JobEvent.ANSWER, task=task, owner=self._journal.store.owner)
        self._tracker.name(tracked)
        try:
            if write is not None and not await asyncio.shield(write):
                await self._compare_with_store(tracked, task)
        finally:
            # Also if the client has no time to wait for the journal.
            self.hand_over(tracked, tracked.task or task, at_once=is_early_end)
        if _log.isEnabledFor(logging.INFO):
            fields = log_fields(tracked.job, event=JOB_ACCEPTED)
            _log.info("job %s was accepted as %s", tracked.job_id, task.ref, extra=fields)

    def hand_over(self, tracked: TrackedJob, task: Task, *, at_once: bool = False) -> None:
        """Hand a job over to the poller. It is not sent again."""
        tracked.attempt = None
        at_once = self._tracker.take_early_callback(task.ref) or at_once
        self._accounts.of(tracked.job).poller.accepted(tracked, task, at_once=at_once)

    def _compare(self, tracked: TrackedJob, task: Task) -> None:
        """Compare the response to a paid request with the callback that overtook it. The response takes precedence."""
        if task.id == tracked.job.task_id:
            return
        why = f"the callback of this job named {tracked.ref}, and the answer to its submit names {task.ref}"
        _log.critical("job %s: %s; the answer counts", tracked.job_id, why, extra=log_fields(tracked.job, reason=why))
        corrected = TrackedJob(tracked.job)
        self._journal.record(corrected, JobEvent.CORRECT, task=task, owner=self._journal.store.owner)
        tracked.is_recorded = False
        tracked.give_up(InvalidResponseError(f"{why}, which counts"))

    async def _compare_with_store(self, tracked: TrackedJob, task: Task) -> None:
        """Load *task* from the store, or make sure that it is recorded there."""
        known = None
        with suppress(StoreError):
            known = await self._journal.store.get(tracked.job_id)
        if known is not None and known.task is not None and known.ref == task.ref:
            tracked.load(known)
        elif (write := self._journal.record(tracked, JobEvent.CORRECT, task=task)) is not None:
            await asyncio.shield(write)

    async def learn_from_store(self, tracked: TrackedJob) -> bool:
        """Start polling the task that a callback or a person has recorded in the store; return whether there is one."""
        with suppress(StoreError):
            job = await self._journal.store.get(tracked.job_id)
            if tracked.attempt is None or job is None:
                return tracked.attempt is None
            if job.ref is not None:
                tracked.load(job)
                self.hand_over(tracked, job.task or Task(ref=job.ref, status=TaskStatus.PENDING, observed_at=None))
            elif job.state.is_final:
                # Another process has cancelled it.
                tracked.load(job)
        return tracked.attempt is None

    def adopt(self, job_id: str, task: Task) -> Write | None:
        """Assign *task* to a job that was sent from here and has none yet; return `None` if there is no such job."""
        tracked = self._tracker.by_id(job_id)
        if tracked is None or tracked.attempt is None or tracked.job.submitted_at is None:
            return None
        if task.ref.provider != tracked.job.endpoint.provider:
            # The job has moved to another account in the meantime.
            return None
        self._accounts.of(tracked.job).poller.prepare(tracked)
        write = self._journal.record(tracked, JobEvent.CALL_BACK, task=task, owner=self._journal.store.owner)
        if write is not None:
            # It is not sent again. If its submit still gets a response, that is compared with the callback.
            scheduler = self._accounts.of(tracked.job).scheduler
            scheduler.remove(tracked)
            self.hand_over(tracked, task)
            scheduler.count(tracked)
            fields = log_fields(tracked.job, event=JOB_ACCEPTED)
            _log.info("job %s was accepted as %s, as its callback says", job_id, task.ref, extra=fields)
        return write


def unended(task: Task) -> Task:
    """Return *task* as one that has not ended: its end is confirmed by a poll."""
    return evolve(task, status=TaskStatus.PENDING, error=None)
