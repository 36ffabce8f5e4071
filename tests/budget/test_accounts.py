"""A budget and several accounts: a job goes where there is room for its price, and its reservation goes with it."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh

pytestmark = pytest.mark.usefixtures("no_chance")

REQUEST = hh.TextToVideo("a train at night", resolution="720P")


def several(
    fifth: Any,
    gateway: Any,
    path: Path,
    *limits: str,
    store: hh.TaskStore | None = None,
    **prices: dict[str, str] | None,
) -> hh.Client:
    """Return a client of accounts with prices of their own, each at a path of its own."""
    accounts = [
        hh.Provider(name, adapter=fifth.adapter(), api_key="k", base_url=f"{gateway.url}/{name}", prices=own)
        for name, own in prices.items()
    ]
    return hh.Client(
        accounts,
        routing=hh.Routing(order=tuple(prices)),
        budget=hh.Budget(*limits),
        store=store or hh.SQLiteStore(path),
        poll=hh.PollSchedule(interval=3600),
    )


def usd(amount: str) -> dict[str, str]:
    return {"currency": "USD", "720P": amount}


def accept(gateway: Any, name: str) -> None:
    gateway.on("POST", f"/{name}/videos", lambda _: {"id": f"t-{len(gateway.requests)}", "status": "queued"})


async def costs(client: hh.Client, path: Path) -> dict[str, Decimal]:
    store = hh.SQLiteStore(path)
    await store.open()
    try:
        sums: defaultdict[str, Decimal] = defaultdict(Decimal)
        for cost in await store.costs():
            sums[cost.provider] += cost.amount or Decimal(0)
        return dict(sums)
    finally:
        await store.aclose()


async def test_a_job_that_is_too_dear_at_the_first_account_goes_to_the_next(
    gateway: Any, fifth: Any, path: Path
) -> None:
    accept(gateway, "cheap")
    async with several(fifth, gateway, path, "1 USD", dear=usd("1"), cheap=usd("0.1")) as client:
        handle = await client.submit(REQUEST)
        assert handle.ref.provider == "cheap"
        assert await costs(client, path) == {"cheap": Decimal("0.5")}
    assert [seen.path for seen in gateway.seen("POST")] == ["/cheap/videos"]


def test_a_plan_names_the_account_that_the_budget_could_have_room_for(gateway: Any, fifth: Any, path: Path) -> None:
    """A price that is not known, or above the whole budget."""
    plan = several(fifth, gateway, path, "1 USD", unpriced=None, dear=usd("1"), cheap=usd("0.1")).plan(REQUEST)
    alone = several(fifth, gateway, path, "1 USD", dear=usd("1")).plan(REQUEST)

    assert plan.provider == "cheap"
    assert {"unpriced": "BudgetExceededError", "dear": "BudgetExceededError"} == {
        rejection.provider: type(rejection.error).__name__ for rejection in plan.rejected
    }
    assert alone.price is not None
    assert "of the budget of 1.00 USD per day" in alone.warnings[-1]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def new_store(request: pytest.FixtureRequest, path: Path) -> Callable[[], hh.TaskStore]:
    """Return what makes stores with the same jobs, one of each kind."""
    if request.param == "memory":
        one = hh.MemoryStore()
        return lambda: one
    if request.param == "sqlite":
        return lambda: hh.SQLiteStore(path)
    url, schema = request.getfixturevalue("postgres_server").url, f"plans_{os.getpid()}"
    return lambda: hh.PostgresStore(url, schema=schema)


@pytest.mark.filterwarnings("ignore:the budget counts only")
async def test_a_plan_knows_what_is_spent(
    gateway: Any, fifth: Any, path: Path, new_store: Callable[[], hh.TaskStore]
) -> None:
    """It passes over an account whose price there is no room for any more, and says so where there is room nowhere."""
    for name in ("dear", "cheap"):
        accept(gateway, name)

    def opened() -> hh.Client:
        return several(fifth, gateway, path, "1.5 USD", store=new_store(), dear=usd("0.2"), cheap=usd("0.1"))

    async with opened() as client:
        plans = [client.plan(REQUEST)]
        for _ in range(2):
            await client.submit(REQUEST)
            plans.append(client.plan(REQUEST))
        with pytest.raises(hh.BudgetExceededError):
            await client.submit(REQUEST)
    async with opened() as client:
        plans.append(client.plan(REQUEST))

    assert [plan.provider for plan in plans] == ["dear", "cheap", "dear", "dear"]
    assert [[one.provider for one in plan.rejected] for plan in plans] == [[], ["dear"], *[["dear", "cheap"]] * 2]
    assert all(isinstance(one.error, hh.BudgetExceededError) for plan in plans for one in plan.rejected)
    for spent in plans[2:]:
        assert "of the budget of 1.50 USD per day 0.00 USD is left" in spent.warnings[-1]
        assert str(spent.price) == "1.00 USD"


async def test_an_account_without_a_price_is_passed_over_for_one_in_a_currency_with_room(
    gateway: Any, fifth: Any, path: Path
) -> None:
    accept(gateway, "yuan")
    yuan = {"currency": "CNY", "720P": "0.9"}
    async with several(fifth, gateway, path, "1 USD", "5 CNY", unpriced=None, yuan=yuan) as client:
        handle = await client.submit(REQUEST)
        assert handle.ref.provider == "yuan"
        with pytest.raises(hh.BudgetExceededError):
            await client.submit(REQUEST)
    assert len(gateway.requests) == 1


async def test_the_reservation_moves_with_a_job_that_is_refused(gateway: Any, fifth: Any, path: Path) -> None:
    """The money of the first account is free when the second one is asked: both together would exceed the budget."""
    gateway.on("POST", "/first/videos", gateway.reply({"error": "no money"}, status=402))
    accept(gateway, "second")
    async with several(fifth, gateway, path, "1 USD", first=usd("0.2"), second=usd("0.2")) as client:
        handle = await client.enqueue(REQUEST)
        while (await client.job(handle.job_id)).ref is None:
            await asyncio.sleep(0.02)
        job = await client.job(handle.job_id)
        assert str(job.ref).startswith("second:")
        assert await costs(client, path) == {"second": Decimal(1)}


@pytest.mark.parametrize("how", ["submit", "enqueue"])
async def test_no_other_job_gets_the_money_of_one_that_moves(gateway: Any, fifth: Any, path: Path, how: str) -> None:
    """It holds its reservation while it waits for room at the next account, whether it was promised or not."""
    gateway.on("POST", "/first/videos", gateway.reply({"error": "no money"}, status=402))
    accept(gateway, "second")
    accounts = [
        hh.Provider("first", adapter=fifth.adapter(), api_key="k", base_url=f"{gateway.url}/first", prices=usd("0.2")),
        hh.Provider(
            "second",
            adapter=fifth.adapter(),
            api_key="k",
            base_url=f"{gateway.url}/second",
            prices=usd("0.2"),
            limits=hh.Limits(max_running=1),
        ),
    ]
    store, poll = hh.SQLiteStore(path), hh.PollSchedule(interval=3600)
    async with hh.Client(accounts, routing=hh.Routing(), budget=hh.Budget("2 USD"), store=store, poll=poll) as client:
        await client.submit(REQUEST, provider="second")
        moving = asyncio.ensure_future(getattr(client, how)(REQUEST))
        while not any(job.provider == "second" and job.ref is None for job in await client.pending()):
            await asyncio.sleep(0.02)
        with pytest.raises(hh.BudgetExceededError) as refused:
            await client.submit(REQUEST)
        reserved = await costs(client, path)
        moving.cancel()

    assert (reserved, str(refused.value.left)) == ({"second": Decimal(2)}, "0.00")


class Unknowing(hh.SQLiteStore):
    """Has room for everything until it is spent, as if other jobs took the money between the question and the write."""

    async def check_budget(self, job: hh.Job, within: Any) -> None:
        """Say yes."""


@pytest.mark.parametrize("how", ["submit", "enqueue"])
async def test_a_job_for_which_the_next_account_has_no_room_any_more_goes_to_the_one_after_it(
    gateway: Any, fifth: Any, path: Path, how: str
) -> None:
    gateway.on("POST", "/first/videos", gateway.reply({"error": "no money"}, status=402))
    accept(gateway, "cheap")
    prices = {"first": usd("0.2"), "dear": usd("0.3"), "cheap": usd("0.1")}
    async with several(fifth, gateway, path, "1 USD", store=Unknowing(path), **prices) as client:
        handle = await getattr(client, how)(REQUEST)
        while (job := await client.job(handle.job_id)).ref is None:
            await asyncio.sleep(0.02)
        assert str(job.ref).startswith("cheap:")
        assert await costs(client, path) == {"cheap": Decimal("0.5")}
    assert [seen.path for seen in gateway.seen("POST")] == ["/first/videos", "/cheap/videos"]


async def test_a_job_for_which_no_account_has_room_any_more_ends_as_the_first_one_said(
    gateway: Any, fifth: Any, path: Path
) -> None:
    """It is refused, and holds no money."""
    gateway.on("POST", "/first/videos", gateway.reply({"error": "no money"}, status=402))
    prices = {"first": usd("0.2"), "dear": usd("0.3")}
    async with several(fifth, gateway, path, "1 USD", store=Unknowing(path), **prices) as client:
        with pytest.raises(hh.QuotaExceededError) as refused:
            await client.submit(REQUEST)
        job = await client.job(refused.value.job_id or "")
        assert await costs(client, path) == {}
    assert job.state is hh.JobState.REFUSED
    assert len(gateway.seen("POST")) == 1


async def test_an_enqueued_job_waits_for_an_account_that_is_left_out_if_the_budget_has_no_room_elsewhere(
    gateway: Any, fifth: Any, path: Path
) -> None:
    """It is neither refused, nor sent again and again to an account that is known to be empty."""
    gateway.on("POST", "/empty/videos", gateway.reply({"error": "no money"}, status=402))
    accept(gateway, "yuan")
    yuan = {"currency": "CNY", "720P": "0.9"}
    async with several(fifth, gateway, path, "1 USD", "5 CNY", empty=usd("0.1"), yuan=yuan) as client:
        assert (await client.submit(REQUEST)).ref.provider == "yuan"
        handle = await client.enqueue(REQUEST)
        while (job := await client.job(handle.job_id)).error is None:
            await asyncio.sleep(0.02)
        assert job.state is hh.JobState.QUEUED
        assert isinstance(job.error, hh.QuotaExceededError)
        assert len(gateway.requests) == 2
        with pytest.raises(hh.QuotaExceededError):
            await client.submit(REQUEST)


async def test_a_refusal_after_a_lost_answer_gives_no_money_back(gateway: Any, fifth: Any, path: Path) -> None:
    """The first request may have been accepted, whatever a later one is told."""
    accounts = hh.Provider(
        "keyed", adapter=fifth.adapter(idempotent=True), api_key="k", base_url=gateway.url, prices=usd("0.2")
    )
    gateway.on("POST", "/videos", "reset", gateway.reply({"error": "no money"}, status=402))
    client = hh.Client(
        accounts, budget=hh.Budget("1 USD"), store=hh.SQLiteStore(path), poll=hh.PollSchedule(interval=3600)
    )
    async with client:
        with pytest.raises(hh.SubmitOutcomeUnknownError):
            await client.submit(REQUEST)
        assert await costs(client, path) == {"keyed": Decimal(1)}
