"""
The tasks that a provider has: how many there are, how fast they come through, and how many there may be.

Where a provider gives up what it has not ended some hours after the submit, more than it can end by then must not be
handed over. How many that are is not known beforehand: it is learned from the videos that come.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable

from attrs import define, field

from ..timing import Limits

USUAL_TIME = 180.0
"""Seconds that a video takes, as far as nothing is known. Few take longer, up to 15 minutes."""
# What of the time may be planned for. A provider may become slower while tasks wait there.
_PLANNED = 0.8
# So many videos, and twice as many as are made at once, tell a pace. It is believed for this long.
_FEWEST = 10
_BELIEVED = 3600.0
# A few ends that are seen late and together look faster than they were. So each foretells so many at most.
_FARTHEST = 10


@define(eq=False, weakref_slot=False)
class Permit:
    """A task among those that a provider has."""

    _line: _Line
    _was_sent: bool
    begun: float = field(init=False)
    made_before: int = field(init=False)
    """How many videos its line had when it came."""

    def __attrs_post_init__(self) -> None:
        self.begun = self._line.begin()
        self.made_before = self._line.made

    def end(self, *, made: bool) -> None:
        """
        Count it no longer. Call it once.

        :param made: whether its video was made, and it did not fail, was not cancelled and is still looked at.
        """
        self._line.end(self, made=made and self._was_sent)


class _Line:
    """The tasks that are counted together."""

    def __init__(self, at_once: int, listeners: set[Callable[[], object]]) -> None:
        self.count = 0
        self.made = 0
        self._at_once = at_once
        self._listeners = listeners
        self._clock = asyncio.get_running_loop().time
        self._last_made: deque[Permit] = deque(maxlen=max(_FEWEST, 2 * at_once))
        self._pace = 0.0
        self._told_by = 0
        self._learned_at = -math.inf

    @property
    def pace(self) -> float | None:
        """Videos a second, rather too few than too many; `None` where too little was seen of late."""
        return self._pace if self._clock() - self._learned_at <= _BELIEVED else None

    def room(self, seconds: float) -> int | None:
        """Return how many end within *seconds*; `None` where too little was seen of late."""
        pace = self.pace
        return None if pace is None else int(min(seconds * pace, self._told_by * _FARTHEST))

    def begin(self) -> float:
        """Count one more, and return the time."""
        self.count += 1
        return self._clock()

    def end(self, permit: Permit, *, made: bool) -> None:
        """Count one less."""
        if made:
            self.made += 1
            self._learn(permit)
        self.count -= 1
        if self.count < self._at_once:
            # While less is there than could be made at once, videos tell how fast they are asked for.
            self._last_made.clear()
        for listener in list(self._listeners):
            listener()

    def _learn(self, permit: Permit) -> None:
        self._last_made.append(permit)
        if len(self._last_made) == self._last_made.maxlen:
            now, first = self._clock(), self._last_made[0]
            # When the first came, as many as are made at once may have been about to end, or to be seen to have ended.
            self._told_by = self.made - first.made_before
            self._pace = (self._told_by - self._at_once) / max(now - first.begun, 1e-9)
            self._learned_at = now


class ConcurrencyLimiter:
    """
    The tasks that a provider has taken and not ended, counted in lines: one for each model, or one for all.

    What would be more than it may have waits here, where nothing is lost by waiting.
    """

    def __init__(self, limits: Limits, execution_timeout: float | None = None) -> None:
        """
        Begin with none.

        :param execution_timeout: seconds after a submit in which the task has to end; `None` where it has any time.
        """
        self.at_once = limits.max_running
        """How many of a line the provider runs at the same time; `None` means any number."""
        self.execution_timeout = execution_timeout
        self.listeners: set[Callable[[], object]] = set()
        """Called when a place has become free."""
        self._most = limits.max_tasks
        self._lines: dict[str, _Line] = {}

    def count(self, line: str) -> int:
        """Return how many tasks of *line* there are."""
        return self._lines[line].count if line in self._lines else 0

    def pace(self, line: str) -> float | None:
        """Return how many videos a second come of *line*, rather too few than too many; `None` where nobody knows."""
        return self._lines[line].pace if line in self._lines else None

    def has_room(self, line: str) -> bool:
        """Whether one more of *line* may be sent."""
        room = self._room(line)
        return room is None or self.count(line) < room

    def _room(self, line: str) -> int | None:
        if self._most is None or self.at_once is None or self.execution_timeout is None:
            return self._most
        room = self._lines[line].room(self.execution_timeout * _PLANNED) if line in self._lines else None
        if room is None:
            room = int(self.execution_timeout / USUAL_TIME * self.at_once)
        # Never so few that the provider might run out of them.
        return min(self._most, max(2 * self.at_once, room))

    def begin(self, line: str, *, was_sent: bool = True) -> Permit | None:
        """
        Count one more; `None` where nothing counts.

        :param was_sent: whether it was sent just now. How long another has waited and run is not known, and so its end
            tells nothing of the pace.
        """
        if self.at_once is None:
            return None
        if line not in self._lines:
            self._lines[line] = _Line(self.at_once, self.listeners)
        return Permit(self._lines[line], was_sent)
