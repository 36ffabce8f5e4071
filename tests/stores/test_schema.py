"""The tables: how they come about, what people can read in them, and that look-ups do not read everything."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Generator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from attrs import evolve

from happyhorse_async.job import Job, JobState
from happyhorse_async.stores import SQLiteStore
from happyhorse_async.stores.retention import Retention
from happyhorse_async.stores.sqlite.schema import APPLICATION_ID, MIGRATIONS, migrate, pragma
from happyhorse_async.stores.sqlite.statements import Jobs
from happyhorse_async.task import Task, TaskRef, TaskStatus

NewJob = Callable[..., Job]
OpenFile = Callable[..., Awaitable[SQLiteStore]]

FIRST = ("CREATE TABLE toys (name TEXT)", "INSERT INTO toys VALUES ('train')")
SECOND = ("ALTER TABLE toys ADD COLUMN wheels INTEGER", "UPDATE toys SET wheels = 4")
BROKEN = ("ALTER TABLE toys ADD COLUMN colour TEXT", "UPDATE toys SET colour = no_such_function()")


@pytest.fixture
def connection(path: Path) -> Generator[sqlite3.Connection]:
    """Connect to an empty file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


def toys(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    return [tuple(row) for row in connection.execute("SELECT * FROM toys")]


def test_an_older_file_is_brought_forward(connection: sqlite3.Connection) -> None:
    """A file gets the migrations it lacks, in order, each once, and keeps what is in it."""
    migrate(connection, [FIRST])
    connection.execute("INSERT INTO toys VALUES ('horse')")
    migrate(connection, [FIRST, SECOND])
    migrate(connection, [FIRST, SECOND])

    assert [("train", 4), ("horse", 4)] == toys(connection)
    assert 2 == pragma(connection, "user_version")
    assert APPLICATION_ID == pragma(connection, "application_id")


def test_a_migration_that_fails_changes_nothing(connection: sqlite3.Connection) -> None:
    """Where one of several migrations fails, the file is as it was before the first."""
    migrate(connection, [FIRST])
    with pytest.raises(sqlite3.OperationalError, match="no_such_function"):
        migrate(connection, [FIRST, SECOND, BROKEN])

    assert [("train",)] == toys(connection)
    assert 1 == pragma(connection, "user_version")
    assert not connection.in_transaction


def test_a_file_that_was_upgraded_meanwhile_is_not_set_back(connection: sqlite3.Connection) -> None:
    """A process of the older version that comes late leaves the newer version's number."""
    migrate(connection, [FIRST, SECOND])
    migrate(connection, [FIRST])

    assert 2 == pragma(connection, "user_version")


@pytest.mark.fault(73)
async def test_a_file_of_version_1(path: Path, connection: sqlite3.Connection, new_job: NewJob) -> None:
    """A file that was made by the first version is opened, and its jobs are found."""
    migrate(connection, MIGRATIONS[:1])
    connection.execute(
        "INSERT INTO jobs"
        " (job_id, state, provider, adapter, base_url, model, task_id, durable, fingerprint, created_at, saved_to)"
        " VALUES ('1', 'ACCEPTED', 'main', 'fifth', 'https://fifth.example/api', 'fifth-t2v', 'abc', 1, 'f00d',"
        " '2026-11-21T12:00:00.000000+00:00', '/videos/a.mp4')"
    )
    job = new_job(
        job_id="1",
        state=JobState.ACCEPTED,
        created_at=datetime(2026, 11, 21, 12, tzinfo=UTC),
        task_id="abc",
        durable=True,
        fingerprint="f00d",
        saved_to="/videos/a.mp4",
    )
    store = SQLiteStore(path)
    await store.open()
    found = await store.by_ref(TaskRef("main", "abc"))
    changed = evolve(job, save_to="/videos")
    await store.change(changed)
    again = await store.get("1")
    await store.aclose()

    assert job == found
    assert changed == again
    assert len(MIGRATIONS) == pragma(connection, "user_version")


@pytest.mark.fault(73)
@pytest.mark.fault(74)
async def test_who_has_a_file_of_version_1_open(
    path: Path, connection: sqlite3.Connection, open_file: OpenFile, new_job: NewJob
) -> None:
    """A process of the first version that still has the file open goes on with it after the migration."""
    migrate(connection, MIGRATIONS[:1])
    columns = [row["name"] for row in connection.execute("PRAGMA table_info(jobs)") if row["name"] != "number"]
    store = await open_file()
    job = await store.add(new_job(job_id="1", save_to="/videos"))
    update = f"UPDATE jobs SET {', '.join(f'{name} = :{name}' for name in columns)} WHERE job_id = '1'"
    row = dict(connection.execute("SELECT * FROM jobs").fetchone())
    connection.execute(update, {**{name: row[name] for name in columns}, "state": "ACCEPTED", "task_id": "abc"})

    assert evolve(job, state=JobState.ACCEPTED, task_id="abc") == await store.get("1")


async def test_people_can_read_it(path: Path, open_file: OpenFile, new_job: NewJob) -> None:
    """The columns hold words, ISO timestamps and JSON, in UTF-8."""
    store = await open_file()
    moment = datetime(2026, 11, 21, 12, tzinfo=UTC)
    task = Task(ref=TaskRef("main", "abc"), status=TaskStatus.RUNNING, progress=40.0, observed_at=moment)
    job = new_job(job_id="1", key="order", created_at=moment, submitted_at=moment, request={"prompt": "夜の列車"})
    await store.add(evolve(job, task_id="abc", task=task, saved_to="/videos/a.mp4", owner="o", failure="none"))
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        row = dict(connection.execute("SELECT * FROM jobs").fetchone())
        mode = connection.execute("PRAGMA journal_mode").fetchone()
        ours = pragma(connection, "application_id")

    assert {
        "job_id": "1",
        "key": "order",
        "state": "QUEUED",
        "provider": "main",
        "adapter": "fifth",
        "base_url": "https://fifth.example/api",
        "model": "fifth-t2v",
        "task_id": "abc",
        "owner": "o",
        "created_at": "2026-11-21T12:00:00.000000+00:00",
        "submitted_at": "2026-11-21T12:00:00.000000+00:00",
        "saved_to": "/videos/a.mp4",
        "failure": "none",
        "request": '{"prompt": "夜の列車"}',
        "task": (
            '{"ref": "main:abc", "status": "RUNNING", "progress": 40.0, "observed_at": "2026-11-21T12:00:00+00:00"}'
        ),
    }.items() <= row.items()
    assert "wal" == mode[0]
    assert APPLICATION_ID == ours


def test_nothing_reads_the_whole_table(connection: sqlite3.Connection, new_job: NewJob) -> None:
    """Every look-up, change and erasure finds its rows by an index."""
    migrate(connection)
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    jobs = Jobs(Retention(prompts=0.0, closed=0.0))
    job = jobs.add(connection, new_job(key="order-8472"))
    jobs.change(connection, job, JobState.QUEUED, None)
    jobs.get(connection, job.job_id)
    jobs.by_key(connection, "order-8472")
    jobs.by_ref(connection, TaskRef("main", "1"))
    jobs.unfinished(connection, "main")
    jobs.forget(connection)
    connection.set_trace_callback(None)
    plans = {
        statement: [step["detail"] for step in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
        for statement in statements
        if not statement.lstrip().startswith(("BEGIN", "COMMIT", "INSERT"))
    }
    steps = [step for plan in plans.values() for step in plan]

    assert 9 == len(plans)
    assert [] == [step for step in steps if "USING" not in step]
    assert [] == [step for step in steps if "TEMP B-TREE" in step]
