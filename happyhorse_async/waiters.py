"""Who waits for a job: for its end, for its acceptance, or for every change of its task."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from weakref import WeakSet

from .task import Task

_QUEUE_SIZE = 100


class Subscription:
    """
    The changes of one task that its consumer has not taken yet.

    A consumer that falls far behind misses the oldest changes, never the last one, and never delays anyone else.
    """

    def __init__(self) -> None:
        self._tasks: deque[Task] = deque(maxlen=_QUEUE_SIZE)
        self._changed = asyncio.Event()

    def put(self, task: Task) -> None:
        """Add a change."""
        self._tasks.append(task)
        self._changed.set()

    def wake(self) -> None:
        """Let the consumer check whether more will come."""
        self._changed.set()

    def take(self) -> Task | None:
        """Take the oldest change; `None` if there is none yet."""
        return self._tasks.popleft() if self._tasks else None

    async def wait(self) -> None:
        """Wait until there may be a change. Cancelling this loses nothing."""
        self._changed.clear()
        await self._changed.wait()


class Waiters:
    """Everyone who waits for one job."""

    __slots__ = ("_observers", "_subscriptions", "_waiters")

    def __init__(self) -> None:
        # Nearly every job has one waiter, for which a list would need twice the memory.
        self._waiters: tuple[asyncio.Future[None], ...] = ()
        self._observers: tuple[asyncio.Future[None], ...] = ()
        self._subscriptions: WeakSet[Subscription] | None = None

    def __bool__(self) -> bool:
        """Whether anyone waits. Observers do not count: nothing is sent for them alone."""
        return bool(self._subscriptions) or any(_pending(self._waiters))

    def wait(self) -> asyncio.Future[None]:
        """Return a future that is done when something happens that a waiter has to know."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters = (*_pending(self._waiters), waiter)
        return waiter

    def observe(self) -> asyncio.Future[None]:
        """Return the same, without counting as someone who waits."""
        observer = asyncio.get_running_loop().create_future()
        self._observers = (*_pending(self._observers), observer)
        return observer

    def subscribe(self, last: Task | None) -> Subscription:
        """Return a queue of all changes from now on, which begins with *last*."""
        subscription = Subscription()
        if last is not None:
            subscription.put(last)
        if self._subscriptions is None:
            self._subscriptions = WeakSet()
        self._subscriptions.add(subscription)
        return subscription

    @property
    def has_subscriptions(self) -> bool:
        """Whether changes have to be published."""
        return bool(self._subscriptions)

    def publish(self, task: Task) -> None:
        """Add a change to every subscription."""
        for subscription in list(self._subscriptions or ()):
            subscription.put(task)

    def wake(self) -> None:
        """Wake everyone who waits."""
        woken = (*self._waiters, *self._observers)
        self._waiters = self._observers = ()
        for waiter in woken:
            if not waiter.done():
                waiter.set_result(None)
        for subscription in list(self._subscriptions or ()):
            subscription.wake()


def _pending(futures: Iterable[asyncio.Future[None]]) -> Iterator[asyncio.Future[None]]:
    # A waiter that was cancelled leaves its future behind.
    return (future for future in futures if not future.done())
