"""
What an emulated provider remembers of one account: its tasks, its idempotency keys, its use of the limits.

All times are Unix seconds, handed in. The emulator's speed has divided every duration already.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from itertools import islice

from attrs import define, frozen

from ..emulation import Call, ListCall, ProviderLimits, RateLimit, SubmitCall
from ..request import VideoRequest
from ..task import FailureReason, Task, TaskStatus
from .webhook_plan import Webhook


@define(kw_only=True, eq=False)
class Entry:
    """One task in the books."""

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
    """What the client was last told."""
    webhook: Webhook | None = None
    """Where its end is told."""

    @property
    def ends(self) -> float:
        """When it ends by itself."""
        return self.begins + self.run

    def status(self, now: float) -> TaskStatus:
        """Tell where it stands."""
        if self.canceled is not None:
            return TaskStatus.CANCELED
        if now < self.begins:
            return TaskStatus.PENDING
        if now < self.ends:
            return TaskStatus.RUNNING
        failed = self.failure is not None and self.failure is not FailureReason.NO_OUTPUT
        return TaskStatus.FAILED if failed else TaskStatus.SUCCEEDED


@frozen
class _First:
    """The submit that used an idempotency key first."""

    body: bytes
    entry: Entry


class KeyReusedError(Exception):
    """An idempotency key came with another body than before."""


class QueueFullError(Exception):
    """One more task than may wait."""


class Account:
    """
    The account behind one API key.

    :param lifetime: seconds from its submit for which a task is known.
    :param speed: how many seconds of a quota pass in one.
    """

    def __init__(self, limits: ProviderLimits, *, task_ttl: float, speed: float) -> None:
        self._limits = limits
        self._lifetime = task_ttl
        self._speed = speed
        self._entries: dict[str, Entry] = {}
        self._firsts: dict[str, _First] = {}
        self._calls: dict[tuple[RateLimit, str | None], deque[float]] = {}

    def wait_for(self, call: Call, *, now: float) -> float:
        """Count *call*. Return 0, or without counting it the seconds after which it would be within the limits."""
        meters = [(rate, self._meter(rate, call)) for rate in self._limits.rates if isinstance(call, rate.calls)]
        waits = [self._wait(rate, meter, now) for rate, meter in meters]
        if any(waits):
            return max(waits)
        for _, meter in meters:
            meter.append(now)
        return 0.0

    def _meter(self, rate: RateLimit, call: Call) -> deque[float]:
        model = call.request.model if rate.per_model and isinstance(call, SubmitCall) else None
        return self._calls.setdefault((rate, model), deque())

    def _wait(self, rate: RateLimit, meter: deque[float], now: float) -> float:
        window = rate.seconds / self._speed
        while meter and meter[0] <= now - window:
            meter.popleft()
        return 0.0 if len(meter) < rate.count else meter[0] + window - now

    def earlier(self, call: SubmitCall, *, now: float) -> Entry | None:
        """
        Find the task that a submit with the same idempotency key made.

        :raises KeyReusedError: that one had another body.
        """
        first = self._firsts.get(call.idempotency_key or "")
        if first is None or self._is_forgotten(first.entry, now):
            return None
        if first.body != call.body:
            raise KeyReusedError
        return first.entry

    def add(self, entry: Entry, call: SubmitCall, *, now: float) -> None:
        """
        Take a new task.

        :raises QueueFullError: too many of its model wait.
        """
        self._forget(now)
        siblings = self._siblings(entry)
        if self._limits.queued is not None and sum(other.begins > now for other in siblings) >= self._limits.queued:
            raise QueueFullError
        self._schedule(entry, siblings)
        self._entries[entry.id] = entry
        if call.idempotency_key:
            self._firsts[call.idempotency_key] = _First(call.body, entry)

    def find(self, task_id: str, *, now: float) -> Entry | None:
        """Find a task; `None` where there is none, or where it is too old."""
        entry = self._entries.get(task_id)
        return None if entry is None or self._is_forgotten(entry, now) else entry

    def cancel(self, entry: Entry, *, now: float) -> bool:
        """Cancel a task that has not begun. Those behind it move up."""
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
        """Return a page of the tasks that *call* asks for, newest first, and how many there are on all pages."""
        self._forget(now)
        found = [entry for entry in reversed(self._entries.values()) if _is_asked_for(entry, call, now)]
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

    def _is_forgotten(self, entry: Entry, now: float) -> bool:
        return now >= entry.created + self._lifetime

    def _forget(self, now: float) -> None:
        # Entries are in the order of their submits, so that the first one that is known ends the search.
        old: list[str] = []
        for entry in self._entries.values():
            if not self._is_forgotten(entry, now):
                break
            old.append(entry.id)
        for task_id in old:
            del self._entries[task_id]
        if old:
            self._firsts = {key: first for key, first in self._firsts.items() if first.entry.id in self._entries}


def _is_asked_for(entry: Entry, call: ListCall, now: float) -> bool:
    return (
        call.task_id in (None, entry.id)
        and call.model in (None, entry.request.model)
        and call.status in (None, entry.status(now) if call.status else None)
        and (call.created_from is None or entry.created >= call.created_from.timestamp())
        and (call.created_until is None or entry.created <= call.created_until.timestamp())
    )
