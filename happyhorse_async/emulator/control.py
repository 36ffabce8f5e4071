"""
The emulator's control API, for tests in other languages and for containers.

Everything is JSON below `/_emulator`. Each call corresponds to a method of `Emulator`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import web
from attrs import asdict, define, field
from cattrs import Converter, transform_error

from ..errors import ConfigurationError
from ..task import FailureReason
from .faults.injection import Injection
from .scenario import Scenario, SimulatedTask
from .webhook_queue import CallbackScenario

if TYPE_CHECKING:
    from .emulator import Emulator

T = TypeVar("T")

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_DEFAULTS = Scenario()
_CONVERTER = Converter(forbid_extra_keys=True)


@define(kw_only=True)
class _ScenarioBody:
    """How tasks go. Absent fields have the defaults of `Scenario`."""

    queue: tuple[float, float] = _DEFAULTS.queue
    run: tuple[float, float] = _DEFAULTS.run
    failures: dict[FailureReason, float] = field(factory=dict[FailureReason, float])
    stuck: float = 0.0
    tasks: list[SimulatedTask] = field(factory=list[SimulatedTask])
    """How the next tasks go, in submit order. Later ones are random."""

    def scenario(self) -> Scenario:
        script = deque(self.tasks)
        return Scenario(
            queue=self.queue,
            run=self.run,
            failures=self.failures,
            stuck=self.stuck,
            choose=lambda _request, _number: script.popleft() if script else None,
        )


@define(kw_only=True)
class _FaultBody:
    fault: str
    on: Any = None
    """An operation, or a list of them."""
    provider: str | None = None
    times: int | None = 1
    after: int = 0
    seconds: float | None = None


class ControlAPI:
    """
    The routes of the control API.

    :param emulator: the emulator to control.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add them to an application."""
        for method, path, handler in (
            ("GET", "", self._state),
            ("POST", "/reset", self._reset),
            ("PUT", "/scenario", self._set_scenario),
            ("PUT", "/callbacks", self._set_callbacks),
            ("GET", "/faults", self._list_faults),
            ("POST", "/faults", self._inject),
            ("DELETE", "/faults", self._remove_faults),
            ("POST", "/faults/{id}/release", self._release),
            ("DELETE", "/faults/{id}", self._remove_fault),
            ("GET", "/billed", self._billed),
            ("GET", "/requests", self._requests),
            ("GET", "/deliveries", self._deliveries),
        ):
            router.add_route(method, f"/_emulator{path}", _guarded(handler))
        router.add_route("*", "/_emulator/{path:.*}", _guarded(_not_found))

    async def _state(self, request: web.Request) -> web.Response:
        emulator = self._emulator
        return web.json_response(
            {
                "providers": {name: emulator.url(name) for name in emulator.providers},
                "speed": emulator.speed,
                "seed": emulator.seed,
                "billed": emulator.billed(),
                "faults": [_injection(injection) for injection in emulator.faults],
            }
        )

    async def _reset(self, request: web.Request) -> web.Response:
        self._emulator.reset()
        return _done()

    async def _set_scenario(self, request: web.Request) -> web.Response:
        self._emulator.scenario = (await _body(request, _ScenarioBody)).scenario()
        return _done()

    async def _set_callbacks(self, request: web.Request) -> web.Response:
        self._emulator.callbacks = await _body(request, CallbackScenario)
        return _done()

    async def _list_faults(self, request: web.Request) -> web.Response:
        return web.json_response([_injection(injection) for injection in self._emulator.faults])

    async def _inject(self, request: web.Request) -> web.Response:
        body = await _body(request, _FaultBody)
        injection = self._emulator.inject(**asdict(body))
        return web.json_response(_injection(injection), status=201)

    async def _remove_faults(self, request: web.Request) -> web.Response:
        for injection in self._emulator.faults:
            injection.remove()
        return _done()

    async def _release(self, request: web.Request) -> web.Response:
        self._find(request).release()
        return _done()

    async def _remove_fault(self, request: web.Request) -> web.Response:
        self._find(request).remove()
        return _done()

    def _find(self, request: web.Request) -> Injection:
        wanted = request.match_info["id"]
        for injection in self._emulator.faults:
            if str(injection.id) == wanted:
                return injection
        raise _error(404, f"no fault {wanted!r} is switched on")

    async def _billed(self, request: web.Request) -> web.Response:
        by_provider = {name: self._emulator.billed(name) for name in self._emulator.providers}
        return web.json_response({"total": sum(by_provider.values()), "providers": by_provider})

    async def _requests(self, request: web.Request) -> web.Response:
        provider, operation = request.query.get("provider"), request.query.get("operation")
        rows = self._emulator.requests
        found = [row for row in rows if provider in (None, row.provider) and operation in (None, row.operation)]
        return web.json_response([asdict(row) for row in found])

    async def _deliveries(self, request: web.Request) -> web.Response:
        return web.json_response([asdict(delivery) for delivery in self._emulator.deliveries])


def _injection(injection: Injection) -> dict[str, Any]:
    return {
        "id": injection.id,
        "summary": injection.fault.summary,
        "on": sorted(injection.on),
        "provider": injection.provider,
        "applied": injection.applied,
        "over": injection.over,
    }


def _guarded(handler: _Handler) -> _Handler:
    """Refuse calls of foreign web pages, and answer the caller's errors as JSON."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Origin", f"{request.scheme}://{request.host}") != f"{request.scheme}://{request.host}":
            raise _error(403, "the control API does not answer web pages of another origin")
        try:
            return await handler(request)
        except ConfigurationError as error:
            raise _error(400, str(error)) from None

    return guarded


async def _body(request: web.Request, kind: type[T]) -> T:
    try:
        value = await request.json()
    except (ValueError, RecursionError):
        raise _error(400, "the body must be a JSON object") from None
    try:
        return _CONVERTER.structure(value, kind)
    except Exception as error:  # noqa: BLE001 - cattrs raises whatever the classes raise
        raise _error(400, "; ".join(transform_error(error, path="body"))) from None


async def _not_found(_request: web.Request) -> web.Response:
    raise _error(404, "the control API has no such path or method")


def _error(status: int, message: str) -> web.HTTPException:
    kind = {400: web.HTTPBadRequest, 403: web.HTTPForbidden, 404: web.HTTPNotFound}[status]
    return kind(text=web.json_response({"error": message}).text, content_type="application/json")


def _done() -> web.Response:
    return web.Response(status=204)
