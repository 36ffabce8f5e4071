"""
The tables of the store, and the migrations that bring a file of an older version to the present one.

`application_id` marks the file as a job store, `user_version` is the number of migrations that were applied.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from .rows import TABLE

APPLICATION_ID = int.from_bytes(b"HHaj")
"""The number in the file's header by which the `file` command and SQLite recognize the kind of a file."""


def _create_jobs() -> str:
    definitions = ", ".join(TABLE.definition(column) for column in TABLE.columns if column.since == 1)
    return f"CREATE TABLE jobs (number INTEGER PRIMARY KEY, {definitions})"


def _added(version: int) -> list[str]:
    return [
        f"ALTER TABLE jobs ADD COLUMN {TABLE.definition(column)}" for column in TABLE.columns if column.since == version
    ]


# Version 3 knew one final state, CLOSED, and left a job whose video was not saved yet ACCEPTED. The status of a task is
# the name of the final state. Text that is not JSON stays, so that reading the job names it.
_STATUS = "CASE WHEN json_valid(task) THEN json_extract(task, '$.status') END"
_FINAL_STATES = f"""
    UPDATE jobs SET state = CASE
        WHEN state = 'CLOSED' AND task_id IS NULL AND task IS NULL
            THEN CASE WHEN failure IS NULL THEN 'WITHDRAWN' ELSE 'REFUSED' END
        WHEN ({_STATUS}) IN ('SUCCEEDED', 'FAILED', 'CANCELED', 'EXPIRED') THEN {_STATUS}
        WHEN task IS NOT NULL AND NOT json_valid(task) THEN state
        ELSE 'ACCEPTED'
    END
    WHERE state IN ('CLOSED', 'ACCEPTED')
"""  # noqa: S608
_RELEASED_KEYS = "UPDATE jobs SET released_key = key, key = NULL WHERE state IN ('REFUSED', 'WITHDRAWN')"
_UNFINISHED = """
    UPDATE jobs SET closed_at = NULL
    WHERE state = 'ACCEPTED' OR (state = 'SUCCEEDED' AND save_to IS NOT NULL AND saved_to IS NULL AND failure IS NULL)
"""
_FINISHED = """
    UPDATE jobs SET closed_at = coalesce(settled_at, submitted_at, created_at)
    WHERE closed_at IS NULL AND state IN ('SUCCEEDED', 'FAILED', 'CANCELED', 'EXPIRED')
        AND NOT (state = 'SUCCEEDED' AND save_to IS NOT NULL AND saved_to IS NULL AND failure IS NULL)
"""
_ERRORS = """
    UPDATE jobs SET error = json_object('type', CASE state
        WHEN 'REFUSED' THEN 'InvalidRequestError'
        WHEN 'OUTCOME_UNKNOWN' THEN 'SubmitOutcomeUnknownError'
        ELSE 'DownloadError'
    END, 'message', failure)
    WHERE failure IS NOT NULL
"""
# What the jobs have cost by the hour. It outlives them.
_SPENDING = """
    CREATE TABLE spending (
        hour TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, currency TEXT NOT NULL, jobs INTEGER NOT NULL,
        billed_jobs INTEGER NOT NULL, nanos INTEGER NOT NULL, PRIMARY KEY (currency, hour, provider, model)
    ) WITHOUT ROWID
"""
_PACES = """
    CREATE TABLE paces (
        name TEXT PRIMARY KEY, free_at REAL NOT NULL, is_probing INTEGER NOT NULL, spacing REAL NOT NULL,
        spacing_until REAL NOT NULL
    ) WITHOUT ROWID
"""

MIGRATIONS: Sequence[Sequence[str]] = (
    (
        _create_jobs(),
        "CREATE INDEX jobs_unfinished ON jobs (provider, number) WHERE state <> 'CLOSED'",
        "CREATE INDEX jobs_by_task ON jobs (provider, task_id) WHERE task_id IS NOT NULL",
        "CREATE INDEX jobs_by_closing ON jobs (closed_at) WHERE closed_at IS NOT NULL",
        "CREATE INDEX jobs_with_videos ON jobs (videos_until) WHERE videos IS NOT NULL",
        "CREATE INDEX jobs_with_prompts ON jobs (settled_at) WHERE settled_at IS NOT NULL AND request IS NOT NULL",
    ),
    ("CREATE TABLE notes (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID",),
    _added(3),
    (
        *_added(4),
        _FINAL_STATES,
        _RELEASED_KEYS,
        _UNFINISHED,
        _FINISHED,
        _ERRORS,
        "DROP INDEX jobs_unfinished",
        "CREATE INDEX jobs_open ON jobs (provider, number) WHERE closed_at IS NULL",
        "CREATE INDEX jobs_by_released_key ON jobs (released_key, number) WHERE released_key IS NOT NULL",
        "CREATE TABLE upkeep (id INTEGER PRIMARY KEY CHECK (id = 1), last_at TEXT NOT NULL, suspended_at TEXT)",
    ),
    _added(5),
    _added(6),
    (*_added(7), _SPENDING),
    (
        *_added(8),
        "ALTER TABLE jobs ADD COLUMN changed INTEGER NOT NULL DEFAULT 0",
        "CREATE INDEX jobs_by_change ON jobs (changed)",
        "CREATE INDEX jobs_open_by_owner ON jobs (provider, state, owner, number) WHERE closed_at IS NULL",
        _PACES,
    ),
)
"""
The statements that make version 1 of an empty file, version 2 of version 1, and so on.

What has been released is never edited. A migration only adds columns and tables, because processes of the version
before may still have the file open, with paid requests in flight; see `INCOMPATIBLE` for the exceptions.
"""

INCOMPATIBLE = 4
"""The last migration that processes of the version before it must not live through: they cannot read its states."""


def pragma(connection: sqlite3.Connection, name: str) -> int:
    """Return a number from the file's header."""
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def migrate(
    connection: sqlite3.Connection,
    migrations: Sequence[Sequence[str]] = MIGRATIONS,
    *,
    refuse_others: Callable[[], None] = lambda: None,
) -> int:
    """
    Bring the file to the newest version, in one transaction, and return the version that it had.

    Other processes may try the same at the same moment.

    :param refuse_others: raises an exception if another process has the file open. Called before an incompatible
        migration of a file that has jobs in it.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = pragma(connection, "user_version")
        if 0 < version < INCOMPATIBLE <= len(migrations):
            refuse_others()
        for migration in migrations[version:]:
            for statement in migration:
                connection.execute(statement)
        if version == 0:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        # Written even where it has the value already: SQLite opens a file that can only be read, too.
        connection.execute(f"PRAGMA user_version = {max(version, len(migrations))}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return version
