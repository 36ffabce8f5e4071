"""
The list prices of fal, https://fal.ai/models/alibaba/happy-horse/v1.1/text-to-video/llms.txt and its like.

The edit is told as a price for a second in and one for a second out, at 720p; at 1080p the page has twice the sum.
"""

from __future__ import annotations

from happyhorse_async.price import Billing
from happyhorse_async.price_list import price_rows
from happyhorse_async.request import Mode
from happyhorse_async.task import FailureReason

_PAGES = "https://fal.ai/models/alibaba/happy-horse"
_MODES = (Mode.T2V, Mode.I2V, Mode.R2V)
_AMOUNTS = {
    "1.1": {"720P": "0.14", "1080P": "0.18"},
    "1.0": {"720P": "0.14", "1080P": "0.28"},
}

PRICES = (
    *price_rows(
        _AMOUNTS["1.1"],
        "USD",
        version="1.1",
        modes=_MODES,
        as_of="2026-09-25",
        source=f"{_PAGES}/v1.1/text-to-video/llms.txt",
    ),
    *price_rows(
        _AMOUNTS["1.0"],
        "USD",
        version="1.0",
        modes=_MODES,
        as_of="2026",
        source=f"{_PAGES}/text-to-video/llms.txt",
    ),
    *price_rows(
        _AMOUNTS["1.0"],
        "USD",
        version="1.0",
        modes=(Mode.EDIT,),
        billing=Billing.INPUT_AND_OUTPUT,
        as_of="2026",
        source=f"{_PAGES}/video-edit/llms.txt",
    ),
)

# 5xx are free. A 422 may be charged when the runner had already worked: https://docs.fal.ai/faq
FREE_FAILURES = frozenset({FailureReason.PROVIDER_FAULT, FailureReason.TIMEOUT})
