"""What a video costs by the price lists that were published: every row of them, and what is billed."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import time_machine

import happyhorse_async as hh
from happyhorse_async.price import PriceEstimate, show_amount
from happyhorse_async.price_list import configured_prices
from happyhorse_async.registry import adapter_names

TABLE = list(csv.DictReader((Path(__file__).parent / "prices.csv").read_text("utf-8").splitlines()))
IMAGE, VIDEO = "https://example.org/frame.png", "https://example.org/source.mp4"
LENGTH = 7


def is_used(row: dict[str, str]) -> bool:
    # Singapore stands in the table in two currencies. Its accounts are taken to be billed in dollars.
    in_yuan = row["region"] == "ap-southeast-1" and row["currency"] == "CNY"
    return row["provider"] in adapter_names() and bool(row["amount"]) and not in_yuan


def row_id(row: dict[str, str]) -> str:
    return "-".join(row[name] for name in ("provider", "region", "version", "mode", "resolution") if row[name])


PUBLISHED = [pytest.param(row, id=row_id(row)) for row in TABLE if is_used(row)]


def make_request(mode: str, **options: object) -> hh.VideoRequest:
    match mode:
        case "t2v":
            return hh.TextToVideo("a train", duration=LENGTH, **options)
        case "i2v":
            return hh.ImageToVideo(IMAGE, prompt="a train", duration=LENGTH, **options)
        case "r2v":
            return hh.ReferenceToVideo("a train", IMAGE, duration=LENGTH, **options)
        case _:
            return hh.VideoEdit("a train", VIDEO, **options)


def make_client(row: dict[str, str]) -> hh.Client:
    options = {"workspace": "llm-abc123"} if row["provider"] == "dashscope" else None
    return hh.Client(row["provider"], api_key="k", region=row["region"] or None, options=options)


@pytest.mark.parametrize("row", PUBLISHED)
def test_every_published_price_is_that_of_a_plan(row: dict[str, str]) -> None:
    resolution = "1080P" if row["resolution"] == "any" else row["resolution"]
    request = make_request(row["mode"], resolution=resolution, version=row["version"])

    price = make_client(row).plan(request).price

    assert price is not None
    assert (price.currency, price.as_of, price.unit) == (row["currency"], row["as_of"], "second")
    assert price.source.startswith("https://")
    amount = Decimal(row["amount"])
    if row["mode"] != "edit":
        assert price.low == price.high == price.amount == amount * LENGTH
    else:
        lowest = 6 if row["billed"] == "input+output" else 3
        assert (price.low, price.high, price.amount) == (amount * lowest, amount * 75, None)


@pytest.mark.parametrize("provider", [name for name in ("hiapi", "imini") if name in adapter_names()])
def test_a_provider_that_publishes_no_price_has_none_instead_of_zero(provider: str) -> None:
    assert hh.Client(provider, api_key="k").plan(hh.TextToVideo("a", resolution="720P")).price is None


@pytest.mark.parametrize(("provider", "second"), [("dashscope", "0.18"), ("nexusflow", "0.9")])
def test_what_is_not_sent_costs_what_the_provider_makes_of_it(provider: str, second: str) -> None:
    price = hh.Client(provider, api_key="k").plan(hh.TextToVideo("a")).price
    assert price is not None
    assert price.amount == Decimal(second) * 5


def test_what_extra_overwrites_is_what_is_paid_for() -> None:
    client = hh.Client("dashscope", api_key="k")

    def priced(**extra: object) -> hh.PriceEstimate | None:
        return client.plan(hh.TextToVideo("a", resolution="720P", duration=3, extra=extra)).price

    longer = priced(duration=15, resolution="1080P")
    assert longer is not None
    assert longer.amount == Decimal("0.18") * 15
    assert priced(duration="long") is None
    assert priced(resolution="4K") is None
    assert priced(model="another") is None


def test_a_model_that_no_row_knows_has_no_price() -> None:
    request = hh.TextToVideo("a", resolution="720P", model="happyhorse-1.1-t2v-2026-11-01")
    assert hh.Client("dashscope", api_key="k").plan(request).price is None
    price = hh.Client("dashscope", api_key="k").plan(hh.TextToVideo("a", model="happyhorse-1.0-t2v")).price
    assert price is not None
    assert price.amount == Decimal("0.24") * 5


@pytest.mark.parametrize(
    ("base_url", "region", "currency"),
    [
        ("https://gateway.example/api/v1", None, None),
        ("https://gateway.example/api/v1", "beijing", "CNY"),
        ("https://gateway.example/api/v1", "singapore", "USD"),
        ("https://token-plan.cn-beijing.maas.aliyuncs.com/api/v1", "beijing", None),
        ("https://dashscope.aliyuncs.com/api/v1", None, "CNY"),
        ("https://dashscope.aliyuncs.com/api/v1", "singapore", "CNY"),
        ("https://llm-abc.ap-northeast-1.maas.aliyuncs.com/api/v1", None, "CNY"),
    ],
)
def test_prices_follow_the_address_or_else_the_region(base_url: str, region: str | None, currency: str | None) -> None:
    client = hh.Client("dashscope", api_key="k", base_url=base_url, region=region)
    price = client.plan(hh.TextToVideo("a", resolution="720P")).price
    assert (price.currency if price else None) == currency


def test_another_host_of_a_provider_without_regions_has_no_published_price() -> None:
    client = hh.Client("nexusflow", api_key="k", base_url="http://127.0.0.1:9")
    assert client.plan(hh.TextToVideo("a")).price is None


def test_tokyo_sells_only_the_edit_of_version_1_0() -> None:
    client = hh.Client("dashscope", api_key="k", region="tokyo", options={"workspace": "llm-abc"})
    assert client.plan(hh.TextToVideo("a", version="1.0")).price is None


def estimate(provider: str, seconds: float | None) -> hh.PriceEstimate:
    adapter = hh.Client(provider, api_key="k").adapter
    request = hh.VideoEdit("a", VIDEO, resolution="720P")
    account = adapter.account(provider=provider, api_key="k")
    found = adapter.price_list(account).estimate(
        request, adapter.check(request, provider=provider), source_duration=seconds
    )
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("provider", "seconds", "low", "high"),
    [
        ("dashscope", 6.62, "13.24", "13.24"),
        ("dashscope", 15.0, "30", "30"),
        ("dashscope", 40.0, "30", "55"),
        ("dashscope", None, "6", "75"),
        ("nexusflow", 10.0, "10", "20"),
        ("nexusflow", 40.0, "15", "55"),
        ("nexusflow", None, "3", "75"),
    ],
)
def test_an_edit_is_billed_by_the_seconds_that_its_provider_counts(
    provider: str, seconds: float | None, low: str, high: str
) -> None:
    second = {"dashscope": Decimal("0.14"), "nexusflow": Decimal("0.9")}[provider]
    found = estimate(provider, seconds)
    assert (found.low, found.high) == (second * Decimal(low), second * Decimal(high))


def planned(prices: dict[str, object], request: hh.VideoRequest, provider: str = "hiapi") -> hh.PriceEstimate | None:
    adapter = hh.Client(provider, api_key="k").adapter
    rows = configured_prices(prices, where="providers.main.prices")
    account = adapter.account(provider="main", api_key="k", base_url="http://127.0.0.1:9")
    return adapter.price_list(account, rows).estimate(request, adapter.check(request, provider="main"))


OWN = {"currency": "usd", "720P": "0.10", "t2v/720P": "0.20", "1.1/t2v/720P": "0.30"}


def test_the_most_specific_of_the_configured_prices_wins() -> None:
    def second(request: hh.VideoRequest) -> Decimal:
        found = planned(OWN, request)
        assert found is not None
        assert found.amount is not None
        assert (found.currency, found.source) == ("USD", "configuration")
        return found.amount / 10

    assert second(hh.ImageToVideo(IMAGE, resolution="720P", duration=10)) == Decimal("0.10")
    assert second(hh.TextToVideo("a", resolution="720P", duration=10, version="1.0")) == Decimal("0.20")
    assert second(hh.TextToVideo("a", resolution="720P", duration=10)) == Decimal("0.30")
    assert planned(OWN, hh.TextToVideo("a", resolution="1080P")) is None


def test_a_configured_price_is_preferred_to_a_published_one_and_knows_any_model() -> None:
    request = hh.TextToVideo("a", resolution="720P", duration=10, model="happyhorse-1.1-t2v-2026-11-01")
    found = planned({"currency": "CNY", "720P": 0.5}, request, "dashscope")
    assert found is not None
    assert (found.amount, found.currency) == (Decimal(5), "CNY")


def test_a_configured_price_of_an_edit_counts_the_seconds_that_the_provider_counts() -> None:
    prices = {"currency": "USD", "edit/720P": "1"}
    found = planned(prices, hh.VideoEdit("a", VIDEO, resolution="720P"), "dashscope")
    assert found is not None
    assert (found.low, found.high) == (6, 75)


@pytest.mark.parametrize(
    ("prices", "key"),
    [
        ({"720P": "0.10"}, "currency"),
        ({"currency": "dollars", "720P": "0.10"}, "currency"),
        ({"currency": "USD", "720": "0.10"}, "720"),
        ({"currency": "USD", "remix/720P": "0.10"}, "remix/720P"),
        ({"currency": "USD", "1.1/720P": "0.10"}, "1.1/720P"),
        ({"currency": "USD", "720P": "cheap"}, "720P"),
        ({"currency": "USD", "720P": "-1"}, "720P"),
        ({"currency": "USD", "720P": "NaN"}, "720P"),
        ({"currency": "USD", "720P": True}, "720P"),
    ],
)
def test_a_configured_price_that_cannot_be_read_is_named(prices: dict[str, object], key: str) -> None:
    with pytest.raises(hh.ConfigurationError, match=rf"providers\.main\.prices\.{key}"):
        configured_prices(prices, where="providers.main.prices")


def bill(provider: str, usage: hh.Usage, request: hh.VideoRequest) -> Decimal | None:
    client = hh.Client(provider, api_key="k")
    found = client.plan(request).price
    assert found is not None
    ref = hh.TaskRef(provider, "1")
    return found.billed_for(hh.Task(ref=ref, status=hh.TaskStatus.SUCCEEDED, usage=usage))


def test_the_bill_is_made_of_the_seconds_and_the_tier_that_the_provider_tells() -> None:
    request = hh.TextToVideo("a", resolution="720P", duration=5)
    assert bill("dashscope", hh.Usage(duration=6.0), request) == Decimal("0.84")
    assert bill("dashscope", hh.Usage(output_duration=6.0, resolution="1080P"), request) == Decimal("1.08")
    assert bill("dashscope", hh.Usage(ratio="16:9"), request) is None
    assert bill("dashscope", hh.Usage(duration=6.0, resolution="4K"), request) is None


def test_the_bill_of_an_edit_counts_both_videos() -> None:
    request = hh.VideoEdit("a", VIDEO, resolution="720P")
    told = hh.Usage(duration=13.24, input_duration=6.62, output_duration=6.62)
    assert bill("dashscope", told, request) == Decimal("0.14") * Decimal("13.24")
    assert bill("dashscope", hh.Usage(input_duration=6.62, output_duration=6.62), request) == Decimal("1.8536")
    assert bill("nexusflow", hh.Usage(output_duration=6.62), request) is None


@pytest.mark.parametrize(
    ("reason", "billed"),
    [(hh.FailureReason.CONTENT_REJECTED, 0), (hh.FailureReason.UNKNOWN, 0), (hh.FailureReason.NO_OUTPUT, None)],
)
def test_a_failure_is_free_where_the_provider_says_so(reason: hh.FailureReason, billed: int | None) -> None:
    price = hh.Client("dashscope", api_key="k").plan(hh.TextToVideo("a")).price
    assert price is not None
    failed = hh.Task(ref=hh.TaskRef("dashscope", "1"), status=hh.TaskStatus.FAILED, error=hh.TaskFailure(reason=reason))
    assert price.billed_for(failed) == billed


@pytest.mark.parametrize(
    ("amount", "shown"), [("0.7", "0.70"), ("12", "12.00"), ("0.12345", "0.1234"), ("0.0005", "0.0005")]
)
def test_amounts_are_shown_with_two_to_four_decimals(amount: str, shown: str) -> None:
    assert show_amount(Decimal(amount)) == shown


def test_a_price_says_what_it_is_worth() -> None:
    price = hh.Client("nexusflow", api_key="k").plan(hh.TextToVideo("a", version="1.1")).price
    assert price is not None
    assert price.describe() == (
        "2.25 CNY (list price of 2026-09-18, without discounts and free quota, from the operator's code)"
    )
    assert str(estimate("dashscope", None)) == "0.84 to 10.50 USD"
    assert price.to_dict()["low"] == "2.25"


@pytest.mark.parametrize(
    ("as_of", "days"),
    [("2026-06-01", 30), ("2026-06", 1), ("2026", 0), ("2027-01-01", 0), ("", 0), ("last summer", 0)],
)
def test_the_age_of_a_price_counts_from_the_last_day_that_its_date_may_mean(as_of: str, days: int) -> None:
    price = PriceEstimate(low=Decimal(1), high=Decimal(1), currency="USD", as_of=as_of)

    assert timedelta(days=days) == price.age(date(2026, 7, 1))


def plan_after(price: PriceEstimate, days: int, caplog: pytest.LogCaptureFixture, **account: str) -> list[str]:
    """Plan two requests *days* after the date of *price*, and return what is logged."""
    year, month, day = map(int, price.as_of.split("-"))
    moment = datetime(year, month, day, 12, tzinfo=UTC) + timedelta(days=days)
    client = hh.Client("nexusflow", api_key="k", **account)
    caplog.clear()
    with time_machine.travel(moment):
        for _ in range(2):
            client.plan(hh.TextToVideo("a", version="1.1"))
    return [record.getMessage() for record in caplog.records if "prices of" in record.getMessage()]


def test_a_price_older_than_180_days_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """It is not said of an emulator, whose videos cost nothing."""
    price = hh.Client("nexusflow", api_key="k").plan(hh.TextToVideo("a", version="1.1")).price
    assert price is not None

    assert [] == plan_after(price, 180, caplog)
    [line] = plan_after(price, 181, caplog)
    assert f"of {price.as_of}: set your own in [providers.nexusflow.prices]" in line
    assert [] == plan_after(price, 181, caplog, base_url="http://127.0.0.1:8080")
