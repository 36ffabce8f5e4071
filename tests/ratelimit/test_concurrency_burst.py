"""A burst of jobs at a provider that ends a task three hours after its submit, finished or not."""

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

THREE_HOURS = 3 * 3600.0

ClientOf = Callable[..., hh.Client]


class QueueingProvider:
    """A provider that runs a number of tasks at once and queues the others. Each runs for the same time."""

    connection_slots = None

    def __init__(self, running: int, seconds: float) -> None:
        self.prompts: list[str] = []
        self.submitted_at: list[float] = []
        self.finished_at: list[float] = []
        self.most_in_flight = 0
        self._seconds = seconds
        self._free_at = [0.0] * running

    async def send(self, request: hh.HttpRequest, *, timeout: float) -> hh.HttpResponse:
        await asyncio.sleep(0.2)
        if request.method == "POST":
            return _response({"output": self._accept(json.loads(request.body or b"")["input"]["prompt"])})
        query = parse_qs(urlsplit(request.url).query)
        if query:
            return _response(self._page(int(query["page_no"][0]), int(query["page_size"][0])))
        return _response({"output": self._state(int(urlsplit(request.url).path.rpartition("/")[2]))})

    def _accept(self, prompt: str) -> dict[str, str]:
        finished = max(self._free_at.pop(0), now()) + self._seconds
        insort(self._free_at, finished)
        self.prompts.append(prompt)
        self.submitted_at.append(now())
        self.finished_at.append(finished)
        self.most_in_flight = max(self.most_in_flight, len(self.finished_at) - bisect(self.finished_at, now()))
        return self._state(len(self.finished_at) - 1)

    def _state(self, number: int) -> dict[str, str]:
        task = {"task_id": str(number)}
        finished = self.finished_at[number]
        if now() > finished:
            return {**task, "task_status": "SUCCEEDED", "video_url": f"https://files.example/{number}.mp4"}
        return {**task, "task_status": "RUNNING" if now() > finished - self._seconds else "PENDING"}

    def _page(self, number: int, size: int) -> dict[str, Any]:
        newest_first = range(len(self.finished_at))[::-1]
        states = [self._state(row) for row in newest_first[(number - 1) * size : number * size]]
        rows = [{"task_id": task["task_id"], "status": task["task_status"]} for task in states]
        return {"total": len(self.finished_at), "data": rows, "page_no": number, "page_size": size}

    async def aclose(self) -> None: ...


def _response(body: dict[str, Any]) -> hh.HttpResponse:
    return hh.HttpResponse(status=200, body=json.dumps({"request_id": "r-1", **body}).encode())


@pytest.mark.parametrize("seconds", [120, 900])
async def test_no_task_waits_too_long_at_the_provider(client_of: ClientOf, seconds: float) -> None:
    """Also with the slowest videos every task finishes in time, in order, and the provider is never idle."""
    provider, jobs = QueueingProvider(5, seconds), 150
    async with client_of(provider, hh.PollSchedule(interval=seconds)) as client:
        handles = [await client.enqueue(hh.TextToVideo(str(number))) for number in range(jobs)]
        tasks = await asyncio.gather(*(handle.wait() for handle in handles))
    order = [int(prompt) for prompt in provider.prompts]
    ages = [end - begin for begin, end in zip(provider.submitted_at, provider.finished_at, strict=True)]

    assert {hh.TaskStatus.SUCCEEDED} == {task.status for task in tasks}
    # A few submits are in flight together.
    assert all(abs(number - place) <= 4 for place, number in enumerate(order))
    assert max(ages) <= THREE_HOURS
    assert 60 == provider.most_in_flight
    assert max(provider.finished_at) == pytest.approx(jobs / 5 * seconds, rel=0.01)
