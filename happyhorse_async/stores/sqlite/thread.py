"""
One thread for the disk, because the event loop must not wait for it.

The event loop puts work into a queue. The work that has arrived while the last transaction was written makes the next
one. So one write costs one flush of the disk, and a thousand at once cost one flush as well. A caller that waits for a
result can be cancelled; the work itself goes on.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from attrs import frozen

from ...errors import StoreError
from ...logs import get_logger
from ..contract import Notify
from .database import Work
from .errors import FileLockedError

T = TypeVar("T")

_log = get_logger(__name__)

_LARGEST_BATCH = 512
_UPKEEP_INTERVAL = 60.0
# A change is mostly followed by others. The longer there was none, the more seldom the file is checked: these are the
# seconds since the last change, and those from one check to the next.
_WATCH_INTERVALS = ((5.0, 0.04), (30.0, 0.12), (math.inf, 0.25))
# While another process keeps the file locked, it is tried so often whether it still does.
_PROBE_INTERVAL = 1.0


class Resource(Protocol):
    """What the thread works on. Every method is called in the thread."""

    def open(self) -> None:
        """Get ready."""
        ...

    def run(self, works: Sequence[Work], *, writes: bool, synced: bool) -> list[Any]:
        """
        Do *works* in one transaction, and return the result or the exception of each.

        :raises FileLockedError: another process is writing. Nothing was done.
        """
        ...

    def changes(self, *, own: bool) -> Collection[str] | None:
        """
        Return the ids of the jobs that have changed since the last call; `None` if that is not known.

        :param own: whether changes count that were made by `run`.
        """
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
    deadline: float
    """When to give up waiting for another process that writes."""
    writes: bool = False
    synced: bool = True


class StoreThread:
    """
    Runs a thread for *resource* from now until it is stopped, for the running event loop.

    :param patience: how many seconds an operation waits for another process that writes.
    """

    def __init__(self, resource: Resource, patience: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = self.loop.create_future()
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self._resource = resource
        self._queue: SimpleQueue[_Operation | None] = SimpleQueue()
        self._subscribers: dict[object, Notify] = {}
        self._changed_at = time.monotonic()
        self._stopping = False
        self.write_error: str | None = None
        """Why nothing can be written at present."""
        self._patience = patience
        self._waiting: list[_Operation] = []
        self._locked_at = 0.0
        self._thread = threading.Thread(target=self._run, name="happyhorse-store", daemon=True)
        self._thread.start()

    def read(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Do *work*, which writes nothing. Cancelling the future has no effect on the work."""
        return self._queue_up(work)

    def write(self, work: Callable[[sqlite3.Connection], T], *, synced: bool = True) -> asyncio.Future[T]:
        """
        Do *work*. Cancelling the future has no effect on the work.

        :param synced: whether the future is done only when it is on the disk, and not as soon as others can see it.
        """
        return self._queue_up(work, writes=True, synced=synced)

    def subscribe(self, notify: Notify) -> Callable[[], None]:
        """Call *notify* when jobs have changed, and return what ends this."""
        subscriber = object()
        self._subscribers[subscriber] = notify
        # Wakes the thread, which did not watch the file until now.
        self._queue_up(_nothing)

        def unsubscribe() -> None:
            self._subscribers.pop(subscriber, None)

        return unsubscribe

    def upkeep(self) -> asyncio.Future[None]:
        """Erase what has expired, now."""
        return self._queue_up(None)

    def stop(self) -> None:
        """End the thread after all work that was queued before."""
        self._queue.put(None)

    def _queue_up(self, work: Work | None, *, writes: bool = False, synced: bool = True) -> asyncio.Future[Any]:
        future = self.loop.create_future()
        # One process after the other waits in vain for a writer that was stopped, but each operation need not.
        patience = 0.0 if self.write_error else self._patience
        self._queue.put(_Operation(future, work, time.monotonic() + patience, writes, synced))
        return future

    def _run(self) -> None:
        try:
            self._resource.open()
        except Exception as error:  # noqa: BLE001 - it belongs to the caller that opened the store
            self._report([(self.opened, error), (self.closed, None)])
            return
        self._report([(self.opened, None)])
        upkeep_at = watch_at = probe_at = time.monotonic()
        while self._waiting or not self._stopping:
            now = time.monotonic()
            if self.write_error and now >= probe_at:
                self._do([])
                probe_at = time.monotonic() + _PROBE_INTERVAL
            if now >= upkeep_at:
                self._try_upkeep()
                upkeep_at = time.monotonic() + _UPKEEP_INTERVAL
            if self._subscribers and now >= watch_at:
                self._watch()
                watch_at = time.monotonic() + self._watch_interval()
            wake_at = min(upkeep_at, watch_at) if self._subscribers else upkeep_at
            wake_at = min(wake_at, probe_at) if self.write_error else wake_at
            self._do_batch(self._next_batch(0.0 if self._waiting else wake_at - time.monotonic()))
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
        works = [*self._waiting, *(operation for operation in batch if operation.work is not None)]
        self._waiting = []
        if works:
            self._do(works)
        for operation in batch:
            if operation.work is None:
                self._report([(operation.future, _outcome(partial(self._resource.upkeep, waits=True)))])

    def _do(self, works: Sequence[_Operation]) -> None:
        """Do *works* in one transaction. Nothing to do is a write as well: it shows whether writing is possible."""
        writes = not works or any(operation.writes for operation in works)
        synced = any(operation.writes and operation.synced for operation in works)
        done = [operation.work or _nothing for operation in works] or [_nothing]
        try:
            results = self._resource.run(done, writes=writes, synced=synced or not writes)
        except FileLockedError as locked:
            reads = [operation for operation in works if not operation.writes]
            if writes and reads:
                self._do(reads)
            self._wait([operation for operation in works if operation.writes or not writes], locked)
            return
        if writes and self.write_error:
            _log.warning("the job store can be written again after %.1f s", time.monotonic() - self._locked_at)
            self.write_error = None
        self._report([(operation.future, result) for operation, result in zip(works, results, strict=False)])

    def _wait(self, works: Sequence[_Operation], locked: FileLockedError) -> None:
        """Try *works* again, but for those that have waited long enough."""
        now = time.monotonic()
        over = [operation for operation in works if now >= operation.deadline]
        self._waiting += [operation for operation in works if now < operation.deadline]
        if not over:
            return
        error = locked.store_error()
        if not self.write_error:
            _log.warning("%s; nothing can be written until then", error.message)
            self._locked_at = now
        self.write_error = error.message
        self._report([(operation.future, StoreError(error.message)) for operation in over])

    def _watch(self) -> None:
        try:
            # The only subscriber knows what it has written itself.
            changed = self._resource.changes(own=len(self._subscribers) > 1)
        except sqlite3.Error as error:
            _log.info("the job store cannot be watched for changes: %s", error)
            return
        if changed is None or changed:
            self._changed_at = time.monotonic()
            # The event loop may be closed, and all subscribers with it.
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._notify, changed)

    def _watch_interval(self) -> float:
        quiet_for = time.monotonic() - self._changed_at
        return next(interval for quiet, interval in _WATCH_INTERVALS if quiet_for < quiet)

    def _notify(self, changed: Collection[str] | None) -> None:
        for notify in list(self._subscribers.values()):
            notify(changed)

    def _try_upkeep(self) -> None:
        failure = _outcome(partial(self._resource.upkeep, waits=False))
        if failure is not None:
            _log.info("the upkeep of the job store is postponed: %s", failure)

    def _report(self, outcomes: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
        # The event loop may be closed, and all callers with it.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(_settle, outcomes)


def _nothing(connection: sqlite3.Connection) -> None:
    """Do nothing, in the thread."""


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
