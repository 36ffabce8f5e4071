"""
Many jobs inside the provider's limits: how many are lost, what they cost in requests, how late their ends are noticed.

    python benchmarks/steady_state.py --virtual --in-flight 500 --page 50
    python benchmarks/steady_state.py --virtual --shape all --in-flight 500 --compare
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Callable

import happyhorse_async as hh
from contestants import Contestant, FixedInterval, Library
from figures import HEADINGS, Figures, line
from loads import SHAPES, Load
from virtual import Wire, run

# In these everything comes at once, and all of it counts.
_WHOLE = ("bursts", "slow")
_INTERVALS = (5, 7.5, 10, 15, 20, 25, 30, 40, 60)


def window(shape: str, length: float, warm_up: float) -> tuple[float, float]:
    """Return from when to when a load of *shape* is measured."""
    return (0.0, float("inf")) if shape in _WHOLE else (warm_up, length)


def make(shape: str, in_flight: int, length: float, seed: int) -> Load:
    return SHAPES[shape](in_flight, length, random.Random(seed))


def verdict(ours: Figures, fixed: dict[float, Figures]) -> str:
    """Hold *ours* against the best of the fixed intervals."""
    as_fast = [found.requests_per_job for found in fixed.values() if found.p95 <= ours.p95]
    as_cheap = [found.p95 for found in fixed.values() if found.requests_per_job <= ours.requests_per_job]
    price = f"needs {min(as_fast):.2f} requests a job" if as_fast else "does not exist"
    delay = f"has a p95 of {min(as_cheap):.1f} s" if as_cheap else "does not exist"
    worse = [
        f"{interval:g} s"
        for interval, found in fixed.items()
        if found.p95 <= ours.p95 and found.mean <= ours.mean and found.requests_per_job <= ours.requests_per_job
    ]
    beaten = f"BEATEN by the fixed interval of {', '.join(worse)}" if worse else "beaten by no fixed interval"
    return f"  a fixed interval as fast {price}; one as cheap {delay}; {beaten}"


def _library(interval: float | None) -> Callable[[Wire], Contestant]:
    return lambda _: Library(hh.PollSchedule(interval=interval))


def _fixed(interval: float) -> Callable[[Wire], Contestant]:
    return lambda wire: FixedInterval(interval, connect=wire.connect)


def virtual(arguments: argparse.Namespace) -> None:
    """Measure on virtual time, and print."""
    length = arguments.warm_up + arguments.minutes * 60
    for shape in SHAPES if arguments.shape == "all" else [arguments.shape]:
        since, until = window(shape, length, arguments.warm_up)
        load = make(shape, arguments.in_flight, length, arguments.seed)
        print(f"\n{shape}: {len(load.jobs)} jobs, {arguments.in_flight} in flight, pages of {arguments.page}")
        print(HEADINGS)
        options = {"page": arguments.page, "since": since, "until": until, "seed": arguments.seed}
        began = time.process_time()
        ours, notices = run(_library(arguments.interval), load, **options)
        print(line("happyhorse_async", ours), f"   ({time.process_time() - began:.1f} s of CPU)")
        for why, count in Counter(notices.lost).most_common(3):
            print(f"  lost {count}: {why}")
        if arguments.compare:
            fixed = {interval: run(_fixed(interval), load, **options)[0] for interval in _INTERVALS}
            for interval, found in fixed.items():
                print(line(f"fixed, {interval:g} s", found))
            print(verdict(ours, fixed))


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
    parser.add_argument("--seed", type=int, default=1)
    virtual(parser.parse_args())


if __name__ == "__main__":
    main()
