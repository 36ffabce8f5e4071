"""Which fault is played on which call."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress

from attrs import frozen

from ...errors import ConfigurationError
from ...messages import HttpResponse
from .fault import CallContext, Fault, Operation, RawResponse


@frozen
class Broken:
    """An answer that has to be written byte by byte, and the injection that may hold it back."""

    raw_response: RawResponse
    injection: Injection


class Injection:
    """
    A fault that is switched on. Its methods may be called in any thread, and from any event loop.

    :param times: on how many calls it is played; `None`: on every one.
    :param after: how many calls that fit are let pass before.
    """

    def __init__(
        self, fault: Fault, *, on: frozenset[Operation], provider: str | None, times: int | None, after: int
    ) -> None:
        self.fault = fault
        self.on = on
        self.provider = provider
        self.played = 0
        """On how many calls it was played so far."""
        self._left = times
        self._passing = after
        self._released = False
        self._waiters: set[asyncio.Future[None]] = set()

    @property
    def over(self) -> bool:
        """Whether it is played no more."""
        return self._left == 0

    def remove(self) -> None:
        """Switch it off. What hangs goes on."""
        self._left = 0
        self.release()

    def release(self) -> None:
        """Let go what hangs, now and from now on."""
        self._released = True
        self._wake()

    async def until(self, count: int = 1) -> None:
        """Wait until it was played on *count* calls."""
        await self._wait(lambda: self.played >= count)

    async def released(self) -> None:
        """Wait until what hangs may go on."""
        await self._wait(lambda: self._released)

    async def _wait(self, is_so: Callable[[], bool]) -> None:
        # The one who waits and the one who says so may be on two event loops, in two threads.
        while not is_so():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                if not is_so():
                    await waiter
            finally:
                self._waiters.discard(waiter)

    def _wake(self) -> None:
        for waiter in tuple(self._waiters):
            # A loop that is closed has nobody left who waits.
            with suppress(RuntimeError):
                waiter.get_loop().call_soon_threadsafe(_settle, waiter)

    def play(self, answer: HttpResponse, context: CallContext) -> HttpResponse | Broken:
        """Give what the fault makes of *answer*."""
        changed = self.fault.answer(answer, context)
        return Broken(changed, self) if isinstance(changed, RawResponse) else changed

    def takes(self, operation: Operation, provider: str) -> bool:
        """Tell whether it is played on the call at hand, and count it."""
        if self.over or operation not in self.on or self.provider not in (None, provider):
            return False
        if self._passing:
            self._passing -= 1
            return False
        if self._left is not None:
            self._left -= 1
        self.played += 1
        self._wake()
        return True


def _settle(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class Faults:
    """The faults that are switched on, in the order in which they are, and the calls that came."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, Operation]] = Counter()
        """How many calls came, by provider and operation."""
        self._injections: list[Injection] = []

    def add(
        self,
        fault: Fault,
        *,
        on: Operation | str | Iterable[str] | None = None,
        provider: str | None = None,
        times: int | None = 1,
        after: int = 0,
    ) -> Injection:
        """
        Switch *fault* on.

        :raises ConfigurationError: it cannot be played on one of these operations, or a count is negative.
        """
        operations = fault.operations if on is None else _operations(on)
        if not operations <= fault.operations:
            wrong = ", ".join(sorted(operations - fault.operations))
            raise ConfigurationError(f"{type(fault).__name__} cannot be played on {wrong}")
        if after < 0 or (times is not None and times < 0):
            raise ConfigurationError("a number of calls must be at least 0")
        injection = Injection(fault, on=operations, provider=provider, times=times, after=after)
        self._injections.append(injection)
        return injection

    def next(self, operation: Operation, provider: str) -> Injection | None:
        """Count a call, and find the fault that is played on it: of several the one that was switched on first."""
        self.calls[provider, operation] += 1
        self._injections = [injection for injection in self._injections if not injection.over]
        return next((injection for injection in self._injections if injection.takes(operation, provider)), None)

    def clear(self) -> None:
        """Switch everything off."""
        for injection in self._injections:
            injection.remove()
        self._injections.clear()


def _operations(on: Operation | str | Iterable[str]) -> frozenset[Operation]:
    words = [on] if isinstance(on, str) else list(on)
    try:
        return frozenset(Operation(word) for word in words)
    except ValueError:
        known = ", ".join(Operation)
        raise ConfigurationError(f"a fault is played on {known}, not on {', '.join(map(repr, words))}") from None
