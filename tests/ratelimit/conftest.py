"""
An event loop in which sleeping takes no time and is exact, and clients without a network.

All tests of this folder run in it.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Mapping
from typing import Any

import pytest

import happyhorse_async as hh


class _Clock(selectors.DefaultSelector):
    """Where a selector would sleep, only the time of the loop advances."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "all tasks wait, and no timer is set"
            self.now += timeout
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Clock()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now

    def stand_still(self, seconds: float) -> None:
        """Let time pass in which nothing runs."""
        self._clock.now += seconds


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"virtual": _VirtualLoop}


_LEARNING = hh.PollSchedule()


@pytest.fixture
def client_of() -> Callable[..., hh.Client]:
    """Make clients of a provider that has `send` and `aclose`, as a transport has them."""

    def client_of(provider: Any, schedule: hh.PollSchedule = _LEARNING) -> hh.Client:
        return hh.Client("dashscope", api_key="sk-test", transport=provider, poll=schedule)

    return client_of
