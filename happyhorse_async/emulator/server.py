"""The emulator as an aiohttp.web application: it carries messages and files, and knows no provider."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4

import anyio.to_thread
from aiohttp import web

from ..emulation import ApiFault
from ..messages import HttpRequest, HttpResponse
from .faults.fault import CallContext, Operation
from .faults.injection import Broken, Faults, Injection
from .media_cache import ClosingError, MediaCache, MissingExtraError
from .media_spec import MediaSpec
from .provider import EmulatedProvider
from .range_response import part_of, video_response
from .raw_response import RawHttpResponse
from .signed_urls import SignedUrlError, SignedUrls, refusal_page
from .webhook_sender import WebhookSender

_LOGGER = logging.getLogger(__name__)

_LARGEST_BODY = 256 * 1024 * 1024
"""Room for nine images of 20 MB as data: URIs."""
_CLOSING_SECONDS = 1.0

_WELCOME = """This is the happyhorse emulator. It generates nothing: every video is a test picture.

{providers}
"""


class Server:
    """
    Serves providers and their videos on one port.

    :param clock: gives the time in Unix seconds.
    :param faults: what goes wrong with downloads; by default nothing does. The providers have their own part in it.
    """

    def __init__(
        self,
        providers: Mapping[str, EmulatedProvider],
        *,
        links: SignedUrls,
        media_cache: MediaCache,
        webhook_sender: WebhookSender,
        clock: Callable[[], float],
        faults: Faults | None = None,
    ) -> None:
        self._providers = providers
        self._links = links
        self._media_cache = media_cache
        self._webhook_sender = webhook_sender
        self._clock = clock
        self._faults = faults or Faults()
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """
        Begin to listen, and return the port.

        :raises OSError: the port is taken.
        """
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.on_response_prepare.append(_sign_answer)
        app.router.add_get("/", self._welcome)
        app.router.add_get("/videos/{name}", self._video_file)
        app.router.add_route("*", "/{provider}/{path:.*}", self._exchange)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSING_SECONDS)
        await runner.setup()
        self._runner = runner
        await web.TCPSite(runner, host, port).start()
        return int(runner.addresses[0][1])

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
            # The URL that the provider itself would see: without the prefix that tells it from the others here.
            url=_origin(request) + request.raw_path.removeprefix(f"/{name}"),
            headers={header.lower(): value for header, value in request.headers.items()},
            body=await request.read(),
        )
        answer = provider.handle(message, now=self._clock(), origin=_origin(request))
        await self._webhook_sender.after_call(provider)
        return _response(answer)

    async def _video_file(self, request: web.Request) -> web.StreamResponse:
        try:
            self._links.check(request.path, request.query, now=self._clock())
        except SignedUrlError as error:
            return _store_refusal(403, error.code, str(error))
        video_file, _, suffix = request.match_info["name"].partition(".")
        found = self._found(video_file)
        if found is None:
            return _store_refusal(404, "NoSuchKey", "The specified key does not exist.")
        provider, media_spec = found
        try:
            path = await (
                self._media_cache.still(media_spec) if suffix == "jpg" else self._media_cache.video(media_spec)
            )
        except MissingExtraError as error:
            _LOGGER.error("%s", error)
            return web.Response(status=501, text=f"{error}\n")
        except ClosingError:
            return web.Response(status=503, text="The emulator is closing.\n")
        injection = self._faults.next(Operation.DOWNLOAD, provider)
        return web.FileResponse(path) if injection is None else await self._played(injection, path, request)

    def _found(self, video_file: str) -> tuple[str, MediaSpec] | None:
        found = ((name, provider.media_spec(video_file)) for name, provider in self._providers.items())
        return next(((name, media_spec) for name, media_spec in found if media_spec is not None), None)

    async def _played(self, injection: Injection, path: Path, request: web.Request) -> web.StreamResponse:
        whole = await anyio.to_thread.run_sync(video_response, path)
        context = CallContext(
            operation=Operation.DOWNLOAD,
            now=self._clock(),
            refuse=_refuse_download,
            whole=whole,
        )
        headers = {name.lower(): value for name, value in request.headers.items()}
        return _response(injection.play(part_of(whole, headers), context))

    async def _welcome(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=self._overview(request))

    def _overview(self, request: web.Request) -> str:
        lines = [
            f"{name}: {_origin(request)}/{name}{provider.emulated_api.root}"
            for name, provider in self._providers.items()
        ]
        return _WELCOME.format(providers="\n".join(lines))


def _origin(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"


def _response(answer: HttpResponse | Broken) -> web.StreamResponse:
    if isinstance(answer, Broken):
        return RawHttpResponse(answer)
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


def _store_refusal(status: int, code: str, message: str) -> web.Response:
    body = refusal_page(code, message, request_id=uuid4().hex[:24].upper())
    return web.Response(status=status, body=body, content_type="application/xml")


def _refuse_download(problem: ApiFault) -> HttpResponse:
    status, code, message = _STORE_REFUSALS.get(problem, (503, "SlowDown", "Please reduce your request rate."))
    body = refusal_page(code, message, request_id=uuid4().hex[:24].upper())
    return HttpResponse(status=status, headers={"content-type": "application/xml"}, body=body)


_STORE_REFUSALS = {
    ApiFault.FORBIDDEN: (403, "AccessDenied", "Request has expired."),
    ApiFault.UNKNOWN_TASK: (404, "NoSuchKey", "The specified key does not exist."),
}


async def _sign_answer(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "happyhorse-emulator"
