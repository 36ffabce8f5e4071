"""Several processes on one PostgreSQL: which of them are alive, and what they hear of each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from happyhorse_async.job import Job
from happyhorse_async.stores import PostgresStore

from ..postgres_server import PostgresServer

NewJob = Callable[..., Job]
OpenPostgres = Callable[..., Awaitable[PostgresStore]]
Start = Callable[..., Awaitable[asyncio.subprocess.Process]]

_OPEN = """
from happyhorse_async.stores import PostgresStore

async def main():
    store = PostgresStore(sys.argv[1], schema=sys.argv[2])
    await store.open()
    job = await store.add(new_job(f"job-{os.getpid()}", key=sys.argv[3]))
    print(store.owner, job.job_id, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    await store.aclose()

asyncio.run(main())
"""


@pytest.fixture
def open_postgres(postgres: dict[str, str], opened: Any) -> OpenPostgres:
    """Open stores that share their tables."""
    return lambda **settings: opened(PostgresStore(**{**postgres, **settings}))


async def read(process: asyncio.subprocess.Process) -> list[str]:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().split()


async def test_a_killed_process_is_dead_and_a_closed_one_too(
    start: Start, open_postgres: OpenPostgres, postgres: dict[str, str]
) -> None:
    """The server frees the lock of a connection that has ended, however it ended."""
    store = await open_postgres(takeover_after=0.0)
    killed = await start(_OPEN, postgres["url"], postgres["schema"], "a")
    closed = await start(_OPEN, postgres["url"], postgres["schema"], "b")
    owners = [(await read(process))[0] for process in (killed, closed)]

    assert [True, True] == [await store.is_alive(owner) for owner in owners]

    killed.kill()
    await killed.wait()
    await closed.communicate(b"\n")
    async with asyncio.timeout(20):
        while any([await store.is_alive(owner) for owner in owners]):
            await asyncio.sleep(0.01)
    assert await store.is_alive(store.owner)


async def test_the_same_key_in_several_processes_makes_one_job(start: Start, postgres: dict[str, str]) -> None:
    """They create the tables at the same moment, too."""
    processes = [await start(_OPEN, postgres["url"], postgres["schema"], "order-8472") for _ in range(4)]
    found = [await read(process) for process in processes]

    assert 4 == len({owner for owner, _ in found})
    assert 1 == len({job_id for _, job_id in found})


async def test_nobody_is_dead_until_the_own_lock_is_old_enough(
    open_postgres: OpenPostgres, postgres_server: PostgresServer
) -> None:
    """After a restart of the server the living need time to take their locks again."""
    store = await open_postgres(takeover_after=0.2)

    assert await store.is_alive("gone")
    await asyncio.sleep(0.25)
    assert not await store.is_alive("gone")

    await asyncio.to_thread(postgres_server.restart)

    assert await store.is_alive("gone")
    async with asyncio.timeout(20):
        while await store.is_alive("gone"):
            await asyncio.sleep(0.01)
    assert await store.is_alive(store.owner)


async def test_a_process_is_alive_again_after_its_connection_was_cut(
    open_postgres: OpenPostgres, postgres_server: PostgresServer
) -> None:
    """It takes its lock again under the same name."""
    store, other = [await open_postgres(takeover_after=0.0) for _ in range(2)]
    owner = store.owner
    connection = await asyncpg.connect(postgres_server.url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'happyhorse-async' AND pid <> pg_backend_pid()"
    )
    await connection.close()
    async with asyncio.timeout(20):
        while not (await other.is_alive(owner) and await store.is_alive(other.owner)):
            await asyncio.sleep(0.01)

    assert owner == store.owner


async def test_stores_in_two_schemas_have_nothing_in_common(
    open_postgres: OpenPostgres, new_job: NewJob, postgres: dict[str, str]
) -> None:
    """One database may hold several."""
    store = await open_postgres()
    other = await open_postgres(schema=f"{postgres['schema']}_other")
    job = await store.add(new_job(key="order-8472"))

    assert await other.get(job.job_id) is None
    assert job != await other.add(new_job(key="order-8472"))
