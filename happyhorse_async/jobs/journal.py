"""
What a client writes down, and when: the intent before the paid request, the task's id after it, every change, the end.

A store that fails before the request stops the request. One that fails after it cannot take the task back: what is to
be written stays in memory, is logged so that the task can be found, and is written down as soon as the store allows.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from attrs import define, evolve

from ..background import Background
from ..errors import ConfigurationError, HappyHorseError, StoreError
from ..job import Endpoint, Job, JobState
from ..stores import TaskStore
from ..task import Task, TaskRef, TaskStatus
from ..tracked_job import TrackedJob

_log = logging.getLogger("happyhorse_async")

_RETRY_STORE = 5.0
_CLOSING_GRACE = 5.0

NOBODY = ""
"""The owner of a job that waits for whoever opens the store next. `None` could not be asked for as a condition."""

Written: TypeAlias = tuple[Job, "asyncio.Task[bool]"]
"""
A job as it is from now on, and the writing of it, which ends at the first attempt: whether the entry was as it should
be. It goes on whoever is cancelled; await it shielded.
"""


@define(eq=False)
class _Entry:
    job: Job
    only_from: JobState | None
    only_owner: str | None
    writing: asyncio.Task[bool] | None = None


class Journal:
    """The jobs of one place in a store."""

    def __init__(self, store: TaskStore, endpoint: Endpoint) -> None:
        self.store = store
        self.endpoint = endpoint
        self._is_open = False
        self._owed: dict[str, _Entry] = {}
        self._writes = Background()
        self._retries = Background()
        self._closing = asyncio.Event()

    async def open(self) -> None:
        """
        Get the store ready.

        :raises StoreError: it cannot be used. Nothing has been sent by then.
        """
        await self.store.open()
        self._is_open = True

    async def aclose(self) -> None:
        """Finish what is being written, and try what is owed once more."""
        self._closing.set()
        async with AsyncExitStack() as closing:
            if self._is_open:
                closing.push_async_callback(self.store.aclose)
            for part in (self._retries, self._writes):
                closing.push_async_callback(part.aclose)
                closing.push_async_callback(part.settle, _CLOSING_GRACE)

    async def sending(self, job: Job) -> Job | None:
        """
        Write down that *job* is about to be sent, and return it so.

        :return: `None` where it is no longer this process's to send.
        :raises StoreError: it cannot be written down, so it must not be sent.
        """
        # Its key lives from the first time that it may have arrived.
        first = job.submitted_at if job.state is JobState.SUBMITTING else None
        sent = evolve(job, state=JobState.SUBMITTING, submitted_at=first or datetime.now(UTC), owner=self.store.owner)
        owed = self._owed.pop(job.job_id, None)
        try:
            changed = await self.store.change(sent, only_from=None if owed else {job.state}, only_owner=job.owner)
        except HappyHorseError:
            raise
        except Exception as error:
            raise StoreError(f"the job cannot be written down: {type(error).__name__}: {error}") from error
        return sent if changed else None

    def waiting(self, job: Job) -> Written:
        """Write down that *job* was certainly not taken and will be sent again."""
        return self._settle(evolve(job, state=JobState.QUEUED), only_owner=job.owner)

    def promised(self, job: Job) -> Written:
        """Write down that *job* is to be sent even if its process dies, unless it has been sent."""
        return self._settle(evolve(job, durable=True), only_from=job.state, only_owner=job.owner)

    def accepted(self, job: Job, task: Task, *, only_from: JobState | None = None, saved_here: bool = True) -> Written:
        """
        Write down the id of the task, and forget the bytes that were sent.

        :param saved_here: whether this process sees to its video, where that is to be saved; or else whoever has seen
            to the job, and after him whoever opens the store next.
        """
        saver = self.store.owner if saved_here else job.owner or NOBODY
        owner = None if job.save_to is None else saver
        taken = evolve(job, task_id=task.id, task=_lasting(task), owner=owner, body=None, failure=None)
        taken = _settled(taken)
        return self._settle(taken, only_from=only_from)

    async def lighten(self, tracked: TrackedJob) -> None:
        """Let go of a request that the store has forgotten: it may hold images, and its task may take long."""
        try:
            kept = await self.store.get(tracked.job_id)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the store, the task is there
            _log.info("job %s keeps its request in memory: %s", tracked.job_id, error)
            return
        if kept is not None and kept.request is None and tracked.job is not None:
            light = evolve(tracked.job, request=None)
            # A store in memory has the very same, which is then held once.
            tracked.job = kept if kept == light and kept.task is light.task else light

    def refused(self, job: Job, error: HappyHorseError | None, *, only_from: JobState | None = None) -> Written:
        """
        Write down that there is no task and never will be, unless another process sees to the job now. The key is free
        again.

        :param error: why; `None` where nobody refused it, and it was taken back.
        :param only_from: where more may be known by now, what it must still be.
        """
        failure = None if error is None else str(error)
        closed = evolve(job, state=JobState.CLOSED, key=None, owner=None, body=None, failure=failure)
        return self._settle(closed, only_from=only_from, only_owner=job.owner)

    async def is_promised(self, job: Job) -> bool:
        """Tell whether *job* is to be sent whoever gives it up: another process may have promised it by its key."""
        if job.durable or job.key is None:
            return job.durable
        try:
            current = await self.store.get(job.job_id)
        except StoreError:
            return False
        return current is not None and current.durable

    def taken_back(self, job: Job) -> asyncio.Task[bool]:
        """Write down that nobody here wants *job* any more, which was certainly not taken."""
        if job.key is None or job.durable:
            return self.refused(job, None)[1]
        return self._writes.spawn(self._take_back(evolve(job, state=JobState.QUEUED)))

    async def _take_back(self, job: Job) -> bool:
        promised = await self.is_promised(job)
        _, writing = self.released(evolve(job, durable=True)) if promised else self.refused(job, None)
        return await writing

    def check_written(self, job_id: str) -> None:
        """
        Make sure that the store has all that there is to say of a job.

        :raises StoreError: it has not yet.
        """
        if job_id in self._owed:
            raise StoreError("the job store does not take the last change of the job; it is tried again", job_id=job_id)

    def released(self, job: Job) -> Written:
        """Leave a job to whoever opens the store next."""
        return self._settle(evolve(job, owner=NOBODY), only_owner=job.owner)

    def unknown(self, job: Job, error: HappyHorseError) -> Written:
        """Write down that nobody knows whether there is a task, unless more is known already."""
        lost = evolve(job, state=JobState.OUTCOME_UNKNOWN, owner=None, failure=str(error))
        return self._settle(lost, only_from=JobState.SUBMITTING, only_owner=job.owner)

    def observed(self, tracked: TrackedJob) -> None:
        """Write down a change of a task, without holding up whoever saw it."""
        job, task = tracked.job, tracked.task
        if job is None or task is None or task == job.task or _goes_back(job, task):
            return
        tracked.job, _ = self._settle(_settled(evolve(job, task=_lasting(task))), only_from=job.state)

    def called(self, job: Job, task: Task, *, saved_here: bool) -> Written | None:
        """
        Write down the task of a job whose submit nobody has been able to read the answer to, as its callback says.

        :param saved_here: see `accepted`.
        :return: `None` where more is known here, and the store does not take it.
        """
        if job.job_id in self._owed:
            return None
        return self.accepted(job, task, only_from=job.state, saved_here=saved_here)

    async def written(self, job_id: str) -> None:
        """
        Wait until all that is known of a job is in the store.

        :raises StoreError: the store does not take it now. It is tried again, whoever waits.
        """
        while (entry := self._owed.get(job_id)) is not None:
            if entry.writing is None or entry.writing.done():
                raise StoreError("the journal does not have the task yet", ref=entry.job.ref, job_id=job_id)
            await asyncio.wait([entry.writing])

    async def find(self, ref: TaskRef) -> Job | None:
        """Return the job of a task, if it was submitted here."""
        job = await self.store.by_ref(ref)
        return job if job is not None and job.endpoint == self.endpoint else None

    async def wished(self, tracked: TrackedJob, path: str) -> None:
        """
        Write down that the video of *watch* is to be saved at *path*, however far its job has come meanwhile.

        :raises StoreError: it cannot be written down.
        """
        known = tracked.job
        assert known is not None
        wished = await self._wish(known, path)
        if tracked.job is not None and tracked.job is not known:
            wished = evolve(tracked.job, save_to=wished.save_to, saved_to=wished.saved_to)
            wished = wished if wished.ref is None else _settled(wished)
        tracked.job = wished

    async def _wish(self, job: Job, path: str) -> Job:
        while True:
            wanted = self._with_wish(job, path)
            if wanted is job or await self.store.change(wanted, only_from={job.state}, only_owner=job.owner):
                return wanted
            current = await self.store.get(job.job_id)
            if current is None:
                return wanted
            job = current

    def _with_wish(self, job: Job, path: str) -> Job:
        if job.save_to == path and job.saved_to is not None:
            return job
        wanted = evolve(job, save_to=path, saved_to=None)
        if job.ref is None:
            return wanted
        wanted = _settled(wanted)
        return wanted if wanted.state is JobState.CLOSED else evolve(wanted, owner=self.store.owner)

    async def saved(self, tracked: TrackedJob, path: Path, file: Path) -> None:
        """Write down that the video, which was to be saved at *path*, stands in *file*."""
        if tracked.job is not None:
            await self._saving_ended(tracked, path, evolve(tracked.job, saved_to=str(file), failure=None))

    async def given_up(self, tracked: TrackedJob, path: Path, error: HappyHorseError) -> None:
        """Write down that the video, which was to be saved at *path*, can be fetched no longer."""
        if tracked.job is not None:
            await self._saving_ended(tracked, path, evolve(tracked.job, failure=str(error)))

    async def _saving_ended(self, tracked: TrackedJob, path: Path, job: Job) -> None:
        # Another place may have been asked for meanwhile, and whoever goes there writes it down.
        if job.save_to in (None, str(path)):
            ended = evolve(job, state=JobState.CLOSED, owner=None, save_to=str(path))
            tracked.job, written = self._settle(ended)
            await asyncio.shield(written)

    def left_unsaved(self, tracked: TrackedJob, path: Path) -> None:
        """Leave the saving of a video to whoever opens the store next."""
        if tracked.job is not None and tracked.job.state is JobState.ACCEPTED:
            left = evolve(tracked.job, save_to=str(path), owner=NOBODY)
            tracked.job, _ = self._settle(left, only_from=JobState.ACCEPTED, only_owner=self.store.owner)

    def _settle(self, job: Job, *, only_from: JobState | None = None, only_owner: str | None = None) -> Written:
        """Write down *job*, now or as soon as the store allows."""
        before = self._owed.get(job.job_id)
        if before is not None and before.job.task_id is not None:
            if job.task_id is None:
                # Whoever knows nothing of the task does not undo what is known of it.
                return before.job, self._writes.spawn(_unwritten())
            if job.task_id == before.job.task_id:
                # The store does not know the task yet, so that no condition on its entry could hold.
                only_from = only_owner = None
        elif before is not None and before.writing is not None and before.writing.done():
            # It could not be written, and what it was to be written over stands there still.
            only_from, only_owner = only_from and before.only_from, only_owner and before.only_owner
        entry = self._owed[job.job_id] = _Entry(job, only_from, only_owner)
        entry.writing = self._writes.spawn(self._write(entry))
        return job, entry.writing

    async def _write(self, entry: _Entry) -> bool:
        job = entry.job
        try:
            only_from = None if entry.only_from is None else {entry.only_from}
            changed = await self.store.change(job, only_from=only_from, only_owner=entry.only_owner)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the store, the task is there
            at_stake = job.task_id is not None or job.state is not JobState.QUEUED
            level = logging.CRITICAL if at_stake else logging.WARNING
            _log.log(level, "job %s, task %s, is not in the journal: %s", job.job_id, job.ref, error)
            if not isinstance(error, StoreError) and self._owed.get(job.job_id) is entry:
                self._owed[job.job_id] = evolve(entry, job=_without_details(job))
            if not self._retries:
                self._retries.spawn(self._retry())
            return True
        if self._owed.get(job.job_id) is entry:
            del self._owed[job.job_id]
        return changed is not None

    async def _retry(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_STORE):
                    await self._closing.wait()
            for job_id, entry in list(self._owed.items()):
                if self._owed.get(job_id) is entry:
                    await self._write(entry)
            if self._closing.is_set():
                return

    async def take_up(self, tracked: TrackedJob) -> None:
        """
        Tell *watch* what the journal knows of its task, where it knows nothing itself.

        :raises ConfigurationError: the task was submitted elsewhere, where its id means something else.
        """
        if tracked.job is None and tracked.ref is not None:
            job = await self.store.by_ref(tracked.ref)
            if job is None:
                return
            self._check_endpoint(job)
            tracked.job, tracked.job_id = job, job.job_id
        task = tracked.job.task if tracked.job else None
        # A success whose URLs have died needs another look, and so does a task that had expired: it may be back.
        if task is None or tracked.task is not None or task.status is TaskStatus.EXPIRED:
            return
        if task.videos or task.status is not TaskStatus.SUCCEEDED:
            tracked.record(task)

    def _check_endpoint(self, job: Job) -> None:
        there, here = job.endpoint, self.endpoint
        if there != here:
            raise ConfigurationError(
                f"the task was submitted through {there.adapter} at {there.base_url}, and the provider "
                f"{here.provider!r} is now {here.adapter} at {here.base_url}",
                ref=job.ref,
                job_id=job.job_id,
            )


async def _unwritten() -> bool:
    return False


def _lasting(task: Task) -> Task:
    # No store keeps the provider's object, and what is the same here and there is held once.
    return evolve(task, raw={}) if task.raw else task


def _settled(job: Job) -> Job:
    """Return *job*, whose task is known, in the state that follows from it."""
    state = job.state_by_task
    return evolve(job, state=state, owner=None if state is JobState.CLOSED else job.owner)


def _goes_back(job: Job, task: Task) -> bool:
    """Tell whether *task* would undo the end that the journal knows. What had expired may come back."""
    known = job.task
    ended = known is not None and known.status.is_terminal and known.status is not TaskStatus.EXPIRED
    return ended and not task.status.is_terminal


def _without_details(job: Job) -> Job:
    """Leave out what a provider may have filled with what no store can write."""
    if job.task is None:
        return job
    task = Task(ref=job.task.ref, status=job.task.status, observed_at=job.task.observed_at)
    return evolve(job, task=task)
