"""The submit of one job: what is sent, what has come of it so far, and whether it may be sent once more."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import Enum, auto

from attrs import define, field

from ..adapter import Adapter
from ..errors import (
    AuthenticationError,
    BudgetExceededError,
    HappyHorseError,
    PermissionDeniedError,
    ProviderError,
    QuotaExceededError,
    RateLimitError,
    StoreError,
    TransportError,
)
from ..job import Job
from ..messages import HttpRequest
from ..retry import LONGEST_WAIT, RetryPolicies, RetryPolicy
from .routing import allows_move, is_busy_for_now
from .submit_errors import is_ambiguous, is_busy

# Providers keep idempotency keys for about a day. Close to the end of it, it is safer not to rely on one.
_KEY_LIFETIME = timedelta(hours=23)


class NextStep(Enum):
    """What to do after an attempt that failed."""

    RETRY = auto()
    """Send it again."""
    WITHDRAW = auto()
    """It was certainly not accepted, and it has no waiter any more."""
    REFUSE = auto()
    """It was certainly not accepted, and another attempt is of no use."""
    MOVE = auto()
    """It was certainly not accepted, and another account may accept it."""
    LOSE_ANSWER = auto()
    """It may have been accepted, and must not be sent again."""


@define(kw_only=True, eq=False)
class SubmitAttempt:
    """The submit of one job."""

    message: HttpRequest
    lost_answer: HappyHorseError | None = None
    """Why the outcome of one of its POSTs is unknown. No later refusal can make it certain again."""
    slot_at: float = 0.0
    """When it got its slot, by the clock of the event loop."""
    count: int = 0
    """How many attempts have failed."""
    busy_count: int = 0
    """How often in a row the provider has said that it is still working on the same idempotency key."""
    refusals: dict[str, HappyHorseError] = field(factory=dict[str, HappyHorseError])
    """Why each account that has been asked since the last pause did not accept the job, by its name."""
    _patient_until: float | None = None
    _patient_count: int = 0

    def next_step(
        self, job: Job, failure: HappyHorseError, adapter: Adapter, retries: RetryPolicies, *, is_awaited: bool
    ) -> NextStep:
        """Decide what follows an attempt that ended in *failure*; `lost_answer` takes it into account already."""
        may_retry = self.may_retry(job, failure, adapter, retries)
        may_move = job.may_move and self.lost_answer is None and allows_move(failure)
        is_dispensable = self.lost_answer is None and not is_awaited and not job.durable
        # A refusal for good holds for everyone who may have promised the job by its key.
        if is_dispensable and (may_retry or may_move or isinstance(failure, StoreError)):
            return NextStep.WITHDRAW
        if may_move:
            return NextStep.MOVE
        if may_retry:
            return NextStep.RETRY
        return NextStep.REFUSE if self.lost_answer is None else NextStep.LOSE_ANSWER

    def may_retry(self, job: Job, failure: HappyHorseError, adapter: Adapter, retries: RetryPolicies) -> bool:
        """Return whether the same account may be asked again after *failure*."""
        if self.lost_answer is not None and not is_protected(job, adapter):
            return False
        if self.is_spent(job, retries):
            return bool(self.count) and is_busy(failure)
        if self.is_deferred(job, failure):
            return False
        match failure:
            case StoreError():
                return job.durable
            case AuthenticationError() | BudgetExceededError() | PermissionDeniedError() | QuotaExceededError():
                # What was promised waits until the account is in order again, or the budget has room.
                return job.durable and self.lost_answer is None
            case TransportError():
                return failure.retryable or (job.durable and not failure.sent)
            case RateLimitError():
                # 425 Too Early (RFC 8470): the second attempt is not early data.
                return failure.status_code != 425 or not self.count
            case ProviderError():
                # Statuses below 500 are faults that another attempt does not cure, such as a gateway's own bad key.
                passes = (failure.status_code or 500) >= 500 if failure.retryable is None else failure.retryable
                return passes or is_ambiguous(failure)
            case _:
                return is_ambiguous(failure)

    def patient_delay(
        self, job: Job, failure: HappyHorseError, retries: RetryPolicies, *, patience: float, now: float
    ) -> float | None:
        """
        Return the seconds after which the first account is asked again, before any other is.

        :return: `None` if another account is to be asked now.
        """
        if self.refusals or not is_busy_for_now(failure):
            return None
        if self._patient_until is None:
            self._patient_until = now + patience
        delay = _policy(job, retries).delay(self._patient_count, getattr(failure, "retry_after", None))
        self._patient_count += 1
        return delay if now + delay <= self._patient_until else None

    def begin_round(self, names: Iterable[str]) -> None:
        """Ask the accounts *names* again, which have refused."""
        for name in names:
            del self.refusals[name]
        self._patient_until, self._patient_count = None, 0

    def is_spent(self, job: Job, retries: RetryPolicies) -> bool:
        """Return whether it was tried as often as it may be."""
        return self.count >= _policy(job, retries).max_retries

    def is_deferred(self, job: Job, failure: HappyHorseError) -> bool:
        """Return whether the provider asks to wait so long that the caller is told instead, if nothing was promised."""
        retry_after = getattr(failure, "retry_after", None) or 0.0
        return retry_after > LONGEST_WAIT and self.lost_answer is None and not job.durable

    def count_failure(self, job: Job, failure: HappyHorseError, retries: RetryPolicies) -> float:
        """Count an attempt that ended in *failure*, and return the seconds until the next."""
        busy = is_busy(failure)
        count = self.busy_count if busy else self.count
        delay = _policy(job, retries).delay(count, getattr(failure, "retry_after", None))
        # "Still working on it" is not a failure, and is answered until the work is done.
        self.busy_count, self.count = (self.busy_count + 1, self.count) if busy else (0, self.count + 1)
        return delay


def _policy(job: Job, retries: RetryPolicies) -> RetryPolicy:
    return retries.enqueue if job.durable else retries.submit


def is_protected(job: Job, adapter: Adapter) -> bool:
    """Return whether *job*, which may have been accepted, can be sent once more without being paid twice."""
    if not adapter.capabilities.idempotent or job.submitted_at is None:
        return False
    return datetime.now(UTC) - job.submitted_at < _KEY_LIFETIME
