"""The record of deliveries, and how deliveries end."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, ClassVar

import pytest

from happyhorse_adapters.emulated.hiapi import EmulatedHiAPI
from happyhorse_async.emulation import CallbackRules
from happyhorse_async.emulator import Emulator, Scenario, SimulatedTask, WebhookDelivery, WebhookLog
from happyhorse_async.emulator.provider import EmulatedProvider
from happyhorse_async.emulator.signed_urls import SignedUrls
from happyhorse_async.emulator.webhook_sender import WebhookSender
from happyhorse_async.errors import ConfigurationError
from happyhorse_async.messages import HttpRequest

if TYPE_CHECKING:
    from conftest import Emulate, Receiver, Submit

AT_ONCE = Scenario(choose=lambda request, number: SimulatedTask(queue=0, run=0))


async def test_leaving_ends_everything(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """What is on its way, what waits for a next try and who waits for a delivery all end with the emulator."""
    receiver.statuses.append(500)
    async with emulate(speed=1) as emulator:
        await submit(emulator)
        await emulator.deliveries.wait(1)
        receiver.gate.clear()
        await submit(emulator)
        await receiver.until(2)
        waiting = asyncio.ensure_future(emulator.deliveries.wait(2))
        others = asyncio.all_tasks()

    with pytest.raises(RuntimeError, match="ended after 1 of 2"):
        await waiting
    receiver.gate.set()
    assert 2 == len(receiver.arrivals)
    assert [row.status for row in emulator.deliveries] == [500]
    assert len(asyncio.all_tasks()) < len(others)


async def test_a_slow_receiver_has_not_answered(receiver: Receiver) -> None:
    """A receiver that takes longer than the provider waits is tried again."""

    class Impatient(EmulatedHiAPI):
        callback_rules: ClassVar[CallbackRules | None] = CallbackRules(pauses=((0.0, 0.0),), timeout=0.02)

    receiver.gate.clear()
    clock = asyncio.get_running_loop().time
    log = WebhookLog()
    provider = EmulatedProvider(Impatient(), scenario=AT_ONCE, links=SignedUrls(b"secret"))
    async with WebhookSender((provider,), log=log, speed=1.0, clock=clock) as webhook_sender:
        content = {
            "model": "happyhorse-1-0",
            "input": {"prompt": "a kite"},
            "callback": {"url": receiver.url},
        }
        headers = {"authorization": "Bearer sk-any"}
        message = HttpRequest(
            method="POST", url="http://host/v1/tasks", headers=headers, body=json.dumps(content).encode()
        )
        provider.handle(message, now=clock(), origin="http://host")
        await webhook_sender.after_call(provider)
        rows = await log.wait(2)

    assert ["no answer in time"] * 2 == [row.problem for row in rows]


async def test_deliveries_can_be_waited_for_in_another_loop(
    emulate: Emulate, submit: Submit, receiver: Receiver
) -> None:
    """A test in a thread of its own waits for a delivery as well."""
    async with emulate() as emulator:
        waiting = asyncio.ensure_future(asyncio.to_thread(asyncio.run, emulator.deliveries.wait(1)))
        await asyncio.sleep(0.01)
        task_id = await submit(emulator)
        (row,) = await waiting

    assert task_id == row.task_id


async def test_old_deliveries_are_dropped() -> None:
    """The last 10,000 are kept, and a reader who was there before the others misses none that is still there."""
    log = WebhookLog()
    for number in range(10_005):
        log.add(WebhookDelivery(provider="hiapi", task_id=str(number), url="http://host", attempt=1))
    log.close()

    assert 10_000 == len(log)
    assert [str(number) for number in range(5, 10_005)] == [row.task_id async for row in log]


def test_events_of_others_are_a_configuration_error() -> None:
    """Only a provider whose events are set up outside the API has an events URL."""

    async def enter() -> None:
        async with Emulator(events_urls={"hiapi": "http://127.0.0.1/"}):
            raise AssertionError

    with pytest.raises(ConfigurationError, match="known: dashscope"):
        asyncio.run(enter())
