"""
Test support for users and for authors of adapters. Needs pytest.

`AdapterContract` is the suite that every adapter has to pass. The fixtures that run the emulator are in
`happyhorse_async.pytest_plugin`, which registers itself.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{module}" for module in ("contract", "replies", "round_trip", "sample_answers", "subject"))
)

from .contract import AdapterContract as AdapterContract  # noqa: E402 - imported after the rewriting of its asserts is registered

__all__ = ["AdapterContract"]
