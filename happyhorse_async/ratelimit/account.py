"""
The limits of one account: everything that a client sends has to pass them.

Beside its rates, an account limits how many tasks the provider has at the same time, running and in its own queue. A
task gains nothing from waiting in the provider's queue: it only has to be long enough that the provider never runs out
of work. It can lose, though. DashScope ends a task three hours after its submit, even if it never began to run. So the
client hands over only as many tasks as certainly finish in time, and keeps the others, where waiting costs nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable
from weakref import WeakKeyDictionary

from attrs import frozen

from ..timing import Limits, RateLimitWindow
from .limiter import RateLimiter
from .semaphore import PrioritySemaphore

LONGEST_RUN = 900.0
"""Seconds that a video takes at most: providers speak of 1 to 15 minutes."""


@frozen(eq=False, weakref_slot=False)
class Permit:
    """One task that counts as running or queued at the provider."""

    _limiter: ConcurrencyLimiter
    _queue_key: str

    def release(self) -> None:
        """Stop counting the task. Call it once."""
        self._limiter.release(self._queue_key)


class ConcurrencyLimiter:
    """
    Counts the unfinished tasks at the provider, separately for each queue key: the model where the provider counts per
    model, otherwise one key for all.

    :param execution_timeout: seconds after its submit in which the provider ends a task that has not finished; `None`
        if it does not. With *n* tasks running at a time that take `LONGEST_RUN` at most, the last of
        `n * execution_timeout / LONGEST_RUN` tasks still finishes in time. More are never handed over.
    """

    def __init__(self, limits: Limits, execution_timeout: float | None = None) -> None:
        self.listeners: set[Callable[[], object]] = set()
        """Called when a permit was released."""
        self.max_tasks = limits.max_tasks
        """How many tasks per queue key the provider may have; `None` for no limit."""
        if self.max_tasks is not None and execution_timeout is not None:
            running = limits.max_running or 1
            in_time = int(running * execution_timeout / LONGEST_RUN)
            # Twice the running ones are always enough work for the provider.
            self.max_tasks = min(self.max_tasks, max(2 * running, in_time))
        self._counts: Counter[str] = Counter()

    def count(self, queue_key: str) -> int:
        """Return how many tasks are counted under *queue_key*."""
        return self._counts[queue_key]

    def has_room(self, queue_key: str) -> bool:
        """Return whether another task may be submitted."""
        return self.max_tasks is None or self._counts[queue_key] < self.max_tasks

    def acquire(self, queue_key: str) -> Permit | None:
        """
        Count one more task; `None` where there is no limit. Does not wait.

        A task that was submitted earlier and is resumed now is counted even if there is no room left.
        """
        if self.max_tasks is None:
            return None
        self._counts[queue_key] += 1
        return Permit(self, queue_key)

    def release(self, queue_key: str) -> None:
        """Count one task less: see `Permit.release`."""
        self._counts[queue_key] -= 1
        for listener in list(self.listeners):
            listener()


class AccountLimits:
    """
    The limits of one account, shared by all clients that hold this object. Bound to the running event loop.

    :param limits: without anything left unset that has a default.
    :param execution_timeout: see `ConcurrencyLimiter`.
    """

    def __init__(self, limits: Limits, execution_timeout: float | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        # Submits and queries have separate concurrency limits, so hanging submits do not block polling.
        self.queries = RateLimiter(
            limits.queries_per_second, max_concurrent=limits.max_concurrent_queries, name="queries"
        )
        self.submits = RateLimiter(
            limits.submits_per_second, max_concurrent=limits.max_concurrent_submits, name="submits"
        )
        self.downloads = PrioritySemaphore(limits.max_concurrent_downloads or 1)
        self.running = ConcurrencyLimiter(limits, execution_timeout)

    @classmethod
    def of(
        cls,
        limits: Limits | None,
        defaults: Limits,
        account: Hashable,
        *,
        execution_timeout: float | None = None,
    ) -> AccountLimits:
        """
        Return the shared limits for *limits*: one object for all clients of an event loop that were given the same one.

        :param limits: the caller's; `None` for limits that are not shared.
        :param defaults: the adapter's, for what the caller has not set.
        :param account: what tells the account from others. Each has limits of its own.
        :param execution_timeout: see `ConcurrencyLimiter`.
        """
        if limits is None:
            return cls(defaults.filled_from(Limits()), execution_timeout)
        shared = _SHARED.setdefault(limits, {})
        # A `Limits` object may outlive an event loop, but locks cannot serve another loop.
        for key in [key for key in shared if key[0].is_closed()]:
            del shared[key]
        key = (asyncio.get_running_loop(), account)
        if key not in shared:
            shared[key] = cls(limits.filled_from(defaults), execution_timeout)
        return shared[key]

    def apply_window(self, window: RateLimitWindow, limiter: RateLimiter) -> None:
        """Apply the rate limit window that the provider announced in its answer to a request of *limiter*."""
        limiters = (self.queries, self.submits) if window.shared else (limiter,)
        # The request that was answered still holds its slot.
        in_flight = max(0, sum(each.in_use for each in limiters) - 1)
        for each in limiters:
            each.apply_window(window, in_flight)


_SHARED: WeakKeyDictionary[Limits, dict[tuple[asyncio.AbstractEventLoop, Hashable], AccountLimits]] = (
    WeakKeyDictionary()
)
"""What clients share through a `Limits` object, for as long as that object lives. Keyed by identity."""
