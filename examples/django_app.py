"""
Django: asynchronous views that share one client with the whole process.

Django has no lifespan of its own, so the ASGI app around it opens and closes the client. Run it beside a
`happyhorse.toml`: `uvicorn --factory django_app:make_app`. In a project of yours, `make_app` belongs into `asgi.py`.
"""
# pyright: basic

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

import happyhorse_async as hh

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


class Videos:
    """The views, around one client."""

    def __init__(self, client: hh.Client) -> None:
        self.client = client

    async def create(self, request: HttpRequest) -> JsonResponse:
        try:
            handle = await self.client.enqueue(hh.TextToVideo.from_dict(json.loads(request.body)))
        except hh.HappyHorseError as error:
            return JsonResponse({"error": error.message}, status=error.http_status)
        return JsonResponse({"job": handle.job_id}, status=202)

    async def show(self, request: HttpRequest, job: str) -> JsonResponse:
        try:
            info = await self.client.job(job)
        except hh.HappyHorseError as error:
            return JsonResponse({"error": error.message}, status=error.http_status)
        return JsonResponse(info.to_dict(urls=False))


def make_app(client: hh.Client | None = None) -> App:
    videos = Videos(client or hh.Client.from_config())
    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=(), USE_TZ=True)
        django.setup()
    settings.ROOT_URLCONF = (path("videos", videos.create), path("videos/<str:job>", videos.show))
    views = get_asgi_application()

    async def app(scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await views(scope, receive, send)
            return
        await receive()  # the server starts
        async with videos.client:
            await send({"type": "lifespan.startup.complete"})
            await receive()  # the server stops
        await send({"type": "lifespan.shutdown.complete"})

    return app
