"""
From a request to a job, and from a job in the store back to a handle's live end.

Here is decided what a key means, who sends a job that several processes know, and what becomes of the jobs whose
process has died.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from attrs import evolve

from .adapter import PageRequest, Submission
from .background import Background
from .errors import (
    HappyHorseError,
    InvalidRequestError,
    StoreError,
    SubmitOutcomeUnknownError,
)
from .exchange import Exchange
from .job import Job, JobState, PendingJob
from .journal import Journal
from .messages import HttpRequest
from .poller import Poller
from .recording import fingerprint, from_data, to_data
from .submitter import Submitter
from .task import Task, TaskRef
from .watch import Watch

_log = logging.getLogger("happyhorse_async")

_FOLLOW_INTERVAL = 0.25
# Providers keep idempotency keys for about a day. Close to its end it is safer not to rely on one.
_KEY_LIFETIME = timedelta(hours=23)
# A provider's clock and ours may differ, and a request may have waited on the way.
_BEFORE, _AFTER = timedelta(minutes=2), timedelta(minutes=3)
_SEARCHED_PAGES = 5


class Jobs:
    """All jobs of one client."""

    def __init__(self, exchange: Exchange, poller: Poller, submitter: Submitter, journal: Journal) -> None:
        self._exchange = exchange
        self._poller = poller
        self._submitter = submitter
        self._journal = journal
        self._followers = Background()

    async def open(self) -> None:
        """
        Take up what earlier processes have left behind.

        What was enqueued is sent, in order. What was on its way is sent again where an idempotency key protects it, and
        is openly unknown otherwise. Nothing else is sent.

        :raises StoreError: the store cannot be used.
        """
        await self._journal.open()
        for job in await self._journal.store.unfinished(self._journal.place.provider):
            if job.place == self._journal.place and await self._is_orphan(job):
                await self._inherit(job)

    async def attend(self, watch: Watch) -> None:
        """
        See to it that the task of *watch* is looked at.

        :raises ConfigurationError: the store knows that it was submitted elsewhere.
        """
        if watch.job is None and watch.ref is not None:
            watch.job = await self._journal.take_up(watch.ref)
            watch.job_id = watch.job.job_id if watch.job else watch.job_id
        self._poller.ensure(watch)

    async def aclose(self) -> None:
        """Stop following the jobs of other processes."""
        await self._followers.aclose()

    async def take_in(self, submission: Submission, message: HttpRequest, *, key: str | None, durable: bool) -> Watch:
        """
        Write down a job and see to it that it is sent; or find the one that has *key* already.

        :raises InvalidRequestError: *key* was used for another request.
        :raises SubmitOutcomeUnknownError: the outcome of the job with *key* is unknown.
        :raises StoreError: it cannot be written down. Nothing was sent.
        """
        job = self._new_job(submission, message, key=key, durable=durable)
        found = await self._journal.store.add(job)
        if found.job_id != job.job_id:
            return await self._again(found, job)
        watch = Watch(job_id=job.job_id)
        watch.job = job
        self._submitter.send(job, message, watch)
        return watch

    def _new_job(self, submission: Submission, message: HttpRequest, *, key: str | None, durable: bool) -> Job:
        request = to_data(submission.request)
        return Job(
            job_id=submission.job_id,
            place=self._journal.place,
            model=submission.offer.model,
            created_at=datetime.now(UTC),
            key=key,
            fingerprint=fingerprint(request),
            request=request,
            body=message.body,
            callback_url=submission.callback_url,
            durable=durable,
            owner=self._journal.store.owner,
        )

    async def _again(self, job: Job, wanted: Job) -> Watch:
        """Return the watch on the job that has the key already."""
        if job.fingerprint != wanted.fingerprint or job.place != wanted.place:
            raise InvalidRequestError(
                f"the key {job.key!r} already stands for another request, at {job.place.provider}", job_id=job.job_id
            ).about(ref=job.ref)
        return await self.watch_job(job)

    async def watch_job(self, job: Job) -> Watch:
        """
        Return the one watch on *job*, whoever sends it.

        :raises SubmitOutcomeUnknownError: its outcome is unknown.
        """
        if job.state is JobState.OUTCOME_UNKNOWN:
            raise _unknown(job)
        if job.ref is not None:
            watch = self._poller.known(job.ref, job.job_id)
            watch.job = job
            return watch
        mine = self._submitter.watch_of(job.job_id)
        if mine is not None:
            return mine
        watch = Watch(job_id=job.job_id)
        watch.job = job
        if await self._is_orphan(job):
            await self._take_over(job, watch)
            return watch
        self._followers.spawn(self._follow(watch))
        return watch

    async def _follow(self, watch: Watch) -> None:
        """Wait until another process has settled a job, or has died over it."""
        while watch.ref is None:
            await asyncio.sleep(_FOLLOW_INTERVAL)
            try:
                job = await self._journal.store.get(watch.job_id)
                if job is None or (job.state is JobState.CLOSED and job.ref is None):
                    raise InvalidRequestError((job and job.failure) or "the job was withdrawn", job_id=watch.job_id)
                if job.ref is not None and job.task is not None:
                    watch.job = job
                    self._poller.accepted(watch, job.task)
                elif job.state is JobState.OUTCOME_UNKNOWN:
                    raise _unknown(job)
                elif await self._is_orphan(job):
                    await self._take_over(job, watch)
                    return
            except HappyHorseError as error:
                watch.give_up(error)
                return

    async def _is_orphan(self, job: Job) -> bool:
        if job.state not in (JobState.QUEUED, JobState.SUBMITTING):
            return False
        return job.owner is None or not await self._journal.store.is_alive(job.owner)

    async def _inherit(self, job: Job) -> None:
        """See to a job whose process has died, and for which nobody waits in this one."""
        watch = Watch(job_id=job.job_id)
        watch.job = job
        if job.state is JobState.QUEUED and not job.durable:
            # Its caller was told nothing and is gone. It was not sent, and is not going to be.
            await self._journal.refused(job, None)
            return
        try:
            await self._take_over(job, watch)
        except HappyHorseError as error:
            _log.warning("job %s of an earlier process: %s", job.job_id, error)

    async def _take_over(self, job: Job, watch: Watch) -> None:
        """
        Send a job whose process has died, if that cannot pay twice.

        :raises SubmitOutcomeUnknownError: it may have been sent, and no key protects it.
        """
        sent = job.state is JobState.SUBMITTING
        if sent and not self._is_protected(job):
            lost = await self._journal.unknown(job, StoreError("its process died before the answer came"))
            raise _unknown(lost)
        mine = evolve(job, owner=self._journal.store.owner)
        if await self._journal.store.change(mine, only_from=job.state, only_owner=job.owner):
            watch.job = mine
            unsettled = StoreError("an earlier process died before the answer came") if sent else None
            self._submitter.send(mine, self._message(mine), watch, unsettled=unsettled)
        else:
            self._followers.spawn(self._follow(watch))

    def _is_protected(self, job: Job) -> bool:
        if not self._exchange.adapter.capabilities.idempotent or job.submitted_at is None:
            return False
        return datetime.now(UTC) - job.submitted_at < _KEY_LIFETIME

    def _message(self, job: Job) -> HttpRequest:
        """Write the request of *job* again. The bytes are those of the first time, whatever has changed since."""
        request = from_data(job.request or {})
        adapter, account = self._exchange.adapter, self._exchange.account
        offer = adapter.check(request, provider=account.provider, callback_url=job.callback_url)
        submission = Submission(request=request, offer=offer, job_id=job.job_id, callback_url=job.callback_url)
        return evolve(adapter.encode_submit(submission, account), body=job.body)

    async def pending(self) -> list[PendingJob]:
        """List the jobs that are not at their end, the oldest first."""
        jobs = await self._journal.store.unfinished(self._journal.place.provider)
        return [PendingJob(job_id=job.job_id, ref=job.ref, key=job.key, state=job.state) for job in jobs]

    async def adopt(self, job_id: str, ref: TaskRef) -> Watch:
        """
        Settle a job of unknown outcome: *ref* is its task.

        :raises InvalidRequestError: there is no such job, it is settled, or the task is another job's.
        :raises TaskNotFoundError: the provider does not know the task.
        """
        job = await self._open_question(job_id)
        other = await self._journal.store.by_ref(ref)
        if other is not None:
            raise InvalidRequestError(f"the task is that of job {other.job_id}", ref=ref, job_id=job_id)
        async with self._exchange.query_turn():
            task = await self._exchange.fetch(ref)
        watch = self._poller.known(ref, job_id)
        watch.job_id = job_id
        watch.job = await self._journal.accepted(job, task)
        self._poller.accepted(watch, task)
        return watch

    async def write_off(self, job_id: str) -> None:
        """
        Settle a job of unknown outcome: there is no task, or nobody wants it. Its key is free again.

        :raises InvalidRequestError: there is no such job, or it is settled.
        """
        await self._journal.refused(await self._open_question(job_id), None)

    async def candidates(self, job_id: str) -> list[Task]:
        """
        Search the provider's list for tasks that may be a job of unknown outcome. They are guesses.

        A candidate was created about when the job was sent, runs the same model, and is no other job's.

        :raises InvalidRequestError: there is no such job, or it is settled.
        :raises UnsupportedFeatureError: the provider has no list.
        """
        job = await self._open_question(job_id)
        sent = job.submitted_at or job.created_at
        found: list[Task] = []
        page: PageRequest | None = PageRequest()
        for _ in range(_SEARCHED_PAGES):
            if page is None:
                break
            async with self._exchange.query_turn():
                answer = await self._exchange.list_page(page)
            found += [task for task in answer.tasks if _may_be(task, job, sent)]
            page = answer.next
        return [task for task in found if await self._journal.store.by_ref(task.ref) is None]

    async def _open_question(self, job_id: str) -> Job:
        job = await self._journal.store.get(job_id)
        if job is None or job.place != self._journal.place:
            raise InvalidRequestError(f"{self._journal.place.provider} has no job {job_id!r}", job_id=job_id)
        if job.state is not JobState.OUTCOME_UNKNOWN:
            raise InvalidRequestError(f"there is nothing to settle: the job is {job.state}", job_id=job_id, ref=job.ref)
        return job


def _may_be(task: Task, job: Job, sent: datetime) -> bool:
    if task.model is not None and task.model != job.model:
        return False
    return task.created_at is not None and sent - _BEFORE <= task.created_at <= sent + _AFTER


def _unknown(job: Job) -> SubmitOutcomeUnknownError:
    return SubmitOutcomeUnknownError(
        f"the outcome of this job is unknown; settle it with resolve({job.job_id!r}). {job.failure or ''}".strip(),
        provider=job.place.provider,
        job_id=job.job_id,
    )
