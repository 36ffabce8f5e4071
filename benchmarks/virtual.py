"""Client and provider in one thread with virtual time: an hour in seconds, without sockets."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import happyhorse_async as hh
import happyhorse_async.transports.aiohttp as carrier
from account import Account
from clients import BenchmarkClient, Send
from clocks import run_skipping
from figures import Figures, Outcomes, measure
from loads import Load
from provider import DashScope
from wire_format import Call

BASE_URL = "https://provider.example/api/v1"
# Each way, in seconds.
_LATENCY = (0.015, 0.060)


class Wire:
    """The network between client and provider."""

    def __init__(self, provider: DashScope, seed: int) -> None:
        self._provider = provider
        self._chance = random.Random(seed)

    async def send(self, method: str, url: str, body: bytes | None) -> tuple[int, bytes]:
        await asyncio.sleep(self._chance.uniform(*_LATENCY))
        target = urlsplit(url)
        path = target.path.removeprefix(urlsplit(BASE_URL).path)
        answer = self._provider.answer(Call(method, path, dict(parse_qsl(target.query)), body=body or b""))
        await asyncio.sleep(self._chance.uniform(*_LATENCY))
        return answer

    @asynccontextmanager
    async def connect(self, _: str) -> AsyncIterator[Send]:
        yield self.send


class Transport:
    """A transport of the library without sockets."""

    connection_slots = None

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def send(self, request: hh.HttpRequest, *, timeout: float) -> hh.HttpResponse:
        status, body = await self._wire.send(request.method, request.url, request.body)
        return hh.HttpResponse(status=status, headers={"content-type": "application/json"}, body=body)

    def stream(self, *_: object, **__: object) -> Any:
        raise NotImplementedError("no downloads here")

    async def aclose(self) -> None: ...


@contextmanager
def carried_by(transport: Any) -> Iterator[None]:
    """Make clients that are opened meanwhile use *transport*."""
    # A client looks up this name when it is opened.
    real = carrier.AiohttpTransport
    carrier.AiohttpTransport = lambda **_: transport  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        carrier.AiohttpTransport = real  # type: ignore[misc]


def run(
    client: Callable[[Wire], BenchmarkClient],
    load: Load,
    *,
    page: int = 50,
    per_second: float | None = 20,
    since: float = 0.0,
    until: float = float("inf"),
    seed: int = 1,
) -> tuple[Figures, Outcomes]:
    """Run *load* with a client, and measure from *since* to *until*."""
    outcomes = Outcomes()
    # The source of the clients' jitter.
    random.seed(seed)

    async def work() -> Account:
        clock = asyncio.get_running_loop().time
        account = Account(
            clock,
            queries_per_second=per_second,
            largest_page=page,
            running=load.running,
            others=load.of_others,
        )
        wire = Wire(DashScope(account), seed)
        with carried_by(Transport(wire)):
            await client(wire)(BASE_URL, load, outcomes)
        account.settle()
        return account

    account = run_skipping(work())
    return measure(account.tasks, account.requests, outcomes, since=since, until=until), outcomes
