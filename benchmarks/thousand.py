"""
A thousand jobs of 6 s at once, looked at every second.

    python benchmarks/thousand.py
    python benchmarks/thousand.py --count 300 --rounds 1
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping
from typing import Any

import happyhorse_async as hh
from contestants import Contestant, FixedInterval, Library
from limits import unlimited
from loads import Job, Load
from peers import installed
from race import Run, race

COUNT = 1000
FLOOR, OURS = "bare aiohttp", "happyhorse_async"
CONTESTANTS: dict[str, Contestant] = {
    FLOOR: FixedInterval(1.0, per_second=None, jitter=0.1),
    # The library lets no more unprotected submits be on their way together, for the sake of a crash.
    "bare aiohttp, 4 submits at once": FixedInterval(1.0, per_second=None, jitter=0.1, max_concurrent_submits=4),
    OURS: Library(hh.PollSchedule(interval=1.0, jitter=0.1), unlimited),
}
# With a thousand jobs these need up to two minutes.
SLOW = ("dashscope, client API", "fal_client", "replicate", "runwayml", "lumaai + our loop")


def measure(*, rounds: int, count: int = COUNT, slow_count: int = COUNT) -> dict[str, Any]:
    """
    Let all carry the same load in turn, *rounds* times.

    :param slow_count: how many jobs the slow ones carry, and a floor and the library beside them. They do so once.
    """
    everybody = CONTESTANTS | installed()
    slow = {name: one for name, one in everybody.items() if name in SLOW or name in (FLOOR, OURS)}
    found = _carried({name: one for name, one in everybody.items() if name not in SLOW}, count, rounds)
    others = _carried(slow, slow_count, 1)
    if slow_count == count:
        return {"count": count, "contestants": {name: (others | found)[name] for name in everybody}}
    return {"count": count, "contestants": found, "fewer": {"count": slow_count, "contestants": others}}


def _carried(contestants: Mapping[str, Contestant], count: int, rounds: int) -> dict[str, dict[str, float]]:
    load = Load(tuple(Job(0.0, 6.0) for _ in range(count)), patience=300)
    runs: dict[str, list[Run]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            runs[name].append(race(contestant, load, per_second=None))
            print(f"{name}, {count} jobs: {runs[name][-1].wall:.1f} s", flush=True)
    return {name: _summary(found, runs[FLOOR]) for name, found in runs.items()}


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument(
        "--slow-count", type=int, default=300, help="how many jobs there are for those who need minutes"
    )
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    found = measure(rounds=arguments.rounds, count=arguments.count, slow_count=arguments.slow_count)
    for part in (found, found.get("fewer")):
        for name, figures in part["contestants"].items() if part else ():
            print(f"{name:32} {part['count']:5} " + "  ".join(f"{what} {figure:g}" for what, figure in figures.items()))


if __name__ == "__main__":
    main()
