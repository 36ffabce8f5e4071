"""
Starlette: ask for a video, follow it, fetch it, and receive the provider's webhook.

Routes and how to run it: as `fastapi_app.py`, but the webhook is at /hooks without a slash.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from sse import events, set_on_signals
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

import happyhorse_async as hh


def make_app(client: hh.Client | None = None, folder: Path = Path("videos")) -> Starlette:
    client = client or hh.Client.from_config()
    stopping = asyncio.Event()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        await asyncio.to_thread(folder.mkdir, exist_ok=True)
        set_on_signals(stopping)
        async with client:
            yield

    async def create(request: Request) -> Response:
        handle = await client.submit(hh.TextToVideo.from_dict(await request.json()))
        return JSONResponse({"ref": str(handle.ref)}, status_code=202)

    async def show(request: Request) -> Response:
        task = await client.fetch(request.path_params["ref"])
        return JSONResponse(task.to_dict(urls=False))

    async def follow(request: Request) -> Response:
        handle = client.resume(request.path_params["ref"])
        return StreamingResponse(events(handle, stopping), media_type="text/event-stream")

    async def fetch_file(request: Request) -> Response:
        handle = client.resume(request.path_params["ref"])
        await handle
        file = folder / f"{handle.job_id}.mp4"
        if not await asyncio.to_thread(file.exists):
            await handle.download(file)
        return FileResponse(file)

    async def invalid(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, status_code=422)

    async def missing(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, status_code=404)

    return Starlette(
        lifespan=lifespan,
        routes=[
            Route("/videos", create, methods=["POST"]),
            Route("/videos/{ref}", show),
            Route("/videos/{ref}/events", follow),
            Route("/videos/{ref}/file", fetch_file),
            Route("/hooks", hh.CallbackReceiver(client).asgi_app),
        ],
        exception_handlers={
            hh.InvalidRequestError: invalid,
            hh.UnsupportedFeatureError: invalid,
            hh.TaskNotFoundError: missing,
            hh.ConfigurationError: missing,
        },
    )
