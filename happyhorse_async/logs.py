"""
The library's loggers: one for each package, all of them children of `happyhorse_async`.

Each record has the same fields beside its text, so that a log can be searched by job. A field that does not apply is
`None`, so that a format string may use any of them. No record holds a prompt or a URL.
"""

from __future__ import annotations

import logging
import re
from typing import TypedDict

from .errors import HappyHorseError
from .job import Job
from .redaction import redact_text
from .task import TaskRef

ROOT = "happyhorse_async"
"""The logger that all others are children of."""

POLL_FAILED = "poll_failed"
"""A poll failed, and will be retried."""
SUBMIT_RETRIED = "submit_retried"
"""A submit that was certainly not accepted, or that an idempotency key protects, is sent again."""
JOB_MOVED = "job_moved"
"""An account certainly did not accept a job, and the next account in the routing order gets it."""
JOB_ACCEPTED = "job_accepted"
"""The provider has accepted a job."""
JOB_FAILED = "job_failed"
"""A job has ended without a task, or its outcome is unknown."""


class LogFields(TypedDict):
    """The fields of a record, as its `extra`."""

    event: str | None
    reason: str | None
    job_id: str | None
    ref: str | None
    provider: str | None
    key: str | None


_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://(?:[^\s/?#@]*@)?([^\s?#'\"<>()\[\],;]*)[^\s'\"<>()\[\],;]*", re.IGNORECASE)
_FORMATTER = logging.Formatter()
_FIELDS = tuple(LogFields.__annotations__)


def get_logger(module: str) -> logging.Logger:
    """
    Return the logger of a package of this library.

    :param module: the `__name__` of one of its modules.
    """
    logger = logging.getLogger(".".join(module.split(".")[:2]))
    # A filter applies only to records of its own logger, not to those of child loggers.
    if not any(isinstance(each, RedactingFilter) for each in logger.filters):
        logger.addFilter(RedactingFilter())
    return logger


def log_fields(
    about: Job | TaskRef | None = None, *, event: str | None = None, reason: object | None = None
) -> LogFields:
    """
    Return the fields of a record.

    :param about: the job, or the task if the job is not known.
    :param event: one of the events of this module, for handlers that select records.
    :param reason: the cause, usually an error; its ref and job id fill empty fields.
    """
    found = LogFields(
        event=event, reason=None if reason is None else str(reason), job_id=None, ref=None, provider=None, key=None
    )
    ref = about
    if isinstance(reason, HappyHorseError):
        found["job_id"], found["provider"], ref = reason.job_id, reason.provider, about or reason.ref
    if isinstance(ref, Job):
        found["job_id"], found["provider"], found["key"] = ref.job_id, ref.endpoint.provider, ref.key
        ref = ref.ref
    if ref is not None:
        found["ref"], found["provider"] = str(ref), ref.provider
    return found


class RedactingFilter(logging.Filter):
    """Redacts every record, since parts of it come from providers, and adds missing fields."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite *record*."""
        record.msg, record.args = _redacted(record.getMessage()), None
        if record.exc_info and record.exc_text is None:
            # Formatters print this text as it is. An adapter's error may quote a response.
            lines = _FORMATTER.formatException(record.exc_info).splitlines()
            record.exc_text = "\n".join(_redacted(line) for line in lines)
        for name in _FIELDS:
            value = getattr(record, name, None)
            setattr(record, name, _redacted(value) if isinstance(value, str) else value)
        return True


def _redacted(text: str) -> str:
    # Host and path are enough to identify a request; the rest of a URL may be a credential, or private.
    return _URL.sub(r"\1", redact_text(text))
