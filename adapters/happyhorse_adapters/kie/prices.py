"""The list prices of KIE, as they were read and noted by others: one credit is 0.005 USD."""

from __future__ import annotations

from happyhorse_async.price import Billing, PriceWeight
from happyhorse_async.price_list import price_rows
from happyhorse_async.request import Mode

_MODES = (Mode.T2V, Mode.I2V, Mode.R2V)
_AMOUNTS = {
    "1.1": {"720P": "0.1125", "1080P": "0.145"},
    "1.0": {"720P": "0.14", "1080P": "0.24"},
}

PRICES = (
    *price_rows(
        _AMOUNTS["1.1"],
        "USD",
        version="1.1",
        modes=_MODES,
        as_of="2026-09-24",
        source="https://kie.ai/happyhorse-1-1",
        weight=PriceWeight.SECOND_HAND,
    ),
    *price_rows(
        _AMOUNTS["1.0"],
        "USD",
        version="1.0",
        modes=_MODES,
        as_of="2026-08-06",
        source="https://kie.ai/happyhorse-1-0",
        weight=PriceWeight.SECOND_HAND,
    ),
    *price_rows(
        _AMOUNTS["1.0"],
        "USD",
        version="1.0",
        modes=(Mode.EDIT,),
        billing=Billing.INPUT_NOT_STATED,
        as_of="2026-08-06",
        source="https://kie.ai/happyhorse-1-0",
        weight=PriceWeight.SECOND_HAND,
    ),
)
