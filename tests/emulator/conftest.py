"""An emulator whose tasks do what their prompt says, and a way to send it hand-written requests."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession

from happyhorse_async.emulator import Course, Emulator, Scenario
from happyhorse_async.request import VideoRequest
from happyhorse_async.task import FailureReason

Send = Callable[..., Awaitable[ClientResponse]]


def course_by_prompt(request: VideoRequest, number: int) -> Course:
    """Let a prompt such as `PENDING`, `RUNNING` or `fail TIMEOUT` decide; any other succeeds at once."""
    word, _, reason = (request.prompt or "").partition(" ")
    if word == "PENDING":
        return Course(queue=math.inf)
    if word == "RUNNING":
        return Course(queue=0, run=math.inf)
    return Course(queue=0, run=0, failure=FailureReason(reason) if word == "fail" else None)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(scenario=Scenario(choose=course_by_prompt)) as running:
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
