"""
What an emulated provider stores for one account: its tasks, its idempotency keys, its rate limit counters.

All times are Unix seconds, passed in. Durations have already been divided by the emulator's speed.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Iterable
from itertools import islice

from attrs import define, frozen

from ..emulation import Call, ListCall, ProviderLimits, RateLimit, SubmitCall
from ..request import VideoRequest
from ..task import FailureReason, Task, TaskStatus
from .media_spec import Picture, SourceVideo
from .webhook_queue import Webhook


@define(kw_only=True, eq=False)
class Entry:
    """One task."""

    id: str
    request: VideoRequest
    video_file: str
    """The name of its video."""
    submit_id: str
    created: float
    queue: float
    run: float
    failure: FailureReason | None
    begins: float = math.inf
    canceled: float | None = None
    seen: Task | None = None
    """Its state as the client last saw it."""
    webhook: Webhook | None = None
    pictures: tuple[Picture, ...] = ()
    """The pictures that came with the request."""
    source: SourceVideo | None = None
    """The source video, if it was uploaded."""

    @property
    def ends(self) -> float:
        """When it will end unless it is canceled."""
        return self.begins + self.run

    def status(self, now: float) -> TaskStatus:
        """Return its status at *now*."""
        if self.canceled is not None:
            return TaskStatus.CANCELED
        if now < self.begins:
            return TaskStatus.PENDING
        if now < self.ends:
            return TaskStatus.RUNNING
        failed = self.failure is not None and self.failure is not FailureReason.NO_OUTPUT
        return TaskStatus.FAILED if failed else TaskStatus.SUCCEEDED


@frozen
class _FirstUse:
    """The submit that used an idempotency key first."""

    body_digest: bytes
    entry: Entry


class KeyReusedError(Exception):
    """An idempotency key was reused with another body."""


class QueueFullError(Exception):
    """The account has the maximum of waiting tasks."""


class EmulatedAccount:
    """
    The account behind one API key.

    :param task_ttl: seconds from its submit for which a task is known.
    :param speed: the rates of the limits are multiplied by it.
    """

    def __init__(self, limits: ProviderLimits, *, task_ttl: float, speed: float) -> None:
        self._limits = limits
        self._task_ttl = task_ttl
        self._speed = speed
        self._entries: dict[str, Entry] = {}
        self._first_uses: dict[str, _FirstUse] = {}
        self._calls: dict[tuple[RateLimit, str | None], deque[float]] = {}

    def wait_for(self, call: Call, *, now: float) -> float:
        """Count *call* and return 0; or return the seconds until the limits allow it, without counting it."""
        windows = [(rate, self._window(rate, call)) for rate in self._limits.rates if isinstance(call, rate.calls)]
        waits = [self._wait(rate, window, now) for rate, window in windows]
        if any(waits):
            return max(waits)
        for _, window in windows:
            window.append(now)
        return 0.0

    def _window(self, rate: RateLimit, call: Call) -> deque[float]:
        model = call.request.model if rate.per_model and isinstance(call, SubmitCall) else None
        return self._calls.setdefault((rate, model), deque())

    def _wait(self, rate: RateLimit, window: deque[float], now: float) -> float:
        seconds = rate.seconds / self._speed
        while window and window[0] <= now - seconds:
            window.popleft()
        return 0.0 if len(window) < rate.count else window[0] + seconds - now

    def replayed(self, call: SubmitCall, *, now: float) -> Entry | None:
        """
        Return the task that an earlier submit with the same idempotency key created.

        :raises KeyReusedError: the earlier submit had another body.
        """
        first = self._first_uses.get(call.idempotency_key or "")
        if first is None or self._has_expired(first.entry, now):
            return None
        if first.body_digest != _digest(call.body):
            raise KeyReusedError
        return first.entry

    def add(self, entry: Entry, call: SubmitCall, *, now: float) -> None:
        """
        Add a new task.

        :raises QueueFullError: too many tasks of its model are waiting.
        """
        self._drop_expired(now)
        siblings = self._siblings(entry)
        if self._limits.queued is not None and sum(other.begins > now for other in siblings) >= self._limits.queued:
            raise QueueFullError
        self._schedule(entry, siblings)
        self._entries[entry.id] = entry
        if call.idempotency_key:
            self._first_uses[call.idempotency_key] = _FirstUse(_digest(call.body), entry)

    def find(self, task_id: str, *, now: float) -> Entry | None:
        """Return a task; `None` if it does not exist or has expired."""
        entry = self._entries.get(task_id)
        return None if entry is None or self._has_expired(entry, now) else entry

    def cancel(self, entry: Entry, *, now: float) -> bool:
        """Cancel a task that is pending. Those behind it in the queue move up."""
        if entry.status(now) is not TaskStatus.PENDING:
            return False
        entry.canceled = now
        siblings = self._siblings(entry)
        waiting = [other for other in siblings if other.begins > now]
        begun = [other for other in siblings if other.begins <= now]
        for other in waiting:
            self._schedule(other, begun)
            begun.append(other)
        return True

    def page(self, call: ListCall, *, now: float) -> tuple[tuple[Entry, ...], int]:
        """Return a page of the tasks that match *call*, newest first, and how many match in all."""
        self._drop_expired(now)
        found = [entry for entry in reversed(self._entries.values()) if _matches(entry, call, now)]
        begin = (call.page - 1) * call.size
        return tuple(islice(found, begin, begin + call.size)), len(found)

    def _schedule(self, entry: Entry, siblings: Iterable[Entry]) -> None:
        entry.begins = entry.created + entry.queue
        limit = self._limits.running
        if limit is not None:
            busy = sorted(other.ends for other in siblings if other.ends > entry.begins)
            if len(busy) >= limit:
                entry.begins = busy[-limit]

    def _siblings(self, entry: Entry) -> list[Entry]:
        if self._limits.running is None and self._limits.queued is None:
            return []
        return [
            other
            for other in self._entries.values()
            if other.request.model == entry.request.model and other is not entry and other.canceled is None
        ]

    def _has_expired(self, entry: Entry, now: float) -> bool:
        return now >= entry.created + self._task_ttl

    def _drop_expired(self, now: float) -> None:
        # Entries are in submit order: the search ends at the first one that has not expired.
        expired: list[str] = []
        for entry in self._entries.values():
            if not self._has_expired(entry, now):
                break
            expired.append(entry.id)
        for task_id in expired:
            del self._entries[task_id]
        if expired:
            self._first_uses = {key: use for key, use in self._first_uses.items() if use.entry.id in self._entries}


def _digest(body: bytes) -> bytes:
    # A body with inline images has megabytes.
    return hashlib.sha256(body).digest()


def _matches(entry: Entry, call: ListCall, now: float) -> bool:
    return (
        call.task_id in (None, entry.id)
        and call.model in (None, entry.request.model)
        and call.status in (None, entry.status(now) if call.status else None)
        and (call.created_from is None or entry.created >= call.created_from.timestamp())
        and (call.created_until is None or entry.created <= call.created_until.timestamp())
    )
