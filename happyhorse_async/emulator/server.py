"""The emulator as an aiohttp.web application: it carries messages and files, and knows no provider."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4

import anyio.to_thread
from aiohttp import web

from ..dialect import Problem
from ..messages import HttpRequest, HttpResponse
from .breakage import BrokenAnswer
from .courier import Courier
from .faults.fault import Operation, Scene
from .faults.injection import Broken, Faults, Injection
from .films import film_answer, part_of
from .footage import Footage
from .links import LinkError, Links, refusal_page
from .provider import EmulatedProvider
from .studio import ClosingError, MissingExtraError, Studio

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
        links: Links,
        studio: Studio,
        courier: Courier,
        clock: Callable[[], float],
        faults: Faults | None = None,
    ) -> None:
        self._providers = providers
        self._links = links
        self._studio = studio
        self._courier = courier
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
        app.router.add_get("/videos/{name}", self._film)
        app.router.add_route("*", "/{provider}/{path:.*}", self._exchange)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSING_SECONDS)
        await runner.setup()
        self._runner = runner
        await web.TCPSite(runner, host, port).start()
        return int(runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening and close every connection."""
        self._studio.close()
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
        await self._courier.after_call(provider)
        return _response(answer)

    async def _film(self, request: web.Request) -> web.StreamResponse:
        try:
            self._links.check(request.path, request.query, now=self._clock())
        except LinkError as error:
            return _store_refusal(403, error.code, str(error))
        film, _, suffix = request.match_info["name"].partition(".")
        found = self._found(film)
        if found is None:
            return _store_refusal(404, "NoSuchKey", "The specified key does not exist.")
        provider, footage = found
        try:
            path = await (self._studio.still(footage) if suffix == "jpg" else self._studio.video(footage))
        except MissingExtraError as error:
            _LOGGER.error("%s", error)
            return web.Response(status=501, text=f"{error}\n")
        except ClosingError:
            return web.Response(status=503, text="The emulator is closing.\n")
        injection = self._faults.next(Operation.DOWNLOAD, provider)
        return web.FileResponse(path) if injection is None else await self._played(injection, path, request)

    def _found(self, film: str) -> tuple[str, Footage] | None:
        found = ((name, provider.footage(film)) for name, provider in self._providers.items())
        return next(((name, footage) for name, footage in found if footage is not None), None)

    async def _played(self, injection: Injection, path: Path, request: web.Request) -> web.StreamResponse:
        whole = await anyio.to_thread.run_sync(film_answer, path)
        scene = Scene(
            operation=Operation.DOWNLOAD,
            now=self._clock(),
            refuse=_refuse_download,
            whole=whole,
        )
        headers = {name.lower(): value for name, value in request.headers.items()}
        return _response(injection.play(part_of(whole, headers), scene))

    async def _welcome(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=self._overview(request))

    def _overview(self, request: web.Request) -> str:
        lines = [
            f"{name}: {_origin(request)}/{name}{provider.dialect.root}" for name, provider in self._providers.items()
        ]
        return _WELCOME.format(providers="\n".join(lines))


def _origin(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"


def _response(answer: HttpResponse | Broken) -> web.StreamResponse:
    if isinstance(answer, Broken):
        return BrokenAnswer(answer)
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


def _store_refusal(status: int, code: str, message: str) -> web.Response:
    body = refusal_page(code, message, request_id=uuid4().hex[:24].upper())
    return web.Response(status=status, body=body, content_type="application/xml")


def _refuse_download(problem: Problem) -> HttpResponse:
    status, code, message = _STORE_REFUSALS.get(problem, (503, "SlowDown", "Please reduce your request rate."))
    body = refusal_page(code, message, request_id=uuid4().hex[:24].upper())
    return HttpResponse(status=status, headers={"content-type": "application/xml"}, body=body)


_STORE_REFUSALS = {
    Problem.FORBIDDEN: (403, "AccessDenied", "Request has expired."),
    Problem.UNKNOWN_TASK: (404, "NoSuchKey", "The specified key does not exist."),
}


async def _sign_answer(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "happyhorse-emulator"
