"""The URL of a result: its validity, and a warning if it ages while its download is queued."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime

from attrs import frozen

from ..logs import get_logger, log_fields
from ..redaction import SecretUrl
from ..stores.retention import URL_LIFETIME
from ..task import Task, TaskRef

_log = get_logger(__name__)


@frozen
class ResultUrl:
    """The URL of a video with its period of validity."""

    url: SecretUrl
    """The URL."""
    begins: datetime | None = None
    """When it was made, if that is known."""
    ends: datetime | None = None
    """When it expires, if that is known."""
    young_until: datetime | None = None
    """Until when it certainly is younger than its life, by the clock of this machine."""

    @classmethod
    def of(cls, task: Task, now: datetime, *, submitted_at: datetime | None = None) -> ResultUrl | None:
        """
        Return the URL of the video of *task*, if it has one: valid for as long as the provider says, or else a day.

        If it does not say either when the task ended, the URL counts as made *now*.

        :param now: the time by the clock of this machine.
        :param submitted_at: when the request was sent, by the same clock. No video is older than its request.
        """
        if not task.videos:
            return None
        made = min(task.finished_at or now, now)
        ends = task.videos[0].expires_at or (task.finished_at or now) + URL_LIFETIME
        young_until = None if submitted_at is None else submitted_at + URL_LIFETIME
        return cls(SecretUrl(task.videos[0].url), min(made, ends), ends, young_until)

    def has_expired(self, now: datetime) -> bool:
        """
        Whether its time is over, by the clock of a server that shows *now*.

        The clocks of a provider, its storage and this machine may differ by days. Only if all of them agree it is.
        """
        is_young = self.young_until is not None and datetime.now(UTC) < self.young_until
        return self.ends is not None and now >= self.ends and not is_young


@contextmanager
def warning_when_old(ref: TaskRef, url: ResultUrl) -> Generator[None]:
    """Log a warning if half of the lifetime of *url* passes inside this context."""
    if url.begins is None or url.ends is None:
        yield
        return
    half = url.begins + (url.ends - url.begins) / 2
    delay = max(0.0, (half - datetime.now(UTC)).total_seconds())
    timer = asyncio.get_running_loop().call_later(delay, _warn, ref, url.ends)
    try:
        yield
    finally:
        timer.cancel()


def _warn(ref: TaskRef, ends: datetime) -> None:
    _log.warning(
        "the download of %s is still queued, and half of the life of its URL has passed: it expires at %s; allow more "
        "concurrent downloads",
        ref,
        ends.isoformat(timespec="seconds"),
        extra=log_fields(ref),
    )
