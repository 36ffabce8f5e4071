"""The library's log on the command line: one line where polls or submits keep failing, all of it with `-v`."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import datetime

LOGGER = logging.getLogger("happyhorse_async")

_FAILED_POLL = re.compile(r"failed (?P<times>\d+) times in a row: (?P<reason>.*)", re.DOTALL)
_RETRIED_SUBMIT = re.compile(r"is sent again in [\d.]+ s: (?P<reason>.*)", re.DOTALL)
_FAILED_JOB = re.compile(r"job (?P<job>hh-\S+) (failed|came to nothing): ")


class LogHandler(logging.Handler):
    """
    Shows what concerns the user.

    :param show: shows a record and its text, with `-v`.
    :param warn: shows a warning.
    """

    def __init__(self, *, verbose: bool, show: Callable[[str, str], None], warn: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._verbose = verbose
        self._show = show
        self._warn = warn
        self._failing_since: datetime | None = None
        self._failures = 0
        self._deferred: dict[str, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Show *record*, if it is for the user."""
        text = record.getMessage()
        if self._verbose:
            self._show(record.levelname, text)
            return
        if failing := _FAILED_POLL.search(text) or _RETRIED_SUBMIT.search(text):
            self._failed(failing["reason"])
        elif record.levelno >= logging.WARNING:
            if job := _FAILED_JOB.match(text):
                # Its error is usually shown by the command, in better words.
                self._deferred[job["job"]] = text
            else:
                self._warn(text)

    def _failed(self, reason: str) -> None:
        self._failing_since = self._failing_since or datetime.now().astimezone()
        self._failures += 1
        if self._failures == 2:
            self._warn(f"no answer from the provider since {self._failing_since:%H:%M:%S}, still trying: {reason}")

    def answered(self) -> None:
        """Note that the provider has answered: the next failures are new ones."""
        self._failing_since, self._failures = None, 0

    def shown(self, job_id: str | None) -> None:
        """Note that the error of a job was shown, so that its record need not be."""
        self._deferred.pop(job_id or "", None)

    def finish(self) -> None:
        """Show what was deferred and is not shown yet."""
        for text in self._deferred.values():
            self._warn(text)
        self._deferred.clear()
