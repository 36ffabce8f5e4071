"""
A pytest plugin with an emulator that plays every provider.

Put `pytest_plugins = ["happyhorse_async.testing.plugin"]` into the `conftest.py` at the root of the tests:

```python
async def test_a_video_is_made(happyhorse_emulator):
    async with hh.Client("hiapi", api_key="any", base_url=happyhorse_emulator.url("hiapi")) as client:
        task = await client.generate(hh.TextToVideo("a kite"))
```

The fixture itself is synchronous: it goes with any plugin for asynchronous tests, and with tests that need none. What
the emulator is made with, such as a scenario, is told by overriding `happyhorse_emulator_options`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from ..emulator import Emulator


@pytest.fixture
def happyhorse_emulator_options() -> Mapping[str, Any]:
    """Say what the emulator is made with: ten emulated minutes in a second."""
    return {"speed": 600.0}


@pytest.fixture
def happyhorse_emulator(happyhorse_emulator_options: Mapping[str, Any]) -> Iterator[Emulator]:
    """Run an emulator for one test, in a thread of its own."""
    emulator = Emulator(**happyhorse_emulator_options)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(emulator):
        yield emulator
