"""A receiver under any path of an app: mounted, routed to, alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount, Route

import happyhorse_async as hh

SECRET = "the-canary-of-the-callbacks-0451"
REQUEST = hh.TextToVideo("a train at night")


@pytest.fixture
def framework() -> str:
    """Name the one framework of these tests."""
    return "asgi"


def mounted_in_starlette(receiver: hh.CallbackReceiver) -> tuple[Any, str]:
    """Mount it below two paths."""
    return Starlette(routes=[Mount("/api", routes=[Mount("/hooks", receiver.asgi_app)])]), "/api/hooks/"


def routed_to_in_starlette(receiver: hh.CallbackReceiver) -> tuple[Any, str]:
    """Route to it, which needs no slash at the end."""
    return Starlette(routes=[Route("/hooks/fifth", receiver.asgi_app)]), "/hooks/fifth"


def mounted_in_fastapi(receiver: hh.CallbackReceiver) -> tuple[Any, str]:
    """Mount it as one mounts a folder of files."""
    app = FastAPI()
    app.mount("/hooks", receiver.asgi_app)
    return app, "/hooks/fifth/of/any/name"


def alone(receiver: hh.CallbackReceiver) -> tuple[Any, str]:
    """Serve nothing else."""
    return receiver.asgi_app, "/"


@pytest.mark.parametrize("built", [mounted_in_starlette, routed_to_in_starlette, mounted_in_fastapi, alone])
async def test_a_call_finds_the_receiver(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, built: Callable[[Any], tuple[Any, str]]
) -> None:
    """A call is taken in, and a probe is answered, wherever the receiver stands in an app."""
    gateway.accept("t-1")
    async with fifth.open(signing) as client:
        app, path = built(hh.CallbackReceiver(client, SECRET))
        hook = await serve(app, path)
        handle = await client.submit(REQUEST, callback_url="https://app.example/hooks")
        statuses = [await hook.call(done("t-1")), await hook.send("HEAD"), await hook.send("GET")]
        task = await handle

    assert ([200, 200, 200], hh.TaskStatus.SUCCEEDED) == (statuses, task.status)


@pytest.mark.parametrize("framework", ["aiohttp"])
async def test_a_middleware_that_reads_the_body(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, framework: str
) -> None:
    """A call whose body somebody has read before is taken in all the same."""
    gateway.accept("t-1")
    async with fifth.open(signing) as client:
        receiver = hh.CallbackReceiver(client, SECRET)

        async def reading(request: web.Request) -> web.StreamResponse:
            await request.read()
            return await receiver.aiohttp_handler(request)

        hook = await serve(reading)
        handle = await client.submit(REQUEST, callback_url="https://app.example/hooks")

        assert [200, 200] == [await hook.call(done("t-1")), await hook.send("GET")]
        assert hh.TaskStatus.SUCCEEDED is (await handle).status


async def test_a_websocket_is_no_call(fifth: Any, signing: Any) -> None:
    """What is no HTTP request at all is a mistake of the app, and says so."""
    receiver = hh.CallbackReceiver(fifth.client(signing), SECRET)

    async def nothing(*_: object) -> Any:
        raise AssertionError("nobody asks or answers")

    with pytest.raises(ValueError, match="not by websocket"):
        await receiver.asgi_app({"type": "websocket"}, nothing, nothing)


def test_a_receiver_needs_no_framework() -> None:
    """Making a receiver and its ASGI app loads neither aiohttp nor a framework."""
    code = """
import sys
import happyhorse_async as hh
hh.CallbackReceiver(hh.Client("hiapi", api_key="any"), "a secret").asgi_app
print([name for name in ("aiohttp", "starlette", "fastapi") if name in sys.modules])
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]\n" == output.stdout
