"""
What a provider says of a task by calling us, and the job that it is about.

A call that is proven to be the provider's own is an observation like any other. One that is not is only a reason to
look: it changes nothing by itself. Both enter by the poller's door, so that the first end of a task stays its end.

When `CallbackProcessor.take_in` returns without an error, what was said of a job of ours is in the store, and the
provider may be told that its call has been received. What was said of an unknown task is only remembered, see
`EarlyCallbacks`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from ..background import Background
from ..errors import CallbackRejectedError, InvalidResponseError, TaskNotFoundError, TransportError
from ..exchange import Exchange
from ..job import Job, JobState
from ..messages import HttpRequest
from ..polling import Poller
from ..task import Task, TaskRef
from ..tracked_job import TrackedJob
from .auto_download import AutoDownloads
from .early_callbacks import EarlyCallbacks
from .journal import Journal, Written
from .submit import Submitter

_log = logging.getLogger("happyhorse_async")

# A job whose outcome is unknown may stay so for days, and by then others than the provider may know its id.
# One that waits to be sent again was refused, and a proven call says that it was taken all the same.
_UNANSWERED = {False: (JobState.SUBMITTING,), True: (JobState.SUBMITTING, JobState.OUTCOME_UNKNOWN)}


class CallbackProcessor:
    """Takes in the callbacks of one client."""

    def __init__(
        self,
        exchange: Exchange,
        poller: Poller,
        submitter: Submitter,
        journal: Journal,
        auto_downloads: AutoDownloads,
        early_callbacks: EarlyCallbacks,
    ) -> None:
        self._exchange = exchange
        self._poller = poller
        self._submitter = submitter
        self._journal = journal
        self._auto_downloads = auto_downloads
        self._early_callbacks = early_callbacks
        self._looks: dict[TaskRef, asyncio.Task[Task]] = {}
        self._looking = Background()
        self._closing = False

    async def take_in(self, message: HttpRequest, secrets: Sequence[str], *, job_id: str | None) -> Task | None:
        """
        Take in a callback, and return how its task stands then; `None` if it is proven and the task is not ours.

        :param message: its header names are lower-case, and its body is as it arrived.
        :param secrets: those of the provider. Without any, nothing is proven.
        :param job_id: what the URL that was called says of the job. It is not signed.
        :raises CallbackRejectedError: it is forged, stale or no callback, or says without proof that a task is ours.
        :raises StoreError: the store does not take it.
        :raises HappyHorseError: it is to be confirmed by a look, and the look failed.
        """
        proven = bool(secrets) and self._exchange.adapter.capabilities.signed_callbacks
        if proven:
            self._exchange.adapter.verify_callback(message, secrets, datetime.now(UTC))
        said = self._read(message)
        ref = said if isinstance(said, TaskRef) else said.ref
        observed = said if proven and isinstance(said, Task) else None
        tracked = await self._tracked(ref)
        if tracked is None and job_id is not None:
            adopted = await self._adopt(job_id, ref, observed)
            if adopted is not None:
                return adopted
            # Its submit may have been answered meanwhile.
            tracked = await self._tracked(ref)
        if tracked is not None:
            return await self._observe(tracked, ref, observed)
        if not proven:
            # Which task it is, a stranger has written, and so it is not repeated.
            raise CallbackRejectedError("nothing proves that this is the provider, and the task is not ours")
        if observed is not None:
            self._early_callbacks.keep(observed)
        _log.info("a callback is about %s, which is no task of ours as far as is known", ref)
        return None

    def _read(self, message: HttpRequest) -> Task | TaskRef:
        try:
            return self._exchange.read_callback(message)
        except InvalidResponseError as error:
            raise CallbackRejectedError(
                error.message, http_status=400, provider=self._exchange.account.provider
            ) from None

    async def _tracked(self, ref: TaskRef) -> TrackedJob | None:
        """Return the watch on a task of ours, whichever process submitted it, with what the store knows of it."""
        tracked = self._poller.tracked_by_ref(ref)
        if tracked is None:
            job = await self._journal.find(ref)
            if job is None:
                # It may have been accepted while the store was asked.
                return self._poller.tracked_by_ref(ref)
            tracked = self._poller.known(ref, job.job_id)
            tracked.job_id, tracked.job = job.job_id, tracked.job or job
        else:
            tracked = self._poller.known(ref, tracked.job_id)
        await self._journal.take_up(tracked)
        return tracked

    async def _observe(self, tracked: TrackedJob, ref: TaskRef, observed: Task | None) -> Task:
        if not tracked.ended:
            observed = observed or await self._confirmed(ref)
            self._poller.observe(observed)
            if self._submitter.tracked_job(tracked.job_id) is not None:
                # Its submit is being answered this moment, and whoever waits for that has a watch of his own.
                self._early_callbacks.keep(observed)
        await self._journal.written(tracked.job_id)
        task = tracked.whole_task or observed
        assert task is not None
        return task

    async def _adopt(self, job_id: str, ref: TaskRef, observed: Task | None) -> Task | None:
        """Take the task for that of a job whose submit is not answered; `None` where there is no such job."""
        # Anew where its job is written down in another state meanwhile: what was said must not be lost between the two.
        while (job := await self._unanswered(job_id, proven=observed is not None)) is not None:
            try:
                task = observed or await self._confirmed(ref)
            except TaskNotFoundError as error:
                raise CallbackRejectedError("the provider does not know the task", job_id=job_id) from error
            written = self._submitter.adopt(job_id, task)
            saved_here = self._auto_downloads.sees_to(job)
            called = None if written else self._journal.called(job, task, saved_here=saved_here)
            if await _is_in_store(written or called):
                await self._journal.written(job_id)
                if called is not None and saved_here:
                    self._save(called[0], ref)
                return task
        return None

    async def _unanswered(self, job_id: str, *, proven: bool) -> Job | None:
        await self._journal.written(job_id)
        job = await self._journal.store.get(job_id)
        if job is None or job.endpoint != self._journal.endpoint:
            return None
        was_refused = proven and job.state is JobState.QUEUED and job.submitted_at is not None
        return job if was_refused or job.state in _UNANSWERED[proven] else None

    def _save(self, job: Job, ref: TaskRef) -> None:
        """See to the video of a job that nobody here has sent, where it is to be saved."""
        if job.save_to is not None and not self._closing:
            tracked = self._poller.known(ref, job.job_id)
            tracked.job_id, tracked.job = job.job_id, job
            self._auto_downloads.begin(tracked)

    async def _confirmed(self, ref: TaskRef) -> Task:
        """Look at a task. All that ask at the same time share one look."""
        look = self._looks.get(ref)
        if look is None:
            look = self._looks[ref] = self._looking.spawn(self._look(ref))
            look.add_done_callback(lambda _: self._looks.pop(ref, None))
        # Whoever is cancelled here does not cut off the look of the others.
        await asyncio.wait([look])
        if look.cancelled():
            raise TransportError("the client was closed before the callback was confirmed", sent=False, ref=ref)
        return look.result()

    async def _look(self, ref: TaskRef) -> Task:
        async with self._exchange.query_slot():
            return await self._exchange.fetch(ref)

    async def aclose(self) -> None:
        """Stop looking."""
        self._closing = True
        await self._looking.aclose()


async def _is_in_store(written: Written | None) -> bool:
    return written is not None and await asyncio.shield(written[1])
