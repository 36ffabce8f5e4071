"""An event loop that somebody has held up: what was due meanwhile is caught up with, at the account's pace."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

import happyhorse_async as hh

if TYPE_CHECKING:
    from conftest import Fifth, Gateway

Hold = Callable[[float], Awaitable[None]]

TASKS = 60
RATE = 10


@pytest.fixture
async def hold(monkeypatch: pytest.MonkeyPatch) -> Hold:
    """Let time pass by the loop's clock while the loop does nothing, and then let it do what there is to do."""
    loop = asyncio.get_running_loop()
    clock, passed = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: clock() + passed)

    async def hold(seconds: float) -> None:
        nonlocal passed
        passed += seconds
        for _ in range(5):
            await asyncio.sleep(0.001)

    return hold


@pytest.mark.fault(78)
async def test_no_burst_after_a_stall(gateway: Gateway, fifth: Fifth, hold: Hold) -> None:
    """After half a minute in which every task came due many times, each is looked at once, and none above the rate."""
    names = [f"t-{number}" for number in range(TASKS)]
    for name in names:
        gateway.show(name, "running")
    poll = hh.PollSchedule(interval=2, first_after=2, jitter=0)

    async with fifth.open(poll=poll, limits=hh.Limits(queries_per_second=RATE)) as client:
        handles = [client.resume(f"fifth:{name}") for name in names]
        waits = [asyncio.create_task(handle.wait()) for handle in handles]
        await hold(0.0)
        while len(gateway.requests) < TASKS:
            await hold(0.05)
        before = len(gateway.requests)
        stalled_until = asyncio.get_running_loop().time() + 30
        await hold(30)
        while len(gateway.requests) < before + TASKS:
            await hold(0.05)
        for waiting in waits:
            waiting.cancel()
        await asyncio.wait(waits)

    after = [seen for seen in gateway.requests if seen.at >= stalled_until]
    looks = Counter(seen.path for seen in after[:TASKS])
    in_a_second = [sum(first.at <= seen.at < first.at + 0.9 for seen in after) for first in after]
    assert {1} == set(looks.values())
    assert max(in_a_second) <= RATE


@pytest.mark.fault(78)
async def test_a_look_that_a_stall_cuts_off(gateway: Gateway, fifth: Fifth, hold: Hold) -> None:
    """A look whose time was over before anybody could read its answer is one fault, and the task goes on."""
    answer = asyncio.Event()
    gateway.show("t-1", gateway.reply({"id": "t-1", "status": "running"}, after=answer), "done")

    async with fifth.open() as client:
        waiting = asyncio.create_task(client.resume("fifth:t-1").wait())
        await gateway.until(1, "GET")
        await hold(60)
        answer.set()
        task = await waiting

    assert hh.TaskStatus.SUCCEEDED is task.status
    assert 2 == len(gateway.requests)
