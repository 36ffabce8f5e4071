"""
Amounts of money, price estimates, and the computation of a bill from an estimate.

All arithmetic is decimal, and nothing is rounded before it is shown. `price_list` makes the estimates.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from attrs import field, frozen

from .plain_data import pydantic_output_schema
from .task import FailureReason, Task, TaskStatus, Usage

_SHOWN = Decimal("0.0001")
_CENT = Decimal("0.01")
_LARGEST = Decimal("1e15")
"""Beyond it, cents would be lost in 28 digits."""


class Billing(StrEnum):
    """Which seconds are billed."""

    OUTPUT = "output"
    """Those of the finished video."""
    INPUT_AND_OUTPUT = "input+output"
    """Those of the source video and of the finished one, at the same price."""
    INPUT_NOT_STATED = "output, perhaps input"
    """Those of the finished video; the provider's pages do not say, or disagree, whether the source counts too."""


class PriceWeight(StrEnum):
    """How reliable the source of a price is."""

    OFFICIAL = "official"
    """Read on the provider's own page."""
    OPERATOR_CODE = "operator code"
    """Read in the provider's public source code; no page has it."""
    SECOND_HAND = "second hand"
    """Third-party notes of the provider's own page."""
    THIRD_PARTY = "third party"
    """Published by third parties."""
    INFERRED = "inferred"
    """Computed from other published figures."""
    CONFIGURED = "configured"
    """Given by the user, in the configuration or to a `Provider`."""


_DOUBTS = {
    PriceWeight.OPERATOR_CODE: "from the operator's code",
    PriceWeight.SECOND_HAND: "as noted by third parties",
    PriceWeight.THIRD_PARTY: "according to third parties",
    PriceWeight.INFERRED: "inferred from other prices",
}


@frozen
class Money:
    """An amount in a currency. `str()` is `0.70 USD`, and `Money.parse` reads it."""

    amount: Decimal
    """At least 0."""
    currency: str
    """Its code, three capital letters."""

    @classmethod
    def parse(cls, text: str) -> Money:
        """
        Read an amount such as `50 USD`.

        :raises ValueError: the text is not a number that is at least 0, and a currency of three letters.
        """
        number, _, currency = text.strip().partition(" ")
        return cls(to_amount(number), to_currency(currency.strip()))

    def __str__(self) -> str:
        return f"{show_amount(self.amount)} {self.currency}"


def to_amount(value: object) -> Decimal:
    """
    Read an amount of money, or raise a ValueError. A float counts as its shortest decimal form.

    :raises ValueError: it is not a finite number that is at least 0 and below 10¹⁵.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        amount = Decimal(value.strip() if isinstance(value, str) else str(value))
    except (InvalidOperation, TypeError):
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 <= amount < _LARGEST:
        raise ValueError('an amount is a number that is at least 0, such as "0.10"')
    return amount


def to_currency(value: object) -> str:
    """
    Read the code of a currency, in any case.

    :raises ValueError: it is not made of three letters.
    """
    if not (isinstance(value, str) and len(value) == 3 and value.isascii() and value.isalpha()):
        raise ValueError('a currency is a code of three letters, such as "USD"')
    return value.upper()


def as_money(amount: Decimal) -> Decimal:
    """Return *amount* exactly, written as money is: `0.70` and `0.5625`, not `0.700000000`, `7E-1` or `0E-9`."""
    cents = amount.quantize(_CENT)
    return cents if cents == amount else amount.normalize()


def show_amount(amount: Decimal) -> str:
    """Return *amount* with two to four decimals."""
    shown = amount.quantize(_SHOWN)
    return f"{shown.quantize(_CENT) if shown == shown.quantize(_CENT) else shown.normalize():f}"


@frozen(kw_only=True)
class PriceTerms:
    """
    The prices from which the bill of a job is computed. Recorded with the job, so that later price changes do not
    affect it.
    """

    rates: Mapping[str, Decimal] = field(factory=dict[str, Decimal], hash=False)
    """The price of a second, by resolution."""
    resolution: str | None = None
    """The estimated tier, if it is known."""
    billing: Billing = Billing.OUTPUT
    """Which seconds are billed."""
    credit: Decimal | None = None
    """The price of one of the provider's credits, in the currency of the estimate."""
    free_failures: tuple[FailureReason, ...] = ()
    """The failures that the provider says it does not bill."""

    def bill(self, usage: Usage) -> Decimal | None:
        """Return the cost of the provider's usage figures; `None` if they are not enough to compute it."""
        if usage.credits is not None and self.credit is not None:
            return to_amount(usage.credits) * self.credit
        rate = self.rates.get(usage.resolution or self.resolution or "")
        seconds = self._seconds(usage)
        return None if rate is None or seconds is None else to_amount(seconds) * rate

    def _seconds(self, usage: Usage) -> float | None:
        seconds, output = usage.duration, usage.output_duration
        if seconds is None and output is not None:
            match self.billing:
                case Billing.OUTPUT:
                    seconds = output
                case Billing.INPUT_AND_OUTPUT if usage.input_duration is not None:
                    seconds = usage.input_duration + output
                case _:
                    pass
        return seconds if seconds is not None and seconds >= 0 else None


@frozen(kw_only=True)
class PriceEstimate:
    """
    The estimated list price of a video, without discounts and free quota. `str()` is `0.70 USD`, or a range.

    Amounts are exact decimals.
    """

    low: Decimal
    """The lowest possible price."""
    high: Decimal
    """
    The highest possible price. Equal to `low` unless the price depends on something unknown, such as the length of a
    video.
    """
    currency: str
    """Its code, such as `"USD"`."""
    unit: str = "second"
    """The billed unit: seconds of video."""
    as_of: str = ""
    """The date of the price, as precise as in its source, such as `"2026-06"`. Empty for a configured price."""
    source: str = ""
    """The source of the price: a page, or `"configuration"`."""
    weight: PriceWeight = PriceWeight.OFFICIAL
    """How reliable the source is."""
    billed: Decimal | None = None
    """
    The actual cost, from what the provider reported at the end of the task; `None` before that, or if it reports
    nothing.
    """
    terms: PriceTerms = field(factory=PriceTerms, repr=False, eq=False)
    """The prices from which the bill is computed."""

    @property
    def amount(self) -> Decimal | None:
        """The price if it is exact; `None` for a range."""
        return self.low if self.low == self.high else None

    def age(self, today: date) -> timedelta:
        """Return how old the price is at least, by its date; zero if it has none."""
        try:
            year, *rest = (int(part) for part in self.as_of.split("-"))
            month = rest[0] if rest else 12
            day = rest[1] if len(rest) > 1 else monthrange(year, month)[1]
            return max(timedelta(), today - date(year, month, day))
        except ValueError:
            return timedelta()

    def billed_for(self, task: Task) -> Decimal | None:
        """Return the cost of a task that has ended; `None` if it is not certain."""
        terms, usage = self.terms, task.usage
        if task.status is TaskStatus.SUCCEEDED:
            return None if usage is None else terms.bill(usage)
        if task.status is not TaskStatus.FAILED:
            return None
        if usage is not None and usage.credits is not None:
            return terms.bill(usage)
        is_free = task.error is not None and task.error.reason in terms.free_failures
        return Decimal(0) if is_free else None

    def __str__(self) -> str:
        if self.amount is not None:
            return f"{show_amount(self.low)} {self.currency}"
        return f"{show_amount(self.low)} to {show_amount(self.high)} {self.currency}"

    def describe(self) -> str:
        """Return the price, its date and its reliability in one readable line."""
        if self.weight is PriceWeight.CONFIGURED:
            return f"{self} (configured price)"
        doubt = f", {_DOUBTS[self.weight]}" if self.weight in _DOUBTS else ""
        return f"{self} (list price of {self.as_of}, without discounts and free quota{doubt})"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON. Amounts are text, so that they stay exact."""
        return {
            "low": f"{as_money(self.low):f}",
            "high": f"{as_money(self.high):f}",
            "currency": self.currency,
            "unit": self.unit,
            "as_of": self.as_of,
            "source": self.source,
            "weight": self.weight.value,
            "billed": None if self.billed is None else f"{as_money(self.billed):f}",
        }

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Let pydantic, and so FastAPI, write the shape of `to_dict`; it cannot be read back."""
        return pydantic_output_schema(PriceEstimate, PriceShape, write=PriceEstimate.to_dict)


@frozen
class PriceShape:
    """What `PriceEstimate.to_dict` returns."""

    low: str
    high: str
    currency: str
    unit: str
    as_of: str
    source: str
    weight: PriceWeight
    billed: str | None
