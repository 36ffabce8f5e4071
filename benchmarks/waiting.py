"""
The cost of a hundred thousand waiting handles: memory, idle CPU, and the pause of a garbage collection.

    python benchmarks/waiting.py

The baseline is as many bare tasks, each waiting for a future. All figures include the caller's task and its
`await handle`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import happyhorse_async as hh
from account import task_id
from harness import in_new_process
from limits import unlimited
from static_server import StaticServer
from virtual import carried_by

COUNT = 100_000
IDLE = 3.0
_PAGE = 4096
_FAR = 80_000.0


def bare(count: int) -> dict[str, float]:
    """Measure bare tasks."""

    async def work() -> dict[str, float]:
        loop = asyncio.get_running_loop()
        before = _empty()

        async def wait(future: asyncio.Future[None]) -> None:
            await future

        waiting = [asyncio.create_task(wait(loop.create_future())) for _ in range(count)]
        await asyncio.sleep(0)
        return await _figures(before, waiting)

    return asyncio.run(work())


def answered(count: int) -> dict[str, float]:
    """Measure bare tasks, each with the last response to its query, decoded."""
    body = json.dumps(StaticServer(0).state(task_id(0)))

    async def work() -> dict[str, float]:
        loop = asyncio.get_running_loop()
        before = _empty()

        async def wait(future: asyncio.Future[None]) -> Any:
            answer = json.loads(body)
            await future
            return answer

        waiting = [asyncio.create_task(wait(loop.create_future())) for _ in range(count)]
        await asyncio.sleep(0)
        return await _figures(before, waiting)

    return asyncio.run(work())


def resumed(count: int) -> dict[str, float]:
    """Measure handles that were resumed by their refs, after one poll of each."""

    async def work(client: hh.Client) -> list[hh.TaskHandle]:
        return [client.resume(f"dashscope:{task_id(number + 1)}") for number in range(count)]

    return asyncio.run(_handles(work, initial=count))


def submitted(count: int) -> dict[str, float]:
    """Measure handles whose jobs were submitted here, before the first poll."""

    async def work(client: hh.Client) -> list[hh.TaskHandle]:
        handles: list[hh.TaskHandle] = []
        for begin in range(0, count, 1000):
            requests = (
                hh.TextToVideo(f"Film {begin + number}", resolution="720P", duration=5) for number in range(1000)
            )
            handles += await asyncio.gather(*(client.submit(request) for request in requests))
        return handles

    return asyncio.run(_handles(work, initial=0))


async def _handles(make: Callable[[hh.Client], Awaitable[list[hh.TaskHandle]]], *, initial: int) -> dict[str, float]:
    logging.disable(logging.CRITICAL)
    network = StaticServer(initial)
    with carried_by(network):
        async with hh.Client(
            "dashscope", api_key="any", limits=unlimited(), poll=hh.PollSchedule(interval=_FAR, jitter=0)
        ) as client:
            before = _empty()
            handles = await make(client)
            waiting = [asyncio.create_task(handle.wait()) for handle in handles]
            while any(handle.task is None for handle in handles):  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.1)
            return await _figures(before, waiting)


def _empty() -> tuple[int, float]:
    """Return memory and collection time without any waiting task."""
    return _resident(), _collection()


async def _figures(before: tuple[int, float], waiting: Sequence[asyncio.Task[Any]]) -> dict[str, float]:
    memory, collection = before
    await asyncio.sleep(0.1)
    found = {
        "kilobytes": (_resident() - memory) / len(waiting) / 1000,
        "collection_ms": (_collection() - collection) * 1000,
        "idle_cpu": await _idle_cpu(),
    }
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    return found


async def _idle_cpu() -> float:
    began = time.process_time()
    await asyncio.sleep(IDLE)
    return (time.process_time() - began) / IDLE


def _collection() -> float:
    """Return the CPU seconds of a full collection, which blocks the event loop: the median of five."""
    pauses: list[float] = []
    for _ in range(5):
        began = time.process_time()
        gc.collect()
        pauses.append(time.process_time() - began)
    return statistics.median(pauses)


def _resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def measure(*, rounds: int, count: int = COUNT) -> dict[str, Any]:
    """Measure each, *rounds* times, each in a new process."""
    kinds = {
        "bare task and future": bare,
        "the same and its last response": answered,
        "resumed handle": resumed,
        "submitted handle": submitted,
    }
    runs: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, work in kinds.items():
            runs[kind].append(in_new_process(work, count))
    return {
        "count": count,
        "kinds": {
            kind: {name: round(statistics.median(run[name] for run in found), 4) for name in found[0]}
            for kind, found in runs.items()
        },
    }


def main() -> None:
    for kind, found in measure(rounds=1)["kinds"].items():
        print(
            f"{kind:22} {found['kilobytes']:6.2f} KB each, idle CPU {found['idle_cpu']:.1%},"
            f" a full collection {found['collection_ms']:.0f} ms"
        )


if __name__ == "__main__":
    main()
