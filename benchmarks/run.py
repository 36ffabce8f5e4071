"""
Measure everything, write `benchmarks/results.json` and draw the plots of the documentation.

    nox -s benchmarks              # about 45 minutes
    nox -s benchmarks -- --quick   # about ten minutes
    python benchmarks/run.py --only imports growth
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cluster
import growth
import imports
import lag
import lost_answer
import media
import page
import peers
import plots
import status_query
import steady_state
import thousand
import waiting
import whole_job
from harness import SPAWN
from loads import SHAPES

RESULTS = Path(__file__).with_name("results.json")


@dataclass(frozen=True)
class Extent:
    """The extent of a run."""

    rounds: int
    import_rounds: int
    shape_minutes: float
    intervals: tuple[float, ...]
    socket_minutes: float
    warm_up: float
    speeds: dict[int, float]
    """In flight, to how many times as fast the clocks run."""
    lag_seconds: float
    handles: int
    slow_peers: bool
    """Whether clients take part with 500 in flight that need a slow clock for that."""
    slow_count: int
    """The number of jobs at once for clients that need minutes for a thousand."""
    peer_queries: int
    peer_rounds: int
    quick_cluster: bool


FULL = Extent(
    rounds=3,
    import_rounds=15,
    shape_minutes=60,
    intervals=steady_state.INTERVALS,
    socket_minutes=5,
    warm_up=300,
    speeds={100: 20, 500: 5},
    lag_seconds=20,
    handles=waiting.COUNT,
    slow_peers=True,
    slow_count=thousand.COUNT,
    peer_queries=status_query.QUERIES,
    peer_rounds=status_query.ROUNDS,
    quick_cluster=False,
)
QUICK = Extent(
    rounds=1,
    import_rounds=7,
    shape_minutes=20,
    intervals=(10, 15, 20, 25, 30, 40, 60),
    socket_minutes=2.5,
    warm_up=150,
    speeds={100: 20, 500: 10},
    lag_seconds=8,
    handles=waiting.COUNT // 2,
    slow_peers=False,
    slow_count=300,
    peer_queries=250,
    peer_rounds=3,
    quick_cluster=True,
)


def steady(extent: Extent) -> dict[str, Any]:
    """Measure many jobs within the limits of one account, over sockets."""
    found: dict[str, Any] = {}
    for in_flight, speed in extent.speeds.items():
        peers = steady_state.PEERS
        if in_flight >= 500 and not extent.slow_peers:
            # They need more CPU time than a fast clock leaves.
            peers = {name: peer for name, peer in peers.items() if name not in steady_state.SLOW}
        found[str(in_flight)] = steady_state.over_sockets(
            peers,
            in_flight=in_flight,
            minutes=extent.socket_minutes,
            warm_up=extent.warm_up,
            speed=speed,
            rounds=1,
        )
    return found


def hour(extent: Extent) -> dict[str, Any]:
    """Measure every load shape in virtual time, which other processes cannot disturb: on all cores at once."""
    shapes = [(name, rows, extent) for rows in (50, 10) for name in SHAPES]
    with SPAWN.Pool(os.cpu_count()) as pool:
        found = pool.starmap(_shape, shapes, chunksize=1)
    return {f"{name}, pages of {rows}": run for (name, rows, _), run in zip(shapes, found, strict=True)}


def _shape(name: str, rows: int, extent: Extent) -> dict[str, Any]:
    # Fixed intervals do not use the list, so its page size does not matter for them.
    intervals = extent.intervals if rows == 50 else ()
    return steady_state.shape(
        name, in_flight=500, page=rows, minutes=extent.shape_minutes, warm_up=300, intervals=intervals
    )


MEASURES: dict[str, Callable[[Extent], dict[str, Any]]] = {
    "imports": lambda extent: imports.measure(rounds=extent.import_rounds),
    "lost_answer": lambda _: lost_answer.measure(),
    "status_query": lambda extent: status_query.run(queries=extent.peer_queries, rounds=extent.peer_rounds),
    "thousand": lambda extent: thousand.measure(rounds=extent.rounds, slow_count=extent.slow_count),
    "whole_job": lambda extent: whole_job.measure(rounds=extent.rounds),
    "growth": lambda extent: growth.measure(rounds=extent.rounds),
    "waiting": lambda extent: waiting.measure(rounds=1, count=extent.handles),
    "lag": lambda extent: lag.measure(rounds=extent.rounds, seconds=extent.lag_seconds),
    "media": lambda extent: media.measure(rounds=extent.rounds),
    "cluster": lambda extent: cluster.measure(quick=extent.quick_cluster),
    "shapes": hour,
    "steady": steady,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and shorter runs")
    parser.add_argument("--only", nargs="+", choices=MEASURES, help="only these; the results of the others are kept")
    arguments = parser.parse_args()
    extent = QUICK if arguments.quick else FULL
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if arguments.only and RESULTS.exists() else {}
    measured: dict[str, Any] = results.setdefault("run", {}).get("measured", {})
    for name, measure in MEASURES.items():
        if not arguments.only or name in arguments.only:
            print(f"\n=== {name}", flush=True)
            began = time.monotonic()
            results[name] = measure(extent)
            measured[name] = {"minutes": round((time.monotonic() - began) / 60, 1), "quick": arguments.quick}
            if name not in ("shapes", "steady"):
                print(json.dumps(results[name], indent=2))
            # Results are kept even if the rest is interrupted.
            results["run"] = _circumstances(measured)
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    plots.draw(results)
    page.write(results)


def _circumstances(measured: dict[str, Any]) -> dict[str, Any]:
    others = {peer.package for peer in peers.PEERS.values() if peer.installed}
    packages = ("happyhorse-async", "aiohttp", *sorted(others))
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "measured": measured,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "load": round(os.getloadavg()[2], 1) if sys.platform != "win32" else None,
        "versions": {name: version(name) for name in packages},
    }


if __name__ == "__main__":
    main()
