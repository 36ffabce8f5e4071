"""A limit on submits whose outcome a crash would leave unknown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

# Of the jobs in flight, so many may be in this state at once; and never fewer than the minimum.
_SHARE = 0.005
_MINIMUM = 2
_GRACE = 2.0


class UnprotectedSubmitLimit:
    """
    Limits how many submits are unanswered at the same time, where no idempotency key protects them.

    If the process crashes, each of them has an unknown outcome for good: it may have been paid for, and it cannot be
    sent again. The price of the limit is speed: with answers after one second, two at a time are two submits a second.

    A submit that has been unanswered for two seconds is not counted any more. It is at risk already, and delaying the
    others would not make that better.

    :param in_flight: returns how many unfinished jobs the client has.
    :param maximum: `Limits.max_unprotected_submits`. By default two, or 0.5 % of the jobs in flight if that is more.
    :param is_protected: whether the provider supports idempotency keys, so that there is no limit.
    """

    def __init__(self, in_flight: Callable[[], int], *, maximum: int | None = None, is_protected: bool = False) -> None:
        self._in_flight = in_flight
        self._maximum = maximum
        self._is_protected = is_protected
        self._counted: set[object] = set()
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def slot(self) -> AsyncGenerator[None]:
        """Wait for room, and count one submit from here to the exit, for two seconds at most."""
        while not self._has_room():
            self._changed.clear()
            await self._changed.wait()
        token = object()
        self._counted.add(token)
        timer = asyncio.get_running_loop().call_later(_GRACE, self._stop_counting, token)
        try:
            yield
        finally:
            timer.cancel()
            self._stop_counting(token)

    def recheck(self) -> None:
        """Let waiting submits check again. Call it when more jobs are in flight."""
        self._changed.set()

    def _has_room(self) -> bool:
        if self._is_protected:
            return True
        maximum = self._maximum or max(_MINIMUM, int(self._in_flight() * _SHARE))
        return len(self._counted) < maximum

    def _stop_counting(self, token: object) -> None:
        self._counted.discard(token)
        self._changed.set()
