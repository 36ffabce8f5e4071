"""Several videos on their way to files, side by side: each one's outcome as it comes, and the worst one's exit code."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from attrs import define

from ..background import Background
from ..client import Client, TaskHandle
from ..errors import HappyHorseError, SubmitOutcomeUnknownError, TaskError, WaitTimeoutError
from ..task import Task, TaskRef
from .exit_codes import ExitCode, exit_code, worst
from .output import Output
from .render import plain
from .session import Session

_UNSAFE_IN_A_FILE_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@define(kw_only=True, eq=False)
class BatchItem:
    """One of several videos on their way."""

    index: int
    """Its place among the others, counted from 0."""
    name: str
    """What a reader knows it by."""
    client: Client
    begin: Callable[[], Awaitable[TaskHandle]]
    """Submits it, or takes it up."""
    target: Path
    """The file, or a folder, where it is named after the task."""
    timeout: float | None = None
    ref: TaskRef | None = None
    job_id: str | None = None
    task: Task | None = None
    """The last observation."""
    path: Path | None = None
    """The file that is there."""
    error: Exception | None = None
    """Why there is none."""

    @property
    def ended(self) -> bool:
        """Whether its outcome is known."""
        return self.path is not None or self.error is not None

    @property
    def code(self) -> ExitCode:
        """The exit code of a run that had this errand alone."""
        if self.error is None:
            return ExitCode.OK
        if isinstance(self.error, HappyHorseError):
            return exit_code(self.error, sent=self.ref is not None)
        return ExitCode.UNEXPECTED

    async def run(self) -> None:
        """Do it, unless it is done already."""
        if self.ended:
            return
        try:
            handle = await self._handle()
            self.ref, self.job_id = handle.ref, handle.job_id
            self.task = await handle.wait(self.timeout)
            self.path = await self.client.download(self.task, video_file(self.target, self.task.ref))
        except HappyHorseError as error:
            self.error = error
            self.ref, self.job_id = self.ref or error.ref, self.job_id or error.job_id
            if isinstance(error, TaskError | WaitTimeoutError):
                self.task = error.task or self.task
        except Exception as error:  # noqa: BLE001 - one that fails must not take the others along
            self.error = error

    async def _handle(self) -> TaskHandle:
        try:
            async with asyncio.timeout(self.timeout):
                return await self.begin()
        except WaitTimeoutError:
            raise
        except TimeoutError:
            raise WaitTimeoutError(f"nobody has submitted it within {self.timeout:g} s", job_id=self.job_id) from None

    def result(self) -> dict[str, Any]:
        """Return how it ended, for JSON."""
        return {
            "index": self.index,
            "ref": self.ref and str(self.ref),
            "job_id": self.job_id,
            "status": self.task and self.task.status,
            "path": self.path and str(self.path),
            "error": self.error and {"class": type(self.error).__name__, "message": plain(str(self.error))},
        }


def video_file(target: Path, ref: TaskRef) -> Path:
    """Return *target*, or where it is a folder, the file in it that is named after the task."""
    return target / f"{_UNSAFE_IN_A_FILE_NAME.sub('_', ref.id)[:100]}.mp4" if target.is_dir() else target


async def run_items(output: Output, items: Sequence[BatchItem], *, limit: int) -> ExitCode:
    """
    Do all *errands*, *limit* of them at once, and print each one's outcome as it comes.

    Cancelling it detaches from what is on its way, and takes back what has not been sent.
    """
    ended: asyncio.Queue[BatchItem] = asyncio.Queue()
    waiting = iter(items)

    async def work() -> None:
        for item in waiting:
            await item.run()
            ended.put_nowait(item)

    workers = Background()
    with output.counting(len(items)) as count:
        for _ in range(min(limit, len(items))):
            workers.spawn(work())
        try:
            for _ in items:
                item = await ended.get()
                count(item.error is None)
                show_outcome(output, item)
        finally:
            await workers.aclose()
    return worst(item.code for item in items)


def show_outcome(output: Output, item: BatchItem) -> None:
    """Print how *errand* has ended."""
    output.object(item.result())
    if item.error is None:
        output.line(str(item.path))
    else:
        output.note(f"error: {item.name}: {item.error or type(item.error).__name__}")


def suggest_settling(output: Output, session: Session, items: Iterable[BatchItem]) -> None:
    """Say how to settle those of *errands* of which nobody knows whether they were paid."""
    unsettled = [item.job_id for item in items if isinstance(item.error, SubmitOutcomeUnknownError)]
    commands = [session.command("resolve", job_id) for job_id in unsettled if job_id]
    if commands and session.remembers:
        output.suggest("nobody knows whether these were paid; this helps to settle them", *commands)
