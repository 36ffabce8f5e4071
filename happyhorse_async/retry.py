"""
How often what fails is tried again, phase by phase: numbers and arithmetic.

Whether a paid request may be sent again at all is not decided here.
"""

from __future__ import annotations

import math
import random
from typing import Any

from attrs import Attribute, field, frozen

from .errors import ConfigurationError

LONGEST_WAIT = 300.0
"""However long a provider asks to wait: after five minutes it is asked again, where it is asked again at all."""


def _count(_: object, attribute: Attribute[Any], value: Any) -> None:
    whole = isinstance(value, int) or value == math.inf
    if isinstance(value, bool) or not whole or value < 0:
        raise ConfigurationError(f"{attribute.name} must be a whole number of at least 0, or inf, not {value!r}")


def _seconds(_: object, attribute: Attribute[Any], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ConfigurationError(f"{attribute.name} must be a number of at least 0, not {value!r}")


@frozen(kw_only=True)
class RetryPolicy:
    """
    How often something is tried again, and after which pauses: they double from try to try, with full jitter.

    Where a provider says how long to wait, that is waited instead, five minutes at most.

    :raises ConfigurationError: a figure is negative or no number.
    """

    max_retries: float = field(validator=_count)
    """How many further tries: 0 for none, `math.inf` for as long as it takes."""
    initial_interval: float = field(default=0.5, validator=_seconds)
    """The longest that the first pause can be, in seconds."""
    max_interval: float = field(default=8.0, validator=_seconds)
    """The longest that any pause can be, in seconds."""

    def delay(self, attempt: int, retry_after: float | None = None) -> float:
        """
        Seconds to wait after a failed try.

        :param attempt: the number of the try, counted from 0.
        :param retry_after: what the provider asked for, in seconds.
        """
        if retry_after is not None:
            return min(retry_after, LONGEST_WAIT) + random.uniform(0, self.initial_interval)
        longest = min(self.max_interval, self.initial_interval * 2.0 ** min(attempt, 60))
        return random.uniform(min(self.initial_interval / 2, longest), longest)


@frozen(kw_only=True)
class RetryPolicies:
    """One policy for each phase of a job."""

    submit: RetryPolicy = RetryPolicy(max_retries=4)
    """
    A submit that somebody waits for and that was certainly not taken, or that an idempotency key protects. One that the
    provider refuses for more than five minutes is not tried again: its error has the time.
    """
    enqueue: RetryPolicy = RetryPolicy(max_retries=math.inf, max_interval=60.0)
    """The same for a job that was enqueued, or taken over from a process that died: it was promised to be sent."""
    poll: RetryPolicy = RetryPolicy(max_retries=math.inf, initial_interval=0.0, max_interval=60.0)
    """
    Failed looks in a row at a task, within its lifetime. When they are used up, whoever waits gets the error of the
    last one; the task goes on and can be resumed. The pauses begin with the interval between two looks, if that is
    longer than `initial_interval`.
    """
    download: RetryPolicy = RetryPolicy(max_retries=20, max_interval=30.0)
    """
    Attempts in a row of one download that bring nothing new. By default some minutes: a file may appear in the storage
    that long after its task has succeeded.
    """
    save: RetryPolicy = RetryPolicy(max_retries=40, initial_interval=5.0, max_interval=3600.0)
    """
    How often a video that is saved by `save_to=` is downloaded anew after a download has failed. By default this goes
    on for the day that a URL lives.
    """
