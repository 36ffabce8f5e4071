"""What is asked of the tables of jobs and of notes. Every function here is called within a transaction."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

from attrs import frozen

from ...job import Job, JobState
from ...task import TaskRef
from ..retention import Retention, dates
from .rows import to_dates, to_job, to_row, to_text, to_timestamp

# Every statement names its columns: a file may have more of them, from a version after this one.
_NAMES = (
    "job_id", "key", "state", "provider", "adapter", "base_url", "model", "task_id", "owner", "durable", "created_at",
    "submitted_at", "settled_at", "closed_at", "save_to", "saved_to", "failure", "fingerprint", "task", "videos_until",
    "padding", "videos", "callback_url", "request", "body",
)  # fmt: skip
_COLUMNS = ", ".join(_NAMES)
_INSERT = f"INSERT INTO jobs ({_COLUMNS}) VALUES ({', '.join(f':{name}' for name in _NAMES)})"  # noqa: S608
# A promise stays, whatever the copy says that a change was made from.
_VALUES = {name: f":{name}" for name in _NAMES} | {"durable": "max(durable, :durable)"}
_SETTINGS = ", ".join(f"{name} = {value}" for name, value in _VALUES.items())
_UPDATE = f"UPDATE jobs SET {_SETTINGS} WHERE job_id = :job_id"  # noqa: S608
_BEFORE = """
    SELECT job_id, state, owner, save_to, saved_to, settled_at, closed_at, videos_until FROM jobs WHERE job_id = ?
"""
_FORGET_VIDEOS = """
    UPDATE jobs SET videos = NULL,
        padding = CASE WHEN coalesce(callback_url, request, body) IS NULL THEN NULL ELSE padding END
    WHERE videos IS NOT NULL AND videos_until <= ?
"""
_FORGET_REQUESTS = """
    UPDATE jobs SET request = NULL,
        padding = CASE WHEN coalesce(videos, callback_url, body) IS NULL THEN NULL ELSE padding END
    WHERE request IS NOT NULL AND settled_at <= ?
"""
_FORGET_JOBS = "DELETE FROM jobs WHERE closed_at <= ?"


@frozen
class Jobs:
    """The table of jobs, and what its retention leaves of them."""

    retention: Retention

    def add(self, connection: sqlite3.Connection, job: Job) -> Job:
        """Insert *job* and return it, or return the one that has its key, or else its id."""
        there = None if job.key is None else self.by_key(connection, job.key)
        there = there or self.get(connection, job.job_id)
        if there is not None:
            return there
        now = datetime.now(UTC)
        since = dates(job, now)
        job = self.retention.kept(job, since, now)
        connection.execute(_INSERT, to_row(job, since))
        return job

    def change(
        self, connection: sqlite3.Connection, job: Job, only_from: JobState | None, only_owner: str | None
    ) -> bool:
        """Write *job* over the row with its id, where there is one and the conditions hold."""
        row = connection.execute(_BEFORE, (to_text(job.job_id),)).fetchone()
        if row is None or only_from not in (None, row["state"]) or only_owner not in (None, row["owner"]):
            return False
        job = job.written_over(save_to=row["save_to"], saved_to=row["saved_to"], owner=row["owner"])
        now = datetime.now(UTC)
        since = dates(job, now, to_dates(row))
        connection.execute(_UPDATE, to_row(self.retention.kept(job, since, now), since))
        return True

    def get(self, connection: sqlite3.Connection, job_id: str) -> Job | None:
        """Find a job by its id."""
        return self._first(connection, "job_id = ?", to_text(job_id))

    def by_key(self, connection: sqlite3.Connection, key: str) -> Job | None:
        """Find a job by the caller's key."""
        return self._first(connection, "key = ?", to_text(key))

    def by_ref(self, connection: sqlite3.Connection, ref: TaskRef) -> Job | None:
        """Find the first job that has the task *ref*."""
        return self._first(connection, "provider = ? AND task_id = ? ORDER BY number", ref.provider, to_text(ref.id))

    def unfinished(self, connection: sqlite3.Connection, provider: str) -> list[Job]:
        """Find the jobs of *provider* that are not closed, in the order they were added."""
        # The words of the condition are those of the partial index, or SQLite would not use it.
        return self._find(connection, "provider = ? AND state <> 'CLOSED' ORDER BY number", to_text(provider))

    def forget(self, connection: sqlite3.Connection) -> None:
        """Erase what is past its time."""
        now = datetime.now(UTC)
        connection.execute(_FORGET_VIDEOS, (to_timestamp(now),))
        if (moment := self.retention.prompts_before(now)) is not None:
            connection.execute(_FORGET_REQUESTS, (to_timestamp(moment),))
        if (moment := self.retention.closed_before(now)) is not None:
            connection.execute(_FORGET_JOBS, (to_timestamp(moment),))

    def _first(self, connection: sqlite3.Connection, condition: str, *values: str) -> Job | None:
        found = self._find(connection, f"{condition} LIMIT 1", *values)
        return found[0] if found else None

    def _find(self, connection: sqlite3.Connection, condition: str, *values: str) -> list[Job]:
        now = datetime.now(UTC)
        rows = connection.execute(f"SELECT {_COLUMNS} FROM jobs WHERE {condition}", values)  # noqa: S608
        return [self.retention.kept(to_job(row), to_dates(row), now) for row in rows]


def get_note(connection: sqlite3.Connection, name: str) -> str | None:
    """Find a note by its name."""
    row = connection.execute("SELECT text FROM notes WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row["text"])


def put_note(connection: sqlite3.Connection, name: str, text: str) -> None:
    """Write a note, over the one of that name."""
    connection.execute("INSERT OR REPLACE INTO notes (name, text) VALUES (?, ?)", (name, text))
