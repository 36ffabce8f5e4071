"""Compares the bill of a task with its request, as far as both are known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from attrs import frozen

from .task import Usage

# A video consists of whole frames, so its length differs from the requested one by some hundredths of a second.
_FRAMES = 0.1


@frozen(kw_only=True)
class ExpectedUsage:
    """What the price of a task depends on, as it was requested. `None`: not known, or left to the provider."""

    duration: float | None = None
    """Seconds."""
    resolution: str | None = None
    """The tier, written `"720P"`."""
    ratio: str | None = None
    """Aspect ratio, such as `"16:9"`."""

    def differences(self, usage: Usage) -> list[str]:
        """Return the differences between *usage* and the request, each in a few words."""
        found: list[str] = []
        billed, asked = usage.duration, self.duration
        if billed is not None and asked is not None and not math.isclose(billed, asked, rel_tol=0.0, abs_tol=_FRAMES):
            found.append(f"{billed:g} s instead of {asked:g} s")
        for billed_text, asked_text in ((usage.resolution, self.resolution), (usage.ratio, self.ratio)):
            if billed_text and asked_text and billed_text != asked_text:
                found.append(f"{billed_text} instead of {asked_text}")
        if usage.count is not None and usage.count > 1:
            found.append(f"{usage.count} videos instead of 1")
        return found


@lru_cache(maxsize=1000)
def _expected_usage(duration: float | None, resolution: str | None, ratio: str | None) -> ExpectedUsage:
    # Every waiting task holds one, and few of them differ: equal ones are shared.
    return ExpectedUsage(duration=duration, resolution=resolution, ratio=ratio)


def expected_usage(request: Mapping[str, Any] | None) -> ExpectedUsage:
    """Return the usage to expect for a request in plain data; empty if the request has been erased."""
    given = request or {}
    return _expected_usage(given.get("duration"), given.get("resolution"), given.get("ratio"))
