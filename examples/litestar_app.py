"""
Litestar: ask for a video, follow it, and receive the provider's webhook.

Run it beside a `happyhorse.toml`: `uvicorn --factory litestar_app:make_app --timeout-graceful-shutdown 10`
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from litestar import Litestar, Request, Response, asgi, get, post
from litestar.datastructures import UploadFile
from litestar.params import FromPath, JSONBody, MultipartBody
from litestar.response import Stream
from litestar.types import Receive, Scope, Send
from sse import events, set_on_signals

import happyhorse_async as hh


@dataclass
class PictureForm:
    picture: UploadFile
    prompt: str | None = None


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
        handle = await client.enqueue(hh.TextToVideo.from_dict(data, trusted=False))
        return {"job": handle.job_id}

    @post("/pictures", status_code=202)
    async def animate(data: MultipartBody[PictureForm]) -> dict[str, str]:
        handle = await client.enqueue(hh.ImageToVideo(await data.picture.read(), prompt=data.prompt))
        return {"job": handle.job_id}

    @get("/videos/{job:str}")
    async def show(job: FromPath[str]) -> dict[str, Any]:
        return (await client.job(job)).to_dict(urls=False)

    @get("/videos/{job:str}/events")
    async def follow(job: FromPath[str]) -> Stream:
        info = await client.job(job)
        return Stream(events(client.resume_job(info.job_id), stopping), media_type="text/event-stream")

    @asgi("/hooks", copy_scope=True)
    async def hook(scope: Scope, receive: Receive, send: Send) -> None:
        await receiver.asgi_app(scope, receive, send)

    return Litestar(
        route_handlers=[create, animate, show, follow, hook],
        lifespan=[lifespan],
        exception_handlers={hh.HappyHorseError: answer},
    )


def answer(_: Request[Any, Any, Any], error: hh.HappyHorseError) -> Response[dict[str, str]]:
    return Response({"error": error.message}, status_code=error.http_status)
