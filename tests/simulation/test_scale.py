"""What many tasks cost inside a provider's limits, and how late their ends are noticed, on virtual time."""

from __future__ import annotations

import asyncio
import json
import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

import happyhorse_async as hh
from happyhorse_async.adapter_kit.decoding import read_object

PER_SECOND = 20


class Adapter(hh.Adapter):
    """Speaks to an account whose list shows how tasks stand, without the videos."""

    name = "busy"
    title = "Busy"
    documentation = "https://busy.example/docs"
    api_key_env = "BUSY_API_KEY"
    capabilities = hh.Capabilities(
        models=(hh.ModelSpec(mode=hh.Mode.T2V, version="1.0", model="t2v", resolutions=("720P",)),),
        can_list=True,
        list_is_live=True,
    )
    default_base_url = "https://busy.example"
    limits = hh.Limits(queries_per_second=PER_SECOND - 1)

    def encode_submit(self, submission: hh.Submission, account: hh.Account) -> hh.HttpRequest:
        return hh.HttpRequest(method="POST", url=account.base_url, body=(submission.request.prompt or "").encode())

    def decode_submit(self, response: hh.HttpResponse, account: hh.Account) -> hh.Task:
        return _task(read_object(response), account)

    def encode_fetch(self, task_id: str, account: hh.Account) -> hh.HttpRequest:
        return hh.HttpRequest(method="GET", url=f"{account.base_url}/{task_id}")

    def decode_fetch(self, response: hh.HttpResponse, task_id: str, account: hh.Account) -> hh.Task:
        return _task(read_object(response), account)

    def encode_list(self, page: hh.PageRequest, account: hh.Account) -> hh.HttpRequest:
        return hh.HttpRequest(method="GET", url=f"{account.base_url}/?page={page.number}&size={page.size}")

    def decode_list(self, response: hh.HttpResponse, page: hh.PageRequest, account: hh.Account) -> hh.TaskPage:
        answer = read_object(response)
        return hh.TaskPage(tasks=tuple(_task(row, account) for row in answer["tasks"]), size=answer["size"])


def _task(answer: Any, account: hh.Account) -> hh.Task:
    status = {"queued": hh.TaskStatus.PENDING, "running": hh.TaskStatus.RUNNING, "done": hh.TaskStatus.SUCCEEDED}
    videos = tuple(hh.Video(url=url) for url in answer.get("urls", ()))
    return hh.Task(ref=account.ref(answer["id"]), status=status[answer["status"]], videos=videos)


class Account:
    """What an account has taken, and when each task begins and ends."""

    def __init__(self, *, page: int, at_once: int | None = None) -> None:
        self.asked: list[float] = []
        self.ends: dict[str, float] = {}
        self._begins: dict[str, float] = {}
        self._page = page
        self._free = [0.0] * at_once if at_once else None
        self._chance = random.Random(1)

    async def send(self, request: hh.HttpRequest, *, timeout: float) -> hh.HttpResponse:
        loop = asyncio.get_running_loop()
        if request.method == "GET":
            self.asked.append(loop.time())
        await asyncio.sleep(self._chance.uniform(0.015, 0.06))
        answer = self._answer(request, loop.time())
        await asyncio.sleep(self._chance.uniform(0.015, 0.06))
        return hh.HttpResponse(status=200, body=json.dumps(answer).encode())

    connection_slots = None

    async def aclose(self) -> None: ...

    def _answer(self, request: hh.HttpRequest, now: float) -> Any:
        if request.method == "POST":
            return self._row(self._take(float(request.body or b""), now), now)
        url = urlsplit(request.url)
        if not url.query:
            name = url.path[1:]
            return {
                **self._row(name, now),
                "urls": [f"https://busy.example/{name}.mp4"] if self.ends[name] <= now else [],
            }
        query = {name: int(value) for name, value in parse_qsl(url.query)}
        size = min(query["size"], self._page)
        names = [*self.ends][::-1][(query["page"] - 1) * size : query["page"] * size]
        return {"tasks": [self._row(name, now) for name in names], "size": size}

    def _take(self, seconds: float, now: float) -> str:
        name = f"t-{len(self.ends)}"
        begin = now if self._free is None else max(now, self._free.pop(0))
        self._begins[name], self.ends[name] = begin, begin + seconds
        if self._free is not None:
            self._free.insert(bisect_left(self._free, begin + seconds), begin + seconds)
        return name

    def _row(self, name: str, now: float) -> dict[str, Any]:
        word = "queued" if now < self._begins[name] else "running" if now < self.ends[name] else "done"
        return {"id": name, "status": word}


async def carry(account: Account, jobs: Iterator[tuple[float, float]]) -> dict[str, float]:
    """Submit a task of so many seconds at each time, and return how late each end was noticed."""
    loop = asyncio.get_running_loop()

    async def one(client: hh.Client, seconds: float) -> tuple[str, float]:
        task = await client.generate(hh.TextToVideo(f"{seconds:.3f}"))
        return task.id, loop.time() - account.ends[task.id]

    client = hh.Client(Adapter(), api_key="sk-busy", transport=account)
    async with client, asyncio.timeout(20_000):
        running = []
        for at, seconds in jobs:
            await asyncio.sleep(at - loop.time())
            running.append(asyncio.create_task(one(client, seconds)))
        return dict(await asyncio.gather(*running))


def steady(in_flight: int, until: float) -> Iterator[tuple[float, float]]:
    """Tasks of 120 s ± 25 %, so that there are always so many of them."""
    chance, at = random.Random(7), 0.0
    while (at := at + chance.uniform(0.5, 1.5) * 120 / in_flight) < until:
        yield at, chance.uniform(90, 150)


@pytest.fixture
def run(simulation: Any) -> Any:
    """Carry jobs on virtual time."""

    def run(account: Account, jobs: Iterator[tuple[float, float]]) -> dict[str, float]:
        state = random.getstate()
        random.seed(3)
        with asyncio.Runner(loop_factory=simulation.Loop) as runner:
            try:
                return runner.run(carry(account, jobs))
            finally:
                random.setstate(state)

    return run


def most_in_a_second(times: list[float]) -> int:
    """Return how many of *times* there are in the second with the most of them."""
    return max(number - bisect_right(times, at - 1) for number, at in enumerate(times, start=1))


@pytest.mark.parametrize(("page", "requests", "late"), [(50, 3.0, 6.0), (10, 3.5, 12.0)])
def test_five_hundred_tasks_in_flight(run: Any, page: int, requests: float, late: float) -> None:
    """None is lost, the budget holds in every second, and the ends are noticed soon, for a few requests each."""
    account = Account(page=page)
    delays = run(account, steady(500, 480))
    later = [name for name, end in account.ends.items() if 240 <= end < 480]
    asked = [at for at in account.asked if 240 <= at < 480]
    slowest = sorted(delays[name] for name in later)

    assert len(account.ends) == len(delays)
    assert most_in_a_second(account.asked) <= PER_SECOND
    assert len(asked) <= requests * len(later)
    assert slowest[len(slowest) * 95 // 100] <= late


def test_a_provider_that_runs_five_at_a_time(run: Any) -> None:
    """A hundred tasks that queue for most of an hour are all noticed soon, for a few requests a minute."""
    account = Account(page=50, at_once=5)
    delays = run(account, ((0.0, 90 + 0.6 * number) for number in range(100)))

    assert 100 == len(delays)
    assert most_in_a_second(account.asked) <= PER_SECOND
    assert sorted(delays.values())[94] <= 12
    assert len(account.asked) <= 1000
