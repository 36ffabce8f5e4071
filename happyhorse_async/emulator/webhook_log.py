"""What came of the callbacks: a record that tests can wait for."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing, contextmanager, suppress
from itertools import islice

from attrs import frozen

_KEPT = 10_000


@frozen(kw_only=True)
class WebhookDelivery:
    """One try to deliver a callback, and what came of it."""

    provider: str
    """The provider's name."""
    task_id: str
    """The provider's id of the task."""
    url: str
    """Where it went, without the query, which may hold secrets."""
    attempt: int
    """Counted from 1, for each copy by itself."""
    status: int | None = None
    """The HTTP status of the receiver's answer; `None` where there was none."""
    problem: str | None = None
    """Why there was no answer."""
    lost: bool = False
    """It was lost on purpose: nothing was sent."""
    forged: bool = False
    """It was a forgery, which must change nothing."""

    @property
    def taken(self) -> bool:
        """Whether the receiver answered with a 2xx."""
        return self.status is not None and 200 <= self.status < 300


class WebhookLog:
    """
    The deliveries of an emulator, in the order in which they were answered.

    `for` yields those so far, `async for` those and all to come, until the emulator is left. The last 10,000 are kept.
    It may be read from any thread and waited for in any event loop.
    """

    def __init__(self) -> None:
        self._rows: deque[WebhookDelivery] = deque()
        self._dropped = 0
        self._closed = False
        self._lock = threading.Lock()
        self._ears: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[WebhookDelivery]:
        with self._lock:
            return iter(tuple(self._rows))

    def __aiter__(self) -> AsyncIterator[WebhookDelivery]:
        return self._follow()

    async def wait(self, count: int = 1, *, task_id: str | None = None) -> tuple[WebhookDelivery, ...]:
        """
        Wait until there are *count* deliveries, and return them.

        :param task_id: only those of this task count.
        :raises RuntimeError: the emulator was left before.
        """
        found: list[WebhookDelivery] = []
        async with aclosing(self._follow()) as rows:
            while len(found) < count:
                row = await anext(rows, None)
                if row is None:
                    raise RuntimeError(f"the emulator has ended after {len(found)} of {count} deliveries")
                if task_id in (None, row.task_id):
                    found.append(row)
        return tuple(found)

    def add(self, delivery: WebhookDelivery) -> None:
        """Write *delivery* down, and wake everybody who waits for it."""
        with self._lock:
            self._rows.append(delivery)
            if len(self._rows) > _KEPT:
                self._rows.popleft()
                self._dropped += 1
            self._wake()

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._lock:
            self._closed = True
            self._wake()

    async def _follow(self) -> AsyncGenerator[WebhookDelivery]:
        seen = 0
        with self._ear() as ear:
            while True:
                ear.clear()
                with self._lock:
                    rows = tuple(islice(self._rows, max(0, seen - self._dropped), None))
                    seen, closed = self._dropped + len(self._rows), self._closed
                for row in rows:
                    yield row
                if not rows:
                    if closed:
                        return
                    await ear.wait()

    @contextmanager
    def _ear(self) -> Generator[asyncio.Event]:
        ear = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._ears.add(ear)
        try:
            yield ear[1]
        finally:
            with self._lock:
                self._ears.discard(ear)

    def _wake(self) -> None:
        for loop, event in self._ears:
            # A loop that was closed has nobody waiting in it.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(event.set)
