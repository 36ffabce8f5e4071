"""A thousand jobs at once, at providers of different speed that give a task up three hours after its submit."""

from __future__ import annotations

import asyncio
import json
from bisect import bisect, insort
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import happyhorse_async as hh

from .slots import now

JOBS = 1000
THREE_HOURS = 3 * 3600.0

ClientOf = Callable[..., hh.Client]


class Factory:
    """A provider that makes some videos at once, one after the other, in the same time each."""

    def __init__(self, at_once: int, each: float) -> None:
        self.prompts: list[str] = []
        self.begun: list[float] = []
        self.ends: list[float] = []
        self.in_flight: list[int] = []
        """How many tasks there were with each that came."""
        self._each = each
        self._free = [0.0] * at_once

    async def send(self, request: hh.HttpRequest, *, timeout: float) -> hh.HttpResponse:
        await asyncio.sleep(0.2)
        if request.method == "POST":
            return _answer({"output": self._accept(json.loads(request.body or b"")["input"]["prompt"])})
        query = parse_qs(urlsplit(request.url).query)
        if query:
            return _answer(self._page(int(query["page_no"][0]), int(query["page_size"][0])))
        return _answer({"output": self._shown(int(urlsplit(request.url).path.rpartition("/")[2]))})

    def _accept(self, prompt: str) -> dict[str, str]:
        begun = now()
        end = max(self._free.pop(0), begun) + self._each
        insort(self._free, end)
        self.prompts.append(prompt)
        self.begun.append(begun)
        self.ends.append(end)
        self.in_flight.append(len(self.ends) - bisect(self.ends, begun))
        return self._shown(len(self.ends) - 1)

    def _shown(self, number: int) -> dict[str, str]:
        task = {"task_id": str(number)}
        if now() > self.ends[number]:
            return {**task, "task_status": "SUCCEEDED", "video_url": f"https://files.example/{number}.mp4"}
        running = now() > self.ends[number] - self._each
        return {**task, "task_status": "RUNNING" if running else "PENDING"}

    def _page(self, number: int, size: int) -> dict[str, Any]:
        newest_first = range(len(self.ends))[::-1]
        shown = [self._shown(row) for row in newest_first[(number - 1) * size : number * size]]
        rows = [{"task_id": task["task_id"], "status": task["task_status"]} for task in shown]
        return {"total": len(self.ends), "data": rows, "page_no": number, "page_size": size}

    connection_slots = None

    async def aclose(self) -> None: ...


def _answer(answer: dict[str, Any]) -> hh.HttpResponse:
    return hh.HttpResponse(status=200, body=json.dumps({"request_id": "r-1", **answer}).encode())


async def finished(client: hh.Client) -> list[hh.Task]:
    """Enqueue all jobs and wait for them."""
    handles = [await client.enqueue(hh.TextToVideo(str(number))) for number in range(JOBS)]
    return await asyncio.gather(*(handle.wait() for handle in handles))


@pytest.mark.parametrize(("at_once", "each"), [(5, 170), (5, 120)])
async def test_nothing_grows_too_old(client_of: ClientOf, at_once: int, each: float) -> None:
    """All come to an end in time, in the order of the calls, and the provider never runs out of them."""
    provider = Factory(at_once, each)
    async with client_of(provider, hh.PollSchedule(interval=150)) as client:
        tasks = await finished(client)
    order = [int(prompt) for prompt in provider.prompts]

    assert {hh.TaskStatus.SUCCEEDED} == {task.status for task in tasks}
    # A few are on the way together.
    assert all(abs(number - place) <= 4 for place, number in enumerate(order))
    assert max(end - begun for begun, end in zip(provider.begun, provider.ends, strict=True)) <= THREE_HOURS
    assert max(provider.ends) == pytest.approx(JOBS / at_once * each, rel=0.01)


async def test_a_slow_provider_is_held_back(client_of: ClientOf) -> None:
    """At 15 minutes each, what was sent before the first ends is too much; what follows ends in time."""
    provider = Factory(5, 900)
    async with client_of(provider, hh.PollSchedule(interval=150)) as client:
        await finished(client)
    ages = [end - begun for begun, end in zip(provider.begun, provider.ends, strict=True)]

    assert 300 == sum(begun < 900 for begun in provider.begun)
    # Until ten have come nobody knows.
    assert max(ages[310:]) <= THREE_HOURS


async def test_a_fast_provider_is_fed(client_of: ClientOf) -> None:
    """One that runs all at once has as many as it takes by the time in which they can be sent after the first ends."""
    provider = Factory(JOBS, 600)
    async with client_of(provider) as client:
        await finished(client)
    before = sum(begun < 600 for begun in provider.begun)
    full = next(begun for begun, count in zip(provider.begun, provider.in_flight, strict=True) if count >= 495)

    assert 300 == before
    assert full < 600 + 505 / 4.5 + 60
