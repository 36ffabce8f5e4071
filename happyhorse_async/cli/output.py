"""
What the command says, and where.

Results go to the standard output, one line each: for a reader as plain text, with `--json` as one object. Everything
else goes to the standard error. Words of a provider are shown with their control characters escaped, their markup
unread and their signed URLs cut.
"""

from __future__ import annotations

import json
import logging
import shlex
import sys
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import field, frozen
from rich.console import Console, RenderableType
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from ..errors import HappyHorseError, TaskError, TaskNotFoundError
from ..redaction import redact_text
from ..task import Task, TaskRef
from .render import plain, task_line, task_object

_LOGGER = logging.getLogger("happyhorse_async")


@frozen
class Unfinished:
    """What goes on or stays open whatever becomes of this run."""

    command: tuple[str, ...]
    """What takes it up again."""
    meaning: str = field(default="the task is not lost; this takes it up again", kw_only=True)
    """What the command does, for a reader."""
    ref: TaskRef | None = field(default=None, kw_only=True)
    job_id: str | None = field(default=None, kw_only=True)


def unsettled(command: tuple[str, ...], job_id: str) -> Unfinished:
    """Make the way back to a job of which nobody knows whether it was paid; *command* settles it."""
    return Unfinished(command, meaning="nobody knows whether it was paid; this helps to settle it", job_id=job_id)


class Output:
    """
    One run's voice.

    :param as_json: whether to speak JSON.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.unfinished: Unfinished | None = None
        """What is on its way."""
        self.sent = False
        """Whether anything was submitted that may have to be paid."""
        self._errors = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._live = not as_json and self._errors.is_terminal and not self._errors.is_dumb_terminal

    def line(self, text: str) -> None:
        """Print a result for a reader. Says nothing with `--json`."""
        if not self.as_json:
            self._print(redact_text(text))

    def table(self, table: RenderableType) -> None:
        """Print a table for a reader. Says nothing with `--json`."""
        if not self.as_json:
            # A pipe has no width, and a table that is cut at 80 columns is of no use to whoever reads it there.
            width = None if sys.stdout.isatty() else 200
            Console(highlight=False, markup=False, emoji=False, width=width).print(table)

    def object(self, value: Mapping[str, Any]) -> None:
        """Print a result as JSON. Says nothing without `--json`."""
        if self.as_json:
            self._print(json.dumps(value, ensure_ascii=True, default=str))

    def listing(self, objects: Sequence[Mapping[str, Any]], table: RenderableType, *, empty: str) -> None:
        """Print results as JSON, or as a *table* for a reader, who is told where it is *empty*."""
        for each in objects:
            self.object(each)
        if objects:
            self.table(table)
        else:
            self.note(empty)

    def event(self, event: str, **facts: Any) -> None:
        """Print what has happened as JSON. Says nothing without `--json`."""
        self.object({"event": event, **facts})

    def note(self, text: str) -> None:
        """Tell a reader what goes on. Says nothing with `--json`."""
        if not self.as_json:
            self._tell(plain(text))

    def warn(self, text: str) -> None:
        """Warn, on the standard error in either form."""
        self._tell(json.dumps({"warning": plain(text)}) if self.as_json else f"warning: {plain(text)}")

    def suggest(self, meaning: str, *commands: Iterable[str]) -> None:
        """Show a reader which *commands* come next, and what they do. Says nothing with `--json`."""
        if not self.as_json:
            self._tell("\n  ".join((f"{plain(meaning)}:", *(redact_text(shlex.join(command)) for command in commands))))

    def error(self, error: HappyHorseError) -> None:
        """Say what went wrong, and how to take up the task if there still is one."""
        if isinstance(error, TaskError | TaskNotFoundError):
            self.unfinished = None
        self.failure(type(error).__name__, str(error), ref=error.ref, job_id=error.job_id)

    def failure(self, kind: str, message: str, *, ref: TaskRef | None = None, job_id: str | None = None) -> None:
        """Say in a line what went wrong, and how to take up the task if there is one."""
        way = self.unfinished
        if way:
            ref, job_id = ref or way.ref, job_id or way.job_id
        if self.as_json:
            facts = {"class": kind, "message": plain(message), "ref": ref and str(ref), "job_id": job_id}
            self._tell(json.dumps({"error": {**facts, "resume": shlex.join(way.command) if way else None}}))
            return
        self._tell(f"error: {plain(message)}")
        if way:
            self.suggest(way.meaning, way.command)

    def _warned(self, message: Warning | str, *_: Any, **__: Any) -> None:
        self.warn(str(message))

    def _print(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def _tell(self, text: str) -> None:
        self._errors.print(Text(text))

    @contextmanager
    def listening(self) -> Generator[None]:
        """Pass on what the library warns of and logs."""
        handler = _LogHandler(self)
        _LOGGER.addHandler(handler)
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = self._warned
            try:
                yield
            finally:
                _LOGGER.removeHandler(handler)

    @contextmanager
    def watching(self) -> Generator[Callable[[Task], None]]:
        """Show how a task goes on: a bar on a terminal, else a line for each change."""
        last: list[str] = []

        def show_change(task: Task) -> None:
            self.event("update", **task_object(task))
            line = task_line(task)
            if line not in last[-1:]:
                self.note(line)
                last.append(line)

        if not self._live:
            yield show_change
            return
        with self._progress(TimeElapsedColumn()) as (progress, bar):

            def show_bar(task: Task) -> None:
                total = None if task.progress is None else 100.0
                progress.update(bar, description=task_line(task), completed=task.progress or 0.0, total=total)

            yield show_bar

    @contextmanager
    def downloading(self, name: str) -> Generator[Callable[[int, int | None], None] | None]:
        """Show how a download goes on, on a terminal."""
        if not self._live:
            yield None
            return
        with self._progress(DownloadColumn()) as (progress, bar):
            progress.update(bar, description=plain(name))
            yield lambda received, total: progress.update(bar, completed=received, total=total)

    @contextmanager
    def counting(self, total: int) -> Generator[Callable[[bool], None]]:
        """Show on a terminal how many of *total* have ended, each one well or not."""
        if not self._live:
            yield lambda _: None
            return
        counts = {True: 0, False: 0}
        with self._progress(MofNCompleteColumn(), TimeElapsedColumn()) as (progress, bar):
            progress.update(bar, total=total)

            def count(well: bool) -> None:
                counts[well] += 1
                failed = f"{counts[False]} failed" if counts[False] else ""
                progress.update(bar, description=failed, completed=counts[True] + counts[False])

            yield count

    @contextmanager
    def _progress(self, *columns: Any) -> Generator[tuple[Progress, TaskID]]:
        description = TextColumn("{task.description}", markup=False)
        # What is printed meanwhile stands above the bar; but into a pipe it goes as it is.
        above = sys.stdout.isatty()
        with Progress(
            description, BarColumn(), *columns, console=self._errors, transient=True, redirect_stdout=above
        ) as progress:
            yield progress, progress.add_task("", total=None)


class _LogHandler(logging.Handler):
    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        self._output.warn(record.getMessage())
