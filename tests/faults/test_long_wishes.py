"""A provider that asks for more than five minutes: whoever can be told is told, and nothing paid is given up."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

import happyhorse_async as hh
from happyhorse_async.registry import adapter_names

if TYPE_CHECKING:
    from conftest import Open

pytestmark = pytest.mark.fault(32)

REQUEST = hh.TextToVideo("a train at night", resolution="720P", duration=3)
PROVIDERS = adapter_names()
AN_HOUR = 3600.0


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings about a wish that is too long."""
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_submit(emulator: hh.Emulator, opened: Open, provider: str) -> None:
    """Who waits for a submit is told at once, with the time; nothing was taken, and the key is free for another try."""
    emulator.inject("too-fast-hour", on="submit")
    loop = asyncio.get_running_loop()
    began = loop.time()

    async with opened(provider) as client:
        with pytest.raises(hh.RateLimitError) as caught:
            await client.submit(REQUEST, key="order-1")
        lasted = loop.time() - began
        pending = await client.pending()
        refused = emulator.calls("submit"), emulator.billed()
        handle = await client.submit(REQUEST, key="order-1")

    assert AN_HOUR == caught.value.retry_after
    assert lasted < 10
    assert ([], (1, 0)) == (pending, refused)
    assert handle.job_id != caught.value.job_id
    assert 1 == emulator.billed()


async def test_a_job_that_is_enqueued(emulator: hh.Emulator, opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    """What was promised to be sent is sent after five minutes, and a warning tells of it."""
    emulator.inject("too-fast-hour", on="submit")
    loop = asyncio.get_running_loop()
    began = loop.time()

    async with opened("dashscope") as client:
        await (await client.enqueue(REQUEST))

    assert 300 <= loop.time() - began <= 400
    assert (2, 1) == (emulator.calls("submit"), emulator.billed())
    assert 1 == len([message for message in warned(caplog) if "no submits for 3600 s" in message])


async def test_a_submit_that_may_have_been_taken(emulator: hh.Emulator, opened: Open) -> None:
    """A submit whose answer was lost is sent again with its key after five minutes, and paid once."""
    emulator.inject("reset-before-answer", on="submit")
    emulator.inject("too-fast-hour", on="submit")

    async with opened("hiapi") as client:
        await client.submit(REQUEST)

    assert (3, 1) == (emulator.calls("submit"), emulator.billed())


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_look(emulator: hh.Emulator, opened: Open, provider: str, caplog: pytest.LogCaptureFixture) -> None:
    """A task is looked at again after five minutes; its waiter gets the video, and a warning tells why so late."""
    injection = emulator.inject("too-fast-hour", on=("query", "list"))
    loop = asyncio.get_running_loop()

    async with opened(provider) as client:
        handle = await client.submit(REQUEST)
        await injection.until()
        began = loop.time()
        task = await handle

    assert task.video_url
    assert 300 <= loop.time() - began <= 400
    assert 1 == len([message for message in warned(caplog) if "no queries for 3600 s" in message])


async def test_one_look(emulator: hh.Emulator, opened: Open) -> None:
    """One look that is refused is an error with the time."""
    emulator.inject("too-fast-hour", on="query")

    async with opened("dashscope") as client:
        with pytest.raises(hh.RateLimitError) as caught:
            await client.fetch("dashscope:0385dc79-5ff8-4d82-bcb6-000000000000")

    assert AN_HOUR == caught.value.retry_after
