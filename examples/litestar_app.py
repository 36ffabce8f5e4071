"""
Litestar: ask for a video, follow it, and receive the provider's webhook. A `Task` can be returned as it is.

Run it beside a `happyhorse.toml`: `uvicorn --factory litestar_app:make_app --timeout-graceful-shutdown 10`
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Request, Response, asgi, get, post
from litestar.params import FromPath, JSONBody
from litestar.response import Stream
from sse import events, set_on_signals

import happyhorse_async as hh


def make_app(client: hh.Client | None = None) -> Litestar:
    client = client or hh.Client.from_config()
    receiver = hh.CallbackReceiver(client)
    stopping = asyncio.Event()

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncGenerator[None]:
        set_on_signals(stopping)
        async with client:
            yield

    @post("/videos", status_code=202)
    async def create(data: JSONBody[dict[str, Any]]) -> dict[str, str]:
        handle = await client.submit(hh.TextToVideo.from_dict(data))
        return {"ref": str(handle.ref)}

    @get("/videos/{ref:str}")
    async def show(ref: FromPath[str]) -> dict[str, Any]:
        return (await client.fetch(ref)).to_dict(urls=False)

    @get("/videos/{ref:str}/events")
    async def follow(ref: FromPath[str]) -> Stream:
        return Stream(events(client.resume(ref), stopping), media_type="text/event-stream")

    @asgi("/hooks", copy_scope=True)
    async def hook(scope: Any, receive: Any, send: Any) -> None:
        await receiver.asgi_app(scope, receive, send)

    return Litestar(
        route_handlers=[create, show, follow, hook],
        lifespan=[lifespan],
        exception_handlers={
            hh.InvalidRequestError: invalid,
            hh.UnsupportedFeatureError: invalid,
            hh.TaskNotFoundError: missing,
            hh.ConfigurationError: missing,
        },
    )


def invalid(_: Request[Any, Any, Any], error: Exception) -> Response[dict[str, str]]:
    return Response({"error": str(error)}, status_code=422)


def missing(_: Request[Any, Any, Any], error: Exception) -> Response[dict[str, str]]:
    return Response({"error": str(error)}, status_code=404)
