"""
A rate limiter: how fast requests of one kind may follow one another, and how many may be in flight.

The next slot is granted at the latest of four times, each from a rule of its own:

    pause     after a 429: exponential backoff, or the provider's `Retry-After`
    window    never more than `rate * window` slots in any time of one window's length
    burst     a few slots at once after a quiet time; from then on evenly spaced
    provider  what the provider's headers say is left of its own window
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from types import TracebackType

from attrs import define

from ..logs import get_logger
from ..retry import LONGEST_WAIT, Backoff
from ..timing import RateLimitWindow

_log = get_logger(__name__)

_BACKOFF = Backoff(initial=0.5, maximum=30.0)
# A timer may fire slightly early, and the rest may be too short for some clocks.
_SHORTEST_TIMER = 0.001
_BURST = 10
# Timers are too coarse to space slots by less than the first, or bursts by less than the second, in seconds.
_SHORTEST_STEP = 0.002
_TICK = 0.01
# A longer window costs memory and does not change the rate noticeably.
_LARGEST_WINDOW = 1000

# A 429 reduces the rate to this share, but never below the minimum share of the full rate. Without another 429 the rate
# grows linearly, from zero to the full rate in the recovery time.
_REDUCTION = 0.7
_MINIMUM = 0.01
_RECOVERY = 300.0
# Requests that were in flight together are refused together: they reduce the rate once.
_BETWEEN_REDUCTIONS = 1.0
# How long to wait for an empty window of unknown end. The next response shows what is left then.
_UNKNOWN_RESET = 10.0


class _Rate:
    """The rate in slots a second: reduced by refusals, recovering over time. `rate` and `window` never change state."""

    def __init__(self, full: float) -> None:
        self.full = full
        self.largest_count = min(max(1, int(full)), _LARGEST_WINDOW)
        self.burst = max(_BURST, int(full * _TICK))
        self._shortest_window = self.largest_count / full
        self.reduced: float | None = None
        """The rate at the last refusal; `None` for the full rate."""
        self._recovers_from = 0.0
        self._next_reduction = 0.0

    def at(self, now: float) -> float:
        """Return the rate at *now*."""
        if self.reduced is None:
            return self.full
        return min(self.full, self.reduced + self.full / _RECOVERY * max(0.0, now - self._recovers_from))

    def window(self, now: float) -> tuple[int, float]:
        """Return how many slots are allowed in how many seconds."""
        if self.reduced is None:
            return self.largest_count, self._shortest_window
        rate = self.at(now)
        count = max(1, math.ceil(rate * self._shortest_window - 1e-9))
        # Never a shorter window than that of the full rate, so the full rate holds also while the rate changes.
        return count, max(self._shortest_window, count / rate)

    def reduce(self, now: float, recovers_from: float) -> float | None:
        """Reduce the rate, and return the new one; `None` if it was reduced just before."""
        if now < self._next_reduction:
            return None
        self._next_reduction = now + _BETWEEN_REDUCTIONS
        self.reduced = max(self.at(now) * _REDUCTION, self.full * _MINIMUM)
        self._recovers_from = recovers_from
        return self.reduced

    def forget_reduction(self, now: float) -> None:
        """Drop a reduction that has recovered in full."""
        if self.reduced is not None and self.at(now) >= self.full:
            self.reduced = None


@define
class _ProviderWindow:
    """What the provider's headers say is left of its own window."""

    limit: int
    remaining: int
    ends: float

    def next_slot(self, last: float) -> float:
        """Return when the next slot may be granted, after one at *last*."""
        if self.remaining <= 0:
            return self.ends
        # The first half of a window may be used in a burst. The second half is spread over the remaining time, so that
        # later requests do not all wait for the next window.
        return last + (self.ends - last) / self.remaining if self.remaining * 2 < self.limit else 0.0


@define
class _Pause:
    """The pause after refusals."""

    until: float = 0.0
    refusals: int = 0

    def extend(self, now: float, retry_after: float | None) -> float:
        """Extend the pause, and return the seconds that this refusal asks for."""
        # Requests that were in flight together are refused together, and count once.
        if now >= self.until:
            self.refusals += 1
        delay = _BACKOFF.delay(max(0, self.refusals - 1), retry_after)
        self.until = max(self.until, now + delay)
        return delay


class RateLimiter:
    """
    Grants slots for requests, first come first served. A slot is held while the request is in flight.

    Use it as a context manager, or call `acquire` and `release`. A free slot is granted without yielding to the event
    loop.

    :param per_second: the rate limit; `None` for none.
    :param max_concurrent: how many slots may be held at the same time; `None` for any number.
    :param name: what the requests are, for log lines.
    """

    def __init__(self, per_second: float | None, *, max_concurrent: int | None = None, name: str = "requests") -> None:
        self.name = name
        self.in_use = 0
        """How many slots are held."""
        self.waiting = 0
        """How many callers wait for a slot."""
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        self._rate = _Rate(per_second) if per_second else None
        self._granted: deque[float] = deque(maxlen=self._rate.largest_count if self._rate else 1)
        self._max_concurrent = max_concurrent or math.inf
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._pause = _Pause()
        self._provider_window: _ProviderWindow | None = None

    @property
    def rate(self) -> float | None:
        """Slots a second at present; `None` for no limit."""
        now = self._loop.time()
        rate, window = self._rate.at(now) if self._rate else None, self._provider_window
        if window is None or window.ends <= now:
            return rate
        return min(rate or math.inf, max(0, window.remaining) / (window.ends - now))

    def free(self) -> bool:
        """Return whether `acquire` would return immediately."""
        return self._is_free(self._loop.time())

    def _is_free(self, now: float) -> bool:
        return not self.waiting and self.in_use < self._max_concurrent and self._next_slot(now) <= now

    async def acquire(self) -> None:
        """Wait for a slot, and hold it until `release`. A cancelled waiter leaves the queue and uses no slot."""
        now = self._loop.time()
        if self._is_free(now):
            self._grant(now)
            return
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        self.waiting += 1
        self._serve()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self.waiting -= 1
            else:
                self.release()
            raise

    async def renew(self, granted_at: float) -> None:
        """
        Wait again if others may have used the time of a slot since *granted_at*. The caller still holds it.

        Here they have not: only what several processes share is lost by being late.
        """

    def count_another(self) -> None:
        """
        Count one more request, which whoever holds a slot sends within it. Those that follow wait the longer.

        Waiting for a second slot with one in hand could block all holders for good.
        """
        self.in_use -= 1
        self._grant(self._loop.time())

    def release(self) -> None:
        """Give back a slot: its request is no longer in flight."""
        self.in_use -= 1
        if self.waiting:
            self._serve()

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _serve(self) -> None:
        now = self._loop.time()
        while self._waiters:
            if self._waiters[0].done():
                self._waiters.popleft()
                continue
            if self.in_use >= self._max_concurrent:
                return
            delay = self._next_slot(now) - now
            if delay > 0:
                self._serve_after(delay)
                return
            waiter = self._waiters.popleft()
            self.waiting -= 1
            self._grant(now)
            waiter.set_result(None)

    def _serve_after(self, delay: float) -> None:
        # A timer that fires too early, because a refusal has extended the pause since, is set again by `_serve`.
        if self._timer is None:
            self._timer = self._loop.call_later(max(delay, _SHORTEST_TIMER), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._serve()

    def _grant(self, now: float) -> None:
        self.in_use += 1
        self._granted.append(now)
        if self._rate is not None and self._rate.reduced is not None:
            self._rate.forget_reduction(now)
        if self._provider_window is not None:
            self._provider_window.remaining -= 1
            if self._provider_window.ends <= now:
                self._provider_window = None

    def _next_slot(self, now: float) -> float:
        """Return when the next slot may be granted: the latest of the times that the four rules give."""
        granted, due = self._granted, self._pause.until
        if self._rate is not None:
            count, seconds = self._rate.window(now)
            if len(granted) >= count:
                due = max(due, granted[-count] + seconds)
            burst = min(count, self._rate.burst)
            if len(granted) >= burst:
                due = max(due, _after_burst(granted, burst, seconds / count))
        window = self._provider_window
        if window is not None and window.ends > now:
            due = max(due, window.next_slot(granted[-1] if granted else self._started_at))
        return due

    def back_off(self, retry_after: float | None) -> None:
        """
        Pause all requests, and reduce the rate: the provider has answered 429.

        :param retry_after: how long the provider wants to be left alone, in seconds, if it says so.
        """
        now = self._loop.time()
        is_first = now >= self._pause.until
        pause = self._pause.extend(now, retry_after)
        if not is_first:
            return
        if retry_after is not None and retry_after > LONGEST_WAIT:
            message = "the provider asks for no %s for %.0f s (Retry-After); the next one is sent in %.0f s anyway"
            _log.warning(message, self.name, retry_after, pause)
        if self._rate is not None:
            before, reduced = self._rate.at(now), self._rate.reduce(now, self._pause.until)
            if reduced is not None:
                message = "rate limit exceeded (429): no %s for %.1f s, then %.3g per second instead of %.3g"
                _log.info(message, self.name, pause, reduced, before)

    def succeeded(self) -> None:
        """Note that a request was not refused: the next pause is a short one again."""
        self._pause.refusals = 0

    def apply_window(self, window: RateLimitWindow, in_flight: int) -> None:
        """
        Apply what the provider's headers say about its window.

        :param in_flight: how many requests the provider may not have counted yet.
        """
        reset_after = _UNKNOWN_RESET if window.reset_after is None else window.reset_after
        self._provider_window = _ProviderWindow(
            limit=window.limit, remaining=window.remaining - in_flight, ends=self._loop.time() + reset_after
        )


def _after_burst(granted: deque[float], burst: int, step: float) -> float:
    """
    Return when the next slot may be granted after a burst.

    A burst of *burst* slots at once is allowed, for that is how providers count. Each is worth *step* seconds. After a
    burst the slots come evenly, one in each step: two bursts at the edges of a window may arrive together, and would
    be counted together.
    """
    first, last = granted[-burst], granted[-1]
    if last - first < 2 * burst * step and step > _SHORTEST_STEP:
        return max(first + burst * step, last + step)
    return first + burst * step
