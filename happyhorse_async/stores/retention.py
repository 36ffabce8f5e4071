"""
The retention of prompts, media, signed URLs, and finished jobs.

The rules are the same for every store. They are applied when a job is written and when it is read, so that a reader
never sees expired data, even where it has not been erased yet.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from attrs import define, evolve, frozen

from ..job import Job, JobState
from ..redaction import redact_text
from ..task import Task
from .contract import is_unfinished

URL_LIFETIME = timedelta(hours=24)
"""The assumed lifetime of a result URL if its provider does not state it: every known provider documents 24 hours."""

# Longer than any useful setting, and short enough for `datetime`.
_LONGEST = 1e10

# A clock that a time server corrects is moved by less; a day is also the longest break after which a store that was
# closed is taken to have been closed, and not to have missed a jump of the clock.
_TOLERATED_JUMP = timedelta(hours=1)
_TOLERATED_BREAK = timedelta(days=1)


@frozen(kw_only=True)
class Dates:
    """The moments from which the retention of a job is counted."""

    settled_at: datetime | None = None
    """When the outcome of its submit became known."""
    closed_at: datetime | None = None
    """When the job was finished."""
    urls_until: datetime | None = None
    """When the URLs of its videos expire."""


KEEP_MEDIA = 10 * 2**20
"""Bytes of the largest medium that a store keeps with an enqueued job, unless it is told otherwise."""


@frozen(kw_only=True)
class Retention:
    """Retention times in seconds; `None` means without limit."""

    prompts: float | None
    """The request, counted from the moment its outcome is known."""
    closed: float | None
    """The whole entry with its key, counted from the moment it is finished."""

    def __attrs_post_init__(self) -> None:
        for seconds in (self.prompts, self.closed):
            if seconds is not None and not 0 <= seconds <= _LONGEST:
                raise ValueError(f"a retention time is a number of seconds, or None for no limit, not {seconds!r}")

    def prompts_before(self, now: datetime) -> datetime | None:
        """Return the moment up to which settled jobs lose their requests *now*."""
        return None if self.prompts is None else now - timedelta(seconds=self.prompts)

    def closed_before(self, now: datetime) -> datetime | None:
        """Return the moment up to which finished jobs are deleted *now*."""
        return None if self.closed is None else now - timedelta(seconds=self.closed)

    def kept(self, job: Job, dates: Dates, now: datetime) -> Job:
        """Return *job* without data that has expired at *now*."""
        left: dict[str, Any] = {}
        if dates.settled_at is not None:
            limit = self.prompts_before(now)
            left["body"], left["media"] = None, ()
            if any(attempt.body or attempt.callback_url for attempt in job.attempts):
                left["attempts"] = tuple(attempt.without_content() for attempt in job.attempts)
            if limit is not None and dates.settled_at <= limit:
                left["request"] = None
        if dates.closed_at is not None:
            left["callback_url"] = None
        if job.task is not None:
            left["task"] = _kept_task(job.task, dates, now)
        if job.error is not None and (message := redact_text(job.error.message)) != job.error.message:
            left["error"] = evolve(job.error, message=message)
        changed = any(value is not getattr(job, name) for name, value in left.items())
        return evolve(job, **left) if changed else job


def dates(job: Job, now: datetime, before: Dates | None = None) -> Dates:
    """Return the dates of *job* as it is written at *now*, given those it had *before*."""
    before = before or Dates()
    settled = job.state is JobState.ACCEPTED or job.state.is_final
    return Dates(
        settled_at=(before.settled_at or now) if settled else None,
        closed_at=None if is_unfinished(job) else (before.closed_at or now),
        urls_until=_urls_until(job.task, now, before),
    )


def _urls_until(task: Task | None, now: datetime, before: Dates) -> datetime | None:
    if task is None or not task.videos:
        return before.urls_until
    stated = [video.expires_at for video in task.videos if video.expires_at is not None]
    if stated:
        return min(stated)
    # An assumed expiry stays: writing the same snapshot again does not make its URLs younger.
    return before.urls_until or min(task.finished_at or now, now) + URL_LIFETIME


def _kept_task(task: Task, dates: Dates, now: datetime) -> Task:
    # `raw` may hold anything, signed URLs included; its useful parts are in the other fields. An error message of a
    # provider may quote the URL that it could not fetch.
    expired = dates.urls_until is not None and dates.urls_until <= now
    if not (task.raw or task.error or (expired and task.videos)):
        return task
    return evolve(
        task,
        raw={},
        videos=() if expired else task.videos,
        error=task.error and evolve(task.error, message=redact_text(task.error.message)),
    )


def running_time() -> timedelta:
    """Return the time of a monotonic clock that also runs while the machine is suspended."""
    # macOS calls it CLOCK_MONOTONIC, and Linux CLOCK_BOOTTIME. Windows' `time.monotonic` counts the sleep as well.
    clock = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
    return timedelta(seconds=time.monotonic() if clock is None else time.clock_gettime(clock))


@frozen(kw_only=True)
class Upkeep:
    """The record of a store's last deletion of old jobs, for all processes that share it."""

    last_at: datetime
    """When it was, by the wall clock."""
    suspended_at: datetime | None = None
    """The time since which nothing is deleted, because the wall clock seems to have jumped ahead."""


@define
class JumpGuard:
    """
    Protects finished jobs, and their keys, from a wall clock that jumps ahead.

    A job that is deleted too early frees its key, and the same key pays again. So after a jump nothing is deleted for
    as long as finished jobs are kept. The same holds after a break of more than a day in which no process had the store
    open, since a jump during a break cannot be told from time that has passed.
    """

    keep: timedelta
    """How long finished jobs are kept."""
    _seen: tuple[datetime, timedelta] | None = None

    def upkeep(self, last: Upkeep | None, now: datetime, running: timedelta) -> Upkeep:
        """
        Return the record of an upkeep at *now*. It may delete old jobs unless it is suspended.

        :param last: what the store remembers of the last one.
        :param running: the reading of `running_time`.
        """
        jumped = self._has_jumped(last, now, running)
        self._seen = now, running
        suspended_at = None if last is None else last.suspended_at
        if suspended_at is not None and not timedelta(0) <= now - suspended_at < self.keep:
            # It has been long enough, or the clock has been set back to where it was.
            return Upkeep(last_at=now)
        return Upkeep(last_at=now, suspended_at=suspended_at or (now if jumped else None))

    def _has_jumped(self, last: Upkeep | None, now: datetime, running: timedelta) -> bool:
        if self._seen is not None:
            seen_at, seen_running = self._seen
            return now - seen_at - (running - seen_running) > _TOLERATED_JUMP
        return last is not None and now - last.last_at > _TOLERATED_BREAK
