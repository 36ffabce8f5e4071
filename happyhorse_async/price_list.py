"""
Price lists: published prices as dated data, the user's own prices, and the estimate for a request.

An adapter declares the rows of its provider's list as `Adapter.prices`. No figure of any provider is in this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from attrs import field, frozen

from .capabilities import ModelSpec
from .errors import ConfigurationError
from .price import Billing, PriceEstimate, PriceTerms, PriceWeight, to_amount, to_currency
from .request import Mode, VideoRequest
from .task import FailureReason

ANY_RESOLUTION = "any"
"""The resolution of a `Price` that holds for every tier."""

SHORTEST_SOURCE, LONGEST_SOURCE = Decimal(3), Decimal(60)
"""Limits in seconds of a video to edit, from the pages of every provider that states them."""
LONGEST_EDIT = Decimal(15)
"""Seconds of a source that are edited; the rest is cut off."""

_MOST_ESTIMATES = 1000
_KEY = re.compile(r"(?:(?:(?P<version>\d+\.\d+)/)?(?P<mode>[a-z0-9]+)/)?(?P<resolution>\d+P)")
_FORMS = '"720P", "edit/720P" or "1.1/t2v/720P"'


@frozen(kw_only=True)
class Price:
    """One row of a price list: the price of a second."""

    amount: Decimal
    """The price of a second."""
    currency: str
    """Its code, such as `"USD"`."""
    resolution: str
    """The tier, written `"720P"`, or `ANY_RESOLUTION`."""
    mode: Mode | None = None
    """The mode that the price applies to; `None`: every mode."""
    version: str | None = None
    """The HappyHorse version that the price applies to; `None`: every version."""
    region: str | None = None
    """The region that the price applies to, by its name in `Adapter.regions`; `None`: every region."""
    billing: Billing | None = None
    """Which seconds are billed; `None` as in the provider's other rows for the mode."""
    as_of: str = ""
    """The date of the source, as precisely as it is known: `"2026"`, `"2026-06"` or `"2026-06-15"`."""
    source: str = ""
    """The page that publishes it."""
    weight: PriceWeight = PriceWeight.OFFICIAL
    """How reliable the source is."""

    @property
    def key(self) -> str:
        """The key of the row as in a configuration: `1.1/t2v/720P`."""
        return "/".join(part for part in (self.version, self.mode, self.resolution) if part is not None)

    @property
    def specificity(self) -> tuple[bool, ...]:
        """The precedence of the row if several apply: the user's own first, then the more specific one."""
        exact = (self.mode is not None, self.version is not None, self.resolution != ANY_RESOLUTION)
        return (self.weight is PriceWeight.CONFIGURED, *exact)


def price_rows(
    amounts: Mapping[str, str],
    currency: str,
    *,
    source: str,
    as_of: str,
    modes: Iterable[Mode],
    version: str | None = None,
    regions: Iterable[str | None] = (None,),
    billing: Billing = Billing.OUTPUT,
    weight: PriceWeight = PriceWeight.OFFICIAL,
) -> tuple[Price, ...]:
    """
    Return rows of a price list that share everything but resolution and amount, for `Adapter.prices`.

    :param amounts: what a second costs, by resolution: `{"720P": "0.14", "1080P": "0.18"}`. Text, since 0.14 is not
        exact as a float.
    :param modes: the modes with these prices.
    :param version: the HappyHorse version; `None` for every version.
    :param regions: the regions that have these prices, by their names in `Adapter.regions`.
    """
    return tuple(
        Price(
            amount=to_amount(amount),
            currency=to_currency(currency),
            resolution=resolution,
            mode=mode,
            version=version,
            region=region,
            billing=billing,
            as_of=as_of,
            source=source,
            weight=weight,
        )
        for region in regions
        for mode in modes
        for resolution, amount in amounts.items()
    )


@frozen(kw_only=True)
class PriceList:
    """The prices that apply to one account."""

    rows: tuple[Price, ...] = ()
    """The provider's prices for the region of the account, and the user's own."""
    default_resolution: str | None = None
    """The provider's default tier; `None` if it is not known."""
    default_duration: int = 5
    """The provider's default duration, in seconds."""
    credit: Decimal | None = None
    """The price of a credit, where the provider bills in credits."""
    free_failures: tuple[FailureReason, ...] = ()
    """Failures that the provider does not bill, according to its pages."""
    known_models: frozenset[str] = frozenset()
    """The models that the provider's own rows apply to."""
    billing: Mapping[Mode, Billing] = field(factory=dict[Mode, Billing], hash=False)
    """Which seconds the provider bills in every region. Applies to rows that do not say so."""
    # Every waiting job holds an estimate, and few of them differ: equal ones are shared.
    _made: dict[tuple[object, ...], PriceEstimate | None] = field(
        factory=dict[tuple[object, ...], PriceEstimate | None], init=False, eq=False, repr=False
    )

    def estimate(
        self, request: VideoRequest, spec: ModelSpec, *, source_duration: float | None = None
    ) -> PriceEstimate | None:
        """
        Return the estimated cost of *request*; `None` if no price is known, never 0.

        :param spec: the selected model.
        :param source_duration: the length of the video to edit in seconds, if it is known.
        """
        if not self.rows:
            return None
        try:
            asked = self._asked(request, spec)
        except ValueError:
            return None
        key = (spec.model, spec.mode, *asked, source_duration)
        if key not in self._made:
            if len(self._made) >= _MOST_ESTIMATES:
                self._made.clear()
            self._made[key] = self._estimate(spec, *asked, source_duration)
        return self._made[key]

    def _estimate(
        self,
        spec: ModelSpec,
        tier: str | None,
        tiers: tuple[str, ...],
        length: Decimal,
        source_duration: float | None,
    ) -> PriceEstimate | None:
        found = {tier: row for tier in spec.resolutions if (row := self._row(spec, tier)) is not None}
        rows = [found[name] for name in tiers if name in found]
        if len(rows) < len(tiers) or len({row.currency for row in rows}) != 1:
            return None
        first = rows[0]
        billing = self._billing(first, spec.mode)
        low, high = _edited(billing, source_duration) if spec.mode is Mode.EDIT else (length, length)
        is_own = first.weight is PriceWeight.CONFIGURED
        return PriceEstimate(
            low=min(row.amount for row in rows) * low,
            high=max(row.amount for row in rows) * high,
            currency=first.currency,
            as_of=first.as_of,
            source=first.source,
            weight=first.weight,
            terms=PriceTerms(
                rates={name: row.amount for name, row in found.items() if row.currency == first.currency},
                resolution=tier,
                billing=billing,
                credit=None if is_own else self.credit,
                free_failures=self.free_failures,
            ),
        )

    def _row(self, spec: ModelSpec, tier: str) -> Price | None:
        # The version of a model that was named explicitly is not known, so the provider's own rows do not apply.
        is_known = spec.model in self.known_models
        fitting = [
            row
            for row in self.rows
            if row.resolution in (tier, ANY_RESOLUTION)
            and row.mode in (None, spec.mode)
            and row.version in (None, spec.version if is_known else None)
            and (is_known or row.weight is PriceWeight.CONFIGURED)
        ]
        return max(fitting, key=lambda row: row.specificity, default=None)

    def _asked(self, request: VideoRequest, spec: ModelSpec) -> tuple[str | None, tuple[str, ...], Decimal]:
        """
        Return the tier, all possible tiers, and the length. Values in `extra` take precedence.

        :raises ValueError: `extra` has a value that makes them unknown.
        """
        extra: Mapping[str, Any] = request.extra
        if "model" in extra:
            raise ValueError("model")
        asked = extra.get("resolution", request.resolution)
        tier = self.default_resolution if asked is None else str(asked).upper()
        asked_length = extra.get("duration", getattr(request, "duration", None))
        length = self.default_duration if asked_length is None else asked_length
        return tier, spec.resolutions if tier is None else (tier,), to_amount(length)

    def _billing(self, row: Price, mode: Mode) -> Billing:
        if row.billing is not None:
            return row.billing
        return self.billing.get(mode, Billing.INPUT_NOT_STATED if mode is Mode.EDIT else Billing.OUTPUT)


def _edited(billing: Billing, source_duration: float | None) -> tuple[Decimal, Decimal]:
    """
    Return the minimum and maximum of seconds that an edit is billed for.

    No provider states whether the part of a source beyond `LONGEST_EDIT` is billed.
    """
    if source_duration is None:
        shortest, longest = SHORTEST_SOURCE, LONGEST_SOURCE
    else:
        shortest = longest = to_amount(round(source_duration, 3))
    output, most_output = min(shortest, LONGEST_EDIT), min(longest, LONGEST_EDIT)
    match billing:
        case Billing.OUTPUT:
            return output, most_output
        case Billing.INPUT_AND_OUTPUT:
            return 2 * output, longest + most_output
        case Billing.INPUT_NOT_STATED:
            return output, longest + most_output


def configured_prices(prices: Mapping[str, Any], *, where: str) -> tuple[Price, ...]:
    """
    Read the user's own prices: `currency`, and the price of a second by resolution, mode and version.

    :param prices: such as `{"currency": "USD", "720P": "0.10", "edit/720P": "0.20", "1.1/t2v/720P": "0.08"}`. The most
        specific key wins.
    :param where: the table that has them, for the error.
    :raises ConfigurationError: a key or a value that cannot be read; the error names it.
    """
    if not prices:
        return ()
    try:
        currency = to_currency(prices.get("currency"))
    except ValueError as error:
        problem = str(error) if "currency" in prices else 'is missing; give a code of three letters, such as "USD"'
        raise ConfigurationError(f"{where}.currency: {problem}") from None
    return tuple(
        _configured(key, value, currency, f"{where}.{key}") for key, value in prices.items() if key != "currency"
    )


def _configured(key: str, value: object, currency: str, where: str) -> Price:
    parts = _KEY.fullmatch(key)
    if parts is None:
        raise ConfigurationError(f"{where}: expected currency, or a key such as {_FORMS}")
    if parts["mode"] is not None and parts["mode"] not in tuple(Mode):
        raise ConfigurationError(f"{where}: there is no mode {parts['mode']!r}; known: {', '.join(Mode)}")
    try:
        amount = to_amount(value)
    except ValueError as error:
        raise ConfigurationError(f"{where}: {error}") from None
    return Price(
        amount=amount,
        currency=currency,
        resolution=parts["resolution"],
        mode=None if parts["mode"] is None else Mode(parts["mode"]),
        version=parts["version"],
        source="configuration",
        weight=PriceWeight.CONFIGURED,
    )
