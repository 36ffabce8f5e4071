"""
CPU time of one status query, compared with a bare aiohttp loop in the same process.

    python benchmarks/status_query.py

A neutral server in another process uses the client's own wire format. Client and baseline alternate, each with one
query after the other over one connection, so that other processes disturb both alike. The baseline requests the same
document, reads the body and decodes the JSON.
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
from clients import Caller, Calls, Library
from happyhorse_async.transports.aiohttp import AiohttpTransport
from harness import Child, in_new_process, serve
from limits import unlimited
from peers import installed
from wire_formats import WIRE_FORMATS

QUERIES = 500
ROUNDS = 15
BARE, OURS = "bare aiohttp", "happyhorse_async"


class Bare(Caller):
    """A bare aiohttp loop that sends the queries of a client in *wire_format*."""

    def __init__(self, wire_format: str) -> None:
        self.wire_format = wire_format

    @asynccontextmanager
    async def open(self, base_url: str) -> AsyncIterator[Calls]:
        call = WIRE_FORMATS[self.wire_format](Account(time.monotonic)).query(task_id(0))
        async with aiohttp.ClientSession(headers={"Authorization": "Bearer any"}) as session:

            async def poll(_: str) -> object:
                async with session.request(call.method, base_url + call.path, data=call.body or None) as response:
                    return json.loads(await response.read())

            yield Calls(_nothing, poll)


class Transport(Caller):
    """The library's transport alone."""

    @asynccontextmanager
    async def open(self, base_url: str) -> AsyncIterator[Calls]:
        transport = AiohttpTransport()

        async def poll(task_id: str) -> object:
            headers = {"Authorization": "Bearer any"}
            query = hh.HttpRequest(method="GET", url=f"{base_url}/tasks/{task_id}", headers=headers)
            return await transport.send(query, timeout=30)

        yield Calls(_nothing, poll)
        await transport.aclose()


async def _nothing(_: str) -> str:
    raise NotImplementedError("nothing is submitted here")


def costs(callers: dict[str, Caller], base_url: str, queries: int, rounds: int) -> dict[str, list[float]]:
    """Return microseconds of this process's CPU for one query of each, measured alternately."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")

    for caller in callers.values():
        caller.prepare()

    async def work() -> dict[str, list[float]]:
        found: dict[str, list[float]] = {name: [] for name in callers}
        async with AsyncExitStack() as stack:
            polls = {
                name: (await stack.enter_async_context(caller.open(base_url))).poll for name, caller in callers.items()
            }
            for poll in polls.values():
                await _cost(poll, 20)
            for _ in range(rounds):
                for name, poll in polls.items():
                    found[name].append(await _cost(poll, queries))
        return found

    return asyncio.run(work())


async def _cost(poll: Callable[[str], Awaitable[object]], queries: int) -> float:
    task = task_id(0)
    begun = time.process_time()
    for _ in range(queries):
        await poll(task)
    return (time.process_time() - begun) / queries * 1e6


def _measure(callers: dict[str, Caller], queries: int, rounds: int) -> dict[str, list[float]]:
    """Measure *callers* of one wire format, and a baseline that uses it, in a new process."""
    wire_format = next(iter(callers.values())).wire_format
    with Child(serve, wire_format, {"initial": 1, "queries_per_second": None}, 1.0) as server:
        server.send(time.monotonic())
        return in_new_process(costs, {BARE: Bare(wire_format), **callers}, server.receive(), queries, rounds)


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
        print(f"{name:24} {microseconds:6.0f} µs of CPU per query")
    print(f"{'ratio':24} {found['ratio']:6.2f}  ({min(found['ratios']):.2f} to {max(found['ratios']):.2f})")
    for name, peer in found["peers"].items():
        print(f"{name:24} {peer['microseconds']:6.0f} µs, {peer['ratio']:.2f} of its baseline of {peer['bare']:.0f} µs")


if __name__ == "__main__":
    main()
