"""Enqueued jobs as workflows of DBOS, in one process, with the tables of both in files."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer
from dbos import error as dbos_errors

import happyhorse_async as hh

from ..conftest import Fifth, Gateway

WANTED = hh.TextToVideo("a boat")

HAS_MILLISECONDS = sys.version_info < (3, 12) or sqlite3.sqlite_version_info >= (3, 42)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Where DBOS has its tables."""
    if not HAS_MILLISECONDS:
        pytest.skip(f"DBOS needs SQLite 3.42 with Python 3.12 and newer, and this is {sqlite3.sqlite_version}")
    return f"sqlite:///{tmp_path / 'dbos.sqlite'}"


@pytest.fixture
def store(tmp_path: Path) -> hh.SQLiteStore:
    """Keep jobs in a file."""
    return hh.SQLiteStore(tmp_path / "jobs.sqlite")


@pytest.fixture(autouse=True)
async def no_dbos_left() -> AsyncIterator[None]:
    """Make sure that no test leaves a DBOS to the next one."""
    yield
    try:
        assert not await asyncio.to_thread(is_launched)
    finally:
        await asyncio.to_thread(DBOS.destroy)


def is_launched() -> bool:
    """Return whether this process has a DBOS that runs."""
    try:
        DBOS.list_queues()
    except dbos_errors.DBOSException:
        return False
    return True


def engine(url: str | None, **options: Any) -> hh.DBOSEngine:
    """Make an engine that asks for new workflows often."""
    return hh.DBOSEngine(url, polling_interval=0.05, **options)


async def workflow(url: str, job_id: str) -> Any:
    """Wait until the workflow of a job has ended, and return what DBOS shows of it."""

    def look() -> Any:
        client = DBOSClient(system_database_url=url, serializer=DBOSPortableJSONSerializer())
        try:
            return client.list_workflows(workflow_ids=[job_id])
        finally:
            client.destroy()

    async with asyncio.timeout(20):
        while True:
            found = await asyncio.to_thread(look)
            if found and found[0].status in ("SUCCESS", "ERROR"):
                return found[0]
            await asyncio.sleep(0.05)


async def test_an_enqueued_job_is_a_workflow_with_its_id(
    fifth: Fifth, gateway: Gateway, store: hh.SQLiteStore, url: str
) -> None:
    """It is sent once, and what DBOS keeps of it is plain and holds no URL of the video."""
    gateway.accept("t-1")
    gateway.show("t-1", "running", "done")

    async with fifth.open(store=store, engine=engine(url)) as client:
        handle = await client.enqueue(WANTED)
        task = await handle.wait(timeout=150)
        found = await workflow(url, handle.job_id)

    assert (hh.TaskStatus.SUCCEEDED, "t-1") == (task.status, task.id)
    assert 1 == len(gateway.seen("POST"))
    assert ("SUCCESS", "happyhorse") == (found.status, found.queue_name)
    assert {"job_id": handle.job_id, "ref": "fifth:t-1", "status": "SUCCEEDED"} == found.output


async def test_a_failed_job_is_a_failed_workflow(
    fifth: Fifth, gateway: Gateway, store: hh.SQLiteStore, url: str
) -> None:
    """The workflow ends with the job, and is not tried again."""
    gateway.accept("t-1")
    gateway.show("t-1", "failed")

    async with fifth.open(store=store, engine=engine(url)) as client:
        handle = await client.enqueue(WANTED)
        with pytest.raises(hh.TaskFailedError):
            await handle.wait(timeout=150)
        found = await workflow(url, handle.job_id)

    assert "ERROR" == found.status
    assert 1 == len(gateway.seen("POST"))


async def test_a_process_that_does_not_work_only_enqueues(
    fifth: Fifth, gateway: Gateway, tmp_path: Path, url: str
) -> None:
    """It launches no DBOS, and a process that works runs the job, whose end the first one is told."""
    gateway.accept("t-1", "t-2")
    gateway.show("t-1", "done")
    gateway.show("t-2", "done")
    path = tmp_path / "jobs.sqlite"
    # The tables of DBOS are made by the first process that works.
    async with fifth.open(store=hh.SQLiteStore(path), engine=engine(url)):
        pass

    async with fifth.open(store=hh.SQLiteStore(path), engine=engine(url), work=False) as web:
        enqueued = await web.enqueue(WANTED)
        submitted = asyncio.create_task(web.submit(WANTED))
        assert not await asyncio.to_thread(is_launched)
        assert [] == gateway.seen("POST")

        async with fifth.client(store=hh.SQLiteStore(path), engine=engine(url)):
            assert hh.TaskStatus.SUCCEEDED == (await enqueued.wait(timeout=150)).status
            assert hh.TaskStatus.SUCCEEDED == (await (await submitted).wait(timeout=150)).status

    assert 2 == len(gateway.seen("POST"))


async def test_a_submit_is_sent_by_the_process_itself(
    fifth: Fifth, gateway: Gateway, store: hh.SQLiteStore, url: str
) -> None:
    """Its caller waits for the acceptance; there is no workflow."""
    gateway.accept("t-1")
    gateway.show("t-1", "done")

    async with fifth.open(store=store, engine=engine(url)) as client:
        task = await client.generate(WANTED)
        workflows = await asyncio.to_thread(DBOS.list_workflows)

    assert hh.TaskStatus.SUCCEEDED == task.status
    assert [] == workflows


async def test_the_programs_own_dbos_is_used_and_left_alone(
    fifth: Fifth, gateway: Gateway, store: hh.SQLiteStore, url: str
) -> None:
    """The engine neither launches nor destroys it, and needs no URL."""
    gateway.accept("t-1")
    gateway.show("t-1", "done")
    mine = engine(None)
    DBOS(config={"name": "program", "system_database_url": url, "executor_id": "mine", "log_level": "ERROR"})
    DBOS.launch()
    try:
        async with fifth.open(store=store, engine=mine) as client:
            handle = await client.enqueue(WANTED)
            assert hh.TaskStatus.SUCCEEDED == (await handle.wait(timeout=150)).status
            found = await workflow(url, handle.job_id)

        assert ("SUCCESS", "mine") == (found.status, found.executor_id)
        assert await asyncio.to_thread(is_launched)
    finally:
        await asyncio.to_thread(DBOS.destroy)


async def test_an_executor_id_that_all_processes_have_is_warned_of(
    fifth: Fifth, store: hh.SQLiteStore, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is the default of DBOS."""
    mine = engine(None)
    DBOS(config={"name": "program", "system_database_url": url, "log_level": "ERROR"})
    DBOS.launch()
    try:
        async with fifth.open(store=store, engine=mine):
            pass
    finally:
        await asyncio.to_thread(DBOS.destroy)

    assert "has the executor id 'local'" in caplog.text


async def test_a_dbos_that_was_made_and_not_launched_is_an_error(fifth: Fifth, store: hh.SQLiteStore, url: str) -> None:
    """Whose it is cannot be known, and what it is configured with would be ignored."""
    DBOS(config={"name": "program", "system_database_url": url, "executor_id": "mine", "log_level": "ERROR"})

    with pytest.raises(hh.ConfigurationError, match=r"DBOS\.launch\(\) before"):
        async with fifth.open(store=store, engine=engine(url)):
            pass


async def test_a_job_waits_in_the_workflow_while_its_client_is_closed(
    fifth: Fifth, gateway: Gateway, tmp_path: Path, url: str
) -> None:
    """The next client goes on with it, and pays nothing."""
    gateway.accept("t-1")
    gateway.show("t-1", "running")
    path = tmp_path / "jobs.sqlite"
    async with fifth.open(store=hh.SQLiteStore(path), engine=engine(url)) as client:
        handle = await client.enqueue(WANTED)
        await gateway.until(1, "GET", "/videos/t-1")

    gateway.show("t-1", "done")
    async with fifth.open(store=hh.SQLiteStore(path), engine=engine(url)):
        found = await workflow(url, handle.job_id)

    assert "SUCCESS" == found.status
    assert "happyhorse-again" == found.queue_name
    assert 1 == len(gateway.seen("POST"))


async def test_an_engine_needs_a_store_that_lasts(fifth: Fifth, url: str) -> None:
    """What is recorded in memory, no other process could run."""
    with pytest.raises(hh.ConfigurationError, match="store that lasts"):
        async with fifth.open(engine=engine(url)):
            pass


async def test_without_a_url_the_database_of_the_store_is_needed(fifth: Fifth, store: hh.SQLiteStore) -> None:
    """A file of jobs says nothing of where DBOS has its tables."""
    with pytest.raises(hh.ConfigurationError, match="needs the URL"):
        async with fifth.open(store=store, engine=engine(None)):
            pass


async def test_an_engine_belongs_to_one_client(fifth: Fifth, tmp_path: Path, url: str) -> None:
    """A second client could not tell its workflows from those of the first."""
    shared = engine(url)
    async with fifth.open(store=hh.SQLiteStore(tmp_path / "jobs.sqlite"), engine=shared):
        with pytest.raises(RuntimeError, match="already open"):
            async with fifth.open(store=hh.SQLiteStore(tmp_path / "other.sqlite"), engine=shared):
                pass


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making an engine says what to install."""
    monkeypatch.setitem(sys.modules, "dbos", None)

    with pytest.raises(hh.ConfigurationError, match=r"happyhorse-async\[dbos\]"):
        hh.DBOSEngine("sqlite:///x")


@pytest.mark.parametrize(
    "options", [{"name": "x"}, {"name": "With Space"}, {"concurrency": 0}, {"polling_interval": 0}]
)
def test_values_that_cannot_be_used_are_refused(options: dict[str, Any]) -> None:
    """DBOS would refuse them later, or not at all."""
    with pytest.raises(hh.ConfigurationError):
        hh.DBOSEngine("sqlite:///x", **options)


@pytest.mark.skipif(HAS_MILLISECONDS, reason="this SQLite is new enough for DBOS")
async def test_a_sqlite_that_is_too_old_is_named(fifth: Fifth, store: hh.SQLiteStore, tmp_path: Path) -> None:
    """DBOS would fail with an error about a constraint of one of its tables."""
    with pytest.raises(hh.ConfigurationError, match=r"SQLite 3\.42"):
        async with fifth.open(store=store, engine=hh.DBOSEngine(f"sqlite:///{tmp_path / 'dbos.sqlite'}")):
            pass


async def test_a_database_that_cannot_be_used_is_named_without_its_password(
    fifth: Fifth, store: hh.SQLiteStore
) -> None:
    """Its URL holds a password."""
    with pytest.raises(hh.HappyHorseError) as caught:
        async with fifth.open(store=store, engine=engine("nonsense://me:s3cr3t@nowhere/x")):
            pass

    assert "s3cr3t" not in repr(caught.value)
    assert caught.value.__cause__ is None
