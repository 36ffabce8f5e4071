"""
The tables in PostgreSQL, and the migrations that bring those of an older version to the present one.

They have a schema of their own, so that the database may be that of an application. The numbers of the versions are
those of the table of jobs, which SQLite's files share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...errors import StoreError
from .rows import TABLE

if TYPE_CHECKING:
    from asyncpg import Connection

FIRST = 8
"""The version of the first release with PostgreSQL: it creates the table with all columns up to then."""

# The first half of the key is the program's, so that no other program's lock is met by chance.
_LOCK = 0x4848616A << 32
_NUMBERS = "number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, write_id bigint NOT NULL"
_UPKEEP = "id int PRIMARY KEY CHECK (id = 1), last_at timestamptz NOT NULL, suspended_at timestamptz"
# What the jobs have cost by the hour. It outlives them.
_SPENDING = (
    "hour text NOT NULL, provider text NOT NULL, model text NOT NULL, currency text NOT NULL, jobs bigint NOT NULL, "
    "billed_jobs bigint NOT NULL, amount numeric NOT NULL, PRIMARY KEY (currency, hour, provider, model)"
)
_PACES = (
    "name text PRIMARY KEY, due_at timestamptz NOT NULL, free_at timestamptz NOT NULL, is_probing boolean NOT NULL, "
    "spacing float8 NOT NULL, spacing_until timestamptz NOT NULL"
)
# Since when this server, as it was started then, is known. A restart changes the time of its start, and a crash or the
# promotion of a standby empties the table: each of them has forgotten the locks of the living.
_SERVER = "id int PRIMARY KEY CHECK (id = 1), started_at timestamptz NOT NULL, known_since timestamptz NOT NULL"
_BY_OWNER = "provider, state, coalesce(owner, ''), number"
_HAS_PROMPT = "settled_at IS NOT NULL AND request IS NOT NULL"


def _create() -> list[str]:
    definitions = ", ".join(TABLE.definition(column) for column in TABLE.columns if column.since <= FIRST)
    return [
        f"CREATE TABLE {{schema}}.jobs ({_NUMBERS}, {definitions})",
        # The rows of open jobs are written several times: room on the page keeps their new versions there.
        "ALTER TABLE {schema}.jobs SET (fillfactor = 70)",
        "CREATE INDEX jobs_open ON {schema}.jobs (provider, number) WHERE closed_at IS NULL",
        f"CREATE INDEX jobs_open_by_owner ON {{schema}}.jobs ({_BY_OWNER}) WHERE closed_at IS NULL",
        "CREATE INDEX jobs_by_task ON {schema}.jobs (provider, task_id) WHERE task_id IS NOT NULL",
        "CREATE INDEX jobs_by_released_key ON {schema}.jobs (released_key, number) WHERE released_key IS NOT NULL",
        "CREATE INDEX jobs_by_closing ON {schema}.jobs (closed_at) WHERE closed_at IS NOT NULL",
        "CREATE INDEX jobs_with_videos ON {schema}.jobs (videos_until) WHERE videos IS NOT NULL",
        f"CREATE INDEX jobs_with_prompts ON {{schema}}.jobs (settled_at) WHERE {_HAS_PROMPT}",
        "CREATE TABLE {schema}.notes (name text PRIMARY KEY, text text NOT NULL)",
        f"CREATE TABLE {{schema}}.upkeep ({_UPKEEP})",
        f"CREATE TABLE {{schema}}.spending ({_SPENDING}) WITH (fillfactor = 50)",
        # It need not survive a crash of the server, and is written before every request.
        f"CREATE UNLOGGED TABLE {{schema}}.paces ({_PACES}) WITH (fillfactor = 50)",
        f"CREATE UNLOGGED TABLE {{schema}}.server ({_SERVER})",
        # There are no jobs yet whose owners could have been forgotten.
        "INSERT INTO {schema}.server VALUES (1, pg_postmaster_start_time(), pg_postmaster_start_time())",
    ]


def _added(version: int) -> list[str]:
    return [
        f"ALTER TABLE {{schema}}.jobs ADD COLUMN {TABLE.definition(column)}"
        for column in TABLE.columns
        if column.since == version
    ]


_LATER = sorted({column.since for column in TABLE.columns if column.since > FIRST})

MIGRATIONS: Mapping[int, Sequence[str]] = {FIRST: _create(), **{version: _added(version) for version in _LATER}}
"""
The statements that lead to each version from the one before it.

What has been released is never edited. A migration only adds columns and tables, because processes of the version
before may be running, with paid requests in flight.
"""


async def migrate(
    connection: Connection, schema: str, *, name: str, migrations: Mapping[int, Sequence[str]] = MIGRATIONS
) -> int:
    """
    Bring the tables to the newest version, in one transaction, and return the version that they had.

    Other processes may try the same at the same moment: one waits for the other.

    :param schema: the quoted name of the schema.
    :param name: what to call the store in an error.
    :raises StoreError: the tables were written by a newer version. They are left as they are.
    """
    version, newest = await _version(connection, schema), max(migrations)
    if version < newest:
        # Not a lock of the transaction: one that waited for it would not see what the other has created meanwhile.
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        try:
            version = await _version(connection, schema)
            async with connection.transaction():
                for number in sorted(migrations):
                    if number > version:
                        await _apply(connection, schema, number, migrations[number], is_new=version == 0)
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)
    if version > newest:
        raise StoreError(
            f"{name} was written by a newer version of happyhorse-async (schema {version}; this one knows {newest}), "
            "and is left as it is: upgrade happyhorse-async, or give the store another schema"
        )
    return version


async def _version(connection: Connection, schema: str) -> int:
    if await connection.fetchval("SELECT to_regclass($1)", f"{schema}.schema_version") is None:
        return 0
    return int(await connection.fetchval(f"SELECT version FROM {schema}.schema_version") or 0)  # noqa: S608


async def _apply(connection: Connection, schema: str, number: int, statements: Sequence[str], *, is_new: bool) -> None:
    # `CREATE SCHEMA IF NOT EXISTS` asks for the permission to create one even where it exists.
    if await connection.fetchval("SELECT to_regnamespace($1)", schema) is None:
        await connection.execute(f"CREATE SCHEMA {schema}")
    if is_new:
        await connection.execute(f"CREATE TABLE IF NOT EXISTS {schema}.schema_version (version int NOT NULL)")
    for statement in statements:
        await connection.execute(statement.format(schema=schema))
    await connection.execute(f"DELETE FROM {schema}.schema_version")  # noqa: S608
    await connection.execute(f"INSERT INTO {schema}.schema_version VALUES ($1)", number)  # noqa: S608
