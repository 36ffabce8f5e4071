"""
Limits the number of an account's tasks at its provider.

Besides its rates, an account has a limit of running and queued tasks. A task gains nothing from waiting in the
provider's queue, which only has to be long enough that the provider never runs out of work. It can lose, though.
DashScope ends a task three hours after its submit, even if it never began to run. So the client hands over only as many
tasks as certainly finish in time, and keeps the others, where waiting costs nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from attrs import frozen

from ..timing import Limits

LONGEST_RUN = 900.0
"""The longest time for a video in seconds: providers state 1 to 15 minutes."""


@frozen(eq=False, weakref_slot=False)
class Permit:
    """One task that counts as running or queued at the provider."""

    _limiter: ConcurrencyLimiter
    _queue_key: str

    def release(self) -> None:
        """Stop counting the task. Call it once."""
        self._limiter.release(self._queue_key)


class ConcurrencyLimiter:
    """
    Counts the unfinished tasks at the provider, separately for each queue key: the model where the provider counts per
    model, otherwise one key for all.

    :param execution_timeout: seconds after its submit at which the provider ends an unfinished task; `None` if it does
        not. With *n* tasks running at a time that take `LONGEST_RUN` at most, the last of `n * execution_timeout /
        LONGEST_RUN` tasks still finishes in time. More are never submitted.
    """

    def __init__(self, limits: Limits, execution_timeout: float | None = None) -> None:
        self.listeners: set[Callable[[], object]] = set()
        """Called when a permit was released."""
        self.max_tasks = limits.max_tasks
        """How many tasks per queue key the provider may have; `None` for no limit."""
        if self.max_tasks is not None and execution_timeout is not None:
            running = limits.max_running or 1
            in_time = int(running * execution_timeout / LONGEST_RUN)
            # Twice the number of running tasks is always enough work for the provider.
            self.max_tasks = min(self.max_tasks, max(2 * running, in_time))
        self._counts: Counter[str] = Counter()

    def count(self, queue_key: str) -> int:
        """Return how many tasks are counted under *queue_key*."""
        return self._counts[queue_key]

    def has_room(self, queue_key: str) -> bool:
        """Return whether another task may be submitted."""
        return self.max_tasks is None or self._counts[queue_key] < self.max_tasks

    @property
    def changes_elsewhere(self) -> bool:
        """Whether room may appear without a notification: other processes count as well."""
        return False

    async def refresh(self) -> None:
        """Update the count of other processes: there are none."""

    def acquire(self, queue_key: str) -> Permit | None:
        """
        Count one more task; `None` where there is no limit. Does not wait.

        A task that was submitted earlier and is resumed now is counted even if there is no room left.
        """
        if self.max_tasks is None:
            return None
        self._counts[queue_key] += 1
        return Permit(self, queue_key)

    def release(self, queue_key: str) -> None:
        """Count one task fewer: see `Permit.release`."""
        self._counts[queue_key] -= 1
        for listener in list(self.listeners):
            listener()
