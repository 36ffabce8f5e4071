"""
CPU time of a whole job, compared with a bare aiohttp loop that sends the same requests.

    python benchmarks/whole_job.py

A hundred jobs are submitted at once, and each is polled 15 times by queries of its own, every fifth of a second. The
server counts the queries and ends a task with the 15th, so both clients send exactly the same requests. The library
uses a memory store.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import statistics
import time
from collections import Counter
from multiprocessing.connection import Connection
from typing import Any

import aiohttp
from aiohttp import web
from attrs import evolve

import happyhorse_async as hh
from happyhorse_adapters.dashscope import DashScopeAdapter
from harness import Child, in_new_process
from limits import unlimited

JOBS = 100
POLLS = 15
INTERVAL = 0.2
BARE, OURS = "bare aiohttp", "happyhorse_async"
_SUBMIT = "/services/aigc/video-generation/video-synthesis"


class _WithoutList(DashScopeAdapter):
    """DashScope, but each task is polled by queries of its own."""

    capabilities = evolve(DashScopeAdapter.capabilities, list_is_live=False)


def serve(pipe: Connection) -> None:
    """Run a server that ends each task with its 15th query; send its base URL, and the requests per job at the end."""
    pipe.send("ready")
    queries: Counter[str] = Counter()

    async def submit(_: web.Request) -> web.Response:
        task_id = f"task-{len(queries)}"
        queries[task_id] = 0
        return _json({"task_id": task_id, "task_status": "PENDING"})

    async def query(request: web.Request) -> web.Response:
        task_id = request.match_info["task_id"]
        queries[task_id] += 1
        if queries[task_id] < POLLS:
            return _json({"task_id": task_id, "task_status": "RUNNING"})
        url = f"https://result.example/{task_id}.mp4"
        return _json({"task_id": task_id, "task_status": "SUCCEEDED", "video_url": url})

    async def work() -> None:
        app = web.Application()
        app.router.add_post(_SUBMIT, submit)
        app.router.add_get("/tasks/{task_id}", query)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        pipe.send(f"http://127.0.0.1:{runner.addresses[0][1]}")
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        pipe.send(set(queries.values()))

    asyncio.run(work())


def _json(output: dict[str, str]) -> web.Response:
    return web.json_response({"request_id": "r-1", "output": output})


async def bare(base_url: str) -> None:
    """Run the jobs with nothing but aiohttp."""
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer any"}) as session:

        async def run_job(number: int) -> str:
            body = {"model": "happyhorse-1.1-t2v", "input": {"prompt": f"video {number}"}, "parameters": {}}
            async with session.post(base_url + _SUBMIT, data=json.dumps(body)) as response:
                task_id = json.loads(await response.read())["output"]["task_id"]
            while True:
                await asyncio.sleep(INTERVAL)
                async with session.get(f"{base_url}/tasks/{task_id}") as response:
                    output = json.loads(await response.read())["output"]
                if output["task_status"] == "SUCCEEDED":
                    return str(output["video_url"])

        await asyncio.gather(*(run_job(number) for number in range(JOBS)))


async def library(base_url: str) -> None:
    """Run the jobs with this library."""
    poll = hh.PollSchedule(interval=INTERVAL, jitter=0)
    limits = evolve(unlimited(), max_unprotected_submits=JOBS)
    async with hh.Client(_WithoutList(), api_key="any", base_url=base_url, poll=poll, limits=limits) as client:

        async def run_job(number: int) -> str | None:
            request = hh.TextToVideo(f"video {number}", resolution="720P", duration=5)
            return (await client.generate(request)).video_url

        await asyncio.gather(*(run_job(number) for number in range(JOBS)))


def cpu_seconds(name: str, base_url: str) -> float:
    """Return the CPU seconds that a client needs for all jobs, with its opening and closing."""
    logging.disable(logging.CRITICAL)
    run = {BARE: bare, OURS: library}[name]

    async def work() -> float:
        await run(base_url)
        gc.collect()
        began = time.process_time()
        await run(base_url)
        return time.process_time() - began

    return asyncio.run(work())


def measure(*, rounds: int) -> dict[str, Any]:
    """Measure both clients alternately, *rounds* times, each in a new process and after a run that fills the caches."""
    seconds: dict[str, list[float]] = {BARE: [], OURS: []}
    for _ in range(rounds):
        for name, spent in seconds.items():
            with Child(serve) as server:
                spent.append(in_new_process(cpu_seconds, name, server.receive()))
                server.send("stop")
                assert server.receive() == {POLLS}, "the clients must send the same requests"
    ratios = [ours / theirs for ours, theirs in zip(seconds[OURS], seconds[BARE], strict=True)]
    return {
        "jobs": JOBS,
        "polls": POLLS,
        "milliseconds_per_job": {name: round(statistics.median(s) / JOBS * 1000, 2) for name, s in seconds.items()},
        "ratio": round(statistics.median(ratios), 3),
    }


def main() -> None:
    found = measure(rounds=5)
    for name, milliseconds in found["milliseconds_per_job"].items():
        print(f"{name:20} {milliseconds:6.2f} ms of CPU per job")
    print(f"{'ratio':20} {found['ratio']:6.2f}")


if __name__ == "__main__":
    main()
