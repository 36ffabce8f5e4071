"""
The main job, as the command runs it: submit, follow, save.

Whatever happens after the submit, the ref is shown. An interruption takes back what has not been sent; what has been is
given its moment to be answered while the client closes, and the journal then knows what came of it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from uuid import uuid4

from ..client import Client, TaskHandle
from ..errors import ConfigurationError, HappyHorseError, SubmitOutcomeUnknownError, WaitTimeoutError
from ..job import Job, JobState
from ..request import VideoRequest
from ..task import Task, TaskRef
from .output import Output, Unfinished, unsettled
from .render import task_line, task_object
from .session import Session

_FORGOTTEN = "without a [store] in the configuration nothing remembers the job after this run"


class JobRunner:
    """
    One video on its way to a file.

    :param session: what the run works with; without it, no other run can take up the task.
    :param target: the file or folder for the video.
    :param key: the caller's own name for the job.
    """

    def __init__(
        self, output: Output, session: Session | None = None, *, target: Path | None = None, key: str | None = None
    ) -> None:
        self._output = output
        self._session = session
        self._target = target
        # By a name of our own the job is found again, however the submit ends.
        self._key = key or f"cli-{uuid4().hex}"
        if target is not None:
            _check_target(target)
        if key is not None and session is not None and not session.remembers:
            output.warn(f"--key {key}: {_FORGOTTEN}")

    def about(self, ref: TaskRef) -> None:
        """Note that the task exists, so that the run cannot end without saying how to take it up."""
        if self._session is not None:
            target = ("-o", str(self._target)) if self._target else ()
            self._output.unfinished = Unfinished(self._session.command("wait", str(ref), *target), ref=ref)

    @asynccontextmanager
    async def opened(self, client: Client) -> AsyncGenerator[Client]:
        """Open *client*, and after an interruption find out what became of the job."""
        try:
            async with client:
                yield client
        except asyncio.CancelledError:
            job = await self._journal_entry()
            if job is not None and self._output.unfinished is None:
                self._interrupted(job)
            raise

    async def submit(self, client: Client, request: VideoRequest) -> TaskHandle:
        """Submit *request* and print the ref."""
        for warning in client.plan(request).warnings:
            self._output.warn(warning)
        try:
            handle = await client.submit(request, key=self._key)
        except asyncio.CancelledError:
            job = await self._journal_entry()
            if job is not None and job.state is JobState.SUBMITTING:
                self._output.note(
                    "waiting for the answer to the paid request, half a minute at most; interrupt again to leave"
                )
            raise
        except SubmitOutcomeUnknownError as error:
            self._nobody_knows(error.job_id)
            raise
        if handle.ref is not None:
            self._accepted(handle.ref, handle.job_id)
        return handle

    async def _journal_entry(self) -> Job | None:
        try:
            return None if self._session is None else await self._session.by_key(self._key)
        except HappyHorseError as error:
            self._output.warn(str(error))
            return None

    def _interrupted(self, job: Job) -> None:
        if job.ref is not None:
            self._accepted(job.ref, job.job_id)
        elif job.state in (JobState.SUBMITTING, JobState.OUTCOME_UNKNOWN):
            self._nobody_knows(job.job_id)

    def _accepted(self, ref: TaskRef, job_id: str) -> None:
        self.about(ref)
        self._output.sent = True
        self._output.event("submitted", ref=str(ref), job_id=job_id)
        self._output.note(f"submitted {ref}")

    def _nobody_knows(self, job_id: str | None) -> None:
        self._output.sent = True
        if job_id is None or self._session is None:
            return
        if self._session.remembers:
            self._output.unfinished = unsettled(self._session.command("resolve", job_id), job_id)
        else:
            self._output.warn(f"there may be a task for the job {job_id}, and its ref is not known; {_FORGOTTEN}")

    async def follow(self, handle: TaskHandle, timeout: float | None) -> Task:
        """
        Show how the task goes on until it has succeeded.

        :raises WaitTimeoutError: *timeout* seconds are over.
        :raises TaskError: there will be no video.
        """
        clock = asyncio.timeout(timeout)
        with self._output.watching() as show:
            try:
                async with clock, aclosing(handle.updates()) as updates:
                    async for task in updates:
                        show(task)
            except TimeoutError:
                if not clock.expired():
                    raise
                raise WaitTimeoutError(
                    f"the task has not ended within {timeout:g} s", task=handle.task, ref=handle.ref
                ) from None
        return await handle

    async def save(self, client: Client, task: Task) -> None:
        """Bring the video to disk, if a target was given, and print the result of the run."""
        path = None
        if self._target is not None:
            with self._output.downloading(str(task.ref)) as progress:
                path = await client.download(task, self._target, progress=progress)
        self._output.unfinished = None
        self._output.event("finished", **task_object(task), path=path and str(path))
        self._output.line(str(path or task_line(task)))


def _check_target(target: Path) -> None:
    check_folder(target if target.is_dir() else target.parent, target)


def check_folder(folder: Path, target: Path | None = None) -> None:
    """
    Make sure, before anything is paid for, that files can be put into *folder*.

    :param target: what was given as --output, where it is not the folder itself.
    :raises ConfigurationError: it is not there, or cannot be written to.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"--output {target or folder}: the folder {folder} does not exist")
    if not os.access(folder, os.W_OK):
        raise ConfigurationError(f"--output {target or folder}: the folder {folder} cannot be written to")
