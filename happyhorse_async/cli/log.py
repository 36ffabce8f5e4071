"""The library's log on the command line: one line when polls or submits keep failing, everything with `-v`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import cast

from ..logs import JOB_FAILED, POLL_FAILED, ROOT, SUBMIT_RETRIED, LogFields

LOGGER = logging.getLogger(ROOT)


class LogHandler(logging.Handler):
    """
    Shows the records that concern the user.

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
        fields = cast("LogFields", record.__dict__)
        event = fields.get("event")
        if event in (POLL_FAILED, SUBMIT_RETRIED):
            self._failed(fields["reason"] or text)
        elif record.levelno >= logging.WARNING:
            if event == JOB_FAILED:
                # The command usually shows this error itself, in better words.
                self._deferred[fields["job_id"] or ""] = text
            else:
                self._warn(text)

    def _failed(self, reason: str) -> None:
        self._failing_since = self._failing_since or datetime.now().astimezone()
        self._failures += 1
        if self._failures == 2:
            self._warn(f"no answer from the provider since {self._failing_since:%H:%M:%S}, still trying: {reason}")

    def answered(self) -> None:
        """Note that the provider has answered: later failures are reported anew."""
        self._failing_since, self._failures = None, 0

    def shown(self, job_id: str | None) -> None:
        """Note that the error of a job was shown, so that its record need not be."""
        self._deferred.pop(job_id or "", None)

    def finish(self) -> None:
        """Show the deferred records."""
        for text in self._deferred.values():
            self._warn(text)
        self._deferred.clear()
