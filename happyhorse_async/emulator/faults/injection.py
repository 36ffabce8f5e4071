"""Decides which fault is applied to which call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import count

from attrs import frozen

from ...errors import ConfigurationError
from ...messages import HttpResponse
from ...task import Task
from ..notifier import Notifier
from .fault import CallContext, Fault, Operation, RawResponse


@frozen
class Broken:
    """A response to be written byte by byte, and the injection that may hold it back."""

    raw_response: RawResponse
    injection: Injection


class Injection:
    """
    A fault that is switched on. Its methods may be called in any thread, and from any event loop.

    :param fault_id: its number in this emulator.
    :param times: to how many calls it is applied; `None`: to every one.
    :param after: how many matching calls are answered correctly first.
    :param seconds: for how long it is applied, from the first call on; `None`: without end.
    """

    def __init__(
        self,
        fault: Fault,
        *,
        fault_id: int,
        on: frozenset[Operation],
        provider: str | None,
        times: int | None,
        after: int,
        seconds: float | None,
    ) -> None:
        self.id = fault_id
        self.fault = fault
        self.on = on
        self.provider = provider
        self.applied = 0
        """The number of calls that it was applied to."""
        self._left = times
        self._skip = after
        self._seconds = seconds
        self._ends_at: float | None = None
        self._released = False
        self._notifier = Notifier()

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._left == 0

    def remove(self) -> None:
        """Switch it off. Responses that it holds back are sent."""
        self._left = 0
        self.release()

    def release(self) -> None:
        """Send the responses that it holds back, and hold back none from now on."""
        self._released = True
        self._notifier.notify()

    async def until(self, applied: int = 1) -> None:
        """Wait until it was applied to as many calls."""
        await self._notifier.wait_for(lambda: self.applied >= applied)

    async def released(self) -> None:
        """Wait until `release` is called."""
        await self._notifier.wait_for(lambda: self._released)

    def change_task(self, task: Task, call: CallContext) -> Task | None:
        """Return the task that the provider reports instead of *task*; `None`: it does not know it."""
        return task if self.fault.task is None else self.fault.task(task, call)

    def apply(self, response: HttpResponse, call: CallContext) -> HttpResponse | Broken:
        """Return *response* as changed by the fault."""
        changed = response if self.fault.response is None else self.fault.response(response, call)
        return Broken(changed, self) if isinstance(changed, RawResponse) else changed

    def matches(self, operation: Operation, provider: str, *, now: float) -> bool:
        """Return whether it is applied to the call at hand, and count it."""
        if self.over or operation not in self.on or self.provider not in (None, provider):
            return False
        if self._skip:
            self._skip -= 1
            return False
        if self._seconds is not None:
            self._ends_at = now + self._seconds if self._ends_at is None else self._ends_at
            if now >= self._ends_at:
                self._left = 0
                return False
        if self._left is not None:
            self._left -= 1
        self.applied += 1
        self._notifier.notify()
        return True


class Faults:
    """The active faults in the order of their injection, and the number of calls."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, Operation]] = Counter()
        """The number of calls, by provider and operation."""
        self._numbers = count(1)
        self._injections: list[Injection] = []
        self._of_polls: dict[tuple[str, str | None], Injection | None] = {}

    def add(
        self,
        fault: Fault,
        *,
        on: Operation | str | Iterable[str] | None = None,
        provider: str | None = None,
        times: int | None = 1,
        after: int = 0,
        seconds: float | None = None,
    ) -> Injection:
        """
        Switch *fault* on; see `Emulator.inject`.

        :raises ConfigurationError: it cannot be applied to one of these operations, or a number is negative.
        """
        operations = fault.on if on is None else _operations(on)
        if not operations <= fault.on:
            wrong = ", ".join(sorted(operations - fault.on))
            raise ConfigurationError(f"the fault {fault.summary!r} cannot be applied to {wrong}")
        if min(after, times or 0, seconds or 0) < 0:
            raise ConfigurationError("times, after and seconds of a fault must be at least 0")
        injection = Injection(
            fault,
            fault_id=next(self._numbers),
            on=operations,
            provider=provider,
            times=times if seconds is None else None,
            after=after,
            seconds=seconds,
        )
        self._injections.append(injection)
        return injection

    def next(self, operation: Operation, provider: str, *, now: float, task_id: str | None = None) -> Injection | None:
        """
        Count a call, and return the fault to apply: of several, the one that was switched on first.

        At a provider with a separate result request, a poll has two calls. A fault of the first applies to both, and
        counts once.
        """
        self.calls[provider, operation] += 1
        active = self.active
        self._injections = list(active)
        found = next((injection for injection in active if injection.matches(operation, provider, now=now)), None)
        if operation is Operation.RESULT:
            return found or self._of_polls.get((provider, task_id))
        if operation is Operation.QUERY:
            self._of_polls[provider, task_id] = found
        return found

    @property
    def active(self) -> tuple[Injection, ...]:
        """The active faults."""
        return tuple(injection for injection in self._injections if not injection.over)

    def clear(self) -> None:
        """Switch every fault off."""
        for injection in self._injections:
            injection.remove()
        self._injections = []
        self._of_polls = {}


def _operations(on: Operation | str | Iterable[str]) -> frozenset[Operation]:
    words = [on] if isinstance(on, str) else list(on)
    try:
        return frozenset(Operation(word) for word in words)
    except ValueError:
        known = ", ".join(Operation)
        raise ConfigurationError(f"a fault is applied to {known}, not to {', '.join(map(repr, words))}") from None
