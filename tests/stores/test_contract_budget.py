"""What every store promises of budgets: sums that outlive the jobs, and limits that hold at the moment of writing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from attrs import evolve

import happyhorse_async as hh
from happyhorse_async.budget import SpendingLimit
from happyhorse_async.job import JobState

LIMITS = hh.Budget("10 USD", per="day").limits


def price(amount: str = "3", **fields: Any) -> hh.PriceEstimate:
    return hh.PriceEstimate(**{"low": Decimal(amount), "high": Decimal(amount), "currency": "USD", **fields})


def today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"


async def test_a_price_is_kept_with_its_job(open_store: Any, new_job: Any) -> None:
    terms = hh.PriceEstimate(low=Decimal("0.1"), high=Decimal("0.30"), currency="USD", as_of="2026-06").terms
    given = price("0.14", as_of="2026-06", source="https://fifth.example/prices", terms=terms, billed=Decimal("0.12"))
    store = await open_store()
    await store.add(new_job(job_id="j", price=given))
    found = await store.get("j")
    assert found.price == given
    assert found.price.terms == given.terms


async def test_sums_are_kept_by_day_provider_model_and_currency(open_store: Any, new_job: Any) -> None:
    store = await open_store()
    for provider, amount, currency in (("main", "1.25", "USD"), ("main", "2", "USD"), ("other", "5", "CNY")):
        job = new_job(provider=provider, price=price(amount, currency=currency))
        await store.add(evolve(job, state=JobState.SUBMITTING))
    await store.add(new_job(state=JobState.SUBMITTING))

    found = {(cost.day, cost.provider, cost.currency): (cost.amount, cost.jobs) for cost in await store.costs()}
    assert found == {
        (today(), "main", "USD"): (Decimal("3.25"), 2),
        (today(), "main", None): (None, 1),
        (today(), "other", "CNY"): (Decimal(5), 1),
    }


async def test_a_job_is_refused_where_it_would_exceed_the_limit_and_nothing_is_written(
    open_store: Any, new_job: Any
) -> None:
    store = await open_store()
    jobs = [new_job(price=price(), durable=True) for _ in range(4)]
    for job in jobs[:3]:
        await store.add(job, within=LIMITS)

    with pytest.raises(hh.BudgetExceededError) as refused:
        await store.add(jobs[3], within=LIMITS)

    assert (refused.value.left, refused.value.job_id) == (1, jobs[3].job_id)
    assert await store.get(jobs[3].job_id) is None
    [cost] = await store.costs()
    assert (cost.day, cost.amount, cost.jobs) == (None, 9, 3)


async def test_the_intent_of_a_submit_reserves_and_is_refused_without_room(open_store: Any, new_job: Any) -> None:
    store = await open_store()
    jobs = [await store.add(new_job(price=price("6"))) for _ in range(2)]
    assert await store.costs() == []

    assert await store.change(evolve(jobs[0], state=JobState.SUBMITTING), within=LIMITS) is not None
    with pytest.raises(hh.BudgetExceededError):
        await store.change(evolve(jobs[1], state=JobState.SUBMITTING), within=LIMITS)

    assert (await store.get(jobs[1].job_id)).state is JobState.QUEUED
    [cost] = await store.costs()
    assert (cost.day, cost.amount) == (today(), 6)


async def test_a_condition_that_does_not_hold_reserves_nothing(open_store: Any, new_job: Any) -> None:
    store = await open_store()
    job = await store.add(new_job(price=price()))
    wanted = evolve(job, state=JobState.SUBMITTING)
    assert await store.change(wanted, only_from=[JobState.ACCEPTED], within=LIMITS) is None
    assert await store.costs() == []


async def test_the_key_of_a_job_that_exists_needs_no_room(open_store: Any, new_job: Any) -> None:
    store = await open_store()
    first = await store.add(new_job(key="k", price=price("10"), durable=True), within=LIMITS)
    again = await store.add(new_job(key="k", price=price("10"), durable=True), within=LIMITS)
    assert again.job_id == first.job_id


@pytest.mark.parametrize(
    ("after", "left"),
    [
        ({"state": JobState.REFUSED}, 0),
        ({"state": JobState.WITHDRAWN}, 0),
        ({"state": JobState.WRITTEN_OFF}, 3),
        ({"state": JobState.EXPIRED}, 3),
        ({"state": JobState.SUCCEEDED, "price": price(billed=Decimal("2.5"))}, Decimal("2.5")),
        ({"state": JobState.FAILED, "price": price(billed=Decimal(0))}, 0),
    ],
)
async def test_the_end_of_a_job_settles_its_reservation(
    open_store: Any, new_job: Any, after: dict[str, Any], left: Decimal
) -> None:
    store = await open_store()
    job = await store.add(new_job(price=price(), durable=True), within=LIMITS)
    job = await store.change(evolve(job, state=JobState.SUBMITTING), within=LIMITS)
    await store.change(evolve(job, **after))
    assert sum(cost.amount for cost in await store.costs()) == left


async def test_a_task_that_turns_up_after_a_refusal_counts_again(open_store: Any, new_job: Any) -> None:
    store = await open_store()
    job = await store.add(new_job(price=price(), state=JobState.SUBMITTING))
    await store.change(evolve(job, state=JobState.REFUSED))
    assert await store.costs() == []
    await store.change(evolve(job, state=JobState.ACCEPTED))
    [cost] = await store.costs()
    assert cost.amount == 3


async def test_a_move_to_another_account_exchanges_the_reservation_in_one_step(open_store: Any, new_job: Any) -> None:
    store = await open_store()
    job = await store.add(new_job(price=price("9"), state=JobState.SUBMITTING), within=LIMITS)
    moved = evolve(job, endpoint=evolve(job.endpoint, provider="other"), price=price("8"))
    await store.change(moved, within=LIMITS)
    [cost] = await store.costs()
    assert (cost.provider, cost.amount) == ("other", 8)

    too_dear = evolve(moved, endpoint=job.endpoint, price=price("11"))
    with pytest.raises(hh.BudgetExceededError):
        await store.change(too_dear, within=LIMITS)
    assert (await store.get(job.job_id)).endpoint.provider == "other"


async def test_the_room_can_be_asked_for_without_a_reservation(open_store: Any, new_job: Any) -> None:
    store = await open_store()
    await store.check_budget(new_job(price=price("10")), LIMITS)
    with pytest.raises(hh.BudgetExceededError):
        await store.check_budget(new_job(price=price("11")), LIMITS)
    with pytest.raises(hh.BudgetExceededError, match="price is not known"):
        await store.check_budget(new_job(), LIMITS)
    assert await store.costs() == []


async def test_the_ledger_outlives_the_jobs(open_store: Any, new_job: Any) -> None:
    store = await open_store(keep_closed=0.0)
    job = await store.add(new_job(price=price(), state=JobState.SUBMITTING))
    await store.change(evolve(job, state=JobState.FAILED))
    if hasattr(store, "purge"):
        await store.purge()
    await store.add(new_job())
    assert await store.get(job.job_id) is None
    [cost] = await store.costs()
    assert cost.amount == 3
    with pytest.raises(hh.BudgetExceededError):
        await store.check_budget(new_job(price=price("8")), LIMITS)


async def test_many_at_once_never_exceed_a_limit(open_store: Any, new_job: Any) -> None:
    store = await open_store()

    async def reserve() -> bool:
        try:
            await store.add(new_job(price=price("0.7"), durable=True), within=LIMITS)
        except hh.BudgetExceededError:
            return False
        return True

    outcomes = await asyncio.gather(*(reserve() for _ in range(50)))
    assert sum(outcomes) == 14


async def test_limits_of_other_currencies_and_periods_do_not_disturb(open_store: Any, new_job: Any) -> None:
    store = await open_store()
    within = (*LIMITS, SpendingLimit(amount=Decimal(100), currency="CNY", per="hour"))
    await store.add(new_job(price=price("10"), durable=True), within=within)
    await store.add(new_job(price=price("100", currency="CNY"), durable=True), within=within)
    with pytest.raises(hh.BudgetExceededError):
        await store.add(new_job(price=price("0.01", currency="CNY"), durable=True), within=within)


async def test_the_room_for_a_move_counts_what_the_job_holds_already(open_store: Any, new_job: Any) -> None:
    """What is reserved at the one account is exchanged at the other, and need not be there twice."""
    store = await open_store()
    job = await store.add(new_job(price=price("9"), durable=True), within=LIMITS)
    moved = evolve(job, endpoint=evolve(job.endpoint, provider="other"), price=price("10"))
    await store.check_budget(moved, LIMITS)
    with pytest.raises(hh.BudgetExceededError):
        await store.check_budget(evolve(moved, price=price("11")), LIMITS)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_the_next_day_has_room_again_and_what_is_sent_then_counts_then(
    kind: str, tmp_path: Any, opened: Any, new_job: Any
) -> None:
    """What was reserved yesterday and is sent today is spent today."""
    with time_machine.travel(datetime(2030, 3, 31, 23, 59, tzinfo=UTC), tick=False) as clock:
        store = await opened(hh.MemoryStore() if kind == "memory" else hh.SQLiteStore(tmp_path / "jobs.sqlite"))
        sent = await store.add(new_job(price=price("4")))
        await store.change(evolve(sent, state=JobState.SUBMITTING), within=LIMITS)
        reserved = await store.add(new_job(price=price("6"), durable=True), within=LIMITS)
        with pytest.raises(hh.BudgetExceededError):
            await store.check_budget(new_job(price=price("1")), LIMITS)

        clock.shift(timedelta(minutes=2))
        await store.check_budget(new_job(price=price("4")), LIMITS)
        await store.change(evolve(reserved, state=JobState.SUBMITTING), within=LIMITS)
        with pytest.raises(hh.BudgetExceededError):
            await store.check_budget(new_job(price=price("5")), LIMITS)
        assert [(cost.day, cost.amount) for cost in await store.costs()] == [("2030-03-31", 4), ("2030-04-01", 6)]
        with pytest.raises(hh.BudgetExceededError):
            await store.check_budget(new_job(price=price("1")), hh.Budget("10 USD", per="total").limits)
        await store.check_budget(new_job(price=price("4")), hh.Budget("10 USD", per="month").limits)
