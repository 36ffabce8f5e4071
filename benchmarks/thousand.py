"""
A thousand jobs of 6 s at once, polled every second.

    python benchmarks/thousand.py
    python benchmarks/thousand.py --count 300 --rounds 1
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping
from typing import Any

import happyhorse_async as hh
from clients import BenchmarkClient, FixedInterval, Library
from harness import Run, run_over_sockets
from limits import unlimited
from loads import Job, Load
from peers import installed

COUNT = 1000
BASELINE, OURS = "bare aiohttp", "happyhorse_async"
CLIENTS: dict[str, BenchmarkClient] = {
    BASELINE: FixedInterval(1.0, per_second=None, jitter=0.1),
    # The library limits unprotected submits in flight, because a crash would leave each with an unknown outcome.
    "bare aiohttp, 4 submits at once": FixedInterval(1.0, per_second=None, jitter=0.1, max_concurrent_submits=4),
    OURS: Library(hh.PollSchedule(interval=1.0, jitter=0.1), unlimited),
}
# These need up to two minutes for a thousand jobs.
SLOW = ("dashscope, client API", "fal_client", "replicate", "runwayml", "lumaai + our loop")


def measure(*, rounds: int, count: int = COUNT, slow_count: int = COUNT) -> dict[str, Any]:
    """
    Run the same load with each client, *rounds* times.

    :param slow_count: how many jobs the slow clients run, with the baseline and the library beside them. Once.
    """
    clients = CLIENTS | installed()
    slow = {name: one for name, one in clients.items() if name in SLOW or name in (BASELINE, OURS)}
    found = _run_all({name: one for name, one in clients.items() if name not in SLOW}, count, rounds)
    others = _run_all(slow, slow_count, 1)
    if slow_count == count:
        return {"count": count, "clients": {name: (others | found)[name] for name in clients}}
    return {"count": count, "clients": found, "fewer": {"count": slow_count, "clients": others}}


def _run_all(clients: Mapping[str, BenchmarkClient], count: int, rounds: int) -> dict[str, dict[str, float]]:
    load = Load(tuple(Job(0.0, 6.0) for _ in range(count)), patience=300)
    runs: dict[str, list[Run]] = {name: [] for name in clients}
    for _ in range(rounds):
        for name, each in clients.items():
            runs[name].append(run_over_sockets(each, load, per_second=None))
            print(f"{name}, {count} jobs: {runs[name][-1].wall:.1f} s", flush=True)
    return {name: _summary(found, runs[BASELINE]) for name, found in runs.items()}


def _summary(runs: list[Run], baseline: list[Run]) -> dict[str, float]:
    pairs = list(zip(runs, baseline, strict=True))
    return {
        "wall_s": round(statistics.median(run.wall for run in runs), 2),
        "cpu_s": round(statistics.median(run.cpu for run in runs), 2),
        "wall_ratio": round(statistics.median(run.wall / bare.wall for run, bare in pairs), 3),
        "cpu_ratio": round(statistics.median(run.cpu / bare.cpu for run, bare in pairs), 2),
        "requests_per_job": round(statistics.median(run.figures().requests_per_job for run in runs), 2),
        "lost": max(len(run.outcomes.lost) for run in runs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument(
        "--slow-count", type=int, default=300, help="how many jobs there are for clients that need minutes"
    )
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    found = measure(rounds=arguments.rounds, count=arguments.count, slow_count=arguments.slow_count)
    for part in (found, found.get("fewer")):
        for name, figures in part["clients"].items() if part else ():
            print(f"{name:32} {part['count']:5} " + "  ".join(f"{what} {figure:g}" for what, figure in figures.items()))


if __name__ == "__main__":
    main()
