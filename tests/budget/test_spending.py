"""A budget over HTTP: what would exceed it is never sent, and every end of a job settles what it held."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh

pytestmark = pytest.mark.usefixtures("no_chance")

REQUEST = hh.TextToVideo("a train at night", resolution="720P")
Spending = Callable[..., Any]


def refusing(gateway: Any) -> None:
    gateway.on("POST", "/videos", gateway.reply({"error": "a bad request"}, status=400))


async def spent(path: Path) -> Decimal:
    """Return what the ledger on the disk says, as another process sees it."""
    store = hh.SQLiteStore(path)
    await store.open()
    try:
        return sum((cost.amount or Decimal(0) for cost in await store.costs()), Decimal(0))
    finally:
        await store.aclose()


async def test_what_fits_is_sent_and_what_does_not_is_refused_before_anything_is(
    gateway: Any, spending: Spending, path: Path
) -> None:
    """The third video of a budget of two is not even requested."""
    gateway.accept("t-1", "t-2")
    async with spending("2.5 USD") as client:
        await client.submit(REQUEST)
        await client.submit(REQUEST)
        with pytest.raises(hh.BudgetExceededError) as refused:
            await client.submit(REQUEST)

    assert len(gateway.seen("POST")) == 2
    assert (refused.value.http_status, refused.value.left, refused.value.currency) == (402, Decimal("0.5"), "USD")
    assert "2.50 USD per day" in str(refused.value)
    assert await spent(path) == 2


async def test_amounts_are_written_as_money_is(gateway: Any, spending: Spending, path: Path) -> None:
    """Nothing of a whole budget is `0.00`; fractions of a cent stay exact."""
    gateway.accept("t-1")
    prices = {"currency": "USD", "720P": "0.1125"}
    async with spending("0.5625 USD", prices=prices) as client:
        handle = await client.submit(REQUEST)
        with pytest.raises(hh.BudgetExceededError) as refused:
            await client.submit(REQUEST)
        job = await client.job(handle.job_id)

    assert job.price is not None
    assert ("0.00", "0.5625") == (str(refused.value.left), str(await spent(path)))
    assert ("0.5625", "0.5625") == (job.price.to_dict()["low"], str(job.price.low))
    assert "0.00 USD is left" in str(refused.value)


async def test_many_submits_at_once_do_not_exceed_it(gateway: Any, spending: Spending, path: Path) -> None:
    """Each had room when it was asked for, and only some when they are sent."""
    gateway.on("POST", "/videos", lambda _: {"id": f"t-{len(gateway.requests)}", "status": "queued"})
    async with spending("5 USD") as client:
        outcomes = await asyncio.gather(*(client.submit(REQUEST) for _ in range(20)), return_exceptions=True)

    refused = [outcome for outcome in outcomes if isinstance(outcome, hh.BudgetExceededError)]
    assert (len(gateway.seen("POST")), len(refused)) == (5, 15)
    assert all(error.job_id for error in refused)
    assert await spent(path) == 5


async def test_enqueue_reserves_in_its_own_commit(gateway: Any, spending: Spending, path: Path) -> None:
    """What is promised is paid for, even if it is sent much later."""
    gateway.on("POST", "/videos", gateway.reply({"id": "t-1", "status": "queued"}, after=asyncio.Event()))
    async with spending("2 USD", limits=hh.Limits(submits_per_second=0.001)) as client:
        await client.enqueue(REQUEST)
        await client.enqueue(REQUEST)
        with pytest.raises(hh.BudgetExceededError):
            await client.enqueue(REQUEST)
        assert await spent(path) == 2


async def test_a_withdrawn_job_gives_its_money_back(gateway: Any, spending: Spending, path: Path) -> None:
    gateway.accept("t-1")
    async with spending("2 USD", limits=hh.Limits(submits_per_second=0.001)) as client:
        await client.submit(REQUEST)
        waiting = await client.enqueue(REQUEST)
        assert await spent(path) == 2
        await waiting.cancel()
        assert await spent(path) == 1
    assert len(gateway.seen("POST")) == 1


async def test_a_refused_submit_gives_its_money_back(gateway: Any, spending: Spending, path: Path) -> None:
    refusing(gateway)
    async with spending("1 USD") as client:
        with pytest.raises(hh.HappyHorseError) as refused:
            await client.submit(REQUEST)
    assert not isinstance(refused.value, hh.BudgetExceededError)
    assert await spent(path) == 0


async def test_an_unknown_outcome_keeps_the_money_until_it_is_said_that_nothing_was_billed(
    gateway: Any, spending: Spending, path: Path
) -> None:
    gateway.on("POST", "/videos", "reset")
    async with spending("2 USD") as client:
        with pytest.raises(hh.SubmitOutcomeUnknownError) as first:
            await client.submit(REQUEST)
        with pytest.raises(hh.SubmitOutcomeUnknownError) as second:
            await client.submit(REQUEST)
        assert await spent(path) == 2

        await client.resolve(first.value.job_id, write_off=True)
        assert await spent(path) == 2
        await client.resolve(second.value.job_id, write_off=True, billed=False)
        assert await spent(path) == 1


async def test_the_key_of_a_job_that_was_paid_needs_no_room(gateway: Any, spending: Spending) -> None:
    """The same key is the same task, also when the budget is used up."""
    gateway.accept("t-1")
    async with spending("1 USD") as client:
        first = await client.submit(REQUEST, key="order-1")
        again = await client.submit(REQUEST, key="order-1")
    assert again.ref == first.ref
    assert len(gateway.seen("POST")) == 1


async def test_a_job_without_a_price_is_refused_with_the_way_out(gateway: Any, spending: Spending) -> None:
    async with spending("1 USD", prices=None) as client:
        with pytest.raises(hh.BudgetExceededError, match=r"\[providers\.fifth\.prices\]"):
            await client.submit(REQUEST)
        with pytest.raises(hh.BudgetExceededError):
            await client.enqueue(REQUEST)
    assert not gateway.requests


async def test_a_job_in_a_currency_without_a_budget_is_refused(gateway: Any, spending: Spending) -> None:
    async with spending("1 CNY") as client:
        with pytest.raises(hh.BudgetExceededError, match="in USD, and the budget in CNY"):
            await client.submit(REQUEST)
    assert not gateway.requests


async def test_the_price_stands_with_the_job_and_the_bill_follows(gateway: Any, spending: Spending) -> None:
    gateway.accept("t-1")
    gateway.show("t-1", "done")
    async with spending("1 USD", poll=hh.PollSchedule(interval=0.02)) as client:
        task = await client.generate(REQUEST)
        job = await client.job(task.ref)
    assert job.price is not None
    assert (job.price.amount, job.price.currency, job.price.source) == (1, "USD", "configuration")
    assert job.to_dict()["price"]["low"] == "1.00"


async def test_a_promise_waits_until_the_budget_has_room(gateway: Any, spending: Spending, path: Path) -> None:
    """Another client has used up the budget since it was promised."""
    gateway.on("POST", "/videos", lambda _: {"id": f"t-{len(gateway.requests)}", "status": "queued"})
    slow = hh.Limits(submits_per_second=0.001)
    async with spending("9 USD", limits=slow) as client:
        for _ in range(3):
            await client.enqueue(REQUEST)
        await gateway.until(1, "POST")
    async with spending("1.5 USD", recover=True) as client:
        while not [job for job in await client.pending() if isinstance(job.error, hh.BudgetExceededError)]:
            await asyncio.sleep(0.02)
        states = {job.state for job in await client.pending()}
    assert hh.JobState.QUEUED in states
    assert hh.JobState.REFUSED not in states
    assert len(gateway.seen("POST")) == 1


async def test_a_budget_in_memory_warns(fifth: Any) -> None:
    with pytest.warns(UserWarning, match="budget counts only what this process spends"):
        fifth.client(budget=hh.Budget("1 USD"))


async def test_several_budgets_hold_together(gateway: Any, fifth: Any, path: Path) -> None:
    gateway.on("POST", "/videos", lambda _: {"id": f"t-{len(gateway.requests)}", "status": "queued"})
    account = hh.Provider(
        "fifth", adapter=fifth.adapter(), api_key="k", base_url=gateway.url, prices={"currency": "USD", "720P": "0.2"}
    )
    budgets = [hh.Budget("100 USD", per="day"), hh.Budget("2 USD", per="total")]
    async with hh.Client(
        account, budget=budgets, store=hh.SQLiteStore(path), poll=hh.PollSchedule(interval=3600)
    ) as client:
        await client.submit(REQUEST)
        await client.submit(REQUEST)
        with pytest.raises(hh.BudgetExceededError, match="in total"):
            await client.submit(REQUEST)
