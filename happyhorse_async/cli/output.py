"""
What the command prints, and where.

Results go to the standard output, one line each: plain text, or with `--json` one object. Everything else goes to the
standard error. A provider's words are printed with control characters escaped and signed URLs cut.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from ..errors import HappyHorseError, TaskError, TaskNotFoundError
from ..redaction import redact_text
from ..task import Task, TaskRef
from .log import LOGGER, LogHandler
from .render import error_message, plain, task_line, task_object
from .table import Column, table_lines

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@frozen
class Unfinished:
    """What goes on or stays open when this run ends."""

    command: tuple[str, ...]
    """The command that continues it."""
    meaning: str = field(default="the task is not lost; to continue", kw_only=True)
    """What the command does."""
    ref: TaskRef | None = field(default=None, kw_only=True)
    job_id: str | None = field(default=None, kw_only=True)


def unresolved(command: tuple[str, ...], job_id: str | None) -> Unfinished:
    """Make the hint for a job of unknown outcome; *command* helps to resolve it."""
    return Unfinished(command, meaning="it may have been billed; to resolve it", job_id=job_id)


class StandardOutputError(Exception):
    """The standard output cannot be written: its disk is full, for example."""


@contextmanager
def writing_to_standard_output() -> Generator[None]:
    """
    Write to the standard output.

    :raises BrokenPipeError: its reader has gone away.
    :raises StandardOutputError: it cannot be written.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StandardOutputError(f"the standard output cannot be written: {error.strerror}") from None


class Output:
    """
    Everything that one run prints.

    :param as_json: whether results are printed as JSON.
    :param verbose: whether the library's log is shown.
    """

    def __init__(self, *, as_json: bool, verbose: bool = False) -> None:
        self.as_json = as_json
        self.verbose = verbose
        self.unfinished: Unfinished | None = None
        """What is in flight, for the hint at the end of a run that fails."""
        self.sent = False
        """Whether anything was submitted that may have to be paid."""
        self._log = LogHandler(verbose=verbose, show=self._show_record, warn=self.warn)
        self._live = not as_json and sys.stderr.isatty() and os.environ.get("TERM") not in (None, "dumb", "unknown")
        self._progress: Progress | None = None

    def line(self, text: str) -> None:
        """Print a line of a result as text. Prints nothing with `--json`."""
        if not self.as_json:
            self._print(redact_text(text))

    def secret_line(self, text: str) -> None:
        """Print a line that holds a credential on purpose, for the person at the terminal. Nothing with `--json`."""
        if not self.as_json:
            self._print(text)

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> None:
        """Print a table as text. Prints nothing with `--json`."""
        if not self.as_json:
            width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
            for line in table_lines(columns, rows, width):
                self._print(line)

    def object(self, value: Mapping[str, Any]) -> None:
        """Print a result as JSON. Prints nothing without `--json`."""
        if self.as_json:
            self._print(json.dumps(value, ensure_ascii=True, default=str))

    def event(self, event: str, **facts: Any) -> None:
        """Print an event as JSON. Prints nothing without `--json`."""
        self.object({"event": event, **facts})

    def note(self, text: str) -> None:
        """Tell a person what happens. Prints nothing with `--json`."""
        if not self.as_json:
            self._tell(plain(text))

    def progress_note(self, text: str) -> None:
        """Tell what happens where no bar shows it."""
        if not self._live:
            self.note(text)

    def warn(self, text: str) -> None:
        """Print a warning."""
        self._tell(json.dumps({"warning": plain(text)}) if self.as_json else f"warning: {plain(text)}")

    def suggest(self, meaning: str, *commands: Iterable[str]) -> None:
        """Print the *commands* that come next. Prints nothing with `--json`."""
        if not self.as_json:
            self._tell("\n  ".join((f"{plain(meaning)}:", *(redact_text(shlex.join(command)) for command in commands))))

    def error(self, error: HappyHorseError) -> None:
        """Print an error, and how to continue with the task if there still is one."""
        if isinstance(error, TaskError | TaskNotFoundError):
            self.unfinished = None
        self._log.shown(error.job_id)
        self.failure(type(error).__name__, error_message(error), ref=error.ref, job_id=error.job_id)

    def failure(self, kind: str, message: str, *, ref: TaskRef | None = None, job_id: str | None = None) -> None:
        """Print an error in a line, and how to continue with the task if there is one."""
        hint = self.unfinished
        if hint:
            ref, job_id = ref or hint.ref, job_id or hint.job_id
            self._log.shown(hint.job_id)
        if self.as_json:
            facts = {"class": kind, "message": plain(message), "ref": ref and str(ref), "job_id": job_id}
            self._tell(json.dumps({"error": {**facts, "resume": shlex.join(hint.command) if hint else None}}))
            return
        self._tell(f"error: {plain(message)}")
        if hint:
            self.suggest(hint.meaning, hint.command)

    def item_error(self, name: str, error: Exception) -> None:
        """Tell a person why one of several videos is not ready."""
        if isinstance(error, HappyHorseError):
            self._log.shown(error.job_id)
            self.note(f"error: {name}: {error_message(error)}")
        else:
            self.note(f"error: {name}: {error or type(error).__name__}")

    def answered(self) -> None:
        """Note that the provider has answered."""
        self._log.answered()

    def _show_record(self, level: str, text: str) -> None:
        now = f"{datetime.now().astimezone():%H:%M:%S}"
        record = {"log": plain(text), "level": level, "time": now}
        self._tell(json.dumps(record) if self.as_json else f"{now} {level} {plain(text)}")

    def _warned(self, message: Warning | str, *_: Any, **__: Any) -> None:
        self.warn(str(message))

    def _print(self, text: str) -> None:
        with writing_to_standard_output():
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()

    def _tell(self, text: str) -> None:
        if self._progress is None:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
        else:
            from rich.text import Text  # noqa: PLC0415 - loaded by the progress bar

            self._progress.console.print(Text(text), soft_wrap=True)

    @contextmanager
    def listening(self) -> Generator[None]:
        """Show the warnings and the log of the library."""
        level = LOGGER.level
        LOGGER.addHandler(self._log)
        LOGGER.setLevel(min(level or 20, 20))
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = self._warned
            try:
                yield
            finally:
                self._log.finish()
                LOGGER.removeHandler(self._log)
                LOGGER.setLevel(level)

    @contextmanager
    def watching(self) -> Generator[Callable[[Task], None]]:
        """Show the progress of a task: a bar on a terminal, else a line for each change."""
        last: list[str] = []

        def show_change(task: Task) -> None:
            self.answered()
            self.event("update", **task_object(task))
            line = task_line(task)
            if line not in last[-1:]:
                self.note(line)
                last.append(line)

        if not self._live:
            yield show_change
            return
        with self._bar("elapsed") as (progress, bar):

            def show_bar(task: Task) -> None:
                self.answered()
                total = None if task.progress is None else 100.0
                progress.update(bar, description=task_line(task), completed=task.progress or 0.0, total=total)

            yield show_bar

    @contextmanager
    def downloading(self, name: str) -> Generator[Callable[[int, int | None], None] | None]:
        """Show the progress of a download on a terminal."""
        if not self._live:
            yield None
            return
        with self._bar("bytes") as (progress, bar):
            progress.update(bar, description=plain(name))
            yield lambda received, total: progress.update(bar, completed=received, total=total)

    @contextmanager
    def uploading(self) -> Generator[Callable[[int, int], None] | None]:
        """Show the progress of uploads on a terminal, from the first byte on."""
        if not self._live:
            yield None
            return
        with ExitStack() as stack:
            bars: list[tuple[Progress, TaskID]] = []

            def show(sent: int, total: int) -> None:
                if not bars:
                    bars.append(stack.enter_context(self._bar("bytes")))
                progress, bar = bars[0]
                progress.update(bar, description="uploading", completed=sent, total=total)
                if sent >= total:
                    stack.close()

            yield show

    @contextmanager
    def counting(self, total: int) -> Generator[Callable[[bool], None]]:
        """Show on a terminal how many of *total* have ended, each with a video or not."""
        if not self._live:
            yield lambda _: None
            return
        counts = {True: 0, False: 0}
        with self._bar("count", "elapsed") as (progress, bar):
            progress.update(bar, total=total)

            def count(succeeded: bool) -> None:
                counts[succeeded] += 1
                failed = f"{counts[False]} failed" if counts[False] else ""
                progress.update(bar, description=failed, completed=counts[True] + counts[False])

            yield count

    @contextmanager
    def _bar(self, *columns: str) -> Generator[tuple[Progress, TaskID]]:
        from .bar import make_progress  # noqa: PLC0415 - only a terminal needs it

        with make_progress(*columns) as progress:
            self._progress = progress
            try:
                yield progress, progress.add_task("", total=None)
            finally:
                self._progress = None
