"""
One thread that does what the event loop may not wait for.

Work is queued from the loop, and whatever has gathered while the last transaction went to the disk makes the next one.
So a single write costs one flush of the disk, and a thousand at once cost one flush as well. Who waits for a result can
be cancelled; the work itself goes on.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from attrs import frozen

from .database import Work

T = TypeVar("T")

_log = logging.getLogger("happyhorse_async")

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

    def upkeep(self, *, patient: bool) -> None:
        """
        Erase what is past its time.

        :param patient: wait for other processes that are in the way.
        """
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


@frozen(eq=False)
class _Operation:
    future: asyncio.Future[Any]
    work: Work | None
    """`None` asks for the upkeep."""
    writes: bool = False


class Writer:
    """Runs a thread for *resource* from now until it is stopped, on behalf of the running event loop."""

    def __init__(self, resource: Resource) -> None:
        self.loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = self.loop.create_future()
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self._resource = resource
        self._queue: SimpleQueue[_Operation | None] = SimpleQueue()
        self._stopping = False
        self._thread = threading.Thread(target=self._live, name="happyhorse-store", daemon=True)
        self._thread.start()

    def read(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Do *work*, which writes nothing. Cancelling the future has no effect on the work."""
        return self._ask(work)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Do *work*. The future is done when it is on the disk; cancelling the future has no effect on the work."""
        return self._ask(work, writes=True)

    def upkeep(self) -> asyncio.Future[None]:
        """Erase what is past its time, now."""
        return self._ask(None)

    def stop(self) -> None:
        """End the thread, after all that has been asked of it."""
        self._queue.put(None)

    def _ask(self, work: Work | None, *, writes: bool = False) -> asyncio.Future[Any]:
        future = self.loop.create_future()
        self._queue.put(_Operation(future, work, writes))
        return future

    def _live(self) -> None:
        try:
            self._resource.open()
        except Exception as error:  # noqa: BLE001 - it belongs to the one who opened
            self._tell([(self.opened, error), (self.closed, None)])
            return
        self._tell([(self.opened, None)])
        upkeep_at = time.monotonic()
        while not self._stopping:
            if time.monotonic() >= upkeep_at:
                self._tend()
                upkeep_at = time.monotonic() + _UPKEEP_INTERVAL
            self._serve(self._next_batch(upkeep_at - time.monotonic()))
        # The log outlives those who close at the same moment, each in the belief that it is not the last.
        self._tend()
        self._tell([(self.closed, _outcome(self._resource.close))])

    def _next_batch(self, patience: float) -> list[_Operation]:
        batch: list[_Operation] = []
        with suppress(Empty):
            operation = self._queue.get(timeout=max(0.0, patience))
            while operation is not None:
                batch.append(operation)
                if len(batch) == _LARGEST_BATCH:
                    return batch
                operation = self._queue.get_nowait()
            self._stopping = True
        return batch

    def _serve(self, batch: Sequence[_Operation]) -> None:
        works = [operation for operation in batch if operation.work is not None]
        if works:
            writes = any(operation.writes for operation in works)
            results = self._resource.run([operation.work for operation in works if operation.work], writes=writes)
            self._tell([(operation.future, result) for operation, result in zip(works, results, strict=True)])
        for operation in batch:
            if operation.work is None:
                self._tell([(operation.future, _outcome(partial(self._resource.upkeep, patient=True)))])

    def _tend(self) -> None:
        failure = _outcome(partial(self._resource.upkeep, patient=False))
        if failure is not None:
            _log.info("the upkeep of the job store is put off: %s", failure)

    def _tell(self, outcomes: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
        # The loop may be gone, and with it everybody who waited.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(_settle, outcomes)


def _outcome(work: Callable[[], None]) -> Exception | None:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - it belongs to the one who asked
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
