"""An hour in which every poll is answered with 429."""

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


class ThrottlingProvider:
    """A provider that accepts every task, and answers every poll in the first hour with 429."""

    connection_slots = None

    def __init__(self) -> None:
        self.polls: list[float] = []
        self._numbers = itertools.count()

    async def send(self, request: hh.HttpRequest, *, timeout: float) -> hh.HttpResponse:
        await asyncio.sleep(0.2)
        if request.method == "POST":
            return _response({"task_id": f"t-{next(self._numbers)}", "task_status": "PENDING"})
        self.polls.append(asyncio.get_running_loop().time())
        if self.polls[-1] < HOUR:
            body = json.dumps({"code": "Throttling.RateQuota", "message": "Requests rate limit exceeded"}).encode()
            return hh.HttpResponse(status=429, body=body)
        if "?" in request.url:
            return hh.HttpResponse(status=500)
        task_id = request.url.rpartition("/")[2]
        url = f"https://files.example/{task_id}.mp4"
        return _response({"task_id": task_id, "task_status": "SUCCEEDED", "video_url": url})

    async def aclose(self) -> None: ...


def _response(output: dict[str, str]) -> hh.HttpResponse:
    return hh.HttpResponse(status=200, body=json.dumps({"request_id": "r-1", "output": output}).encode())


@pytest.mark.fault(34)
async def test_an_hour_of_429s_fails_no_task_and_slows_polling_down(client_of: ClientOf) -> None:
    """Polls become as rare as one in some 15 seconds, and after the hour every video is there soon."""
    provider = ThrottlingProvider()
    async with client_of(provider) as client:
        handles = [await client.submit(hh.TextToVideo(f"video {number}")) for number in range(TASKS)]
        tasks = await asyncio.gather(*(handle.wait() for handle in handles))
        ended = asyncio.get_running_loop().time()

    refused = [at for at in provider.polls if at < HOUR]
    assert {hh.TaskStatus.SUCCEEDED} == {task.status for task in tasks}
    # A pause of 15 to 30 s for each, and what was in flight together in the beginning.
    assert len(refused) < 3 * HOUR / 15
    assert len([at for at in refused if at >= HOUR / 2]) <= HOUR / 2 / 15 + 16
    assert TASKS <= len(provider.polls) - len(refused) <= 2 * TASKS
    assert ended < HOUR + 300
