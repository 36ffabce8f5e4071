"""
The paid request: written down, sent once, and again only when it was certainly not taken.

Every failure of a submit is one of three. *Not sent*: no connection. *Refused*: the provider turned it away, and may
take it later. *Ambiguous*: it left, and no readable answer came; the provider may have taken it. Only a provider that
takes an idempotency key may be sent an ambiguous request again, with the same key and the same bytes.

The place among the provider's tasks and the turn come first, then the intent is written down, then the request leaves
at once: between the last two lies all that a crash can leave unknown.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, suppress

from attrs import evolve

from ..background import Background, for_each_yielding
from ..errors import (
    HappyHorseError,
    InvalidRequestError,
    InvalidResponseError,
    StoreError,
    SubmitOutcomeUnknownError,
    WaitTimeoutError,
)
from ..exchange import Exchange
from ..job import Job, JobState
from ..messages import HttpRequest
from ..polling import Poller
from ..retry import RetryPolicies
from ..task import Task
from ..tracked_job import TrackedJob
from .attempt import SubmitAttempt, is_protected
from .early_callbacks import EarlyCallbacks
from .journal import Journal, Written
from .reconcile import Reconciler
from .scheduler import SubmitScheduler
from .submit_errors import certain, is_ambiguous, not_accepted, outcome_unknown, unreadable

_log = logging.getLogger("happyhorse_async")

_CLOSING_GRACE = 30.0


class Submitter:
    """Sends the jobs of one client, and hands what was accepted to the poller."""

    def __init__(
        self,
        exchange: Exchange,
        poller: Poller,
        journal: Journal,
        reconciler: Reconciler,
        early_callbacks: EarlyCallbacks,
        retries: RetryPolicies,
    ) -> None:
        self._exchange = exchange
        self._poller = poller
        self._journal = journal
        self._reconciler = reconciler
        self._early_callbacks = early_callbacks
        self._retries = retries
        self._dispatch = SubmitScheduler(exchange, self._go, lambda: len(self._attempts) + poller.in_flight)
        self._attempts: dict[str, SubmitAttempt] = {}
        self._posts = Background()
        self._searches = Background()
        self._closing = False

    def tracked_job(self, job_id: str) -> TrackedJob | None:
        """Return the watch on a job that this client is about to send or is sending."""
        attempt = self._attempts.get(job_id)
        return attempt.tracked if attempt else None

    def send(
        self, job: Job, message: HttpRequest, tracked: TrackedJob, *, unsettled: HappyHorseError | None = None
    ) -> None:
        """
        Send *job*, which is written down and belongs to this process, when its turn comes.

        :param unsettled: why it may have been taken already, when an earlier process sent it.
        """
        attempt = SubmitAttempt(
            job=job,
            message=message,
            tracked=tracked,
            retries=self._retries,
            ambiguous=unsettled,
            recovered=unsettled is not None,
        )
        if self._closing:
            self._leave(attempt)
            return
        self._attempts[job.job_id] = attempt
        self._dispatch.put(attempt)

    def count(self, tracked: TrackedJob) -> None:
        """Count the task of *watch* among those that the provider has, from now until nobody looks at it any more."""
        self._dispatch.count(tracked)

    async def accepted(self, tracked: TrackedJob) -> None:
        """
        Wait until the provider has taken the job of *watch*. Whoever cancels it takes back what nobody else wants.

        :raises HappyHorseError: it will not take it.
        """
        try:
            await tracked.accepted()
        except asyncio.CancelledError:
            # What was enqueued under the same key is promised, whoever else has asked for it.
            if not tracked.awaited and not (tracked.job is not None and tracked.job.durable):
                self.withdraw(tracked.job_id)
            raise

    async def promise(self, job_id: str) -> None:
        """
        Send a job even if nobody waits for it any more, and after this process if need be.

        :raises StoreError: that cannot be written down.
        """
        attempt = self._attempts[job_id]
        # One that is searched for is not sent any more.
        if not attempt.job.durable and attempt.job.state is not JobState.OUTCOME_UNKNOWN:
            attempt.job, written = self._journal.promised(attempt.job)
            attempt.tracked.job = attempt.job
            await asyncio.shield(written)
            try:
                self._journal.check_written(job_id)
            except StoreError:
                attempt.tracked.job = attempt.job = evolve(attempt.job, durable=False)
                raise

    def withdraw(self, job_id: str) -> asyncio.Task[bool] | None:
        """
        Take back a job that has not been sent, and return the writing of it; `None` where that is not possible.

        One that is on its way is not sent again, should it be refused and nobody wait for it.
        """
        attempt = self._attempts.get(job_id)
        if attempt is None:
            return None
        if attempt.job.state is not JobState.QUEUED or attempt.leaving:
            attempt.unwanted = True
            return None
        return self._take_back(attempt)

    def _take_back(self, attempt: SubmitAttempt) -> asyncio.Task[bool]:
        attempt.withdrawn = True
        self._dispatch.remove(attempt)
        writing = self._journal.taken_back(attempt.job)
        self._end(attempt, InvalidRequestError("the job was withdrawn before it was sent", job_id=attempt.job.job_id))
        return writing

    def _go(self, attempt: SubmitAttempt, turn: AsyncExitStack) -> None:
        self._posts.spawn(self._post(attempt, turn))

    async def _post(self, attempt: SubmitAttempt, turn: AsyncExitStack) -> None:
        try:
            async with turn:
                await self._send(attempt)
        except HappyHorseError as failure:
            await self._failed(attempt, failure)
        except Exception as error:  # noqa: BLE001 - see below
            # Whatever is wrong with one answer, its caller must not wait for ever, and its money is not forgotten.
            _log.exception("job %s was answered with more than can be handled", attempt.job.job_id)
            await self._failed(attempt, unreadable(error, self._exchange.account.provider))

    async def _send(self, attempt: SubmitAttempt) -> None:
        if attempt.ambiguous is not None and not is_protected(attempt.job, self._exchange.adapter):
            raise attempt.ambiguous
        job = await self._journal.sending(attempt.job)
        if attempt.withdrawn:
            return
        if job is None:
            if not await self._is_told(attempt):
                self._end(attempt, StoreError("another process has taken the job over", job_id=attempt.job.job_id))
            return
        attempt.job = evolve(job, durable=attempt.job.durable)
        task = await self._exchange.submit(attempt.message)
        if attempt.withdrawn:
            self._compare(attempt, task)
            return
        task = attempt.tracked.keep(task)
        attempt.job, written = self._journal.accepted(attempt.job, task, only_from=JobState.SUBMITTING)
        attempt.tracked.job = attempt.job
        try:
            if not await asyncio.shield(written):
                task = await self._compare_elsewhere(attempt, task)
        finally:
            # Also where nobody has the time to wait for the journal.
            self._hand_over(attempt, task)
        _log.info("job %s was accepted as %s", job.job_id, task.ref)
        await self._journal.lighten(attempt.tracked)

    def _hand_over(self, attempt: SubmitAttempt, task: Task) -> None:
        self._attempts.pop(attempt.job.job_id, None)
        self._poller.accepted(attempt.tracked, task)
        self._early_callbacks.hand_to(self._poller, task.ref)

    async def _compare_elsewhere(self, attempt: SubmitAttempt, task: Task) -> Task:
        """Return what the store knows of *task* by now, or see to it that it knows *task*."""
        answered, known = attempt.job, await self._told(attempt)
        if known is not None and known.ref == task.ref:
            return known
        attempt.tracked.job, written = self._journal.accepted(answered, task)
        await asyncio.shield(written)
        return task

    async def _is_told(self, attempt: SubmitAttempt) -> bool:
        """Hand over the task of a job that somebody else has learned of, and tell whether there is one."""
        known = await self._told(attempt)
        if known is not None and not attempt.withdrawn:
            self._hand_over(attempt, known)
        return known is not None or attempt.withdrawn

    async def _told(self, attempt: SubmitAttempt) -> Task | None:
        """Return the task of a job that a callback or a person has told the store of, if it is so."""
        with suppress(StoreError):
            job = await self._journal.store.get(attempt.job.job_id)
            if job is not None and job.task is not None:
                attempt.tracked.job = attempt.job = job
                return job.task
        return None

    def adopt(self, job_id: str, task: Task) -> Written | None:
        """Take *task* for that of a job that has been sent, and has no task yet; `None` where none is from here."""
        attempt = self._attempts.get(job_id)
        if attempt is None or attempt.job.submitted_at is None or attempt.job.task_id is not None:
            return None
        # It is not sent again. Should it be answered yet, the answer is held against the callback.
        attempt.withdrawn = True
        self._dispatch.remove(attempt)
        written = self._journal.accepted(attempt.job, task)
        attempt.tracked.job = attempt.job = written[0]
        self._hand_over(attempt, task)
        self._dispatch.count(attempt.tracked)
        _log.info("job %s was accepted as %s, as its callback says", job_id, task.ref)
        return written

    def _compare(self, attempt: SubmitAttempt, task: Task) -> None:
        """Hold the answer to a paid request against the callback that has overtaken it."""
        if task.id != attempt.job.task_id:
            why = (
                f"the callback of this job was about {attempt.job.ref}, and its answer, which counts, names {task.ref}"
            )
            _log.critical("job %s: %s", attempt.job.job_id, why)
            self._journal.accepted(attempt.job, task)
            attempt.tracked.job = None
            attempt.tracked.give_up(InvalidResponseError(why))

    async def _failed(self, attempt: SubmitAttempt, failure: HappyHorseError) -> None:
        if attempt.withdrawn:
            # It was taken back, or a callback has said what became of it.
            return
        if attempt.job.task_id is not None:
            # Whatever happened after the answer was read, its task is known.
            self._end(attempt, failure)
            return
        if is_ambiguous(failure):
            attempt.ambiguous = failure
        if attempt.is_spent or attempt.is_put_off(failure) or isinstance(failure, StoreError):
            await self._learn_of_promise(attempt)
        if attempt.withdrawn:
            # A callback has come meanwhile.
            return
        may_repeat = attempt.may_repeat(failure, self._exchange.adapter)
        # What was refused for good is so for everybody who may have promised it by its key.
        if attempt.is_dispensable and (may_repeat or isinstance(failure, StoreError)):
            self._take_back(attempt)
        elif may_repeat:
            await self._repeat(attempt, failure)
        elif attempt.ambiguous is not None:
            await self._doubt(attempt, attempt.ambiguous)
        else:
            refused = certain(failure).about(job_id=attempt.job.job_id)
            await self._conclude(attempt, refused, self._journal.refused(attempt.job, refused))

    async def _learn_of_promise(self, attempt: SubmitAttempt) -> None:
        if await self._journal.is_promised(attempt.job):
            attempt.tracked.job = attempt.job = evolve(attempt.job, durable=True)

    async def _doubt(self, attempt: SubmitAttempt, cause: HappyHorseError) -> None:
        unknown = outcome_unknown(cause, attempt.job.job_id)
        attempt.job, written = self._journal.unknown(attempt.job, unknown)
        is_open = await asyncio.shield(written)
        if attempt.withdrawn or (not is_open and await self._is_told(attempt)):
            return
        if self._reconciler.searches and is_open and not self._closing:
            self._searches.spawn(self._seek(attempt, cause))
        else:
            self._end(attempt, unknown)

    async def _seek(self, attempt: SubmitAttempt, cause: HappyHorseError) -> None:
        """Tell who waits for a lost answer what came of it, once its task was searched for."""
        try:
            found = await self._reconciler.seek(attempt.job, attempt.tracked)
        except Exception:  # noqa: BLE001 - its caller must not wait for ever
            _log.exception("the search for the task of job %s failed", attempt.job.job_id)
            found = "The search for its task failed."
        # A callback may have told of it meanwhile, here or elsewhere, or a person have settled it.
        if attempt.withdrawn or (found and await self._is_told(attempt)):
            return
        if found:
            self._end(attempt, outcome_unknown(cause, attempt.job.job_id, found))
        else:
            self._attempts.pop(attempt.job.job_id, None)

    async def _conclude(self, attempt: SubmitAttempt, error: HappyHorseError, written: Written) -> None:
        try:
            await asyncio.shield(written[1])
        finally:
            if not attempt.withdrawn:
                self._end(attempt, error)

    async def _repeat(self, attempt: SubmitAttempt, failure: HappyHorseError) -> None:
        delay = attempt.pause_after(failure)
        _log.info("job %s is sent again in %.1f s: %s", attempt.job.job_id, delay, failure)
        attempt.leaving = False
        attempt.tracked.release_permit()
        if attempt.ambiguous is None:
            # While it waits it is certain that nobody has it, whatever becomes of this process.
            attempt.job, written = self._journal.waiting(attempt.job)
            await asyncio.shield(written)
        self._dispatch.put_back(attempt, delay)

    def _end(self, attempt: SubmitAttempt, error: HappyHorseError) -> None:
        self._attempts.pop(attempt.job.job_id, None)
        level = logging.WARNING if isinstance(error, SubmitOutcomeUnknownError) else logging.INFO
        _log.log(level, "job %s came to nothing: %s", attempt.job.job_id, error)
        attempt.tracked.give_up(error)

    async def aclose(self) -> None:
        """
        Stop sending. Requests on their way get a moment to be answered and recorded.

        What was enqueued and not sent stays in the store for whoever opens it next; what only a caller waited for is
        taken back.
        """
        self._closing = True
        # To the end, even if the one who closes is cancelled.
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self._leave_all)
            closing.push_async_callback(self._learn_from_store)
            closing.push_async_callback(self._searches.aclose)
            closing.push_async_callback(self._posts.aclose)
            closing.push_async_callback(self._posts.settle, _CLOSING_GRACE)
            closing.push_async_callback(self._dispatch.aclose)

    async def _learn_from_store(self) -> None:
        for attempt in list(self._attempts.values()):
            if attempt.job.submitted_at is None or not await self._is_told(attempt):
                await self._learn_of_promise(attempt)

    async def _leave_all(self) -> None:
        await for_each_yielding(list(self._attempts), self._leave_one)

    def _leave_one(self, job_id: str) -> None:
        # Whoever was told that the client is closed may have taken another one back.
        if job_id in self._attempts:
            self._leave(self._attempts[job_id])

    def _leave(self, attempt: SubmitAttempt) -> None:
        job, closed = attempt.job, not_accepted(attempt.job.job_id)
        unsent = job.state is JobState.QUEUED
        error: HappyHorseError = closed
        protected = job.state is JobState.SUBMITTING and attempt.patient and is_protected(job, self._exchange.adapter)
        if job.durable if unsent else protected:
            self._journal.released(job)
            error = WaitTimeoutError(f"{closed.message}; whoever opens the store next sends it", job_id=job.job_id)
        elif unsent:
            self._journal.taken_back(job)
        else:
            error = outcome_unknown(attempt.ambiguous or closed, job.job_id)
            self._journal.unknown(job, error)
        self._end(attempt, error)
