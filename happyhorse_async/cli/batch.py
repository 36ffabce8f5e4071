"""`batch`: a file of requests in, a folder of videos out. Run again, it goes on where it was."""

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
from ..request_codec import fingerprint, to_data
from ..task import TaskStatus
from .batch_file import Batch, Line, duplicates_before
from .exit_codes import ExitCode
from .output import Output, Unfinished
from .runner import BatchItem, run_items, show_outcome, suggest_settling, video_file
from .session import Session

_SHOWN_ERRORS = 20
_PAYS_AGAIN = (
    "without a [store] in the configuration nothing remembers what was submitted: run again, the batch is paid again"
)


class BatchRunner:
    """
    One run of a batch file.

    :param folder: where the videos go.
    :param limit: how many may be on their way at once.
    """

    def __init__(self, output: Output, session: Session, *, file: Path, folder: Path, limit: int) -> None:
        self._output = output
        self._session = session
        self._file = file
        self._folder = folder
        self._limit = limit
        self._clients: dict[str | None, Client] = {}
        self._warnings: dict[str, list[int]] = {}
        self._hopeless: dict[str, HappyHorseError] = {}

    async def run(self, provider: str | None) -> ExitCode:
        """
        Make the videos that are missing.

        :param provider: for the lines that name none.
        """
        batch = Batch.read(self._file)
        for line in batch.lines:
            self._check(batch, line, provider)
        self._check_outputs(batch)
        if batch.errors:
            self._refuse(batch)
            return ExitCode.BAD_INPUT
        self._warn()
        self._make_folders(batch.lines)
        items = [self._item(index, line, provider) for index, line in enumerate(batch.lines)]
        await self._find_finished(batch.lines, items)
        try:
            async with AsyncExitStack() as clients:
                for client in set(self._clients.values()):
                    await clients.enter_async_context(client)
                self._output.unfinished = self._way_back(provider)
                code = await run_items(self._output, items, limit=self._limit)
        except asyncio.CancelledError:
            await self._tell_what_is_on_its_way(batch.lines, items)
            raise
        self._output.unfinished = None
        self._sum_up(items)
        return code

    def _check(self, batch: Batch, line: Line, provider: str | None) -> None:
        # That no provider is chosen is no line's fault.
        client = self._client(provider) if line.provider is None else None
        try:
            plan = (client or self._client(line.provider)).plan(line.request)
        except (ConfigurationError, InvalidRequestError, UnsupportedFeatureError) as error:
            batch.refuse(line.number, str(error))
            return
        for warning in plan.warnings:
            self._warnings.setdefault(warning, []).append(line.number)

    def _check_outputs(self, batch: Batch) -> None:
        named = [line for line in batch.lines if line.output is not None]
        for line in named:
            if self._target(line).is_dir():
                batch.refuse(line.number, f"output: {line.output} is a folder")
        for line, earlier in duplicates_before(named, lambda line: os.path.realpath(self._target(line))):
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

    def _target(self, line: Line) -> Path:
        return self._folder / line.output if line.output else self._folder

    def _refuse(self, batch: Batch) -> None:
        errors = [error for _, error in sorted(batch.errors.items())]
        for error in errors[:_SHOWN_ERRORS]:
            self._output.error(error)
        if errors[_SHOWN_ERRORS:]:
            self._output.note(f"and {len(errors) - _SHOWN_ERRORS} more")
        self._output.note("nothing was sent")

    def _make_folders(self, lines: list[Line]) -> None:
        for folder in {self._folder, *(self._target(line).parent for line in lines if line.output)}:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigurationError(f"the folder {folder} cannot be made: {error.strerror}") from None
            if not os.access(folder, os.W_OK):
                raise ConfigurationError(f"the folder {folder} cannot be written to")

    def _item(self, index: int, line: Line, provider: str | None) -> BatchItem:
        client = self._client(line.provider or provider)

        async def submit() -> TaskHandle:
            if client.provider in self._hopeless:
                why = self._hopeless[client.provider]
                raise type(why)(f"not sent, since an earlier line was refused: {why.message}", provider=client.provider)
            try:
                handle = await client.submit(line.request, key=line.key)
            except (AuthenticationError, QuotaExceededError) as error:
                self._hopeless[client.provider] = error
                raise
            self._output.sent = True
            return handle

        return BatchItem(
            index=index, name=f"line {line.number}", client=client, begin=submit, target=self._target(line)
        )

    async def _find_finished(self, lines: list[Line], items: list[BatchItem]) -> None:
        async with self._session.journal() as store:
            for line, item in zip(lines, items, strict=True):
                job = await store.by_key(line.key)
                # Whatever else has this key is found when the line is submitted, and is an error.
                if job is not None and job.fingerprint == fingerprint(to_data(line.request)):
                    _recall(item, job)

    def _way_back(self, provider: str | None) -> Unfinished | None:
        if not self._session.remembers:
            return None
        named = ("--provider", provider) if provider else ()
        words = ("batch", str(self._file), "-o", str(self._folder), "--limit", str(self._limit), *named)
        return Unfinished(self._session.command(*words), meaning="nothing is lost; this goes on where it was")

    async def _tell_what_is_on_its_way(self, lines: list[Line], items: list[BatchItem]) -> None:
        refs: list[str] = []
        with suppress(HappyHorseError):
            async with self._session.journal() as store:
                for line, item in zip(lines, items, strict=True):
                    job = None if item.ended else await store.by_key(line.key)
                    if job is None or job.state is JobState.QUEUED:
                        continue
                    item.ref, item.job_id, item.error = job.ref, job.job_id, _interrupted(job)
                    show_outcome(self._output, item)
                    refs += [str(item.ref)] if item.ref else []
        if refs and self._output.unfinished is None:
            words = ("resume", *refs, "-o", str(self._folder))
            self._output.unfinished = Unfinished(self._session.command(*words))

    def _sum_up(self, items: list[BatchItem]) -> None:
        counts = Counter(item.error is None for item in items)
        self._output.note(f"{counts[True]} of {len(items)} videos are there")
        if counts[False] and self._session.remembers:
            self._output.note("run it again for what was refused or cut off; a task that has failed stays failed")
        suggest_settling(self._output, self._session, items)


def _recall(item: BatchItem, job: Job) -> None:
    """Take over what the journal knows of an earlier run's success whose file is there."""
    if job.ref is None or job.ref.provider != item.client.provider:
        return
    file = video_file(item.target, job.ref)
    if job.task is not None and job.task.status is TaskStatus.SUCCEEDED and file.is_file():
        item.job_id, item.ref, item.task, item.path = job.job_id, job.ref, job.task, file


def _interrupted(job: Job) -> HappyHorseError:
    if job.ref is not None:
        return WaitTimeoutError("the run was interrupted, and the task goes on", ref=job.ref, job_id=job.job_id)
    return SubmitOutcomeUnknownError("the run was interrupted before the answer came", job_id=job.job_id)
