"""How fast one account is asked: the budget that everything a client sends has to pass."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from .timing import Limits

_LONGEST_PAUSE = 30.0
# Timers go off a trifle early, and what is left is less than some clocks can count.
_SHORTEST_PAUSE = 0.001


class Pacer:
    """
    Hands out turns, first come first served, never more than the rate in any window of its length.

    A burst is let through up to what the window holds, and the rest waits: that is how providers count.
    """

    def __init__(self, per_second: float | None) -> None:
        self._count = max(1, int(per_second)) if per_second else 0
        self._window = self._count / per_second if per_second else 0.0
        self._granted: deque[float] = deque(maxlen=self._count or 1)
        self._paused_until = 0.0
        self._refusals = 0
        self._order = asyncio.Lock()

    async def turn(self) -> None:
        """Wait until it is this caller's turn. A caller that is cancelled gives its place to the next."""
        loop = asyncio.get_running_loop()
        async with self._order:
            while (delay := self._due() - loop.time()) > 0:  # noqa: ASYNC110 - a refusal may move the due time
                await asyncio.sleep(max(delay, _SHORTEST_PAUSE))
            self._granted.append(loop.time())

    def _due(self) -> float:
        full = self._count and len(self._granted) == self._count
        return max(self._paused_until, self._granted[0] + self._window if full else 0.0)

    def refused(self, retry_after: float | None) -> None:
        """Hold everybody back: the provider said that it was too much, and perhaps until when."""
        now = asyncio.get_running_loop().time()
        if now >= self._paused_until:
            # Those that were on their way together are refused together, which says it only once.
            self._refusals += 1
        pause = retry_after
        if pause is None:
            longest = min(_LONGEST_PAUSE, 0.5 * 2.0 ** min(self._refusals - 1, 10))
            pause = random.uniform(longest / 2, longest)
        self._paused_until = max(self._paused_until, now + pause)

    def accepted(self) -> None:
        """Note that the provider keeps up."""
        self._refusals = 0


class Budget:
    """What one account may be asked, shared by all that hold it."""

    def __init__(self, limits: Limits) -> None:
        self.loop = asyncio.get_running_loop()
        self.queries = Pacer(limits.queries_per_second)
        self.submits = Pacer(limits.submits_per_second)
        self.downloads = asyncio.Semaphore(limits.downloads_at_once or 1)
        self._requests = asyncio.Semaphore(limits.requests_at_once or 1)

    @classmethod
    def of(cls, limits: Limits | None, defaults: Limits, adapter: str) -> Budget:
        """Return the budget of *limits*: the same for all clients of one event loop that were given the same object."""
        if limits is None:
            return cls(defaults.filled_from(Limits()))
        budget = limits.shared.get(adapter)
        # Limits may outlive an event loop; locks cannot serve another.
        if not isinstance(budget, cls) or budget.loop is not asyncio.get_running_loop():
            budget = limits.shared[adapter] = cls(limits.filled_from(defaults))
        return budget

    @asynccontextmanager
    async def request(self, pacer: Pacer) -> AsyncGenerator[None]:
        """Hold a turn of *pacer* and one of the places on the way, in that order."""
        await pacer.turn()
        async with self._requests:
            yield
