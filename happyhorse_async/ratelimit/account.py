"""The limits of one account, which apply to every request of a client."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Hashable
from weakref import WeakKeyDictionary

from ..job import Endpoint
from ..stores import TaskStore
from ..timing import Limits, RateLimitWindow
from .concurrency import ConcurrencyLimiter
from .limiter import RateLimiter
from .semaphore import PrioritySemaphore
from .shared import SharedConcurrencyLimiter, SharedRateLimiter

_CLOSING_GRACE = 1.0


class AccountLimits:
    """
    The limits of one account, shared by all clients that hold this object. Bound to the running event loop.

    :param limits: with all defaults filled in.
    :param execution_timeout: see `ConcurrencyLimiter`.
    :param store: the store through which processes share the limits, if there is one.
    :param row: the name of the account in the store.
    :param per_model: whether the provider counts tasks per model.
    """

    def __init__(
        self,
        limits: Limits,
        execution_timeout: float | None = None,
        *,
        store: TaskStore | None = None,
        row: str = "",
        per_model: bool = False,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        self._store = store
        self._row = row
        # Submits and queries have separate concurrency limits, so hanging submits do not block polling.
        self.queries = self._limiter("queries", limits.queries_per_second, limits.max_concurrent_queries)
        self.submits = self._limiter("submits", limits.submits_per_second, limits.max_concurrent_submits)
        self.downloads = PrioritySemaphore(limits.max_concurrent_downloads or 1)
        self.running: ConcurrencyLimiter = (
            ConcurrencyLimiter(limits, execution_timeout)
            if store is None
            else SharedConcurrencyLimiter(limits, store, per_model=per_model, execution_timeout=execution_timeout)
        )

    def _limiter(self, name: str, per_second: float | None, max_concurrent: int | None) -> RateLimiter:
        if self._store is None:
            return RateLimiter(per_second, max_concurrent=max_concurrent, name=name)
        return SharedRateLimiter(
            per_second,
            self._store,
            f"{self._row}/{name}",
            max_concurrent=max_concurrent,
            name=name,
            needs_store=name == "submits",
        )

    def serve(self, endpoint: Endpoint) -> None:
        """Count the tasks of an endpoint of the account."""
        if isinstance(self.running, SharedConcurrencyLimiter):
            self.running.endpoints.add(endpoint)

    async def aclose(self) -> None:
        """Wait briefly until other processes have the state of this one."""
        for limiter in (self.queries, self.submits):
            if isinstance(limiter, SharedRateLimiter):
                await limiter.settle(_CLOSING_GRACE)

    @classmethod
    def of(
        cls,
        limits: Limits | None,
        defaults: Limits,
        account: Hashable,
        *,
        execution_timeout: float | None = None,
        store: TaskStore | None = None,
        per_model: bool = False,
    ) -> AccountLimits:
        """
        Return the shared limits for *limits*: one object for all clients of an event loop that were given the same one.

        :param limits: the caller's; `None` for limits that are not shared.
        :param defaults: the adapter's, for fields that the caller has not set.
        :param account: identifies the account. Each account has its own limits.
        :param execution_timeout: see `ConcurrencyLimiter`.
        :param store: the client's. Processes that share it share the limits.
        :param per_model: whether the provider counts tasks per model.
        """
        common = store if store is not None and store.is_shared else None
        row = hashlib.sha256(repr(account).encode()).hexdigest()[:16]
        if limits is None:
            return cls(defaults.filled_from(Limits()), execution_timeout, store=common, row=row, per_model=per_model)
        shared = _SHARED.setdefault(limits, {})
        # A `Limits` object may outlive an event loop, but locks cannot serve another loop.
        for key in [key for key in shared if key[0].is_closed()]:
            del shared[key]
        key = (asyncio.get_running_loop(), (account, None if common is None else id(common)))
        if key not in shared:
            shared[key] = cls(
                limits.filled_from(defaults), execution_timeout, store=common, row=row, per_model=per_model
            )
        return shared[key]

    def apply_window(self, window: RateLimitWindow, limiter: RateLimiter) -> None:
        """Apply the rate limit window that the provider announced in a response to a request of *limiter*."""
        limiters = (self.queries, self.submits) if window.shared else (limiter,)
        # The request that was answered still holds its slot.
        in_flight = max(0, sum(each.in_use for each in limiters) - 1)
        for each in limiters:
            each.apply_window(window, in_flight)


_SHARED: WeakKeyDictionary[Limits, dict[tuple[asyncio.AbstractEventLoop, Hashable], AccountLimits]] = (
    WeakKeyDictionary()
)
"""Limits that clients share through a `Limits` object, as long as that object lives. Keyed by identity."""
