"""
How late the event loop is while ten thousand tasks are in flight and the rate limit is fully used.

    python benchmarks/lag.py
"""

from __future__ import annotations

import asyncio
import statistics
from typing import Any

import happyhorse_async as hh
from account import task_id
from figures import Outcomes, quantile
from harness import run_over_sockets
from loads import Load

COUNT = 10_000
_TICK = 0.005


class Probe:
    """Measures how late a timer of 5 ms fires: while the client is idle, and while it polls."""

    wire_format = "dashscope"

    def __init__(self, count: int, seconds: float) -> None:
        self._count = count
        self._seconds = seconds

    async def __call__(self, base_url: str, load: Load, outcomes: Outcomes) -> tuple[list[float], list[float]]:
        async with hh.Client("dashscope", api_key="any", base_url=base_url) as client:
            idle = await self._lateness()
            handles = [client.resume(f"dashscope:{task_id(number)}") for number in range(self._count)]
            waiting = [asyncio.create_task(handle.wait()) for handle in handles]
            await asyncio.sleep(2.0)
            busy = await self._lateness()
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        return idle, busy

    async def _lateness(self) -> list[float]:
        loop = asyncio.get_running_loop()
        found: list[float] = []
        until = loop.time() + self._seconds
        while (now := loop.time()) < until:
            await asyncio.sleep(_TICK)
            found.append(loop.time() - now - _TICK)
        return found


def measure(*, rounds: int, seconds: float, count: int = COUNT) -> dict[str, Any]:
    """Measure *rounds* times, each in new processes."""
    runs: list[dict[str, float]] = []
    for _ in range(rounds):
        run = run_over_sockets(Probe(count, seconds), Load(()), initial=count)
        idle, busy = (sorted(found) for found in run.answer)
        asked = [request for request in run.requests if request.kind != "submit"]
        runs.append(
            {
                "idle_p99_ms": quantile(idle, 0.99) * 1000,
                "busy_p99_ms": quantile(busy, 0.99) * 1000,
                "busy_max_ms": busy[-1] * 1000,
                "requests_per_second": len(asked) / (asked[-1].at - asked[0].at),
                "lists": sum(request.kind == "list" for request in asked),
            }
        )
    found = {name: round(statistics.median(run[name] for run in runs), 2) for name in runs[0]}
    return {"count": count, **found, "above_ms": round(found["busy_p99_ms"] - found["idle_p99_ms"], 2)}


def main() -> None:
    for name, figure in measure(rounds=3, seconds=10).items():
        print(f"{name:20} {figure:10,.2f}")


if __name__ == "__main__":
    main()
