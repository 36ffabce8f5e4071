"""
CPU time of a poll with a hundred tasks, and with a hundred thousand.

    python benchmarks/growth.py

All tasks are due all the time. There are no sockets, whose cost does not depend on the number of tasks.
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
from harness import in_new_process
from limits import unlimited
from static_server import StaticServer
from virtual import carried_by

COUNTS = (100, 1_000, 10_000, 100_000)
POLLS = 20_000


def cost(provider: str, count: int, polls: int) -> float:
    """Return the CPU microseconds of polling one of *count* tasks."""
    logging.disable(logging.CRITICAL)
    return asyncio.run(_cost(provider, count, polls))


async def _cost(provider: str, count: int, polls: int) -> float:
    network = StaticServer(count)
    poll = hh.PollSchedule(interval=0.001, jitter=0)
    with carried_by(network):
        async with hh.Client(provider, api_key="any", limits=unlimited(), poll=poll) as client:
            handles = [client.resume(f"{provider}:{task_id(number + 1)}") for number in range(count)]
            waiting = [asyncio.create_task(handle.wait()) for handle in handles]
            await _until(network, count)
            gc.collect()
            before, began = network.polls, time.process_time()
            await _until(network, before + polls)
            spent = time.process_time() - began
            seen = network.polls - before
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
    return spent / seen * 1e6


async def _until(network: StaticServer, polls: int) -> None:
    while network.polls < polls:  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.01)


def measure(*, rounds: int, counts: tuple[int, ...] = COUNTS, provider: str = "nexusflow") -> dict[str, Any]:
    """Measure every count *rounds* times, alternating, each in a new process."""
    costs: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(rounds):
        for count in counts:
            costs[count].append(in_new_process(cost, provider, count, POLLS))
    medians = {count: statistics.median(found) for count, found in costs.items()}
    return {
        "microseconds": {str(count): round(found, 1) for count, found in medians.items()},
        "ratio": max(medians.values()) / min(medians.values()),
    }


def main() -> None:
    found = measure(rounds=3)
    for count, microseconds in found["microseconds"].items():
        print(f"{int(count):>7,} tasks: {microseconds:6.1f} µs of CPU per poll")
    print(f"most to least expensive: {found['ratio']:.2f}")


if __name__ == "__main__":
    main()
