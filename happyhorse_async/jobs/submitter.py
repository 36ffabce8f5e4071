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

from ..background import Background, one_by_one
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
from ..retries import Retries
from ..task import Task
from ..watch import Watch
from .dispatch import Dispatch
from .errand import Errand, is_protected
from .journal import Journal, Written
from .outcomes import certain, is_ambiguous, not_accepted, outcome_unknown, unreadable
from .questions import Questions
from .unclaimed import Unclaimed

_log = logging.getLogger("happyhorse_async")

_CLOSING_GRACE = 30.0


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
        self._dispatch = Dispatch(exchange, self._go, lambda: len(self._errands) + poller.in_flight)
        self._errands: dict[str, Errand] = {}
        self._posts = Background()
        self._searches = Background()
        self._closing = False

    def watch_of(self, job_id: str) -> Watch | None:
        """Return the watch on a job that this client is about to send or is sending."""
        errand = self._errands.get(job_id)
        return errand.watch if errand else None

    def send(self, job: Job, message: HttpRequest, watch: Watch, *, unsettled: HappyHorseError | None = None) -> None:
        """
        Send *job*, which is written down and belongs to this process, when its turn comes.

        :param unsettled: why it may have been taken already, when an earlier process sent it.
        """
        errand = Errand(
            job=job,
            message=message,
            watch=watch,
            retries=self._retries,
            ambiguous=unsettled,
            inherited=unsettled is not None,
        )
        if self._closing:
            self._leave(errand)
            return
        self._errands[job.job_id] = errand
        self._dispatch.put(errand)

    def warnings(self, model: str) -> tuple[str, ...]:
        """Say what may surprise whoever wants a task of *model* now: that it waits for hours."""
        return self._dispatch.warnings(model)

    def count(self, watch: Watch) -> None:
        """Count the task of *watch* among those that the provider has, from now until nobody looks at it any more."""
        self._dispatch.count(watch)

    async def accepted(self, watch: Watch) -> None:
        """
        Wait until the provider has taken the job of *watch*. Whoever cancels it takes back what nobody else wants.

        :raises HappyHorseError: it will not take it.
        """
        try:
            await watch.accepted()
        except asyncio.CancelledError:
            # What was enqueued under the same key is promised, whoever else has asked for it.
            if not watch.awaited and not (watch.job is not None and watch.job.durable):
                self.withdraw(watch.job_id)
            raise

    async def promise(self, job_id: str) -> None:
        """
        Send a job even if nobody waits for it any more, and after this process if need be.

        :raises StoreError: that cannot be written down.
        """
        errand = self._errands[job_id]
        # One that is searched for is not sent any more.
        if not errand.job.durable and errand.job.state is not JobState.OUTCOME_UNKNOWN:
            errand.job, written = self._journal.promised(errand.job)
            errand.watch.job = errand.job
            await asyncio.shield(written)
            try:
                self._journal.check_written(job_id)
            except StoreError:
                errand.watch.job = errand.job = evolve(errand.job, durable=False)
                raise

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

    def _take_back(self, errand: Errand) -> asyncio.Task[bool]:
        errand.withdrawn = True
        self._dispatch.remove(errand)
        writing = self._journal.taken_back(errand.job)
        self._end(errand, InvalidRequestError("the job was withdrawn before it was sent", job_id=errand.job.job_id))
        return writing

    def _go(self, errand: Errand, turn: AsyncExitStack) -> None:
        self._posts.spawn(self._post(errand, turn))

    async def _post(self, errand: Errand, turn: AsyncExitStack) -> None:
        try:
            async with turn:
                await self._send(errand)
        except HappyHorseError as failure:
            await self._failed(errand, failure)
        except Exception as error:  # noqa: BLE001 - see below
            # Whatever is wrong with one answer, its caller must not wait for ever, and its money is not forgotten.
            _log.exception("job %s was answered with more than can be handled", errand.job.job_id)
            await self._failed(errand, unreadable(error, self._exchange.account.provider))

    async def _send(self, errand: Errand) -> None:
        if errand.ambiguous is not None and not is_protected(errand.job, self._exchange.adapter):
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
        task = errand.watch.keep(task)
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

    def _hand_over(self, errand: Errand, task: Task) -> None:
        self._errands.pop(errand.job.job_id, None)
        self._poller.accepted(errand.watch, task)
        self._unclaimed.hand_to(self._poller, task.ref)

    async def _compare_elsewhere(self, errand: Errand, task: Task) -> Task:
        """Return what the store knows of *task* by now, or see to it that it knows *task*."""
        answered, known = errand.job, await self._told(errand)
        if known is not None and known.ref == task.ref:
            return known
        errand.watch.job, written = self._journal.accepted(answered, task)
        await asyncio.shield(written)
        return task

    async def _is_told(self, errand: Errand) -> bool:
        """Hand over the task of a job that somebody else has learned of, and tell whether there is one."""
        known = await self._told(errand)
        if known is not None and not errand.withdrawn:
            self._hand_over(errand, known)
        return known is not None or errand.withdrawn

    async def _told(self, errand: Errand) -> Task | None:
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
        self._dispatch.remove(errand)
        written = self._journal.accepted(errand.job, task)
        errand.watch.job = errand.job = written[0]
        self._hand_over(errand, task)
        self._dispatch.count(errand.watch)
        _log.info("job %s was accepted as %s, as its callback says", job_id, task.ref)
        return written

    def _compare(self, errand: Errand, task: Task) -> None:
        """Hold the answer to a paid request against the callback that has overtaken it."""
        if task.id != errand.job.task_id:
            why = f"the callback of this job was about {errand.job.ref}, and its answer, which counts, names {task.ref}"
            _log.critical("job %s: %s", errand.job.job_id, why)
            self._journal.accepted(errand.job, task)
            errand.watch.job = None
            errand.watch.give_up(InvalidResponseError(why))

    async def _failed(self, errand: Errand, failure: HappyHorseError) -> None:
        if errand.withdrawn:
            # It was taken back, or a callback has said what became of it.
            return
        if errand.job.task_id is not None:
            # Whatever happened after the answer was read, its task is known.
            self._end(errand, failure)
            return
        if is_ambiguous(failure):
            errand.ambiguous = failure
        if errand.is_spent or errand.is_put_off(failure) or isinstance(failure, StoreError):
            await self._learn_of_promise(errand)
        if errand.withdrawn:
            # A callback has come meanwhile.
            return
        may_repeat = errand.may_repeat(failure, self._exchange.adapter)
        # What was refused for good is so for everybody who may have promised it by its key.
        if errand.is_dispensable and (may_repeat or isinstance(failure, StoreError)):
            self._take_back(errand)
        elif may_repeat:
            await self._repeat(errand, failure)
        elif errand.ambiguous is not None:
            await self._doubt(errand, errand.ambiguous)
        else:
            refused = certain(failure).about(job_id=errand.job.job_id)
            await self._conclude(errand, refused, self._journal.refused(errand.job, refused))

    async def _learn_of_promise(self, errand: Errand) -> None:
        if await self._journal.is_promised(errand.job):
            errand.watch.job = errand.job = evolve(errand.job, durable=True)

    async def _doubt(self, errand: Errand, cause: HappyHorseError) -> None:
        unknown = outcome_unknown(cause, errand.job.job_id)
        errand.job, written = self._journal.unknown(errand.job, unknown)
        is_open = await asyncio.shield(written)
        if errand.withdrawn or (not is_open and await self._is_told(errand)):
            return
        if self._questions.searches and is_open and not self._closing:
            self._searches.spawn(self._seek(errand, cause))
        else:
            self._end(errand, unknown)

    async def _seek(self, errand: Errand, cause: HappyHorseError) -> None:
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

    async def _conclude(self, errand: Errand, error: HappyHorseError, written: Written) -> None:
        try:
            await asyncio.shield(written[1])
        finally:
            if not errand.withdrawn:
                self._end(errand, error)

    async def _repeat(self, errand: Errand, failure: HappyHorseError) -> None:
        delay = errand.pause_after(failure)
        _log.info("job %s is sent again in %.1f s: %s", errand.job.job_id, delay, failure)
        errand.leaving = False
        errand.watch.vacate()
        if errand.ambiguous is None:
            # While it waits it is certain that nobody has it, whatever becomes of this process.
            errand.job, written = self._journal.waiting(errand.job)
            await asyncio.shield(written)
        self._dispatch.put_back(errand, delay)

    def _end(self, errand: Errand, error: HappyHorseError) -> None:
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
            closing.push_async_callback(self._leave_all)
            closing.push_async_callback(self._learn_from_store)
            closing.push_async_callback(self._searches.aclose)
            closing.push_async_callback(self._posts.aclose)
            closing.push_async_callback(self._posts.settle, _CLOSING_GRACE)
            closing.push_async_callback(self._dispatch.aclose)

    async def _learn_from_store(self) -> None:
        for errand in list(self._errands.values()):
            if errand.job.submitted_at is None or not await self._is_told(errand):
                await self._learn_of_promise(errand)

    async def _leave_all(self) -> None:
        await one_by_one(list(self._errands), self._leave_one)

    def _leave_one(self, job_id: str) -> None:
        # Whoever was told that the client is closed may have taken another one back.
        if job_id in self._errands:
            self._leave(self._errands[job_id])

    def _leave(self, errand: Errand) -> None:
        job, closed = errand.job, not_accepted(errand.job.job_id)
        unsent = job.state is JobState.QUEUED
        error: HappyHorseError = closed
        protected = job.state is JobState.SUBMITTING and errand.patient and is_protected(job, self._exchange.adapter)
        if job.durable if unsent else protected:
            self._journal.released(job)
            error = WaitTimeoutError(f"{closed.message}; whoever opens the store next sends it", job_id=job.job_id)
        elif unsent:
            self._journal.taken_back(job)
        else:
            error = outcome_unknown(errand.ambiguous or closed, job.job_id)
            self._journal.unknown(job, error)
        self._end(errand, error)
