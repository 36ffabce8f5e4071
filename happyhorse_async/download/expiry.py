"""How long the URL of a video lives, and what is said of one that grows old while its download waits for a place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime

from attrs import frozen

from ..stores.retention import URL_LIFETIME
from ..task import Task

_log = logging.getLogger("happyhorse_async")

_WORTH_A_WARNING = 0.5
_ALARMING = 0.8


@frozen
class UrlLife:
    """From when until when the URL of a video is good."""

    begins: datetime
    ends: datetime

    @classmethod
    def of(cls, task: Task, now: datetime) -> UrlLife:
        """
        Return the life of the URL of *task*: as the provider says, or else a day.

        Where it does not say either when the task ended, the life is taken to begin *now*.
        """
        stated = task.videos[0].expires_at if task.videos else None
        ends = stated or min(task.finished_at or now, now) + URL_LIFETIME
        return cls(min(task.finished_at or now, ends), ends)

    def moment(self, share: float) -> datetime:
        """Return when *share* of the life is over."""
        return self.begins + (self.ends - self.begins) * share


@contextmanager
def tracked_by_ref(task: Task, life: UrlLife) -> Generator[None]:
    """Log a warning at half of the URL's *life*, and an error at four fifths, if they come while this is entered."""
    loop, now = asyncio.get_running_loop(), datetime.now(UTC)
    late = life.moment(_ALARMING) <= now
    stages = [(_WORTH_A_WARNING, logging.WARNING)] * (not late) + [(_ALARMING, logging.ERROR)]
    timers = [
        loop.call_later(max(0.0, (life.moment(share) - now).total_seconds()), _tell, task, life, share, level)
        for share, level in stages
    ]
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()


def _tell(task: Task, life: UrlLife, share: float, level: int) -> None:
    until = life.ends.isoformat(timespec="seconds")
    _log.log(
        level,
        "the video of %s still waits to be downloaded and %.0f %% of its URL's life are over: it dies at %s; allow "
        "more downloads at once",
        task.ref,
        share * 100,
        until,
    )
