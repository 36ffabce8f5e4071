"""Unreadable responses: they make the outcome of a submit unknown, and never cost a task its video."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import happyhorse_async as hh
from happyhorse_async.registry import adapter_names

if TYPE_CHECKING:
    from conftest import Open

REQUEST = hh.TextToVideo("a train at night", resolution="720P", duration=3)
PROVIDERS = adapter_names()
# HiAPI accepts idempotency keys.
UNPROTECTED = ("dashscope", "imini", "nexusflow")

# After each of these the outcome of a submit is unknown.
UNREADABLE = [
    pytest.param("reset-before-answer", marks=pytest.mark.fault(6)),
    pytest.param("reset-in-head", marks=pytest.mark.fault(7)),
    pytest.param("reset-in-body", marks=pytest.mark.fault(8)),
    pytest.param("close-before-answer", marks=pytest.mark.fault(10)),
    pytest.param("hang", marks=pytest.mark.fault(11)),
    pytest.param("trickle", marks=pytest.mark.fault(12)),
    pytest.param("half-json", marks=pytest.mark.fault(13)),
    pytest.param("empty-200", marks=pytest.mark.fault(14)),
    pytest.param("empty-204", marks=pytest.mark.fault(14)),
    pytest.param("html-502", marks=pytest.mark.fault(15)),
    pytest.param("html-200", marks=pytest.mark.fault(16)),
    pytest.param("not-http", marks=pytest.mark.fault(17)),
    pytest.param("long-header", marks=pytest.mark.fault(17)),
    pytest.param("two-lengths", marks=pytest.mark.fault(17)),
    pytest.param("cut-chunk", marks=pytest.mark.fault(18)),
    pytest.param("huge-json", marks=pytest.mark.fault(19)),
    pytest.param("gzip-bomb", marks=pytest.mark.fault(20)),
    pytest.param("deep-json", marks=pytest.mark.fault(21)),
    pytest.param("bad-utf-8", marks=pytest.mark.fault(22)),
    pytest.param("byte-order-mark", marks=pytest.mark.fault(22)),
    pytest.param("utf-16", marks=pytest.mark.fault(22)),
    pytest.param("lone-surrogate", marks=pytest.mark.fault(22)),
    pytest.param("nan", marks=pytest.mark.fault(22)),
    pytest.param("infinite-number", marks=pytest.mark.fault(22)),
    pytest.param("long-number", marks=pytest.mark.fault(22)),
    pytest.param("timeout-408", marks=pytest.mark.fault(27)),
    pytest.param("broken-500", marks=pytest.mark.fault(35)),
    pytest.param("gateway-502", marks=pytest.mark.fault(36)),
    pytest.param("gateway-504", marks=pytest.mark.fault(36)),
    pytest.param("html-503", marks=pytest.mark.fault(37)),
    pytest.param("html-444", marks=pytest.mark.fault(96)),
    pytest.param("html-460", marks=pytest.mark.fault(96)),
    pytest.param("html-499", marks=pytest.mark.fault(96)),
]
LOST = [
    *UNREADABLE,
    pytest.param("stale-connection", marks=pytest.mark.fault(9)),
]
# A poll can be repeated after every error, and after a response that cannot be true.
JUNK = [
    *UNREADABLE,
    pytest.param("html-400", marks=pytest.mark.fault(95)),
    pytest.param("html-401", marks=pytest.mark.fault(95)),
    pytest.param("html-403", marks=pytest.mark.fault(95)),
    pytest.param("html-404", marks=pytest.mark.fault(95)),
    pytest.param("html-405", marks=pytest.mark.fault(95)),
    pytest.param("gateway-json-404", marks=pytest.mark.fault(95)),
    pytest.param("too-early", marks=pytest.mark.fault(30)),
    pytest.param("too-fast", marks=pytest.mark.fault(31)),
    pytest.param("too-fast-seconds", marks=pytest.mark.fault(32)),
    pytest.param("too-fast-date", marks=pytest.mark.fault(33)),
    pytest.param("too-fast-past", marks=pytest.mark.fault(33)),
    pytest.param("too-fast-absurd", marks=pytest.mark.fault(33)),
    pytest.param("too-fast-negative", marks=pytest.mark.fault(33)),
    pytest.param("too-fast-garbage", marks=pytest.mark.fault(33)),
    pytest.param("unavailable-503", marks=pytest.mark.fault(37)),
    pytest.param("error-in-200", marks=pytest.mark.fault(38)),
    pytest.param("redirect", marks=pytest.mark.fault(42)),
    pytest.param("redirect-302", marks=pytest.mark.fault(42)),
    pytest.param("unknown-status", marks=pytest.mark.fault(55)),
    pytest.param("vanished", marks=pytest.mark.fault(58)),
    pytest.param("never-ending", marks=pytest.mark.fault(60)),
    pytest.param("no-video", marks=pytest.mark.fault(61)),
    pytest.param("empty-url", marks=pytest.mark.fault(61)),
    pytest.param("other-task", marks=pytest.mark.fault(63)),
]


@pytest.mark.fault(39)
@pytest.mark.parametrize("fault", LOST)
async def test_an_unreadable_response_makes_the_outcome_unknown(
    emulator: hh.Emulator, opened: Open, fault: str
) -> None:
    """Without an idempotency key the request is sent once, and its job is marked as unknown."""

    async def lose(provider: str) -> None:
        emulator.inject(fault, on="submit", provider=provider)
        async with opened(provider) as client:
            with pytest.raises(hh.SubmitOutcomeUnknownError) as caught:
                await client.submit(REQUEST)
            pending = await client.pending()

        assert [(caught.value.job_id, hh.JobState.OUTCOME_UNKNOWN)] == [(job.job_id, job.state) for job in pending]
        assert 1 == emulator.calls("submit", provider=provider)
        assert emulator.billed(provider) <= 1

    await asyncio.gather(*map(lose, UNPROTECTED))


@pytest.mark.fault(39)
@pytest.mark.parametrize("fault", LOST)
async def test_an_unreadable_response_is_repeated_with_the_idempotency_key(
    emulator: hh.Emulator, opened: Open, fault: str
) -> None:
    """The second request brings the task that was paid for."""
    emulator.inject(fault, on="submit")

    async with opened("hiapi") as client:
        task = await client.generate(REQUEST)

        assert [] == await client.pending()
    assert hh.TaskStatus.SUCCEEDED is task.status
    assert 2 == emulator.calls("submit")
    assert 1 == emulator.billed()


@pytest.mark.parametrize("fault", JUNK)
async def test_unreadable_polls_do_not_end_the_wait(emulator: hh.Emulator, opened: Open, fault: str) -> None:
    """After three of them in a row the video comes, and no submit is repeated."""

    async def generate(provider: str) -> None:
        injection = emulator.inject(fault, on=("query", "list"), provider=provider, times=3)
        async with opened(provider) as client:
            task = await client.generate(REQUEST)

        assert task.video_url
        assert 3 == injection.applied
        assert 1 == emulator.calls("submit", provider=provider) == emulator.billed(provider)

    await asyncio.gather(*map(generate, PROVIDERS))
