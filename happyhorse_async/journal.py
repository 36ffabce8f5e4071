"""
What a client writes down, and when: the intent before the paid request, the task's id after it, every change, the end.

A store that fails before the request stops the request. One that fails after it cannot take the task back: the id stays
in memory, is logged so that it can be found, and is written down as soon as the store allows.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

from attrs import evolve

from .background import Background
from .errors import ConfigurationError, HappyHorseError, StoreError
from .job import Job, JobState, Place
from .stores import TaskStore
from .task import Task, TaskRef
from .watch import Watch

_log = logging.getLogger("happyhorse_async")

_RETRY_STORE = 5.0


class Journal:
    """The jobs of one place in a store."""

    def __init__(self, store: TaskStore, place: Place) -> None:
        self.store = store
        self.place = place
        self._writes = Background()

    async def open(self) -> None:
        """
        Get the store ready.

        :raises StoreError: it cannot be used. Nothing has been sent by then.
        """
        await self.store.open()

    async def aclose(self) -> None:
        """Finish what is being written."""
        await self._writes.settle(_RETRY_STORE)
        await self._writes.aclose()
        await self.store.aclose()

    async def sending(self, job: Job) -> Job | None:
        """
        Write down that *job* is about to be sent, and return it so.

        :return: `None` where it is no longer this process's to send.
        :raises StoreError: it cannot be written down, so it must not be sent.
        """
        sent = evolve(job, state=JobState.SUBMITTING, submitted_at=datetime.now(UTC), owner=self.store.owner)
        owned = await self.store.change(sent, only_from=job.state, only_owner=job.owner)
        return sent if owned else None

    async def waiting(self, job: Job) -> Job:
        """Write down that *job* was certainly not taken and will be sent again."""
        return await self.settle(evolve(job, state=JobState.QUEUED))

    async def accepted(self, job: Job, task: Task) -> Job:
        """Write down the id of the task, and forget the bytes that were sent."""
        state = JobState.CLOSED if task.status.is_terminal else JobState.ACCEPTED
        return await self.settle(
            evolve(job, state=state, task_id=task.id, task=task, owner=None, body=None, failure=None)
        )

    async def refused(self, job: Job, error: HappyHorseError | None) -> Job:
        """Write down that there is no task and never will be. The key is free again."""
        failure = None if error is None else str(error)
        return await self.settle(evolve(job, state=JobState.CLOSED, key=None, owner=None, body=None, failure=failure))

    async def release(self, job: Job) -> Job:
        """Leave a job that waits to be sent to whoever opens the store next."""
        return await self.settle(evolve(job, owner=None))

    async def unknown(self, job: Job, error: HappyHorseError) -> Job:
        """Write down that nobody knows whether there is a task, unless its id has been written down already."""
        lost = evolve(job, state=JobState.OUTCOME_UNKNOWN, owner=None, failure=str(error))
        return await self.settle(lost, only_from=JobState.SUBMITTING)

    def observed(self, watch: Watch) -> None:
        """Write down a change of a task, without holding up whoever saw it."""
        job, task = watch.job, watch.task
        if job is None or task is None or job.state is JobState.CLOSED:
            return
        state = JobState.CLOSED if task.status.is_terminal else JobState.ACCEPTED
        watch.job = job = evolve(job, state=state, task=task)
        self._writes.spawn(self._write(job))

    async def settle(self, job: Job, *, only_from: JobState | None = None) -> Job:
        """Write down *job*, now or as soon as the store allows."""
        try:
            await self.store.change(job, only_from=only_from)
        except StoreError as error:
            _log.critical("job %s, task %s, is not in the journal: %s", job.job_id, job.ref, error)
            self._writes.spawn(self._write(job, delay=_RETRY_STORE))
        return job

    async def _write(self, job: Job, *, delay: float = 0.0) -> None:
        await asyncio.sleep(delay)
        while True:
            try:
                await self.store.change(job)
            except StoreError as error:
                _log.critical("job %s, task %s, is not in the journal: %s", job.job_id, job.ref, error)
                await asyncio.sleep(_RETRY_STORE)
            else:
                return

    async def take_up(self, ref: TaskRef) -> Job | None:
        """
        Find the job of *ref*.

        :raises ConfigurationError: the task was submitted elsewhere, where its id means something else.
        """
        job = await self.store.by_ref(ref)
        if job is not None and job.place != self.place:
            there, here = job.place, self.place
            raise ConfigurationError(
                f"the task was submitted through {there.adapter} at {there.base_url}, and the provider "
                f"{here.provider!r} is now {here.adapter} at {here.base_url}",
                ref=ref,
                job_id=job.job_id,
            )
        return job
