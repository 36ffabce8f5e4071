"""
What happens to the jobs of processes that have died.

Enqueued jobs are sent, in order. A job that was in flight is sent again if an idempotency key protects it; otherwise
its outcome is unknown. Videos that were to be saved are saved. Each of these enters the ordinary life of a job by an
event: from then on there is no difference.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from attrs import evolve

from ..adapter import Submission
from ..background import Background
from ..errors import AuthenticationError, ConfigurationError, HappyHorseError, InvalidResponseError, StoreError
from ..job import Endpoint, Job
from ..logs import get_logger, log_fields
from ..messages import HttpRequest
from ..request_codec import from_data
from ..tracked_job import TrackedJob
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
# More at once would delay everything else in the event loop for too long.
_BATCH = 200


class Recovery:
    """
    Takes over the jobs of dead processes.

    :param is_enabled: whether it sends, saves and searches for what dead processes have left.
    """

    def __init__(
        self,
        accounts: Accounts,
        journal: Journal,
        submitter: Submitter,
        reconciler: Reconciler,
        auto_downloads: AutoDownloads,
        *,
        is_enabled: bool,
    ) -> None:
        self._accounts = accounts
        self._journal = journal
        self._submitter = submitter
        self._reconciler = reconciler
        self._auto_downloads = auto_downloads
        self._is_enabled = is_enabled
        self._claims = Background()

    async def open(self) -> None:
        """
        Open the store, and take over what dead processes have left.

        If recovery is off, only the outcomes that are unknown are found out and recorded.

        :raises StoreError: the store cannot be used.
        """
        await self._journal.open()
        for endpoint in self._accounts.endpoints.values():
            await self._recover_account(endpoint)

    async def _recover_account(self, endpoint: Endpoint) -> None:
        unfinished = [
            job for job in await self._journal.store.unfinished(endpoint.provider) if job.endpoint == endpoint
        ]
        if not unfinished or not self._is_usable(endpoint):
            return
        jobs = [job for job in unfinished if is_unsent(job) or (job.ref is not None and job.save_to is not None)]
        alive = {owner: await self._is_alive(owner) for owner in {job.owner: None for job in jobs}}
        orphans = [job for job in jobs if not alive[job.owner]]
        if not self._is_enabled:
            orphans = [job for job in orphans if self._is_lost(job)]
        # Many at once, so that a store can write them with one flush. They are sent in the order that they have here.
        for first in range(0, len(orphans), _BATCH):
            batch = [self._recover(job) for job in orphans[first : first + _BATCH]]
            for outcome in await asyncio.gather(*batch, return_exceptions=True):
                if outcome is not None:
                    raise outcome
        for job in unfinished:
            if applies(job.state, JobEvent.ADOPT):
                self._search(job)

    def _is_usable(self, endpoint: Endpoint) -> bool:
        """Return whether there is a key for an account. Its jobs are left to processes that have one."""
        try:
            self._accounts.named(endpoint.provider)
        except ConfigurationError as error:
            message = "the unfinished jobs of %s are left to other processes: %s"
            _log.warning(message, endpoint.provider, error.message)
            return False
        return True

    async def _recover(self, job: Job) -> None:
        tracked = TrackedJob(job)
        if job.ref is not None:
            await self._auto_downloads.recover(job)
        elif job.durable or applies(job.state, JobEvent.LOSE_ANSWER):
            try:
                await self.take_over(tracked)
            except StoreError:
                raise
            except HappyHorseError as error:
                _log.warning("job %s of an earlier process: %s", job.job_id, error, extra=log_fields(job, reason=error))
        elif (write := self._journal.record(tracked, JobEvent.WITHDRAW)) is not None:
            # Its caller was told nothing and is gone. It was not sent, and will not be.
            await asyncio.shield(write)

    async def is_orphan(self, job: Job) -> bool:
        """Return whether a job has yet to be sent, and no living process will do so."""
        return is_unsent(job) and not await self._is_alive(job.owner)

    async def _is_alive(self, owner: str | None) -> bool:
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
        # What this process has made its own, it sends, even if the caller is cancelled.
        return await asyncio.shield(self._claims.spawn(self._claim(tracked, message, durable=durable)))

    def _takes(self, job: Job) -> bool:
        """Return whether this process can send jobs of an account: it has the account, and its key is not refused."""
        if not self._accounts.has(job) or not self._is_usable(job.endpoint):
            return False
        return not isinstance(self._accounts.of(job).breaker.error, AuthenticationError)

    async def _claim(self, tracked: TrackedJob, message: HttpRequest, *, durable: bool) -> bool:
        # The caller of a job that may have been accepted is gone: it is seen through like an enqueued job.
        was_sent = applies(tracked.job.state, JobEvent.LOSE_ANSWER)
        durable = durable or was_sent or tracked.job.durable
        owner = self._journal.store.owner
        if not await self._journal.record_now(tracked, JobEvent.TAKE_OVER, owner=owner, durable=durable):
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
        """Encode the request of *job* again. The bytes are those of the first time, whatever has changed since."""
        account = self._accounts.of(job)
        request = from_data(job.request or {})
        spec = account.adapter.check(request, provider=account.endpoint.provider, callback_url=job.callback_url)
        submission = Submission(request=request, spec=spec, job_id=job.job_id, callback_url=job.callback_url)
        return evolve(account.adapter.encode_submit(submission, account.account), body=job.body, media=job.media)

    async def aclose(self) -> None:
        """Finish what is being taken over."""
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self._claims.aclose)
            closing.push_async_callback(self._claims.settle, _CLOSING_GRACE)


def is_unsent(job: Job) -> bool:
    """Return whether a job has yet to be accepted, and may yet be sent."""
    return applies(job.state, JobEvent.SUBMIT)
