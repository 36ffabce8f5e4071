"""A standby takes the place of a PostgreSQL server that has died."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

import pytest

from happyhorse_async.errors import StoreError
from happyhorse_async.job import Job, JobState
from happyhorse_async.stores import PostgresStore

from ..postgres_server import PostgresServer

NewJob = Callable[..., Job]

# pg_promote takes a few seconds on a busy machine.
_PATIENCE = 60.0


@pytest.fixture
def primary(postgres_server: PostgresServer) -> Generator[PostgresServer]:
    """Run a server that may be ended. Where none can be started, the fixture before it has skipped the test."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture
def standby(primary: PostgresServer) -> Generator[PostgresServer]:
    """Run a standby of the server."""
    server = PostgresServer(primary)
    yield server
    server.close()


async def test_after_a_failover_the_living_keep_their_jobs(
    primary: PostgresServer, standby: PostgresServer, new_job: NewJob, opened: Any
) -> None:
    """The new server has no locks at first. So none is taken to be dead, neither by those before nor by a newcomer."""
    url = f"{standby.url.rpartition('@')[0]}@127.0.0.1:{standby.port},127.0.0.1:{primary.port}/postgres"
    store, other = [await opened(PostgresStore(url, takeover_after=4.0, timeout=_PATIENCE)) for _ in range(2)]
    with pytest.raises(StoreError, match="takes no writes"):
        await PostgresStore(standby.url, timeout=2.0).open()
    mine = await store.add(new_job(owner=store.owner))
    left = await store.add(new_job(owner="gone"))
    await asyncio.to_thread(primary.stop)
    await asyncio.to_thread(standby.promote)
    newcomer = await opened(PostgresStore(url, takeover_after=4.0, timeout=_PATIENCE))
    promoted_at = asyncio.get_running_loop().time()

    assert [mine, left] == await newcomer.unfinished("main")
    taken: list[Job] = []
    async with asyncio.timeout(_PATIENCE):
        while not taken:
            stores = (store, other, newcomer)
            batches = await asyncio.gather(*(each.take_over([mine.endpoint], [JobState.QUEUED], 9) for each in stores))
            taken = [job for batch in batches for job in batch]
            await asyncio.sleep(0.05)
    assert asyncio.get_running_loop().time() > promoted_at + 2.5
    assert [left.job_id] == [job.job_id for job in taken]
    assert await other.is_alive(store.owner)
