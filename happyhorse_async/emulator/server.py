"""The emulator as an aiohttp.web application: it passes on messages and files, and knows no provider."""

from __future__ import annotations

import ipaddress
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from mimetypes import guess_type
from pathlib import Path
from uuid import uuid4

import anyio.to_thread
from aiohttp import BodyPartReader, web

from ..emulation import ApiFault, ErrorReply
from ..listening import listen
from ..logs import get_logger
from ..messages import HttpRequest, HttpResponse
from .control import ControlAPI
from .faults.fault import CallContext, Operation
from .faults.injection import Broken, Faults, Injection
from .media_cache import ClosingError, MediaCache, MissingExtraError
from .media_spec import MediaSpec
from .object_store import StorageRefusalError
from .pictures import read_pictures
from .provider import EmulatedProvider
from .range_response import range_response, video_response
from .raw_response import RawHttpResponse
from .request_log import ReceivedRequest
from .signed_urls import SignedUrlError, SignedUrls, storage_error
from .storage import STORAGE_PATH
from .webhook_sender import WebhookSender

_LOGGER = get_logger(__name__)

_LARGEST_BODY = 64 * 1024 * 1024
"""Enough for two images of 20 MB as data: URIs."""
_LARGEST_UPLOAD = 256 * 1024 * 1024
_CLOSING_SECONDS = 1.0

_WELCOME = """This is the happyhorse emulator. It generates nothing: every video is a test picture.

{providers}

It is controlled under {origin}/_emulator.
"""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """
    Serves the providers, their videos and the control API on one port.

    :param clock: returns the time in Unix seconds.
    :param control: the control API; by default there is none.
    :param faults: the faults that are switched on. The providers apply theirs; those of downloads are applied here.
    :param received: the log that every download is written to.
    """

    def __init__(
        self,
        providers: Mapping[str, EmulatedProvider],
        *,
        links: SignedUrls,
        media_cache: MediaCache,
        webhook_sender: WebhookSender,
        clock: Callable[[], float],
        faults: Faults,
        received: deque[ReceivedRequest],
        control: ControlAPI | None = None,
    ) -> None:
        self._providers = providers
        self._links = links
        self._media_cache = media_cache
        self._webhook_sender = webhook_sender
        self._clock = clock
        self._faults = faults
        self._received = received
        self._control = control
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """
        Begin to listen, and return the port.

        :raises OSError: the port is in use.
        """
        middlewares = [_only_loopback_names] if is_loopback(host) else []
        app = web.Application(middlewares=middlewares, client_max_size=_LARGEST_UPLOAD)
        app.on_response_prepare.append(_add_server_header)
        app.router.add_get("/", self._welcome)
        # A fault may put a segment before the name of the file.
        app.router.add_get("/videos/{name:.+}", self._download)
        app.router.add_post(f"{STORAGE_PATH}{{provider}}", self._upload)
        app.router.add_put(f"{STORAGE_PATH}{{provider}}/{{place:.+}}", self._put)
        app.router.add_get(f"{STORAGE_PATH}{{provider}}/{{place:.+}}", self._file)
        if self._control is not None:
            self._control.add_routes(app.router)
        app.router.add_route("*", "/{provider}/{path:.*}", self._exchange)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSING_SECONDS)
        await runner.setup()
        self._runner = runner
        return await listen(runner, host, port)

    async def stop(self) -> None:
        """Stop listening and close every connection."""
        self._media_cache.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _exchange(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["provider"]
        provider = self._providers.get(name)
        if provider is None:
            raise web.HTTPNotFound(text=self._overview(request))
        message = HttpRequest(
            method=request.method,
            # The URL that the provider itself would see: without the prefix that selects it here.
            url=_origin(request) + request.raw_path.removeprefix(f"/{name}"),
            headers={header.lower(): value for header, value in request.headers.items()},
            body=await _read_body(request),
        )
        response = provider.handle(message, now=self._clock(), origin=_origin(request))
        while provider.new_entries:
            await anyio.to_thread.run_sync(read_pictures, provider.new_entries.popleft())
        await self._webhook_sender.after_call(provider)
        return _response(response)

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["provider"]
        provider = self._providers.get(name)
        fields, content = await _read_form(request)
        if provider is None or content is None:
            return _response(_storage_response(400, "MalformedPOSTRequest", "The form has no file."))
        objects, now = provider.storage.objects, self._clock()
        status = int(fields.get("success_action_status", "204"))
        return self._stored(name, request, status, partial(objects.put, fields, content, now=now))

    async def _put(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["provider"]
        provider = self._providers.get(name)
        if provider is None:
            return _response(_storage_response(*_STORAGE_ERRORS[ApiFault.UNKNOWN_TASK]))
        content, place = await request.read(), request.match_info["place"]
        objects, now = provider.storage.objects, self._clock()
        put = partial(objects.put_granted, place, request.query, content, now=now)
        return self._stored(name, request, 200, put)

    def _stored(
        self, provider: str, request: web.Request, status: int, put: Callable[[], object]
    ) -> web.StreamResponse:
        """Keep a file, unless a fault comes before that, and answer with *status*."""
        injection = self._faults.next(Operation.UPLOAD, provider, now=self._clock())
        regular = HttpResponse(status=status)
        try:
            if injection is None or injection.fault.accepted:
                put()
        except StorageRefusalError as error:
            regular = _storage_response(error.status, error.code, str(error))
        broken: HttpResponse | Broken = regular
        if injection is not None:
            context = CallContext(operation=Operation.UPLOAD, now=self._clock(), refuse=_refuse_file)
            broken = injection.apply(regular, context)
        response = _response(broken)
        self._log(provider, request, response, injection, operation=Operation.UPLOAD)
        return response

    async def _file(self, request: web.Request) -> web.StreamResponse:
        provider, place = self._providers.get(request.match_info["provider"]), request.match_info["place"]
        content = None if provider is None else provider.storage.objects.public(place, now=self._clock())
        if content is None:
            return _response(_storage_response(*_STORAGE_ERRORS[ApiFault.UNKNOWN_TASK]))
        return web.Response(body=content, content_type=guess_type(place)[0] or "application/octet-stream")

    async def _download(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"].rpartition("/")[2]
        try:
            self._links.check(f"/videos/{name}", request.query, now=self._clock())
        except SignedUrlError as error:
            return _response(_storage_response(403, error.code, str(error)))
        video_file, _, suffix = name.partition(".")
        found = self._find(video_file)
        if found is None:
            return _response(_storage_response(*_STORAGE_ERRORS[ApiFault.UNKNOWN_TASK]))
        provider, media_spec = found
        try:
            make = self._media_cache.still if suffix == "jpg" else self._media_cache.video
            path = await make(media_spec)
        except MissingExtraError as error:
            _LOGGER.error("%s", error)
            return web.Response(status=501, text=f"{error}\n")
        except ClosingError:
            return web.Response(status=503, text="The emulator is closing.\n")
        injection = self._faults.next(Operation.DOWNLOAD, provider, now=self._clock())
        response = web.FileResponse(path) if injection is None else await self._broken(injection, path, request)
        self._log(provider, request, response, injection)
        return response

    def _log(
        self,
        provider: str,
        request: web.Request,
        response: web.StreamResponse,
        injection: Injection | None,
        *,
        operation: Operation = Operation.DOWNLOAD,
    ) -> None:
        self._received.append(
            ReceivedRequest(
                provider=provider,
                operation=operation,
                method=request.method,
                path=request.path,
                status=None if isinstance(response, RawHttpResponse) else response.status,
                fault=None if injection is None else injection.fault.summary,
                received_at=self._clock(),
            )
        )

    def _find(self, video_file: str) -> tuple[str, MediaSpec] | None:
        found = ((name, provider.media_spec(video_file)) for name, provider in self._providers.items())
        return next(((name, media_spec) for name, media_spec in found if media_spec is not None), None)

    async def _broken(self, injection: Injection, path: Path, request: web.Request) -> web.StreamResponse:
        whole = await anyio.to_thread.run_sync(video_response, path)
        context = CallContext(operation=Operation.DOWNLOAD, now=self._clock(), refuse=_refuse_file, whole=whole)
        headers = {name.lower(): value for name, value in request.headers.items()}
        return _response(injection.apply(range_response(whole, headers), context))

    async def _welcome(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=self._overview(request))

    def _overview(self, request: web.Request) -> str:
        origin = _origin(request)
        lines = [f"{name}: {origin}/{name}{provider.emulated_api.root}" for name, provider in self._providers.items()]
        return _WELCOME.format(providers="\n".join(lines), origin=origin)


def is_loopback(host: str) -> bool:
    """Return whether *host* is this machine: a loopback address, or the name `localhost`."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host.lower().rstrip(".").rpartition(".")[2] == "localhost"


@web.middleware
async def _only_loopback_names(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Refuse other host names: a web page could let its own name resolve to this machine (DNS rebinding)."""
    host = request.host
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if not is_loopback(name):
        text = "The emulator listens on loopback and answers to localhost only. Start it with another `host`.\n"
        raise web.HTTPMisdirectedRequest(text=text)
    return await handler(request)


async def _read_body(request: web.Request) -> bytes:
    size = request.content_length or 0
    largest = _LARGEST_UPLOAD if request.content_type == "multipart/form-data" else _LARGEST_BODY
    if size <= largest:
        body = bytearray()
        async for chunk in request.content.iter_any():
            body += chunk
            size = len(body)
            if size > largest:
                # The traceback of the error keeps this frame alive, and would keep the bytes.
                body.clear()
                break
        else:
            return bytes(body)
    raise web.HTTPRequestEntityTooLarge(largest, size)


async def _read_form(request: web.Request) -> tuple[dict[str, str], bytes | None]:
    """Return the fields of an upload and its file, which comes last: what follows it is ignored."""
    fields: dict[str, str] = {}
    if request.content_type != "multipart/form-data":
        return fields, None
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader) or part.name is None:
            continue
        if part.name == "file":
            return fields, bytes(await part.read())
        fields[part.name] = await part.text()
    return fields, None


def _origin(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"


def _response(response: HttpResponse | Broken) -> web.StreamResponse:
    if isinstance(response, Broken):
        return RawHttpResponse(response)
    return web.Response(status=response.status, headers=response.headers, body=response.body)


# https://www.alibabacloud.com/help/en/oss/user-guide/http-status-code
_STORAGE_ERRORS = {
    ApiFault.FORBIDDEN: (403, "AccessDenied", "Request has expired."),
    ApiFault.UNKNOWN_TASK: (404, "NoSuchKey", "The specified key does not exist."),
}
_BUSY = (503, "SlowDown", "Please reduce your request rate.")


def _refuse_file(reason: ApiFault | ErrorReply) -> HttpResponse:
    if isinstance(reason, ErrorReply):
        return _storage_response(reason.status, reason.code or "", reason.message)
    return _storage_response(*_STORAGE_ERRORS.get(reason, _BUSY))


def _storage_response(status: int, code: str, message: str) -> HttpResponse:
    body = storage_error(code, message, request_id=uuid4().hex[:24].upper())
    return HttpResponse(status=status, headers={"content-type": "application/xml"}, body=body)


async def _add_server_header(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "happyhorse-emulator"
