"""
What a look costs in CPU when there are a hundred tasks, and when there are a hundred thousand.

    python benchmarks/growth.py

All tasks are due all the time. There are no sockets: their cost does not depend on the number of tasks.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import statistics
import time
from typing import Any

import happyhorse_async as hh
from account import task_id
from limits import unlimited
from race import in_process
from still import Still
from virtual import carried_by

COUNTS = (100, 1_000, 10_000, 100_000)
LOOKS = 20_000


def cost(provider: str, count: int, looks: int) -> float:
    """Return microseconds of CPU for one look at one of *count* tasks."""
    logging.disable(logging.CRITICAL)
    return asyncio.run(_cost(provider, count, looks))


async def _cost(provider: str, count: int, looks: int) -> float:
    network = Still(count)
    poll = hh.PollSchedule(interval=0.001, jitter=0)
    with carried_by(network):
        async with hh.Client(provider, api_key="any", limits=unlimited(), poll=poll) as client:
            handles = [client.resume(f"{provider}:{task_id(number + 1)}") for number in range(count)]
            waiting = [asyncio.create_task(handle.wait()) for handle in handles]
            await _until(network, count)
            gc.collect()
            before, began = network.looks, time.process_time()
            await _until(network, before + looks)
            spent = time.process_time() - began
            seen = network.looks - before
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
    return spent / seen * 1e6


async def _until(network: Still, looks: int) -> None:
    while network.looks < looks:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)


def measure(*, rounds: int, counts: tuple[int, ...] = COUNTS, provider: str = "nexusflow") -> dict[str, Any]:
    """Measure every count in turn, *rounds* times, each in a new process."""
    costs: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(rounds):
        for count in counts:
            costs[count].append(in_process(cost, provider, count, LOOKS))
    medians = {count: statistics.median(found) for count, found in costs.items()}
    return {
        "microseconds": {str(count): round(found, 1) for count, found in medians.items()},
        "ratio": max(medians.values()) / min(medians.values()),
    }


def main() -> None:
    found = measure(rounds=3)
    for count, microseconds in found["microseconds"].items():
        print(f"{int(count):>7,} tasks: {microseconds:6.1f} µs of CPU a look")
    print(f"dearest to cheapest: {found['ratio']:.2f}")


if __name__ == "__main__":
    main()
