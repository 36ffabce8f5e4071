"""`happyhorse callback send`: a webhook to an endpoint of the user's own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

import happyhorse_async as hh
from happyhorse_async.emulator import Emulator

SECRET = "whsec-of-the-command-line-0451"
CONFIG = """[providers.{name}]
api_key_env = "EMULATOR_KEY"
base_url = "{url}"
callback_secret_env = "HOOK_SECRET"
"""


@asynccontextmanager
async def endpoint(handler: Callable[[web.Request], Any]) -> AsyncGenerator[str]:
    """Serve a webhook endpoint."""
    app = web.Application()
    app.router.add_route("*", "/hook", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED"])
async def test_a_receiver_accepts_it(program: Any, monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    """It is signed with the configured secret: a receiver takes it for genuine, and answers 200."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    monkeypatch.setenv("EMULATOR_KEY", "sk-any")
    async with AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(Emulator())
        url = emulator.url("hiapi")
        client = await stack.enter_async_context(hh.Client("hiapi", api_key="sk-any", base_url=url))
        receiver = hh.CallbackReceiver(client, secret=SECRET)
        target = await stack.enter_async_context(endpoint(receiver.aiohttp_handler))
        program.write("happyhorse.toml", CONFIG.format(name="hiapi", url=url))

        run = await program.run("--json", "callback", "send", target, "--status", status)

        assert (0, {"event": "callback_sent", "status": 200}) == (run.code, run.objects[-1])
        assert [] == await client.pending()
    assert SECRET not in run.out + run.err


async def test_what_the_endpoint_gets(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The body is the provider's, with a task that does not exist; an answer that is no 2xx is exit code 3."""
    monkeypatch.setenv("EMULATOR_KEY", "sk-any")
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    seen: list[Any] = []

    async def reject(request: web.Request) -> web.Response:
        seen.append((request.headers.get("X-HiAPI-Signature"), await request.json()))
        return web.Response(status=401)

    async with endpoint(reject) as target:
        program.write("happyhorse.toml", CONFIG.format(name="hiapi", url="http://127.0.0.1:9"))
        run = await program.run("callback", "send", target, "--status", "FAILED")

    [(signature, body)] = seen
    assert (3, "the endpoint has answered 401\n") == (run.code, run.out)
    assert signature
    assert "fail" in str(body["status"])


async def test_what_cannot_be_sent(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider without webhooks, no URL, and an endpoint that does not answer: each says so."""
    monkeypatch.setenv("IMINI_API_KEY", "sk-any")
    monkeypatch.setenv("HIAPI_API_KEY", "sk-any")

    none = await program.run("callback", "send", "http://127.0.0.1:9/", "--provider", "imini")
    nowhere = await program.run("callback", "send", "--provider", "hiapi")
    silent = await program.run("callback", "send", "http://127.0.0.1:9/", "--provider", "hiapi")

    assert "imini sends no webhooks" in none.err
    assert "no URL: name one, or set callback_url for hiapi" in nowhere.err
    assert "not signed" in silent.err
    assert 3 == silent.code
    assert all(run.code for run in (none, nowhere))


async def test_dashscope(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event of DashScope's EventBridge can be sent too."""
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-any")
    seen: list[Any] = []

    async def accept(request: web.Request) -> web.Response:
        seen.append(await request.json())
        return web.Response()

    async with endpoint(accept) as target:
        run = await program.run("callback", "send", target, "--provider", "dashscope")

    assert 0 == run.code, run.err
    assert "acs.dashscope" == seen[0]["source"]
