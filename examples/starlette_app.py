"""
Starlette: ask for a video, follow it, fetch it, and receive the provider's webhook.

Routes and how to run it: as `fastapi_app.py`, but the webhook is at /hooks without a slash.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sse import events, set_on_signals
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

import happyhorse_async as hh


def make_app(client: hh.Client | None = None) -> Starlette:
    client = client or hh.Client.from_config()
    stopping = asyncio.Event()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        set_on_signals(stopping)
        async with client:
            yield

    async def create(request: Request) -> Response:
        try:
            body = await request.json()
        except ValueError:
            return JSONResponse({"error": "the body is not JSON"}, status_code=400)
        handle = await client.enqueue(hh.TextToVideo.from_dict(body, trusted=False))
        return JSONResponse({"job": handle.job_id}, status_code=202)

    async def show(request: Request) -> Response:
        info = await client.job(request.path_params["job"])
        return JSONResponse(info.to_dict(urls=False))

    async def follow(request: Request) -> Response:
        info = await client.job(request.path_params["job"])
        handle = client.resume_job(info.job_id)
        return StreamingResponse(events(handle, stopping), media_type="text/event-stream")

    async def fetch_file(request: Request) -> Response:
        """Pass the video on from the provider, without a file of our own and without showing its URL."""
        info = await client.job(request.path_params["job"])
        task = await client.resume_job(info.job_id)
        return StreamingResponse(video(task), media_type="video/mp4")

    async def video(task: hh.Task) -> AsyncGenerator[bytes]:
        async with client.stream(task) as chunks:
            async for chunk in chunks:
                yield chunk

    async def answer(_: Request, error: Exception) -> Response:
        assert isinstance(error, hh.HappyHorseError)
        return JSONResponse({"error": error.message}, status_code=error.http_status)

    return Starlette(
        lifespan=lifespan,
        routes=[
            Route("/videos", create, methods=["POST"]),
            Route("/videos/{job}", show),
            Route("/videos/{job}/events", follow),
            Route("/videos/{job}/file", fetch_file),
            Route("/hooks", hh.CallbackReceiver(client).asgi_app),
        ],
        exception_handlers={hh.HappyHorseError: answer},
    )
