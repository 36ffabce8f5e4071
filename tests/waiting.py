"""Wait for what a test expects to happen, however busy the machine is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable

import happyhorse_async as hh

PATIENCE = 100.0
"""A hang ends after so many seconds. It says nothing of how long something may take."""


async def until(condition: Callable[[], object | Awaitable[object]], pause: float = 0.01) -> None:
    """Return once *condition*, which may be a coroutine function, is true. It is asked every *pause* seconds."""
    async with asyncio.timeout(PATIENCE):
        while not await _value(condition()):
            await asyncio.sleep(pause)


async def until_pending(client: hh.Client, *states: str) -> None:
    """Wait until the jobs that *client* shows as pending are in these states."""

    async def are_so() -> bool:
        return [*states] == [job.state for job in await client.pending()]

    await until(are_so)


async def _value(found: object | Awaitable[object]) -> object:
    return await found if isawaitable(found) else found
