"""The record of webhook deliveries, which tests can wait for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from functools import partial
from itertools import islice

from attrs import frozen

from .notifier import Notifier

_KEPT = 10_000


@frozen(kw_only=True)
class WebhookDelivery:
    """One attempt to deliver a webhook, and its outcome."""

    provider: str
    """The provider's name."""
    task_id: str
    """The provider's id of the task."""
    url: str
    """The destination, without the query, which may hold secrets."""
    attempt: int
    """The number of the attempt, counted from 1 for each copy."""
    status: int | None = None
    """The HTTP status of the receiver's response; `None` if there was none."""
    problem: str | None = None
    """Why there was no response."""
    lost: bool = False
    """Dropped by the scenario: nothing was sent."""
    forged: bool = False
    """A forged webhook, which must change nothing."""

    @property
    def delivered(self) -> bool:
        """Whether the receiver answered with a 2xx."""
        return self.status is not None and 200 <= self.status < 300


class WebhookLog:
    """
    The webhook deliveries of an emulator, in the order in which they were answered.

    `for` yields those so far, `async for` those and all later ones, until the emulator is closed. The last 10,000 are
    kept. It may be read from any thread and awaited in any event loop.
    """

    def __init__(self) -> None:
        self._deliveries: deque[WebhookDelivery] = deque()
        self._dropped = 0
        self._closed = False
        self._lock = threading.Lock()
        self._notifier = Notifier()

    def __len__(self) -> int:
        return len(self._deliveries)

    def __iter__(self) -> Iterator[WebhookDelivery]:
        with self._lock:
            return iter(tuple(self._deliveries))

    def __aiter__(self) -> AsyncIterator[WebhookDelivery]:
        return self._follow()

    async def wait(self, count: int = 1, *, task_id: str | None = None) -> tuple[WebhookDelivery, ...]:
        """
        Wait until there are *count* deliveries, and return them.

        :param task_id: count only those of this task.
        :raises RuntimeError: the emulator was closed first.
        """
        found: list[WebhookDelivery] = []
        async with aclosing(self._follow()) as deliveries:
            while len(found) < count:
                delivery = await anext(deliveries, None)
                if delivery is None:
                    raise RuntimeError(f"the emulator was closed after {len(found)} of {count} deliveries")
                if task_id in (None, delivery.task_id):
                    found.append(delivery)
        return tuple(found)

    def add(self, delivery: WebhookDelivery) -> None:
        """Record *delivery*, and wake the waiters."""
        with self._lock:
            self._deliveries.append(delivery)
            if len(self._deliveries) > _KEPT:
                self._deliveries.popleft()
                self._dropped += 1
        self._notifier.notify()

    def clear(self) -> None:
        """Remove the deliveries so far."""
        with self._lock:
            self._dropped += len(self._deliveries)
            self._deliveries.clear()

    def close(self) -> None:
        """End every wait."""
        self._closed = True
        self._notifier.notify()

    def _has_more(self, seen: int) -> bool:
        return self._closed or self._dropped + len(self._deliveries) > seen

    async def _follow(self) -> AsyncGenerator[WebhookDelivery]:
        seen = 0
        while True:
            await self._notifier.wait_for(partial(self._has_more, seen))
            with self._lock:
                deliveries = tuple(islice(self._deliveries, max(0, seen - self._dropped), None))
                seen, closed = self._dropped + len(self._deliveries), self._closed
            for delivery in deliveries:
                yield delivery
            if closed and not deliveries:
                return
