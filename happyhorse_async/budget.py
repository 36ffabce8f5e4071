"""
Budgets: how much may be spent, what each job counts for, and whether there is room for one more.

Pure: no I/O, no clock. A store keeps what a job counts for, its charge, in the row of the job. The sums of all charges
by hour, provider, model and currency are the ledger, a table that outlives the jobs. Both are written in the same step
as the job, so that any number of processes cannot exceed a limit together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal, TypeAlias, get_args

from attrs import evolve, field, frozen

from .errors import BudgetExceededError, ConfigurationError
from .job import Job, JobState
from .price import Money, as_money, show_amount

Period: TypeAlias = Literal["hour", "day", "month", "total"]
"""For how long a limit holds: a calendar period in UTC, by the clock of the store, or for ever."""

NANO = Decimal("1e-9")
"""What databases count in: the smallest part of a currency that is not rounded."""

UNSENT = ""
"""The hour of what is reserved and has not been sent. It counts in every period, until it is sent in one."""


@frozen(kw_only=True)
class SpendingLimit:
    """The most that may be spent in a period, in one currency."""

    amount: Decimal
    currency: str
    per: Period

    def start(self, now: datetime) -> str:
        """Return the first hour of the period that *now* is in, as `hour_of` writes it."""
        match self.per:
            case "hour":
                return hour_of(now)
            case "day":
                return hour_of(now.astimezone(UTC).replace(hour=0))
            case "month":
                return hour_of(now.astimezone(UTC).replace(day=1, hour=0))
            case "total":
                return UNSENT

    def __str__(self) -> str:
        period = "in total" if self.per == "total" else f"per {self.per}"
        return f"{show_amount(self.amount)} {self.currency} {period}"


@frozen(init=False)
class Budget:
    """
    The most that a client may spend: `Budget("50 USD", per="day")`.

    What would exceed it is refused with a `BudgetExceededError` before anything is sent. It holds for all clients and
    processes that share a store; give each of them the same one.

    :param limits: one amount, or one for each currency: `Budget("50 USD", "300 CNY")`.
    :param per: `"hour"`, `"day"`, `"month"` (of the calendar, in UTC) or `"total"`.
    :raises ConfigurationError: an amount or a period that cannot be read, or two amounts in one currency.
    """

    limits: tuple[SpendingLimit, ...] = field()
    """One for each currency."""

    def __init__(self, *limits: str | Money | Iterable[str | Money], per: Period = "day") -> None:
        if per not in get_args(Period):
            raise ConfigurationError(f"per: expected one of {', '.join(get_args(Period))}, not {per!r}")
        amounts = [amount for limit in limits for amount in _amounts(limit)]
        currencies = [amount.currency for amount in amounts]
        if not amounts or len(set(currencies)) < len(currencies):
            raise ConfigurationError('limit: expected an amount such as "50 USD", or one for each currency')
        found = [SpendingLimit(amount=amount.amount, currency=amount.currency, per=per) for amount in amounts]
        object.__setattr__(self, "limits", tuple(found))


def _amounts(limit: str | Money | Iterable[str | Money]) -> list[Money]:
    try:
        several = [limit] if isinstance(limit, str | Money) else list(limit)
        return [one if isinstance(one, Money) else Money.parse(one) for one in several]
    except (AttributeError, TypeError, ValueError) as error:
        why = error if isinstance(error, ValueError) else "expected text"
        raise ConfigurationError(f"limit: {why}; a limit is written 50 USD") from None


def limits_of(budget: Budget | Iterable[Budget] | None) -> tuple[SpendingLimit, ...]:
    """Return the limits of one or several budgets, all of which hold."""
    budgets = () if budget is None else (budget,) if isinstance(budget, Budget) else tuple(budget)
    return tuple(limit for one in budgets for limit in one.limits)


@frozen(kw_only=True)
class Charge:
    """What one job counts for."""

    provider: str
    model: str
    currency: str | None = None
    amount: Decimal | None = None
    """`None` where no price is known."""
    sent_at: datetime | None = None
    """When it was sent, by the clock of the store; `None` while it is only reserved."""
    is_billed: bool = False
    """Whether the amount is what the provider billed, and not an estimate."""

    @property
    def line(self) -> SpendingLine:
        """The line of the ledger that it is a part of."""
        return SpendingLine(
            hour=UNSENT if self.sent_at is None else hour_of(self.sent_at),
            provider=self.provider,
            model=self.model,
            currency=self.currency or "",
            jobs=1,
            billed_jobs=int(self.is_billed),
            nanos=0 if self.amount is None else to_nanos(self.amount),
        )


@frozen(kw_only=True)
class SpendingLine:
    """A sum of charges, or a change of one. The first four fields name the line; the others are added up."""

    hour: str
    """`2026-11-30T19`, in UTC, or `UNSENT`."""
    provider: str
    model: str
    currency: str
    """Empty for jobs whose price is not known."""
    jobs: int
    billed_jobs: int
    nanos: int
    """Billionths of the currency."""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What names the line."""
        return self.hour, self.provider, self.model, self.currency


@frozen(kw_only=True)
class Cost:
    """What the jobs of one day at one provider with one model have cost, or are expected to."""

    day: str | None
    """`2026-11-30`, in UTC; `None` for what is reserved and has not been sent."""
    provider: str
    """The account."""
    model: str
    """The provider's model id."""
    currency: str | None
    """`None` for jobs whose price is not known."""
    amount: Decimal | None
    """What was billed, and the estimates of what is not billed yet; `None` where no price is known."""
    jobs: int
    """How many were sent."""
    billed_jobs: int
    """Of how many the provider has told what it billed."""


def to_cost(day: str, provider: str, model: str, currency: str, *, jobs: int, billed_jobs: int, nanos: int) -> Cost:
    """Return the sum of lines of the ledger of one day."""
    return Cost(
        day=day or None,
        provider=provider,
        model=model,
        currency=currency or None,
        amount=as_money(nanos * NANO) if currency else None,
        jobs=jobs,
        billed_jobs=billed_jobs,
    )


def charge_of(job: Job, before: Charge | None, now: datetime) -> Charge | None:
    """
    Return what *job* counts for, as it is written at *now*; `None` for nothing.

    Money is given back only where it is certain that nothing was billed: the job was refused or withdrawn, or its price
    says so (`PriceEstimate.billed`). An enqueued job is reserved from the beginning, any other one from its intent on.
    A job that moves to another account exchanges its reservation for one there: no other job can take the money.

    :param before: what it counted for until now.
    """
    is_free = job.state is JobState.QUEUED and not job.durable and not job.attempts
    if is_free or job.state in (JobState.REFUSED, JobState.WITHDRAWN):
        return None
    is_here = before is not None and before.provider == job.endpoint.provider
    sent_at = None if job.state is JobState.QUEUED else (before.sent_at if before and is_here else None) or now
    price = job.price
    return Charge(
        provider=job.endpoint.provider,
        model=job.model,
        currency=None if price is None else price.currency,
        amount=None if price is None else price.high if price.billed is None else price.billed,
        sent_at=sent_at,
        is_billed=price is not None and price.billed is not None,
    )


def changed_lines(before: Charge | None, after: Charge | None) -> list[SpendingLine]:
    """Return what is to be added to the ledger when the charge of a job changes, in the order of the lines' names."""
    if before == after:
        return []
    lines = [] if after is None else [after.line]
    if before is not None:
        was = before.line
        lines.append(
            SpendingLine(
                hour=was.hour,
                provider=was.provider,
                model=was.model,
                currency=was.currency,
                jobs=-was.jobs,
                billed_jobs=-was.billed_jobs,
                nanos=-was.nanos,
            )
        )
    return sorted(lines, key=lambda line: line.key)


def check_limits(
    within: Collection[SpendingLimit],
    job: Job,
    before: Charge | None,
    after: Charge | None,
    spent: Callable[[str, str], int],
    now: datetime,
) -> None:
    """
    Make sure that there is room for a charge.

    What was counted as sent already is never refused: it may have been billed.

    :param before: what *job* counts for until now, and is exchanged for *after*.
    :param spent: returns the sum of the ledger in a currency, in billionths, since an hour; `UNSENT` is before every
        hour, and what is not sent counts always.
    :raises BudgetExceededError: there is no room, the price is not known, or no limit is in its currency.
    """
    if not within or after is None:
        return
    if before is not None and before.sent_at is not None and before.sent_at == after.sent_at:
        return
    limits = [limit for limit in within if limit.currency == after.currency]
    if after.amount is None or not limits:
        raise _unpriced(after, within).about(job_id=job.job_id)
    for limit in limits:
        start, own = limit.start(now), None if before is None else before.line
        freed = own.nanos if own is not None and own.currency == limit.currency and _counts(own.hour, start) else 0
        left = as_money(limit.amount - (spent(limit.currency, start) - freed) * NANO)
        if after.amount > left:
            raise BudgetExceededError(
                f"the job may cost {show_amount(after.amount)} {limit.currency}, and of the budget of {limit} "
                f"{show_amount(max(left, Decimal(0)))} {limit.currency} is left; nothing was sent",
                provider=after.provider,
                job_id=job.job_id,
                limit=limit.amount,
                left=max(left, Decimal("0.00")),
                currency=limit.currency,
            )


def check_room(
    within: Collection[SpendingLimit],
    job: Job,
    before: Charge | None,
    spent: Callable[[str, str], int],
    now: datetime,
) -> None:
    """
    Make sure that there is room for *job*, if it were sent *now*.

    :param before: what it counts for until now, if it exists.
    :raises BudgetExceededError: see `check_limits`.
    """
    check_limits(within, job, before, charge_of(evolve(job, state=JobState.SUBMITTING), before, now), spent, now)


def _counts(hour: str, start: str) -> bool:
    return hour == UNSENT or hour >= start


def _unpriced(charge: Charge, within: Collection[SpendingLimit]) -> BudgetExceededError:
    currencies = sorted({limit.currency for limit in within})
    if charge.amount is None:
        problem = "its price is not known"
    else:
        problem = f"its price is in {charge.currency}, and the budget in {' and '.join(currencies)}"
    return BudgetExceededError(
        f"the job is refused under a budget, because {problem}; nothing was sent. Give it a price: "
        f'[providers.{charge.provider}.prices] with currency = "{currencies[0]}" and a line such as "720P" = "0.10", '
        "for a second, or prices=… of its Provider",
        provider=charge.provider,
        currency=charge.currency,
    )


def hour_of(moment: datetime) -> str:
    """Return the hour of *moment* in UTC, as the ledger has it: such texts are in the order of time."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H}"


def to_nanos(amount: Decimal) -> int:
    """Return *amount* in billionths."""
    return int((amount / NANO).quantize(Decimal(1), rounding=ROUND_HALF_UP))
