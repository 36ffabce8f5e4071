"""The state of an emulated task at a given time."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime

from ..task import Task, TaskFailure, TaskRef, TaskStatus, Usage, Video
from .account import Entry
from .media_spec import ratio_of, resolution_of, seconds_of, source_seconds_of


def task_at(now: float, entry: Entry, ref: TaskRef, *, video: Callable[[], Video]) -> Task:
    """
    Return the task of *entry* at *now*.

    :param video: returns its video, if it has one.
    """
    status = entry.status(now)
    delivered = status is TaskStatus.SUCCEEDED and entry.failure is None
    return Task(
        ref=ref,
        status=status,
        progress=_progress(entry, status, now),
        videos=(video(),) if delivered else (),
        error=TaskFailure(reason=entry.failure) if status is TaskStatus.FAILED and entry.failure else None,
        usage=_usage(entry) if delivered else None,
        model=entry.request.model,
        created_at=at(entry.created),
        started_at=at(entry.begins) if status not in (TaskStatus.PENDING, TaskStatus.CANCELED) else None,
        finished_at=_finished_at(entry, status),
    )


def _progress(entry: Entry, status: TaskStatus, now: float) -> float:
    if status is TaskStatus.RUNNING and entry.run < math.inf:
        return 100 * (now - entry.begins) / entry.run
    return 100.0 if status is TaskStatus.SUCCEEDED else 0.0


def _finished_at(entry: Entry, status: TaskStatus) -> datetime | None:
    if entry.canceled is not None:
        return at(entry.canceled)
    return at(entry.ends) if status.is_terminal else None


def _usage(entry: Entry) -> Usage:
    made, source = seconds_of(entry.request, entry.source), source_seconds_of(entry.request, entry.source)
    return Usage(
        duration=made + source,
        input_duration=source,
        output_duration=made,
        resolution=resolution_of(entry.request),
        ratio=ratio_of(entry.request),
        count=1,
    )


def at(moment: float) -> datetime:
    """Return a moment in seconds of the Unix epoch as a date."""
    return datetime.fromtimestamp(moment, UTC)
