"""A `Retry-After` of an hour: callers who wait for a submit get an error, everything else goes on later."""

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
    """Return the warnings of the log."""
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_submit_with_a_long_retry_after_is_a_rate_limit_error(
    emulator: hh.Emulator, opened: Open, provider: str
) -> None:
    """The error comes at once and has the time; nothing was accepted, and the key can be used again."""
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


async def test_an_enqueued_job_is_sent_after_five_minutes(
    emulator: hh.Emulator, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """An enqueued job waits five minutes at most, with one warning."""
    emulator.inject("too-fast-hour", on="submit")
    loop = asyncio.get_running_loop()
    began = loop.time()

    async with opened("dashscope") as client:
        await (await client.enqueue(REQUEST))

    assert 300 <= loop.time() - began <= 400
    assert (2, 1) == (emulator.calls("submit"), emulator.billed())
    assert 1 == len([message for message in warned(caplog) if "no submits for 3600 s" in message])


async def test_a_submit_with_a_lost_response_is_repeated_with_its_key_after_five_minutes(
    emulator: hh.Emulator, opened: Open
) -> None:
    """It may have been accepted, so that it is repeated with its idempotency key, and billed once."""
    emulator.inject("reset-before-answer", on="submit")
    emulator.inject("too-fast-hour", on="submit")

    async with opened("hiapi") as client:
        await client.submit(REQUEST)

    assert (3, 1) == (emulator.calls("submit"), emulator.billed())


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_poll_waits_five_minutes_at_most(
    emulator: hh.Emulator, opened: Open, provider: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The next poll comes after five minutes and brings the video, with one warning."""
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


async def test_a_fetch_with_a_long_retry_after_is_a_rate_limit_error(emulator: hh.Emulator, opened: Open) -> None:
    """The error has the time."""
    emulator.inject("too-fast-hour", on="query")

    async with opened("dashscope") as client:
        with pytest.raises(hh.RateLimitError) as caught:
            await client.fetch("dashscope:0385dc79-5ff8-4d82-bcb6-000000000000")

    assert AN_HOUR == caught.value.retry_after
