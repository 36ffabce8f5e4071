"""Who gets a job, at the front door: by order, by price, by time, and what a plan says of it beforehand."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

import happyhorse_async as hh

REQUEST = hh.TextToVideo("a train at night", resolution="720P", duration=5)
ADAPTERS = {"a": "dashscope", "b": "hiapi", "c": "imini"}


def prices(given: str | None) -> dict[str, str] | None:
    """Return what a section would say of a price such as `0.20 USD` a second."""
    amount, _, currency = (given or "").partition(" ")
    return {"currency": currency, "720P": amount} if given else None


def opened(
    emulator: hh.Emulator, routing: hh.Routing, given: dict[str, str | None] | None = None, **options: Any
) -> hh.Client:
    """Return a client of three accounts, each of another provider, with prices that the test gives."""
    accounts = [
        hh.Provider(
            name,
            adapter=adapter,
            api_key=f"sk-{name}",
            # No list of prices is about an address like this.
            base_url=emulator.url(adapter),
            prices=prices((given or {}).get(name)),
        )
        for name, adapter in ADAPTERS.items()
    ]
    return hh.Client(accounts, routing=routing, **options)


def rejected(plan: hh.Plan) -> dict[str, str]:
    return {one.provider: type(one.error).__name__ for one in plan.rejected}


async def asked(client: hh.Client, store: hh.MemoryStore) -> list[str]:
    """Return which accounts are asked, one after the other, where all of them have no money."""
    with pytest.raises(hh.QuotaExceededError) as refused:
        await client.submit(REQUEST)
    job = await store.get(refused.value.job_id or "")
    assert job is not None
    return [*(attempt.endpoint.provider for attempt in job.attempts), job.endpoint.provider]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"a": "0.20 USD", "b": "0.10 USD", "c": "0.15 USD"}, "bca"),
        # A tie is decided by the order.
        ({"a": "0.10 USD", "b": "0.10 USD", "c": "0.10 USD"}, "abc"),
        ({"a": "0.20 USD", "b": "0.1 USD", "c": "0.100 USD"}, "bca"),
        # Prices that are not known come last.
        ({"a": None, "b": "0.20 USD", "c": "0.10 USD"}, "cba"),
        ({"a": None, "b": None, "c": "99 USD"}, "cab"),
        ({"a": None, "b": None, "c": None}, "abc"),
        # Only prices in the currency of the first priced account are compared; the others follow in order.
        ({"a": "0.90 CNY", "b": "0.10 USD", "c": "0.50 CNY"}, "cab"),
        ({"a": None, "b": "0.30 USD", "c": "0.10 CNY"}, "bca"),
        ({"a": "5 USD", "b": "0.30 CNY", "c": "0.10 CNY"}, "abc"),
    ],
)
async def test_the_cheapest_account_is_asked_first(
    emulator: hh.Emulator, given: dict[str, str | None], expected: str
) -> None:
    store = hh.MemoryStore()
    async with opened(emulator, hh.Routing(strategy="cheapest"), given, store=store) as client:
        planned = client.plan(REQUEST).provider
        handle = await client.submit(REQUEST)
        emulator.inject("no-money", on="submit", times=None)
        order = await asked(client, store)

    assert (planned, handle.ref.provider) == (expected[0], expected[0])
    assert order == list(expected)


async def test_by_order_the_price_does_not_matter(emulator: hh.Emulator) -> None:
    given: dict[str, str | None] = {"a": None, "b": "0.20 USD", "c": "0.10 USD"}
    store = hh.MemoryStore()
    async with opened(emulator, hh.Routing(("b", "a", "c")), given, store=store) as client:
        emulator.inject("no-money", on="submit", times=None)
        assert await asked(client, store) == ["b", "a", "c"]


async def test_the_cheapest_account_that_can_make_it_gets_it(emulator: hh.Emulator) -> None:
    """The price of an account that cannot express the request is of no interest."""
    given = {"a": "0.20 USD", "b": "0.10 USD", "c": "0.01 USD"}
    wide = hh.TextToVideo("a train", resolution="720P", duration=5, ratio="21:9")
    async with opened(emulator, hh.Routing(strategy="cheapest"), given) as client:
        plan = client.plan(wide)
        handle = await client.submit(wide)

    assert (plan.provider, rejected(plan)) == ("b", {"c": "UnsupportedFeatureError"})
    assert handle.ref.provider == "b"


async def test_the_soonest_account_is_the_one_that_was_quick_before(emulator: hh.Emulator) -> None:
    """Nothing was learned at first: then the order decides, as it does between equals."""
    made = itertools.count(2)
    emulator.scenario = hh.Scenario(choose=lambda request, number: hh.SimulatedTask(queue=0, run=400 / next(made)))
    async with opened(emulator, hh.Routing(strategy="soonest")) as client:
        assert client.plan(REQUEST).provider == "a"
        for name in ADAPTERS:
            await asyncio.gather(*(client.generate(REQUEST, provider=name) for _ in range(6)))
        assert client.plan(REQUEST).provider == "c"
        assert (await client.submit(REQUEST)).ref.provider == "c"


async def test_only_the_first_account_is_waited_for(emulator: hh.Emulator) -> None:
    """Its 429 for as long as the patience lasts, the ones of the others not at all."""
    for name in ("dashscope", "hiapi"):
        emulator.inject("too-fast", on="submit", provider=name, times=None)
    times: dict[str, float] = {}
    async with opened(emulator, hh.Routing(patience=20)) as client:
        started = asyncio.get_running_loop().time()
        handle = await client.submit(REQUEST)
        times["moved"] = asyncio.get_running_loop().time() - started

    assert handle.ref.provider == "c"
    assert emulator.calls("submit", provider="hiapi") == 1
    assert emulator.calls("submit", provider="dashscope") > 1
    assert times["moved"] < 30


async def test_a_plan_leaves_out_what_routing_leaves_out(emulator: hh.Emulator) -> None:
    """It says who would get the job now, and why the account before does not."""
    emulator.inject("no-money", on="submit", provider="dashscope")
    async with opened(emulator, hh.Routing()) as client:
        before = client.plan(REQUEST)
        await client.submit(REQUEST)
        meanwhile = client.plan(REQUEST)
        alone = client.plan(REQUEST, provider="a")
        await asyncio.sleep(61)
        later = client.plan(REQUEST)
        # A plan is no try: the next job is the one.
        handle = await client.submit(REQUEST)
    closed = client.plan(REQUEST)

    assert (before.provider, rejected(before)) == ("a", {})
    assert (meanwhile.provider, rejected(meanwhile)) == ("b", {"a": "QuotaExceededError"})
    assert (alone.provider, rejected(alone)) == ("a", {})
    assert (later.provider, rejected(later)) == ("a", {})
    assert (closed.provider, handle.ref.provider) == ("a", "a")


async def test_a_plan_where_every_account_is_left_out(emulator: hh.Emulator) -> None:
    """The first one is asked all the same, and the plan warns of it."""
    emulator.inject("no-money", on="submit", times=3)
    async with opened(emulator, hh.Routing()) as client:
        with pytest.raises(hh.QuotaExceededError):
            await client.submit(REQUEST)
        plan = client.plan(REQUEST)
        handle = await client.submit(REQUEST)

    assert (plan.provider, rejected(plan)) == ("a", {"b": "QuotaExceededError", "c": "QuotaExceededError"})
    assert "a is left out at present" in plan.warnings[-1]
    assert handle.ref.provider == "a"
