"""Ctrl-C and SIGTERM cancel the task that runs the command."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_interruptibly(work: Coroutine[Any, Any, T]) -> T:
    """
    Run *work* in a new event loop. A stop signal cancels it; a second one also cancels its clean-up.

    :raises KeyboardInterrupt: a signal ended it.
    """
    with asyncio.Runner() as runner:
        loop = runner.get_loop()

        async def main() -> T:
            worker = asyncio.current_task()
            assert worker is not None
            with _on_signal(loop, worker.cancel):
                return await work

        try:
            return runner.run(main())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


@contextmanager
def _on_signal(loop: asyncio.AbstractEventLoop, act: Callable[[], object]) -> Generator[None]:
    previous: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        # A signal that the parent process has set to ignore, as nohup does, stays ignored.
        previous = {number: old for number in _SIGNALS if (old := signal.getsignal(number)) is not signal.SIG_IGN}
    for number in previous:
        _add_handler(loop, number, act)
    try:
        yield
    finally:
        for number, old in previous.items():
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, old)


def _add_handler(loop: asyncio.AbstractEventLoop, number: signal.Signals, act: Callable[[], object]) -> None:
    # A handler of `signal.signal` does not wake the loop: a signal that arrives just before it begins to wait would be
    # noticed only when something else happens.
    try:
        loop.add_signal_handler(number, act)
    except NotImplementedError:
        # Windows, where each signal wakes the loop.
        def handle(_number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(act)

        signal.signal(number, handle)
