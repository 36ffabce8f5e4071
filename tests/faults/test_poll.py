"""Faults of a look at a task: none of them ends the waiting for a video that was paid for."""

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
LOOKS = ("query", "list")


@pytest.mark.fault(8)
async def test_a_look_that_breaks_off_after_all_that_matters(emulator: hh.Emulator, opened: Open) -> None:
    """A whole object is a whole answer, also where the connection breaks before the body's announced end."""

    async def look(provider: str) -> None:
        injection = emulator.inject("cut-after-object", on=LOOKS, provider=provider, times=None)
        async with opened(provider) as client:
            task = await client.generate(REQUEST)

        assert task.video_url
        assert injection.played

    await asyncio.gather(*map(look, PROVIDERS))


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
async def test_a_list_that_says_nothing(emulator: hh.Emulator, opened: Open, provider: str, fault: str) -> None:
    """Where a list stands for many looks and is always wrong, every video comes all the same."""
    injection = emulator.inject(fault, on="list", times=None)

    async with opened(provider) as client:
        handles = [await client.submit(REQUEST) for _ in range(20)]
        tasks = [await handle for handle in handles]

    assert injection.played
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
async def test_a_key_that_is_refused(
    emulator: hh.Emulator, opened: Open, provider: str, fault: str, expected: type[hh.HappyHorseError]
) -> None:
    """What will not heal ends the waiting with the task's ref, by which a client with a good key gets the video."""
    revoked = emulator.inject(fault, on=LOOKS, times=None)
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
async def test_a_wish_is_kept(emulator: hh.Emulator, opened: Open) -> None:
    """After a 429 that names a time no look comes before it."""
    loop = asyncio.get_running_loop()
    injection = emulator.inject("too-fast-absurd", on=LOOKS)

    async with opened("imini") as client:
        handle = await client.submit(REQUEST)
        await injection.until()
        began = loop.time()
        await handle

    assert 300 <= loop.time() - began <= 400


@pytest.mark.fault(34)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_hour_of_refusals(emulator: hh.Emulator, opened: Open, provider: str) -> None:
    """A provider that refuses every look for an hour is asked less and less, and the task goes on."""
    refusals = emulator.inject("too-fast", on=LOOKS, times=None)

    async with opened(provider) as client:
        handle = await client.submit(REQUEST)
        with pytest.raises(hh.WaitTimeoutError):
            await handle.wait(timeout=3600)
        asked = refusals.played
        refusals.remove()
        task = await handle

    assert task.video_url
    # Once in half a minute, and a few at the beginning.
    assert 60 <= asked <= 240


@pytest.mark.fault(54)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_server_whose_clock_is_wrong(emulator: hh.Emulator, opened: Open, provider: str) -> None:
    """The date that a server gives itself moves neither a look nor the end of a task."""
    emulator.inject("wrong-clock", times=None)
    loop = asyncio.get_running_loop()
    began = loop.time()

    async with opened(provider, poll=hh.PollSchedule(interval=10, jitter=0)) as client:
        await client.generate(REQUEST)

    assert 10 <= loop.time() - began <= 12
