"""A client whose journal is in PostgreSQL, while the server is away or restarts."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator
from typing import Any

import pytest

import happyhorse_async as hh

from ..conftest import Fifth, Gateway
from ..postgres_proxy import Proxy
from ..postgres_server import PostgresServer

_NUMBERS = itertools.count()
REQUEST = hh.TextToVideo("a train at night")


@pytest.fixture
async def proxy(postgres_server: PostgresServer) -> AsyncGenerator[Proxy]:
    """Serve a proxy before the server."""
    proxy = Proxy(postgres_server.port)
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture
def schema() -> str:
    """Name a schema of the test's own."""
    return f"journal_{next(_NUMBERS)}"


@pytest.fixture
def store(schema: str, postgres_server: PostgresServer, proxy: Proxy) -> hh.PostgresStore:
    """Make a store behind the proxy."""
    url = postgres_server.url.replace(f":{postgres_server.port}/", f":{proxy.port}/")
    return hh.PostgresStore(url, schema=schema, timeout=0.5)


async def test_nothing_is_sent_while_the_journal_is_away(
    gateway: Gateway, fifth: Fifth, store: hh.PostgresStore, proxy: Proxy
) -> None:
    """The error says so. Afterwards the same client works."""
    gateway.accept("1")
    gateway.show("1", "done")
    async with fifth.open(store=store) as client:
        await proxy.stop()
        for _ in range(2):
            with pytest.raises(hh.StoreError, match="cannot be reached"):
                await client.submit(REQUEST)
        assert [] == gateway.seen("POST", "/videos")

        await proxy.start()
        task = await client.generate(REQUEST)

    assert hh.TaskStatus.SUCCEEDED is task.status
    assert 1 == len(gateway.seen("POST", "/videos"))


async def test_waiting_goes_on_while_the_journal_is_away_and_the_end_is_written_later(
    gateway: Gateway, fifth: Fifth, store: hh.PostgresStore, proxy: Proxy, caplog: Any
) -> None:
    """What is known stays in memory until the server is back."""
    caplog.set_level(logging.INFO)
    gateway.accept("1")
    gateway.show("1", "running")
    async with fifth.open(store=store) as client:
        handle = await client.submit(REQUEST)
        await proxy.stop()
        gateway.show("1", "done")
        task = await handle.wait(timeout=150)
        await proxy.start()

    assert hh.TaskStatus.SUCCEEDED is task.status
    async with fifth.open(store=store) as client:
        job = await client.job(handle.job_id)

    assert hh.JobState.SUCCEEDED is job.state


async def test_a_restart_of_the_server_in_the_middle_of_many_jobs(
    gateway: Gateway, fifth: Fifth, schema: str, postgres_server: PostgresServer
) -> None:
    """Each is sent once, and its end is recorded."""
    numbers = iter(range(1000))
    gateway.on("POST", "/videos", lambda _: {"id": str(next(numbers)), "status": "queued"})
    gateway.on(
        "GET",
        "/videos/*",
        lambda seen: {"id": seen.path.rpartition("/")[2], "status": "done", "urls": ["http://127.0.0.1/a.mp4"]},
    )
    patient = hh.PostgresStore(postgres_server.url, schema=schema, timeout=20.0)
    async with fifth.open(store=patient, limits=hh.Limits(submits_per_second=100)) as client:
        waiting = [asyncio.ensure_future(client.generate(REQUEST)) for _ in range(60)]
        await gateway.until(10, "POST", "/videos")
        await asyncio.to_thread(postgres_server.restart, "immediate")
        tasks = await asyncio.gather(*waiting)
        states = {job.state for job in await client.pending()}

    assert 60 == len({task.id for task in tasks}) == len(gateway.seen("POST", "/videos"))
    assert set() == states
