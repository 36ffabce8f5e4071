"""
Amounts of money, the estimate of what a video costs, and the bill that is made of it at the end.

All arithmetic is decimal, and nothing is rounded before it is shown. `price_list` makes the estimates.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    """Those of the source video and of the finished one, each at the same price."""
    INPUT_NOT_STATED = "output, perhaps input"
    """Those of the finished video; whether the source counts as well is not stated, or stated in two ways."""


class PriceWeight(StrEnum):
    """How far a published figure can be trusted."""

    OFFICIAL = "official"
    """Read on the provider's own page."""
    OPERATOR_CODE = "operator code"
    """Read in the provider's public source, and on no page."""
    SECOND_HAND = "second hand"
    """The provider's own page, as it was read and noted by others."""
    THIRD_PARTY = "third party"
    """Written by others than the provider."""
    INFERRED = "inferred"
    """Computed from other published figures."""
    CONFIGURED = "configured"
    """Given by the user, in the configuration or to a `Provider`."""


_DOUBTS = {
    PriceWeight.OPERATOR_CODE: "from the operator's code",
    PriceWeight.SECOND_HAND: "as read by others",
    PriceWeight.THIRD_PARTY: "as third parties have it",
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
    Read an amount of money, or raise a ValueError. A float counts as it is written, not as it is stored.

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
    """What the bill of a job is made of. Recorded with the job, so that later prices do not change it."""

    rates: Mapping[str, Decimal] = field(factory=dict[str, Decimal], hash=False)
    """The price of a second, by resolution."""
    resolution: str | None = None
    """The tier that was estimated, where it is known."""
    billing: Billing = Billing.OUTPUT
    """Which seconds are billed."""
    credit: Decimal | None = None
    """The price of one of the provider's credits, in the currency of the estimate."""
    free_failures: tuple[FailureReason, ...] = ()
    """The failures that the provider says it does not bill."""

    def bill(self, usage: Usage) -> Decimal | None:
        """Return what the provider's figures cost; `None` where it does not tell enough of them."""
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
    What a video will cost by list price, without discounts and free quota. `str()` is `0.70 USD`, or a range.

    Amounts are exact decimals.
    """

    low: Decimal
    """At least this."""
    high: Decimal
    """At most this. Equal to `low` unless the price depends on what is not known, such as the length of a video."""
    currency: str
    """Its code, such as `"USD"`."""
    unit: str = "second"
    """What the provider counts: seconds of video."""
    as_of: str = ""
    """The date of the price, as exact as its source has it, such as `"2026-06"`. Empty for a configured one."""
    source: str = ""
    """Where the price was read: a page, or `"configuration"`."""
    weight: PriceWeight = PriceWeight.OFFICIAL
    """How far the price can be trusted."""
    billed: Decimal | None = None
    """What the task has cost, by what the provider said at its end; `None` before that, and where it does not tell."""
    terms: PriceTerms = field(factory=PriceTerms, repr=False, eq=False)
    """What the bill is made of."""

    @property
    def amount(self) -> Decimal | None:
        """The price, where it is exact; `None` for a range."""
        return self.low if self.low == self.high else None

    def billed_for(self, task: Task) -> Decimal | None:
        """Return what a task that has ended has cost; `None` where that is not certain."""
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
        """Return the price and what it is worth, in a line for a person."""
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
        """Let pydantic, and so FastAPI, write the shape of `to_dict`. It is not read."""
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
