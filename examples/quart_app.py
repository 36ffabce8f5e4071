"""
Quart: ask for a video, follow it, and receive the provider's webhook.

Run it beside a `happyhorse.toml`: `hypercorn --workers 0 --graceful-timeout 2 'quart_app:make_app()'`. Without workers,
signals reach the app, and open streams end at once. A worker of hypercorn gets none: its streams end with the timeout.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from quart import Quart, Response, request
from sse import events, set_on_signals

import happyhorse_async as hh


def make_app(client: hh.Client | None = None) -> Quart:
    client = client or hh.Client.from_config()
    receiver = hh.CallbackReceiver(client)
    app = Quart(__name__)
    stopping = asyncio.Event()

    @app.while_serving
    async def open_client() -> AsyncGenerator[None]:
        set_on_signals(stopping)
        async with client:
            yield

    @app.post("/videos")
    async def create() -> tuple[dict[str, str], int]:
        handle = await client.enqueue(hh.TextToVideo.from_dict(await request.get_json(), trusted=False))
        return {"job": handle.job_id}, 202

    @app.post("/pictures")
    async def animate() -> tuple[dict[str, str], int]:
        """Take a form with a picture and a prompt. Quart refuses forms of more than 16 MB."""
        files = await request.files
        form: dict[str, str] = dict(
            await request.form  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - Quart's own
        )
        if "picture" not in files:
            return {"error": "picture is missing"}, 422
        picture = files["picture"].read()
        handle = await client.enqueue(hh.ImageToVideo(picture, prompt=form.get("prompt")))
        return {"job": handle.job_id}, 202

    @app.get("/videos/<job>")
    async def show(job: str) -> dict[str, Any]:
        return (await client.job(job)).to_dict(urls=False)

    @app.get("/videos/<job>/events")
    async def follow(job: str) -> Response:
        info = await client.job(job)
        response = Response(events(client.resume_job(info.job_id), stopping), mimetype="text/event-stream")
        response.timeout = None  # a video takes longer than Quart's limit of a minute
        return response

    @app.post("/hooks")
    async def hook() -> tuple[str, int]:
        try:
            body = await request.data
            await receiver.receive(dict(request.headers), body, query=request.query_string.decode())
        except hh.CallbackRejectedError as error:
            return "", error.http_status
        except hh.HappyHorseError:
            return "", 503  # the provider sends it again
        return "", 200

    @app.errorhandler(hh.HappyHorseError)
    async def answer(error: hh.HappyHorseError) -> tuple[dict[str, str], int]:
        return {"error": error.message}, error.http_status

    return app
