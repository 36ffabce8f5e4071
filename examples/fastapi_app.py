"""
A web app of FastAPI that asks for a video, is told when it is there, and serves it.

    POST /videos {"prompt": "..."}   202, with the ref: nothing is waited for
    GET  /videos/{ref}/events        how it stands, as server-sent events, to the end
    GET  /videos/{ref}/file          the finished video
    POST /hooks/                     where the provider calls; mind the slash, a redirect would lose the call

Run it beside a `happyhorse.toml`, or with `HAPPYHORSE_PROVIDER` and a key set.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from fastapi import Body, FastAPI, HTTPException
from fastapi.responses import FileResponse, StreamingResponse

import happyhorse_async as hh


def make_app(client: hh.Client, folder: Path) -> FastAPI:
    folder.mkdir(exist_ok=True)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        """Keep one client for the life of the app: one connection pool, one poller, one budget."""
        async with client:
            yield

    app = FastAPI(lifespan=lifespan)
    app.mount("/hooks", hh.CallbackReceiver(client).asgi_app)

    @app.post("/videos", status_code=202)
    async def create(prompt: str = Body(embed=True), duration: int | None = Body(None, embed=True)) -> dict[str, str]:
        try:
            handle = await client.submit(hh.TextToVideo(prompt, duration=duration))
        except (hh.InvalidRequestError, hh.UnsupportedFeatureError) as error:
            raise HTTPException(400, str(error)) from None
        return {"ref": str(handle.ref)}

    @app.get("/videos/{ref}/events")
    async def follow(ref: str) -> StreamingResponse:
        return StreamingResponse(events(find(ref)), media_type="text/event-stream")

    @app.get("/videos/{ref}/file")
    async def fetch_file(ref: str) -> FileResponse:
        """Bring the finished video to disk once, and serve it from there: the provider's URL dies."""
        handle = find(ref)
        await handle
        file = folder / f"{handle.job_id}.mp4"
        if not await asyncio.to_thread(file.exists):
            await handle.download(file)
        return FileResponse(file)

    async def events(handle: hh.TaskHandle) -> AsyncIterator[str]:
        async for task in handle.updates():
            shown = {"status": task.status, "progress": task.progress, "error": task.error and task.error.message}
            yield f"data: {json.dumps(shown)}\n\n"

    def find(ref: str) -> hh.TaskHandle:
        try:
            return client.resume(ref)
        except hh.ConfigurationError:
            raise HTTPException(404, "no such video") from None

    return app


if __name__ == "__main__":
    uvicorn.run(make_app(hh.Client.from_config(), Path("videos")))
