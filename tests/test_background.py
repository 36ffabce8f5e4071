"""The tasks of the event loop that a client owns."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from happyhorse_async.background import Background, for_each_yielding


async def test_work_runs_by_itself() -> None:
    """What is spawned runs without being awaited, and its result is there for whoever awaits it."""
    background = Background()
    begun = asyncio.Event()

    async def work() -> str:
        begun.set()
        return "done"

    task = background.spawn(work())

    assert background
    await begun.wait()
    assert "done" == await task
    await asyncio.sleep(0)
    assert not background


async def test_an_empty_background_is_closed_at_once() -> None:
    """Settling and closing take no time where nothing runs."""
    background = Background()
    async with asyncio.timeout(20):
        await background.settle(100)
        await background.aclose()

    assert not background


async def test_settling_waits_for_the_end() -> None:
    """Settling lasts as long as the work, where that is less than the grace."""
    background = Background()
    tasks = [background.spawn(asyncio.sleep(seconds)) for seconds in (0.001, 0.01)]
    async with asyncio.timeout(20):
        await background.settle(100)

    assert all(task.done() for task in tasks)


async def test_settling_has_a_limit() -> None:
    """Settling lasts no longer than the grace, and leaves alone what still runs."""
    background = Background()
    end = asyncio.Event()
    task = background.spawn(end.wait())
    async with asyncio.timeout(20):
        await background.settle(0.001)

    assert not task.done()
    end.set()
    assert await task


async def test_closing_cancels_and_waits() -> None:
    """Closing cancels what runs and returns only when it has cleaned up after itself."""
    background = Background()
    cleaned = False

    async def work() -> None:
        nonlocal cleaned
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.001)
            cleaned = True

    task = background.spawn(work())
    await asyncio.sleep(0)
    await background.aclose()

    assert cleaned
    assert task.cancelled()
    assert not background


async def test_a_failure_is_no_obstacle() -> None:
    """Work that fails while it is cancelled does not keep the rest from being closed."""
    background = Background()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise KeyError

    failing, other = background.spawn(work()), background.spawn(asyncio.Event().wait())
    await asyncio.sleep(0)
    await background.aclose()

    assert isinstance(failing.exception(), KeyError)
    assert other.cancelled()


async def test_what_is_spawned_while_closing() -> None:
    """Work that spawns more on its way out takes that along: nothing outlives the client."""
    background = Background()
    late: list[asyncio.Task[bool]] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            late.append(background.spawn(asyncio.Event().wait()))

    background.spawn(work())
    await asyncio.sleep(0)
    await background.aclose()

    assert late[0].cancelled()
    assert not background


async def test_others_have_turns_in_between() -> None:
    """However many calls there are to make, whoever else is ready runs before the last of them."""
    made: list[int] = []
    seen: list[int] = []

    async def look() -> None:
        while len(made) < 1000:
            seen.append(len(made))
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    await for_each_yielding(range(1000), made.append)
    await looking

    assert list(range(1000)) == made
    assert 5 < len(seen)


async def test_every_call_is_made_though_it_is_cancelled() -> None:
    """Who cancels the calls does not lose any."""
    made: list[int] = []
    calling = asyncio.create_task(for_each_yielding(range(1000), made.append))
    await asyncio.sleep(0)
    early = len(made)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling

    assert 0 < early < 1000
    assert list(range(1000)) == made


@pytest.mark.parametrize(("follows_caller", "seen"), [(False, "the application"), (True, "the first request")])
async def test_context_variables(follows_caller: bool, seen: str) -> None:
    """Shared work does not see, nor keep in memory, what belongs to the request that has started it."""
    current = ContextVar("current", default="none")
    current.set("the application")
    background = Background(follows_caller=follows_caller)

    async def work() -> str:
        return current.get()

    current.set("the first request")

    assert seen == await background.spawn(work())
