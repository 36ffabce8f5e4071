"""A signal ends a command at whatever moment it arrives."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from happyhorse_async.cli.signals import run_interruptibly

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signal to a thread")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_interrupts_no_system_call_wakes_the_event_loop(number: signal.Signals) -> None:
    """One that arrives just before the loop begins to wait does not; neither does one that another thread receives."""

    def receive() -> None:
        time.sleep(0.05)
        signal.pthread_kill(threading.get_ident(), number)

    async def work() -> None:
        threading.Thread(target=receive).start()
        await asyncio.sleep(20)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_interruptibly(work())

    assert time.monotonic() - began < 20


def handlers() -> list[Callable[..., Any] | int | None]:
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_the_handlers_of_before_are_back_afterwards() -> None:
    """A program that runs a command keeps its own."""
    before = handlers()

    async def work() -> list[Callable[..., Any] | int | None]:
        return handlers()

    during = run_interruptibly(work())

    assert not set(before) & set(during)
    assert before == handlers()
