"""Waits for a condition across threads and event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress


class Notifier:
    """
    Wakes coroutines that wait for a condition.

    An emulator may run in another thread than the test that waits for it, and the test may have several event loops.
    """

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until *condition* is true. It is checked again after each `notify`."""
        while not condition():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                # A notification between the first check and add() would be lost.
                if not condition():
                    await waiter
            finally:
                self._waiters.discard(waiter)

    def notify(self) -> None:
        """Let every waiter check its condition. May be called from any thread."""
        for waiter in tuple(self._waiters):
            # The loop of a waiter may be closed by now.
            with suppress(RuntimeError):
                waiter.get_loop().call_soon_threadsafe(_settle, waiter)


def _settle(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
