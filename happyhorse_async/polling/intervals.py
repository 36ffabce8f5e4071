"""
Decides when a task is polled next, from the schedule, the learned durations, and the load of the account.

A poll has a price, expressed in seconds for which an end goes unnoticed. At first it is the price at which a task of
median duration is noticed as quickly as with the interval that the adapter recommends. Where one list request polls
many tasks, the price falls. Where more polls are due than the rate limit allows, it rises, and the polls that are least
likely to bring news are postponed first.
"""

from __future__ import annotations

import math
import random

from ..job import Job
from ..task import Task, TaskStatus
from ..timing import PollSchedule
from ..tracked_job import TrackedJob
from .estimator import DurationEstimator, DurationModel

# A recommended interval is meant for tasks of at least so many intervals. Shorter tasks are polled more often.
_INTERVALS_PER_TASK = 8
# However low the price, a task is not polled more often than this within one interval.
_MOST_POLLS_PER_INTERVAL = 8
_JITTER = 0.05
# A page that is requested anyway also polls tasks that are so close to being due, as a share of their delay and age.
_CLOSE = 0.5
_CLOSE_OF_AGE = 0.1
# A poll that comes after a multiple of the planned delay shows that the account is busy. The maximum of that multiple.
_LARGEST_LATENESS = 10.0
_LATENESS_INERTIA = 0.05
_TASKS_INERTIA = 0.2


class PollIntervals:
    """
    Decides when each task is polled. Times are the event loop's, delays are in seconds.

    :param schedule: the caller's settings.
    :param advice: the adapter's recommendation.
    """

    def __init__(self, schedule: PollSchedule, advice: PollSchedule) -> None:
        self.schedule = schedule.advised_by(advice)
        self.estimator = DurationEstimator()
        self._own = schedule
        self._tasks_per_poll = 1.0
        self._lateness = 0.0

    def model(self, job: Job | None) -> DurationModel:
        """Return the learned durations of tasks similar to that of *job*."""
        return self.estimator.model(job.request if job else None)

    def after_submit(self, tracked: TrackedJob) -> float:
        """Seconds from the submit to the first poll."""
        is_fixed = self._own.first_after is not None or (
            self._own.interval is not None and tracked.job.callback_url is None
        )
        if is_fixed:
            return self.schedule.after_submit()
        return self.after_poll(tracked, tracked.poll.submitted_at)

    def after_poll(self, tracked: TrackedJob, now: float) -> float:
        """Seconds until the next poll of a task that has not ended *now*."""
        if tracked.job.callback_url is not None:
            return self._jittered(self.schedule.reconcile)
        poll = tracked.poll
        steady = self.schedule.after_poll(poll.unchanged)
        is_fixed = self._own.interval is not None
        if is_fixed and self._tasks_per_poll < 2:
            return steady
        model = poll.model or self.model(tracked.job)
        learned = self._learned(model, now - poll.submitted_at - poll.queued_for)
        # Before enough is known, and with an interval of the caller's own, no poll is later than the interval.
        return learned if model.is_reliable and not is_fixed else min(steady, learned)

    def _learned(self, model: DurationModel, age: float) -> float:
        interval = self.schedule.interval or 15.0
        if model.is_reliable:
            interval = min(interval, model.median / _INTERVALS_PER_TASK)
        # If an end is equally likely at any moment of the median duration d, the probability that it falls into an
        # interval i is i / d, and it then goes unnoticed for i / 2 on average.
        price = interval / model.median * interval / 2
        delay = max(model.next_poll_delay(max(age, 0.0), price * self._scarcity()), interval / _MOST_POLLS_PER_INTERVAL)
        return min(self._jittered(delay), self._own.max_interval or math.inf)

    def _scarcity(self) -> float:
        """Return the price of polls relative to a single query of an idle account."""
        # All tasks on a page share its price, but each that has ended costs a query more.
        return math.exp(2 * self._lateness) / max(1.0, self._tasks_per_poll / 2)

    def _jittered(self, delay: float) -> float:
        spread = delay * _JITTER if self._own.jitter is None else min(self._own.jitter, delay)
        return delay + random.uniform(-spread, spread)

    def polled(self, tasks: int) -> None:
        """Note the number of tasks that one request has polled."""
        self._tasks_per_poll += _TASKS_INERTIA * (max(1, tasks) - self._tasks_per_poll)

    def started(self, tracked: TrackedJob, now: float) -> None:
        """Note that the poll of a due task starts *now*, perhaps later than planned."""
        planned, waited = tracked.poll.due - tracked.poll.active_at, now - tracked.poll.active_at
        late = math.log(min(waited / planned, _LARGEST_LATENESS)) if planned > 0 else 0.0
        self._lateness += _LATENESS_INERTIA * (late - self._lateness)

    def is_nearly_due(self, tracked: TrackedJob, now: float) -> bool:
        """Return whether a task is worth polling now, if a page is requested anyway."""
        poll = tracked.poll
        return poll.due - now <= min(_CLOSE * (poll.due - poll.active_at), _CLOSE_OF_AGE * (now - poll.submitted_at))

    def observed_active(self, tracked: TrackedJob, task: Task, now: float) -> None:
        """Learn from an observation of a task that has not ended."""
        poll = tracked.poll
        poll.active_at = now
        age = now - poll.submitted_at
        if task.status is TaskStatus.PENDING:
            # It has not begun, so it may take as long as any task from now on.
            poll.queued_for = age
        elif task.started_at and task.created_at:
            queued = (task.started_at - task.created_at).total_seconds()
            poll.queued_for = min(max(poll.queued_for, queued), age)

    def observed_end(self, tracked: TrackedJob, task: Task, now: float) -> None:
        """Learn how long a task took that has ended."""
        poll = tracked.poll
        if task.status not in (TaskStatus.SUCCEEDED, TaskStatus.FAILED) or not poll.active_at:
            return
        began = poll.submitted_at + poll.queued_for
        shortest, longest = max(poll.active_at - began, 0.0), now - began
        seconds = (shortest + longest) / 2
        start = task.started_at or task.created_at
        if task.finished_at and start:
            # The provider's timestamps are exact, unless its clock is wrong: then they are outside of the bounds.
            seconds = (task.finished_at - start).total_seconds()
        self.estimator.add(poll.model or self.model(tracked.job), min(max(seconds, shortest), longest))
