"""
FastAPI: ask for a video, follow it, fetch it, and receive the provider's webhook.

    POST /videos {"prompt": "..."}   202 with the job id; the body has the fields of TextToVideo
    GET  /videos/{job}               the job as JSON: its state, task and error
    DELETE /videos/{job}             cancels it, where the provider can
    GET  /videos/{job}/events        every change, as server-sent events
    GET  /videos/{job}/file          the finished video
    GET  /healthz                    200 while the app takes jobs
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
        return JSONResponse({"error": error.message}, status_code=error.http_status)

    @app.post("/videos", status_code=202)
    async def create(video: Annotated[hh.TextToVideo, Body()]) -> dict[str, str]:
        """Answer as soon as the job is recorded. It is sent when the provider's limits allow."""
        return {"job": (await client.enqueue(video)).job_id}

    @app.get("/videos/{job}")
    async def show(job: str) -> dict[str, Any]:
        return (await client.job(job)).to_dict(urls=False)

    @app.delete("/videos/{job}")
    async def cancel(job: str) -> None:
        await client.cancel(job)

    @app.get("/videos/{job}/events")
    async def follow(job: str) -> StreamingResponse:
        info = await client.job(job)  # 404 for an unknown one, before the stream begins
        return StreamingResponse(events(client.resume_job(info.job_id), stopping), media_type="text/event-stream")

    @app.get("/videos/{job}/file")
    async def fetch_file(job: str) -> FileResponse:
        """Download once, and serve from disk: the provider's URL expires, and is a credential."""
        info = await client.job(job)
        file = folder / f"{info.job_id}.mp4"
        if not await asyncio.to_thread(file.exists):
            await client.resume_job(info.job_id).download(file)
        return FileResponse(file)

    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        return JSONResponse(None, status_code=200 if (await client.health()).is_ready else 503)

    return app
