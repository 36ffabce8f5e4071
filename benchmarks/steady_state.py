"""
Many jobs within the provider's rate limit: how many are lost, how many requests they need, how late ends are noticed.

    python benchmarks/steady_state.py --virtual --in-flight 500 --page 50
    python benchmarks/steady_state.py --virtual --shape all --in-flight 500 --compare
    python benchmarks/steady_state.py --in-flight 100 --speed 20 --minutes 5 --warm-up 180
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

import happyhorse_async as hh
from clients import BenchmarkClient, FixedInterval, Library
from figures import HEADINGS, Figures, line
from harness import run_over_sockets
from loads import SHAPES, Load
from peers import DashScopeClass, DashScopeClient, DashScopeThreads
from virtual import Wire, run

# A job whose end is not noticed within ten minutes counts as lost.
_PATIENCE = 600.0
# Here all jobs come at once, and the whole run is measured.
_WHOLE = ("bursts", "slow")
INTERVALS = (5, 7.5, 10, 15, 20, 25, 30, 40, 60)


def window(shape: str, length: float, warm_up: float) -> tuple[float, float]:
    """Return when the measurement of a load begins and ends."""
    return (0.0, float("inf")) if shape in _WHOLE else (warm_up, length)


PEERS: dict[str, tuple[BenchmarkClient, int]] = {
    "happyhorse_async, pages of 50": (Library(), 50),
    "happyhorse_async, pages of 10": (Library(), 10),
    "fixed interval of 25 s": (FixedInterval(25), 50),
    "dashscope, class API, asyncio": (DashScopeClass(), 50),
    "dashscope, class API, threads": (DashScopeThreads(), 50),
    "dashscope, client API, asyncio": (DashScopeClient(), 50),
}


# With 500 jobs in flight these need more CPU time than a fast clock leaves.
SLOW = ("dashscope, class API, threads", "dashscope, client API, asyncio")


def make(shape: str, in_flight: int, length: float, seed: int) -> Load:
    return SHAPES[shape](in_flight, length, random.Random(seed))


def verdict(ours: Figures, fixed: dict[float, Figures]) -> str:
    """Compare *ours* with the best of the fixed intervals."""
    as_fast = [found.requests_per_job for found in fixed.values() if found.p95 <= ours.p95]
    as_cheap = [found.p95 for found in fixed.values() if found.requests_per_job <= ours.requests_per_job]
    price = f"needs {min(as_fast):.2f} requests per job" if as_fast else "does not exist"
    delay = f"has a p95 of {min(as_cheap):.1f} s" if as_cheap else "does not exist"
    worse = [
        f"{interval:g} s"
        for interval, found in fixed.items()
        if found.p95 <= ours.p95 and found.mean <= ours.mean and found.requests_per_job <= ours.requests_per_job
    ]
    beaten = f"BEATEN by the fixed interval of {', '.join(worse)}" if worse else "beaten by no fixed interval"
    return f"  a fixed interval as fast {price}; one as cheap {delay}; {beaten}"


def _library(interval: float | None) -> Callable[[Wire], BenchmarkClient]:
    return lambda _: Library(hh.PollSchedule(interval=interval))


def _fixed(interval: float) -> Callable[[Wire], BenchmarkClient]:
    return lambda wire: FixedInterval(interval, connect=wire.connect)


def shape(
    name: str,
    *,
    in_flight: int,
    page: int,
    minutes: float,
    warm_up: float,
    seed: int = 1,
    intervals: tuple[float, ...] = INTERVALS,
    interval: float | None = None,
) -> dict[str, Any]:
    """Measure the library and fixed intervals on virtual time, with the same jobs."""
    length = warm_up + minutes * 60
    since, until = window(name, length, warm_up)
    load = make(name, in_flight, length, seed)
    options: dict[str, Any] = {"page": page, "since": since, "until": until, "seed": seed}
    began = time.process_time()
    ours, outcomes = run(_library(interval), load, **options)
    spent = time.process_time() - began
    fixed = {seconds: run(_fixed(seconds), load, **options)[0] for seconds in intervals}
    report = [
        f"\n{name}: {len(load.jobs)} jobs, {in_flight} in flight, pages of {page}",
        HEADINGS,
        f"{line('happyhorse_async', ours)}   ({spent:.1f} s of CPU)",
        *(f"  lost {count}: {why}" for why, count in Counter(outcomes.lost).most_common(3)),
        *(line(f"fixed, {seconds:g} s", found) for seconds, found in fixed.items()),
        *([verdict(ours, fixed)] if fixed else []),
    ]
    # In one piece, since several processes may measure at the same time.
    print("\n".join(report), flush=True)
    return {"ours": asdict(ours), "fixed": {f"{seconds:g}": asdict(found) for seconds, found in fixed.items()}}


def over_sockets(
    clients: Mapping[str, tuple[BenchmarkClient, int]],
    *,
    in_flight: int,
    minutes: float,
    warm_up: float,
    speed: float,
    rounds: int,
) -> dict[str, Any]:
    """Run the same jobs with each client, over sockets. Each has the largest page size of its list."""
    length = warm_up + minutes * 60
    print(f"\nsteady, over sockets, {speed:g} times as fast: {in_flight} in flight")
    print(HEADINGS)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in clients}
    for number in range(rounds):
        load = replace(make("steady", in_flight, length, 1 + number), patience=_PATIENCE)
        for name, (each, page) in clients.items():
            found = run_over_sockets(each, load, page=page, speed=speed)
            figures = found.figures(warm_up, length)
            print(line(name, figures))
            runs[name].append({**asdict(figures), "cpu": found.cpu, "wall": found.wall / speed})
    return {name: {what: _median([run[what] for run in found]) for what in found[0]} for name, found in runs.items()}


def _median(figures: list[float]) -> float | None:
    # A client that loses every job has noticed no end.
    known = [figure for figure in figures if not math.isnan(figure)]
    return round(statistics.median(known), 4) if known else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--virtual", action="store_true", help="on virtual time, without sockets")
    parser.add_argument("--shape", choices=[*SHAPES, "all"], default="steady")
    parser.add_argument("--in-flight", type=int, default=500)
    parser.add_argument("--page", type=int, default=50, help="the most rows to a page of the list")
    parser.add_argument("--minutes", type=float, default=60, help="how long to measure")
    parser.add_argument("--warm-up", type=float, default=300, help="seconds before that")
    parser.add_argument("--interval", type=float, help="the library's interval; by default what the adapter advises")
    parser.add_argument("--compare", action="store_true", help="fixed intervals as well")
    parser.add_argument("--speed", type=float, default=10, help="over sockets: how many times as fast the clocks run")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if not arguments.virtual:
        over_sockets(
            PEERS,
            in_flight=arguments.in_flight,
            minutes=arguments.minutes,
            warm_up=arguments.warm_up,
            speed=arguments.speed,
            rounds=1,
        )
        return
    for name in SHAPES if arguments.shape == "all" else [arguments.shape]:
        shape(
            name,
            in_flight=arguments.in_flight,
            page=arguments.page,
            minutes=arguments.minutes,
            warm_up=arguments.warm_up,
            seed=arguments.seed,
            intervals=INTERVALS if arguments.compare else (),
            interval=arguments.interval,
        )


if __name__ == "__main__":
    main()
