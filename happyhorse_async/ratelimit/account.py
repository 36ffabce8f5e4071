"""The limits of one account: everything that a client sends has to pass them."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from ..timing import Limits, RateLimitWindow
from .concurrency import ConcurrencyLimiter
from .limiter import RateLimiter
from .semaphore import PrioritySemaphore


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
        cls, limits: Limits | None, defaults: Limits, adapter: str, *, execution_timeout: float | None = None
    ) -> AccountLimits:
        """
        Return the shared limits for *limits*: one object for all clients of an event loop that were given the same one.

        :param limits: the caller's; `None` for limits that are not shared.
        :param defaults: the adapter's, for what the caller has not set.
        :param execution_timeout: see `ConcurrencyLimiter`.
        """
        if limits is None:
            return cls(defaults.filled_from(Limits()), execution_timeout)
        shared = _SHARED.setdefault(limits, {})
        # A `Limits` object may outlive an event loop, but locks cannot serve another loop.
        for key in [key for key in shared if key[0].is_closed()]:
            del shared[key]
        key = (asyncio.get_running_loop(), adapter)
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


_SHARED: WeakKeyDictionary[Limits, dict[tuple[asyncio.AbstractEventLoop, str], AccountLimits]] = WeakKeyDictionary()
"""What clients share through a `Limits` object, for as long as that object lives. Keyed by identity."""
