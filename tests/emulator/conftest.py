"""
An emulator whose tasks go as their prompt says, a function that sends hand-written requests, and an endpoint for
webhooks.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, web
from attrs import frozen

from happyhorse_async.emulator import Emulator, Scenario, SimulatedTask
from happyhorse_async.request import VideoRequest
from happyhorse_async.task import FailureReason

Send = Callable[..., Awaitable[ClientResponse]]
Emulate = Callable[..., AbstractAsyncContextManager[Emulator]]
Submit = Callable[..., Awaitable[str]]

SECRET = "0123456789abcdef"
# 10 minutes are 3 hundredths of a second.
SPEED = 20_000.0


def simulate_by_prompt(request: VideoRequest, number: int) -> SimulatedTask:
    """Simulate what the prompt says: `PENDING`, `RUNNING` or `fail TIMEOUT`; any other succeeds at once."""
    word, _, reason = (request.prompt or "").partition(" ")
    if word == "PENDING":
        return SimulatedTask(queue=math.inf)
    if word == "RUNNING":
        return SimulatedTask(queue=0, run=math.inf)
    return SimulatedTask(queue=0, run=0, failure=FailureReason(reason) if word == "fail" else None)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(scenario=Scenario(choose=simulate_by_prompt)) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


@pytest.fixture
def send(emulator: Emulator, http: ClientSession) -> Send:
    """Send one request to a provider; the response has been read to its end."""

    async def send_to(
        provider: str, method: str, path: str, *, key: str | None = "sk-any", headers: Any = None, **content: Any
    ) -> ClientResponse:
        authorization = {} if key is None else {"Authorization": f"Bearer {key}"}
        async with http.request(
            method, emulator.url(provider) + path, headers={**authorization, **(headers or {})}, **content
        ) as response:
            await response.read()
            return response

    return send_to


@frozen
class Arrival:
    """A webhook as it arrived."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """Answers with the given statuses one after the other, then with 204."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.statuses: deque[int] = deque()
        self.always: int = 204
        self.gate = asyncio.Event()
        """While it is not set, no response is sent."""
        self.gate.set()
        self._arrived = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/hooks/video?job=hh-1%2F2&secret=x"

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._receive)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def until(self, count: int) -> list[Arrival]:
        """Wait until *count* webhooks have arrived."""
        async with asyncio.timeout(20), self._arrived:
            await self._arrived.wait_for(lambda: len(self.arrivals) >= count)
        return self.arrivals

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        async with self._arrived:
            self.arrivals.append(Arrival(request.method, request.raw_path, request.headers.copy(), body))
            self._arrived.notify_all()
        status = self.statuses.popleft() if self.statuses else self.always
        await self.gate.wait()
        return web.Response(status=status, headers={"Location": "/elsewhere"})


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    endpoint = Receiver()
    await endpoint.start()
    yield endpoint
    await endpoint.stop()


@pytest.fixture
def emulate(receiver: Receiver) -> Emulate:
    """Run an emulator whose events go to the receiver."""

    @asynccontextmanager
    async def run(**options: Any) -> AsyncIterator[Emulator]:
        settings = {
            "speed": SPEED,
            "scenario": Scenario(choose=simulate_by_prompt),
            "callback_secret": SECRET,
        } | options
        async with Emulator(events_urls={"dashscope": receiver.url}, **settings) as emulator:
            yield emulator

    return run


@pytest.fixture
def submit(http: ClientSession, receiver: Receiver) -> Submit:
    """Submit a task with a webhook to the receiver, and return its id."""

    async def submit_to(
        emulator: Emulator, provider: str = "hiapi", prompt: str = "a kite", *, url: str | None = None, key: str = ""
    ) -> str:
        content: dict[str, Any] = {"model": "happyhorse-1.1-t2v", "input": {"prompt": prompt}}
        path = "/services/aigc/video-generation/video-synthesis"
        headers = {"Authorization": "Bearer sk-any", "X-DashScope-Async": "enable"}
        if provider == "hiapi":
            callback = {"url": url or receiver.url, "when": "final"}
            content = {"model": "happyhorse-1.1/text-to-video", "input": {"prompt": prompt}, "callback": callback}
            path = "/v1/tasks"
            headers |= {"Idempotency-Key": key} if key else {}
        async with http.post(emulator.url(provider) + path, json=content, headers=headers) as response:
            answer = await response.json()
        return str(answer["data"]["taskId"] if provider == "hiapi" else answer["output"]["task_id"])

    return submit_to
