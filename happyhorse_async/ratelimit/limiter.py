"""Turns: how fast one kind of request may follow another, and how many may be on their way."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import deque
from types import TracebackType

from attrs import define

from ..retry import LONGEST_WAIT
from ..timing import RateLimitWindow

_log = logging.getLogger("happyhorse_async")

_LONGEST_PAUSE = 30.0
# Timers go off a trifle early, and what is left is less than some clocks can count.
_SHORTEST_PAUSE = 0.001
_JITTER = 0.5
_BURST = 10
# Timers are not exact enough to hand out single turns faster than the one, nor bursts faster than the other.
_SHORTEST_STEP = 0.002
_TICK = 0.01
# What a longer window would cost in memory, nobody would notice in the rate.
_LARGEST_WINDOW = 1000

# A refusal takes the rate down by this factor, to no less than this part of the full one. Without another it grows back
# by the same amount every second, from nothing to the full rate in this time.
_SHRINK = 0.7
_FLOOR = 0.01
_RECOVERY = 300.0
# Requests that were on their way together are refused together, which says it only once.
_CUTS_APART = 1.0


@define
class _Allowance:
    """What the provider said is left of its own window."""

    limit: int
    left: int
    ends: float

    def next_turn(self, last: float) -> float:
        """Tell when the next turn is due, after one at *last*."""
        if self.left <= 0:
            return self.ends
        # The first half may go in a burst. The second is spread over the time that is left, lest all that comes later
        # wait for the next window.
        return last + (self.ends - last) / self.left if self.left * 2 < self.limit else 0.0


class RateLimiter:
    """
    Hands out turns, first come first served: no more than the rate in any window of its length, and no more than a
    number of places on the way at once.

    A small burst is let through, for that is how providers count. Under load the turns are spread evenly: two bursts at
    the edges of a window are driven together by the network, and counted together.

    A refusal makes everybody pause and the rate shrink; it grows back while there is none. Used as `async with`, it
    holds a turn; `turn` and `leave` are the same by hand. A turn that is free costs no switch to another task.
    """

    def __init__(self, per_second: float | None, *, at_once: int | None = None, name: str = "requests") -> None:
        self.name = name
        self.waiting = 0
        """How many wait for a turn."""
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()
        self._full = per_second
        self._most = min(max(1, int(per_second)), _LARGEST_WINDOW) if per_second else 0
        self._window = self._most / per_second if per_second else 0.0
        self._burst = max(_BURST, int((per_second or 0.0) * _TICK))
        self._granted: deque[float] = deque(maxlen=self._most or 1)
        self._at_once = at_once or math.inf
        self._busy = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._paused_until = 0.0
        self._refusals = 0
        self._shrunk_to: float | None = None
        self._grows_from = 0.0
        self._next_cut = 0.0
        self._allowance: _Allowance | None = None

    @property
    def rate(self) -> float | None:
        """How many turns a second there are now; `None` where nothing limits them."""
        now = self._loop.time()
        rate, allowance = self._rate(now), self._allowance
        if allowance is None or allowance.ends <= now:
            return rate
        return min(rate or math.inf, max(0, allowance.left) / (allowance.ends - now))

    @property
    def busy(self) -> int:
        """How many turns are held."""
        return self._busy

    def free(self) -> bool:
        """Whether a turn asked for now would be given at once."""
        return self._is_free(self._loop.time())

    def _is_free(self, now: float) -> bool:
        return not self.waiting and self._busy < self._at_once and self._due(now) <= now

    async def acquire(self) -> None:
        """Wait for a turn, and hold it until `leave`. A caller that is cancelled gives its place to the next."""
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

    def release(self) -> None:
        """Give back a turn: its request is no longer on the way."""
        self._busy -= 1
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
            if self._busy >= self._at_once:
                return
            delay = self._due(now) - now
            if delay > 0:
                self._serve_after(delay)
                return
            waiter = self._waiters.popleft()
            self.waiting -= 1
            self._grant(now)
            waiter.set_result(None)

    def _serve_after(self, delay: float) -> None:
        # One that goes off too early, since a refusal has moved the due time, winds itself up again.
        if self._timer is None:
            self._timer = self._loop.call_later(max(delay, _SHORTEST_PAUSE), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._serve()

    def _grant(self, now: float) -> None:
        self._busy += 1
        self._granted.append(now)
        if self._allowance is not None:
            self._allowance.left -= 1

    def _due(self, now: float) -> float:
        due, granted = self._paused_until, self._granted
        last = granted[-1] if granted else self._begun
        if self._full is not None:
            most, window = (self._most, self._window) if self._shrunk_to is None else self._shrunk(self._full, now)
            due = max(due, _after_burst(granted, min(most, self._burst), window / most))
            if len(granted) >= most:
                due = max(due, granted[-most] + window)
        if self._allowance is not None:
            if self._allowance.ends <= now:
                self._allowance = None
            else:
                due = max(due, self._allowance.next_turn(last))
        return due

    def _rate(self, now: float) -> float | None:
        if self._full is None or self._shrunk_to is None:
            return self._full
        grown = self._shrunk_to + self._full / _RECOVERY * max(0.0, now - self._grows_from)
        if grown < self._full:
            return grown
        self._shrunk_to = None
        return self._full

    def _shrunk(self, full: float, now: float) -> tuple[int, float]:
        # The window never gets shorter than that of the full rate, which so holds while the rate changes.
        rate = self._rate(now) or full
        most = max(1, math.ceil(rate * self._window - 1e-9))
        return most, max(self._window, most / rate)

    def refused(self, retry_after: float | None) -> None:
        """Hold everybody back: the provider said that it was too much, and perhaps until when."""
        now = self._loop.time()
        together = now < self._paused_until
        if not together:
            self._refusals += 1
        if retry_after is None:
            longest = min(_LONGEST_PAUSE, 0.5 * 2.0 ** min(self._refusals - 1, 10))
            pause = random.uniform(longest / 2, longest)
        else:
            pause = min(retry_after, LONGEST_WAIT) + random.uniform(0, min(_JITTER, retry_after))
            if retry_after > LONGEST_WAIT and not together:
                message = "the provider wants no %s for %.0f s; it is asked again in %.0f s all the same"
                _log.warning(message, self.name, retry_after, pause)
        self._paused_until = max(self._paused_until, now + pause)
        if not together and now >= self._next_cut:
            self._shrink(now, pause)

    def _shrink(self, now: float, pause: float) -> None:
        self._next_cut = now + _CUTS_APART
        rate = self._rate(now)
        if rate is None or self._full is None:
            return
        self._shrunk_to = max(rate * _SHRINK, self._full * _FLOOR)
        self._grows_from = self._paused_until
        _log.info(
            "the provider refuses %s as too many: none for %.1f s, then %.3g a second instead of %.3g",
            self.name,
            pause,
            self._shrunk_to,
            rate,
        )

    def accepted(self) -> None:
        """Note that the provider keeps up."""
        self._refusals = 0

    def observed(self, quota: RateLimitWindow, on_the_way: int) -> None:
        """
        Note what the provider says is left.

        :param on_the_way: how many requests it may not have counted yet.
        """
        ends = self._loop.time() + quota.reset_after
        self._allowance = _Allowance(limit=quota.limit, left=quota.remaining - on_the_way, ends=ends)


def _after_burst(granted: deque[float], burst: int, step: float) -> float:
    """Tell when the next turn is due, after as many as may go at once, each of them worth *step* seconds."""
    if len(granted) < burst:
        return 0.0
    first, last = granted[-burst], granted[-1]
    if last - first < 2 * burst * step and step > _SHORTEST_STEP:
        return max(first + burst * step, last + step)
    return first + burst * step
