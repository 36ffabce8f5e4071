"""
The paid request: written down, sent once, and again only when it was certainly not taken.

Every failure of a submit is one of three. *Not sent*: no connection. *Refused*: the provider turned it away, and may
take it later. *Ambiguous*: it left, and no readable answer came; the provider may have taken it. Only a provider that
takes an idempotency key may be sent an ambiguous request again, with the same key and the same bytes.

Jobs are sent in the order in which they were taken in, those of another model apart where the provider counts tasks by
model. The place among its tasks and the turn come first, then the intent is written down, then the request leaves at
once: between the last two lies all that a crash can leave unknown.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, nullcontext, suppress
from datetime import UTC, datetime, timedelta

from attrs import define, evolve

from ..background import Background
from ..errors import (
    HappyHorseError,
    InvalidRequestError,
    InvalidResponseError,
    ProviderError,
    RateLimitError,
    StoreError,
    SubmitOutcomeUnknownError,
    TransportError,
    WaitTimeoutError,
)
from ..exchange import Exchange
from ..job import Job, JobState
from ..messages import HttpRequest
from ..pacing.lines import Lines
from ..polling import Poller
from ..retries import Retries, RetryPolicy
from ..task import Task
from ..watch import Watch
from .journal import Journal, Written
from .outcomes import certain, is_ambiguous, is_busy, not_accepted, outcome_unknown, unreadable
from .questions import Questions
from .unclaimed import Unclaimed

_log = logging.getLogger("happyhorse_async")

_CLOSING_GRACE = 30.0
# What is on its way when a process dies is of unknown outcome for good, where no key protects it: a hundredth, if two
# hundred jobs are in flight.
_UNPROTECTED_AT_ONCE = 2
# Providers keep idempotency keys for about a day. Close to its end it is safer not to rely on one.
_KEY_LIFETIME = timedelta(hours=23)


@define(kw_only=True, eq=False)
class _Errand:
    """A job on its way to its provider."""

    job: Job
    message: HttpRequest
    watch: Watch
    retries: Retries
    attempt: int = 0
    waits: int = 0
    """How often in a row the provider has said that it is still busy with the same key."""
    ambiguous: HappyHorseError | None = None
    """What once left its outcome unknown. What comes later cannot make that certain again."""
    inherited: bool = False
    """Whether an earlier process has sent it, so that nobody is here to decide what becomes of it."""
    leaving: bool = False
    """Whether it is being written down as sent. From here on it cannot be taken back."""
    unwanted: bool = False
    """Whether somebody tried to take it back when it was too late for that."""
    withdrawn: bool = False

    @property
    def patient(self) -> bool:
        return self.job.durable or self.inherited

    @property
    def policy(self) -> RetryPolicy:
        return self.retries.enqueue if self.patient else self.retries.submit


class Submitter:
    """Sends the jobs of one client, and hands what was accepted to the poller."""

    def __init__(
        self,
        exchange: Exchange,
        poller: Poller,
        journal: Journal,
        questions: Questions,
        unclaimed: Unclaimed,
        retries: Retries,
    ) -> None:
        self._exchange = exchange
        self._poller = poller
        self._journal = journal
        self._questions = questions
        self._unclaimed = unclaimed
        self._retries = retries
        self._running = exchange.budget.running
        self._lines: Lines[_Errand] = Lines(self._running)
        self._errands: dict[str, _Errand] = {}
        self._news = asyncio.Event()
        self._dispatcher = Background()
        self._pauses = Background()
        self._posts = Background()
        self._searches = Background()
        self._closing = False
        protected = exchange.adapter.capabilities.idempotent
        self._unprotected = nullcontext() if protected else asyncio.Semaphore(_UNPROTECTED_AT_ONCE)
        self._running.listeners.add(self._news.set)
        self._long = False

    def watch_of(self, job_id: str) -> Watch | None:
        """Return the watch on a job that this client is about to send or is sending."""
        errand = self._errands.get(job_id)
        return errand.watch if errand else None

    def is_protected(self, job: Job) -> bool:
        """Tell whether *job*, which has been sent, can be sent once more and be paid for once."""
        if not self._exchange.adapter.capabilities.idempotent or job.submitted_at is None:
            return False
        return datetime.now(UTC) - job.submitted_at < _KEY_LIFETIME

    def send(self, job: Job, message: HttpRequest, watch: Watch, *, unsettled: HappyHorseError | None = None) -> None:
        """
        Send *job*, which is written down and belongs to this process, when its turn comes.

        :param unsettled: why it may have been taken already, when an earlier process sent it.
        """
        inherited = unsettled is not None
        errand = _Errand(
            job=job,
            message=message,
            watch=watch,
            retries=self._retries,
            ambiguous=unsettled,
            inherited=inherited,
        )
        if self._closing:
            self._leave(errand)
            return
        self._errands[job.job_id] = errand
        self._say_how_long(job)
        self._put(errand)

    def warnings(self, model: str) -> tuple[str, ...]:
        """Say what may surprise whoever wants a task of *model* now: that it waits for hours."""
        warning = self._lines.long_wait(self._line(model))
        return (warning,) if warning else ()

    def _say_how_long(self, job: Job) -> None:
        warning = self._lines.long_wait(self._line(job.model))
        if warning and not self._long:
            _log.warning("job %s, and all of %s that follow: %s", job.job_id, job.model, warning)
        self._long = warning is not None

    def _line(self, model: str) -> str:
        return model if self._exchange.adapter.counts_by_model else ""

    def count(self, watch: Watch) -> None:
        """Count the task of *watch* among those that the provider has, from now until nobody looks at it any more."""
        if watch.job is not None and watch.ref is not None and not watch.ended and watch.stay is None:
            watch.stay = self._running.begin(self._line(watch.job.model), was_sent=False)

    async def promise(self, job_id: str) -> None:
        """Send a job even if nobody waits for it any more, and after this process if need be."""
        errand = self._errands[job_id]
        if not errand.job.durable:
            errand.job, written = self._journal.promised(errand.job)
            errand.watch.job = errand.job
            await asyncio.shield(written)

    def withdraw(self, job_id: str) -> asyncio.Task[bool] | None:
        """
        Take back a job that has not been sent, and return the writing of it; `None` where that is not possible.

        One that is on its way is not sent again, should it be refused and nobody wait for it.
        """
        errand = self._errands.get(job_id)
        if errand is None:
            return None
        if errand.job.state is not JobState.QUEUED or errand.leaving:
            errand.unwanted = True
            return None
        return self._take_back(errand)

    def _take_back(self, errand: _Errand) -> asyncio.Task[bool]:
        errand.withdrawn = True
        self._lines.remove(self._line(errand.job.model), errand.job.job_id)
        job_id = errand.job.job_id
        writing = self._journal.taken_back(errand.job)
        self._end(errand, InvalidRequestError("the job was withdrawn before it was sent", job_id=job_id))
        return writing

    def _put(self, errand: _Errand, *, first: bool = False) -> None:
        if self._closing:
            return
        self._lines.put(self._line(errand.job.model), errand.job.job_id, errand, first=first)
        self._news.set()
        if not self._dispatcher:
            self._dispatcher.spawn(self._dispatch())

    async def _dispatch(self) -> None:
        while True:
            await self._until_queued()
            async with AsyncExitStack() as turn:
                await turn.enter_async_context(self._unprotected)
                await turn.enter_async_context(self._exchange.submit_turn())
                self._send_next(turn)

    def _send_next(self, turn: AsyncExitStack) -> None:
        errand = self._lines.take()
        if errand is not None:
            errand.leaving = True
            errand.watch.stay = self._running.begin(self._line(errand.job.model))
            self._posts.spawn(self._post(errand, turn.pop_all()))

    async def _until_queued(self) -> None:
        while self._lines.next_line() is None:
            self._news.clear()
            await self._news.wait()

    async def _post(self, errand: _Errand, turn: AsyncExitStack) -> None:
        try:
            async with turn:
                await self._send(errand)
        except HappyHorseError as failure:
            await self._failed(errand, failure)
        except Exception as error:  # noqa: BLE001 - see below
            # Whatever is wrong with one answer, its caller must not wait for ever, and its money is not forgotten.
            _log.exception("job %s was answered with more than can be handled", errand.job.job_id)
            await self._failed(errand, unreadable(error, self._exchange.account.provider))

    async def _send(self, errand: _Errand) -> None:
        if errand.ambiguous is not None and not self.is_protected(errand.job):
            raise errand.ambiguous
        job = await self._journal.sending(errand.job)
        if errand.withdrawn:
            return
        if job is None:
            if not await self._is_told(errand):
                self._end(errand, StoreError("another process has taken the job over", job_id=errand.job.job_id))
            return
        errand.job = evolve(job, durable=errand.job.durable)
        task = await self._exchange.submit(errand.message)
        if errand.withdrawn:
            self._compare(errand, task)
            return
        errand.job, written = self._journal.accepted(errand.job, task, only_from=JobState.SUBMITTING)
        errand.watch.job = errand.job
        try:
            if not await asyncio.shield(written):
                task = await self._compare_elsewhere(errand, task)
        finally:
            # Also where nobody has the time to wait for the journal.
            self._hand_over(errand, task)
        _log.info("job %s was accepted as %s", job.job_id, task.ref)
        await self._journal.lighten(errand.watch)

    def _hand_over(self, errand: _Errand, task: Task) -> None:
        self._errands.pop(errand.job.job_id, None)
        self._poller.accepted(errand.watch, task)
        self._unclaimed.hand_to(self._poller, task.ref)

    async def _compare_elsewhere(self, errand: _Errand, task: Task) -> Task:
        """Return what the store knows of *task* by now, or see to it that it knows *task*."""
        answered, known = errand.job, await self._told(errand)
        if known is not None and known.ref == task.ref:
            return known
        errand.watch.job, written = self._journal.accepted(answered, task)
        await asyncio.shield(written)
        return task

    async def _is_told(self, errand: _Errand) -> bool:
        """Hand over the task of a job that somebody else has learned of, and tell whether there is one."""
        known = await self._told(errand)
        if known is not None and not errand.withdrawn:
            self._hand_over(errand, known)
        return known is not None or errand.withdrawn

    async def _told(self, errand: _Errand) -> Task | None:
        """Return the task of a job that a callback or a person has told the store of, if it is so."""
        with suppress(StoreError):
            job = await self._journal.store.get(errand.job.job_id)
            if job is not None and job.task is not None:
                errand.watch.job = errand.job = job
                return job.task
        return None

    def adopt(self, job_id: str, task: Task) -> Written | None:
        """Take *task* for that of a job that has been sent, and has no task yet; `None` where none is from here."""
        errand = self._errands.get(job_id)
        if errand is None or errand.job.submitted_at is None or errand.job.task_id is not None:
            return None
        # It is not sent again. Should it be answered yet, the answer is held against the callback.
        errand.withdrawn = True
        self._lines.remove(self._line(errand.job.model), job_id)
        written = self._journal.accepted(errand.job, task)
        errand.watch.job = errand.job = written[0]
        self._hand_over(errand, task)
        self.count(errand.watch)
        _log.info("job %s was accepted as %s, as its callback says", job_id, task.ref)
        return written

    def _compare(self, errand: _Errand, task: Task) -> None:
        """Hold the answer to a paid request against the callback that has overtaken it."""
        if task.id != errand.job.task_id:
            why = f"the callback of this job was about {errand.job.ref}, and its answer, which counts, names {task.ref}"
            _log.critical("job %s: %s", errand.job.job_id, why)
            self._journal.accepted(errand.job, task)
            errand.watch.job = None
            errand.watch.give_up(InvalidResponseError(why))

    async def _failed(self, errand: _Errand, failure: HappyHorseError) -> None:
        if errand.withdrawn:
            # It was taken back, or a callback has said what became of it.
            return
        if errand.job.task_id is not None:
            # Whatever happened after the answer was read, its task is known.
            self._end(errand, failure)
            return
        if is_ambiguous(failure):
            errand.ambiguous = failure
        if errand.attempt >= errand.policy.retries or isinstance(failure, StoreError):
            await self._learn_of_promise(errand)
        if errand.withdrawn:
            # A callback has come meanwhile.
            return
        if errand.ambiguous is None and errand.unwanted and not errand.watch.awaited and not errand.job.durable:
            self._take_back(errand)
        elif self._may_repeat(errand, failure):
            await self._repeat(errand, failure)
        elif errand.ambiguous is not None:
            await self._doubt(errand, errand.ambiguous)
        else:
            refused = certain(failure).about(job_id=errand.job.job_id)
            await self._conclude(errand, refused, self._journal.refused(errand.job, refused))

    async def _learn_of_promise(self, errand: _Errand) -> None:
        if await self._journal.is_promised(errand.job):
            errand.watch.job = errand.job = evolve(errand.job, durable=True)

    async def _doubt(self, errand: _Errand, cause: HappyHorseError) -> None:
        unknown = outcome_unknown(cause, errand.job.job_id)
        errand.job, written = self._journal.unknown(errand.job, unknown)
        is_open = await asyncio.shield(written)
        if errand.withdrawn or (not is_open and await self._is_told(errand)):
            return
        if self._questions.searches and is_open and not self._closing:
            self._searches.spawn(self._seek(errand, cause))
        else:
            self._end(errand, unknown)

    async def _seek(self, errand: _Errand, cause: HappyHorseError) -> None:
        """Tell who waits for a lost answer what came of it, once its task was searched for."""
        try:
            found = await self._questions.seek(errand.job, errand.watch)
        except Exception:  # noqa: BLE001 - its caller must not wait for ever
            _log.exception("the search for the task of job %s failed", errand.job.job_id)
            found = "The search for its task failed."
        # A callback may have told of it meanwhile, here or elsewhere, or a person have settled it.
        if errand.withdrawn or (found and await self._is_told(errand)):
            return
        if found:
            self._end(errand, outcome_unknown(cause, errand.job.job_id, found))
        else:
            self._errands.pop(errand.job.job_id, None)

    async def _conclude(self, errand: _Errand, error: HappyHorseError, written: Written) -> None:
        try:
            await asyncio.shield(written[1])
        finally:
            if not errand.withdrawn:
                self._end(errand, error)

    def _may_repeat(self, errand: _Errand, failure: HappyHorseError) -> bool:
        if errand.ambiguous is not None and not self.is_protected(errand.job):
            return False
        if errand.attempt >= errand.policy.retries:
            return bool(errand.attempt) and is_busy(failure)
        match failure:
            case StoreError():
                return errand.patient
            case TransportError():
                return failure.retryable
            case RateLimitError():
                # What may be a replay (425, https://www.rfc-editor.org/rfc/rfc8470) is none the second time.
                return failure.status_code != 425 or not errand.attempt
            case ProviderError():
                # Below 500 stand faults that another try does not mend, such as a gateway's own bad credential.
                return (failure.status_code or 500) >= 500 or is_ambiguous(failure)
            case _:
                return is_ambiguous(failure)

    async def _repeat(self, errand: _Errand, failure: HappyHorseError) -> None:
        busy = is_busy(failure)
        delay = errand.policy.delay(errand.waits if busy else errand.attempt, getattr(failure, "retry_after", None))
        # The answer that it is being seen to is no failure, and comes until it has been seen to.
        errand.waits, errand.attempt = (errand.waits + 1, errand.attempt) if busy else (0, errand.attempt + 1)
        _log.info("job %s is sent again in %.1f s: %s", errand.job.job_id, delay, failure)
        errand.leaving = False
        errand.watch.vacate()
        if errand.ambiguous is None:
            # While it waits it is certain that nobody has it, whatever becomes of this process.
            errand.job, written = self._journal.waiting(errand.job)
            await asyncio.shield(written)
        self._pauses.spawn(self._put_after(delay, errand))

    async def _put_after(self, delay: float, errand: _Errand) -> None:
        await asyncio.sleep(delay)
        if not errand.withdrawn:
            self._put(errand, first=True)

    def _end(self, errand: _Errand, error: HappyHorseError) -> None:
        self._errands.pop(errand.job.job_id, None)
        level = logging.WARNING if isinstance(error, SubmitOutcomeUnknownError) else logging.INFO
        _log.log(level, "job %s came to nothing: %s", errand.job.job_id, error)
        errand.watch.give_up(error)

    async def aclose(self) -> None:
        """
        Stop sending. Requests on their way get a moment to be answered and recorded.

        What was enqueued and not sent stays in the store for whoever opens it next; what only a caller waited for is
        taken back.
        """
        self._closing = True
        # To the end, even if the one who closes is cancelled.
        async with AsyncExitStack() as closing:
            closing.callback(self._running.listeners.discard, self._news.set)
            closing.callback(self._leave_all)
            closing.push_async_callback(self._learn_of_promises)
            closing.push_async_callback(self._pauses.aclose)
            closing.push_async_callback(self._searches.aclose)
            closing.push_async_callback(self._posts.aclose)
            closing.push_async_callback(self._posts.settle, _CLOSING_GRACE)
            closing.push_async_callback(self._pauses.aclose)
            closing.push_async_callback(self._dispatcher.aclose)

    async def _learn_of_promises(self) -> None:
        for errand in list(self._errands.values()):
            await self._learn_of_promise(errand)

    def _leave_all(self) -> None:
        for errand in list(self._errands.values()):
            self._leave(errand)

    def _leave(self, errand: _Errand) -> None:
        job, closed = errand.job, not_accepted(errand.job.job_id)
        unsent = job.state is JobState.QUEUED
        error: HappyHorseError = closed
        protected = job.state is JobState.SUBMITTING and errand.patient and self.is_protected(job)
        if job.durable if unsent else protected:
            self._journal.released(job)
            error = WaitTimeoutError(f"{closed.message}; whoever opens the store next sends it", job_id=job.job_id)
        elif unsent:
            self._journal.taken_back(job)
        else:
            error = outcome_unknown(errand.ambiguous or closed, job.job_id)
            self._journal.unknown(job, error)
        self._end(errand, error)
