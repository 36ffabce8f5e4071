"""The proxy of the command line: from the option, from a section, and from the top of the file."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from aiohttp import web
from attrs import field, frozen

API = "http://hiapi.internal/base"


@frozen
class Proxy:
    """A proxy that answers everything itself."""

    url: str
    asked: list[str] = field(factory=list[str])
    """The URLs that it was asked for."""


@pytest.fixture
async def proxy() -> AsyncGenerator[Proxy]:
    """Serve an HTTP proxy behind which every task list is empty."""
    asked: list[str] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(str(request.url))
        return web.json_response({"code": 200, "data": {"list": [], "tasks": [], "items": [], "total": 0}})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield Proxy(f"http://127.0.0.1:{runner.addresses[0][1]}", asked)
    await runner.cleanup()


@pytest.mark.parametrize("where", ["option", "section", "top", "before the command"])
async def test_requests_go_through_the_proxy(program: Any, proxy: Proxy, where: str) -> None:
    """A host that only the proxy can reach is asked through it."""
    section = f'[providers.hiapi]\nbase_url = "{API}"\napi_key_env = "EMULATOR_KEY"\n'
    named = f'proxy = "{proxy.url}"\n'
    program.write("my.toml", {"section": section + named, "top": named + section}.get(where, section))
    option = ("--proxy", proxy.url)
    words = ("list", "--config", "my.toml")
    await program.run(*{"option": (*words, *option), "before the command": (*option, *words)}.get(where, words))

    assert proxy.asked
    assert all(url.startswith(API) for url in proxy.asked)


@pytest.mark.parametrize("proxy_url", ["proxy:3128", "socks5://127.0.0.1:1080", "yes", ""])
async def test_a_proxy_that_cannot_be_one(program: Any, proxy_url: str) -> None:
    """It is bad input, and nothing is sent."""
    run = await program.run("list", "--proxy", proxy_url)

    assert 2 == run.code
    assert run.err.startswith("error: --proxy: ")


async def test_the_password_of_a_proxy_is_not_shown(program: Any) -> None:
    """`config` masks it."""
    run = await program.run("config", "--proxy", "http://user:pa55@proxy.example:3128", "--json")

    assert run.code == 0
    assert "pa55" not in run.out + run.err
    assert "http://***@proxy.example:3128" == run.objects[0]["providers"]["hiapi"]["proxy"]


async def test_the_proxies_of_the_environment(program: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are used only on request: --proxy env."""
    monkeypatch.setenv("http_proxy", proxy.url)
    program.write("my.toml", f'[providers.hiapi]\nbase_url = "{API}"\napi_key_env = "EMULATOR_KEY"\n')
    await program.run("list", "--config", "my.toml")
    without = len(proxy.asked)
    await program.run("list", "--config", "my.toml", "--proxy", "env")

    assert (0, True) == (without, bool(proxy.asked))
