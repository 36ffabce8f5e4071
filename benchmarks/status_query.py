"""
What one look at a task costs a client in CPU, against a bare aiohttp loop in the same process.

    python benchmarks/status_query.py

The server is a neutral one in another process, and speaks the client's own wire form. Client and floor ask it one query
after the other over one connection, in turns, so that a noisy machine disturbs both alike. The floor asks for the same
document, reads the body, decodes the JSON, and does nothing else.
"""

from __future__ import annotations

import asyncio
import json
import logging
import statistics
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp

import happyhorse_async as hh
from account import Account, task_id
from contestants import Caller, Calls, Library
from forms import FORMS
from happyhorse_async.transports.aiohttp import AiohttpTransport
from limits import unlimited
from peers import installed
from race import Child, in_process, serve

QUERIES = 500
ROUNDS = 15
BARE, OURS = "bare aiohttp", "happyhorse_async"


class Bare(Caller):
    """A bare aiohttp loop that asks what a client asks for in *form*."""

    def __init__(self, form: str) -> None:
        self.form = form

    @asynccontextmanager
    async def open(self, base_url: str) -> AsyncIterator[Calls]:
        call = FORMS[self.form](Account(time.monotonic)).query(task_id(0))
        async with aiohttp.ClientSession(headers={"Authorization": "Bearer any"}) as session:

            async def look(_: str) -> object:
                async with session.request(call.method, base_url + call.path, data=call.body or None) as response:
                    return json.loads(await response.read())

            yield Calls(_nothing, look)


class Transport(Caller):
    """What the library's transport takes of it."""

    @asynccontextmanager
    async def open(self, base_url: str) -> AsyncIterator[Calls]:
        transport = AiohttpTransport()

        async def look(task_id: str) -> object:
            headers = {"Authorization": "Bearer any"}
            query = hh.HttpRequest(method="GET", url=f"{base_url}/tasks/{task_id}", headers=headers)
            return await transport.send(query, timeout=30)

        yield Calls(_nothing, look)
        await transport.aclose()


async def _nothing(_: str) -> str:
    raise NotImplementedError("nothing is submitted here")


def costs(callers: dict[str, Caller], base_url: str, queries: int, rounds: int) -> dict[str, list[float]]:
    """Return microseconds of this process's CPU for one query of each, measured in turns."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")

    for caller in callers.values():
        caller.prepare()

    async def work() -> dict[str, list[float]]:
        found: dict[str, list[float]] = {name: [] for name in callers}
        async with AsyncExitStack() as stack:
            looks = {
                name: (await stack.enter_async_context(caller.open(base_url))).look for name, caller in callers.items()
            }
            for look in looks.values():
                await _cost(look, 20)
            for _ in range(rounds):
                for name, look in looks.items():
                    found[name].append(await _cost(look, queries))
        return found

    return asyncio.run(work())


async def _cost(look: Callable[[str], Awaitable[object]], queries: int) -> float:
    task = task_id(0)
    begun = time.process_time()
    for _ in range(queries):
        await look(task)
    return (time.process_time() - begun) / queries * 1e6


def _measure(callers: dict[str, Caller], queries: int, rounds: int) -> dict[str, list[float]]:
    """Measure *callers* of one wire form, and a floor that speaks it, in a process of their own."""
    form = next(iter(callers.values())).form
    with Child(serve, form, {"there": 1, "queries_per_second": None}, 1.0) as server:
        server.say(time.monotonic())
        return in_process(costs, {BARE: Bare(form), **callers}, server.hear(), queries, rounds)


def run(*, queries: int = QUERIES, rounds: int = ROUNDS) -> dict[str, Any]:
    """Measure this library, and then every peer with fewer queries, and return medians and ratios."""
    ours = {OURS: Library(limits=unlimited), "its transport alone": Transport()}
    found = _measure(ours, QUERIES, ROUNDS)
    ratios = _ratios(found, OURS)
    return {
        "microseconds": {name: round(statistics.median(spent), 1) for name, spent in found.items()},
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "peers": {name: _peer(name, peer, queries, rounds) for name, peer in installed().items()},
    }


def _peer(name: str, peer: Caller, queries: int, rounds: int) -> dict[str, float]:
    found = _measure({name: peer}, queries, rounds)
    return {
        "microseconds": round(statistics.median(found[name]), 1),
        "bare": round(statistics.median(found[BARE]), 1),
        "ratio": round(statistics.median(_ratios(found, name)), 2),
    }


def _ratios(found: dict[str, list[float]], name: str) -> list[float]:
    return [spent / bare for spent, bare in zip(found[name], found[BARE], strict=True)]


def main() -> None:
    found = run()
    for name, microseconds in found["microseconds"].items():
        print(f"{name:24} {microseconds:6.0f} µs of CPU a query")
    print(f"{'ratio':24} {found['ratio']:6.2f}  ({min(found['ratios']):.2f} to {max(found['ratios']):.2f})")
    for name, peer in found["peers"].items():
        print(f"{name:24} {peer['microseconds']:6.0f} µs, {peer['ratio']:.2f} of its floor of {peer['bare']:.0f} µs")


if __name__ == "__main__":
    main()
