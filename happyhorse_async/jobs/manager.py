"""
From a request to a job, and from a job in the store back to a handle's live end.

Here is decided what a key means, who sends a job that several processes know, and what becomes of the jobs whose
process has died.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path

from attrs import evolve, frozen

from ..adapter import Submission
from ..background import Background
from ..errors import (
    HappyHorseError,
    InvalidRequestError,
    InvalidResponseError,
    StoreError,
    WaitTimeoutError,
)
from ..exchange import Exchange
from ..job import Job, JobState, PendingJob
from ..messages import HttpRequest
from ..polling import Poller
from ..request_codec import fingerprint, from_data, to_data
from ..task import Task, TaskStatus
from ..tracked_job import TrackedJob
from .attempt import is_protected
from .auto_download import AutoDownloads
from .journal import NOBODY, Journal
from .reconcile import Reconciler
from .submit import Submitter
from .submit_errors import closed_meanwhile, still_unknown

_log = logging.getLogger("happyhorse_async")

_FOLLOW_INTERVAL = 0.25
_CLOSING_GRACE = 5.0
# While more are taken up, everybody else would have to wait for too long.
_MOST_AT_ONCE = 200


@frozen
class _Wanted:
    """A job that somebody here wants, and that was not written down since its key had another."""

    job: Job
    message: HttpRequest

    def shared(self, job: Job) -> Job:
        return evolve(job, durable=job.durable or self.job.durable)


class Jobs:
    """
    All jobs of one client.

    :param inherits: whether it sends, saves and searches for what processes have left that have died.
    """

    def __init__(
        self,
        exchange: Exchange,
        poller: Poller,
        submitter: Submitter,
        journal: Journal,
        reconciler: Reconciler,
        auto_downloads: AutoDownloads,
        *,
        recovers: bool,
    ) -> None:
        self._exchange = exchange
        self._poller = poller
        self._submitter = submitter
        self._journal = journal
        self._reconciler = reconciler
        self._auto_downloads = auto_downloads
        self._intakes = Background()
        self._followers = Background()
        self._recovers = recovers
        self._closing = False

    async def open(self) -> None:
        """
        Take up what earlier processes have left behind.

        What was enqueued is sent, in order. What was on its way is sent again where an idempotency key protects it, and
        is openly unknown otherwise. Nothing else is sent. Videos that were to be saved are, and the tasks of what is
        unknown are searched for. A client that is not to inherit finds out what is unknown, and does no more.

        :raises StoreError: the store cannot be used.
        """
        await self._journal.open()
        endpoint = self._journal.endpoint
        unfinished = [
            job for job in await self._journal.store.unfinished(endpoint.provider) if job.endpoint == endpoint
        ]
        jobs = [job for job in unfinished if _is_unsent(job) or _is_to_be_saved(job)]
        alive = {owner: await self._is_alive(owner) for owner in {job.owner: None for job in jobs}}
        orphans = [job for job in jobs if not alive[job.owner]]
        if not self._recovers:
            orphans = [job for job in orphans if self._is_lost(job)]
        # Many at once, so that a store may write them with one flush. They are sent in the order that they have here.
        for first in range(0, len(orphans), _MOST_AT_ONCE):
            some = [self._recover(job) for job in orphans[first : first + _MOST_AT_ONCE]]
            for outcome in await asyncio.gather(*some, return_exceptions=True):
                if outcome is not None:
                    raise outcome
        for job in unfinished:
            if job.state is JobState.OUTCOME_UNKNOWN:
                self._seek(job)

    async def attend(self, tracked: TrackedJob) -> None:
        """
        See to it that the task of *watch* is looked at, unless the store knows its end.

        :raises ConfigurationError: the store knows that it was submitted elsewhere.
        """
        await self._journal.take_up(tracked)
        self._check_open(tracked)
        begun = tracked.poll.entry
        self._poller.ensure(tracked)
        self._submitter.count(tracked)
        if tracked.job and tracked.poll.entry and not begun:
            self._grow_old(tracked, tracked.job)

    def _grow_old(self, tracked: TrackedJob, job: Job) -> None:
        """Let the lifetime of a task begin when it was submitted, and not when somebody looked at it again."""
        age = (datetime.now(UTC) - (job.submitted_at or job.created_at)).total_seconds()
        # Without an observation, the first one will say how old it is.
        if tracked.task is not None or age > self._exchange.adapter.task_ttl:
            tracked.poll.submitted_at -= age

    def _check_open(self, tracked: TrackedJob) -> None:
        # Whoever has asked the store before the client was closed must not set anything going after it.
        if self._closing:
            raise closed_meanwhile(tracked.whole_task, tracked.ref, tracked.job_id)

    async def aclose(self) -> None:
        """Finish what is being taken in, and stop following the jobs of other processes."""
        self._closing = True
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self._followers.aclose)
            closing.push_async_callback(self._intakes.aclose)
            closing.push_async_callback(self._intakes.settle, _CLOSING_GRACE)

    async def take_in(
        self, submission: Submission, *, key: str | None, durable: bool, save_to: str | PathLike[str] | None
    ) -> TrackedJob:
        """
        Write down a job and see to it that it is sent; or find the one that has *key* already.

        Who cancels it has not asked for anything: what is being written down is taken back.

        :raises InvalidRequestError: *key* was used for another request.
        :raises SubmitOutcomeUnknownError: the outcome of the job with *key* is unknown.
        :raises StoreError: it cannot be written down. Nothing was sent.
        """
        message = self._exchange.adapter.encode_submit(submission, self._exchange.account)
        path = None if save_to is None else _absolute(save_to)
        job = evolve(self._new_job(submission, message, key=key, durable=durable), save_to=path)
        adding = self._intakes.spawn(self._journal.store.add(job))
        try:
            found = await asyncio.shield(adding)
        except asyncio.CancelledError:
            self._intakes.spawn(self._take_back(job, adding))
            raise
        if found.job_id != job.job_id:
            tracked = await self._again(found, _Wanted(job, message))
            if path is not None:
                await asyncio.shield(self._intakes.spawn(self._auto_downloads.wish(tracked, path)))
            return tracked
        return self._send_new(job, message, TrackedJob(job_id=job.job_id))

    def _send_new(self, job: Job, message: HttpRequest, tracked: TrackedJob) -> TrackedJob:
        tracked.job_id, tracked.job = job.job_id, job
        self._submitter.send(job, message, tracked)
        self._auto_downloads.begin(tracked)
        return tracked

    async def _take_back(self, job: Job, adding: asyncio.Task[Job]) -> None:
        with suppress(StoreError):
            if (await adding).job_id == job.job_id:
                self._journal.refused(job, None, only_from=JobState.QUEUED)

    def _new_job(self, submission: Submission, message: HttpRequest, *, key: str | None, durable: bool) -> Job:
        request = to_data(submission.request)
        return Job(
            job_id=submission.job_id,
            endpoint=self._journal.endpoint,
            model=submission.spec.model,
            created_at=datetime.now(UTC),
            key=key,
            fingerprint="" if key is None else fingerprint(request),
            request=request,
            body=message.body,
            callback_url=submission.callback_url,
            durable=durable,
            owner=self._journal.store.owner,
        )

    async def _again(self, job: Job, wish: _Wanted) -> TrackedJob:
        """Return the watch on the job that has the key already."""
        _check_same(job, wish.job)
        mine = self._submitter.tracked_job(job.job_id)
        if mine is not None:
            if wish.job.durable:
                await self._submitter.promise(job.job_id)
            return mine
        return await self._tracked(await self._promised(job) if wish.job.durable else job, wish)

    async def _promised(self, job: Job) -> Job:
        """
        Write down that *job*, which another process sees to, is to be sent even if that one gives it up or dies.

        :raises StoreError: it cannot be written down.
        """
        while _is_unsent(job) and not job.durable:
            promised = evolve(job, durable=True)
            if await self._journal.store.change(promised, only_from=job.state, only_owner=job.owner):
                return promised
            job = await self._journal.store.get(job.job_id) or evolve(job, state=JobState.CLOSED)
        return job

    async def _tracked(self, job: Job, wish: _Wanted) -> TrackedJob:
        """
        Return a watch on *job*, which nobody here sends.

        :raises SubmitOutcomeUnknownError: its outcome is unknown.
        """
        if job.state is JobState.OUTCOME_UNKNOWN:
            raise still_unknown(job)
        if job.ref is not None:
            tracked = self._poller.known(job.ref, job.job_id)
            tracked.job = tracked.job or job
            return tracked
        tracked = TrackedJob(job_id=job.job_id)
        tracked.job = job
        if not await self._is_orphan(job) or not await self._take_over(wish.shared(job), tracked):
            self._check_open(tracked)
            self._followers.spawn(self._follow(tracked, wish))
        return tracked

    async def _follow(self, tracked: TrackedJob, wish: _Wanted) -> None:
        """Wait until another process has settled a job, or see to it where that one did not."""
        try:
            while True:
                if await self._is_settled(tracked, wish):
                    return
                await asyncio.sleep(_FOLLOW_INTERVAL)
        except HappyHorseError as error:
            tracked.give_up(error)
        except asyncio.CancelledError:
            tracked.give_up(WaitTimeoutError("the client was closed while another process saw to the job"))
            raise

    async def _is_settled(self, tracked: TrackedJob, wish: _Wanted) -> bool:
        job = await self._journal.store.get(tracked.job_id)
        if job is None or (job.state is JobState.CLOSED and job.ref is None):
            if job and job.failure is not None:
                raise InvalidRequestError(job.failure, job_id=job.job_id)
            return await self._wish_again(tracked, wish)
        if job.ref is not None:
            tracked.job = job
            self._poller.accepted(tracked, job.task or Task(ref=job.ref, status=TaskStatus.PENDING, observed_at=None))
            return True
        if job.state is JobState.OUTCOME_UNKNOWN:
            raise still_unknown(job)
        return await self._is_orphan(job) and await self._take_over(wish.shared(job), tracked)

    async def _wish_again(self, tracked: TrackedJob, wish: _Wanted) -> bool:
        """Ask anew for what another process took back: here it is still wanted. Return whether it is sent from here."""
        found = await self._journal.store.add(wish.job)
        _check_same(found, wish.job)
        tracked.job_id = found.job_id
        if found.job_id != wish.job.job_id:
            return False
        self._send_new(wish.job, wish.message, tracked)
        return True

    async def _is_orphan(self, job: Job) -> bool:
        return _is_unsent(job) and not await self._is_alive(job.owner)

    async def _is_alive(self, owner: str | None) -> bool:
        return owner not in (None, NOBODY) and await self._journal.store.is_alive(owner or "")

    def _is_lost(self, job: Job) -> bool:
        """Tell whether nobody can find out any more, by sending it, what became of a job whose process has died."""
        return job.state is JobState.SUBMITTING and not is_protected(job, self._exchange.adapter)

    async def _recover(self, job: Job) -> None:
        """See to a job whose process has died, and for which nobody waits in this one."""
        if job.ref is not None:
            await self._auto_downloads.recover(job)
            return
        if job.state is JobState.QUEUED and not job.durable:
            # Its caller was told nothing and is gone. It was not sent, and is not going to be.
            await asyncio.shield(self._journal.refused(job, None, only_from=JobState.QUEUED)[1])
            return
        try:
            await self._take_over(job, TrackedJob(job_id=job.job_id))
        except StoreError:
            raise
        except HappyHorseError as error:
            _log.warning("job %s of an earlier process: %s", job.job_id, error)

    async def _take_over(self, job: Job, tracked: TrackedJob) -> bool:
        """
        Send a job whose process has died, if that cannot pay twice.

        :return: whether it is this process that sends it.
        :raises SubmitOutcomeUnknownError: it may have been sent, and no key protects it.
        :raises HappyHorseError: it cannot be sent any more.
        """
        if self._is_lost(job):
            return await self._give_up(job, InvalidResponseError("its process died before the answer came"))
        try:
            message = self._message(job)
        except HappyHorseError as error:
            return await self._give_up(job, error)
        # Whoever is cancelled over it: what this process has made its own, it sends.
        return await asyncio.shield(self._intakes.spawn(self._claim(job, message, tracked)))

    async def _claim(self, job: Job, message: HttpRequest, tracked: TrackedJob) -> bool:
        mine = evolve(job, owner=self._journal.store.owner)
        if not await self._journal.store.change(mine, only_from=job.state, only_owner=job.owner):
            return False
        tracked.job = mine
        sent = InvalidResponseError("an earlier process died before the answer came")
        self._submitter.send(mine, message, tracked, unsettled=sent if job.state is JobState.SUBMITTING else None)
        self._auto_downloads.begin(tracked)
        return True

    async def _give_up(self, job: Job, error: HappyHorseError) -> bool:
        if job.state is JobState.SUBMITTING:
            lost, written = self._journal.unknown(job, error)
            error = still_unknown(lost)
            written.add_done_callback(lambda _: self._seek(lost))
        else:
            _, written = self._journal.refused(job, error, only_from=job.state)
        if not await asyncio.shield(written):
            return False
        raise error.about(job_id=job.job_id)

    def _seek(self, job: Job) -> None:
        """Search for the task of a job that an earlier process has sent."""
        if self._recovers:
            self._reconciler.seek_later(job)

    def _message(self, job: Job) -> HttpRequest:
        """Write the request of *job* again. The bytes are those of the first time, whatever has changed since."""
        request = from_data(job.request or {})
        adapter, account = self._exchange.adapter, self._exchange.account
        spec = adapter.check(request, provider=account.provider, callback_url=job.callback_url)
        submission = Submission(request=request, spec=spec, job_id=job.job_id, callback_url=job.callback_url)
        return evolve(adapter.encode_submit(submission, account), body=job.body)

    async def withdraw(self, job_id: str) -> bool:
        """
        Take back a job that has not been sent, and return whether that was possible.

        :raises StoreError: that cannot be written down yet. It is tried again, and this process does not send the job.
        """
        writing = self._submitter.withdraw(job_id)
        if writing is None:
            return False
        await asyncio.shield(writing)
        self._journal.check_written(job_id)
        return True

    async def pending(self) -> list[PendingJob]:
        """List the jobs that are not at their end, the oldest first."""
        jobs = await self._journal.store.unfinished(self._journal.endpoint.provider)
        return [PendingJob(job_id=job.job_id, ref=job.ref, key=job.key, state=job.state) for job in jobs]


def _is_unsent(job: Job) -> bool:
    return job.state in (JobState.QUEUED, JobState.SUBMITTING)


def _is_to_be_saved(job: Job) -> bool:
    return job.state is JobState.ACCEPTED and job.save_to is not None


def _absolute(path: str | PathLike[str]) -> str:
    # What is relative means something else to the next process.
    return str(Path(path).absolute())


def _check_same(job: Job, wanted: Job) -> None:
    if job.fingerprint != wanted.fingerprint or job.endpoint != wanted.endpoint:
        raise InvalidRequestError(
            f"the key {job.key!r} already stands for another request, at {job.endpoint.provider}", job_id=job.job_id
        ).about(ref=job.ref)
