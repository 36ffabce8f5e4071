"""What follows a poll that failed: another one after a pause, or the end of the waiting."""

from __future__ import annotations

from enum import Enum, auto

from ..errors import (
    AuthenticationError,
    HappyHorseError,
    InvalidResponseError,
    PermissionDeniedError,
    ProviderError,
    QuotaExceededError,
    RateLimitError,
    TaskNotFoundError,
    TransportError,
)
from ..logs import POLL_FAILED, get_logger, log_fields
from ..retry import RetryPolicy
from ..timing import PollSchedule
from ..tracked_job import TrackedJob

_log = get_logger(__name__)

_PERMANENT = (AuthenticationError, PermissionDeniedError, QuotaExceededError)


class EndOfPolling(Enum):
    """Why a task is not polled any more, although it has not been seen to end."""

    GIVE_UP = auto()
    """No repetition can cure the error. The task itself goes on."""
    EXPIRE = auto()
    """The provider no longer knows the task, or its lifetime is over."""


class FailurePolicy:
    """Decides what follows a poll that failed. Only errors that no repetition can cure end the waiting."""

    def __init__(self, schedule: PollSchedule, retry: RetryPolicy) -> None:
        self._schedule = schedule
        self._retry = retry

    def after(self, tracked: TrackedJob, error: HappyHorseError, *, is_too_old: bool) -> float | EndOfPolling:
        """
        Return the seconds until the next poll after one that ended in *error*, or why there will be none.

        :param is_too_old: whether the lifetime of the task is over.
        """
        if isinstance(error, _PERMANENT):
            return EndOfPolling.GIVE_UP
        if isinstance(error, TaskNotFoundError):
            return self._not_found(tracked, error, is_too_old=is_too_old)
        if isinstance(error, RateLimitError | TransportError | ProviderError | InvalidResponseError):
            return self._failed(tracked, error, is_too_old=is_too_old)
        return self._refused(tracked)

    def after_bug(self, tracked: TrackedJob) -> float:
        """Return the seconds until the next poll after one that ended in an unexpected exception."""
        failures = tracked.poll.failing()
        failures.faults += 1
        return self._schedule.after_failure(failures.faults, self._retry)

    def _failed(self, tracked: TrackedJob, error: HappyHorseError, *, is_too_old: bool) -> float | EndOfPolling:
        failures = tracked.poll.failing()
        failures.faults += 1
        if failures.faults > self._retry.max_retries:
            return EndOfPolling.GIVE_UP
        fields = log_fields(tracked.job, event=POLL_FAILED, reason=error)
        _log.info("%s: poll failed %d times in a row: %s", tracked.ref, failures.faults, error, extra=fields)
        # An age by the clocks of two machines may be wrong: such a task gets as many polls as one that is not found.
        has_been_tried = tracked.poll.active_at or failures.faults >= self._schedule.not_found_retries
        if has_been_tried and is_too_old:
            return EndOfPolling.EXPIRE
        if isinstance(error, RateLimitError):
            # The rate limiter slows down all requests of the account already.
            return self._schedule.after_poll(tracked.poll.unchanged)
        return self._schedule.after_failure(failures.faults, self._retry, getattr(error, "retry_after", None))

    def _not_found(self, tracked: TrackedJob, error: TaskNotFoundError, *, is_too_old: bool) -> float | EndOfPolling:
        failures = tracked.poll.failing()
        failures.not_found += 1
        message = "%s: unknown to the provider %d times in a row: %s"
        _log.info(message, tracked.ref, failures.not_found, error, extra=log_fields(tracked.job, reason=error))
        if failures.not_found < self._schedule.not_found_retries and not is_too_old:
            return self._schedule.after_not_found(failures.not_found)
        return EndOfPolling.EXPIRE

    def _refused(self, tracked: TrackedJob) -> float | EndOfPolling:
        failures = tracked.poll.failing()
        failures.refusals += 1
        if failures.refusals < self._schedule.not_found_retries and failures.refusals <= self._retry.max_retries:
            return self._schedule.after_failure(failures.refusals, self._retry)
        return EndOfPolling.GIVE_UP
