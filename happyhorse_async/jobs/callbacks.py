"""
Processes callbacks: verifies the observation of a task, and finds its job.

A callback whose signature proves the sender is an observation like any other. Any other callback only triggers a poll:
it changes nothing by itself. Both go through the poller, so that the first end of a task stays its end.

When `CallbackProcessor.process` returns without an error, the observation is in the store, and the provider may get a
200.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from .. import telemetry
from ..background import Background
from ..errors import CallbackRejectedError, InvalidResponseError, TaskNotFoundError, TransportError
from ..job import Job
from ..logs import get_logger, log_fields
from ..messages import HttpRequest
from ..task import FailureReason, Task, TaskRef
from ..tracked_job import TrackedJob
from ..tracker import Tracker
from .acceptance import unended
from .account import AccountRuntime
from .auto_download import AutoDownloads
from .journal import NO_OWNER, Journal
from .state import JobEvent, applies
from .submit import Submitter

_log = get_logger(__name__)


class CallbackProcessor:
    """Processes the callbacks of one client."""

    def __init__(self, tracker: Tracker, submitter: Submitter, journal: Journal, auto_downloads: AutoDownloads) -> None:
        self._tracker = tracker
        self._submitter = submitter
        self._journal = journal
        self._auto_downloads = auto_downloads
        self._confirmations: dict[TaskRef, asyncio.Task[Task]] = {}
        self._queries = Background()
        self._closing = False

    async def process(
        self, account: AccountRuntime, message: HttpRequest, secrets: Sequence[str], *, job_id: str | None
    ) -> Task | None:
        """
        Process a callback, and return the current state of its task; `None` if it is proven and the task is not ours.

        :param message: its header names are lower-case, and its body is as it arrived.
        :param secrets: the provider's secrets. Without any, nothing is verified, unless the provider publishes its
            keys.
        :param job_id: the job id in the called URL, which is not signed.
        :raises CallbackRejectedError: it is forged, stale or not a callback, or says without proof that a task is ours.
        :raises StoreError: the store cannot record it.
        :raises HappyHorseError: it has to be confirmed by a poll, and the poll failed.
        """
        is_proven = await _verify(account, message, secrets)
        said = _read(account, message)
        ref = said if isinstance(said, TaskRef) else said.ref
        observing = self._process(account, ref, said, job_id=job_id, is_proven=is_proven)
        return await telemetry.callback(self._tracker.span_of(ref, job_id), observing)

    async def _process(
        self, account: AccountRuntime, ref: TaskRef, said: Task | TaskRef, *, job_id: str | None, is_proven: bool
    ) -> Task | None:
        observed = said if is_proven and isinstance(said, Task) else None
        tracked = await self._find(account, ref)
        if tracked is None and job_id is not None:
            adopted = await self._adopt(account, job_id, ref, observed, is_proven=is_proven)
            if adopted is not None:
                return adopted
            # Its submit may have been answered in the meantime.
            tracked = await self._find(account, ref)
        if tracked is not None:
            return await self._observe(account, tracked, ref, observed)
        if not is_proven:
            # The task id is not repeated: the sender is not authenticated.
            raise CallbackRejectedError("the sender is not proven to be the provider, and the task is not ours")
        # Its submit may be about to be answered. Then the task is polled at once.
        self._tracker.note_early_callback(ref)
        _log.info("a callback is about %s, which is not known to be our task", ref, extra=log_fields(ref))
        return None

    async def _find(self, account: AccountRuntime, ref: TaskRef) -> TrackedJob | None:
        """Return the tracked job of a task of ours, whichever process submitted it, with what the store knows of it."""
        tracked = self._tracker.usable(ref)
        if tracked is not None:
            await self._journal.load(tracked, account.endpoint)
            return tracked
        job = await self._journal.store.by_ref(ref)
        if job is not None and job.endpoint == account.endpoint:
            return self._tracker.for_job(job)
        # It may have been accepted while the store was asked.
        return self._tracker.usable(ref)

    async def _observe(self, account: AccountRuntime, tracked: TrackedJob, ref: TaskRef, observed: Task | None) -> Task:
        if not tracked.ended:
            observed = observed or await self._confirmed(account, ref)
            account.poller.observe(observed)
        await self._journal.written(tracked.job_id)
        task = tracked.whole_task or observed
        assert task is not None
        return task

    async def _adopt(
        self, account: AccountRuntime, job_id: str, ref: TaskRef, observed: Task | None, *, is_proven: bool
    ) -> Task | None:
        """Assign the task to a job whose submit has no response yet; return `None` if there is no such job."""
        # Again if the job's state changed in between; otherwise the callback would be lost.
        while (job := await self._unanswered(account, job_id, is_proven=is_proven)) is not None:
            try:
                task = observed or await self._confirmed(account, ref)
            except TaskNotFoundError as error:
                raise CallbackRejectedError("the provider does not know the task", job_id=job_id) from error
            if task.error is not None and task.error.reason is FailureReason.NO_OUTPUT:
                task = unended(task)
            write = self._submitter.acceptance.adopt(job_id, task)
            if write is not None:
                if await asyncio.shield(write):
                    await self._journal.written(job_id)
                    return task
            elif not self._journal.is_pending(job_id) and await self._record(job, task):
                return task
        return None

    async def _record(self, job: Job, task: Task) -> bool:
        """Record the task of a job that is not being sent from here, and return whether the store took it."""
        store = self._journal.store
        is_saved_here = job.save_to is not None and self._auto_downloads.is_responsible(job)
        if is_saved_here and job.owner not in (None, NO_OWNER, store.owner):
            # Its owner continues with it, while it is alive.
            is_saved_here = not await store.is_alive(job.owner)
        tracked = TrackedJob(job)
        owner = store.owner if is_saved_here else job.owner or NO_OWNER
        write = self._journal.record(tracked, JobEvent.CALL_BACK, task=task, owner=owner)
        if write is None or not await asyncio.shield(write):
            return False
        await self._journal.written(job.job_id)
        if is_saved_here and not self._closing:
            self._auto_downloads.begin(self._tracker.for_job(tracked.job))
        return True

    async def _unanswered(self, account: AccountRuntime, job_id: str, *, is_proven: bool) -> Job | None:
        await self._journal.written(job_id)
        job = await self._journal.store.get(job_id)
        if job is None or job.endpoint != account.endpoint or not applies(job.state, JobEvent.CALL_BACK):
            return None
        # Only the submit that is in flight may be told by a callback without proof: a job of unknown outcome can stay
        # so for days, until others than the provider may know its id. A proven callback also counts for a job that
        # was refused and waits to be sent again.
        may_be_in_flight = applies(job.state, JobEvent.LOSE_ANSWER)
        return job if may_be_in_flight or (is_proven and job.submitted_at is not None) else None

    async def _confirmed(self, account: AccountRuntime, ref: TaskRef) -> Task:
        """Query a task. Callbacks that arrive meanwhile share the query."""
        query = self._confirmations.get(ref)
        if query is None:
            query = self._confirmations[ref] = self._queries.spawn(_fetch(account, ref))
            query.add_done_callback(lambda _: self._confirmations.pop(ref, None))
        # A cancelled caller does not interrupt the query of the others.
        await asyncio.wait([query])
        if query.cancelled():
            raise TransportError("the client was closed before the callback was confirmed", sent=False, ref=ref)
        return query.result()

    async def aclose(self) -> None:
        """Stop all queries."""
        self._closing = True
        await self._queries.aclose()


async def _verify(account: AccountRuntime, message: HttpRequest, secrets: Sequence[str]) -> bool:
    """Return whether *message* is verified to be the provider's; raises the errors of `process`."""
    if not account.adapter.capabilities.signed_callbacks:
        return False
    if account.callback_keys.are_published:
        await account.callback_keys.verify(message)
        return True
    if not secrets:
        return False
    account.adapter.verify_callback(message, secrets, datetime.now(UTC))
    return True


def _read(account: AccountRuntime, message: HttpRequest) -> Task | TaskRef:
    try:
        return account.exchange.read_callback(message)
    except InvalidResponseError as error:
        provider = account.endpoint.provider
        raise CallbackRejectedError(error.message, http_status=400, provider=provider) from None


async def _fetch(account: AccountRuntime, ref: TaskRef) -> Task:
    async with account.exchange.query_slot:
        return await account.exchange.fetch(ref)
