"""
Decides which processes are dead: those whose lock is missing, at a time when a living process would have its lock.

A restarted server, or a standby that was promoted, has forgotten every lock at once, so no process believes that
another one is dead before the server has been known for some time.
"""

from __future__ import annotations

import time
from collections.abc import Collection

# Longer than the longest pause between two attempts to reconnect.
_MISSING_FOR = 0.8


class Liveness:
    """
    What one process knows of the locks of all.

    :param takeover_after: how long the server must have been known before an owner without a lock is dead, in seconds.
    """

    def __init__(self, takeover_after: float) -> None:
        self._takeover_after = takeover_after
        self._locked_at: float | None = None
        self._known_since = 0.0
        # When each owner was first found without a lock, and when last.
        self._missing: dict[str, tuple[float, float]] = {}

    @property
    def has_lock(self) -> bool:
        """Whether this process holds its own lock."""
        return self._locked_at is not None

    @property
    def knows_the_dead(self) -> bool:
        """
        Whether the living have their locks, as far as this process can know.

        It needs a lock of its own, and a server that has been known for `takeover_after`, counted anew after each
        reconnect: what has cut its own connection may have cut those of others.
        """
        return self._locked_at is not None and time.monotonic() >= self._known_since + self._takeover_after

    def lock(self) -> None:
        """Note that this process has got its lock."""
        self._locked_at = time.monotonic()

    def disconnect(self) -> None:
        """Note that the lock went with the connection."""
        self._locked_at = None

    def know_server(self, seconds: float) -> None:
        """Note for how many *seconds* the server has been known."""
        self._known_since = time.monotonic() - max(0.0, seconds)

    def see(self, owner: str) -> None:
        """Note that *owner* has its lock."""
        self._missing.pop(owner, None)

    def dead(self, missing: Collection[str]) -> set[str]:
        """
        Return those of the owners *missing*, who have no lock at this moment, that are dead.

        A process that has just been started cannot know whether the connections of all others were cut at that moment.
        It waits until an owner has been missing for a while.
        """
        now = time.monotonic()
        if not self.knows_the_dead or self._locked_at is None:
            return set()
        if now >= self._locked_at + self._takeover_after:
            return set(missing)
        recent = {owner: seen for owner, seen in self._missing.items() if now < seen[1] + self._takeover_after}
        self._missing = recent | {owner: (recent.get(owner, (now, now))[0], now) for owner in missing}
        return {owner for owner in missing if now >= self._missing[owner][0] + _MISSING_FOR}
