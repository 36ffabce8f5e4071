"""How budgets are written, and what a job counts for in them: pure rules, without a store."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

import happyhorse_async as hh
from happyhorse_async.budget import (
    UNSENT,
    Charge,
    SpendingLimit,
    changed_lines,
    charge_of,
    check_limits,
    hour_of,
    limits_of,
    to_nanos,
)
from happyhorse_async.job import Endpoint, Job, JobState

NOW = datetime(2026, 11, 30, 19, 31, 5, tzinfo=UTC)
PRICE = hh.PriceEstimate(low=Decimal(1), high=Decimal("1.5"), currency="USD")


def job(state: JobState, *, durable: bool = False, **fields: Any) -> Job:
    endpoint = Endpoint(provider="main", adapter="fifth", base_url="https://fifth.example")
    given = {"price": PRICE, **fields}
    return Job(job_id="j", endpoint=endpoint, model="m", created_at=NOW, state=state, durable=durable, **given)


@pytest.mark.parametrize(
    ("limits", "per", "amounts"),
    [
        (("50 USD",), "day", ["50.00 USD per day"]),
        (("50 usd", "300 CNY"), "month", ["50.00 USD per month", "300.00 CNY per month"]),
        ((["0.5 USD"],), "total", ["0.50 USD in total"]),
        ((hh.Money(Decimal(7), "EUR"),), "hour", ["7.00 EUR per hour"]),
    ],
)
def test_a_budget_is_an_amount_for_each_currency(limits: Any, per: Any, amounts: list[str]) -> None:
    assert [str(limit) for limit in hh.Budget(*limits, per=per).limits] == amounts


@pytest.mark.parametrize(
    ("limits", "per", "named"),
    [
        (("50",), "day", "limit"),
        (("fifty USD",), "day", "limit"),
        (("-1 USD",), "day", "limit"),
        (("50 USD", "20 USD"), "day", "limit"),
        ((), "day", "limit"),
        ((50,), "day", "limit"),
        (("50 USD",), "week", "per"),
    ],
)
def test_a_budget_that_cannot_be_read_names_what_is_wrong(limits: Any, per: Any, named: str) -> None:
    with pytest.raises(hh.ConfigurationError, match=named):
        hh.Budget(*limits, per=per)


def test_several_budgets_hold_together() -> None:
    limits = limits_of([hh.Budget("5 USD", per="day"), hh.Budget("50 USD", per="month")])
    assert [(limit.amount, limit.per) for limit in limits] == [(5, "day"), (50, "month")]
    assert limits_of(None) == ()


@pytest.mark.parametrize(
    ("per", "start"),
    [("hour", "2026-11-30T19"), ("day", "2026-11-30T00"), ("month", "2026-11-01T00"), ("total", UNSENT)],
)
def test_a_period_is_one_of_the_calendar_in_utc(per: Any, start: str) -> None:
    elsewhere = NOW.astimezone(tz=None)
    assert SpendingLimit(amount=Decimal(1), currency="USD", per=per).start(elsewhere) == start


@pytest.mark.parametrize(
    ("state", "durable", "amount"),
    [
        (JobState.QUEUED, False, None),
        (JobState.QUEUED, True, Decimal("1.5")),
        (JobState.SUBMITTING, False, Decimal("1.5")),
        (JobState.ACCEPTED, False, Decimal("1.5")),
        (JobState.OUTCOME_UNKNOWN, False, Decimal("1.5")),
        (JobState.WRITTEN_OFF, False, Decimal("1.5")),
        (JobState.EXPIRED, False, Decimal("1.5")),
        (JobState.CANCELED, False, Decimal("1.5")),
        (JobState.FAILED, False, Decimal("1.5")),
        (JobState.SUCCEEDED, False, Decimal("1.5")),
        (JobState.REFUSED, False, None),
        (JobState.WITHDRAWN, True, None),
    ],
)
def test_money_comes_back_only_where_nothing_was_billed_for_certain(
    state: JobState, durable: bool, amount: Decimal | None
) -> None:
    found = charge_of(job(state, durable=durable), None, NOW)
    assert (found.amount if found else None) == amount


def test_the_bill_replaces_the_estimate() -> None:
    billed = hh.PriceEstimate(low=Decimal(1), high=Decimal("1.5"), currency="USD", billed=Decimal("1.2"))
    found = charge_of(job(JobState.SUCCEEDED, price=billed), None, NOW)
    assert found is not None
    assert (found.amount, found.is_billed) == (Decimal("1.2"), True)


def test_a_reservation_counts_for_the_time_at_which_the_job_is_sent() -> None:
    reserved = charge_of(job(JobState.QUEUED, durable=True), None, NOW)
    assert reserved is not None
    assert reserved.line.hour == UNSENT

    sent = charge_of(job(JobState.SUBMITTING, durable=True), reserved, NOW + timedelta(days=1))
    assert sent is not None
    assert sent.line.hour == "2026-12-01T19"
    later = charge_of(job(JobState.ACCEPTED, durable=True), sent, NOW + timedelta(days=2))
    assert later == sent


def test_a_job_that_moves_to_another_account_is_sent_anew() -> None:
    first = charge_of(job(JobState.SUBMITTING), None, NOW)
    elsewhere = Endpoint(provider="other", adapter="fifth", base_url="https://fifth.example")
    moved = charge_of(evolve(job(JobState.SUBMITTING), endpoint=elsewhere), first, NOW + timedelta(hours=2))
    assert moved is not None
    assert moved.line.key == ("2026-11-30T21", "other", "m", "USD")


def test_the_changes_of_the_ledger_always_add_up_to_what_the_job_counts_for() -> None:
    charges = [None, *(charge_of(job(state, durable=True), None, NOW) for state in JobState)]
    for before, after in itertools.product(charges, charges):
        total = sum(line.nanos for line in changed_lines(before, after))
        worth = [
            0 if charge is None or charge.amount is None else to_nanos(charge.amount) for charge in (before, after)
        ]
        assert total == worth[1] - worth[0]


def limit(amount: str, currency: str = "USD") -> SpendingLimit:
    return SpendingLimit(amount=Decimal(amount), currency=currency, per="day")


def check(within: list[SpendingLimit], *, spent: str = "0", before: Charge | None = None, **fields: Any) -> None:
    state = fields.pop("state", JobState.SUBMITTING)
    after = charge_of(job(state, **fields), before, NOW)
    check_limits(within, job(state, **fields), before, after, lambda currency, start: to_nanos(Decimal(spent)), NOW)


def test_what_fits_exactly_is_allowed_and_a_hair_more_is_not() -> None:
    check([limit("10")], spent="8.5")
    with pytest.raises(hh.BudgetExceededError) as refused:
        check([limit("10")], spent="8.500001")
    error = refused.value
    assert (error.http_status, error.limit, error.currency) == (402, 10, "USD")
    assert error.left == Decimal("1.499999")


def test_every_limit_of_the_currency_holds() -> None:
    total = SpendingLimit(amount=Decimal(3), currency="USD", per="total")
    with pytest.raises(hh.BudgetExceededError, match="in total"):
        check([limit("100"), total], spent="2")


def test_the_exchange_of_a_reservation_frees_what_it_held() -> None:
    reserved = charge_of(job(JobState.QUEUED, durable=True), None, NOW)
    check([limit("1.5")], spent="1.5", before=reserved, durable=True)


def test_what_was_sent_already_is_never_refused() -> None:
    sent = charge_of(job(JobState.SUBMITTING), None, NOW - timedelta(minutes=1))
    check([limit("0")], spent="99", before=sent)


@pytest.mark.parametrize("price", [None, hh.PriceEstimate(low=Decimal(1), high=Decimal(1), currency="CNY")])
def test_a_price_that_no_limit_can_judge_is_refused_with_the_way_out(price: hh.PriceEstimate | None) -> None:
    with pytest.raises(hh.BudgetExceededError, match=r"\[providers\.main\.prices\] with currency = \"USD\""):
        check([limit("100")], price=price)


def test_without_a_limit_everything_is_allowed() -> None:
    check([], price=None, spent="999")


def test_amounts_are_exact_to_a_billionth() -> None:
    assert to_nanos(Decimal("0.524594") * Decimal("6.62")) == 3_472_812_280
    assert hour_of(NOW) == "2026-11-30T19"
