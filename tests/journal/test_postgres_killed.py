"""
Several processes with one journal in PostgreSQL, of which some are killed while the server restarts.

`HAPPYHORSE_JOBS=1000 pytest tests/journal/test_postgres_killed.py` does it with more jobs.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh

from ..conftest import Fifth, Gateway
from ..postgres_server import PostgresServer
from ..worker_process import start_worker

JOBS = int(os.environ.get("HAPPYHORSE_JOBS", "120"))
WORKERS = 3
SCRIPT = Path(__file__).with_name("work.py")


class Provider:
    """Bills every request that arrives, answers after a moment, and needs half a second for a video."""

    def __init__(self, gateway: Gateway) -> None:
        self.bills: Counter[str] = Counter()
        self._began: dict[str, float] = {}
        self._gateway = gateway
        gateway.on("POST", "/videos", self._take)
        gateway.on("GET", "/videos/*", self._show)

    def _take(self, seen: Any) -> Any:
        prompt = json.loads(seen.body)["prompt"]
        self.bills[prompt] += 1
        task_id = prompt.replace(" ", "-")
        self._began[task_id] = time.monotonic()
        answered = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, answered.set)
        return self._gateway.reply({"id": task_id, "status": "queued"}, after=answered)

    def _show(self, seen: Any) -> Any:
        task_id = seen.path.rpartition("/")[2]
        if time.monotonic() < self._began[task_id] + 0.5:
            return {"id": task_id, "status": "running"}
        return {"id": task_id, "status": "done", "urls": [f"{self._gateway.url}/files/{task_id}.mp4?signature=s3cr3t"]}


@pytest.mark.timeout(600)
async def test_processes_that_are_killed_and_a_server_that_restarts(
    gateway: Gateway, fifth: Fifth, postgres_server: PostgresServer
) -> None:
    """No job is lost, none is paid twice, and the others go on with what the dead have left."""
    provider, schema = Provider(gateway), f"killed_{os.getpid()}_{time.monotonic_ns()}"
    workers = [await start_worker(SCRIPT, postgres_server.url, schema, gateway) for _ in range(WORKERS)]
    store = hh.PostgresStore(postgres_server.url, schema=schema, timeout=20.0)
    async with fifth.open(store=store, work=False) as client:
        handles = [
            await client.enqueue(hh.TextToVideo(f"video {number}"), key=f"order-{number}") for number in range(JOBS)
        ]
        ends = [asyncio.ensure_future(handle.wait(timeout=400)) for handle in handles]
        await gateway.until(JOBS // 4, "POST", "/videos")
        workers[0].kill()
        await gateway.until(JOBS // 2, "POST", "/videos")
        await asyncio.to_thread(postgres_server.restart, "immediate")
        workers[1].kill()
        outcomes = await asyncio.gather(*ends, return_exceptions=True)
        pending = await client.pending()

    for worker in workers:
        await worker.communicate(b"")
    unknown = {job.job_id for job in pending if job.state is hh.JobState.OUTCOME_UNKNOWN}
    succeeded = [outcome for outcome in outcomes if isinstance(outcome, hh.Task)]
    others = [outcome for outcome in outcomes if not isinstance(outcome, hh.Task | hh.SubmitOutcomeUnknownError)]

    print(f"\n{WORKERS} processes, 2 kills: {len(succeeded)} succeeded, {len(unknown)} unknown")

    assert [] == others
    assert unknown == {job.job_id for job in pending}
    assert JOBS == len(succeeded) + len(unknown)
    assert {1} == set(provider.bills.values())
