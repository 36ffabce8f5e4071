"""
From a request to a job, and from a job in the store to one that is followed here.

A key names a job: the same key is the same job, whichever process sends it. A job that another process sends is
followed in the store until that process has settled it, or is dead.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from os import PathLike

from attrs import evolve, frozen

from ..adapter import Submission
from ..background import Background
from ..download.target import absolute, check_target
from ..errors import HappyHorseError, InvalidRequestError, StoreError, TaskNotFoundError, WaitTimeoutError
from ..job import Job
from ..local_media import LocalMedium
from ..messages import HttpRequest
from ..request_codec import fingerprint
from ..stores.contract import holds_key
from ..task import TaskRef
from ..tracked_job import TrackedJob
from ..tracker import Tracker
from .account import AccountRuntime, Accounts
from .auto_download import AutoDownloads
from .job_errors import error_of, withdrawn
from .journal import Journal
from .recovery import Recovery, is_unsent
from .state import TAKEN_BACK, JobEvent, applies, apply, conditions
from .submit import Submitter
from .submit_errors import closed_meanwhile

_FOLLOW_INTERVAL = 0.25
_CLOSING_GRACE = 5.0


@frozen
class _Wanted:
    """A job that a caller here wants, and that was not recorded because another one has its key."""

    job: Job
    message: HttpRequest


class Intake:
    """Records new jobs, and finds those that exist."""

    def __init__(
        self,
        accounts: Accounts,
        tracker: Tracker,
        journal: Journal,
        submitter: Submitter,
        recovery: Recovery,
        auto_downloads: AutoDownloads,
    ) -> None:
        self._accounts = accounts
        self._tracker = tracker
        self._journal = journal
        self._submitter = submitter
        self._recovery = recovery
        self._auto_downloads = auto_downloads
        self._work = Background()
        self._followers = Background()
        self._closing = False

    async def add(
        self,
        account: AccountRuntime,
        submission: Submission,
        *,
        media: tuple[LocalMedium, ...] = (),
        key: str | None,
        durable: bool,
        save_to: str | PathLike[str] | None,
    ) -> TrackedJob:
        """
        Record a job and have it sent, or find the one that has *key* already.

        If the caller is cancelled while the job is being recorded, the job is withdrawn.

        :param media: local media that have tokens in the request. Those that do not travel in it are uploaded first.
        :raises InvalidRequestError: *key* was used for another request.
        :raises DownloadError: no video can be written to *save_to*. Nothing was recorded.
        :raises SubmitOutcomeUnknownError: the outcome of the job with *key* is unknown.
        :raises StoreError: it cannot be recorded. Nothing was sent.
        """
        path = None
        if save_to is not None:
            path = absolute(save_to)
            await asyncio.to_thread(check_target, path)
        message = evolve(account.adapter.encode_submit(submission, account.account), media=media)
        if media and not await self._is_known(key):
            await account.media.upload_all(message, submission.spec.model)
        job = self._new_job(account, submission, message, key=key, durable=durable, save_to=path)
        adding = self._work.spawn(self._journal.store.add(job))
        try:
            found = await asyncio.shield(adding)
        except asyncio.CancelledError:
            self._work.spawn(self._withdraw_added(job, adding))
            raise
        if found.job_id == job.job_id:
            return self._send(TrackedJob(job), message)
        tracked = await self._find(found, _Wanted(job, message))
        if path is not None:
            await asyncio.shield(self._work.spawn(self._auto_downloads.request(tracked, path)))
        return tracked

    def _send(self, tracked: TrackedJob, message: HttpRequest) -> TrackedJob:
        self._submitter.put(tracked, message)
        if tracked.job.save_to is not None:
            self._auto_downloads.begin(tracked)
        return tracked

    async def _withdraw_added(self, job: Job, adding: asyncio.Task[Job]) -> None:
        with suppress(StoreError):
            if (await adding).job_id == job.job_id:
                self._journal.record(TrackedJob(job), JobEvent.WITHDRAW)

    def _new_job(
        self,
        account: AccountRuntime,
        submission: Submission,
        message: HttpRequest,
        *,
        key: str | None,
        durable: bool,
        save_to: str | None,
    ) -> Job:
        request = submission.request.to_dict()
        return Job(
            job_id=submission.job_id,
            endpoint=account.endpoint,
            model=submission.spec.model,
            created_at=datetime.now(UTC),
            key=key,
            fingerprint="" if key is None else fingerprint(request),
            request=request,
            body=message.body,
            media=message.media if durable else _without_content(message.media),
            callback_url=submission.callback_url,
            durable=durable,
            owner=self._journal.store.owner,
            save_to=save_to,
        )

    async def _find(self, job: Job, wanted: _Wanted) -> TrackedJob:
        """Return the tracked job of the entry that has the key already."""
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
        while not job.durable and (promised := apply(job, JobEvent.PROMISE, durable=True)) is not None:
            required = conditions(job, JobEvent.PROMISE, promised)
            kept = await self._journal.store.change(
                promised, only_from=required.only_from, only_owner=required.only_owner
            )
            if kept is not None:
                return kept
            current = await self._journal.store.get(job.job_id)
            if current is None:
                break
            job = current
        return job

    async def _tracked(self, job: Job, wanted: _Wanted | None) -> TrackedJob:
        """
        Return the tracked job of an entry that is not sent from here.

        :raises SubmitOutcomeUnknownError: its outcome is unknown.
        """
        if job.ref is not None:
            return self._tracker.for_job(job)
        if applies(job.state, JobEvent.ADOPT) or (wanted is None and not is_unsent(job)):
            raise _error(job)
        tracked = TrackedJob(job)
        if not await self._recovery.is_orphan(job) or not await self._take_over(tracked, wanted):
            self._check_open(tracked)
            # A task that is cancelled before it has begun does not run at all, and could not tell the waiters.
            self._followers.spawn(self._follow(tracked, wanted)).add_done_callback(partial(_give_up, tracked))
        return tracked

    async def _take_over(self, tracked: TrackedJob, wanted: _Wanted | None) -> bool:
        return await self._recovery.take_over(tracked, durable=wanted is not None and wanted.job.durable)

    async def _follow(self, tracked: TrackedJob, wanted: _Wanted | None) -> None:
        """Wait until another process has settled a job, or send it if that process does not."""
        try:
            while True:
                if await self._is_settled(tracked, wanted):
                    return
                await asyncio.sleep(_FOLLOW_INTERVAL)
        except HappyHorseError as error:
            tracked.give_up(error)

    async def _is_settled(self, tracked: TrackedJob, wanted: _Wanted | None) -> bool:
        job = await self._journal.store.get(tracked.job_id)
        if job is None or (job.ref is None and not is_unsent(job)):
            if job is None or job.state in TAKEN_BACK:
                return await self._want_again(tracked, wanted)
            raise _error(job)
        tracked.load(job)
        if job.ref is not None:
            account = self._accounts.of(job)
            if tracked.task is not None:
                account.poller.accepted(tracked, tracked.task)
            else:
                account.poller.ensure(tracked)
                tracked.wake()
            return True
        return await self._recovery.is_orphan(job) and await self._take_over(tracked, wanted)

    async def _want_again(self, tracked: TrackedJob, wanted: _Wanted | None) -> bool:
        """Record anew what another process took back: it is still wanted here. Return whether it is sent from here."""
        if wanted is None:
            raise withdrawn(tracked.job_id)
        found = await self._journal.store.add(wanted.job)
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
        job = await self.read(job_id=job_id, key=key)
        return self._tracker.by_id(job.job_id) or await self._tracked(job, None)

    async def find(self, key: str) -> TrackedJob | None:
        """Return the job that holds *key*, as `load` does; `None` if none does."""
        return await self.load(key=key) if await self._is_known(key) else None

    async def _is_known(self, key: str | None) -> bool:
        job = None if key is None else await self._journal.store.by_key(key)
        return job is not None and holds_key(job)

    async def read(self, *, job_id: str | None = None, key: str | None = None, ref: TaskRef | None = None) -> Job:
        """
        Return what is known of a job.

        :raises TaskNotFoundError: there is no such job.
        """
        store = self._journal.store
        here = self._tracker.by_ref(ref) if ref else self._tracker.by_id(job_id) if job_id else None
        if here is not None and here.is_recorded:
            return here.job
        if ref is not None:
            job = await store.by_ref(ref)
        else:
            job = await store.get(job_id) if job_id is not None else await store.by_key(key or "")
        if job is None:
            name = f"the key {key!r}" if key is not None else str(ref or job_id)
            raise TaskNotFoundError(f"the job store has no job {name}", ref=ref, job_id=job_id)
        here = self._tracker.by_id(job.job_id) or (self._tracker.by_ref(job.ref) if job.ref else None)
        return here.job if here is not None and here.is_recorded and here.job_id == job.job_id else job

    async def attend(self, tracked: TrackedJob) -> None:
        """
        Make sure that a task is polled, unless the store knows its end.

        :raises ConfigurationError: the store knows that it was submitted elsewhere.
        """
        account = self._accounts.of(tracked.job)
        await self._journal.load(tracked, account.endpoint)
        self._check_open(tracked)
        job, age = tracked.job, None
        if tracked.is_recorded:
            age = (datetime.now(UTC) - (job.submitted_at or job.created_at)).total_seconds()
        account.poller.ensure(tracked, age)
        account.scheduler.count(tracked)

    def _check_open(self, tracked: TrackedJob) -> None:
        # A call that asked the store before the client was closed must not start new work after that.
        if self._closing:
            raise closed_meanwhile(tracked.whole_task, tracked.ref, tracked.job_id)

    async def withdraw(self, job_id: str) -> bool:
        """
        Take back a job that has not been sent, and return whether that was possible.

        :raises StoreError: that cannot be recorded yet. It is tried again, and this process does not send the job.
        """
        write = self._submitter.withdraw(job_id)
        if write is not None:
            await asyncio.shield(write)
            self._journal.check_written(job_id)
            return True
        if self._tracker.by_id(job_id) is not None:
            return False
        # It may wait in another process, which finds out when it is about to send the job.
        job = await self._journal.store.get(job_id)
        return job is not None and await self._journal.record_now(TrackedJob(job), JobEvent.CANCEL)

    async def pending(self) -> list[Job]:
        """Return the jobs of all accounts that are unfinished, the oldest first."""
        found: list[Job] = []
        for account in self._accounts:
            found += await self._journal.store.unfinished(account.endpoint.provider)
        return sorted(found, key=lambda job: job.created_at) if len(list(self._accounts)) > 1 else found

    async def aclose(self) -> None:
        """Finish what is being recorded, and stop following the jobs of other processes."""
        self._closing = True
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self._followers.aclose)
            closing.push_async_callback(self._work.aclose)
            closing.push_async_callback(self._work.settle, _CLOSING_GRACE)


def _give_up(tracked: TrackedJob, following: asyncio.Task[None]) -> None:
    if following.cancelled():
        tracked.give_up(WaitTimeoutError("the client was closed while another process was sending the job"))


def _without_content(media: tuple[LocalMedium, ...]) -> tuple[LocalMedium, ...]:
    # What only waits for this process need not be written to disk.
    return tuple([evolve(medium, content=None) for medium in media])


def _error(job: Job) -> HappyHorseError:
    message = f"the job has ended without a task: it is {job.state}"
    return error_of(job) or InvalidRequestError(message, job_id=job.job_id)


def _check_same(job: Job, wanted: Job) -> None:
    if job.fingerprint != wanted.fingerprint or job.endpoint != wanted.endpoint:
        raise InvalidRequestError(
            f"the key {job.key!r} was already used for another request, at {job.endpoint.provider}", job_id=job.job_id
        ).about(ref=job.ref)
