"""The tables in PostgreSQL: made once, readable with psql, and left alone where they are not ours."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from happyhorse_async.errors import StoreError
from happyhorse_async.job import Endpoint, Job, JobState
from happyhorse_async.stores import PostgresStore
from happyhorse_async.stores.columns import Entry
from happyhorse_async.stores.postgres.rows import TABLE, from_postgres_text, to_postgres_text
from happyhorse_async.stores.postgres.schema import FIRST, migrate
from happyhorse_async.stores.retention import Dates
from happyhorse_async.task import Task, TaskRef, TaskStatus, Video

from ..postgres_server import PostgresServer

NewJob = Callable[..., Job]
OpenPostgres = Callable[..., Awaitable[PostgresStore]]

REF = TaskRef("main", "0385")
VIDEO = Video(url="https://cdn.example/a.mp4?signature=s3cr3t", expires_at=datetime.now(UTC) + timedelta(hours=24))
REQUEST = {"mode": "t2v", "prompt": "a train at night"}


@pytest.fixture
def open_postgres(postgres: dict[str, str], opened: Any) -> OpenPostgres:
    """Open stores that share their tables."""
    return lambda **settings: opened(PostgresStore(**{**postgres, **settings}))


@pytest.fixture
async def connection(postgres_server: PostgresServer, postgres: dict[str, str]) -> AsyncGenerator[Any]:
    """Look into the tables, as psql does."""
    connection = await asyncpg.connect(postgres_server.url, server_settings={"search_path": postgres["schema"]})
    yield connection
    await connection.close()


async def test_jobs_can_be_read_with_psql(open_postgres: OpenPostgres, new_job: NewJob, connection: Any) -> None:
    """Columns have the types of what they hold, and states their names."""
    store = await open_postgres()
    task = Task(ref=REF, status=TaskStatus.SUCCEEDED, videos=(VIDEO,))
    job = new_job(key="order-8472", request=REQUEST, task_id=REF.id, task=task)
    await store.add(job)
    row = await connection.fetchrow(
        "SELECT state, key, request->>'prompt' AS prompt, created_at, task->>'status' AS status, durable FROM jobs"
    )

    assert {
        "state": "QUEUED",
        "key": "order-8472",
        "prompt": "a train at night",
        "created_at": job.created_at,
        "status": "SUCCEEDED",
        "durable": False,
    } == dict(row)


async def test_the_queries_of_the_docs_run(open_postgres: OpenPostgres, new_job: NewJob, connection: Any) -> None:
    """Each block of SQL on the page about PostgreSQL, with the default schema."""
    store = await open_postgres(schema="happyhorse")
    await store.add(new_job())
    await store.pace("main/queries", 1.0)
    page = Path(__file__).parents[2] / "docs" / "postgresql.md"
    queries = [
        query for block in re.findall("```sql(.*?)```", page.read_text(), re.DOTALL) for query in block.split(";")
    ]
    found = [await connection.fetch(query) for query in queries if query.strip()]

    assert 7 == len(found)


async def test_what_has_expired_is_erased_from_the_table(
    open_postgres: OpenPostgres, new_job: NewJob, connection: Any
) -> None:
    """Bodies go with the outcome, prompts and URLs after their time, whole jobs at the end."""
    store = await open_postgres(keep_prompts=3600.0, keep_closed=7200.0)
    task = Task(ref=REF, status=TaskStatus.SUCCEEDED, videos=(VIDEO,))
    job = await store.add(new_job(request=REQUEST, body=b"{}", callback_url="https://app.example/hooks"))
    await store.change(evolve(job, state=JobState.SUCCEEDED, task_id=REF.id, task=task))
    erasable = "SELECT body, callback_url, request IS NULL AS prompt, videos IS NULL AS videos FROM jobs"

    assert (None, None, False, False) == tuple(await connection.fetchrow(erasable))

    hours = "UPDATE jobs SET settled_at = now() - interval '1 hours', videos_until = now() - interval '1 second'"
    await connection.execute(hours)
    await store.purge()

    assert (None, None, True, True) == tuple(await connection.fetchrow(erasable))

    await connection.execute("UPDATE jobs SET closed_at = now() - interval '2 hours'")
    await store.purge()

    assert 0 == await connection.fetchval("SELECT count(*) FROM jobs")


async def test_the_tables_of_a_newer_version_are_left_alone(open_postgres: OpenPostgres, connection: Any) -> None:
    """The error says what to do."""
    store = await open_postgres()
    await store.aclose()
    await connection.execute("UPDATE schema_version SET version = version + 1")
    with pytest.raises(StoreError, match=r"newer version .*schema 9; this one knows 8"):
        await store.open()
    await connection.execute("UPDATE schema_version SET version = version - 1")
    await store.open()


async def test_a_migration_is_applied_once(open_postgres: OpenPostgres, postgres: Any, connection: Any) -> None:
    """Tables of an older version get what the newer ones add, and keep their jobs."""
    await open_postgres()
    later = {FIRST: ["never applied again"], FIRST + 1: ["ALTER TABLE {schema}.jobs ADD COLUMN later int"]}

    assert FIRST == await migrate(connection, postgres["schema"], name="the store", migrations=later)
    assert FIRST + 1 == await migrate(connection, postgres["schema"], name="the store", migrations=later)
    assert 0 == await connection.fetchval("SELECT count(later) FROM jobs")


async def test_a_row_that_another_program_has_changed_is_an_error(
    open_postgres: OpenPostgres, new_job: NewJob, connection: Any
) -> None:
    """It may be a paid task: it is not skipped."""
    store = await open_postgres()
    job = await store.add(new_job())
    await connection.execute("UPDATE jobs SET state = 'GONE'")
    with pytest.raises(StoreError, match=f"job {job.job_id} .*cannot be read"):
        await store.get(job.job_id)


async def test_a_user_without_rights_to_create_can_use_a_schema_that_exists(
    postgres_server: PostgresServer, postgres: dict[str, str], connection: Any, opened: Any
) -> None:
    """Without the schema the error says what is missing."""
    name = f"user_{postgres['schema']}"
    await connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'another-secret'")
    url = postgres_server.url.replace(f"postgres:{postgres_server.password}@", f"{name}:another-secret@")
    store = PostgresStore(url, schema=postgres["schema"])
    with pytest.raises(StoreError, match=r"lacks a permission.*schema=") as caught:
        await store.open()
    await connection.execute(f"CREATE SCHEMA {postgres['schema']} AUTHORIZATION {name}")
    await opened(store)

    assert "another-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("password", "database", "sentence"),
    [
        ("wrong-secret", "postgres", "refuses the user or the password"),
        (None, "nowhere", "no such database"),
        (None, "postgres?sslmode=require", "TLS"),
        (None, "postgres?sslmode=nonsense", "URL cannot be used.*sslmode"),
        (None, "postgres?options=-c%20default_transaction_read_only%3Don", "takes no writes"),
        (None, "postgres?no_such_setting=1", "does not know a setting"),
    ],
)
async def test_what_the_server_refuses_is_named(
    postgres_server: PostgresServer, password: str | None, database: str, sentence: str
) -> None:
    """The error says what to do, and shows no password."""
    secret = password or postgres_server.password
    store = PostgresStore(f"postgresql://postgres:{secret}@127.0.0.1:{postgres_server.port}/{database}", timeout=0.5)
    with pytest.raises(StoreError, match=sentence) as caught:
        await store.open()

    assert secret not in str(caught.value)


TEXTS = st.text(st.characters(exclude_categories=[])) | st.text(st.sampled_from("\x00\ufdd0\\u0d8\"'{"))


@given(text=TEXTS)
def test_every_text_is_escaped_and_comes_back(text: str) -> None:
    """What PostgreSQL cannot keep is not in it."""
    text = text.encode(errors="replace").decode()
    written = to_postgres_text(text)

    assert "\x00" not in written
    assert text == from_postgres_text(written)


@settings(max_examples=300)
@given(text=TEXTS, key=TEXTS)
def test_every_request_is_escaped_and_comes_back(text: str, key: str) -> None:
    """JSON has escapes that jsonb refuses."""
    job = Job(
        job_id="1",
        endpoint=Endpoint(provider="main", adapter="fifth", base_url="https://fifth.example/api"),
        model="m",
        created_at=datetime.now(UTC),
        request={key: [text, {"deep": text}]},
    )
    row = TABLE.to_row(Entry(job=job, dates=Dates()))

    assert "\\u0000" not in row["request"].replace("\\\\", "")
    assert job == TABLE.from_row(row).job
