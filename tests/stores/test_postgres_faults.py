"""What becomes of a store when its PostgreSQL server stops, restarts, falls silent, or loses an answer."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from attrs import evolve

import happyhorse_async as hh
from happyhorse_async.errors import StoreError
from happyhorse_async.job import Job, JobState
from happyhorse_async.stores import PostgresStore

from ..postgres_proxy import Proxy
from ..postgres_server import PostgresServer

NewJob = Callable[..., Job]
OpenPostgres = Callable[..., Awaitable[PostgresStore]]


@pytest.fixture
def open_postgres(postgres: dict[str, str], opened: Any) -> OpenPostgres:
    """Open stores that share their tables."""
    return lambda **settings: opened(PostgresStore(**{**postgres, "takeover_after": 0.0, **settings}))


@pytest.fixture
async def proxy(postgres_server: PostgresServer) -> AsyncGenerator[Proxy]:
    """Serve a proxy before the server."""
    proxy = Proxy(postgres_server.port)
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture
def open_behind(proxy: Proxy, postgres: dict[str, str], postgres_server: PostgresServer, opened: Any) -> OpenPostgres:
    """Open stores behind the proxy."""
    url = postgres["url"].replace(f":{postgres_server.port}/", f":{proxy.port}/")
    return lambda **settings: opened(PostgresStore(**{**postgres, "url": url, "takeover_after": 0.0, **settings}))


async def cut_all(server: PostgresServer) -> None:
    """End every connection to the server but our own."""
    connection = await asyncpg.connect(server.url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    await connection.close()


async def eventually(attempt: Callable[[], Awaitable[Any]]) -> Any:
    """Try until the store answers: on a busy machine a short timeout may be over before a connection is made."""
    async with asyncio.timeout(20):
        while True:
            with suppress(StoreError):
                return await attempt()


async def test_a_restart_under_load_loses_nothing(
    open_postgres: OpenPostgres, new_job: NewJob, postgres_server: PostgresServer
) -> None:
    """Writes that are on their way when the server restarts are made afterwards, each once, and no caller sees it."""
    store = await open_postgres(timeout=30.0)
    restarted = asyncio.Event()

    async def write_until_restarted() -> list[Job]:
        jobs: list[Job] = []
        while not restarted.is_set() or not jobs:
            job = await store.add(new_job(owner=store.owner))
            job = evolve(job, state=JobState.SUBMITTING)
            changed = await store.change(job, only_from={JobState.QUEUED}, only_owner=store.owner)
            assert changed is not None
            jobs.append(changed)
        return jobs

    writers = [asyncio.ensure_future(write_until_restarted()) for _ in range(50)]
    await asyncio.sleep(0.1)
    for mode in ("fast", "immediate"):
        await asyncio.to_thread(postgres_server.restart, mode)
    restarted.set()
    written = [job for jobs in await asyncio.gather(*writers) for job in jobs]

    assert sorted(written, key=lambda job: job.job_id) == sorted(
        await store.unfinished("main"), key=lambda job: job.job_id
    )


async def test_cut_connections_are_opened_again(
    open_postgres: OpenPostgres, new_job: NewJob, postgres_server: PostgresServer
) -> None:
    """The next operation works, and nobody is told of it."""
    store = await open_postgres()
    job = await store.add(new_job())
    await store.get(job.job_id)
    await cut_all(postgres_server)

    assert job == await store.get(job.job_id)
    assert await store.change(evolve(job, owner="a")) is not None


async def test_a_server_that_is_away_is_a_store_error_and_one_line_of_the_log(
    open_behind: OpenPostgres, new_job: NewJob, proxy: Proxy, postgres_server: PostgresServer, caplog: Any
) -> None:
    """The error names the server, carries the job and shows no password. Afterwards the store works again."""
    caplog.set_level(logging.INFO)
    store = await eventually(lambda: open_behind(timeout=0.3))
    job = await eventually(lambda: store.add(new_job()))
    await proxy.stop()
    for _ in range(2):
        with pytest.raises(StoreError, match=r"postgresql://127.*cannot be reached") as caught:
            await store.add(new_job(job_id="lost"))

        assert "lost" == caught.value.job_id
    with pytest.raises(StoreError, match="cannot be reached"):
        await store.get(job.job_id)
    assert await store.is_alive("another")
    await proxy.start()
    async with asyncio.timeout(20):
        while "is back" not in caplog.text:
            await asyncio.sleep(0.01)

    assert job == await eventually(lambda: store.get(job.job_id))
    assert not await store.is_alive("another")
    lines = [record.getMessage() for record in caplog.records if "the job store " in record.getMessage()]
    words = ("retrying", "is back after")
    assert list(words) == [word for line in lines for word in words if word in line]
    assert postgres_server.password not in caplog.text + str(caught.value) + repr(store)


async def test_a_silent_server_is_given_up_in_time(open_behind: OpenPostgres, new_job: NewJob, proxy: Proxy) -> None:
    """A network that swallows everything does not hold a caller longer than `timeout`."""
    store = await eventually(lambda: open_behind(timeout=0.3))
    job = await eventually(lambda: store.add(new_job()))
    proxy.is_silent = True
    started = asyncio.get_running_loop().time()
    with pytest.raises(StoreError, match="did not answer in time"):
        await store.change(evolve(job, owner="a"))

    assert 20 > asyncio.get_running_loop().time() - started
    proxy.is_silent = False
    proxy.cut()

    assert await eventually(lambda: store.change(evolve(job, owner="b"))) is not None


async def test_a_commit_whose_answer_is_lost_is_recognised(
    open_behind: OpenPostgres, new_job: NewJob, proxy: Proxy
) -> None:
    """The conditions of a change do not hold for its own repetition, which succeeds all the same."""
    store = await open_behind(timeout=10.0)
    job = await store.add(new_job(owner="a"))
    proxy.lose_answer_to = b"COMMIT"
    taken = await store.change(evolve(job, owner="b"), only_from={JobState.QUEUED}, only_owner="a")

    assert 1 == proxy.lost
    assert evolve(job, owner="b") == taken == await store.get(job.job_id)

    proxy.lose_answer_to = b"COMMIT"
    added = await store.add(another := new_job(key="order-8472"))

    assert 2 == proxy.lost
    assert another == added


async def test_of_simultaneous_changes_one_wins_also_where_the_answer_is_lost(
    open_behind: OpenPostgres, new_job: NewJob, proxy: Proxy
) -> None:
    """The repeated group has the same winner."""
    store = await open_behind(timeout=10.0)
    job = await store.add(new_job())
    takers = [evolve(job, state=JobState.SUBMITTING, owner=str(number)) for number in range(20)]
    proxy.lose_answer_to = b"COMMIT"
    won = await asyncio.gather(*(store.change(taker, only_from={JobState.QUEUED}) for taker in takers))

    assert 1 == proxy.lost
    assert [await store.get(job.job_id)] == [taken for taken in won if taken is not None]


async def test_jobs_whose_takeover_was_not_answered_are_not_lost(
    open_behind: OpenPostgres, new_job: NewJob, proxy: Proxy
) -> None:
    """They belong to this process from then on, and no other one would take them."""
    store = await open_behind(timeout=10.0)
    endpoint = new_job().endpoint
    jobs = [await store.add(new_job(owner="dead")) for _ in range(5)]
    proxy.lose_answer_to = b"COMMIT"
    batches = await asyncio.gather(*(store.take_over([endpoint], [JobState.QUEUED], 2) for _ in range(4)))

    assert 1 == proxy.lost
    assert [2, 2, 1, 0] == [len(batch) for batch in batches]
    assert [evolve(job, owner=store.owner) for job in jobs] == [job for batch in batches for job in batch]


async def test_a_job_whose_commit_was_not_answered_is_reserved_once(
    open_behind: OpenPostgres, new_job: NewJob, proxy: Proxy
) -> None:
    """The repetition needs no room in the budget beside what it has reserved itself."""
    store = await open_behind(timeout=10.0)
    limits = hh.Budget("10 USD").limits
    price = hh.PriceEstimate(low=Decimal(6), high=Decimal(6), currency="USD")
    proxy.lose_answer_to = b"COMMIT"
    job = await store.add(new_job(price=price, durable=True), within=limits)
    proxy.lose_answer_to = b"COMMIT"
    await store.change(evolve(job, state=JobState.SUBMITTING), within=limits)

    assert 2 == proxy.lost
    assert [(6, 1)] == [(cost.amount, cost.jobs) for cost in await store.costs()]


async def test_several_processes_do_not_exceed_a_budget_together(open_postgres: OpenPostgres, new_job: NewJob) -> None:
    """Each waits until the other has written what it spends."""
    stores = [await open_postgres() for _ in range(3)]
    limits = hh.Budget("10 USD").limits
    price = hh.PriceEstimate(low=Decimal("0.7"), high=Decimal("0.7"), currency="USD")
    adds = [store.add(new_job(price=price, durable=True), within=limits) for store in stores * 10]
    results = await asyncio.gather(*adds, return_exceptions=True)

    assert 14 == sum(isinstance(result, Job) for result in results)
    assert 16 == sum(isinstance(result, hh.BudgetExceededError) for result in results)


async def test_a_change_that_was_reported_as_failed_can_be_made_again(
    open_behind: OpenPostgres, new_job: NewJob, proxy: Proxy
) -> None:
    """A commit may have been made although its caller was told otherwise: the job then goes on from either state."""
    store = await eventually(lambda: open_behind(timeout=0.5))
    job = await eventually(lambda: store.add(new_job(owner="a")))
    proxy.lose_answer_to = b"COMMIT"
    server, proxy.server_port = proxy.server_port, 1  # nothing listens there
    with pytest.raises(StoreError):
        await store.change(evolve(job, state=JobState.SUBMITTING), only_from={JobState.QUEUED})
    proxy.server_port = server

    assert 1 == proxy.lost
    again = evolve(job, state=JobState.SUBMITTING, submitted_at=job.created_at + timedelta(seconds=1))
    changed = await eventually(lambda: store.change(again, only_from={JobState.QUEUED}, only_owner="a"))
    assert again == changed
    assert await store.change(again, only_from={JobState.QUEUED}) is None


async def test_one_bad_job_does_not_fail_the_others(open_postgres: OpenPostgres, new_job: NewJob) -> None:
    """Of a group that is written together, each is answered for itself."""
    store = await open_postgres()
    await store.add(first := new_job(key="a"))
    await store.add(second := new_job(key="b"))
    long, odd, not_json = random.randbytes(9000).hex(), {"seed": float("nan")}, {"images": {1}}
    jobs = [new_job(), new_job(request=odd), new_job(key=long), new_job(request=not_json), new_job()]
    writes = [*(store.add(job) for job in jobs), store.change(evolve(second, key="a")), store.change(first)]
    results = await asyncio.gather(*writes, return_exceptions=True)

    assert [jobs[0], jobs[4], first] == [results[0], results[4], results[6]]
    for number, sentence in ((1, "not finite"), (2, "longer"), (3, "cannot be written as JSON"), (5, "same key")):
        assert isinstance(results[number], StoreError)
        assert sentence in str(results[number])


async def test_a_subscriber_whose_connection_was_cut_reads_everything_once(
    open_behind: OpenPostgres, open_postgres: OpenPostgres, new_job: NewJob, proxy: Proxy
) -> None:
    """What was changed meanwhile was not heard: it is told that any job may have changed."""
    store, other = await open_behind(), await open_postgres()
    told: list[Any] = []
    store.subscribe(told.append)
    job = await other.add(new_job())
    async with asyncio.timeout(20):
        while [[job.job_id]] != told:
            await asyncio.sleep(0.01)
        proxy.cut()
        while told[-1] is not None:
            await asyncio.sleep(0.01)

    assert 2 == len(told)


async def test_of_several_stores_none_takes_the_job_of_another(open_postgres: OpenPostgres, new_job: NewJob) -> None:
    """A row that is being taken is skipped, and not waited for."""
    stores = [await open_postgres() for _ in range(4)]
    jobs = await asyncio.gather(*(stores[0].add(new_job(owner="dead")) for _ in range(200)))
    taken: list[Job] = []

    async def take_all(store: PostgresStore) -> None:
        while len(taken) < len(jobs):
            taken.extend(batch := await store.take_over([jobs[0].endpoint], [JobState.QUEUED], 10))
            assert {store.owner} >= {job.owner for job in batch}

    await asyncio.gather(*(take_all(store) for store in stores))

    assert sorted(job.job_id for job in jobs) == sorted(job.job_id for job in taken)


async def test_permits_are_one_sequence_for_all_stores(open_postgres: OpenPostgres) -> None:
    """However many processes ask, and at the same moment."""
    stores = [await open_postgres() for _ in range(4)]
    waits = await asyncio.gather(*(store.pace("main/queries", 10.0) for store in stores * 5))

    assert list(range(20)) == [round(wait / 10) for wait in sorted(waits)]


async def test_a_cancelled_caller_does_not_undo_its_write(open_postgres: OpenPostgres, new_job: NewJob) -> None:
    """The write still happens."""
    store = await open_postgres()
    adding = asyncio.ensure_future(store.add(job := new_job()))
    await asyncio.sleep(0)
    adding.cancel()
    await asyncio.gather(adding, return_exceptions=True)
    await store.add(new_job())

    assert job == await store.get(job.job_id)
