"""`plan`, `costs`, and the price that is shown before a video is paid for."""

from __future__ import annotations

import json
from typing import Any

from happyhorse_async.emulator import Emulator

PRICES = '[providers.dashscope.prices]\ncurrency = "USD"\n"720P" = "0.20"\n'
REQUEST = ("A cardboard train", "--resolution", "720P", "--duration", "5")


def priced(program: Any, emulator: Emulator, extra: str = "") -> None:
    """Write a configuration with prices for the emulator, which has none of its own."""
    url = emulator.url("dashscope")
    section = f'[providers.dashscope]\nbase_url = "{url}"\napi_key_env = "EMULATOR_KEY"\n'
    program.write("happyhorse.toml", f"{section}{PRICES}[poll]\ninterval = 0.05\n{extra}")


async def test_plan_shows_what_would_be_sent_and_for_how_much(program: Any, emulator: Emulator) -> None:
    """Without sending it, and without the key."""
    priced(program, emulator)
    run = await program.run("plan", *REQUEST)
    as_json = await program.run("plan", *REQUEST, "--json")
    [plan] = as_json.objects

    assert run.code == 0
    assert "price: 1.00 USD (configured price)\n" in run.out
    assert '"prompt": "A cardboard train"' in run.out
    assert "Authorization: Bearer ***" in run.out
    assert "sk-never" not in run.out + run.err + as_json.out
    assert (plan["provider"], plan["price"]["low"], plan["price"]["currency"]) == ("dashscope", "1.00", "USD")
    assert plan["messages"][0]["body"]["parameters"]["duration"] == 5


async def test_generate_shows_the_price_and_costs_adds_up_the_bills(program: Any, emulator: Emulator) -> None:
    priced(program, emulator)
    first = await program.run("generate", *REQUEST)
    second = await program.run("submit", *REQUEST, "--json")
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert "price: 1.00 USD" in first.err
    assert "5 s of 720P billed, 1.00 USD, " in first.err
    assert second.objects[0]["price"]["high"] == "1.00"

    table = await program.run("costs")
    lines = (await program.run("costs", "--json")).objects
    assert [(line["provider"], line["jobs"], line["amount"], line["currency"]) for line in lines] == [
        ("dashscope", 2, "2.00", "USD")
    ]
    assert "2.00" in table.out
    assert "total: 2.00 USD; 1 of 2 as the provider billed them" in table.err


async def test_the_price_is_that_of_the_account_that_took_the_job(program: Any, emulator: Emulator) -> None:
    """It was planned for another one, which had no money."""
    emulator.inject("no-money", on="submit", provider="dashscope", times=None)
    url = emulator.url("hiapi")
    backup = f'[providers.backup]\nadapter = "hiapi"\nbase_url = "{url}"\napi_key_env = "EMULATOR_KEY"\n'
    prices = '[providers.backup.prices]\ncurrency = "USD"\n"720P" = "0.10"\n'
    priced(program, emulator, f'{backup}{prices}[routing]\norder = ["dashscope", "backup"]\n')
    run = await program.run("submit", *REQUEST, "--json")

    assert run.code == 0, run.err
    assert run.objects[0]["ref"].startswith("backup:")
    assert run.objects[0]["price"]["high"] == "0.50"


async def test_a_budget_refuses_before_anything_is_sent(program: Any, emulator: Emulator) -> None:
    priced(program, emulator, '[budget]\nlimit = "1.5 USD"\nper = "total"\n')
    assert (await program.run("generate", *REQUEST)).code == 0
    run = await program.run("generate", *REQUEST, "--json")

    assert run.code == 2
    assert run.error["class"] == "BudgetExceededError"
    assert "1.50 USD in total" in run.error["message"]
    assert len(program.videos()) == 1


async def test_a_bad_budget_or_price_is_named(program: Any, emulator: Emulator) -> None:
    priced(program, emulator, '[budget]\nlimit = "fifty"\n')
    run = await program.run("config")
    assert run.code == 2
    assert "budget.limit" in run.err

    priced(program, emulator, '[budget]\nlimit = "50 USD"\nper = "week"\n')
    assert "budget.per" in (await program.run("config")).err

    priced(program, emulator, '[budget]\nlimit = ["50 USD", "300 CNY"]\n')
    shown = json.loads((await program.run("config", "--json")).out)
    assert shown["budget"] == ["50.00 USD per day", "300.00 CNY per day"]
    assert shown["providers"]["dashscope"]["prices"] == {"720P": "0.20 USD"}
