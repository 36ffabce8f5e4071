"""Several processes with one journal and one DBOS in PostgreSQL, of which some are killed."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from dbos import DBOSClient, DBOSPortableJSONSerializer

import happyhorse_async as hh

from ..conftest import Fifth, Gateway
from ..postgres_server import PostgresServer
from ..worker_process import start_worker

JOBS = int(os.environ.get("HAPPYHORSE_JOBS", "40"))
SCRIPT = Path(__file__).with_name("work.py")


class Provider:
    """Bills every request that arrives, and needs some time for a video."""

    def __init__(self, gateway: Gateway, *, seconds: float = 1.0) -> None:
        self.bills: Counter[str] = Counter()
        self.seconds = seconds
        self._began: dict[str, float] = {}
        self._gateway = gateway
        gateway.on("POST", "/videos", self._take)
        gateway.on("GET", "/videos/*", self._show)

    def _take(self, seen: Any) -> Any:
        prompt = json.loads(seen.body)["prompt"]
        self.bills[prompt] += 1
        task_id = prompt.replace(" ", "-")
        self._began[task_id] = time.monotonic()
        return {"id": task_id, "status": "queued"}

    def _show(self, seen: Any) -> Any:
        task_id = seen.path.rpartition("/")[2]
        if time.monotonic() < self._began[task_id] + self.seconds:
            return {"id": task_id, "status": "running"}
        return {"id": task_id, "status": "done", "urls": [f"{self._gateway.url}/files/{task_id}.mp4?signature=s3cr3t"]}


async def statuses(url: str, schema: str) -> Counter[tuple[str, str]]:
    """Count the workflows by their status and queue."""

    def count() -> Counter[tuple[str, str]]:
        client = DBOSClient(
            system_database_url=url, dbos_system_schema=f"{schema}_dbos", serializer=DBOSPortableJSONSerializer()
        )
        try:
            return Counter((found.status, found.queue_name or "") for found in client.list_workflows())
        finally:
            client.destroy()

    return await asyncio.to_thread(count)


@pytest.fixture
def schema() -> str:
    """Name tables that no other test has."""
    return f"engine_{os.getpid()}_{time.monotonic_ns()}"


@pytest.mark.timeout(600)
async def test_what_a_killed_process_has_left_another_one_runs_to_its_end(
    gateway: Gateway, fifth: Fifth, postgres_server: PostgresServer, schema: str
) -> None:
    """No job is lost, none is paid twice, and every workflow ends."""
    provider, url = Provider(gateway), postgres_server.url
    first = await start_worker(SCRIPT, url, schema, gateway)
    store = hh.PostgresStore(url, schema=schema)
    engine = hh.DBOSEngine(schema=f"{schema}_dbos")
    async with fifth.client(store=store, engine=engine, work=False) as client:
        handles = [
            await client.enqueue(hh.TextToVideo(f"video {number}"), key=f"order-{number}") for number in range(JOBS)
        ]
        ends = [asyncio.ensure_future(handle.wait(timeout=400)) for handle in handles]
        await gateway.until(JOBS // 3, "POST", "/videos")
        first.kill()
        await first.communicate()
        workers = [await start_worker(SCRIPT, url, schema, gateway) for _ in range(2)]
        outcomes = await asyncio.gather(*ends, return_exceptions=True)
        async with asyncio.timeout(150):
            found = await statuses(url, schema)
            while any(status in ("PENDING", "ENQUEUED") for status, _ in found):
                await asyncio.sleep(0.2)
                found = await statuses(url, schema)
    for worker in workers:
        await worker.communicate(b"")

    # A submit that was on its way has an unknown outcome, because nothing protects it.
    others = [outcome for outcome in outcomes if not isinstance(outcome, hh.Task | hh.SubmitOutcomeUnknownError)]
    assert [] == others
    assert JOBS == sum(found.values())
    assert "happyhorse-again" in {queue for _, queue in found}
    assert {1} == set(provider.bills.values())


@pytest.mark.timeout(600)
async def test_workflows_of_the_program_that_a_killed_process_has_left_run_again(
    gateway: Gateway, postgres_server: PostgresServer, schema: str
) -> None:
    """They run in the DBOS that the engine has launched, under the id of a process that is dead."""
    url = postgres_server.url
    first = await start_worker(SCRIPT, url, schema, gateway)

    def enqueue() -> None:
        client = DBOSClient(
            system_database_url=url, dbos_system_schema=f"{schema}_dbos", serializer=DBOSPortableJSONSerializer()
        )
        client.enqueue({"workflow_name": "program_nap", "queue_name": "happyhorse", "workflow_id": "nap"}, 2.0)
        client.destroy()

    async def until(status: str, queue: str) -> None:
        async with asyncio.timeout(150):
            while (status, queue) not in await statuses(url, schema):
                await asyncio.sleep(0.1)

    await asyncio.to_thread(enqueue)
    await until("PENDING", "happyhorse")
    first.kill()
    await first.communicate()
    second = await start_worker(SCRIPT, url, schema, gateway)
    await until("SUCCESS", "happyhorse-again")
    await second.communicate(b"")


@pytest.mark.timeout(600)
async def test_a_job_whose_workflow_was_never_enqueued_is_found(
    gateway: Gateway, fifth: Fifth, postgres_server: PostgresServer, schema: str, unused_tcp_port: int
) -> None:
    """The enqueuing process could not reach DBOS, and is gone. A worker enqueues it under the same id."""
    provider, url = Provider(gateway, seconds=0.1), postgres_server.url
    worker = await start_worker(SCRIPT, url, schema, gateway)
    unreachable = hh.DBOSEngine(f"postgresql://me:s3cr3t@127.0.0.1:{unused_tcp_port}/none")
    async with fifth.client(store=hh.PostgresStore(url, schema=schema), engine=unreachable, work=False) as client:
        handle = await client.enqueue(hh.TextToVideo("a boat"))
    assert Counter() == await statuses(url, schema)

    async with fifth.client(store=hh.PostgresStore(url, schema=schema), work=False) as client:
        task = await client.resume_job(handle.job_id).wait(timeout=400)
    await worker.communicate(b"")

    assert hh.TaskStatus.SUCCEEDED == task.status
    assert {"a boat": 1} == provider.bills
