"""The record of webhook deliveries, and how deliveries end."""

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


async def test_closing_the_emulator_ends_deliveries_and_waits(
    emulate: Emulate, submit: Submit, receiver: Receiver
) -> None:
    """Deliveries in progress, retries and waits all end with the emulator."""
    receiver.statuses.append(500)
    async with emulate(speed=1) as emulator:
        await submit(emulator)
        await emulator.deliveries.wait(1)
        receiver.gate.clear()
        await submit(emulator)
        await receiver.until(2)
        waiting = asyncio.ensure_future(emulator.deliveries.wait(2))
        others = asyncio.all_tasks()

    with pytest.raises(RuntimeError, match="closed after 1 of 2"):
        await waiting
    receiver.gate.set()
    assert 2 == len(receiver.arrivals)
    assert [row.status for row in emulator.deliveries] == [500]
    assert len(asyncio.all_tasks()) < len(others)


async def test_a_receiver_that_is_too_slow_gets_the_webhook_again(receiver: Receiver) -> None:
    """A receiver that takes longer than the provider waits has not answered."""

    class Impatient(EmulatedHiAPI):
        callback_rules: ClassVar[CallbackRules | None] = CallbackRules(pauses=((0.0, 0.0),), timeout=0.02)

    receiver.gate.clear()
    clock = asyncio.get_running_loop().time
    log = WebhookLog()
    provider = EmulatedProvider(Impatient(), scenario=AT_ONCE, links=SignedUrls(b"secret"))
    async with WebhookSender((provider,), log=log, only_loopback=True, speed=1.0, clock=clock) as webhook_sender:
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

    assert ["no response in time"] * 2 == [row.problem for row in rows]


async def test_a_delivery_can_be_awaited_in_another_event_loop(
    emulate: Emulate, submit: Submit, receiver: Receiver
) -> None:
    """A test in another thread than the emulator can wait for a delivery."""
    async with emulate() as emulator:
        waiting = asyncio.ensure_future(asyncio.to_thread(asyncio.run, emulator.deliveries.wait(1)))
        await asyncio.sleep(0.01)
        task_id = await submit(emulator)
        (row,) = await waiting

    assert task_id == row.task_id


async def test_the_last_10000_deliveries_are_kept() -> None:
    """Older ones are dropped, and iterating yields those that are kept."""
    log = WebhookLog()
    for number in range(10_005):
        log.add(WebhookDelivery(provider="hiapi", task_id=str(number), url="http://host", attempt=1))
    log.close()

    assert 10_000 == len(log)
    assert [str(number) for number in range(5, 10_005)] == [row.task_id async for row in log]


def test_events_urls_of_a_provider_without_events_is_a_configuration_error() -> None:
    """The error names the providers whose events are set up outside the API."""

    async def enter() -> None:
        async with Emulator(events_urls={"hiapi": "http://127.0.0.1/"}):
            raise AssertionError

    with pytest.raises(ConfigurationError, match="known: dashscope"):
        asyncio.run(enter())
