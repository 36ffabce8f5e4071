"""
A thousand jobs of 6 s at once, looked at every second.

    python benchmarks/thousand.py
"""

from __future__ import annotations

import statistics
from typing import Any

import happyhorse_async as hh
from contestants import Contestant, FixedInterval, Library, VendorAsync
from limits import unlimited
from loads import Job, Load
from race import Run, race

COUNT = 1000
CONTESTANTS: dict[str, Contestant] = {
    "bare aiohttp": FixedInterval(1.0, per_second=None, jitter=0.1),
    # The library lets no more unprotected submits be on their way together, for the sake of a crash.
    "bare aiohttp, 4 submits at once": FixedInterval(1.0, per_second=None, jitter=0.1, submits_at_once=4),
    "happyhorse_async": Library(hh.PollSchedule(interval=1.0, jitter=0.1), unlimited),
    "dashscope 2, class API": VendorAsync(),
}


def measure(*, rounds: int, count: int = COUNT) -> dict[str, Any]:
    """Let all carry the same load in turn, *rounds* times."""
    load = Load(tuple(Job(0.0, 6.0) for _ in range(count)), patience=120)
    runs: dict[str, list[Run]] = {name: [] for name in CONTESTANTS}
    for _ in range(rounds):
        for name, contestant in CONTESTANTS.items():
            runs[name].append(race(contestant, load, per_second=None))
    return {
        "count": count,
        "contestants": {name: _summary(found, runs["bare aiohttp"]) for name, found in runs.items()},
    }


def _summary(runs: list[Run], floor: list[Run]) -> dict[str, float]:
    pairs = list(zip(runs, floor, strict=True))
    return {
        "wall_s": round(statistics.median(run.wall for run in runs), 2),
        "cpu_s": round(statistics.median(run.cpu for run in runs), 2),
        "wall_ratio": round(statistics.median(run.wall / bare.wall for run, bare in pairs), 3),
        "cpu_ratio": round(statistics.median(run.cpu / bare.cpu for run, bare in pairs), 2),
        "requests_per_job": round(statistics.median(run.figures().requests_per_job for run in runs), 2),
        "lost": max(len(run.notices.lost) for run in runs),
    }


def main() -> None:
    for name, found in measure(rounds=3)["contestants"].items():
        print(f"{name:24} " + "  ".join(f"{what} {figure:g}" for what, figure in found.items()))


if __name__ == "__main__":
    main()
