"""
A web app that answers at once and makes the video afterwards.

    POST /videos {"prompt": "..."}   202, with the job's id: nothing is waited for
    GET  /videos/{job}               how the job stands
    GET  /videos/{job}/file          the finished video

Run it with `python examples/aiohttp_app.py` beside a `happyhorse.toml`, or with `HAPPYHORSE_PROVIDER` and a key set.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

from aiohttp import web

import happyhorse_async as hh

CLIENT = web.AppKey("client", hh.Client)
HANDLES = web.AppKey("handles", dict[str, hh.TaskHandle])
FOLDER = web.AppKey("folder", Path)


async def open_client(app: web.Application) -> AsyncIterator[None]:
    """Keep one client for the life of the app: one connection pool, one poller, one budget."""
    async with app[CLIENT]:
        with TemporaryDirectory() as folder:
            app[FOLDER] = Path(folder)
            yield


async def create(request: web.Request) -> web.Response:
    """Write the job down and answer. It is sent when the provider's limits allow."""
    body = await request.json()
    try:
        handle = await request.app[CLIENT].enqueue(hh.TextToVideo(str(body["prompt"]), duration=body.get("duration")))
    except (hh.InvalidRequestError, hh.UnsupportedFeatureError) as error:
        return web.json_response({"error": str(error)}, status=400)
    request.app[HANDLES][handle.job_id] = handle
    return web.json_response({"job": handle.job_id}, status=202)


async def show(request: web.Request) -> web.Response:
    """Tell how the job stands."""
    handle = find(request)
    task = handle.task
    failure = task.error.message if task and task.error else None
    return web.json_response(
        {"ref": handle.ref and str(handle.ref), "status": task and task.status, "progress": task and task.progress,
         "error": failure}
    )  # fmt: skip


async def fetch_file(request: web.Request) -> web.StreamResponse:
    """Bring the finished video to disk once, and serve it from there: the provider's URL dies."""
    handle = find(request)
    if handle.task is None or handle.task.status is not hh.TaskStatus.SUCCEEDED:
        raise web.HTTPConflict(text="the video is not there yet")
    file = request.app[FOLDER] / f"{handle.job_id}.mp4"
    if not file.exists():
        await handle.download(file)
    return web.FileResponse(file)


def find(request: web.Request) -> hh.TaskHandle:
    try:
        return request.app[HANDLES][request.match_info["job"]]
    except KeyError:
        raise web.HTTPNotFound(text="no such job") from None


def make_app(client: hh.Client) -> web.Application:
    app = web.Application()
    app[CLIENT] = client
    app[HANDLES] = {}
    app.cleanup_ctx.append(open_client)
    app.add_routes(
        [web.post("/videos", create), web.get("/videos/{job}", show), web.get("/videos/{job}/file", fetch_file)]
    )
    return app


if __name__ == "__main__":
    web.run_app(make_app(hh.Client.from_config()))
