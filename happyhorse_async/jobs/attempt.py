"""A job on its way to its provider, and whether it may go there once more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from attrs import define

from ..adapter import Adapter
from ..errors import HappyHorseError, ProviderError, RateLimitError, StoreError, TransportError
from ..job import Job
from ..messages import HttpRequest
from ..retry import LONGEST_WAIT, RetryPolicies, RetryPolicy
from ..tracked_job import TrackedJob
from .submit_errors import is_ambiguous, is_busy

# Providers keep idempotency keys for about a day. Close to its end it is safer not to rely on one.
_KEY_LIFETIME = timedelta(hours=23)


@define(kw_only=True, eq=False)
class SubmitAttempt:
    """A job on its way to its provider."""

    job: Job
    message: HttpRequest
    tracked: TrackedJob
    retries: RetryPolicies
    attempt: int = 0
    waits: int = 0
    """How often in a row the provider has said that it is still busy with the same key."""
    ambiguous: HappyHorseError | None = None
    """What once left its outcome unknown. What comes later cannot make that certain again."""
    recovered: bool = False
    """Whether an earlier process has sent it, so that nobody is here to decide what becomes of it."""
    leaving: bool = False
    """Whether it is being written down as sent. From here on it cannot be taken back."""
    unwanted: bool = False
    """Whether somebody tried to take it back when it was too late for that."""
    withdrawn: bool = False

    @property
    def patient(self) -> bool:
        """Whether it goes on while nobody waits, as was promised."""
        return self.job.durable or self.recovered

    @property
    def policy(self) -> RetryPolicy:
        """How often it is tried again."""
        return self.retries.enqueue if self.patient else self.retries.submit

    @property
    def is_spent(self) -> bool:
        """Whether it has been tried as often as it may be."""
        return self.attempt >= self.policy.max_retries

    @property
    def is_dispensable(self) -> bool:
        """Whether it was certainly not taken, and nobody wants it any more."""
        return self.ambiguous is None and self.unwanted and not self.tracked.awaited and not self.job.durable

    def is_put_off(self, failure: HappyHorseError) -> bool:
        """Tell whether it was refused for so long that whoever waits is told, and nothing was promised."""
        wish = getattr(failure, "retry_after", None) or 0.0
        return wish > LONGEST_WAIT and self.ambiguous is None and not self.patient

    def may_repeat(self, failure: HappyHorseError, adapter: Adapter) -> bool:
        """Tell whether it may be sent once more after *failure*."""
        if self.ambiguous is not None and not is_protected(self.job, adapter):
            return False
        if self.is_spent:
            return bool(self.attempt) and is_busy(failure)
        if self.is_put_off(failure):
            return False
        match failure:
            case StoreError():
                return self.patient
            case TransportError():
                return failure.retryable
            case RateLimitError():
                # What may be a replay (425, https://www.rfc-editor.org/rfc/rfc8470) is none the second time.
                return failure.status_code != 425 or not self.attempt
            case ProviderError():
                # Below 500 stand faults that another try does not mend, such as a gateway's own bad credential.
                return (failure.status_code or 500) >= 500 or is_ambiguous(failure)
            case _:
                return is_ambiguous(failure)

    def pause_after(self, failure: HappyHorseError) -> float:
        """Count a try that ended in *failure*, and return the seconds until the next."""
        busy = is_busy(failure)
        delay = self.policy.delay(self.waits if busy else self.attempt, getattr(failure, "retry_after", None))
        # The answer that it is being seen to is no failure, and comes until it has been seen to.
        self.waits, self.attempt = (self.waits + 1, self.attempt) if busy else (0, self.attempt + 1)
        return delay


def is_protected(job: Job, adapter: Adapter) -> bool:
    """Tell whether *job*, which has been sent, can be sent once more and be paid for once."""
    if not adapter.capabilities.idempotent or job.submitted_at is None:
        return False
    return datetime.now(UTC) - job.submitted_at < _KEY_LIFETIME
