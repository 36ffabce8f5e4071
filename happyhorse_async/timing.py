"""
When to look, when to try again, how much at once: numbers and arithmetic.

Nothing here sleeps, and a clock is read only where a server names a date and not its own. All times are seconds as
`float`; `None` means "not set", never "at once".
"""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime
from typing import Any

from attrs import Attribute, evolve, field, frozen

from .errors import ConfigurationError
from .messages import HttpResponse
from .retry import LONGEST_WAIT

# Nobody is turned away for more than a day. It is milliseconds, or a date that was meant to say "never".
_LONGEST_WISH = 86_400.0
_GROWTH = 1.5
_FAULT_CAP = 60.0
_MISS_CAP = 120.0


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
    How often a waiting task is looked at. Every figure is in seconds.

    As it is, the times are learned: a task is looked at when one of its kind is likely to have ended, by the tasks that
    were seen to end before, and until enough of them were, at the interval that the adapter advises.

    :raises ConfigurationError: a figure is negative or no number.
    """

    interval: float | None = field(default=None, validator=_positive)
    """Look at each task this often, whatever was learned. Where one request to the provider's list shows many tasks,
    they may be looked at sooner."""
    first_after: float | None = field(default=None, validator=_not_negative)
    """From the submit to the first look. By default `interval`, if that is set."""
    max_interval: float | None = field(default=None, validator=_positive)
    """The longest time between two looks. With an `interval` of your own, that grows by half up to this while nothing
    changes; by default it does not grow."""
    jitter: float | None = field(default=None, validator=_not_negative)
    """Each look is moved by up to this much, either way. By default by a twentieth to a tenth of the time."""
    reconcile: float = field(default=60, validator=_positive)
    """The interval while callbacks are on."""
    not_found_retries: int = field(default=5, validator=_whole)
    """How often in a row the provider must not know a task before it counts as expired."""

    def advised_by(self, advice: PollSchedule) -> PollSchedule:
        """Fill what is not set from *advice*. A caller who sets an interval gets it unchanged, without growth."""
        advised = PollSchedule() if self.interval else advice
        interval = self.interval or min(advice.interval or 15.0, self.max_interval or math.inf)
        return evolve(
            self,
            interval=interval,
            first_after=_first(self.first_after, advised.first_after, interval),
            max_interval=max(interval, _first(self.max_interval, advised.max_interval, interval)),
            jitter=_first(self.jitter, advised.jitter, interval / 10),
        )

    def after_look(self, unchanged: int) -> float:
        """Seconds until the next look, after *unchanged* looks in a row that saw nothing new."""
        interval = self.interval or 15.0
        grown = interval * _GROWTH ** min(unchanged, 30)
        return self._jittered(min(grown, self.max_interval or interval))

    def after_submit(self) -> float:
        """Seconds until the first look."""
        return self._jittered(_first(self.first_after, self.interval, 15.0))

    def after_fault(self, faults: int, *, base: float = 0.0, cap: float = _FAULT_CAP) -> float:
        """Seconds until the next look, after *faults* looks in a row that failed."""
        interval = max(self.interval or 15.0, base)
        return self._jittered(min(interval * 2.0 ** min(faults, 30), max(cap, interval)))

    def after_miss(self, misses: int) -> float:
        """Seconds until the next look, after *misses* looks in a row at a task the provider did not know."""
        interval = self.interval or 15.0
        return self._jittered(min(interval * 2.0 ** min(misses - 1, 30), max(_MISS_CAP, interval)))

    def _jittered(self, delay: float) -> float:
        spread = min(_first(self.jitter, delay / 10), delay)
        return delay + random.uniform(-spread, spread)


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)


@frozen(kw_only=True, eq=False)
class Limits:
    """
    How much may be asked of a provider. What is not set is the adapter's default, taken from the provider's pages.

    Clients that are given the same object share one budget.

    :raises ConfigurationError: a figure is negative or no number.
    """

    queries_per_second: float | None = field(default=None, validator=_positive)
    """Queries, lists and cancels together, for the account."""
    submits_per_second: float | None = field(default=None, validator=_positive)
    """Submits, for the account."""
    max_concurrent_queries: int | None = field(default=None, validator=_whole)
    """Queries, lists and cancels on the way at the same time. By default 32."""
    max_concurrent_submits: int | None = field(default=None, validator=_whole)
    """Submits on the way at the same time. By default 32."""
    max_running: int | None = field(default=None, validator=_whole)
    """
    Tasks that the provider runs at the same time, for each model where it counts so. Without it, tasks are sent as
    fast as submits may be.
    """
    max_queued: int | None = field(default=None, validator=_count)
    """
    Tasks that may wait at the provider beside those that run. By default none. Where the provider gives up what it has
    not ended in some hours, fewer: as many as end in time, by how fast its videos come. The rest waits here, unsent.
    """
    max_concurrent_downloads: int | None = field(default=None, validator=_whole)
    """Downloads at the same time. By default 4."""

    shared: dict[str, object] = field(factory=dict[str, object], init=False, repr=False)
    """Where the clients that share this object keep their common budget."""

    @property
    def max_tasks(self) -> int | None:
        """How many tasks the provider may have at most that have not ended."""
        return None if self.max_running is None else self.max_running + (self.max_queued or 0)

    def filled_from(self, defaults: Limits) -> Limits:
        """Return limits with what is not set taken from *defaults*."""
        return Limits(
            queries_per_second=self.queries_per_second or defaults.queries_per_second,
            submits_per_second=self.submits_per_second or defaults.submits_per_second,
            max_concurrent_queries=self.max_concurrent_queries or defaults.max_concurrent_queries or 32,
            max_concurrent_submits=self.max_concurrent_submits or defaults.max_concurrent_submits or 32,
            max_running=self.max_running or defaults.max_running,
            max_queued=defaults.max_queued if self.max_queued is None else self.max_queued,
            max_concurrent_downloads=self.max_concurrent_downloads or defaults.max_concurrent_downloads or 4,
        )


@frozen(kw_only=True)
class RateLimitWindow:
    """What a provider says, in the headers of an answer, is left of what it allows."""

    limit: int
    """Requests in one of its windows."""
    remaining: int
    """How many of them are left."""
    reset_after: float
    """Seconds until the next window begins, at most five minutes."""
    shared: bool = False
    """Whether submits and queries are counted together. Otherwise it speaks of the kind that was answered."""


def retry_after(response: HttpResponse) -> float | None:
    """
    Read `Retry-After` as seconds; `None` where there is none or it cannot be read.

    More than a day is taken for a mistake, and counts as five minutes.
    A date is read against the server's own `Date`, since a client's clock may be wrong by hours.
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
        now = _http_date(response.headers.get("date", "")) or datetime.now(UTC)
        seconds = max(0.0, (until - now).total_seconds())
    if math.isnan(seconds) or seconds < 0:
        return None
    return seconds if seconds <= _LONGEST_WISH else LONGEST_WAIT


def rate_limit_window(
    response: HttpResponse, *, shared: bool = False, period: float | None = None
) -> RateLimitWindow | None:
    """
    Read `X-RateLimit-Limit`, `-Remaining` and `-Reset`, where a provider documents them and the last is a Unix time.

    The time is read against the server's own `Date`, as that of `Retry-After` is. `None` if what is left, or when it is
    reset, is missing or cannot be read.

    :param shared: see `RateLimitWindow.shared`.
    :param period: seconds of the provider's window, for an answer that does not say when it is reset.
    """
    remaining = _digits(response, "x-ratelimit-remaining")
    reset = _digits(response, "x-ratelimit-reset")
    if remaining is None:
        return None
    if reset is not None:
        now = (_http_date(response.headers.get("date", "")) or datetime.now(UTC)).timestamp()
        period = reset - now
    elif (wait := retry_after(response)) is not None and remaining == 0:
        period = wait
    if period is None:
        return None
    return RateLimitWindow(
        limit=_digits(response, "x-ratelimit-limit") or remaining,
        remaining=remaining,
        reset_after=min(max(0.0, period), LONGEST_WAIT),
        shared=shared,
    )


def _digits(response: HttpResponse, name: str) -> int | None:
    text = response.headers.get(name, "").strip()
    return int(text) if len(text) < 12 and text.isascii() and text.isdigit() else None


def _http_date(text: str) -> datetime | None:
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - hardly any answer has a date to be read

    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
