"""All emulated providers with faults, over real HTTP, on an event loop that skips idle time."""

from __future__ import annotations

import asyncio
import logging
import selectors
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from queue import Queue
from typing import Any

import pytest

import happyhorse_async as hh

KEY = "sk-canary-of-the-emulator"

Open = Callable[..., AbstractAsyncContextManager[hh.Client]]

# Client and emulator share this loop, so that written data arrives at once.
_GRACE = 0.002


class _Clock(selectors.DefaultSelector):
    """Waits for the network for a moment, and skips the rest of the time until the next timer."""

    skipped = 0.0
    working = 0
    """How much the threads of the loop's executor have to do."""

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or timeout <= _GRACE:
            return super().select(timeout)
        events = super().select(_GRACE)
        # On a busy machine, what a thread does may take longer than any grace.
        if not events and not self.working and not _threads_work():
            self.skipped += timeout - _GRACE
        return events


def _threads_work() -> bool:
    """Return whether a worker thread has work to do: those of AnyIO take it from a queue of their own."""
    queues = [getattr(thread, "queue", None) for thread in threading.enumerate()]
    return any(queue.unfinished_tasks for queue in queues if isinstance(queue, Queue))


class ImpatientLoop(asyncio.SelectorEventLoop):
    """An event loop that skips idle time. The network is real."""

    def __init__(self) -> None:
        self._clock = _Clock()
        super().__init__(self._clock)

    def run_in_executor(self, *args: Any) -> Any:
        work = super().run_in_executor(*args)
        self._clock.working += 1
        work.add_done_callback(self._done)
        return work

    def _done(self, _: object) -> None:
        self._clock.working -= 1

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        # The limit that Python 3.12 and newer set for it would be skipped like all other time.
        await super().shutdown_default_executor()

    def time(self) -> float:
        return super().time() + self._clock.skipped


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], Any]]:
    """Run every test of this folder on such a loop."""
    return {"impatient": ImpatientLoop}


@pytest.fixture(autouse=True)
def no_secret_in_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check that the log shows neither the key nor a signature."""
    caplog.set_level(logging.DEBUG)
    yield
    shown = "".join(record.getMessage() for when in ("setup", "call") for record in caplog.get_records(when))
    assert KEY not in shown
    assert "Signature=" not in shown


@pytest.fixture
async def emulator() -> AsyncIterator[hh.Emulator]:
    """Serve all providers. Every task has succeeded by the first poll."""
    scenario = hh.Scenario(choose=lambda request, number: hh.SimulatedTask(queue=0, run=0))
    async with hh.Emulator(speed=1, scenario=scenario) as running:
        yield running


@pytest.fixture
def opened(emulator: hh.Emulator) -> Open:
    """Make clients of the emulated providers."""

    def opened(provider: str, **options: Any) -> AbstractAsyncContextManager[hh.Client]:
        settings = {"api_key": KEY, "base_url": emulator.url(provider), **options}
        return hh.Client(provider, **settings)

    return opened
