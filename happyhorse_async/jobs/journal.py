"""
The journal of one client: every event of a job is written to the store.

A store that fails before the paid request stops the request. A store that fails after it cannot undo the task: the
change stays in memory, is logged with the ref of the task, and is written as soon as the store allows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from contextlib import AsyncExitStack, suppress
from typing import Any, TypeAlias

from attrs import define, evolve

from ..background import Background
from ..budget import SpendingLimit
from ..errors import ConfigurationError, HappyHorseError, StoreError
from ..job import Endpoint, Job
from ..logs import get_logger, log_fields
from ..stores import TaskStore
from ..task import Task
from ..tracked_job import TrackedJob
from .state import RESERVES, Conditions, JobEvent, apply, conditions, task_event

_log = get_logger(__name__)

_RETRY_STORE = 5.0
_CLOSING_GRACE = 5.0

NO_OWNER = ""
"""The owner of a job that waits for the next process that opens the store. `None` would mean "no condition"."""

Write: TypeAlias = "asyncio.Task[bool]"
"""
A write in progress. It ends at the first attempt and returns whether the entry was as the conditions require; a failing
store counts as true, because the write is retried. It goes on if its caller is cancelled; await it shielded.
"""


@define(eq=False)
class _Change:
    """A change that the store does not have yet."""

    tracked: TrackedJob
    job: Job
    conditions: Conditions | None
    write: Write | None = None


class Journal:
    """Writes the events of jobs to a store, and reads its entries."""

    def __init__(self, store: TaskStore, within: Collection[SpendingLimit] = ()) -> None:
        self.store = store
        self.within = within
        """The budget: a job that would exceed it is not recorded, and so not sent."""
        self._is_open = False
        self._pending: dict[str, _Change] = {}
        self._writes = Background()
        self._retries = Background()
        self._closing = asyncio.Event()

    async def open(self) -> None:
        """
        Open the store.

        :raises StoreError: it cannot be used. Nothing has been sent by then.
        """
        await self.store.open()
        self._is_open = True

    async def aclose(self) -> None:
        """Complete the writes in progress, and retry failed ones once."""
        self._closing.set()
        async with AsyncExitStack() as closing:
            if self._is_open:
                closing.push_async_callback(self.store.aclose)
            for part in (self._retries, self._writes):
                closing.push_async_callback(part.aclose)
                closing.push_async_callback(part.settle, _CLOSING_GRACE)

    def record(self, tracked: TrackedJob, event: JobEvent, *, task: Task | None = None, **changes: Any) -> Write | None:
        """
        Apply *event* to a job, and write it now or as soon as the store allows.

        :param task: see `apply`.
        :param changes: further fields of the job to set.
        :return: `None` if the event does not apply to the state of the job. Then nothing has changed.
        """
        before = tracked.job
        after = apply(before, event, task=task, **changes)
        if after is None:
            return None
        tracked.record(after)
        return self._write_behind(tracked, after, conditions(before, event, after))

    async def record_now(self, tracked: TrackedJob, event: JobEvent, **changes: Any) -> bool:
        """
        Apply *event* to a job, and write it before anything else happens.

        :return: whether the entry was as the conditions require. Otherwise nothing has changed.
        :raises BudgetExceededError: the event would reserve more than the budget leaves. Nothing has changed.
        :raises StoreError: it could not be written. Nothing has changed.
        """
        before = tracked.job
        after = apply(before, event, **changes)
        if after is None:
            return False
        tracked.record(after)
        pending = self._pending.pop(after.job_id, None)
        own = conditions(before, event, after)
        required = own if pending is None else _merged(pending, own)
        try:
            kept = await self._change(after, required, within=self.within if event in RESERVES else ())
        except BaseException as error:
            if pending is not None:
                self._pending.setdefault(after.job_id, pending)
            if tracked.job is after:
                tracked.record(before)
            if isinstance(error, HappyHorseError) or not isinstance(error, Exception):
                raise
            raise StoreError(f"the job cannot be recorded: {type(error).__name__}: {error}") from error
        if kept is not None:
            _adopt_kept(tracked, after, kept)
        elif tracked.job is after:
            tracked.record(before)
        return kept is not None

    def withdraw(self, tracked: TrackedJob) -> Write:
        """
        Withdraw a job that was certainly not accepted.

        If another process has enqueued it by its key, it is left to the next process that opens the store instead.
        """
        return self._writes.spawn(self._withdraw(tracked))

    async def _withdraw(self, tracked: TrackedJob) -> bool:
        if not tracked.job.durable and await self.is_promised(tracked):
            self.record(tracked, JobEvent.NOT_ACCEPTED)
            write = self.record(tracked, JobEvent.RELEASE, owner=NO_OWNER)
        else:
            write = self.record(tracked, JobEvent.WITHDRAW)
        return write is not None and await write

    async def is_promised(self, tracked: TrackedJob) -> bool:
        """Return whether a job must be sent even if its caller gives up. Another process may have enqueued it."""
        job = tracked.job
        if job.durable or job.key is None:
            return job.durable
        with suppress(StoreError):
            kept = await self.store.get(job.job_id)
            if kept is not None and kept.durable:
                tracked.job = evolve(tracked.job, durable=True)
        return tracked.job.durable

    def observed(self, tracked: TrackedJob) -> None:
        """Record the last observation of a task, without delaying the observer."""
        task = tracked.task
        if task is None or task == tracked.job.task:
            return
        event = task_event(task.status)
        if tracked.is_recorded:
            self.record(tracked, event, task=task)
        elif (after := apply(tracked.job, event, task=task)) is not None:
            tracked.record(after)

    async def request_save(self, tracked: TrackedJob, path: str, *, saver: str) -> None:
        """
        Record that the video of a job is to be saved at *path*, however far the job has come in the meantime.

        :param saver: the owner from now on, if the task is known: the process that saves its video.
        :raises StoreError: it cannot be recorded.
        """
        job: Job | None = tracked.job
        while job is not None and not (job.save_to == path and job.saved_to is not None):
            owner = job.owner if job.ref is None else saver
            error = None if job.state.is_final else job.error
            wanted = apply(job, JobEvent.SAVE, save_to=path, saved_to=None, owner=owner, error=error)
            assert wanted is not None
            if await self._change(wanted, conditions(job, JobEvent.SAVE, wanted)) is not None:
                now = tracked.job
                owner = wanted.owner if now.ref is not None else now.owner
                tracked.record(evolve(now, save_to=path, saved_to=None, owner=owner, error=error))
                return
            job = await self.store.get(job.job_id)
        if job is not None:
            tracked.record(evolve(tracked.job, save_to=path, saved_to=job.saved_to))

    def is_pending(self, job_id: str) -> bool:
        """Return whether there is a change of a job that the store does not have yet."""
        return job_id in self._pending

    def check_written(self, job_id: str) -> None:
        """
        Check that the store has every change of a job.

        :raises StoreError: it does not.
        """
        if job_id in self._pending:
            raise StoreError("the job store could not write the last change of the job; it is retried", job_id=job_id)

    async def written(self, job_id: str) -> None:
        """
        Wait until the store has every change of a job.

        :raises StoreError: the store cannot record it now. The write is retried.
        """
        while (change := self._pending.get(job_id)) is not None:
            if change.write is None or change.write.done():
                raise StoreError("the journal does not have the task yet", ref=change.job.ref, job_id=job_id)
            await asyncio.wait([change.write])

    async def load(self, tracked: TrackedJob, endpoint: Endpoint) -> None:
        """
        Read the entry of a task that is not known here.

        :raises ConfigurationError: the task was submitted elsewhere, where its id means something else.
        """
        if tracked.is_recorded or tracked.ref is None:
            return
        job = await self.store.by_ref(tracked.ref)
        if job is None or tracked.is_recorded:
            return
        if job.endpoint != endpoint:
            raise elsewhere(job, endpoint)
        was_observed = tracked.task
        tracked.load(job)
        if was_observed is not None:
            tracked.observe(was_observed)
            self.observed(tracked)

    def _write_behind(self, tracked: TrackedJob, job: Job, required: Conditions) -> Write:
        pending = self._pending.get(job.job_id)
        change = _Change(tracked, job, required)
        if pending is not None:
            if pending.job.task_id is not None and job.task_id is None:
                # A change by a caller without the task must not erase the known task.
                return self._writes.spawn(_not_written())
            if pending.job.task_id is not None and job.task_id == pending.job.task_id:
                # The store does not know the task yet, so that no condition on its entry could hold.
                change.conditions = None
            elif pending.write is not None and pending.write.done():
                change.conditions = _merged(pending, required)
        self._pending[job.job_id] = change
        change.write = self._writes.spawn(self._write(change))
        return change.write

    async def _write(self, change: _Change) -> bool:
        job = change.job
        try:
            kept = await self._change(job, change.conditions)
        except Exception as error:  # noqa: BLE001 - the task exists, whatever is wrong with the store
            level = logging.WARNING if job.submitted_at is None and job.task_id is None else logging.CRITICAL
            fields = log_fields(job, reason=error)
            _log.log(level, "job %s, task %s, is not in the journal: %s", job.job_id, job.ref, error, extra=fields)
            if not isinstance(error, StoreError) and self._pending.get(job.job_id) is change:
                self._pending[job.job_id] = evolve(change, job=_without_details(job))
            if not self._retries:
                self._retries.spawn(self._retry())
            return True
        if self._pending.get(job.job_id) is change:
            del self._pending[job.job_id]
        if kept is not None:
            _adopt_kept(change.tracked, job, kept)
        return kept is not None

    async def add(self, job: Job) -> Job:
        """
        Write a new job, or return the one that has its key; see `TaskStore.add`.

        :raises BudgetExceededError: the budget has no room for it. Nothing was written.
        :raises StoreError: it could not be written.
        """
        return await (self.store.add(job, within=self.within) if self.within else self.store.add(job))

    async def promise(self, job: Job) -> Job | None:
        """
        Mark a job of another process as one that must be sent in any case; see `TaskStore.change`.

        :return: `None` if it does not have to be promised, or its entry has changed.
        :raises BudgetExceededError: the budget has no room for it. Nothing was written.
        :raises StoreError: it could not be written.
        """
        promised = apply(job, JobEvent.PROMISE, durable=True)
        if promised is None:
            return None
        return await self._change(promised, conditions(job, JobEvent.PROMISE, promised), within=self.within)

    async def check_budget(self, job: Job) -> None:
        """
        Check that the budget covers *job*. Nothing is reserved.

        :raises BudgetExceededError: it has not.
        """
        if self.within:
            await self.store.check_budget(job, self.within)

    async def _change(
        self, job: Job, required: Conditions | None, *, within: Collection[SpendingLimit] = ()
    ) -> Job | None:
        # A third-party store may not support budgets.
        options: dict[str, Any] = {"within": within} if within else {}
        if required is None:
            return await self.store.change(job, **options)
        return await self.store.change(job, only_from=required.only_from, only_owner=required.only_owner, **options)

    async def _retry(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_STORE):
                    await self._closing.wait()
            for job_id, change in list(self._pending.items()):
                if self._pending.get(job_id) is change:
                    await self._write(change)
            if self._closing.is_set():
                return


def _merged(pending: _Change, required: Conditions) -> Conditions | None:
    """Combine the conditions of a change with those of an older one that may not have been written."""
    if pending.conditions is None:
        return None
    older = pending.conditions
    return Conditions(older.only_from | required.only_from, older.only_owner and required.only_owner)


def _adopt_kept(tracked: TrackedJob, written: Job, kept: Job) -> None:
    """Drop fields that the store has erased, and note that another process has enqueued the job."""
    now = tracked.job
    if kept is now:
        return
    if now is written:
        light = evolve(
            written, request=kept.request, body=kept.body, callback_url=kept.callback_url, durable=kept.durable
        )
        # The entry of a store in memory is the very same object, which is then held once.
        tracked.job = kept if kept == light and kept.task is light.task else light
    elif (now.request is not None and kept.request is None) or kept.durable is not now.durable:
        request = now.request if kept.request is not None else None
        tracked.job = evolve(now, request=request, durable=now.durable or kept.durable)


def elsewhere(job: Job, here: Endpoint | None) -> ConfigurationError:
    """
    Return the error for a job that was submitted elsewhere.

    :param here: the account of the same name, if this client has one.
    """
    there = job.endpoint
    now = f"which is now {here.adapter} at {here.base_url}" if here is not None else "which this client does not have"
    return ConfigurationError(
        f"the task was submitted through {there.adapter} at {there.base_url}, by provider {there.provider!r}, {now}",
        ref=job.ref,
        job_id=job.job_id,
    )


async def _not_written() -> bool:
    return False


def _without_details(job: Job) -> Job:
    """Drop the fields in which a provider may have sent values that no store can write."""
    if job.task is None:
        return job
    task = Task(ref=job.task.ref, status=job.task.status, observed_at=job.task.observed_at)
    return evolve(job, task=task)
