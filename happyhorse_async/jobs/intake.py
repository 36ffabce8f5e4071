"""
Records new jobs, and finds existing jobs in the store and follows them here.

A key names a job: the same key is the same job, whichever process sends it. A job that another process sends is
followed in the store until it is settled or that process is dead.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from os import PathLike

from attrs import evolve

from .. import telemetry
from ..adapter import Submission
from ..background import Background
from ..download.target import absolute, check_target
from ..errors import BudgetExceededError, HappyHorseError, InvalidRequestError, StoreError
from ..job import Job
from ..local_media import LocalMedium, without_content
from ..messages import HttpRequest
from ..price import PriceEstimate
from ..request import VideoRequest
from ..request_codec import fingerprint
from ..stores.contract import holds_key
from ..tracked_job import TrackedJob
from ..tracker import Tracker
from .account import AccountRuntime, Accounts
from .auto_download import AutoDownloads
from .followers import Followed, Followers
from .job_errors import error_of, withdrawn
from .journal import NO_OWNER, Journal, elsewhere
from .lookup import JobLookup
from .new_job import WantedJob
from .recovery import Recovery, age_of, is_unsent
from .routing import PlannedJob
from .state import TAKEN_BACK, JobEvent, applies
from .submit import Submitter
from .submit_errors import closed_meanwhile

_CLOSING_GRACE = 5.0


class Intake:
    """
    Records new jobs, and finds those that exist.

    :param works: whether this process sends and polls jobs. Otherwise it leaves them to others.
    :param has_engine: whether an engine runs enqueued jobs. Then this process sends them only when the engine runs
        them.
    """

    def __init__(
        self,
        accounts: Accounts,
        tracker: Tracker,
        journal: Journal,
        submitter: Submitter,
        recovery: Recovery,
        auto_downloads: AutoDownloads,
        *,
        works: bool = True,
        has_engine: bool = False,
    ) -> None:
        self._accounts = accounts
        self._tracker = tracker
        self._journal = journal
        self._submitter = submitter
        self._recovery = recovery
        self._auto_downloads = auto_downloads
        self._works = works
        self._has_engine = has_engine
        self._work = Background()
        self.lookup = JobLookup(accounts, tracker, journal.store)
        """What is known of the jobs."""
        self.followers = Followers(
            journal.store,
            settle=self._settle,
            learn=self._learn,
            is_here=self._is_here,
            is_alive=recovery.is_alive,
        )
        self._closing = False

    async def message(
        self,
        account: AccountRuntime,
        submission: Submission,
        media: tuple[LocalMedium, ...],
        *,
        key: str | None,
        durable: bool,
        price: PriceEstimate | None,
    ) -> HttpRequest:
        """
        Return the message to send, after uploading its local media.

        :param media: local media that have tokens in the request.
        :param key: if a job has it already, nothing is uploaded, and the budget is not asked.
        :param durable: whether it is enqueued. Then it is recorded at once, and uploaded before it is sent.
        :param price: the price estimate.
        :raises BudgetExceededError: the budget has no room for it. Nothing was
            uploaded or recorded.
        :raises HappyHorseError: an upload failed. Nothing was recorded.
        """
        message, model = account.adapter.encode_submit(submission, account.account), submission.spec.model
        if media:
            message = evolve(message, media=media)
        uploads = bool(media) and not durable and not account.media.is_uploaded(message, model)
        if (uploads or self._journal.within) and not await self.lookup.has_key(key):
            planned = PlannedJob(
                provider=account.endpoint.provider, submission=submission, message=message, price=price
            )
            await self._journal.check_budget(
                self._new_job(planned, may_move=False, key=None, durable=False, save_to=None)
            )
            if uploads:
                await telemetry.upload(None, account.media.upload_all(message, model))
        return message

    async def add(
        self,
        planned: PlannedJob,
        *,
        may_move: bool,
        key: str | None,
        durable: bool,
        save_to: str | PathLike[str] | None,
    ) -> TrackedJob:
        """
        Record a job and have it sent, or find the one that has *key* already.

        If the caller is cancelled while the job is being recorded, the job is withdrawn.

        :param may_move: whether it may go to other accounts.
        :raises InvalidRequestError: *key* was used for another request.
        :raises DownloadError: no video can be written to *save_to*. Nothing was recorded.
        :raises SubmitOutcomeUnknownError: the outcome of the job with *key* is unknown.
        :raises BudgetExceededError: the budget has no room for it. Nothing was recorded.
        :raises StoreError: it cannot be recorded. Nothing was sent.
        """
        path = None
        if save_to is not None:
            path = absolute(save_to)
            await asyncio.to_thread(check_target, path)
        job = self._new_job(planned, may_move=may_move, key=key, durable=durable, save_to=path)
        message = planned.message
        adding = self._work.spawn(self._journal.add(job))
        try:
            found = await asyncio.shield(adding)
        except asyncio.CancelledError:
            self._work.spawn(self._withdraw_added(job, adding))
            raise
        if found.job_id == job.job_id:
            return self._send(TrackedJob(job), message)
        tracked = await self._find(found, WantedJob(job, message))
        if path is not None:
            await asyncio.shield(self._work.spawn(self._auto_downloads.request(tracked, path)))
        return tracked

    def _send(self, tracked: TrackedJob, message: HttpRequest) -> TrackedJob:
        if not self._takes(tracked.job):
            self._follow(tracked, None)
            return tracked
        self._submitter.put(tracked, message)
        if tracked.job.save_to is not None:
            self._auto_downloads.begin(tracked)
        return tracked

    def _takes(self, job: Job) -> bool:
        """Return whether this process sends a job without being told to; see `run`."""
        return self._works and not (self._has_engine and job.durable)

    async def _withdraw_added(self, job: Job, adding: asyncio.Task[Job]) -> None:
        with suppress(BudgetExceededError, StoreError):
            if (await adding).job_id == job.job_id:
                self._journal.record(TrackedJob(job), JobEvent.WITHDRAW)

    def _new_job(
        self, planned: PlannedJob, may_move: bool, *, key: str | None, durable: bool, save_to: str | None
    ) -> Job:
        submission, message = planned.submission, planned.message
        request = submission.request.to_dict()
        is_left = not self._works or (self._has_engine and durable)
        return Job(
            job_id=submission.job_id,
            endpoint=self._accounts.endpoints[planned.provider],
            model=submission.spec.model,
            created_at=datetime.now(UTC),
            key=key,
            fingerprint="" if key is None else fingerprint(request),
            request=request,
            body=message.body,
            media=without_content(message.media) if message.media and not durable and self._works else message.media,
            callback_url=submission.callback_url,
            durable=durable or not self._works,
            owner=NO_OWNER if is_left else self._journal.store.owner,
            save_to=save_to,
            may_move=may_move,
            price=planned.price,
            trace_parent=telemetry.current_span(),
        )

    async def _find(self, job: Job, wanted: WantedJob) -> TrackedJob:
        """Return the tracked job of the entry that already has the key."""
        _check_same(job, wanted.job)
        here = self._tracker.by_id(job.job_id)
        if here is not None:
            if wanted.job.durable:
                await self._submitter.promise(here)
            return here
        if wanted.job.durable:
            job = await self._promised(job)
        return await self._tracked(job, wanted)

    async def _promised(self, job: Job) -> Job:
        """
        Record that *job*, which another process is to send, must be sent even if that process gives it up or dies.

        :raises StoreError: it cannot be recorded.
        """
        while not job.durable and applies(job.state, JobEvent.PROMISE):
            kept = await self._journal.promise(job)
            if kept is not None:
                return kept
            current = await self._journal.store.get(job.job_id)
            if current is None:
                break
            job = current
        return job

    async def _tracked(self, job: Job, wanted: WantedJob | None) -> TrackedJob:
        """
        Return the tracked job of an entry that is not sent from here.

        :raises SubmitOutcomeUnknownError: its outcome is unknown.
        :raises ConfigurationError: it was submitted elsewhere than to an account of this client.
        """
        if not self._accounts.has(job):
            raise elsewhere(job, self._accounts.endpoints.get(job.endpoint.provider))
        if job.ref is not None:
            return self._tracker.for_job(job)
        if applies(job.state, JobEvent.ADOPT) or (wanted is None and not is_unsent(job)):
            raise _error(job)
        followed = self.followers.tracked(job.job_id)
        if followed is not None and wanted is None:
            return followed
        tracked = TrackedJob(job)
        is_orphan = self._takes(job) and await self._recovery.is_orphan(job)
        if not is_orphan or not await self._take_over(tracked, wanted):
            self._check_open(tracked)
            self._follow(tracked, wanted)
        return tracked

    def _follow(self, tracked: TrackedJob, wanted: WantedJob | None, *, may_run: bool = False) -> None:
        if not self.followers.follows(tracked):
            self.followers.follow(Followed(tracked, wanted, may_run=may_run or self._takes(tracked.job)))

    async def _take_over(self, tracked: TrackedJob, wanted: WantedJob | None) -> bool:
        return await self._recovery.take_over(tracked, durable=wanted is not None and wanted.job.durable)

    async def _settle(self, followed: Followed, job: Job | None) -> bool:
        """Process the stored entry of a followed job; see `Followers`."""
        tracked = followed.tracked
        if tracked.is_polled or tracked.attempt is not None:
            return True
        if job is None or (job.ref is None and not is_unsent(job)):
            if job is None or job.state in TAKEN_BACK:
                return await self._want_again(tracked, followed.wanted)
            raise _error(job)
        tracked.load(job)
        if job.ref is None:
            is_orphan = followed.may_run and await self._recovery.is_orphan(job)
            return is_orphan and await self._take_over(tracked, followed.wanted)
        if self._tracker.by_ref(job.ref) is None:
            self._tracker.name(tracked)
        # Wake those who wait for the acceptance, and those who wait for the end.
        tracked.wake()
        return tracked.ended or await self._poll_unless_owned(tracked, may_run=followed.may_run, at_once=False)

    async def _poll_unless_owned(self, tracked: TrackedJob, *, may_run: bool, at_once: bool) -> bool:
        """Poll a task that was accepted, unless another process does, and return whether it is polled here."""
        account, job, owner = self._accounts.of(tracked.job), tracked.job, self._journal.store.owner
        if self._tracker.has_sibling_with(job.job_id):
            return False
        if tracked.is_recorded and not job.state.is_final and job.owner != owner:
            if not may_run or await self._recovery.is_alive(job.owner):
                return False
            if not await self._journal.record_now(tracked, JobEvent.TAKE_OVER, owner=owner):
                return False
        self._check_open(tracked)
        if at_once or not tracked.is_recorded:
            account.poller.ensure(tracked, age_of(job) if tracked.is_recorded else None)
        else:
            account.poller.take_over(tracked, age_of(job))
        account.scheduler.count(tracked)
        return True

    def _is_here(self, job_id: str) -> bool:
        tracked = self._tracker.anywhere(job_id)
        return tracked is not None and (tracked.is_polled or tracked.attempt is not None)

    def _learn(self, job: Job) -> None:
        """Process an entry that another process has changed, of a job that is sent or polled here."""
        tracked = self._tracker.anywhere(job.job_id)
        if tracked is None or self._journal.is_pending(job.job_id):
            return
        if tracked.attempt is not None:
            self._submitter.learn(tracked, job)
            if tracked.ref is not None:
                # It is polled by the process that owns it, which may be this one.
                self._follow(tracked, None)
        elif tracked.is_polled and job.ref == tracked.ref:
            is_elsewhere = job.owner not in (None, NO_OWNER, self._journal.store.owner)
            if job.state.is_final:
                tracked.load(job)
                self._accounts.of(job).poller.leave(tracked)
            elif is_elsewhere:
                # It was taken over: another process considered this one dead.
                tracked.load(job)
                self._accounts.of(job).poller.leave(tracked)
                tracked.release_permit()
                self._follow(tracked, None)

    async def _want_again(self, tracked: TrackedJob, wanted: WantedJob | None) -> bool:
        """
        Record again a job that another process withdrew, because it is still wanted here. Return whether it is sent
        from here.
        """
        if wanted is None:
            raise withdrawn(tracked.job_id)
        found = await self._journal.add(wanted.job)
        _check_same(found, wanted.job)
        tracked.load(found)
        if found.job_id != wanted.job.job_id:
            return False
        tracked.load(wanted.job)
        self._send(tracked, wanted.message)
        return True

    async def load(self, *, job_id: str | None = None, key: str | None = None) -> TrackedJob:
        """
        Find a job by its id or key, and follow it wherever it is.

        :raises TaskNotFoundError: there is no such job.
        :raises HappyHorseError: it has ended without a task, or its outcome is unknown.
        """
        job = await self.lookup.read(job_id=job_id, key=key)
        return self._tracker.by_id(job.job_id) or await self._tracked(job, None)

    async def find(self, key: str) -> TrackedJob | None:
        """Return the job that holds *key*, as `load` does; `None` if none does."""
        return await self.load(key=key) if await self.lookup.has_key(key) else None

    async def find_same(self, key: str, request: VideoRequest) -> TrackedJob | None:
        """Return the job that holds *key*, as `load` does, if it is for *request*; `None` otherwise."""
        job = await self._journal.store.by_key(key)
        is_same = job is not None and holds_key(job) and job.fingerprint == fingerprint(request.to_dict())
        return await self.load(key=key) if is_same else None

    async def attend(self, tracked: TrackedJob) -> None:
        """
        Make sure that a task is polled, unless the store knows its end.

        :raises ConfigurationError: the store knows that it was submitted elsewhere.
        """
        account = self._accounts.of(tracked.job)
        if tracked.is_polled:
            account.poller.ensure(tracked)
            return
        await self._journal.load(tracked, account.endpoint)
        self._check_open(tracked)
        if tracked.ended or self.followers.follows(tracked):
            return
        if not await self._poll_unless_owned(tracked, may_run=self._works, at_once=True):
            self._check_open(tracked)
            self._follow(tracked, None)

    async def run(self, job_id: str) -> TrackedJob:
        """
        Continue a job from its present state, unless a living process does; even if this process has `work=False`.

        :raises TaskNotFoundError: there is no such job.
        :raises HappyHorseError: it has ended without a task, or its outcome is unknown.
        """
        tracked = await self.load(job_id=job_id)
        for followed in self.followers.of(job_id):
            followed.may_run = True
        self.followers.reread(job_id)
        return tracked

    def _check_open(self, tracked: TrackedJob) -> None:
        # A call that read the store before the client was closed must not start new work after that.
        if self._closing:
            raise closed_meanwhile(tracked.whole_task, tracked.ref, tracked.job_id)

    async def withdraw(self, job_id: str) -> bool:
        """
        Withdraw a job that has not been sent, and return whether that was possible.

        :raises StoreError: that cannot be recorded yet. It is retried, and this process does not send the job.
        """
        write = self._submitter.withdraw(job_id)
        if write is not None:
            await asyncio.shield(write)
            self._journal.check_written(job_id)
            return True
        if self._tracker.by_id(job_id) is not None:
            return False
        # It may be queued in another process, which finds out when it is about to send it.
        job = await self._journal.store.get(job_id)
        is_withdrawn = job is not None and await self._journal.record_now(TrackedJob(job), JobEvent.CANCEL)
        self.followers.reread(job_id)
        return is_withdrawn

    async def aclose(self) -> None:
        """Finish the writes in progress, and stop following the jobs of other processes."""
        self._closing = True
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self.followers.aclose)
            closing.push_async_callback(self._work.aclose)
            closing.push_async_callback(self._work.settle, _CLOSING_GRACE)


def _error(job: Job) -> HappyHorseError:
    message = f"the job has ended without a task: it is {job.state}"
    return error_of(job) or InvalidRequestError(message, job_id=job.job_id)


def _check_same(job: Job, wanted: Job) -> None:
    if job.fingerprint != wanted.fingerprint:
        raise InvalidRequestError(
            f"the key {job.key!r} was already used for another request, at {job.endpoint.provider}", job_id=job.job_id
        ).about(ref=job.ref)
