"""
Spaces the requests of an account for all processes that share a store: one row for each account and kind of request.

A process asks for a permit before each request, and is told how long to wait. It takes one at a time: a process that
was stopped would use permits taken in advance all at once.
"""

from __future__ import annotations

from attrs import evolve, frozen

LONGEST_PAUSE = 30.0
"""Seconds by which one refusal delays the requests of all processes, at most."""

PROBE = 1.0
"""Seconds from the first request after a pause to the next, at least."""
MOST_PERMITS_AHEAD = 30
"""The maximum of permits ahead: every process may hold one that it has not used yet."""
LONGEST_SPACING = 600.0
"""The longest time for which a provider's request for a lower rate applies, in seconds."""


@frozen
class Pace:
    """
    The earliest time of the next request of one kind. Times are in seconds, by the clock of the store.

    The clock of a store may jump, or begin anew when the machine is restarted. A time further ahead than any pause
    counts as due.
    """

    free_at: float
    """When the next permit is due."""
    is_probing: bool = False
    """Whether the next request shows if the provider accepts requests again. Others follow when it was answered."""
    spacing: float = 0.0
    """Seconds between permits at least, until `spacing_until`."""
    spacing_until: float = 0.0

    def permit(self, now: float, interval: float) -> tuple[Pace, float]:
        """
        Take a permit.

        :param interval: seconds from this permit to the next.
        :return: the row afterwards, and how many seconds to wait before the request is sent.
        """
        spacing = self._spacing_at(now)
        interval = max(interval, spacing)
        is_valid = self.free_at - now <= LONGEST_PAUSE + MOST_PERMITS_AHEAD * interval
        at = max(self.free_at, now) if is_valid else now
        next_at = at + (max(interval, PROBE) if self.is_probing else interval)
        after = Pace(next_at, spacing=spacing, spacing_until=self.spacing_until if spacing else 0.0)
        return after, at - now

    def held_back(self, now: float, *, pause: float, interval: float, lasting: float) -> Pace:
        """Return the row after a provider has asked for a lower rate; see `TaskStore.hold_back`."""
        after = self
        if pause > 0:
            until = now + min(pause, LONGEST_PAUSE)
            free_at = self.free_at if self.free_at - now <= LONGEST_PAUSE else now
            after = evolve(after, free_at=max(free_at, until), is_probing=True)
        if interval > self._spacing_at(now):
            after = evolve(after, spacing=interval, spacing_until=now + min(lasting, LONGEST_SPACING))
        return after

    def _spacing_at(self, now: float) -> float:
        return self.spacing if now < self.spacing_until <= now + LONGEST_SPACING else 0.0
