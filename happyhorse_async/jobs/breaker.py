"""
The circuit breaker of one account: whether routing leaves it out for a while. Pure: the time is an argument.

It only steers routing. A job that is pinned to the account, and a client that has no other, always ask.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from ..errors import (
    AuthenticationError,
    HappyHorseError,
    PermissionDeniedError,
    ProviderError,
    QuotaExceededError,
    RateLimitError,
    TransportError,
)
from .submit_errors import RefusedUploadError, is_ambiguous

BreakerState: TypeAlias = Literal["closed", "open", "half-open"]

_MOST_FAILURES = 5
_OPEN_FOR = 60.0
"""Seconds."""
_SAYS_NOTHING = (RateLimitError, RefusedUploadError, TransportError)
_OF_THE_ACCOUNT = (AuthenticationError, PermissionDeniedError, QuotaExceededError)


def is_of_account(failure: HappyHorseError) -> bool:
    """Return whether the key or the money of the account is the reason, which holds for every job."""
    return isinstance(failure, _OF_THE_ACCOUNT)


class Breaker:
    """
    Opens after five submits in a row that found no connection or a server in trouble; at once for the key or the money.

    After a minute one job tries the account. Its success closes the breaker.
    """

    def __init__(self) -> None:
        self.error: HappyHorseError | None = None
        """Why it is open; `None` while it is closed."""
        self._failures = 0
        self._until = 0.0
        self._probe: str | None = None

    def state(self, now: float) -> BreakerState:
        """Return the state at *now*. Half-open means that one job may try, or is trying, the account."""
        if self.error is None:
            return "closed"
        return "open" if now < self._until and self._probe is None else "half-open"

    def would_admit(self, now: float) -> bool:
        """Return whether a new job may try the account."""
        return self.error is None or now >= self._until

    def admits(self, job_id: str, now: float) -> bool:
        """Return whether *job_id* may try the account. After a minute, the first job to ask is the one that may."""
        if self.error is None or self._probe == job_id:
            return True
        if not self.would_admit(now):
            return False
        # If that job comes to no end, another one may try a minute later.
        self._probe, self._until = job_id, now + _OPEN_FOR
        return True

    def paused_for(self, now: float) -> float:
        """Return for how many seconds the key or the money of the account is taken to be still refused."""
        return max(0.0, self._until - now) if self.error is not None and is_of_account(self.error) else 0.0

    def succeeded(self) -> None:
        """Note that the account has accepted a job."""
        self.error, self._failures, self._probe = None, 0, None

    def failed(self, failure: HappyHorseError, now: float) -> None:
        """Note what became of a submit."""
        if is_of_account(failure):
            self._open(failure, now)
        elif _is_trouble(failure):
            self._failures += 1
            if self._failures >= _MOST_FAILURES or self.error is not None:
                self._open(failure, now)
        elif not isinstance(failure, RateLimitError | RefusedUploadError | TransportError) and not is_ambiguous(
            failure
        ):
            # It has answered about the request itself.
            self.succeeded()

    def _open(self, failure: HappyHorseError, now: float) -> None:
        self.error, self._until, self._probe = failure, now + _OPEN_FOR, None


def _is_trouble(failure: HappyHorseError) -> bool:
    """Return whether there was no connection, or a server in trouble has certainly not accepted the job."""
    if isinstance(failure, TransportError):
        # With a status, it is a page of something in between.
        return not failure.sent and failure.status_code is None
    return isinstance(failure, ProviderError) and failure.not_accepted and (failure.status_code or 500) >= 500
