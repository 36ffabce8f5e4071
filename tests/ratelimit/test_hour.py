"""An hour in which every look is refused as too many."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable

import pytest

import happyhorse_async as hh

ClientOf = Callable[..., hh.Client]

HOUR = 3600.0
TASKS = 50


class Refusing:
    """A provider that takes every task, and answers looks after an hour only."""

    def __init__(self) -> None:
        self.looks: list[float] = []
        self._numbers = itertools.count()

    async def send(self, request: hh.HttpRequest, *, timeout: float) -> hh.HttpResponse:
        await asyncio.sleep(0.2)
        if request.method == "POST":
            return _answer({"task_id": f"t-{next(self._numbers)}", "task_status": "PENDING"})
        self.looks.append(asyncio.get_running_loop().time())
        if self.looks[-1] < HOUR:
            body = json.dumps({"code": "Throttling.RateQuota", "message": "Requests rate limit exceeded"}).encode()
            return hh.HttpResponse(status=429, body=body)
        if "?" in request.url:
            return hh.HttpResponse(status=500)
        task_id = request.url.rpartition("/")[2]
        url = f"https://files.example/{task_id}.mp4"
        return _answer({"task_id": task_id, "task_status": "SUCCEEDED", "video_url": url})

    connection_slots = None

    async def aclose(self) -> None: ...


def _answer(output: dict[str, str]) -> hh.HttpResponse:
    return hh.HttpResponse(status=200, body=json.dumps({"request_id": "r-1", "output": output}).encode())


@pytest.mark.fault(34)
async def test_an_hour_of_refusals(client_of: ClientOf) -> None:
    """The looks become as few as one in some seconds, no task fails, and afterwards every video is there soon."""
    provider = Refusing()
    async with client_of(provider) as client:
        handles = [await client.submit(hh.TextToVideo(f"video {number}")) for number in range(TASKS)]
        tasks = await asyncio.gather(*(handle.wait() for handle in handles))
        ended = asyncio.get_running_loop().time()

    refused = [at for at in provider.looks if at < HOUR]
    assert {hh.TaskStatus.SUCCEEDED} == {task.status for task in tasks}
    # A pause of 15 to 30 s for each, and what was on its way together in the beginning.
    assert len(refused) < 3 * HOUR / 15
    assert len([at for at in refused if at >= HOUR / 2]) <= HOUR / 2 / 15 + 16
    assert TASKS <= len(provider.looks) - len(refused) <= 2 * TASKS
    assert ended < HOUR + 300
