"""`batch`: a file of requests in, a folder of videos out. Run again, it continues where it stopped."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from ..client import Client, TaskHandle
from ..errors import (
    AuthenticationError,
    ConfigurationError,
    HappyHorseError,
    InvalidRequestError,
    QuotaExceededError,
    SubmitOutcomeUnknownError,
    UnsupportedFeatureError,
    WaitTimeoutError,
)
from ..job import Job, JobState
from ..request_codec import fingerprint
from ..task import TaskStatus
from .batch_file import BatchFile, Line, duplicates_before
from .exit_codes import ExitCode
from .items import Item, run_items, show_result, suggest_resolving
from .output import Output, Unfinished
from .plan import warnings_of
from .session import Session
from .target import Target, check_file, check_folder

_SHOWN_ERRORS = 20
_PAYS_AGAIN = "with --no-store nothing remembers what was submitted: run again, the batch is paid again"


class BatchRunner:
    """
    One run of a batch file.

    :param folder: the folder for the videos.
    :param limit: how many videos are in flight at once.
    :param keep: whether existing files are kept.
    """

    def __init__(
        self, output: Output, session: Session, *, file: Path, folder: Path, limit: int, keep: bool = False
    ) -> None:
        self._output = output
        self._session = session
        self._file = file
        self._folder = folder
        self._limit = limit
        self._keep = keep
        self._clients: dict[str | None, Client] = {}
        self._warnings: dict[str, list[int]] = {}
        self._refused: dict[str, HappyHorseError] = {}

    async def run(self, provider: str | None) -> ExitCode:
        """
        Make the videos that are missing.

        :param provider: for lines without a provider.
        """
        batch = BatchFile.read(self._file, provider=provider)
        for line in batch.lines:
            self._check(batch, line, provider)
        self._check_outputs(batch)
        if batch.errors:
            self._refuse(batch)
            return ExitCode.BAD_INPUT
        self._make_folders(batch.lines)
        items = [self._item(index, line, provider) for index, line in enumerate(batch.lines)]
        await self._find_earlier(batch.lines, items)
        if self._keep:
            for item in items:
                if not item.has_ended and not item.target.is_folder:
                    check_file(item.target.path, keep=True, where=item.name)
        self._warn()
        try:
            async with AsyncExitStack() as clients:
                for client in {item.client for item in items}:
                    await clients.enter_async_context(client)
                self._output.unfinished = self._hint(provider)
                code = await run_items(self._output, items, limit=self._limit)
        except asyncio.CancelledError:
            await self._show_what_goes_on(batch.lines, items)
            raise
        self._output.unfinished = None
        self._sum_up(items)
        return code

    def _check(self, batch: BatchFile, line: Line, provider: str | None) -> None:
        # A missing provider is not an error of a line.
        client = self._client(provider) if line.provider is None else None
        try:
            plan = (client or self._client(line.provider)).plan(line.request)
        except (ConfigurationError, InvalidRequestError, UnsupportedFeatureError) as error:
            batch.refuse(line.number, str(error))
            return
        for warning in warnings_of(plan):
            self._warnings.setdefault(warning, []).append(line.number)

    def _check_outputs(self, batch: BatchFile) -> None:
        named = [line for line in batch.lines if line.output is not None]
        for line in named:
            try:
                check_file(self._target(line).path, where="output")
            except ConfigurationError as error:
                batch.refuse(line.number, error.message)
        for line, earlier in duplicates_before(named, lambda line: os.path.realpath(self._target(line).path)):
            batch.refuse(line.number, f"output: line {earlier.number} has the same")

    def _warn(self) -> None:
        for warning, numbers in self._warnings.items():
            more = f" and {len(numbers) - 1} more" if numbers[1:] else ""
            self._output.warn(f"{self._file}, line {numbers[0]}{more}: {warning}")
        if not self._session.remembers:
            self._output.warn(_PAYS_AGAIN)

    def _client(self, provider: str | None) -> Client:
        if provider not in self._clients:
            self._clients[provider] = self._session.client(provider, recover=True)
        return self._clients[provider]

    def _target(self, line: Line) -> Target:
        return Target(str(self._folder / line.output if line.output else self._folder))

    def _refuse(self, batch: BatchFile) -> None:
        errors = [error for _, error in sorted(batch.errors.items())]
        for error in errors[:_SHOWN_ERRORS]:
            self._output.error(error)
        if errors[_SHOWN_ERRORS:]:
            self._output.note(f"and {len(errors) - _SHOWN_ERRORS} more")
        self._output.note("nothing was sent")

    def _make_folders(self, lines: list[Line]) -> None:
        for folder in {self._folder, *((self._folder / line.output).parent for line in lines if line.output)}:
            check_folder(folder, create=True)

    def _item(self, index: int, line: Line, provider: str | None) -> Item:
        item: Item

        async def submit() -> TaskHandle:
            return await self._submit(line, item.client)

        item = Item(
            index=index,
            name=f"line {line.number}",
            client=self._client(line.provider or provider),
            begin=submit,
            target=self._target(line),
        )
        return item

    async def _submit(self, line: Line, client: Client) -> TaskHandle:
        if client.provider in self._refused:
            why = self._refused[client.provider]
            raise type(why)(f"not sent, since an earlier line was refused: {why.message}", provider=client.provider)
        try:
            handle = await client.submit(line.request, key=line.key)
        except (AuthenticationError, QuotaExceededError) as error:
            self._refused[client.provider] = error
            raise
        self._output.sent = True
        self._output.progress_note(f"line {line.number}: submitted {handle.ref}")
        return handle

    async def _find_earlier(self, lines: list[Line], items: list[Item]) -> None:
        """Take over results of earlier runs from the journal, and lines that went to another provider."""
        async with self._session.journal() as store:
            for line, item in zip(lines, items, strict=True):
                job = await store.by_key(line.key)
                # A key that was used for another request becomes an error when the line is submitted.
                if job is None or job.fingerprint != fingerprint(line.request.to_dict()):
                    continue
                if job.endpoint.provider != item.client.provider:
                    item.client = self._client(job.endpoint.provider)
                    self._output.note(f"{item.name} was submitted to {job.endpoint.provider} before, and stays there")
                _recall(item, job)

    def _hint(self, provider: str | None) -> Unfinished | None:
        if not self._session.remembers:
            return None
        named = ("--provider", provider) if provider else ()
        keep = ("--no-clobber",) if self._keep else ()
        words = ("batch", str(self._file), "-o", str(self._folder), "--limit", str(self._limit), *named, *keep)
        return Unfinished(self._session.command(*words), meaning="nothing is lost; to continue")

    async def _show_what_goes_on(self, lines: list[Line], items: list[Item]) -> None:
        refs: list[str] = []
        with suppress(HappyHorseError):
            async with self._session.journal() as store:
                for line, item in zip(lines, items, strict=True):
                    job = None if item.has_ended else await store.by_key(line.key)
                    if job is None or job.state is JobState.QUEUED:
                        continue
                    item.ref, item.job_id, item.error = job.ref, job.job_id, _interrupted(job)
                    show_result(self._output, item)
                    refs += [str(item.ref)] if item.ref else []
        if refs and self._output.unfinished is None:
            words = ("resume", *refs, "-o", str(self._folder))
            self._output.unfinished = Unfinished(self._session.command(*words))

    def _sum_up(self, items: list[Item]) -> None:
        counts = Counter(item.error is None for item in items)
        self._output.note(f"{counts[True]} of {len(items)} videos are ready")
        if counts[False] and self._session.remembers:
            self._output.note("run it again to retry what was refused or interrupted; a task that failed stays failed")
        suggest_resolving(self._output, self._session, items)


def _recall(item: Item, job: Job) -> None:
    """Take over the success of an earlier run whose file still exists."""
    if job.ref is None or job.task is None or job.task.status is not TaskStatus.SUCCEEDED:
        return
    file = item.target.file(job.ref)
    if file.is_file():
        item.job_id, item.ref, item.task, item.path = job.job_id, job.ref, job.task, file


def _interrupted(job: Job) -> HappyHorseError:
    if job.ref is not None:
        return WaitTimeoutError("the run was interrupted; the task keeps running", ref=job.ref, job_id=job.job_id)
    return SubmitOutcomeUnknownError("the run was interrupted before the response came", job_id=job.job_id)
