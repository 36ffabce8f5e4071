"""
CPU time of importing the library, compared with aiohttp, which it imports only when a client is opened.

    python benchmarks/imports.py
"""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
from typing import Any

_CODE = "import time; began = time.process_time(); import {}; print(time.process_time() - began)"
NAMES = ("aiohttp", "happyhorse_async", "asyncio, attrs, cattrs", "dashscope")


def measure(*, rounds: int) -> dict[str, Any]:
    """Import each in a new interpreter, alternating, *rounds* times after one that fills the caches."""
    times: dict[str, list[float]] = {name: [] for name in NAMES if importlib.util.find_spec(name.split(",")[0])}
    for number in range(rounds + 1):
        for name, spent in times.items():
            command = [sys.executable, "-c", _CODE.format(name)]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            if number:
                spent.append(float(printed))
    pairs = zip(times["happyhorse_async"], times["aiohttp"], strict=True)
    return {
        "milliseconds": {name: round(statistics.median(found) * 1000, 1) for name, found in times.items()},
        "ratio": round(statistics.median(ours / theirs for ours, theirs in pairs), 3),
    }


def main() -> None:
    found = measure(rounds=15)
    for name, milliseconds in found["milliseconds"].items():
        print(f"import {name:18} {milliseconds:7.1f} ms")
    print(f"happyhorse_async to aiohttp {found['ratio']:.2f}")


if __name__ == "__main__":
    main()
