"""
aiohttp.web: ask for a video, follow it, fetch it, and receive the provider's webhook.

Routes as in `fastapi_app.py`, but the webhook is at /hooks without a slash. Run it beside a `happyhorse.toml`:
`python aiohttp_app.py`
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler
from sse import events

import happyhorse_async as hh


def make_app(client: hh.Client | None = None, folder: Path = Path("videos")) -> web.Application:
    client = client or hh.Client.from_config()
    stopping = asyncio.Event()

    async def open_client(_: web.Application) -> AsyncIterator[None]:
        await asyncio.to_thread(folder.mkdir, exist_ok=True)
        async with client:
            yield

    async def end_streams(_: web.Application) -> None:
        stopping.set()  # before the server waits for open responses

    async def create(request: web.Request) -> web.Response:
        handle = await client.enqueue(hh.TextToVideo.from_dict(await request.json(), trusted=False))
        return web.json_response({"job": handle.job_id}, status=202)

    async def show(request: web.Request) -> web.Response:
        info = await client.job(request.match_info["job"])
        return web.json_response(info.to_dict(urls=False))

    async def follow(request: web.Request) -> web.StreamResponse:
        info = await client.job(request.match_info["job"])
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        async for event in events(client.resume_job(info.job_id), stopping):
            await response.write(event.encode())
        return response

    async def fetch_file(request: web.Request) -> web.StreamResponse:
        info = await client.job(request.match_info["job"])
        file = folder / f"{info.job_id}.mp4"
        if not await asyncio.to_thread(file.exists):
            await client.resume_job(info.job_id).download(file)
        return web.FileResponse(file)

    app = web.Application(middlewares=[answer_errors])
    app.cleanup_ctx.append(open_client)
    app.on_shutdown.append(end_streams)
    app.router.add_post("/videos", create)
    app.router.add_get("/videos/{job}", show)
    app.router.add_get("/videos/{job}/events", follow)
    app.router.add_get("/videos/{job}/file", fetch_file)
    app.router.add_route("*", "/hooks", hh.CallbackReceiver(client).aiohttp_handler)
    return app


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except json.JSONDecodeError:
        return web.json_response({"error": "the body is not JSON"}, status=400)
    except hh.HappyHorseError as error:
        return web.json_response({"error": error.message}, status=error.http_status)


if __name__ == "__main__":
    web.run_app(make_app())
