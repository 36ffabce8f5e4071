"""
What users and authors of adapters import in their tests. Needs pytest.

`AdapterContract` is the suite that every adapter has to pass. The fixtures that run the emulator are in
`happyhorse_async.pytest_plugin`, which registers itself.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in ("answers", "contract", "roundtrip")))

from .contract import AdapterContract as AdapterContract  # noqa: E402 - after its asserts were told to explain themselves

__all__ = ["AdapterContract"]
