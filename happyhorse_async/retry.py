"""
How often a failed request is retried, and after which delay, for each phase. Arithmetic only.

`Backoff` is the only formula for growing pauses in this library. Whether a paid request may be sent again at all is not
decided here.
"""

from __future__ import annotations

import math
import random
from typing import Any

from attrs import Attribute, field, frozen

from .errors import ConfigurationError

LONGEST_WAIT = 300.0
"""The longest `Retry-After` that is honoured, in seconds. A longer one counts as this much."""


def _count(_: object, attribute: Attribute[Any], value: Any) -> None:
    whole = isinstance(value, int) or value == math.inf
    if isinstance(value, bool) or not whole or value < 0:
        raise ConfigurationError(f"{attribute.name} must be a whole number of at least 0, or inf, not {value!r}")


def _seconds(_: object, attribute: Attribute[Any], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ConfigurationError(f"{attribute.name} must be a number of at least 0, not {value!r}")


@frozen
class Backoff:
    """
    Exponential backoff with jitter.

    After failure number n, counted from 0, the pause is drawn at random from the upper half of
    `min(maximum, initial * 2**n)` seconds: retries spread out, and each is still later than the one before it.
    """

    initial: float
    """The longest first pause, in seconds."""
    maximum: float
    """The longest pause, in seconds."""

    def delay(self, attempt: int, retry_after: float | None = None) -> float:
        """
        Seconds to wait after a failed attempt.

        :param attempt: the number of the attempt, counted from 0.
        :param retry_after: what the provider asked for, in seconds. It replaces the formula, up to `LONGEST_WAIT`, and
            is extended by up to `initial`, so that clients that were refused together do not return together.
        """
        if retry_after is not None:
            return min(retry_after, LONGEST_WAIT) + random.uniform(0, self.initial)
        longest = min(self.maximum, self.initial * 2.0 ** min(attempt, 60))
        return random.uniform(longest / 2, longest)


@frozen(kw_only=True)
class RetryPolicy:
    """
    How often a failed request is retried, and the pauses between attempts: exponential backoff with jitter.

    Each pause is at most twice as long as the one before it, up to `max_interval`, and at least half of that bound. A
    `Retry-After` of the provider replaces it, up to five minutes.

    :raises ConfigurationError: a figure is negative or not a number.
    """

    max_retries: float = field(validator=_count)
    """How many retries follow the first attempt: 0 for none, `math.inf` for no limit."""
    initial_interval: float = field(default=0.5, validator=_seconds)
    """The longest first pause, in seconds."""
    max_interval: float = field(default=8.0, validator=_seconds)
    """The longest pause, in seconds."""

    def delay(self, attempt: int, retry_after: float | None = None) -> float:
        """Seconds to wait after a failed attempt: see `Backoff.delay`."""
        return Backoff(self.initial_interval, self.max_interval).delay(attempt, retry_after)


@frozen(kw_only=True)
class RetryPolicies:
    """One policy for each phase of a job."""

    submit: RetryPolicy = RetryPolicy(max_retries=4)
    """
    A submit that a caller waits for, and that the provider certainly did not accept or that an idempotency key
    protects. If the provider asks to wait for more than five minutes, the submit fails at once; the error's
    `retry_after` has the seconds.
    """
    enqueue: RetryPolicy = RetryPolicy(max_retries=math.inf, max_interval=60.0)
    """
    The same for a job that was enqueued, or recovered after its process died. Such a job is guaranteed to be sent.
    """
    poll: RetryPolicy = RetryPolicy(max_retries=math.inf, initial_interval=0.0, max_interval=60.0)
    """
    Polls of a task that fail in a row, within the task's lifetime. When the retries are used up, waiters get the error
    of the last poll; the task goes on and can be resumed. No pause is shorter than the polling interval.
    """
    download: RetryPolicy = RetryPolicy(max_retries=20, max_interval=30.0)
    """
    Attempts of one download in a row without progress. By default they go on for some minutes: a file may appear in the
    storage that long after its task has succeeded.
    """
    save: RetryPolicy = RetryPolicy(max_retries=40, initial_interval=5.0, max_interval=3600.0)
    """
    How often a failed download for `save_to=` is started again. By default the retries go on for
    about the day for which a video URL is valid.
    """
