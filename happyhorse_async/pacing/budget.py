"""What one account may be asked: the budget that everything a client sends has to pass."""

from __future__ import annotations

import asyncio

from ..timing import Limits, Quota
from .pacer import Pacer
from .places import Places
from .running import Running


class Budget:
    """What one account may be asked, shared by all that hold it."""

    def __init__(self, limits: Limits, gives_up_after: float | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        # Each kind has places of its own on the way: submits that hang must not keep anybody from looking.
        self.queries = Pacer(limits.queries_per_second, at_once=limits.queries_at_once, name="queries")
        self.submits = Pacer(limits.submits_per_second, at_once=limits.submits_at_once, name="submits")
        self.downloads = Places(limits.downloads_at_once or 1)
        self.running = Running(limits, gives_up_after)

    @classmethod
    def of(
        cls, limits: Limits | None, defaults: Limits, adapter: str, *, gives_up_after: float | None = None
    ) -> Budget:
        """
        Return the budget of *limits*: the same for all clients of one event loop that were given the same object.

        :param gives_up_after: seconds after a submit in which the task has to end, see `Adapter`.
        """
        if limits is None:
            return cls(defaults.filled_from(Limits()), gives_up_after)
        budget = limits.shared.get(adapter)
        # Limits may outlive an event loop; locks cannot serve another.
        if not isinstance(budget, cls) or budget.loop is not asyncio.get_running_loop():
            budget = limits.shared[adapter] = cls(limits.filled_from(defaults), gives_up_after)
        return budget

    def observed(self, quota: Quota, pacer: Pacer) -> None:
        """Take in what the provider said is left, in the answer to a request of *pacer*."""
        pacers = (self.queries, self.submits) if quota.shared else (pacer,)
        # The one that was answered still holds its turn.
        on_the_way = max(0, sum(each.busy for each in pacers) - 1)
        for each in pacers:
            each.observed(quota, on_the_way)
