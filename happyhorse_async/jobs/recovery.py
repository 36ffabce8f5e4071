"""
Recovers the jobs of dead processes.

Enqueued jobs are sent, in order. A job that was in flight is sent again if an idempotency key protects it; otherwise
its outcome is unknown. Requested videos are saved. Each job re-enters its normal lifecycle by an event, and is then
treated like any other.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from attrs import evolve

from ..adapter import Submission
from ..background import Background
from ..errors import AuthenticationError, ConfigurationError, HappyHorseError, InvalidResponseError, StoreError
from ..job import Endpoint, Job, JobState
from ..logs import get_logger, log_fields
from ..messages import HttpRequest
from ..request_codec import from_data
from ..tracked_job import TrackedJob
from ..tracker import Tracker
from .account import Accounts
from .attempt import is_protected
from .auto_download import AutoDownloads
from .job_errors import still_unknown, to_data
from .journal import NO_OWNER, Journal
from .reconcile import Reconciler
from .state import JobEvent, applies
from .submit import Submitter

_log = get_logger(__name__)

_CLOSING_GRACE = 5.0


class Recovery:
    """
    Resumes the jobs of dead processes. `takeover` finds them.

    :param is_enabled: whether it sends, polls, saves and reconciles the jobs of dead processes.
    """

    def __init__(
        self,
        accounts: Accounts,
        tracker: Tracker,
        journal: Journal,
        submitter: Submitter,
        reconciler: Reconciler,
        auto_downloads: AutoDownloads,
        *,
        is_enabled: bool,
    ) -> None:
        self._accounts = accounts
        self._tracker = tracker
        self._journal = journal
        self._submitter = submitter
        self._reconciler = reconciler
        self._auto_downloads = auto_downloads
        self._is_enabled = is_enabled
        self._claims = Background()
        self._keyless: set[str] = set()

    def is_usable(self, endpoint: Endpoint) -> bool:
        """Return whether an account has a key that is not refused. Other processes may have a valid one."""
        account = self._accounts.opened(endpoint.provider)
        if account is not None:
            return not isinstance(account.breaker.error, AuthenticationError)
        if endpoint.provider in self._keyless:
            return False
        try:
            self._accounts.named(endpoint.provider)
        except ConfigurationError as error:
            message = "the unfinished jobs of %s are left to other processes: %s"
            _log.warning(message, endpoint.provider, error.message)
            self._keyless.add(endpoint.provider)
            return False
        return True

    async def give_up_lost(self, endpoint: Endpoint) -> None:
        """
        Record the unknown outcome of jobs whose process died while they were in flight.

        :raises StoreError: the store cannot be used.
        """
        submitting = [
            job
            for job in await self._journal.store.unfinished(endpoint.provider, [JobState.SUBMITTING])
            if job.endpoint == endpoint
        ]
        alive = {owner: await self.is_alive(owner) for owner in {job.owner for job in submitting}}
        for job in submitting:
            if not alive[job.owner] and self._is_lost(job):
                await self._go_on(TrackedJob(job))

    async def search_unknown(self, endpoint: Endpoint) -> None:
        """Search for the tasks of jobs of unknown outcome, if the client has `auto_adopt`."""
        if not self._is_enabled or not self._reconciler.searches(self._accounts.named(endpoint.provider)):
            return
        for job in await self._journal.store.unfinished(endpoint.provider, [JobState.OUTCOME_UNKNOWN]):
            if job.endpoint == endpoint:
                self._search(job)

    async def resume(self, job: Job, waiting: TrackedJob | None) -> None:
        """
        Resume a job that this process has just become the owner of.

        :param waiting: the tracked job that callers here wait for, if there is one.
        :raises StoreError: its new state cannot be recorded.
        """
        here = self._tracker.anywhere(job.job_id)
        if here is not None and (here.is_polled or here.attempt is not None):
            # This process owns it: the owner has just been written.
            return
        if job.ref is None:
            tracked = waiting or TrackedJob(job)
            tracked.load(job)
            await self._go_on(tracked)
            return
        tracked = waiting or self._tracker.for_job(job)
        if not tracked.is_polled:
            tracked.load(job)
        account = self._accounts.of(job)
        if not job.state.is_final:
            account.poller.take_over(tracked, age_of(job))
            account.scheduler.count(tracked)
        self._auto_downloads.begin(tracked, recovered=True)

    async def _go_on(self, tracked: TrackedJob) -> None:
        job = tracked.job
        if job.durable or applies(job.state, JobEvent.LOSE_ANSWER):
            try:
                if not await self.take_over(tracked) and tracked.job.owner == self._journal.store.owner:
                    # Its account has become unusable in the meantime.
                    self._journal.record(tracked, JobEvent.RELEASE, owner=NO_OWNER)
            except StoreError:
                raise
            except HappyHorseError as error:
                tracked.give_up(error)
                _log.warning("job %s of an earlier process: %s", job.job_id, error, extra=log_fields(job, reason=error))
        elif (write := self._journal.record(tracked, JobEvent.WITHDRAW)) is not None:
            # Its caller is gone and got no result. It was not sent, and will not be.
            await asyncio.shield(write)

    async def unsent(self) -> list[Job]:
        """
        Return the enqueued jobs that no living process is sending, and withdraw those that were not enqueued.

        :raises StoreError: the store cannot be used, or it is not certain who is alive.
        """
        orphans: list[Job] = []
        alive: dict[str | None, bool] = {}
        for provider in self._accounts.endpoints:
            for job in await self._journal.store.unfinished(provider, [JobState.QUEUED]):
                if job.owner not in alive:
                    alive[job.owner] = await self.is_alive(job.owner)
                if alive[job.owner] or not self._accounts.has(job):
                    continue
                if job.durable:
                    orphans.append(job)
                else:
                    await self._journal.record_now(TrackedJob(job), JobEvent.WITHDRAW)
        return orphans

    async def is_orphan(self, job: Job) -> bool:
        """Return whether a job has yet to be sent, and no living process will do so."""
        return is_unsent(job) and not await self.is_alive(job.owner)

    async def is_alive(self, owner: str | None) -> bool:
        """Return whether a job has an owner that lives."""
        return owner not in (None, NO_OWNER) and await self._journal.store.is_alive(owner or "")

    def _is_lost(self, job: Job) -> bool:
        """Return whether a job may have been accepted and cannot be sent again to find out."""
        adapter = self._accounts.of(job).adapter
        return applies(job.state, JobEvent.LOSE_ANSWER) and not is_protected(job, adapter)

    async def take_over(self, tracked: TrackedJob, *, durable: bool = False) -> bool:
        """
        Send a job whose process has died, if that cannot pay twice.

        :param durable: whether it was enqueued here.
        :return: whether this process sends it.
        :raises SubmitOutcomeUnknownError: it may have been accepted, and no key protects it.
        :raises HappyHorseError: it cannot be sent any more.
        """
        if not self._takes(tracked.job):
            return False
        if self._is_lost(tracked.job):
            return await self._give_up(tracked, InvalidResponseError("its process died before the answer came"))
        try:
            message = self._message(tracked.job)
        except HappyHorseError as error:
            return await self._give_up(tracked, error)
        # This process sends a job that it owns, even if the caller is cancelled.
        return await asyncio.shield(self._claims.spawn(self._claim(tracked, message, durable=durable)))

    def _takes(self, job: Job) -> bool:
        """Return whether this process can send jobs of an account: it has the account, and its key is not refused."""
        return self._accounts.has(job) and self.is_usable(job.endpoint)

    async def _claim(self, tracked: TrackedJob, message: HttpRequest, *, durable: bool) -> bool:
        # The caller of a job that may have been accepted is gone: it continues like an enqueued job.
        was_sent = applies(tracked.job.state, JobEvent.LOSE_ANSWER)
        durable = durable or was_sent or tracked.job.durable
        owner = self._journal.store.owner
        is_known = (tracked.job.owner, tracked.job.durable) == (owner, durable)
        if not is_known and not await self._journal.record_now(
            tracked, JobEvent.TAKE_OVER, owner=owner, durable=durable
        ):
            return False
        lost_answer = InvalidResponseError("an earlier process died before the answer came") if was_sent else None
        self._submitter.put(tracked, message, lost_answer=lost_answer)
        self._auto_downloads.begin(tracked)
        return True

    async def _give_up(self, tracked: TrackedJob, error: HappyHorseError) -> bool:
        lost = self._journal.record(tracked, JobEvent.LOSE_ANSWER, owner=None, error=to_data(error))
        write = lost or self._journal.record(tracked, JobEvent.REFUSE, error=to_data(error))
        job = tracked.job
        if lost is not None:
            error = still_unknown(job)
            lost.add_done_callback(lambda _: self._search(job))
        if write is None or not await asyncio.shield(write):
            return False
        raise error.about(job_id=job.job_id)

    def _search(self, job: Job) -> None:
        if self._is_enabled:
            self._reconciler.search_later(job)

    def _message(self, job: Job) -> HttpRequest:
        """Encode the request of *job* again. The bytes are those of the first attempt."""
        account = self._accounts.of(job)
        request = from_data(job.request or {})
        spec = account.adapter.check(request, provider=account.endpoint.provider, callback_url=job.callback_url)
        submission = Submission(request=request, spec=spec, job_id=job.job_id, callback_url=job.callback_url)
        return evolve(account.adapter.encode_submit(submission, account.account), body=job.body, media=job.media)

    async def aclose(self) -> None:
        """Finish the takeovers in progress."""
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self._claims.aclose)
            closing.push_async_callback(self._claims.settle, _CLOSING_GRACE)


def age_of(job: Job) -> float:
    """Return the seconds since a job was sent, by this machine's clock."""
    return (datetime.now(UTC) - (job.submitted_at or job.created_at)).total_seconds()


def is_unsent(job: Job) -> bool:
    """Return whether a job has yet to be accepted, and may yet be sent."""
    return applies(job.state, JobEvent.SUBMIT)
