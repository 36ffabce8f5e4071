"""Several videos at once, for `batch` and `resume`: prints each result as it comes, and returns the worst exit code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from attrs import define

from ..background import Background
from ..client import Client, TaskHandle
from ..client.batch import Batch
from ..errors import HappyHorseError, SubmitOutcomeUnknownError, TaskError, WaitTimeoutError
from ..task import Task, TaskRef
from .exit_codes import ExitCode, exit_code, worst
from .output import Output
from .render import error_message, plain
from .session import Session
from .target import Target


@define(kw_only=True, eq=False)
class Item:
    """One of several videos."""

    index: int
    """Its position, counted from 0."""
    name: str
    """Its name for the user."""
    client: Client
    begin: Callable[[], Awaitable[TaskHandle]]
    """Submits or resumes it."""
    target: Target
    """The output file, or a folder in which it is named after the task."""
    timeout: float | None = None
    """Seconds to wait for it."""
    ref: TaskRef | None = None
    job_id: str | None = None
    task: Task | None = None
    """The last observation."""
    path: Path | None = None
    """The file with the video."""
    error: Exception | None = None
    """Why there is no video."""

    @property
    def has_ended(self) -> bool:
        """Whether its result is known."""
        return self.path is not None or self.error is not None

    @property
    def code(self) -> ExitCode:
        """The exit code of a run with only this item."""
        if self.error is None:
            return ExitCode.OK
        if isinstance(self.error, HappyHorseError):
            return exit_code(self.error, sent=self.ref is not None)
        return ExitCode.UNEXPECTED

    async def run(self, submitted: Callable[[], None]) -> None:
        """Submit or resume it, wait for it and download it, unless its result is already known."""
        if self.has_ended:
            return
        try:
            handle = await self._handle()
            submitted()
            self.ref, self.job_id = handle.ref, self.job_id or handle.job_id
            self.task = await handle.wait(self.timeout)
            self.path = await self.client.download(self.task, self.target.file(self.task.ref))
        except HappyHorseError as error:
            self.error = error
            self.ref, self.job_id = self.ref or error.ref, self.job_id or error.job_id
            if isinstance(error, TaskError | WaitTimeoutError):
                self.task = error.task or self.task
        except Exception as error:  # noqa: BLE001 - a failed item must not end the others
            self.error = error

    async def _handle(self) -> TaskHandle:
        clock = asyncio.timeout(self.timeout)
        try:
            async with clock:
                return await self.begin()
        except TimeoutError:
            if not clock.expired():
                raise
            raise WaitTimeoutError(f"it was not submitted within {self.timeout:g} s", job_id=self.job_id) from None

    def to_object(self) -> dict[str, Any]:
        """Return the result for JSON."""
        return {
            "index": self.index,
            "ref": self.ref and str(self.ref),
            "job_id": self.job_id,
            "status": self.task and self.task.status,
            "path": self.path and str(self.path),
            "error": self.error and {"class": type(self.error).__name__, "message": plain(_message(self.error))},
        }


def _message(error: Exception) -> str:
    return error_message(error) if isinstance(error, HappyHorseError) else str(error)


async def run_items(output: Output, items: Sequence[Item], *, limit: int) -> ExitCode:
    """
    Run all *items*, *limit* of them at once, and print each result as it comes.

    When cancelled, tasks in flight keep running at the provider, and unsent jobs are withdrawn.
    """

    async def work(_: int, item: Item, submitted: Callable[[], None]) -> Item:
        await item.run(submitted)
        return item

    workers = Background()
    try:
        with output.counting(len(items)) as count:
            async for item in Batch(items, work, spawn=workers.spawn, limit=limit):
                output.answered()
                count(item.error is None)
                show_result(output, item)
    finally:
        await workers.aclose()
    return worst(item.code for item in items)


def show_result(output: Output, item: Item) -> None:
    """Print the result of *item*."""
    output.object(item.to_object())
    if item.error is None:
        output.line(str(item.path))
    else:
        output.item_error(item.name, item.error)


def suggest_resolving(output: Output, session: Session, items: Iterable[Item]) -> None:
    """Print how to resolve the items whose outcome is unknown."""
    unknown = [item for item in items if isinstance(item.error, SubmitOutcomeUnknownError)]
    if not unknown:
        return
    if session.remembers:
        commands = [session.command("resolve", item.job_id) for item in unknown if item.job_id]
        output.suggest("these may have been billed; to resolve them", *commands)
        return
    providers = dict.fromkeys(item.client.provider for item in unknown if item.client.adapter.capabilities.can_list)
    commands = [session.command("list", "--provider", provider) for provider in providers]
    if commands:
        output.suggest("these may have been billed; the newest tasks may show them", *commands)
