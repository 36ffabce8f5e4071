"""The statements on the tables of the store. Every function here is called within a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

from attrs import define, evolve, field

from ...budget import Charge, SpendingLimit, charge_of, check_limits
from ...job import Job, JobState
from ...task import TaskRef
from ..columns import COLUMNS, Entry, Row, to_text
from ..contract import holds_key
from ..retention import JumpGuard, Retention, Upkeep, dates, running_time
from . import ledger
from .rows import TABLE, to_timestamp
from .sharing import last_change

# Every statement names its columns: a file may have more of them, from a version after this one.
_NAMES = TABLE.names
_COLUMNS = ", ".join(_NAMES)
_VALUES = ", ".join(f":{name}" for name in _NAMES)
_CHANGES = ", ".join(f"{name} = :{name}" for name in _NAMES)
# One process writes at a time, so the numbers of changes are in the order of their commits.
_NEXT_CHANGE = "(SELECT coalesce(max(changed), 0) + 1 FROM jobs)"
_INSERT = f"INSERT INTO jobs ({_COLUMNS}, changed) VALUES ({_VALUES}, {_NEXT_CHANGE})"  # noqa: S608
_UPDATE = f"UPDATE jobs SET {_CHANGES}, changed = {_NEXT_CHANGE} WHERE job_id = :job_id"  # noqa: S608
_BEFORE = """
    SELECT job_id, state, owner, durable, released_key, save_to, saved_to, settled_at, closed_at, videos_until,
        charge
    FROM jobs WHERE job_id = ?
"""
_DELETE_JOBS = "DELETE FROM jobs WHERE closed_at <= ?"
_UPKEEP_INTERVAL = timedelta(hours=1)


def _erase(name: str, condition: str) -> str:
    others = ", ".join(column.name for column in COLUMNS if column.erasable and column.name != name)
    return f"""
        UPDATE jobs SET {name} = NULL, padding = CASE WHEN coalesce({others}) IS NULL THEN NULL ELSE padding END
        WHERE {name} IS NOT NULL AND {condition}
    """  # noqa: S608


_ERASE_VIDEOS = _erase("videos", "videos_until <= ?")
_ERASE_REQUESTS = _erase("request", "settled_at <= ?")

# Older versions of SQLite allow 999 values in a statement.
_MOST_VALUES = 500


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


@define
class Jobs:
    """The table of jobs, and what its retention leaves of them."""

    retention: Retention
    _guard: JumpGuard = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._guard = JumpGuard(timedelta(seconds=self.retention.closed or 0))

    def add(self, connection: sqlite3.Connection, job: Job, within: Collection[SpendingLimit] = ()) -> Job:
        """Insert *job* and return it, or return the one that holds its key, or else has its id."""
        there = None if job.key is None else self._first(connection, "key = ?", to_text(job.key))
        there = there or self.get(connection, job.job_id)
        if there is not None:
            return there
        now = datetime.now(UTC)
        since = dates(job, now)
        job = self.retention.kept(job, since, now)
        charge = _charge(connection, job, None, within, now)
        row = TABLE.to_row(Entry(job=job, dates=since, holds_key=holds_key(job), charge=charge))
        connection.execute(_INSERT, row)
        ledger.write(connection, None, charge)
        return job

    def change(
        self,
        connection: sqlite3.Connection,
        job: Job,
        only_from: Collection[JobState] | None,
        only_owner: str | None,
        within: Collection[SpendingLimit] = (),
    ) -> Job | None:
        """Write *job* over the row with its id, and return it as it is kept; `None` where a condition does not hold."""
        row = connection.execute(_BEFORE, (to_text(job.job_id),)).fetchone()
        if row is None or only_owner not in (None, row["owner"]):
            return None
        if only_from is not None and row["state"] not in only_from:
            return None
        job = job.written_over(save_to=row["save_to"], saved_to=row["saved_to"], owner=row["owner"])
        job = evolve(job, durable=True) if row["durable"] else job
        now = datetime.now(UTC)
        since = dates(job, now, TABLE.to_dates(row))
        job = self.retention.kept(job, since, now)
        before = TABLE.to_charge(row)
        charge = _charge(connection, job, before, within, now)
        entry = Entry(job=job, dates=since, holds_key=self._may_hold_key(connection, job, row), charge=charge)
        connection.execute(_UPDATE, TABLE.to_row(entry))
        ledger.write(connection, before, charge)
        return job

    def _may_hold_key(self, connection: sqlite3.Connection, job: Job, before: Row) -> bool:
        if not holds_key(job) or job.key is None:
            return False
        # A job that released its key does not get it back while a newer one has it.
        key = to_text(job.key)
        released = before["released_key"] == key
        return not released or connection.execute("SELECT 1 FROM jobs WHERE key = ?", (key,)).fetchone() is None

    def get(self, connection: sqlite3.Connection, job_id: str) -> Job | None:
        """Return a job by its id."""
        return self._first(connection, "job_id = ?", to_text(job_id))

    def by_key(self, connection: sqlite3.Connection, key: str) -> Job | None:
        """Return the job that holds a key, or else the last one that released it."""
        text = to_text(key)
        return self._first(connection, "key = ?", text) or self._first(
            connection, "released_key = ? ORDER BY number DESC", text
        )

    def by_ref(self, connection: sqlite3.Connection, ref: TaskRef) -> Job | None:
        """Return the first job that has the task *ref*."""
        return self._first(connection, "provider = ? AND task_id = ? ORDER BY number", ref.provider, to_text(ref.id))

    def get_many(self, connection: sqlite3.Connection, job_ids: Collection[str]) -> list[Job]:
        """Return those of the given jobs that exist."""
        return self._find_each(connection, "job_id", [to_text(job_id) for job_id in job_ids])

    def unfinished(
        self, connection: sqlite3.Connection, provider: str, states: Collection[JobState] | None = None
    ) -> list[Job]:
        """Return the jobs of *provider* that are not finished, in the order they were added."""
        # The words of the condition are those of the partial index, or SQLite would not use it.
        condition, values = "provider = ? AND closed_at IS NULL", [to_text(provider)]
        if states is not None:
            condition, values = f"{condition} AND state IN ({_marks(states)})", [*values, *states]
        return self._find(connection, f"{condition} ORDER BY number", *values)

    def recent(self, connection: sqlite3.Connection, limit: int) -> list[Job]:
        """Return the jobs that were added last, the newest first."""
        return self._find(connection, "true ORDER BY number DESC LIMIT ?", limit)

    def take(self, connection: sqlite3.Connection, numbers: Sequence[int], owner: str) -> list[Job]:
        """Make *owner* the owner of the jobs with the given numbers, and return them in this order."""
        change = "UPDATE jobs SET owner = ?, changed = ? WHERE number = ?"
        first = last_change(connection) + 1
        connection.executemany(change, [(owner, change, number) for change, number in enumerate(numbers, first)])
        return self._find_each(connection, "number", numbers)

    def release(self, connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
        """Leave jobs to whichever process takes them."""
        connection.executemany("UPDATE jobs SET owner = '' WHERE number = ?", [(number,) for number in numbers])

    def _find_each(self, connection: sqlite3.Connection, name: str, values: Sequence[str | int]) -> list[Job]:
        found = list[Job]()
        for first in range(0, len(values), _MOST_VALUES):
            some = values[first : first + _MOST_VALUES]
            found += self._find(connection, f"{name} IN ({_marks(some)}) ORDER BY number", *some)
        return found

    def forget(self, connection: sqlite3.Connection) -> None:
        """Erase what has expired."""
        now = datetime.now(UTC)
        connection.execute(_ERASE_VIDEOS, (to_timestamp(now),))
        if (moment := self.retention.prompts_before(now)) is not None:
            connection.execute(_ERASE_REQUESTS, (to_timestamp(moment),))
        if (moment := self.retention.closed_before(now)) is not None and self._may_delete(connection, now):
            connection.execute(_DELETE_JOBS, (to_timestamp(moment),))

    def _may_delete(self, connection: sqlite3.Connection, now: datetime) -> bool:
        last = _last_upkeep(connection)
        upkeep = self._guard.upkeep(last, now, running_time())
        # An idle store need not write to the disk every minute.
        if last is None or last.suspended_at != upkeep.suspended_at or abs(now - last.last_at) >= _UPKEEP_INTERVAL:
            values = to_timestamp(now), upkeep.suspended_at and to_timestamp(upkeep.suspended_at)
            connection.execute("INSERT OR REPLACE INTO upkeep (id, last_at, suspended_at) VALUES (1, ?, ?)", values)
        return upkeep.suspended_at is None

    def _first(self, connection: sqlite3.Connection, condition: str, *values: str) -> Job | None:
        found = self._find(connection, f"{condition} LIMIT 1", *values)
        return found[0] if found else None

    def _find(self, connection: sqlite3.Connection, condition: str, *values: str | int) -> list[Job]:
        now = datetime.now(UTC)
        rows = connection.execute(f"SELECT {_COLUMNS} FROM jobs WHERE {condition}", values)  # noqa: S608
        entries = [TABLE.from_row(row) for row in rows]
        return [self.retention.kept(entry.job, entry.dates, now) for entry in entries]


def _charge(
    connection: sqlite3.Connection,
    job: Job,
    before: Charge | None,
    within: Collection[SpendingLimit],
    now: datetime,
) -> Charge | None:
    after = charge_of(job, before, now)
    check_limits(within, job, before, after, lambda currency, start: ledger.spent(connection, currency, start), now)
    return after


def _last_upkeep(connection: sqlite3.Connection) -> Upkeep | None:
    row = connection.execute("SELECT last_at, suspended_at FROM upkeep WHERE id = 1").fetchone()
    if row is None:
        return None
    suspended_at = row["suspended_at"]
    return Upkeep(
        last_at=datetime.fromisoformat(row["last_at"]),
        suspended_at=None if suspended_at is None else datetime.fromisoformat(suspended_at),
    )


def get_note(connection: sqlite3.Connection, name: str) -> str | None:
    """Return the note called *name*."""
    row = connection.execute("SELECT text FROM notes WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row["text"])


def put_note(connection: sqlite3.Connection, name: str, text: str) -> None:
    """Write a note, over the one of that name."""
    connection.execute("INSERT OR REPLACE INTO notes (name, text) VALUES (?, ?)", (name, text))
