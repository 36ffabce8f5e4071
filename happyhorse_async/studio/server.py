"""The server of the page: its routes, its files, and the stream of what changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Any, Self, cast

from aiohttp import web

from ..errors import HappyHorseError, InvalidRequestError
from ..listening import listen
from .guard import Guard, add_headers
from .shelf import TooLargeError
from .workshop import Workshop

_STATIC = files("happyhorse_async.studio") / "static"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_LARGEST_JSON = 256 * 1024
_PIECE = 1 << 20
_REFRESH = 1.0
_KEEP_ALIVE = 15.0
# Each reads the journal once a second.
_MOST_STREAMS = 32
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Studio:
    """
    Serves the page. Use it with `async with`.

    :param host: the address to listen on. Only names and addresses of this machine are answered, and *host* itself.
    :param port: 0 takes any that is free.
    :param refresh: seconds between two reads of the journal while a page is open.
    :raises OSError: on entering: it cannot listen there.
    """

    def __init__(
        self, workshop: Workshop, *, host: str = "127.0.0.1", port: int = 0, refresh: float = _REFRESH
    ) -> None:
        self._workshop = workshop
        self._host = host
        self._port = port
        self._refresh = refresh
        self._guard = Guard(_LOOPBACK | {host.lower()})
        self._closing = asyncio.Event()
        self._streams = 0
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=2.0)

    @property
    def url(self) -> str:
        """The URL to open. It carries the key of this run."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}/?token={self._guard.token}"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            self._port = await listen(self._runner, self._host, self._port)
            self._guard.listen(self._port)
            await self._workshop.open()
        except BaseException:
            await self._runner.cleanup()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        await self._workshop.aclose()
        await self._runner.cleanup()

    def _app(self) -> web.Application:
        app = web.Application(
            middlewares=[self._guard.middleware, _errors_as_json],
            client_max_size=_LARGEST_JSON,
        )
        app.on_response_prepare.append(add_headers)
        work = self._workshop
        app.add_routes(
            [
                web.get("/", _page),
                web.get("/static/{name:[a-z/_-]+\\.(?:css|js|svg)}", _file),
                web.get("/api/setup", _answers(lambda _: _now(work.setup()))),
                web.get("/api/health", _answers(lambda _: work.health())),
                web.get("/api/events", self._events),
                web.post("/api/media", self._put_medium),
                web.get("/api/media/{id}", self._get_medium),
                web.post("/api/plan", _takes(lambda _, data: _planned(work, data))),
                web.get("/api/jobs", _answers(lambda _: work.jobs())),
                web.post("/api/jobs", _takes(lambda _, data: work.make(data))),
                web.get("/api/jobs/{id}/video", self._video),
                web.post("/api/jobs/{id}/cancel", _takes(lambda job_id, _: work.cancel(job_id))),
                web.post("/api/jobs/{id}/resume", _takes(lambda job_id, _: work.resume(job_id))),
                web.post("/api/jobs/{id}/save", _takes(lambda job_id, _: work.save(job_id))),
                web.get("/api/jobs/{id}/candidates", _answers(work.candidates)),
                web.post("/api/jobs/{id}/settle", _takes(work.settle)),
            ]
        )
        return app

    async def _put_medium(self, request: web.Request) -> web.Response:
        largest = self._workshop.shelf.largest
        try:
            if (request.content_length or 0) > largest:
                raise TooLargeError
            medium = await self._workshop.shelf.put(_pieces(request))
        except TooLargeError:
            # What is still on its way is not read: the connection is closed.
            message = f"no provider takes a file of more than {largest / 2**20:g} MB"
            return web.json_response({"error": {"type": "TooLarge", "message": message, "code": None}}, status=413)
        return web.json_response({"id": medium.id, "mime": medium.mime, "size": medium.size})

    async def _get_medium(self, request: web.Request) -> web.StreamResponse:
        medium_id = request.match_info["id"]
        medium = await asyncio.to_thread(self._workshop.shelf.medium, medium_id)
        response = web.FileResponse(self._workshop.shelf.file(medium_id))
        response.content_type = medium.mime
        return response

    async def _video(self, request: web.Request) -> web.StreamResponse:
        # Played in pieces: a browser asks for ranges of it.
        response = web.FileResponse(await self._workshop.video(request.match_info["id"]))
        response.content_type = "video/mp4"
        return response

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self._streams >= _MOST_STREAMS:
            raise web.HTTPServiceUnavailable(text=f"the studio is open in {_MOST_STREAMS} windows already: close one")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        self._streams += 1
        try:
            await response.prepare(request)
            await self._write_events(response)
        except ConnectionResetError:
            # The window was closed.
            pass
        finally:
            self._streams -= 1
        return response

    async def _write_events(self, response: web.StreamResponse) -> None:
        shown: dict[str, Any] = {}
        health: dict[str, Any] | None = None
        quiet = 0.0
        while not self._closing.is_set():
            rows = await self._workshop.jobs()
            changed = [row for row in rows if shown.get(row["job_id"]) != row]
            shown = {row["job_id"]: row for row in rows}
            now = await self._workshop.health()
            if now != health:
                await response.write(_event("health", now))
            if changed or health is None:
                await response.write(_event("jobs", changed))
            health, quiet = now, 0.0 if changed else quiet + self._refresh
            if quiet >= _KEEP_ALIVE:
                await response.write(b": still here\n\n")
                quiet = 0.0
            await _sleep_unless(self._closing, self._refresh)


@web.middleware
async def _errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except HappyHorseError as error:
        return web.json_response(_error(error), status=error.http_status)


def _error(error: HappyHorseError) -> dict[str, Any]:
    return {"error": {"type": type(error).__name__, "message": str(error), "code": error.code}}


async def _planned(work: Workshop, data: Mapping[str, Any]) -> dict[str, Any]:
    # A form that is not complete yet is nothing that a browser should report as a failed request.
    try:
        return await work.plan(data)
    except HappyHorseError as error:
        return _error(error)


def _answers(work: Callable[[str], Awaitable[Any]]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return a handler that answers with what *work* returns for the id in the path."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response(await work(request.match_info.get("id", "")))

    return handle


def _takes(
    work: Callable[[str, Mapping[str, Any]], Awaitable[Any]],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return a handler that gives *work* the id in the path and the JSON object in the body."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.content_type != "application/json":
            raise InvalidRequestError("the body must be JSON")
        try:
            data = json.loads(await request.read() or b"{}")
        except ValueError:
            raise InvalidRequestError("the body is not valid JSON") from None
        if not isinstance(data, dict):
            raise InvalidRequestError("the body must be a JSON object")
        answer = await work(request.match_info.get("id", ""), cast("dict[str, Any]", data))
        return web.json_response({} if answer is None else answer)

    return handle


async def _now(value: Any) -> Any:
    return value


async def _page(_: web.Request) -> web.Response:
    return _static("index.html")


async def _file(request: web.Request) -> web.Response:
    return _static(request.match_info["name"])


def _static(name: str) -> web.Response:
    # The pattern of the route lets no dots but the one of the extension through.
    resource = _STATIC.joinpath(*name.split("/"))
    if not resource.is_file():
        raise web.HTTPNotFound
    kind = _TYPES[f".{name.rpartition('.')[2]}"]
    return web.Response(body=resource.read_bytes(), content_type=kind, charset="utf-8")


async def _pieces(request: web.Request) -> AsyncIterator[bytes]:
    async for piece in request.content.iter_chunked(_PIECE):
        yield piece


async def _sleep_unless(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def _event(name: str, data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
