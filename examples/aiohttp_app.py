"""
A web app of aiohttp that asks for a video, is told when it is there, and serves it.

    POST /videos {"prompt": "..."}   202, with the ref: nothing is waited for
    GET  /videos/{ref}/events        how it stands, as server-sent events, to the end
    GET  /videos/{ref}/file          the finished video
    POST /hooks                      where the provider calls

Run it beside a `happyhorse.toml`, or with `HAPPYHORSE_PROVIDER` and a key set.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

import happyhorse_async as hh


def make_app(client: hh.Client, folder: Path) -> web.Application:
    folder.mkdir(exist_ok=True)

    async def open_client(_: web.Application) -> AsyncIterator[None]:
        """Keep one client for the life of the app: one connection pool, one poller, one budget."""
        async with client:
            yield

    async def create(request: web.Request) -> web.Response:
        wanted = await request.json()
        try:
            handle = await client.submit(hh.TextToVideo(str(wanted["prompt"]), duration=wanted.get("duration")))
        except (hh.InvalidRequestError, hh.UnsupportedFeatureError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"ref": str(handle.ref)}, status=202)

    async def follow(request: web.Request) -> web.StreamResponse:
        handle = find(request)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        async for task in handle.updates():
            shown = {"status": task.status, "progress": task.progress, "error": task.error and task.error.message}
            await response.write(f"data: {json.dumps(shown)}\n\n".encode())
        return response

    async def fetch_file(request: web.Request) -> web.StreamResponse:
        """Bring the finished video to disk once, and serve it from there: the provider's URL dies."""
        handle = find(request)
        await handle
        file = folder / f"{handle.job_id}.mp4"
        if not await asyncio.to_thread(file.exists):
            await handle.download(file)
        return web.FileResponse(file)

    def find(request: web.Request) -> hh.TaskHandle:
        try:
            return client.resume(request.match_info["ref"])
        except hh.ConfigurationError:
            raise web.HTTPNotFound(text="no such video") from None

    app = web.Application()
    app.cleanup_ctx.append(open_client)
    app.router.add_post("/videos", create)
    app.router.add_get("/videos/{ref}/events", follow)
    app.router.add_get("/videos/{ref}/file", fetch_file)
    app.router.add_route("*", "/hooks", hh.CallbackReceiver(client).aiohttp_handler)
    return app


if __name__ == "__main__":
    web.run_app(make_app(hh.Client.from_config(), Path("videos")))
