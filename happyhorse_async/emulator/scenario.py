"""
The timeline and end of a task. Pure, and repeatable by seed.

All times are emulated seconds, before the emulator's speed divides them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from attrs import field, frozen

from ..errors import ConfigurationError
from ..request import VideoRequest
from ..task import FailureReason


@frozen(kw_only=True)
class SimulatedTask:
    """
    How one task goes.

    :raises ConfigurationError: a duration is negative.
    """

    queue: float = 2.0
    """Seconds for which it is PENDING; `math.inf`: for ever."""
    run: float = 90.0
    """Seconds for which it is RUNNING; `math.inf`: for ever."""
    failure: FailureReason | None = None
    """Why it fails; `None`: it succeeds. NO_OUTPUT is a success that delivers no video."""

    def __attrs_post_init__(self) -> None:
        if not (self.queue >= 0 and self.run >= 0):
            raise ConfigurationError(
                f"queue and run of a SimulatedTask must be at least 0, not {self.queue!r} and {self.run!r}"
            )


Choice: TypeAlias = Callable[[VideoRequest, int], SimulatedTask | None]
"""Takes a request and its number among the provider's tasks, counted from 1. `None`: the task is random."""


def _failures(value: Mapping[FailureReason, float] | None) -> Mapping[FailureReason, float]:
    return MappingProxyType(dict(value or {}))


@frozen(kw_only=True)
class Scenario:
    """
    How the tasks of an emulated provider go.

    The same seed gives the n-th task of a provider the same durations and the same end, independent of the others.

    :raises ConfigurationError: a range is not in order, or the shares add up to more than 1.
    """

    queue: tuple[float, float] = (1.0, 4.0)
    """The shortest and the longest time in the queue, in seconds."""
    run: tuple[float, float] = (60.0, 180.0)
    """The shortest and the longest run, in seconds."""
    failures: Mapping[FailureReason, float] = field(factory=dict[FailureReason, float], converter=_failures, hash=False)
    """The share of tasks that fail for each reason, from 0 to 1."""
    stuck: float = 0.0
    """The share of tasks that run for ever, from 0 to 1."""
    choose: Choice | None = None
    """Decides for single requests."""

    def __attrs_post_init__(self) -> None:
        for low, high in (self.queue, self.run):
            if not 0 <= low <= high < math.inf:
                raise ConfigurationError(
                    f"queue and run must be in order: two numbers of at least 0, not {low!r} and {high!r}"
                )
        shares = [*self.failures.values(), self.stuck]
        if min(shares) < 0 or sum(shares) > 1 + 1e-9:
            raise ConfigurationError("the shares of failed and stuck tasks must be at least 0, and at most 1 together")

    def simulated(self, request: VideoRequest, number: int, *, seed: str) -> SimulatedTask:
        """Return the timeline of *request*, the provider's task *number* counted from 1."""
        chosen = self.choose(request, number) if self.choose is not None else None
        return chosen or self._by_chance(random.Random(f"{seed}/{number}"))

    def _by_chance(self, chance: random.Random) -> SimulatedTask:
        # The order of the draws is fixed, so that a change of the failures does not affect the durations.
        queue, run, outcome = chance.uniform(*self.queue), chance.uniform(*self.run), chance.random()
        for reason, share in self.failures.items():
            if outcome < share:
                return SimulatedTask(queue=queue, run=run, failure=reason)
            outcome -= share
        return SimulatedTask(queue=queue, run=math.inf if outcome < self.stuck else run)
