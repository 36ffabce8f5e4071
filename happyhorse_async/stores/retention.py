"""
How long a store keeps what should not lie about for ever: prompts, media, signed URLs, and jobs that are over.

The rules are the same for every store. They hold when a job is written and when it is read, so that a reader never sees
what is past its time, even where it has not been erased yet.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from attrs import evolve, frozen

from ..job import Job, JobState
from ..redaction import redact_text
from ..task import Task

URL_LIFETIME = timedelta(hours=24)
"""What a result URL lives where its provider does not say: every provider we know documents 24 hours."""

_SETTLED = frozenset({JobState.ACCEPTED, JobState.CLOSED})
# Beyond any useful setting, and short enough for the calendar.
_LONGEST = 1e10


@frozen(kw_only=True)
class Dates:
    """When a job passed the points that its retention counts from."""

    settled_at: datetime | None = None
    """Since when the outcome of its submit is known."""
    closed_at: datetime | None = None
    """Since when nothing is left to do."""
    urls_until: datetime | None = None
    """When the URLs of its videos die."""


@frozen(kw_only=True)
class Retention:
    """How long things are kept, in seconds; `None` means without limit."""

    prompts: float | None
    """The request, counted from the moment its outcome is known."""
    closed: float | None
    """The whole entry with its key, counted from the moment it is closed."""

    def __attrs_post_init__(self) -> None:
        for seconds in (self.prompts, self.closed):
            if seconds is not None and not 0 <= seconds <= _LONGEST:
                raise ValueError(f"how long to keep is a number of seconds, or None for no limit, not {seconds!r}")

    def prompts_before(self, now: datetime) -> datetime | None:
        """Return the moment whose settled requests are forgotten *now*, with all before it."""
        return None if self.prompts is None else now - timedelta(seconds=self.prompts)

    def closed_before(self, now: datetime) -> datetime | None:
        """Return the moment whose closed jobs are forgotten *now*, with all before it."""
        return None if self.closed is None else now - timedelta(seconds=self.closed)

    def kept(self, job: Job, dates: Dates, now: datetime) -> Job:
        """Return what is left of *job* at *now*."""
        left: dict[str, Any] = {}
        if dates.settled_at is not None:
            forgotten = self.prompts_before(now)
            left["body"] = None
            if forgotten is not None and dates.settled_at <= forgotten:
                left["request"] = None
        if dates.closed_at is not None:
            left["callback_url"] = None
        if job.task is not None:
            left["task"] = _kept_task(job.task, dates, now)
        if job.failure is not None:
            left["failure"] = redact_text(job.failure)
        changed = any(value is not getattr(job, name) for name, value in left.items())
        return evolve(job, **left) if changed else job


def dates(job: Job, now: datetime, before: Dates | None = None) -> Dates:
    """Return the dates of *job* as it is written at *now*, given those it had *before*."""
    before = before or Dates()
    return Dates(
        settled_at=(before.settled_at or now) if job.state in _SETTLED else None,
        closed_at=(before.closed_at or now) if job.state is JobState.CLOSED else None,
        urls_until=_urls_until(job.task, now, before),
    )


def _urls_until(task: Task | None, now: datetime, before: Dates) -> datetime | None:
    if task is None or not task.videos:
        return before.urls_until
    stated = [video.expires_at for video in task.videos if video.expires_at is not None]
    if stated:
        return min(stated)
    # Once assumed, it stays: a snapshot that is written again has not become younger.
    return before.urls_until or min(task.finished_at or now, now) + URL_LIFETIME


def _kept_task(task: Task, dates: Dates, now: datetime) -> Task:
    # `raw` may hold anything, signed URLs included, and what matters of it stands in the other fields. A provider's
    # words about a failure may quote the URL it could not fetch.
    dead = dates.urls_until is not None and dates.urls_until <= now
    if not (task.raw or task.error or (dead and task.videos)):
        return task
    return evolve(
        task,
        raw={},
        videos=() if dead else task.videos,
        error=task.error and evolve(task.error, message=redact_text(task.error.message)),
    )
