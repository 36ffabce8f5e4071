"""
The paid request: recorded, sent once, and sent again only if it was certainly not accepted.

Every failure of a submit is one of three. *Not sent*: there was no connection. *Refused*: the provider did not accept
it, and may accept it later. *Ambiguous*: it was sent and no readable answer came, so that it may have been accepted. An
ambiguous request is sent again only with an idempotency key, and then with the same bytes.

`Submitter._run` is the life of a job from its slot to its task. Permit and slot come first, then the intent is
recorded, then the request is sent at once: only a crash between the last two, or before the answer is recorded, leaves
an unknown outcome.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from .. import telemetry
from ..background import Background
from ..errors import BudgetExceededError, HappyHorseError, StoreError, SubmitOutcomeUnknownError
from ..job import Job
from ..logs import JOB_FAILED, SUBMIT_RETRIED, get_logger, log_fields
from ..messages import HttpRequest
from ..retry import RetryPolicies
from ..tracked_job import TrackedJob
from ..tracker import Tracker
from .acceptance import Acceptance
from .account import Accounts
from .attempt import NextStep, SubmitAttempt, is_protected
from .job_errors import error_of, to_data, withdrawn
from .journal import Journal, Write
from .leaving import Leaving
from .moves import Mover
from .reconcile import Reconciler
from .routing import PlannedJob, Router
from .state import TAKEN_BACK, JobEvent, applies
from .submit_errors import certain, is_ambiguous, outcome_unknown, unreadable

_log = get_logger(__name__)

_CLOSING_GRACE = 30.0
# A process that was suspended between the intent and the POST may have been declared dead in the meantime.
_OLDEST_INTENT = 5.0


class Submitter:
    """Sends the jobs of one client, and hands those that were accepted over to the pollers."""

    def __init__(
        self,
        accounts: Accounts,
        tracker: Tracker,
        journal: Journal,
        reconciler: Reconciler,
        retries: RetryPolicies,
        router: Router,
    ) -> None:
        self._accounts = accounts
        self._mover = Mover(accounts, journal, router, retries)
        self._tracker = tracker
        self._journal = journal
        self.acceptance = Acceptance(accounts, tracker, journal)
        """What makes a job accepted."""
        self._reconciler = reconciler
        self._retries = retries
        self._runs = Background()
        self._searches = Background()
        self._closing = False
        self._leaving = Leaving(accounts, tracker, journal, learn=self.acceptance.learn_from_store, end=self._end)

    def put(self, tracked: TrackedJob, message: HttpRequest, *, lost_answer: HappyHorseError | None = None) -> None:
        """
        Queue a job that is recorded and belongs to this process.

        :param lost_answer: why it may have been accepted already, if an earlier process sent it.
        """
        tracked.attempt = SubmitAttempt(message=message, lost_answer=lost_answer)
        tracked.span = telemetry.begin(tracked.job, tracked.span)
        if self._closing:
            self._leaving.leave(tracked)
            return
        self._tracker.add(tracked)
        account, pause = self._accounts.of(tracked.job), self._mover.pause(tracked.job)
        if pause and account.breaker.error is not None:
            self._put_off(tracked, account.breaker.error, pause)
        else:
            account.scheduler.put(tracked)

    def _put_off(self, tracked: TrackedJob, reason: HappyHorseError, delay: float) -> None:
        """Let a job that is not sent at present wait, and record why."""
        if tracked.attempt is not None and tracked.attempt.lost_answer is None:
            self._journal.record(tracked, JobEvent.NOT_ACCEPTED, error=to_data(reason))
        self._accounts.of(tracked.job).scheduler.put_back(tracked, delay)

    def start(self, tracked: TrackedJob, slot: AsyncExitStack) -> None:
        """Send a job that has its slot. Cancelling a caller does not interrupt this."""
        self._runs.spawn(self._run(tracked, slot))

    async def _run(self, tracked: TrackedJob, slot: AsyncExitStack) -> None:
        """One attempt, from its slot to its outcome: polled, queued again, or ended."""
        account, task, attempt = self._accounts.of(tracked.job), None, tracked.attempt
        exchange = account.exchange
        try:
            async with slot:
                if attempt is None or await self._is_steered_away(tracked, attempt):
                    return
                message = attempt.message
                if account.media.is_uploaded(message, tracked.job.model):
                    if message.media:
                        message = await account.media.ready(message, tracked.job.model)
                    if not await self._record_intent(tracked, attempt):
                        return
                    task = await telemetry.submit(tracked.span, exchange.submit(message))
                    account.breaker.succeeded()
                    await self.acceptance.accept(tracked, task)
                    return
            await self._upload(tracked, message)
            return
        except HappyHorseError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - whatever went wrong, waiters are told, and the job is not forgotten
            _log.exception(
                "job %s: the response cannot be processed", tracked.job_id, extra=log_fields(tracked.job, reason=error)
            )
            failure = unreadable(error, exchange.account.provider)
        if task is not None:
            self._end(tracked, failure)
        elif tracked.attempt is not None:
            await self._fail(tracked, tracked.attempt, failure)

    async def _upload(self, tracked: TrackedJob, message: HttpRequest) -> None:
        """Upload the media of a job, which may take minutes and needs no slot, and queue it in front of all others."""
        account = self._accounts.of(tracked.job)
        tracked.release_permit()
        await telemetry.upload(tracked.span, account.media.upload_all(message, tracked.job.model))
        account.scheduler.put_back(tracked, 0)

    async def _record_intent(self, tracked: TrackedJob, attempt: SubmitAttempt) -> bool:
        """Record that a job is about to be sent, and return whether it may be."""
        account = self._accounts.of(tracked.job)
        if attempt.lost_answer is not None and not is_protected(tracked.job, account.adapter):
            raise attempt.lost_answer
        is_recorded, age = True, _OLDEST_INTENT + 1
        while is_recorded and tracked.attempt is attempt and age > _OLDEST_INTENT:
            asked_at = _clock()
            is_recorded = await self._journal.record_now(
                tracked, JobEvent.SUBMIT, submitted_at=datetime.now(UTC), owner=self._journal.store.owner
            )
            if is_recorded:
                await account.exchange.limits.submits.renew(attempt.slot_at)
                attempt.slot_at = asyncio.get_running_loop().time()
            age = _clock() - asked_at
        # A callback may have named the task in the meantime, or another process may have taken the job over.
        if tracked.attempt is attempt and not is_recorded and not await self.acceptance.learn_from_store(tracked):
            self._end_taken_over(tracked)
        return tracked.attempt is attempt

    def _end_taken_over(self, tracked: TrackedJob) -> None:
        taken_over = StoreError("another process has taken the job over", job_id=tracked.job_id)
        is_open = applies(tracked.job.state, JobEvent.SUBMIT)
        self._end(tracked, taken_over if is_open else error_of(tracked.job) or taken_over)

    async def _is_steered_away(self, tracked: TrackedJob, attempt: SubmitAttempt) -> bool:
        """Give a job that has its slot to another account, or let it wait, if its own is left out at present."""
        while tracked.attempt is attempt:
            step = await self._mover.steer(tracked.job, attempt)
            if step is None or tracked.attempt is not attempt:
                break
            if step.planned is None:
                tracked.release_permit()
                self._put_off(tracked, step.reason, step.delay)
                return True
            if await self._queue_at(tracked, attempt, step.planned, step.reason):
                return True
        return tracked.attempt is not attempt

    async def _fail(self, tracked: TrackedJob, attempt: SubmitAttempt, failure: HappyHorseError) -> None:
        """Decide what follows an attempt that failed: another one, or an end."""
        if is_ambiguous(failure):
            attempt.lost_answer = failure
        job = tracked.job
        self._mover.note_failure(job, failure)
        if attempt.is_spent(job, self._retries) or attempt.is_deferred(job, failure) or isinstance(failure, StoreError):
            await self._journal.is_promised(tracked)
        if tracked.attempt is None:
            # A callback has named the task in the meantime.
            return
        adapter, is_awaited = self._accounts.of(tracked.job).adapter, tracked.has_waiters
        match attempt.next_step(tracked.job, failure, adapter, self._retries, is_awaited=is_awaited):
            case NextStep.RETRY:
                await self._retry(tracked, failure, attempt.count_failure(job, failure, self._retries))
            case NextStep.MOVE:
                await self._move(tracked, attempt, failure)
            case NextStep.WITHDRAW:
                self._take_back(tracked)
            case NextStep.LOSE_ANSWER:
                await self._lose_answer(tracked, attempt.lost_answer or failure)
            case NextStep.REFUSE:
                await self._refuse(tracked, certain(failure).about(job_id=job.job_id))

    async def _retry(self, tracked: TrackedJob, failure: HappyHorseError, delay: float) -> None:
        """Queue a job at the same account after *delay* seconds."""
        job, attempt = tracked.job, tracked.attempt
        delay = max(delay, self._mover.pause(job))
        fields = log_fields(job, event=SUBMIT_RETRIED, reason=failure)
        _log.info("job %s is sent again in %.1f s: %s", tracked.job_id, delay, failure, extra=fields)
        tracked.release_permit()
        if attempt is not None and attempt.lost_answer is None:
            # While it waits it is certain that the provider does not have it, whatever becomes of this process.
            write = self._journal.record(tracked, JobEvent.NOT_ACCEPTED, error=to_data(failure))
            if write is not None:
                await asyncio.shield(write)
        self._accounts.of(job).scheduler.put_back(tracked, delay)

    async def _move(self, tracked: TrackedJob, attempt: SubmitAttempt, failure: HappyHorseError) -> None:
        """Give a job to the next account, or after a pause to the first one again, or end it."""
        while tracked.attempt is attempt:
            step = await self._mover.after_refusal(tracked, attempt, failure)
            if tracked.attempt is not attempt:
                return
            if step is None:
                await self._refuse(tracked, certain(failure).about(job_id=tracked.job_id))
                return
            if step.planned is None:
                await self._retry(tracked, failure, step.delay)
                return
            if await self._queue_at(tracked, attempt, step.planned, failure, step.delay):
                return

    async def _queue_at(
        self,
        tracked: TrackedJob,
        attempt: SubmitAttempt,
        planned: PlannedJob,
        failure: HappyHorseError,
        delay: float = 0.0,
    ) -> bool:
        """
        Move a job to the account that it was planned for, and queue it there.

        :return: whether its fate is decided. If the budget has no room for it there any more, it is where it was.
        """
        try:
            message = await self._mover.move(tracked, planned, failure)
        except BudgetExceededError as error:
            attempt.refusals[planned.provider] = error
            return False
        except StoreError as error:
            await self._fail(tracked, attempt, error)
            return True
        tracked.release_permit()
        if tracked.attempt is not attempt:
            return True
        if message is None:
            if not await self.acceptance.learn_from_store(tracked):
                self._end_taken_over(tracked)
            return True
        attempt.message = message
        telemetry.moved(tracked.span, tracked.job, failure)
        scheduler = self._accounts.of(tracked.job).scheduler
        if delay:
            scheduler.put_back(tracked, delay)
        else:
            scheduler.put(tracked, first=True)
        return True

    async def _refuse(self, tracked: TrackedJob, error: HappyHorseError) -> None:
        write = self._journal.record(tracked, JobEvent.REFUSE, error=to_data(error))
        try:
            if write is not None:
                await asyncio.shield(write)
        finally:
            if tracked.attempt is not None:
                self._end(tracked, error)

    async def _lose_answer(self, tracked: TrackedJob, cause: HappyHorseError) -> None:
        unknown = outcome_unknown(cause, tracked.job_id)
        write = self._journal.record(tracked, JobEvent.LOSE_ANSWER, owner=None, error=to_data(unknown))
        is_open = write is not None and await asyncio.shield(write)
        if tracked.attempt is None or (not is_open and await self.acceptance.learn_from_store(tracked)):
            return
        account = self._accounts.of(tracked.job)
        if self._reconciler.searches(account) and is_open and not self._closing:
            self._searches.spawn(self._search(tracked, cause))
        else:
            self._end(tracked, unknown)

    async def _search(self, tracked: TrackedJob, cause: HappyHorseError) -> None:
        """Search for the task of a lost answer, and tell those who wait for it what was found."""
        try:
            found = await self._reconciler.search(tracked)
        except Exception:  # noqa: BLE001 - waiters must not wait for ever
            message = "the search for the task of job %s failed"
            _log.exception(message, tracked.job_id, extra=log_fields(tracked.job))
            found = "The search for its task failed."
        # A callback, here or elsewhere, or a person may have settled it in the meantime.
        if found and tracked.attempt is not None and not await self.acceptance.learn_from_store(tracked):
            self._end(tracked, outcome_unknown(cause, tracked.job_id, found))
        tracked.attempt = None
        self._tracker.forget(tracked)

    def _end(self, tracked: TrackedJob, error: HappyHorseError) -> None:
        tracked.attempt = None
        self._tracker.forget(tracked)
        level = logging.WARNING if isinstance(error, SubmitOutcomeUnknownError) else logging.INFO
        fields = log_fields(tracked.job, event=JOB_FAILED, reason=error)
        _log.log(level, "job %s failed: %s", tracked.job_id, error, extra=fields)
        tracked.give_up(error)

    async def accepted(self, tracked: TrackedJob) -> None:
        """
        Wait until the provider has accepted a job. Cancelling this withdraws a job without other waiters.

        :raises HappyHorseError: it will not be accepted.
        """
        try:
            await tracked.accepted()
        except asyncio.CancelledError:
            # A job that was enqueued under the same key is promised.
            if not tracked.has_waiters and not tracked.job.durable:
                self.withdraw(tracked.job_id)
            raise

    async def promise(self, tracked: TrackedJob) -> None:
        """
        Guarantee that a job is sent, even without a waiter, and after this process if necessary.

        :raises StoreError: that cannot be recorded.
        """
        # A job that may have been accepted and cannot be sent again needs no promise.
        if not tracked.job.durable and applies(tracked.job.state, JobEvent.PROMISE):
            await asyncio.shield(self._runs.spawn(self._journal.record_now(tracked, JobEvent.PROMISE, durable=True)))

    def withdraw(self, job_id: str) -> Write | None:
        """Take back a job that has not been sent, and return the write; `None` if that is not possible."""
        tracked = self._tracker.by_id(job_id)
        if tracked is None or tracked.attempt is None:
            return None
        # Once the intent is recorded it may be on its way. If it is refused, it is not sent again unless awaited.
        if applies(tracked.job.state, JobEvent.LOSE_ANSWER) or not applies(tracked.job.state, JobEvent.WITHDRAW):
            return None
        return self._take_back(tracked)

    def _take_back(self, tracked: TrackedJob) -> Write:
        self._accounts.of(tracked.job).scheduler.remove(tracked)
        write = self._journal.withdraw(tracked)
        self._end(tracked, withdrawn(tracked.job_id))
        return write

    def learn(self, tracked: TrackedJob, job: Job) -> None:
        """Take in what another process has recorded of a job that is queued or sent here."""
        account = self._accounts.of(tracked.job)
        if job.ref is not None:
            account.poller.prepare(tracked)
            account.scheduler.remove(tracked)
            tracked.load(job)
            tracked.attempt = None
            self._tracker.accepted(tracked)
        elif job.state in TAKEN_BACK and applies(tracked.job.state, JobEvent.CANCEL):
            account.scheduler.remove(tracked)
            tracked.load(job)
            self._end(tracked, error_of(job) or withdrawn(job.job_id))

    async def aclose(self) -> None:
        """
        Stop sending. Requests in flight get a moment to be answered and recorded.

        A job that was enqueued and not sent stays in the store for the next process that opens it. One that only a
        caller waited for is withdrawn.
        """
        self._closing = True
        # To the end, even if the caller is cancelled.
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self._leaving.leave_all)
            closing.push_async_callback(self._leaving.prepare)
            closing.push_async_callback(self._searches.aclose)
            closing.push_async_callback(self._runs.aclose)
            closing.push_async_callback(self._runs.settle, _CLOSING_GRACE)
            for account in self._accounts:
                closing.push_async_callback(account.scheduler.aclose)


def _clock() -> float:
    # On Linux, the monotonic clock stops while the machine is suspended, and this one does not.
    boot_clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot_clock is None else time.clock_gettime(boot_clock)
