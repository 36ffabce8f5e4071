"""Faults of a status request: none of them ends the wait for a paid video."""

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
POLLS = ("query", "list")


@pytest.mark.fault(8)
async def test_a_poll_that_is_cut_after_the_whole_object_counts(emulator: hh.Emulator, opened: Open) -> None:
    """A complete object is a complete response, though the connection breaks before the announced end."""

    async def generate(provider: str) -> None:
        injection = emulator.inject("cut-after-object", on=POLLS, provider=provider, times=None)
        async with opened(provider) as client:
            task = await client.generate(REQUEST)

        assert task.video_url
        assert injection.applied

    await asyncio.gather(*map(generate, PROVIDERS))


LISTS = [
    pytest.param("reset-in-body", marks=pytest.mark.fault(8)),
    pytest.param("hang", marks=pytest.mark.fault(11)),
    pytest.param("half-json", marks=pytest.mark.fault(13)),
    pytest.param("html-200", marks=pytest.mark.fault(16)),
    pytest.param("huge-json", marks=pytest.mark.fault(19)),
    pytest.param("forbidden", marks=pytest.mark.fault(24)),
    pytest.param("broken-500", marks=pytest.mark.fault(35)),
    pytest.param("redirect", marks=pytest.mark.fault(42)),
    pytest.param("unknown-status", marks=pytest.mark.fault(55)),
    pytest.param("bare-task", marks=pytest.mark.fault(56)),
    pytest.param("text-numbers", marks=pytest.mark.fault(57)),
    pytest.param("vanished", marks=pytest.mark.fault(58)),
    pytest.param("back-to-pending", marks=pytest.mark.fault(59)),
    pytest.param("never-ending", marks=pytest.mark.fault(60)),
    pytest.param("empty-url", marks=pytest.mark.fault(61)),
    pytest.param("other-task", marks=pytest.mark.fault(63)),
]


@pytest.mark.parametrize("provider", ["dashscope", "hiapi"])
@pytest.mark.parametrize("fault", LISTS)
async def test_broken_lists_do_not_keep_videos_from_coming(
    emulator: hh.Emulator, opened: Open, provider: str, fault: str
) -> None:
    """Where a list replaces many polls and is always broken, every video comes all the same."""
    injection = emulator.inject(fault, on="list", times=None)

    async with opened(provider) as client:
        handles = [await client.submit(REQUEST) for _ in range(20)]
        tasks = [await handle for handle in handles]

    assert injection.applied
    assert all(task.video_url for task in tasks)
    assert 20 == len({task.id for task in tasks}) == emulator.billed()


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        pytest.param("wrong-key", hh.AuthenticationError, marks=pytest.mark.fault(24, 94)),
        pytest.param("forbidden", hh.PermissionDeniedError, marks=pytest.mark.fault(24)),
        pytest.param("no-money", hh.QuotaExceededError, marks=pytest.mark.fault(25)),
    ],
)
async def test_a_refused_key_ends_the_wait_and_a_good_one_resumes_it(
    emulator: hh.Emulator, opened: Open, provider: str, fault: str, expected: type[hh.HappyHorseError]
) -> None:
    """The error has the ref of the task, with which a client with a good key gets the video."""
    revoked = emulator.inject(fault, on=POLLS, times=None)
    async with opened(provider) as client:
        handle = await client.submit(REQUEST)
        with pytest.raises(expected) as caught:
            await handle
    assert handle.ref == caught.value.ref
    revoked.remove()

    async with opened(provider) as client:
        task = await client.resume(str(handle.ref))

    assert task.video_url
    assert 1 == emulator.calls("submit")


@pytest.mark.fault(33)
async def test_no_poll_comes_before_the_retry_after_of_a_429(emulator: hh.Emulator, opened: Open) -> None:
    """A `Retry-After` of more than five minutes counts as five minutes."""
    loop = asyncio.get_running_loop()
    injection = emulator.inject("too-fast-absurd", on=POLLS)

    async with opened("imini") as client:
        handle = await client.submit(REQUEST)
        await injection.until()
        began = loop.time()
        await handle

    assert 300 <= loop.time() - began <= 400


@pytest.mark.fault(34)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_hour_of_429_slows_polling_and_fails_no_task(
    emulator: hh.Emulator, opened: Open, provider: str
) -> None:
    """Polls become rarer, and the task goes on."""
    refusals = emulator.inject("too-fast", on=POLLS, times=None)

    async with opened(provider) as client:
        handle = await client.submit(REQUEST)
        with pytest.raises(hh.WaitTimeoutError):
            await handle.wait(timeout=3600)
        polls = refusals.applied
        refusals.remove()
        task = await handle

    assert task.video_url
    # Once in half a minute, and some more at the beginning.
    assert 60 <= polls <= 240


@pytest.mark.fault(54)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_wrong_server_clock_moves_no_poll(emulator: hh.Emulator, opened: Open, provider: str) -> None:
    """The server's `Date` moves neither a poll nor the end of a task."""
    emulator.inject("wrong-clock", times=None)
    loop = asyncio.get_running_loop()
    began = loop.time()

    async with opened(provider, poll=hh.PollSchedule(interval=10, jitter=0)) as client:
        await client.generate(REQUEST)

    assert 10 <= loop.time() - began <= 12
