"""
Polling schedule, rate and concurrency limits, and the response headers that concern them: numbers and arithmetic.

Nothing here sleeps. A clock is read only where a server sends a date and does not send its own time. All times are
seconds as `float`; `None` means "not set", never "immediately".
"""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime
from typing import Any

from attrs import Attribute, evolve, field, fields, frozen

from .errors import ConfigurationError
from .messages import HttpResponse
from .retry import LONGEST_WAIT, Backoff, RetryPolicies, RetryPolicy

# A longer Retry-After is a mistake: milliseconds, or a date that was meant to say "never".
_LONGEST_CREDIBLE_WAIT = 86_400.0
_GROWTH = 1.5
_LONGEST_NOT_FOUND_PAUSE = 120.0
_DEFAULT_INTERVAL = 15.0
_DEFAULT_CONCURRENCY = {"max_concurrent_queries": 32, "max_concurrent_submits": 32, "max_concurrent_downloads": 4}


def _positive(_: object, attribute: Attribute[Any], value: Any) -> None:
    _not_negative(_, attribute, value)
    if value == 0:
        raise ConfigurationError(f"{attribute.name} must be more than 0")


def _not_negative(_: object, attribute: Attribute[Any], value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ConfigurationError(f"{attribute.name} must be a number of at least 0, not {value!r}")


def _whole(_: object, attribute: Attribute[Any], value: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ConfigurationError(f"{attribute.name} must be a whole number of at least 1, not {value!r}")


def _count(_: object, attribute: Attribute[Any], value: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise ConfigurationError(f"{attribute.name} must be a whole number of at least 0, not {value!r}")


@frozen(kw_only=True)
class PollSchedule:
    """
    When a waiting task is polled. Every figure is in seconds.

    By default poll times are learned: a task is polled when tasks like it have usually finished. Until enough such
    tasks have been seen, the interval is the one that the adapter recommends.

    :raises ConfigurationError: a figure is negative or not a number.
    """

    interval: float | None = field(default=None, validator=_positive)
    """Poll each task at this interval, whatever was learned. Where one list request shows many tasks, a task may be
    polled sooner."""
    first_after: float | None = field(default=None, validator=_not_negative)
    """From the submit to the first poll. By default `interval`, if that is set."""
    max_interval: float | None = field(default=None, validator=_positive)
    """The longest time between two polls. With an `interval` of your own, the interval grows by half up to this value
    while nothing changes; by default it does not grow."""
    jitter: float | None = field(default=None, validator=_not_negative)
    """Each poll is moved at random by up to this much, either way. By default by 5 % to 10 % of the delay."""
    reconcile: float = field(default=60, validator=_positive)
    """The interval for tasks with a webhook (`callback_url`): polls then only find webhooks that were lost."""
    not_found_retries: int = field(default=5, validator=_whole)
    """How many polls in a row must report an unknown task before it counts as expired."""

    def advised_by(self, advice: PollSchedule) -> PollSchedule:
        """Fill what is not set from *advice*. A caller's own interval is kept unchanged, without growth."""
        advised = PollSchedule() if self.interval else advice
        interval = self.interval or min(advice.interval or _DEFAULT_INTERVAL, self.max_interval or math.inf)
        return evolve(
            self,
            interval=interval,
            first_after=_first(self.first_after, advised.first_after, interval),
            max_interval=max(interval, _first(self.max_interval, advised.max_interval, interval)),
            jitter=_first(self.jitter, advised.jitter, interval / 10),
        )

    def after_poll(self, unchanged: int) -> float:
        """Seconds until the next poll, after *unchanged* polls in a row without any change."""
        interval = self.interval or _DEFAULT_INTERVAL
        grown = interval * _GROWTH ** min(unchanged, 30)
        return self._jittered(min(grown, self.max_interval or interval))

    def after_submit(self) -> float:
        """Seconds from the submit to the first poll."""
        return self._jittered(_first(self.first_after, self.interval, _DEFAULT_INTERVAL))

    def after_failure(
        self,
        failures: int,
        retry: RetryPolicy = RetryPolicies().poll,  # noqa: B008 - immutable
        retry_after: float | None = None,
    ) -> float:
        """
        Seconds until the next poll, after *failures* polls in a row that failed.

        The pauses are those of *retry*, but never shorter than the polling interval or than *retry_after*.
        """
        delay = self._backoff(retry.initial_interval, retry.max_interval).delay(failures - 1)
        return max(delay, min(retry_after or 0.0, LONGEST_WAIT))

    def after_not_found(self, misses: int) -> float:
        """Seconds until the next poll, after *misses* polls in a row of a task that the provider does not know."""
        return self._backoff(0.0, _LONGEST_NOT_FOUND_PAUSE).delay(misses - 1)

    def _backoff(self, initial: float, maximum: float) -> Backoff:
        # A backoff draws from the upper half of its bound: with twice the interval, no pause is below the interval.
        initial = max(initial, 2 * self._interval)
        return Backoff(initial, max(maximum, initial))

    @property
    def _interval(self) -> float:
        return self.interval or _DEFAULT_INTERVAL

    def _jittered(self, delay: float) -> float:
        spread = delay / 10 if self.jitter is None else min(self.jitter, delay)
        return delay + random.uniform(-spread, spread)


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)


@frozen(kw_only=True, eq=False)
class Limits:
    """
    Rate and concurrency limits for one account. What is not set is the adapter's default, taken from the provider's
    pages.

    Clients that are given the same object, in the same event loop, share the limits.

    :raises ConfigurationError: a figure is negative or not a number.
    """

    queries_per_second: float | None = field(default=None, validator=_positive)
    """Rate limit for queries, lists and cancellations together."""
    submits_per_second: float | None = field(default=None, validator=_positive)
    """Rate limit for submits."""
    max_concurrent_queries: int | None = field(default=None, validator=_whole)
    """Queries, lists and cancellations in flight at the same time. By default 32."""
    max_concurrent_submits: int | None = field(default=None, validator=_whole)
    """Submits in flight at the same time. By default 32."""
    max_concurrent_downloads: int | None = field(default=None, validator=_whole)
    """Downloads at the same time. By default 4."""
    max_running: int | None = field(default=None, validator=_whole)
    """
    Tasks that the provider runs at the same time, per model where the provider counts per model. Without it, jobs are
    submitted as fast as the rate limit allows.
    """
    max_queued: int | None = field(default=None, validator=_count)
    """
    Tasks that may wait in the provider's own queue in addition to the running ones. By default none. Fewer where the
    provider ends tasks that have waited too long: see `docs/limits.md`. All other jobs wait in the client.
    """
    max_unprotected_submits: int | None = field(default=None, validator=_whole)
    """
    Unanswered submits without an idempotency key at the same time. If the process crashes, each of them has an unknown
    outcome: it may have been paid for. By default 2, or 0.5 % of the jobs in flight if that is more. A higher number
    submits faster where the provider answers slowly. A submit that has been unanswered for two seconds is not counted.
    """

    @property
    def max_tasks(self) -> int | None:
        """How many unfinished tasks the provider may have, running and queued together."""
        return None if self.max_running is None else self.max_running + (self.max_queued or 0)

    def filled_from(self, defaults: Limits) -> Limits:
        """Return limits in which what is not set is taken from *defaults*."""
        values: dict[str, Any] = {}
        for name in (attribute.name for attribute in fields(Limits)):
            own, default = getattr(self, name), getattr(defaults, name)
            value = default if own is None else own
            values[name] = _DEFAULT_CONCURRENCY.get(name) if value is None else value
        return Limits(**values)


@frozen(kw_only=True)
class RateLimitWindow:
    """What the headers of a response say about the provider's current rate limit window."""

    limit: int
    """Requests that a whole window allows."""
    remaining: int
    """How many of them are left."""
    reset_after: float | None
    """Seconds until the next window begins, at most five minutes; `None` if the provider does not say."""
    shared: bool = False
    """Whether submits and queries count against the same window. Otherwise it covers the kind that was answered."""


def retry_after(response: HttpResponse) -> float | None:
    """
    Read `Retry-After` as seconds; `None` where it is absent or cannot be read.

    More than a day is treated as a mistake, and counts as five minutes.
    A date is compared with the server's own `Date`, because the local clock may be wrong by hours.
    Both forms: https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
    """
    text = response.headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        until = _http_date(text)
        if until is None:
            return None
        seconds = max(0.0, until.timestamp() - _server_time(response))
    if math.isnan(seconds) or seconds < 0:
        return None
    return seconds if seconds <= _LONGEST_CREDIBLE_WAIT else LONGEST_WAIT


def rate_limit_window(
    response: HttpResponse, *, shared: bool = False, period: float | None = None
) -> RateLimitWindow | None:
    """
    Read `X-RateLimit-Remaining`, and `X-RateLimit-Limit` and `-Reset` (a Unix time) where they are present.

    Without a reset time, that of `Retry-After` is taken if nothing is left, otherwise *period*. The reset time is
    compared with the server's own `Date`. Returns `None` where `X-RateLimit-Remaining` is absent or cannot be read.

    :param shared: see `RateLimitWindow.shared`.
    :param period: the length of the provider's window in seconds, for responses without a reset time.
    """
    remaining = _digits(response, "x-ratelimit-remaining")
    if remaining is None:
        return None
    reset = _digits(response, "x-ratelimit-reset")
    if reset is not None:
        reset_after: float | None = max(0.0, reset - _server_time(response))
    else:
        wait = retry_after(response) if remaining == 0 else None
        reset_after = period if wait is None else wait
    return RateLimitWindow(
        limit=_digits(response, "x-ratelimit-limit") or remaining,
        remaining=remaining,
        reset_after=None if reset_after is None else min(reset_after, LONGEST_WAIT),
        shared=shared,
    )


def _server_time(response: HttpResponse) -> float:
    return (_http_date(response.headers.get("date", "")) or datetime.now(UTC)).timestamp()


def _digits(response: HttpResponse, name: str) -> int | None:
    text = response.headers.get(name, "").strip()
    return int(text) if len(text) < 12 and text.isascii() and text.isdigit() else None


def _http_date(text: str) -> datetime | None:
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - most responses have no date to be read

    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
