"""
What one look at a task costs the client in CPU, against a bare aiohttp loop in the same run.

    python benchmarks/status_query.py

The server is a neutral one in another process. Both clients ask it one query after the other over one connection, in
turns, so that a noisy machine disturbs both alike. The floor reads the body, decodes the JSON, and does nothing else.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp import web

import happyhorse_async as hh
from happyhorse_async.transports.aiohttp import AiohttpTransport
from limits import unlimited

QUERIES = 1500
ROUNDS = 5
TASK_ID = "22222222-aaaa-4bbb-8ccc-000000000002"
REPLY = {
    "request_id": "33333333-aaaa-4bbb-8ccc-000000000003",
    "output": {
        "task_id": TASK_ID,
        "task_status": "RUNNING",
        "submit_time": "2026-11-21 10:00:00.120",
        "scheduled_time": "2026-11-21 10:00:00.161",
    },
}


def serve(ports: multiprocessing.Queue[int]) -> None:
    """Answer every query with the same task."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(REPLY)

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.put(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(run())


async def cost(query: Callable[[], Awaitable[object]]) -> float:
    """Return microseconds of this process's CPU for one query."""
    begun = time.process_time()
    for _ in range(QUERIES):
        await query()
    return (time.process_time() - begun) / QUERIES * 1e6


async def measure(base_url: str) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {"bare aiohttp": [], "happyhorse_async": [], "its transport alone": []}
    async with (
        aiohttp.ClientSession(headers={"Authorization": "Bearer any"}) as session,
        hh.Client("dashscope", api_key="any", base_url=base_url, limits=unlimited()) as client,
    ):

        async def bare() -> object:
            async with session.get(f"{base_url}/tasks/{TASK_ID}") as response:
                return json.loads(await response.read())

        async def ours() -> object:
            return await client.fetch(f"dashscope:{TASK_ID}")

        transport = AiohttpTransport()
        query = hh.HttpRequest(method="GET", url=f"{base_url}/tasks/{TASK_ID}", headers={"Authorization": "Bearer any"})

        async def carried() -> object:
            return await transport.send(query, timeout=30)

        for _ in range(ROUNDS):
            figures["bare aiohttp"].append(await cost(bare))
            figures["happyhorse_async"].append(await cost(ours))
            figures["its transport alone"].append(await cost(carried))
        await transport.aclose()
    return figures


def run() -> dict[str, Any]:
    """Measure both in turn, and return medians and the ratio."""
    context = multiprocessing.get_context("spawn")
    ports: multiprocessing.Queue[int] = context.Queue()
    server = context.Process(target=serve, args=(ports,), daemon=True)
    server.start()
    try:
        figures = asyncio.run(measure(f"http://127.0.0.1:{ports.get(timeout=30)}"))
    finally:
        server.kill()
    ratios = [ours / bare for bare, ours, _ in zip(*figures.values(), strict=True)]
    return {
        "microseconds": {name: round(statistics.median(costs), 1) for name, costs in figures.items()},
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }


def main() -> None:
    found = run()
    for name, microseconds in found["microseconds"].items():
        print(f"{name:18} {microseconds:6.0f} µs of CPU a query")
    print(f"{'ratio':18} {found['ratio']:6.2f}  ({min(found['ratios']):.2f} to {max(found['ratios']):.2f})")


if __name__ == "__main__":
    main()
