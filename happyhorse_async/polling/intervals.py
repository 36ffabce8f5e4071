"""
When to look at a task next: what its schedule says, what earlier tasks have taught, and how crowded the account is.

A look has a price, counted in seconds for which an end goes unnoticed. It is what the adapter's advised interval comes
to for a task of ordinary length. Where one request looks at many tasks it falls, and where more looks are due than the
account allows it rises, so that those are left out first that would most likely see nothing.
"""

from __future__ import annotations

import math
import random

from ..job import Job
from ..task import Task, TaskStatus
from ..timing import PollSchedule
from ..tracked_job import TrackedJob
from .estimator import DurationEstimator, DurationModel

# An interval is meant for tasks of at least so many intervals. Shorter ones are looked at more often.
_INTERVALS = 8
# However cheap a look is, so many in an interval are enough.
_MOST_LOOKS = 8
_JITTER = 0.05
# Where a request is made anyway, tasks that are close to their next look are looked at along.
_CLOSE = 0.5
_CLOSE_OF_AGE = 0.1
# A look that comes after so many times the delay that was wanted tells of a crowd.
_LATEST = 10.0
_CROWD_INERTIA = 0.05
_TASKS_INERTIA = 0.2


class PollIntervals:
    """
    Says when each task is looked at next. Times are the event loop's, delays are in seconds.

    :param schedule: what the caller has set.
    :param advice: what the adapter advises.
    """

    def __init__(self, schedule: PollSchedule, advice: PollSchedule) -> None:
        self.schedule = schedule.advised_by(advice)
        self.estimator = DurationEstimator()
        self._own = schedule
        self._tasks_per_look = 1.0
        self._lateness = 0.0

    def kind(self, job: Job | None) -> DurationModel:
        """Return what is known of the kind of task that *job* asks for."""
        return self.estimator.kind(job.request if job else None)

    def after_submit(self, tracked: TrackedJob) -> float:
        """Seconds from the submit to the first look."""
        is_fixed = self._own.first_after is not None or (self._own.interval is not None and not tracked.has_callback)
        if is_fixed:
            return self.schedule.after_submit()
        return self.after_look(tracked, tracked.poll.submitted_at)

    def after_look(self, tracked: TrackedJob, now: float) -> float:
        """Seconds until the next look at a task that goes on *now*."""
        if tracked.has_callback:
            return self._jittered(self.schedule.reconcile)
        steady = self.schedule.after_look(tracked.poll.unchanged)
        is_fixed = self._own.interval is not None
        if is_fixed and self._tasks_per_look < 2:
            return steady
        kind = tracked.poll.model or self.kind(tracked.job)
        learned = self._learned(kind, now - tracked.poll.submitted_at - tracked.poll.queued_for)
        # Before anything is known, and where the caller has set an interval, no look is later than it says.
        return learned if kind.is_familiar and not is_fixed else min(steady, learned)

    def _learned(self, kind: DurationModel, age: float) -> float:
        interval = self.schedule.interval or 15.0
        if kind.is_familiar:
            interval = min(interval, kind.median / _INTERVALS)
        # In a time of that length an end, if it is equally likely at any moment, goes unnoticed for so long.
        price = interval * interval / (2 * kind.median)
        delay = max(kind.patience(max(age, 0.0), price * self._scarcity()), interval / _MOST_LOOKS)
        return min(self._jittered(delay), self._own.max_interval or math.inf)

    def _scarcity(self) -> float:
        # A page is shared by all tasks that it shows; but each that has ended costs a query more.
        return math.exp(2 * self._lateness) / max(1.0, self._tasks_per_look / 2)

    def _jittered(self, delay: float) -> float:
        spread = delay * _JITTER if self._own.jitter is None else min(self._own.jitter, delay)
        return delay + random.uniform(-spread, spread)

    def looked(self, tasks: int) -> None:
        """Note at how many tasks one request has looked."""
        self._tasks_per_look += _TASKS_INERTIA * (max(1, tasks) - self._tasks_per_look)

    def taken(self, tracked: TrackedJob, now: float) -> None:
        """Note that it is only *now* the turn of a watch that was due."""
        wanted, waited = tracked.poll.due - tracked.poll.active_at, now - tracked.poll.active_at
        late = math.log(min(waited / wanted, _LATEST)) if wanted > 0 else 0.0
        self._lateness += _CROWD_INERTIA * (late - self._lateness)

    def is_nearly_due(self, tracked: TrackedJob, now: float) -> bool:
        """Tell whether a look at a task is worth something now."""
        poll = tracked.poll
        return poll.due - now <= min(_CLOSE * (poll.due - poll.active_at), _CLOSE_OF_AGE * (now - poll.submitted_at))

    def goes_on(self, tracked: TrackedJob, task: Task, now: float) -> None:
        """Learn from an observation of a task that has not ended."""
        tracked.poll.active_at = now
        age = now - tracked.poll.submitted_at
        if task.status is TaskStatus.PENDING:
            # It has not begun, so it may yet take as long as any.
            tracked.poll.queued_for = age
        elif task.started_at and task.created_at:
            queued = (task.started_at - task.created_at).total_seconds()
            tracked.poll.queued_for = min(max(tracked.poll.queued_for, queued), age)

    def ended(self, tracked: TrackedJob, task: Task, now: float) -> None:
        """Learn how long a task took that has ended."""
        if task.status not in (TaskStatus.SUCCEEDED, TaskStatus.FAILED) or not tracked.poll.active_at:
            return
        begun = tracked.poll.submitted_at + tracked.poll.queued_for
        shortest, longest = max(tracked.poll.active_at - begun, 0.0), now - begun
        seconds = (shortest + longest) / 2
        stamp = task.started_at or task.created_at
        if task.finished_at and stamp:
            # The provider's own stamps are exact, unless its clock is not.
            seconds = (task.finished_at - stamp).total_seconds()
        self.estimator.add(tracked.poll.model or self.kind(tracked.job), min(max(seconds, shortest), longest))
