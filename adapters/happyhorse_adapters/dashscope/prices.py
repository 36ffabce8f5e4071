"""
The price list of Alibaba Cloud Model Studio, mid 2026: list prices, without the discounts and free quotas of the time.

Only successes are billed, and of an edit the seconds of both videos.
"""

from __future__ import annotations

from happyhorse_async.price import Billing, PriceWeight
from happyhorse_async.price_list import price_rows
from happyhorse_async.request import Mode
from happyhorse_async.task import FailureReason

_PAGE = "https://help.aliyun.com/zh/model-studio/model-pricing"
_DATE = "2026-06"
_MODES = (Mode.T2V, Mode.I2V, Mode.R2V)
# In Tokyo, 1.0 is sold for the edit alone.
_ALL = ("beijing", "virginia", "frankfurt")
_EDIT = ("beijing", "virginia", "frankfurt", "tokyo")

_CNY = {
    "1.1": {"480P": "0.45", "720P": "0.90", "1080P": "1.20"},
    "1.0": {"720P": "0.90", "1080P": "1.60"},
}
# The page prints Singapore in yuan as well: these figures times 7.4942. Accounts there are taken to be billed in
# dollars, in which resellers and a catalogue of others have the same figures, but for 480P.
_USD = {
    "1.1": {"720P": "0.14", "1080P": "0.18"},
    "1.0": {"720P": "0.14", "1080P": "0.24"},
}

PRICES = (
    *price_rows(_CNY["1.1"], "CNY", version="1.1", modes=_MODES, regions=_EDIT, as_of=_DATE, source=_PAGE),
    *price_rows(_CNY["1.0"], "CNY", version="1.0", modes=_MODES, regions=_ALL, as_of=_DATE, source=_PAGE),
    # 20 % off in mid 2026. Until when is not stated.
    *price_rows(
        _CNY["1.0"],
        "CNY",
        version="1.0",
        modes=(Mode.EDIT,),
        regions=_EDIT,
        billing=Billing.INPUT_AND_OUTPUT,
        as_of=_DATE,
        source=_PAGE,
    ),
    *price_rows(
        {"480P": "0.07"},
        "USD",
        version="1.1",
        modes=_MODES,
        regions=("singapore",),
        as_of=_DATE,
        source=_PAGE,
        weight=PriceWeight.INFERRED,
    ),
    *(
        row
        for version, amounts in _USD.items()
        for row in price_rows(
            amounts,
            "USD",
            version=version,
            modes=_MODES,
            regions=("singapore",),
            as_of=_DATE,
            source=_PAGE,
            weight=PriceWeight.THIRD_PARTY,
        )
    ),
    *price_rows(
        _USD["1.0"],
        "USD",
        version="1.0",
        modes=(Mode.EDIT,),
        regions=("singapore",),
        billing=Billing.INPUT_AND_OUTPUT,
        as_of=_DATE,
        source=_PAGE,
        weight=PriceWeight.THIRD_PARTY,
    ),
)

# The page says that failed tasks are free. A success without a video is not one of them.
FREE_FAILURES = frozenset(FailureReason) - {FailureReason.NO_OUTPUT}
