"""
How long a journal takes with few and with many open jobs, in PostgreSQL and in a file.

    python benchmarks/journal.py             # 100 to 100,000 open jobs, about three minutes
    python benchmarks/journal.py --url URL   # on a server of yours, which gets schemas named size_…

Each figure is the least of several runs, each with a store that was just opened. The sizes take turns, so that other
work on the machine disturbs all of them alike.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from attrs import evolve

import happyhorse_async as hh
from happyhorse_async.job import Endpoint, Job, JobState
from happyhorse_async.jobs.account import new_job_id

sys.path.insert(0, str(Path(__file__).parent.parent))

ENDPOINT = Endpoint(provider="main", adapter="dashscope", base_url="https://dashscope.example/api/v1")
REQUEST = {"mode": "t2v", "prompt": "A cardboard train at night " * 10}
SIZES, QUICK_SIZES = (100, 1_000, 10_000, 100_000), (1_000, 100_000)
RUNS = 5
DEAD = "4711-0123456789abcdef"
_QUEUED, _IN_FLIGHT = [JobState.QUEUED], [JobState.SUBMITTING, JobState.ACCEPTED, JobState.SUCCEEDED]

OpenStore = Callable[[str], Any]


def new_job(owner: str | None, state: JobState = JobState.QUEUED) -> Job:
    return Job(
        job_id=new_job_id(),
        endpoint=ENDPOINT,
        model="happyhorse-1.1-t2v",
        created_at=datetime.now(UTC),
        state=state,
        request=REQUEST,
        body=b"x" * 500,
        durable=True,
        owner=owner,
    )


async def fill(store: hh.PostgresStore | hh.SQLiteStore, count: int) -> None:
    """Write the open jobs of a process that has died."""
    await store.open()
    for first in range(0, count, 2_000):
        await asyncio.gather(*(store.add(new_job(DEAD)) for _ in range(first, min(count, first + 2_000))))
    await store.aclose()


async def timed(work: Awaitable[Any]) -> float:
    started = time.perf_counter()
    await work
    return time.perf_counter() - started


async def measure_once(store: hh.PostgresStore | hh.SQLiteStore) -> dict[str, float]:
    """Return seconds for each operation. Afterwards there are as many open jobs as before."""
    figures = {"open": await timed(store.open())}
    jobs = [new_job(store.owner) for _ in range(1_002)]
    # The first one opens a connection.
    await store.add(jobs[0])
    figures["enqueue one"] = await timed(store.add(jobs[1]))
    figures["enqueue 1,000"] = await timed(asyncio.gather(*(store.add(job) for job in jobs[2:])))
    left = [evolve(job, owner=DEAD, state=JobState.SUBMITTING) for job in jobs]
    figures["change 1,000"] = await timed(asyncio.gather(*(store.change(job) for job in left)))
    taken: list[Job] = []
    figures["take over 200"] = await timed(_take(store, taken, 200))
    figures["take over 1,000"] = await timed(_take(store, taken, 1_002))
    figures["take over nothing"] = await timed(store.take_over([ENDPOINT], _IN_FLIGHT, 200))
    figures["take over 10 queued"] = await timed(_take(store, queued := [], 10, _QUEUED))
    figures["permit"] = await timed(store.pace("main/queries", 0.0))
    await asyncio.gather(*(store.change(evolve(job, owner=None, state=JobState.WITHDRAWN)) for job in taken))
    await asyncio.gather(*(store.change(evolve(job, owner=DEAD)) for job in queued))
    await store.aclose()
    return figures


async def _take(store: Any, taken: list[Job], count: int, states: list[JobState] = _IN_FLIGHT) -> None:
    while len(taken) < count:
        taken += await store.take_over([ENDPOINT], states, min(200, count))


def measure_stores(make: OpenStore, sizes: tuple[int, ...]) -> dict[str, dict[str, float]]:
    """Return the least milliseconds of each operation, by the number of open jobs."""
    places = {size: f"size_{size}_{uuid4().hex[:8]}" for size in sizes}
    for size, place in places.items():
        asyncio.run(fill(make(place), size))
    runs: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    for _ in range(RUNS):
        for size, place in places.items():
            runs[size].append(asyncio.run(measure_once(make(place))))
    return {
        str(size): {name: round(1000 * min(run[name] for run in found), 2) for name in found[0]}
        for size, found in runs.items()
    }


def measure(sizes: tuple[int, ...] = SIZES, url: str | None = None) -> dict[str, Any]:
    with ExitStack() as stack:
        if url is None:
            from tests.postgres_server import PostgresServer  # noqa: PLC0415 - the tests are not installed

            server = PostgresServer()
            stack.callback(server.close)
            url = server.url
        database = url
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        return {
            "postgres": measure_stores(
                lambda place: hh.PostgresStore(database, schema=place, timeout=60, takeover_after=0), sizes
            ),
            "sqlite": measure_stores(lambda place: hh.SQLiteStore(f"{folder}/{place}.sqlite"), sizes),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two sizes only")
    parser.add_argument("--url")
    given = parser.parse_args()
    print(json.dumps(measure(QUICK_SIZES if given.quick else SIZES, given.url), indent=2))


if __name__ == "__main__":
    main()
