"""
Finds the possible tasks of jobs of unknown outcome, and resolves them.

The user resolves them. With `auto_adopt`, a client also searches the provider's list as soon as a response is lost, and
adopts the only possible task.
"""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from attrs import evolve, frozen

from ..adapter import PageRequest
from ..background import Background
from ..errors import HappyHorseError, InvalidRequestError
from ..job import Job
from ..logs import get_logger, log_fields
from ..retry import Backoff
from ..task import Task, TaskRef
from ..tracked_job import TrackedJob
from ..tracker import Tracker
from .account import AccountRuntime, Accounts
from .auto_download import AutoDownloads
from .job_errors import was_abandoned
from .journal import NO_OWNER, Journal
from .state import JobEvent, applies
from .submit_errors import closed_meanwhile

_log = get_logger(__name__)

# The provider's clock and ours may differ, and a request may have been delayed in transit.
_BEFORE, _AFTER = timedelta(minutes=2), timedelta(minutes=3)
_SEARCHED_PAGES = 5
# It may take some time until a task appears in a list.
_PAUSE = 60.0
_BACKOFF = Backoff(initial=_PAUSE, maximum=900.0)


@frozen
class _Finding:
    """The result of a search."""

    tasks: tuple[Task, ...]
    """The possible tasks of a job."""
    disputed: bool
    """Whether one of them may belong to another job of unknown outcome."""


class Reconciler:
    """
    Resolves the jobs of unknown outcome of one client.

    :param works: whether this process polls tasks. Otherwise it leaves them to others.
    """

    def __init__(
        self,
        accounts: Accounts,
        tracker: Tracker,
        journal: Journal,
        auto_downloads: AutoDownloads,
        *,
        works: bool = True,
    ) -> None:
        self._accounts = accounts
        self._works = works
        self._tracker = tracker
        self._journal = journal
        self._auto_downloads = auto_downloads
        self._searches = Background()
        self._closing = False

    def searches(self, account: AccountRuntime) -> bool:
        """Return whether to search for the task after a lost response: only a live list shows all tasks."""
        return account.auto_adopt and account.adapter.capabilities.list_is_live

    async def adopt(self, job_id: str, task: TaskRef | str) -> TrackedJob:
        """
        Resolve a job of unknown outcome.

        :param task: its task, by ref or by the provider's id.
        :raises InvalidRequestError: there is no such job, it is settled, or the task belongs to another job.
        :raises TaskNotFoundError: the provider does not know the task.
        """
        job = await self._unsettled(job_id)
        account = self._accounts.of(job)
        is_ref = isinstance(task, TaskRef) or task.startswith(f"{account.endpoint.provider}:")
        ref = account.account.own(task) if is_ref else account.account.ref(str(task))
        other = await self._journal.store.by_ref(ref)
        if other is not None:
            raise InvalidRequestError(f"the task belongs to job {other.job_id}", ref=ref, job_id=job_id)
        return await self._adopt(TrackedJob(job), ref)

    async def _adopt(self, tracked: TrackedJob, ref: TaskRef) -> TrackedJob:
        account = self._accounts.of(tracked.job)
        async with account.exchange.query_slot:
            task = await account.exchange.fetch(ref)
        owner = self._journal.store.owner if self._works else NO_OWNER
        task = tracked.without_raw(task)
        account.poller.prepare(tracked)
        write = self._journal.record(tracked, JobEvent.ADOPT, task=task, owner=owner)
        if write is None or not await asyncio.shield(write):
            raise InvalidRequestError("the job was settled in the meantime", job_id=tracked.job_id)
        # A call that began before the client was closed must not start new work after that.
        if self._closing:
            raise closed_meanwhile(task, ref, tracked.job_id)
        tracked.attempt = None
        if self._works:
            account.poller.accepted(tracked, task)
            self._auto_downloads.begin(tracked)
        else:
            self._tracker.accepted(tracked)
        return tracked

    async def write_off(self, job_id: str, *, billed: bool = True) -> None:
        """
        Resolve a job of unknown outcome as lost: there is no task, or it is not needed. Its key is free again.

        :param billed: whether it may have been billed. If not, its budget gets the money back.

        :raises InvalidRequestError: there is no such job, it is settled, or the process that sent it may still be
            waiting for the answer.
        """
        tracked = TrackedJob(await self._unsettled(job_id))
        left = self._still_sending(tracked.job)
        if left > 0:
            raise InvalidRequestError(
                "the process that sent the job is considered dead, but may still be waiting for the response; "
                f"write it off in {math.ceil(left)} s",
                job_id=job_id,
            )
        price = tracked.job.price
        if price is not None and not billed:
            price = evolve(price, billed=Decimal(0))
        write = self._journal.record(tracked, JobEvent.WRITE_OFF, price=price)
        if write is None or not await asyncio.shield(write):
            raise InvalidRequestError("the job was settled in the meantime", job_id=job_id)

    def _still_sending(self, job: Job) -> float:
        """Return for how many seconds the POST of a job whose process seems to be dead may still be in flight."""
        if not was_abandoned(job) or job.submitted_at is None:
            return 0.0
        age = (datetime.now(UTC) - job.submitted_at).total_seconds()
        # A time in the future means that the clock was set, and says nothing about the POST.
        return self._accounts.of(job).exchange.timeouts.submit - age if age >= 0 else 0.0

    async def candidates(self, job_id: str) -> list[Task]:
        """
        Search the provider's list for possible tasks of a job of unknown outcome. None of them is certain.

        A candidate was created about when the job was sent, has the same model, and belongs to no other job.

        :raises InvalidRequestError: there is no such job, or it is settled.
        :raises UnsupportedFeatureError: the provider has no list.
        """
        job = await self._unsettled(job_id)
        return await self._unowned(await self._listed(job))

    async def _listed(self, job: Job) -> list[Task]:
        # A new task moves the others on to the next page, where they appear again.
        exchange = self._accounts.of(job).exchange
        found: dict[TaskRef, Task] = {}
        page: PageRequest | None = PageRequest()
        for _ in range(_SEARCHED_PAGES):
            if page is None:
                break
            async with exchange.query_slot:
                answer = await exchange.list_page(page)
            found.update((task.ref, task) for task in answer.tasks if _may_be(task, job))
            page = answer.next
        return list(found.values())

    async def _unowned(self, tasks: list[Task]) -> list[Task]:
        return [task for task in tasks if await self._journal.store.by_ref(task.ref) is None]

    async def search(self, tracked: TrackedJob) -> str:
        """
        Search for the task of a job, now and after a minute, and adopt it if it is the only possible one.

        :return: a sentence about the result; empty if the task was adopted. If that is not final, the search
            goes on.
        """
        said, is_final = "", False
        for pause in (0.0, _PAUSE):
            await asyncio.sleep(pause)
            try:
                finding = await self._find(tracked.job)
                if await self._adopt_only(tracked, finding):
                    return ""
            except InvalidRequestError as error:
                return error.message
            except HappyHorseError as error:
                said, is_final = f"The provider's list cannot be searched: {error.message}", False
                continue
            said, is_final = _in_words(finding), not finding.disputed
            if is_final and finding.tasks:
                break
        if not is_final:
            self.search_later(tracked.job)
        return said

    def search_later(self, job: Job) -> None:
        """Search for the task of *job* in the background, for as long as its provider would remember it."""
        if self.searches(self._accounts.of(job)) and not self._closing and self._may_live(job):
            self._searches.spawn(self._go_on_searching(job))

    def _may_live(self, job: Job) -> bool:
        age = datetime.now(UTC) - (job.submitted_at or job.created_at)
        return age.total_seconds() < self._accounts.of(job).adapter.task_ttl

    async def _go_on_searching(self, job: Job) -> None:
        attempt, answers = 0, 0
        while self._may_live(job):
            try:
                finding = await self._find(job)
                if await self._adopt_only(TrackedJob(job), finding):
                    return
                answers += 1
                if not finding.disputed and (finding.tasks or answers > 1):
                    _log.warning("job %s: %s", job.job_id, _in_words(finding), extra=log_fields(job))
                    return
            except InvalidRequestError:
                # It was settled in the meantime.
                return
            except HappyHorseError as error:
                message = "job %s: the provider's list cannot be searched: %s"
                _log.warning(message, job.job_id, error, extra=log_fields(job, reason=error))
            await asyncio.sleep(_BACKOFF.delay(attempt))
            attempt += 1

    async def _find(self, job: Job) -> _Finding:
        await self._unsettled(job.job_id)
        listed = await self._listed(job)
        # Order matters: first the list, then the open jobs, then the owners. So the job of a listed task is either
        # still open or already recorded as its owner.
        others = [
            other
            for other in await self._journal.store.unfinished(job.endpoint.provider)
            if other.job_id != job.job_id and other.endpoint == job.endpoint and _may_have_task(other)
        ]
        found = await self._unowned(listed)
        disputed = any(_may_be(task, other) for task in found for other in others)
        return _Finding(tuple(found), disputed)

    async def _adopt_only(self, tracked: TrackedJob, finding: _Finding) -> bool:
        if len(finding.tasks) != 1 or finding.disputed:
            return False
        [task] = finding.tasks
        await self._adopt(tracked, task.ref)
        message = "job %s has adopted %s, the only task that it can have"
        _log.warning(message, tracked.job_id, task.ref, extra=log_fields(tracked.job))
        return True

    async def aclose(self) -> None:
        """Stop searching."""
        self._closing = True
        await self._searches.aclose()

    async def _unsettled(self, job_id: str) -> Job:
        # The store may not have a callback's observation yet.
        await self._journal.written(job_id)
        job = await self._journal.store.get(job_id)
        if job is None or not self._accounts.has(job):
            names = ", ".join(self._accounts.endpoints)
            raise InvalidRequestError(f"{names} has no job {job_id!r}", job_id=job_id)
        if not applies(job.state, JobEvent.ADOPT):
            raise InvalidRequestError(f"there is nothing to settle: the job is {job.state}", job_id=job_id, ref=job.ref)
        return job


def _may_be(task: Task, job: Job) -> bool:
    created, sent = task.created_at, job.submitted_at or job.created_at
    return task.model in (None, job.model) and created is not None and sent - _BEFORE <= created <= sent + _AFTER


def _may_have_task(job: Job) -> bool:
    """Return whether *job* may have a task that the store does not know."""
    return applies(job.state, JobEvent.LOSE_ANSWER) or applies(job.state, JobEvent.ADOPT)


def _in_words(finding: _Finding) -> str:
    if not finding.tasks:
        return "The provider's list has no task that it can have."
    refs = ", ".join(str(task.ref) for task in finding.tasks)
    other = ", or these belong to another job of unknown outcome" if finding.disputed else ""
    return f"It may have {refs}{other}."
