"""
The limits of an account that several processes share: one row in their store spaces the requests of all.

Each process keeps its own limits as well, so that it slows down at once when it is refused. Whatever they allow waits
for a permit of the row. One permit is taken at a time: permits taken in advance would be used together after the
process has stood still.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from ..background import Background
from ..errors import StoreError
from ..job import Endpoint, JobState
from ..logs import get_logger
from ..timing import Limits, RateLimitWindow
from .concurrency import ConcurrencyLimiter
from .limiter import RateLimiter

_log = get_logger(__name__)

# The store is asked that often at most: at high rates, one permit of the row is for several requests.
_TICK = 0.02
# While the store is away, status requests go on at this share of the rate: other processes do the same.
_SHARE_WITHOUT_STORE = 0.25
_RETRY_STORE = 1.0
# Between a permit and its request the intent is recorded, which may take so long.
_SHORTEST_DELAY = 0.1
# A 429 reduces the rate of all processes for so long.
_REDUCED_FOR = 60.0
_BETWEEN_WINDOWS = 1.0
_AT_PROVIDER = (JobState.SUBMITTING, JobState.ACCEPTED)


class SharedPace(Protocol):
    """What of a store spaces requests; see `TaskStore`."""

    async def pace(self, name: str, interval: float) -> float:
        """Take a permit, and return the seconds to wait."""
        ...

    async def hold_back(self, name: str, *, pause: float = 0.0, interval: float = 0.0, lasting: float = 0.0) -> None:
        """Delay the requests of all processes."""
        ...


class SharedRateLimiter(RateLimiter):
    """
    A rate limiter whose slots are granted one after the other to all processes that share a store.

    :param store: what they share.
    :param row: the name of the account and the kind of request in it.
    :param needs_store: whether nothing is granted while the store cannot be reached.
    """

    def __init__(
        self,
        per_second: float | None,
        store: SharedPace,
        row: str,
        *,
        max_concurrent: int | None = None,
        name: str = "requests",
        needs_store: bool = False,
    ) -> None:
        super().__init__(per_second, max_concurrent=max_concurrent, name=name)
        self._store = store
        self._row = row
        self._needs_store = needs_store
        self._at_a_time = max(1, int((per_second or 0.0) * _TICK))
        self._left = 0
        self._left_until = 0.0
        self._last_rate = per_second
        self._next_permit = asyncio.Lock()
        self._is_away = False
        self._window_told_at = -math.inf
        self._writes = Background()

    def free(self) -> bool:
        """Return false: only the store knows, unless there is no limit."""
        return self._last_rate is None and super().free()

    async def acquire(self) -> None:
        """Wait for a slot here, and then for a permit of the row."""
        await super().acquire()
        if self._last_rate is None:
            return
        try:
            async with self._next_permit:
                await self._take_permit()
        except BaseException:
            self.release()
            raise

    async def renew(self, granted_at: float) -> None:
        """
        Take another permit if so much time has passed since *granted_at* that the next one of the row is due.

        The store may have stood still, or this process: then all processes would use at once what they had been given
        one after the other.
        """
        if self._last_rate is not None and self._loop.time() > granted_at + max(_SHORTEST_DELAY, 1.0 / self._last_rate):
            async with self._next_permit:
                await self._take_permit()

    async def _take_permit(self) -> None:
        now = self._loop.time()
        if self._left and now < self._left_until:
            self._left -= 1
            return
        self._last_rate = self.rate or self._last_rate or 1.0
        while True:
            try:
                wait = await self._store.pace(self._row, self._at_a_time / self._last_rate)
            except (StoreError, RuntimeError) as error:
                self._note_away(error)
                if self._needs_store:
                    await asyncio.sleep(_RETRY_STORE)
                    continue
                await asyncio.sleep(1.0 / (self._last_rate * _SHARE_WITHOUT_STORE))
                return
            self._is_away = False
            await asyncio.sleep(wait)
            self._left, self._left_until = self._at_a_time - 1, self._loop.time() + _TICK
            return

    def _note_away(self, error: Exception) -> None:
        if not self._is_away:
            share = "none are sent" if self._needs_store else "they go on at a quarter of their rate"
            _log.warning("the job store does not space the %s, %s: %s", self.name, share, error)
        self._is_away = True

    def back_off(self, retry_after: float | None) -> None:
        """Pause the requests of all processes, and reduce their rate."""
        before = self._pause.until
        super().back_off(retry_after)
        if self._pause.until > before and self._last_rate is not None:
            pause, rate = self._pause.until - self._loop.time(), self._rate.at(self._loop.time()) if self._rate else 0.0
            self._hold_back(pause=pause, interval=1.0 / rate if rate else 0.0, lasting=pause + _REDUCED_FOR)

    def apply_window(self, window: RateLimitWindow, in_flight: int) -> None:
        """Apply what the provider's headers say, and tell the other processes if little is left."""
        super().apply_window(window, in_flight)
        now, ends = self._loop.time(), self._provider_window.ends if self._provider_window else 0.0
        left = ends - now
        if window.remaining * 2 >= window.limit or left <= 0 or now < self._window_told_at + _BETWEEN_WINDOWS:
            return
        self._window_told_at = now
        pause = left if window.remaining <= 0 else 0.0
        self._hold_back(pause=pause, interval=left / max(1, window.remaining), lasting=left)

    def _hold_back(self, **how: float) -> None:
        self._writes.spawn(self._try_hold_back(how))

    async def _try_hold_back(self, how: Mapping[str, Any]) -> None:
        try:
            await self._store.hold_back(self._row, **how)
        except (StoreError, RuntimeError) as error:
            self._note_away(error)

    async def settle(self, grace: float) -> None:
        """Wait until the store has what it was told."""
        await self._writes.settle(grace)


class CountedTasks(Protocol):
    """What of a store counts tasks; see `TaskStore`."""

    async def count(self, endpoints: list[Endpoint], states: tuple[JobState, ...]) -> Mapping[str, int]:
        """Return how many jobs are in the states, by model."""
        ...


class SharedConcurrencyLimiter(ConcurrencyLimiter):
    """
    Counts the unfinished tasks at the provider, those of other processes included.

    :param store: what the processes share.
    :param per_model: whether the provider counts per model.
    """

    def __init__(
        self, limits: Limits, store: CountedTasks, *, per_model: bool, execution_timeout: float | None = None
    ) -> None:
        super().__init__(limits, execution_timeout)
        self._store = store
        self._per_model = per_model
        self._elsewhere: Counter[str] = Counter()
        self.endpoints: set[Endpoint] = set()
        """Those of the account."""

    @property
    def changes_elsewhere(self) -> bool:
        """Whether room may appear without a notice."""
        return self.max_tasks is not None

    def has_room(self, queue_key: str) -> bool:
        """Return whether another task may be submitted, as far as is known."""
        return self.max_tasks is None or self.count(queue_key) + self._elsewhere[queue_key] < self.max_tasks

    async def refresh(self) -> None:
        """Find out what other processes have at the provider. Without the store, the last count holds."""
        if self.max_tasks is None:
            return
        try:
            counts = await self._store.count(sorted(self.endpoints, key=str), _AT_PROVIDER)
        except (StoreError, RuntimeError):
            return
        found = Counter[str]()
        for model, count in counts.items():
            found[model if self._per_model else ""] += count
        self._elsewhere = Counter({key: max(0, count - self.count(key)) for key, count in found.items()})
