"""The tables: how they are created and migrated, what people can read in them, and that indexes are used."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Generator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from attrs import evolve

from happyhorse_async.job import Job, JobError, JobState
from happyhorse_async.stores import SQLiteStore
from happyhorse_async.stores.retention import Retention
from happyhorse_async.stores.sqlite import sharing
from happyhorse_async.stores.sqlite.schema import APPLICATION_ID, migrate, pragma
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


def test_an_older_file_gets_the_migrations_it_lacks(connection: sqlite3.Connection) -> None:
    """They are applied in order, each once, and the content is kept."""
    migrate(connection, [FIRST])
    connection.execute("INSERT INTO toys VALUES ('horse')")
    migrate(connection, [FIRST, SECOND])
    migrate(connection, [FIRST, SECOND])

    assert [("train", 4), ("horse", 4)] == toys(connection)
    assert 2 == pragma(connection, "user_version")
    assert APPLICATION_ID == pragma(connection, "application_id")


def test_a_failed_migration_changes_nothing(connection: sqlite3.Connection) -> None:
    """Where one of several migrations fails, the file is as it was before the first."""
    migrate(connection, [FIRST])
    with pytest.raises(sqlite3.OperationalError, match="no_such_function"):
        migrate(connection, [FIRST, SECOND, BROKEN])

    assert [("train",)] == toys(connection)
    assert 1 == pragma(connection, "user_version")
    assert not connection.in_transaction


def test_an_older_version_does_not_set_the_version_of_the_file_back(connection: sqlite3.Connection) -> None:
    """A process of the older version may open the file after the upgrade."""
    migrate(connection, [FIRST, SECOND])
    migrate(connection, [FIRST])

    assert 2 == pragma(connection, "user_version")


async def test_people_can_read_the_file(path: Path, open_file: OpenFile, new_job: NewJob) -> None:
    """The columns hold words, ISO timestamps and JSON, in UTF-8."""
    store = await open_file()
    moment = datetime(2026, 11, 21, 12, tzinfo=UTC)
    task = Task(ref=TaskRef("main", "abc"), status=TaskStatus.RUNNING, progress=40.0, observed_at=moment)
    job = new_job(job_id="1", key="order", created_at=moment, submitted_at=moment, request={"prompt": "夜の列車"})
    await store.add(
        evolve(
            job,
            task_id="abc",
            task=task,
            saved_to="/videos/a.mp4",
            owner="o",
            error=JobError(type="StoreError", message="none"),
        )
    )
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
        "error": '{"type": "StoreError", "message": "none"}',
        "request": '{"prompt": "夜の列車"}',
        "task": (
            '{"ref": "main:abc", "status": "RUNNING", "progress": 40.0, "observed_at": "2026-11-21T12:00:00+00:00"}'
        ),
    }.items() <= row.items()
    assert "wal" == mode[0]
    assert APPLICATION_ID == ours


def test_no_statement_reads_the_whole_table(connection: sqlite3.Connection, new_job: NewJob) -> None:
    """Every query, change and erasure finds its rows by an index."""
    migrate(connection)
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    jobs = Jobs(Retention(prompts=0.0, closed=0.0))
    job = jobs.add(connection, new_job(key="order-8472"))
    jobs.change(connection, job, {JobState.QUEUED}, None)
    jobs.get(connection, job.job_id)
    jobs.by_key(connection, "order-8472")
    jobs.by_ref(connection, TaskRef("main", "1"))
    jobs.unfinished(connection, "main")
    jobs.unfinished(connection, "main", [JobState.QUEUED])
    jobs.get_many(connection, [job.job_id, "another"])
    numbers = sharing.orphans(connection, [job.endpoint], [JobState.QUEUED], 10, lambda _: False)
    jobs.release(connection, numbers.taken)
    jobs.take(connection, numbers.taken, "me")
    sharing.count(connection, [job.endpoint], [JobState.QUEUED])
    sharing.changed_after(connection, sharing.last_change(connection) - 1)
    sharing.pace(connection, "main/queries", 0.0)
    jobs.forget(connection)
    connection.set_trace_callback(None)
    plans = {
        statement: [step["detail"] for step in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
        for statement in statements
        if not statement.lstrip().startswith(("BEGIN", "COMMIT", "INSERT"))
    }
    steps = [step for plan in plans.values() for step in plan]
    # These read nothing themselves, or only what the steps beside them have found.
    harmless = (
        "SCALAR SUBQUERY",
        "CORRELATED SCALAR SUBQUERY",
        "CO-ROUTINE",
        "SETUP",
        "RECURSIVE STEP",
        "SCAN owners",
        "SCAN CONSTANT ROW",
    )
    # What is found in several places of an index, or is counted, is sorted afterwards.
    sorting = ("job_id IN", "state IN", "GROUP BY")

    assert 21 == len(plans)
    assert [] == [
        step for step in steps if not step.startswith(harmless) and "USING" not in step and "B-TREE" not in step
    ]
    assert [] == [
        statement
        for statement, plan in plans.items()
        if "TEMP B-TREE" in str(plan) and not any(words in statement for words in sorting)
    ]
