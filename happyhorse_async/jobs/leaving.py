"""Handles jobs that are not accepted when a client is closed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..background import for_each_yielding
from ..errors import HappyHorseError, WaitTimeoutError
from ..tracked_job import TrackedJob
from ..tracker import Tracker
from .account import Accounts
from .attempt import is_protected
from .job_errors import to_data
from .journal import NO_OWNER, Journal
from .state import JobEvent, applies
from .submit_errors import closed_meanwhile, not_accepted, outcome_unknown


class Leaving:
    """
    Leaves each job to the next process, withdraws it, or records that its outcome is unknown.

    :param learn: takes over what the store knows of a job, and returns whether it is settled.
    :param end: tells those who wait for a job why nothing more will come.
    """

    def __init__(
        self,
        accounts: Accounts,
        tracker: Tracker,
        journal: Journal,
        *,
        learn: Callable[[TrackedJob], Awaitable[bool]],
        end: Callable[[TrackedJob, HappyHorseError], None],
    ) -> None:
        self._accounts = accounts
        self._tracker = tracker
        self._journal = journal
        self._learn = learn
        self._end = end

    async def prepare(self) -> None:
        """Read what other processes have recorded of the jobs."""
        for tracked in self._tracker.unaccepted():
            if tracked.job.submitted_at is None or not await self._learn(tracked):
                await self._journal.is_promised(tracked)

    async def leave_all(self) -> None:
        """Leave all jobs that are not accepted."""
        await for_each_yielding(self._tracker.unaccepted(), self.leave)

    def leave(self, tracked: TrackedJob) -> None:
        """Leave one job."""
        if tracked.attempt is None:
            # A waiter that was told that the client is closed has taken it back.
            return
        job, closed = tracked.job, not_accepted(tracked.job_id)
        if job.ref is not None:
            # Its task was found while the client was being closed.
            self._end(tracked, closed_meanwhile(tracked.whole_task, job.ref, job.job_id))
            return
        may_be_accepted = applies(job.state, JobEvent.LOSE_ANSWER)
        can_be_sent = not may_be_accepted or is_protected(job, self._accounts.of(job).adapter)
        if job.durable and can_be_sent and applies(job.state, JobEvent.RELEASE):
            self._journal.record(tracked, JobEvent.RELEASE, owner=NO_OWNER)
            message = f"{closed.message}; the next process that opens the store sends it"
            self._end(tracked, WaitTimeoutError(message, job_id=job.job_id))
        elif not may_be_accepted and applies(job.state, JobEvent.WITHDRAW):
            self._journal.withdraw(tracked)
            self._end(tracked, closed)
        else:
            unknown = outcome_unknown(tracked.attempt.lost_answer or closed, job.job_id)
            self._journal.record(tracked, JobEvent.LOSE_ANSWER, owner=None, error=to_data(unknown))
            self._end(tracked, unknown)
