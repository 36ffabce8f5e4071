"""
The prices of nexusflow: those of its page for 1.0, and of its public source for 1.1.

The page has the yuan sign alone, which is taken for CNY. It bills an edit by the seconds of the finished video; the
source multiplies the seconds that DashScope reports, which are those of both videos.
"""

from __future__ import annotations

from happyhorse_async.price import Billing, PriceWeight
from happyhorse_async.price_list import ANY_RESOLUTION, price_rows
from happyhorse_async.request import Mode
from happyhorse_async.task import FailureReason

_PAGE = "https://nexusflow.vip/docs/api/happyhorse"
_SOURCE = "https://github.com/Daemon4444/nexusflow (services/async-billing.ts)"
_MODES = (Mode.T2V, Mode.I2V, Mode.R2V)
_AMOUNTS = {"720P": "0.9", "1080P": "1.6"}

PRICES = (
    *price_rows(_AMOUNTS, "CNY", version="1.0", modes=_MODES, as_of="2026-06", source=_PAGE),
    *price_rows(
        _AMOUNTS,
        "CNY",
        version="1.0",
        modes=(Mode.EDIT,),
        billing=Billing.INPUT_NOT_STATED,
        as_of="2026-06",
        source=_PAGE,
    ),
    # Half of what DashScope itself takes for 720P: likely to change.
    *price_rows(
        {ANY_RESOLUTION: "0.45"},
        "CNY",
        version="1.1",
        modes=_MODES,
        as_of="2026-09-18",
        source=_SOURCE,
        weight=PriceWeight.OPERATOR_CODE,
    ),
)

# The page says that failed tasks are free. A success without a video is not one of them.
FREE_FAILURES = frozenset(FailureReason) - {FailureReason.NO_OUTPUT}
