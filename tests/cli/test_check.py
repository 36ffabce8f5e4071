"""`happyhorse providers --check`: what it says of each account, against servers on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from happyhorse_async.registry import adapter_names

from .conftest import KEY, Emulate, Program

NO_ACCESS = {"code": 401, "msg": "You do not have access permissions"}


@asynccontextmanager
async def serve(answer: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> AsyncIterator[str]:
    """Answer everything alike."""

    async def handle(request: web.Request) -> web.Response:
        if isinstance(answer, str):
            return web.Response(text=answer, status=status, headers=headers)
        return web.json_response(answer, status=status, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_every_account_of_the_emulator_is_right(program: Program, emulate: Emulate) -> None:
    """Each provider is asked for something that costs nothing, and each account has a line and an object."""
    async with emulate() as emulator:
        run = await program.run("providers", "--check")
        as_json = await program.run("providers", "--check", "--json")
        billed = emulator.billed()

    assert run.code == as_json.code == 0, run.out
    assert set(adapter_names()) <= {line.split()[0] for line in run.out.splitlines()}
    assert {found["provider"]: found["ok"] for found in as_json.objects}.items() >= dict.fromkeys(
        adapter_names(), True
    ).items()
    assert "100 credits" in run.out
    assert billed == 0
    assert KEY not in run.out + run.err + as_json.out


@pytest.mark.parametrize(
    ("answer", "status", "result", "code"),
    [
        ({"code": 200, "msg": "success", "data": 7}, 200, "ok", 0),
        (NO_ACCESS, 200, "key_refused", 3),
        (NO_ACCESS, 401, "key_refused", 3),
        ({"code": 402, "msg": "no credits"}, 200, "no_credit", 3),
        ({"code": 429, "msg": "too fast"}, 429, "rate_limited", 3),
        ({"code": 505, "msg": "disabled"}, 200, "not_permitted", 3),
        ({"code": 455, "msg": "maintenance"}, 200, "provider_fault", 6),
        ("<h1>Welcome to nginx</h1>", 200, "wrong_address", 6),
        ("<h1>Not Found</h1>", 404, "wrong_address", 6),
        ({"code": 404, "msg": "no such path"}, 404, "wrong_address", 6),
        ("bad gateway", 502, "provider_fault", 6),
    ],
)
async def test_what_an_answer_says_of_the_account(
    program: Program, answer: Any, status: int, result: str, code: int
) -> None:
    """A refused key, an empty account, a wrong address and a fault of the provider are told apart."""
    async with serve(answer, status) as url:
        program.configure({"kie": url})
        run = await program.run("providers", "--check", "--json")

    [found] = run.objects
    assert (found["result"], run.code) == (result, code)
    assert found["base_url"] == url
    assert found["message"]


async def test_a_redirect_is_a_wrong_address(program: Program) -> None:
    """It is not followed: the key would go with it."""
    async with serve("", 302, {"Location": "https://elsewhere.example/"}) as url:
        program.configure({"kie": url})
        run = await program.run("providers", "--check", "--json")

    assert (run.objects[0]["result"], run.code) == ("wrong_address", 6)
    assert "elsewhere.example" in run.objects[0]["message"]


async def test_no_connection_is_told_apart_from_a_refusal(program: Program) -> None:
    """Nothing listens there."""
    async with serve({}) as url:
        program.configure({"kie": url})
    run = await program.run("providers", "--check", "--json")

    assert (run.objects[0]["result"], run.code) == ("unreachable", 6)


async def test_a_missing_key_is_told_without_a_request(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the variable."""
    monkeypatch.delenv("EMULATOR_KEY")
    async with serve({"code": 200, "msg": "success", "data": 7}) as url:
        program.configure({"kie": url})
        run = await program.run("providers", "--check", "--json")

    assert (run.objects[0]["result"], run.code) == ("no_key", 2)
    assert "EMULATOR_KEY" in run.objects[0]["message"]


async def test_the_exit_code_is_that_of_the_worst_and_one_account_can_be_named(program: Program) -> None:
    """One account that is right does not hide another that is not."""
    async with serve({"code": 200, "msg": "success", "data": 7}) as right, serve(NO_ACCESS) as wrong:
        program.configure({"kie": right})
        text = f'[providers.other]\nadapter = "kie"\nbase_url = "{wrong}"\napi_key_env = "EMULATOR_KEY"\n'
        program.write("happyhorse.toml", program.read("happyhorse.toml").decode() + text)
        both = await program.run("providers", "--check", "--json")
        one = await program.run("providers", "--check", "--provider", "kie", "--json")

    assert ([found["ok"] for found in both.objects], both.code) == ([True, False], 3)
    assert ([found["ok"] for found in one.objects], one.code) == ([True], 0)


async def test_a_key_that_the_provider_repeats_is_not_shown(program: Program) -> None:
    """Neither as text nor as JSON."""
    async with serve({"code": 401, "msg": f"the key {KEY} is wrong"}) as url:
        program.configure({"kie": url})
        runs = [await program.run("providers", "--check", *flags) for flags in ((), ("--json",), ("-v",))]

    assert all(KEY not in run.out + run.err for run in runs)


REGIONAL = """
import happyhorse_async as hh
from {module} import {name}

class RegionalAdapter({name}):
    name = "regional"
    regions = {regions}
    default_base_url = {default!r}
"""


async def test_a_key_of_another_region_is_told_apart_from_a_wrong_key(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider refuses both in the same words, so that the other regions are asked; not with a base URL, though."""
    async with serve(NO_ACCESS) as west, serve({"code": 200, "msg": "success", "data": 7}) as east:
        install_regional(tmp_path / "regional", monkeypatch, {"west": west, "east": east})
        section = '[providers.main]\nadapter = "regional"\napi_key_env = "EMULATOR_KEY"\n'
        program.write("happyhorse.toml", section)
        elsewhere = await program.run("providers", "--check", "--json")
        program.write("happyhorse.toml", f'{section}region = "east"\n')
        right = await program.run("providers", "--check", "--json")
        program.write("happyhorse.toml", f'{section}base_url = "{west}"\n')
        named = await program.run("providers", "--check", "--json")

    assert (elsewhere.objects[0]["result"], elsewhere.code) == ("wrong_region", 3)
    assert "east" in elsewhere.objects[0]["message"]
    assert (right.objects[0]["result"], right.code) == ("ok", 0)
    assert (named.objects[0]["result"], named.code) == ("key_refused", 3)
    assert "another region" in named.objects[0]["message"]


def install_regional(folder: Path, monkeypatch: pytest.MonkeyPatch, regions: Mapping[str, str]) -> None:
    """Install an adapter with regions under an entry point."""
    metadata = folder / "regional-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / f"regional_{folder.parent.name.replace('-', '_')}.py").write_text(
        REGIONAL.format(
            module="happyhorse_adapters.kie",
            name="KieAdapter",
            regions=dict(regions),
            default=next(iter(regions.values())),
        )
    )
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: regional\nVersion: 1.0\n")
    module = f"regional_{folder.parent.name.replace('-', '_')}"
    (metadata / "entry_points.txt").write_text(f"[happyhorse_async.adapters]\nregional = {module}:RegionalAdapter\n")
    monkeypatch.syspath_prepend(folder)


async def test_without_a_file_the_accounts_are_those_with_a_key(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And without any there is nothing to check, which is said."""
    for name in ("FAL_KEY",):
        monkeypatch.delenv(name, raising=False)
    run = await program.run("providers", "--check")

    assert run.code == 2
    assert "KIE_API_KEY" in run.err
