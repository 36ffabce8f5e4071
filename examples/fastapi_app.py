"""
FastAPI: ask for a video, follow it, fetch it, and receive the provider's webhook.

    POST /videos {"prompt": "..."}   202 with the ref; the body has the fields of TextToVideo
    GET  /videos/{ref}               the task as JSON
    GET  /videos/{ref}/events        every change, as server-sent events
    GET  /videos/{ref}/file          the finished video
    POST /hooks/                     the webhook; note the slash: providers do not follow redirects

Run it beside a `happyhorse.toml`: `uvicorn --factory fastapi_app:make_app --timeout-graceful-shutdown 10`
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Body, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from sse import events, set_on_signals

import happyhorse_async as hh

STATUS: dict[type[hh.HappyHorseError], int] = {
    **dict.fromkeys((hh.InvalidRequestError, hh.UnsupportedFeatureError, hh.ContentRejectedError), 422),
    **dict.fromkeys((hh.TaskNotFoundError, hh.ConfigurationError), 404),
    hh.RateLimitError: 429,
}


def make_app(client: hh.Client | None = None, folder: Path = Path("videos")) -> FastAPI:
    client = client or hh.Client.from_config()
    stopping = asyncio.Event()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        """Open one client for the whole app: one connection pool, one poller, one rate limit."""
        await asyncio.to_thread(folder.mkdir, exist_ok=True)
        set_on_signals(stopping)
        async with client:
            yield

    app = FastAPI(lifespan=lifespan)
    app.mount("/hooks", hh.CallbackReceiver(client).asgi_app)

    @app.exception_handler(hh.HappyHorseError)
    async def answer(_: Request, error: hh.HappyHorseError) -> JSONResponse:
        return JSONResponse({"error": error.message}, status_code=STATUS.get(type(error), 502))

    @app.post("/videos", status_code=202)
    async def create(video: Annotated[hh.TextToVideo, Body()]) -> dict[str, str]:
        handle = await client.submit(video)
        return {"ref": str(handle.ref)}

    @app.get("/videos/{ref}")
    async def show(ref: str) -> dict[str, Any]:
        return (await client.fetch(ref)).to_dict(urls=False)

    @app.get("/videos/{ref}/events")
    async def follow(ref: str) -> StreamingResponse:
        return StreamingResponse(events(client.resume(ref), stopping), media_type="text/event-stream")

    @app.get("/videos/{ref}/file")
    async def fetch_file(ref: str) -> FileResponse:
        """Download the video once, and serve it from disk: the provider's URL expires, and is a credential."""
        handle = client.resume(ref)
        await handle
        file = folder / f"{handle.job_id}.mp4"
        if not await asyncio.to_thread(file.exists):
            await handle.download(file)
        return FileResponse(file)

    return app
