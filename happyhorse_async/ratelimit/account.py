"""What one account may be asked: the budget that everything a client sends has to pass."""

from __future__ import annotations

import asyncio

from ..timing import Limits, RateLimitWindow
from .concurrency import ConcurrencyLimiter
from .limiter import RateLimiter
from .semaphore import PrioritySemaphore


class AccountLimits:
    """What one account may be asked, shared by all that hold it."""

    def __init__(self, limits: Limits, execution_timeout: float | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        # Each kind has places of its own on the way: submits that hang must not keep anybody from looking.
        self.queries = RateLimiter(limits.queries_per_second, at_once=limits.max_concurrent_queries, name="queries")
        self.submits = RateLimiter(limits.submits_per_second, at_once=limits.max_concurrent_submits, name="submits")
        self.downloads = PrioritySemaphore(limits.max_concurrent_downloads or 1)
        self.running = ConcurrencyLimiter(limits, execution_timeout)

    @classmethod
    def of(
        cls, limits: Limits | None, defaults: Limits, adapter: str, *, execution_timeout: float | None = None
    ) -> AccountLimits:
        """
        Return the budget of *limits*: the same for all clients of one event loop that were given the same object.

        :param execution_timeout: seconds after a submit in which the task has to end, see `Adapter`.
        """
        if limits is None:
            return cls(defaults.filled_from(Limits()), execution_timeout)
        budget = limits.shared.get(adapter)
        # Limits may outlive an event loop; locks cannot serve another.
        if not isinstance(budget, cls) or budget.loop is not asyncio.get_running_loop():
            budget = limits.shared[adapter] = cls(limits.filled_from(defaults), execution_timeout)
        return budget

    def observed(self, quota: RateLimitWindow, limiter: RateLimiter) -> None:
        """Take in what the provider said is left, in the answer to a request of *pacer*."""
        limiters = (self.queries, self.submits) if quota.shared else (limiter,)
        # The one that was answered still holds its turn.
        on_the_way = max(0, sum(each.busy for each in limiters) - 1)
        for each in limiters:
            each.observed(quota, on_the_way)
