"""
The tables of the store, and how a file of an older version becomes one of today's.

`application_id` marks the file as ours, `user_version` counts the migrations it has been through.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

PAGE_SIZE = 4096
"""
The size of a page of the file, and of the padding before the columns that are erased.

SQLite overwrites what is deleted, except for copies that it leaves behind when it moves short rows from one page of a
table to another. A row longer than a page is cut: its beginning lies in the table, the rest on pages of its own, which
are never moved and wholly overwritten. A page of padding makes sure that what is secret is in the rest.
See https://www.sqlite.org/fileformat2.html#b_tree_pages
"""

APPLICATION_ID = int.from_bytes(b"HHaj")
"""What stands in the file's header, where the `file` command and SQLite look for a file's kind."""

MIGRATIONS: Sequence[Sequence[str]] = (
    (
        """
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
        )
        """,
        "CREATE INDEX jobs_unfinished ON jobs (provider, number) WHERE state <> 'CLOSED'",
        "CREATE INDEX jobs_by_task ON jobs (provider, task_id) WHERE task_id IS NOT NULL",
        "CREATE INDEX jobs_by_closing ON jobs (closed_at) WHERE closed_at IS NOT NULL",
        "CREATE INDEX jobs_with_videos ON jobs (videos_until) WHERE videos IS NOT NULL",
        "CREATE INDEX jobs_with_prompts ON jobs (settled_at) WHERE settled_at IS NOT NULL AND request IS NOT NULL",
    ),
    ("CREATE TABLE notes (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID",),
    ("ALTER TABLE jobs ADD COLUMN save_to TEXT",),
)
"""
What makes version 1 of an empty file, version 2 of version 1, and so on.

What has been released is never edited, and a migration only adds: processes of the version before may still have the
file open, with paid requests on their way.
"""


def pragma(connection: sqlite3.Connection, name: str) -> int:
    """Return a number that stands in the file's header."""
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def migrate(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Bring the file to the newest version, in one transaction, whoever else tries at the same moment."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = pragma(connection, "user_version")
        for migration in migrations[version:]:
            for statement in migration:
                connection.execute(statement)
        if version == 0:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        # Written even where it stands already: SQLite lets a file be opened that can only be read.
        connection.execute(f"PRAGMA user_version = {max(version, len(migrations))}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
