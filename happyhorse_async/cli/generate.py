"""
The main job from the command line: submit, follow, save.

Whatever happens after the submit, the ref is printed. An interruption withdraws what has not been sent; the response to
a request in flight is waited for while the client closes, and recorded in the journal.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from uuid import uuid4

from ..client import Client, TaskHandle
from ..errors import HappyHorseError, SubmitOutcomeUnknownError, WaitTimeoutError
from ..job import Job, JobState
from ..price import PriceEstimate
from ..request import VideoRequest
from ..task import Task, TaskRef
from .output import Output, Unfinished, unresolved, writing_to_standard_output
from .plan import price_line
from .render import closing_line, task_line, task_object
from .session import Session
from .target import Target

_FORGOTTEN = "with --no-store, nothing remembers the job after this run"


class JobRunner:
    """
    One video on its way to a file.

    :param session: the run's configuration and journal; without it, no other run can continue with the task.
    :param target: where the video goes; without it, none is downloaded.
    :param key: the caller's own name for the job.
    """

    def __init__(
        self, output: Output, session: Session | None = None, *, target: Target | None = None, key: str | None = None
    ) -> None:
        self._output = output
        self._session = session
        self._target = target
        # A key of our own finds the job again in the journal, however the submit ends.
        self._key = key or f"cli-{uuid4().hex}"
        self._submitted_at: float | None = None
        if target is not None:
            target.check(as_json=output.as_json)
        if key is not None and session is not None and not session.remembers:
            output.warn(f"--key {key}: {_FORGOTTEN}")

    def about(self, ref: TaskRef) -> None:
        """Note that the task exists, so that a run that fails prints how to continue."""
        if self._session is not None:
            target = ("-o", self._target.text) if self._target else ()
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
                self._interrupted(client, job)
            raise

    async def submit(self, client: Client, request: VideoRequest) -> TaskHandle:
        """Submit *request* and print the ref."""
        plan = client.plan(request)
        for warning in plan.warnings:
            self._output.warn(warning)
        if plan.price is not None:
            self._output.note(price_line(plan.price))
        self._submitted_at = time.monotonic()
        try:
            with self._output.uploading() as progress:
                handle = await client.submit(request, key=self._key, upload_progress=progress)
        except asyncio.CancelledError:
            job = await self._journal_entry()
            if job is not None and job.state is JobState.SUBMITTING:
                self._output.note(
                    "waiting for the response to the paid request, half a minute at most; interrupt again to leave"
                )
            raise
        except SubmitOutcomeUnknownError as error:
            self._outcome_unknown(client, error.job_id)
            raise
        self._output.answered()
        self.about(handle.ref)
        price = await self._price(client, handle.ref)
        if handle.ref.provider != plan.provider and price is not None:
            # Another account has taken it than the one that was planned.
            self._output.note(price_line(price))
        self._accepted(handle.ref, handle.job_id, price)
        return handle

    async def _journal_entry(self) -> Job | None:
        try:
            return None if self._session is None else await self._session.by_key(self._key)
        except HappyHorseError as error:
            self._output.warn(str(error))
            return None

    def _interrupted(self, client: Client, job: Job) -> None:
        if job.ref is not None:
            self._accepted(job.ref, job.job_id, job.price)
        elif job.state in (JobState.SUBMITTING, JobState.OUTCOME_UNKNOWN):
            self._outcome_unknown(client, job.job_id)

    def _accepted(self, ref: TaskRef, job_id: str, price: PriceEstimate | None = None) -> None:
        self.about(ref)
        self._output.sent = True
        self._output.event("submitted", ref=str(ref), job_id=job_id, price=None if price is None else price.to_dict())
        self._output.note(f"submitted {ref}")

    def _outcome_unknown(self, client: Client, job_id: str | None) -> None:
        self._output.sent = True
        if job_id is None or self._session is None:
            return
        if self._session.remembers:
            self._output.unfinished = unresolved(self._session.command("resolve", job_id), job_id)
        elif client.adapter.capabilities.can_list:
            command = self._session.command("list", "--provider", client.provider, "--limit", "5")
            meaning = f"it may have been billed, and {_FORGOTTEN}; the newest tasks may show it"
            self._output.unfinished = Unfinished(command, meaning=meaning, job_id=job_id)
        else:
            self._output.warn(f"it may have been billed, and {_FORGOTTEN}; look for the task in the provider's console")

    async def follow(self, handle: TaskHandle, timeout: float | None) -> Task:
        """
        Show the progress of the task until it has succeeded.

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
        """Download the video, if a target was given, and print the result of the run."""
        path, size = None, None
        if self._target is not None:
            path = await self._download(client, task, self._target)
            size = path.stat().st_size if path else None
        self._output.unfinished = None
        price = await self._price(client, task.ref)
        self._output.event(
            "finished",
            **task_object(task),
            price=None if price is None else price.to_dict(),
            path=None if path is None else str(path),
        )
        if self._target is None:
            self._output.line(task_line(task))
        elif path is not None:
            self._output.line(str(path))
        self._output.note(closing_line(task, seconds=self._seconds(task), size=size, price=price))

    async def _price(self, client: Client, ref: TaskRef) -> PriceEstimate | None:
        try:
            return (await client.job(ref)).price
        except HappyHorseError:
            # The journal does not have it: it was submitted elsewhere.
            return None

    def _seconds(self, task: Task) -> float | None:
        if self._submitted_at is not None:
            return time.monotonic() - self._submitted_at
        if task.created_at is not None and task.finished_at is not None:
            return (task.finished_at - task.created_at).total_seconds()
        return None

    async def _download(self, client: Client, task: Task, target: Target) -> Path | None:
        with self._output.downloading(str(task.ref)) as progress:
            if not target.is_standard_output:
                file = target.file(task.ref)
                if not (target.keep and file.is_file()):
                    return await client.download(task, file, progress=progress)
                self._output.note(f"{file} exists and was kept")
                return file
            # A video is checked before anybody is given a byte of it.
            with tempfile.TemporaryDirectory() as folder:
                file = await client.download(task, Path(folder) / "video.mp4", progress=progress)
                await asyncio.to_thread(_copy_to_standard_output, file)
        return None


def _copy_to_standard_output(file: Path) -> None:
    with file.open("rb") as video, writing_to_standard_output():
        shutil.copyfileobj(video, sys.stdout.buffer)
        sys.stdout.flush()
