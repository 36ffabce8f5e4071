"""
The pytest plugin: an emulator of every provider, and a client of it. It is active wherever this library is installed.

```python
async def test_a_video_is_made(happyhorse_client):
    async with happyhorse_client as client:
        task = await client.generate(hh.TextToVideo("a kite"))
```

The fixtures are synchronous: they work with every plugin for asynchronous tests, and for tests without one. Override
`happyhorse_emulator_options` and `happyhorse_client_options` to change their arguments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .client import Client
    from .emulator import Emulator

_POLL_INTERVAL = 0.05
"""Seconds. At the speed of the fixture's emulator it is half an emulated minute."""


@pytest.fixture
def happyhorse_emulator_options() -> Mapping[str, Any]:
    """Return the arguments of the emulator: one second is ten emulated minutes."""
    return {"speed": 600.0}


@pytest.fixture
def happyhorse_emulator(happyhorse_emulator_options: Mapping[str, Any]) -> Iterator[Emulator]:
    """Run an emulator for one test, in a thread of its own."""
    # Every run of pytest loads the plugin, even if it uses no fixture of it.
    from anyio.from_thread import start_blocking_portal  # noqa: PLC0415

    from .emulator import Emulator  # noqa: PLC0415

    emulator = Emulator(**happyhorse_emulator_options)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(emulator):
        yield emulator


@pytest.fixture
def happyhorse_client_options() -> Mapping[str, Any]:
    """Return the arguments of the client beside its base URL and its key: the provider, by default DashScope."""
    return {"provider": "dashscope"}


@pytest.fixture
def happyhorse_client(happyhorse_emulator: Emulator, happyhorse_client_options: Mapping[str, Any]) -> Client:
    """Return a client of the emulator that is not open yet: open it with `async with` in the test."""
    from .client import Client  # noqa: PLC0415
    from .timing import PollSchedule  # noqa: PLC0415

    options = dict(happyhorse_client_options)
    provider = options.pop("provider", "dashscope")
    defaults: dict[str, Any] = {
        "api_key": "emulator",
        "base_url": happyhorse_emulator.url(provider),
        "poll": PollSchedule(interval=_POLL_INTERVAL),
    }
    return Client(provider, **{**defaults, **options})
