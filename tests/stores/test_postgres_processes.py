"""Several processes on one PostgreSQL: which of them are alive, and what they hear of each other."""

from __future__ import annotations

import asyncio
import os
import signal
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
    async with asyncio.timeout(10):
        while any([await store.is_alive(owner) for owner in owners]):
            await asyncio.sleep(0.01)
    assert await store.is_alive(store.owner)


async def test_the_same_key_in_several_processes_makes_one_job(start: Start, postgres: dict[str, str]) -> None:
    """They create the tables at the same moment, too."""
    processes = [await start(_OPEN, postgres["url"], postgres["schema"], "order-8472") for _ in range(4)]
    found = [await read(process) for process in processes]

    assert 4 == len({owner for owner, _ in found})
    assert 1 == len({job_id for _, job_id in found})


async def cut_all(server: PostgresServer) -> None:
    connection = await asyncpg.connect(server.url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'happyhorse-async' AND pid <> pg_backend_pid()"
    )
    await connection.close()


async def dead_after(store: PostgresStore, owner: str) -> float:
    """Return after how many seconds *owner*, who has no lock, is dead."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(20):
        while await store.is_alive(owner):
            await asyncio.sleep(0.01)
    return loop.time() - began


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_all_are_alive_until_a_restarted_server_has_been_known_for_a_while(
    open_postgres: OpenPostgres, postgres_server: PostgresServer, mode: str
) -> None:
    """The living need time to take their locks again. That holds for a process that was started only after it, too."""
    store = await open_postgres(takeover_after=2.5)
    await dead_after(store, "gone")

    await asyncio.to_thread(postgres_server.restart, mode)
    newcomer = await open_postgres(takeover_after=2.5)

    assert 2.0 < min(await asyncio.gather(*(dead_after(each, "gone") for each in (store, newcomer))))
    assert await store.is_alive(store.owner)


async def test_a_crash_of_the_servers_processes_counts_like_a_restart(
    open_postgres: OpenPostgres, postgres_server: PostgresServer
) -> None:
    """When one of them is killed, the server forgets all locks, and goes on under the time of its first start."""
    store = await open_postgres(takeover_after=2.5)
    await dead_after(store, "gone")
    connection = await asyncpg.connect(postgres_server.url)
    os.kill(await connection.fetchval("SELECT pg_backend_pid()"), signal.SIGKILL)
    connection.terminate()
    newcomer = await open_postgres(takeover_after=2.5, timeout=20.0)

    assert 2.0 < await dead_after(newcomer, "gone")
    assert await store.is_alive(store.owner)


async def test_a_new_process_waits_only_for_a_moment_where_the_server_is_known(
    open_postgres: OpenPostgres, postgres: dict[str, str], start: Start
) -> None:
    """The server has all locks. But the connections of all others may just have been cut."""
    await open_postgres()
    connection = await asyncpg.connect(postgres["url"])
    await connection.execute(f"UPDATE {postgres['schema']}.server SET known_since = now() - interval '1 hour'")
    await connection.close()
    killed = await start(_OPEN, postgres["url"], postgres["schema"], "a")
    owner, _ = await read(killed)
    newcomer = await open_postgres(takeover_after=60.0)
    killed.kill()
    await killed.wait()

    assert await newcomer.is_alive(owner)
    assert 10.0 > await dead_after(newcomer, owner)


async def test_the_time_begins_anew_for_a_process_that_was_cut_off(
    open_postgres: OpenPostgres, postgres_server: PostgresServer
) -> None:
    """What has cut its connection may have cut those of others, who are on their way back."""
    store = await open_postgres(takeover_after=1.5)
    await dead_after(store, "gone")
    await cut_all(postgres_server)

    assert 1.0 < await dead_after(store, "gone")


async def test_a_process_is_alive_again_after_its_connection_was_cut(
    open_postgres: OpenPostgres, postgres_server: PostgresServer
) -> None:
    """It takes its lock again under the same name."""
    store, other = [await open_postgres(takeover_after=0.0) for _ in range(2)]
    owner = store.owner
    await cut_all(postgres_server)
    async with asyncio.timeout(10):
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
