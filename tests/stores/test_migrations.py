"""Journals that were written by earlier versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Generator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from attrs import evolve

from happyhorse_async.errors import StoreError
from happyhorse_async.job import Job, JobState
from happyhorse_async.stores import SQLiteStore
from happyhorse_async.stores.sqlite.owner_lock import OwnerFile, new_owner
from happyhorse_async.stores.sqlite.schema import MIGRATIONS, migrate, pragma
from happyhorse_async.task import TaskRef, Video

NewJob = Callable[..., Job]
OpenFile = Callable[..., Awaitable[SQLiteStore]]

# The tables as version 3 made them, and nothing else that is in this file: what was released does not change.
VERSION_3 = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY,
    job_id TEXT NOT NULL UNIQUE,
    key TEXT UNIQUE,
    state TEXT NOT NULL,
    provider TEXT NOT NULL,
    adapter TEXT NOT NULL,
    base_url TEXT NOT NULL,
    model TEXT NOT NULL,
    task_id TEXT,
    owner TEXT,
    durable INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    submitted_at TEXT,
    settled_at TEXT,
    closed_at TEXT,
    saved_to TEXT,
    failure TEXT,
    fingerprint TEXT NOT NULL,
    task TEXT,
    videos_until TEXT,
    padding BLOB,
    videos TEXT,
    callback_url TEXT,
    request TEXT,
    body BLOB
);
CREATE INDEX jobs_unfinished ON jobs (provider, number) WHERE state <> 'CLOSED';
CREATE INDEX jobs_by_task ON jobs (provider, task_id) WHERE task_id IS NOT NULL;
CREATE INDEX jobs_by_closing ON jobs (closed_at) WHERE closed_at IS NOT NULL;
CREATE INDEX jobs_with_videos ON jobs (videos_until) WHERE videos IS NOT NULL;
CREATE INDEX jobs_with_prompts ON jobs (settled_at) WHERE settled_at IS NOT NULL AND request IS NOT NULL;
CREATE TABLE notes (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
ALTER TABLE jobs ADD COLUMN save_to TEXT;
PRAGMA application_id = 1212703082;
PRAGMA user_version = 3;
PRAGMA journal_mode = WAL;
"""

SETTLED = "2026-11-21T12:01:00.000000+00:00"
EXPIRES = "9000-01-01T00:00:00+00:00"
VIDEOS = f'[{{"url": "https://cdn.example/a.mp4", "expires_at": "{EXPIRES}"}}]'


@pytest.fixture
def connection(path: Path) -> Generator[sqlite3.Connection]:
    """Connect to an empty file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


def insert_version_3(connection: sqlite3.Connection, job_id: str, **columns: object) -> None:
    row = {
        "job_id": job_id,
        "state": "CLOSED",
        "provider": "main",
        "adapter": "fifth",
        "base_url": "https://fifth.example/api",
        "model": "fifth-t2v",
        "durable": 0,
        "fingerprint": "",
        "created_at": "2026-11-21T12:00:00.000000+00:00",
        **({"settled_at": SETTLED, "closed_at": SETTLED} if columns.get("state", "CLOSED") == "CLOSED" else {}),
        **columns,
    }
    names = ", ".join(row)
    connection.execute(f"INSERT INTO jobs ({names}) VALUES ({', '.join(f':{name}' for name in row)})", row)


def task_of_version_3(status: str, **columns: object) -> dict[str, object]:
    return {"task_id": "abc", "task": f'{{"ref": "main:abc", "status": "{status}"}}', **columns}


UNSAVED = {"videos": VIDEOS, "videos_until": EXPIRES, "save_to": "/videos"}


@pytest.mark.fault(73)
@pytest.mark.parametrize(
    ("columns", "state", "error", "finished"),
    [
        (task_of_version_3("SUCCEEDED"), JobState.SUCCEEDED, None, True),
        (task_of_version_3("SUCCEEDED", save_to="/v", saved_to="/v/a.mp4"), JobState.SUCCEEDED, None, True),
        (task_of_version_3("SUCCEEDED", save_to="/v", failure="late"), JobState.SUCCEEDED, "DownloadError", True),
        (task_of_version_3("SUCCEEDED", state="ACCEPTED", **UNSAVED), JobState.SUCCEEDED, None, False),
        (task_of_version_3("SUCCEEDED", state="ACCEPTED"), JobState.SUCCEEDED, None, True),
        (task_of_version_3("FAILED"), JobState.FAILED, None, True),
        (task_of_version_3("CANCELED"), JobState.CANCELED, None, True),
        (task_of_version_3("EXPIRED"), JobState.EXPIRED, None, True),
        (task_of_version_3("RUNNING", state="ACCEPTED"), JobState.ACCEPTED, None, False),
        ({"task_id": "abc", "state": "ACCEPTED"}, JobState.ACCEPTED, None, False),
        (task_of_version_3("RUNNING"), JobState.ACCEPTED, None, False),
        ({"failure": "the prompt is rejected"}, JobState.REFUSED, "InvalidRequestError", True),
        ({}, JobState.WITHDRAWN, None, True),
        ({"state": "QUEUED"}, JobState.QUEUED, None, False),
        ({"state": "SUBMITTING"}, JobState.SUBMITTING, None, False),
        ({"state": "OUTCOME_UNKNOWN", "failure": "cut"}, JobState.OUTCOME_UNKNOWN, "SubmitOutcomeUnknownError", False),
    ],
)
async def test_a_job_of_version_3_gets_its_final_state(
    connection: sqlite3.Connection,
    open_file: OpenFile,
    columns: dict[str, object],
    state: JobState,
    error: str | None,
    finished: bool,
) -> None:
    """Version 3 knew one final state, and one text for what went wrong."""
    connection.executescript(VERSION_3)
    insert_version_3(connection, "1", **columns)
    store = await open_file(keep_closed=None)
    job = await store.get("1")

    assert job is not None
    assert state is job.state
    assert error == (job.error and job.error.type)
    assert columns.get("failure") == (job.error and job.error.message)
    assert ([] if finished else [job]) == await store.unfinished("main")
    # A state from which it does not follow whether a job is finished would be lost by the next write.
    assert job == await store.change(job)
    assert ([] if finished else [job]) == await store.unfinished("main")


@pytest.mark.fault(73)
async def test_a_journal_of_version_3_is_upgraded_whole(
    path: Path, connection: sqlite3.Connection, open_file: OpenFile
) -> None:
    """Keys, notes and the order of the jobs stay; a key is held by a job with a task, and by no other one."""
    connection.executescript(VERSION_3)
    insert_version_3(connection, "1", key="a", state="QUEUED", request='{"prompt": "train"}', body=b"{}")
    insert_version_3(connection, "2", key="b", **task_of_version_3("SUCCEEDED", videos=VIDEOS, videos_until=EXPIRES))
    insert_version_3(connection, "3", key="c")
    connection.execute("INSERT INTO notes VALUES ('durations', 'text')")
    store = await open_file(keep_closed=None)
    found = [await store.by_key(key) for key in ("a", "b", "c")]

    assert ["1", "2", "3"] == [job.job_id for job in found if job]
    assert found[0] is not None
    assert ({"prompt": "train"}, b"{}") == (found[0].request, found[0].body)
    assert found[1] is not None
    assert found[1].task is not None
    assert (Video(url="https://cdn.example/a.mp4", expires_at=datetime.fromisoformat(EXPIRES)),) == found[1].task.videos
    assert "text" == await store.get_note("durations")
    assert ["a", "b", None] == [row["key"] for row in connection.execute("SELECT key FROM jobs ORDER BY number")]
    assert len(MIGRATIONS) == pragma(connection, "user_version")


async def test_an_unreadable_task_does_not_prevent_the_upgrade(
    connection: sqlite3.Connection, open_file: OpenFile
) -> None:
    """The other jobs are there; the unreadable one is named by the error."""
    connection.executescript(VERSION_3)
    insert_version_3(connection, "1", task_id="abc", task="{")
    insert_version_3(connection, "2", **task_of_version_3("FAILED"))
    store = await open_file(keep_closed=None)
    found = await store.get("2")
    with pytest.raises(StoreError, match=r"job 1 .*cannot be read"):
        await store.get("1")

    assert found is not None
    assert JobState.FAILED is found.state


@pytest.mark.fault(73)
async def test_a_file_is_not_upgraded_while_an_earlier_version_uses_it(
    path: Path, connection: sqlite3.Connection
) -> None:
    """A process of the earlier version could not read the new states. Once it has ended, the file is upgraded."""
    connection.executescript(VERSION_3)
    owner = OwnerFile(path, new_owner())
    owner.acquire()
    store = SQLiteStore(path)
    with pytest.raises(StoreError, match=r"earlier version .*end that process") as caught:
        await store.open()

    assert str(path) in str(caught.value)
    assert 3 == pragma(connection, "user_version")

    owner.release()
    await store.open()
    await store.aclose()

    assert len(MIGRATIONS) == pragma(connection, "user_version")


def test_the_first_migrations_are_those_that_were_released(tmp_path: Path) -> None:
    """They are made from the table of columns. An edit of it must not change what older files look like."""
    schemas: list[list[tuple[object, ...]]] = []
    for name in ("text", "migrations"):
        with closing(sqlite3.connect(tmp_path / name, isolation_level=None)) as connection:
            if name == "text":
                connection.executescript(VERSION_3)
            else:
                migrate(connection, MIGRATIONS[:3])
            columns = connection.execute(
                'SELECT cid, name, type, "notnull", pk FROM pragma_table_info("jobs")'
            ).fetchall()
            indexes = connection.execute(
                "SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY 1"
            ).fetchall()
            schemas.append(columns + indexes)

    assert schemas[0] == schemas[1]


@pytest.mark.fault(73)
async def test_a_file_of_version_1_is_upgraded(path: Path, connection: sqlite3.Connection, new_job: NewJob) -> None:
    """Its jobs are found, and can be changed."""
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
