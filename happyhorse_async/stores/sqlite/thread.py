"""
One thread for the disk, because the event loop must not wait for it.

The event loop puts work into a queue. The work that has arrived while the last transaction was written makes the next
one. So one write costs one flush of the disk, and a thousand at once cost one flush as well. A caller that waits for a
result can be cancelled; the work itself goes on.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from attrs import frozen

from ...logs import get_logger
from .database import Work

T = TypeVar("T")

_log = get_logger(__name__)

_LARGEST_BATCH = 512
_UPKEEP_INTERVAL = 60.0


class Resource(Protocol):
    """What the thread works on. Every method is called in the thread."""

    def open(self) -> None:
        """Get ready."""
        ...

    def run(self, works: Sequence[Work], *, writes: bool) -> list[Any]:
        """Do *works* in one transaction, and return the result or the exception of each."""
        ...

    def upkeep(self, *, waits: bool) -> None:
        """
        Erase what has expired.

        :param waits: wait for other processes that hold a lock.
        """
        ...

    def close(self) -> None:
        """Release everything."""
        ...


@frozen(eq=False)
class _Operation:
    future: asyncio.Future[Any]
    work: Work | None
    """`None` means the upkeep."""
    writes: bool = False


class StoreThread:
    """Runs a thread for *resource* from now until it is stopped, for the running event loop."""

    def __init__(self, resource: Resource) -> None:
        self.loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = self.loop.create_future()
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self._resource = resource
        self._queue: SimpleQueue[_Operation | None] = SimpleQueue()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="happyhorse-store", daemon=True)
        self._thread.start()

    def read(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Do *work*, which writes nothing. Cancelling the future has no effect on the work."""
        return self._queue_up(work)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Do *work*. The future is done when it is on the disk; cancelling the future has no effect on the work."""
        return self._queue_up(work, writes=True)

    def upkeep(self) -> asyncio.Future[None]:
        """Erase what has expired, now."""
        return self._queue_up(None)

    def stop(self) -> None:
        """End the thread after all work that was queued before."""
        self._queue.put(None)

    def _queue_up(self, work: Work | None, *, writes: bool = False) -> asyncio.Future[Any]:
        future = self.loop.create_future()
        self._queue.put(_Operation(future, work, writes))
        return future

    def _run(self) -> None:
        try:
            self._resource.open()
        except Exception as error:  # noqa: BLE001 - it belongs to the caller that opened the store
            self._report([(self.opened, error), (self.closed, None)])
            return
        self._report([(self.opened, None)])
        upkeep_at = time.monotonic()
        while not self._stopping:
            if time.monotonic() >= upkeep_at:
                self._try_upkeep()
                upkeep_at = time.monotonic() + _UPKEEP_INTERVAL
            self._do_batch(self._next_batch(upkeep_at - time.monotonic()))
        # Processes that close at the same moment may each take another for the last one, which removes the log.
        self._try_upkeep()
        self._report([(self.closed, _outcome(self._resource.close))])

    def _next_batch(self, timeout: float) -> list[_Operation]:
        batch: list[_Operation] = []
        with suppress(Empty):
            operation = self._queue.get(timeout=max(0.0, timeout))
            while operation is not None:
                batch.append(operation)
                if len(batch) == _LARGEST_BATCH:
                    return batch
                operation = self._queue.get_nowait()
            self._stopping = True
        return batch

    def _do_batch(self, batch: Sequence[_Operation]) -> None:
        works = [operation for operation in batch if operation.work is not None]
        if works:
            writes = any(operation.writes for operation in works)
            results = self._resource.run([operation.work for operation in works if operation.work], writes=writes)
            self._report([(operation.future, result) for operation, result in zip(works, results, strict=True)])
        for operation in batch:
            if operation.work is None:
                self._report([(operation.future, _outcome(partial(self._resource.upkeep, waits=True)))])

    def _try_upkeep(self) -> None:
        failure = _outcome(partial(self._resource.upkeep, waits=False))
        if failure is not None:
            _log.info("the upkeep of the job store is postponed: %s", failure)

    def _report(self, outcomes: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
        # The event loop may be closed, and all callers with it.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(_settle, outcomes)


def _outcome(work: Callable[[], None]) -> Exception | None:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - it belongs to the caller
        return error
    return None


def _settle(outcomes: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, outcome in outcomes:
        if future.done():
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
