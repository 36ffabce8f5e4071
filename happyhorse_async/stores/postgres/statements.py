"""The statements on the tables of the store. Every function here is called within a transaction."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field, frozen

from ...budget import Charge
from ...errors import BudgetExceededError, StoreError
from ...job import Job, JobState
from ...task import TaskRef
from ..columns import Entry
from ..contract import holds_key
from ..retention import Dates, JumpGuard, Retention, Upkeep, dates, running_time
from .ledger import Spending
from .operations import Add, Change, PutNote
from .rows import TABLE, by_column, name_text

if TYPE_CHECKING:
    from .operations import Connection

_NAMES = TABLE.names
_COLUMNS = ", ".join(_NAMES)
_WRITTEN = ["write_id", *_NAMES]
_ARRAYS = ", ".join(
    f"${number}::{sql_type}[]"
    for number, sql_type in enumerate(["bigint", *(TABLE.sql_type(column) for column in TABLE.columns)], start=1)
)
_BEFORE = (
    "job_id, state, owner, durable, released_key, save_to, saved_to, settled_at, closed_at, videos_until, charge, "
    "write_id"
)
_UPKEEP_INTERVAL = timedelta(hours=1)
_MOST_IN_NOTIFICATION = 7000
# So many rows take a few milliseconds.
_BETWEEN_PAUSES = 100


@frozen
class Before:
    """What a row was before it is changed."""

    state: str
    owner: str | None
    durable: bool
    released_key: str | None
    save_to: str | None
    saved_to: str | None
    dates: Dates
    charge: Charge | None
    write_id: int

    @classmethod
    def of(cls, entry: Entry, write_id: int) -> Before:
        """Return what the row is once *entry* was written."""
        job = entry.job
        return cls(
            state=job.state.value,
            owner=job.owner,
            durable=job.durable,
            released_key=entry.released_key,
            save_to=job.save_to,
            saved_to=job.saved_to,
            dates=entry.dates,
            charge=entry.charge,
            write_id=write_id,
        )


@define
class Jobs:
    """The table of jobs, and what its retention leaves of them."""

    retention: Retention
    schema: str
    """The quoted name of the schema."""
    _guard: JumpGuard = field(init=False)
    _unanswered: dict[str, dict[int, Before]] = field(factory=dict[str, dict[int, Before]], init=False)
    """For each job the writes whose commit was not answered, with what they found."""

    def __attrs_post_init__(self) -> None:
        self._guard = JumpGuard(timedelta(seconds=self.retention.closed or 0))

    async def add(self, connection: Connection, adds: Sequence[Add], spending: Spending) -> list[Any]:
        """Insert the new jobs, and return for each the stored job: itself, or the existing one with its id or key."""
        results: dict[int, Any] = {}
        entries: dict[int, Entry] = {}
        rows: dict[int, dict[str, Any]] = {}
        there = await self._names_in_use(connection, adds)
        for number, add in enumerate(adds):
            if there and there & set(_names(add.job)):
                continue
            try:
                entries[number] = self._new(add, spending)
                rows[number] = {"write_id": add.write_id, **TABLE.to_row(entries[number])}
            except (BudgetExceededError, StoreError) as error:
                results[number] = error
            else:
                results[number] = entries[number].job
                spending.change(None, entries[number].charge)
        written = await self._insert(connection, list(rows.values())) if rows else set[int]()
        for number, add in enumerate(adds):
            if number in rows and add.write_id not in written:
                spending.change(entries[number].charge, None)
                del results[number]
            if number not in results:
                results[number] = await self._in_the_way(connection, add.job, spending.now)
        return [results[number] for number in range(len(adds))]

    def _new(self, add: Add, spending: Spending) -> Entry:
        since = dates(add.job, spending.now)
        job = self.retention.kept(add.job, since, spending.now)
        charge = spending.charge(job, None, add.within)
        return Entry(job=job, dates=since, holds_key=holds_key(job), charge=charge)

    async def _names_in_use(self, connection: Connection, adds: Sequence[Add]) -> set[str]:
        """Return the ids and keys that exist already: a job that is not written again needs no room in a budget."""
        names = [_names(add.job) for add in adds if add.within]
        if not names:
            return set()
        rows = await connection.fetch(
            f"SELECT job_id, key FROM {self.schema}.jobs WHERE job_id = ANY($1) OR key = ANY($2)",  # noqa: S608
            [job_id for job_id, *_ in names],
            [key for _, *keys in names for key in keys],
        )
        return {name for row in rows for name in row if name is not None}

    async def _insert(self, connection: Connection, rows: list[dict[str, Any]]) -> set[int]:
        # Without an ORDER BY the numbers need not follow the order in which the jobs were added.
        inserted = await connection.fetch(
            f"INSERT INTO {self.schema}.jobs (write_id, {_COLUMNS}) "  # noqa: S608
            f"SELECT write_id, {_COLUMNS} FROM unnest({_ARRAYS}) WITH ORDINALITY AS new(write_id, {_COLUMNS}, place) "
            "ORDER BY place ON CONFLICT DO NOTHING RETURNING write_id",
            *by_column(rows, _WRITTEN),
        )
        return {row["write_id"] for row in inserted}

    async def _in_the_way(self, connection: Connection, job: Job, now: datetime) -> Job | StoreError:
        found = None
        if holds_key(job) and job.key is not None:
            found = await self._first(connection, now, "key = $1", name_text(job.key))
        found = found or await self._first(connection, now, "job_id = $1", name_text(job.job_id))
        return found or StoreError("the key of the job was released at this moment: try again", job_id=job.job_id)

    async def change(self, connection: Connection, changes: Sequence[Change], spending: Spending) -> list[Any]:
        """Write the jobs whose conditions hold over their rows, and return each as it is kept, or `None`."""
        ids = sorted({name_text(change.job.job_id) for change in changes})
        # Locked in the order of their ids: two groups with the same jobs would wait for each other for ever.
        found = await connection.fetch(
            f"SELECT {_BEFORE} FROM {self.schema}.jobs WHERE job_id = ANY($1) ORDER BY job_id FOR UPDATE",  # noqa: S608
            ids,
        )
        rows = {row["job_id"]: _before(row) for row in found}
        new: dict[str, dict[str, Any]] = {}
        results: list[Any] = []
        for change in changes:
            job_id = name_text(change.job.job_id)
            before = rows.get(job_id)
            # A row that was written in this transaction is what it is.
            unanswered = {} if job_id in new else self._unanswered.get(job_id, {})
            if before is None or not _holds(change, before, unanswered):
                results.append(None)
                continue
            try:
                entry = self._changed(change, before, spending)
                if entry.holds_key and await self._is_taken(connection, entry, before):
                    entry = evolve(entry, holds_key=False)
                new[job_id] = {"write_id": change.write_id, **TABLE.to_row(entry)}
            except (BudgetExceededError, StoreError) as error:
                results.append(error)
                continue
            spending.change(before.charge, entry.charge)
            self._unanswered.setdefault(job_id, {})[change.write_id] = before
            rows[job_id] = Before.of(entry, change.write_id)
            results.append(entry.job)
        if new:
            await self._update(connection, list(new.values()))
        return results

    def _changed(self, change: Change, before: Before, spending: Spending) -> Entry:
        job = change.job.written_over(save_to=before.save_to, saved_to=before.saved_to, owner=before.owner)
        job = evolve(job, durable=True) if before.durable else job
        since = dates(job, spending.now, before.dates)
        job = self.retention.kept(job, since, spending.now)
        charge = spending.charge(job, before.charge, change.within)
        return Entry(job=job, dates=since, holds_key=holds_key(job), charge=charge)

    async def _is_taken(self, connection: Connection, entry: Entry, before: Before) -> bool:
        # A job that released its key does not get it back while a newer one has it.
        key = entry.job.key
        if key is None or before.released_key != key:
            return False
        statement = f"SELECT EXISTS (SELECT FROM {self.schema}.jobs WHERE key = $1)"  # noqa: S608
        return bool(await connection.fetchval(statement, name_text(key)))

    async def _update(self, connection: Connection, rows: list[dict[str, Any]]) -> None:
        set_columns = ", ".join(f"{name} = new.{name}" for name in _WRITTEN)
        await connection.execute(
            f"UPDATE {self.schema}.jobs AS old SET {set_columns} "  # noqa: S608
            f"FROM unnest({_ARRAYS}) AS new(write_id, {_COLUMNS}) WHERE old.job_id = new.job_id",
            *by_column(rows, _WRITTEN),
        )

    def confirm(self, changes: Sequence[Change]) -> None:
        """Forget the unanswered writes of jobs whose last change was committed."""
        for change in changes:
            self._unanswered.pop(name_text(change.job.job_id), None)

    async def put_notes(self, connection: Connection, notes: Sequence[PutNote]) -> None:
        """Write notes, over those of the same names."""
        texts = {name_text(note.name): name_text(note.text) for note in notes}
        names = sorted(texts)
        await connection.execute(
            f"INSERT INTO {self.schema}.notes (name, text) SELECT * FROM unnest($1::text[], $2::text[]) "  # noqa: S608
            "ON CONFLICT (name) DO UPDATE SET text = excluded.text",
            names,
            [texts[name] for name in names],
        )

    async def get_note(self, connection: Connection, name: str) -> str | None:
        """Return the note called *name*."""
        statement = f"SELECT text FROM {self.schema}.notes WHERE name = $1"  # noqa: S608
        text = await connection.fetchval(statement, name_text(name))
        return None if text is None else TABLE.forms["TEXT"].read(text)

    async def get(self, connection: Connection, job_ids: Collection[str], now: datetime) -> dict[str, Job]:
        """Return jobs by their ids."""
        found = await self._find(connection, now, "job_id = ANY($1)", sorted({name_text(id_) for id_ in job_ids}))
        return {job.job_id: job for job in found}

    async def by_key(self, connection: Connection, key: str, now: datetime) -> Job | None:
        """Return the job that holds a key, or else the last one that released it."""
        text = name_text(key)
        return await self._first(connection, now, "key = $1", text) or await self._first(
            connection, now, "released_key = $1 ORDER BY number DESC", text
        )

    async def by_ref(self, connection: Connection, ref: TaskRef, now: datetime) -> Job | None:
        """Return the first job that has the task *ref*."""
        condition = "provider = $1 AND task_id = $2 ORDER BY number"
        return await self._first(connection, now, condition, ref.provider, name_text(ref.id))

    async def numbered(self, connection: Connection, numbers: Collection[int], now: datetime) -> list[Job]:
        """Return jobs by their numbers, in this order."""
        return await self._find(connection, now, "number = ANY($1) ORDER BY number", list(numbers))

    async def unfinished(
        self, connection: Connection, provider: str, states: Collection[JobState] | None, now: datetime
    ) -> list[Job]:
        """Return the jobs of *provider* that are not finished, in the order they were added."""
        condition, values = "provider = $1 AND closed_at IS NULL", list[Any]([name_text(provider)])
        if states is not None:
            condition, values = f"{condition} AND state = ANY($2)", [*values, [state.value for state in states]]
        return await self._find(connection, now, f"{condition} ORDER BY number", *values)

    async def recent(self, connection: Connection, limit: int, now: datetime) -> list[Job]:
        """Return the jobs that were added last, the newest first."""
        return await self._find(connection, now, "true ORDER BY number DESC LIMIT $1", limit)

    async def _first(self, connection: Connection, now: datetime, condition: str, *values: Any) -> Job | None:
        found = await self._find(connection, now, f"{condition} LIMIT 1", *values)
        return found[0] if found else None

    async def _find(self, connection: Connection, now: datetime, condition: str, *values: Any) -> list[Job]:
        statement = f"SELECT {_COLUMNS} FROM {self.schema}.jobs WHERE {condition}"  # noqa: S608
        jobs: list[Job] = []
        for row in await connection.fetch(statement, *values):
            entry = TABLE.from_row(row)
            jobs.append(self.retention.kept(entry.job, entry.dates, now))
            if len(jobs) % _BETWEEN_PAUSES == 0:
                await asyncio.sleep(0)
        return jobs

    async def forget(self, connection: Connection, now: datetime) -> None:
        """Erase what has expired, unless another process is doing so."""
        await self._erase(connection, "videos", "videos_until <= $1", now)
        if (moment := self.retention.prompts_before(now)) is not None:
            await self._erase(connection, "request", "settled_at <= $1", moment)
        if (moment := self.retention.closed_before(now)) is not None and await self._may_delete(connection, now):
            await connection.execute(f"DELETE FROM {self.schema}.jobs WHERE closed_at <= $1", moment)  # noqa: S608

    async def _erase(self, connection: Connection, column: str, condition: str, moment: datetime) -> None:
        await connection.execute(
            f"UPDATE {self.schema}.jobs SET {column} = NULL WHERE {column} IS NOT NULL AND {condition}",  # noqa: S608
            moment,
        )

    async def _may_delete(self, connection: Connection, now: datetime) -> bool:
        row = await connection.fetchrow(f"SELECT last_at, suspended_at FROM {self.schema}.upkeep")  # noqa: S608
        last = None if row is None else Upkeep(last_at=row["last_at"], suspended_at=row["suspended_at"])
        upkeep = self._guard.upkeep(last, now, running_time())
        if last is None or last.suspended_at != upkeep.suspended_at or abs(now - last.last_at) >= _UPKEEP_INTERVAL:
            await connection.execute(
                f"INSERT INTO {self.schema}.upkeep (id, last_at, suspended_at) VALUES (1, $1, $2) "  # noqa: S608
                "ON CONFLICT (id) DO UPDATE SET last_at = excluded.last_at, suspended_at = excluded.suspended_at",
                now,
                upkeep.suspended_at,
            )
        return upkeep.suspended_at is None


def _names(job: Job) -> list[str]:
    """Return the id of *job*, and the key that it holds, as they are written."""
    key = [] if job.key is None or not holds_key(job) else [name_text(job.key)]
    return [name_text(job.job_id), *key]


def _holds(change: Change, before: Before, unanswered: Mapping[int, Before]) -> bool:
    """
    Return whether the conditions of *change* hold.

    A write whose commit was not answered may have been made, while its caller was told that it was not: the conditions
    may hold before it as well as after it. The number of the write shows that nothing has changed the row since.
    """
    states: list[Before] = []
    row: Before | None = before
    while row is not None and row not in states:
        states.append(row)
        row = unanswered.get(row.write_id)
    return any(
        change.only_owner in (None, row.owner) and (change.only_from is None or row.state in change.only_from)
        for row in states
    )


def _before(row: Any) -> Before:
    read = TABLE.forms["TEXT"].read
    texts = {
        name: None if row[name] is None else read(row[name])
        for name in ("owner", "released_key", "save_to", "saved_to")
    }
    return Before(
        state=row["state"],
        durable=row["durable"],
        dates=TABLE.to_dates(row),
        charge=TABLE.to_charge(row),
        write_id=row["write_id"],
        **texts,
    )


def notifications(sender: str, job_ids: Collection[str]) -> list[str]:
    """Return the texts that tell the other processes which jobs *sender* has changed, each short enough to be sent."""
    texts: list[str] = []
    ids: list[str] = []
    size = 0
    for job_id in job_ids:
        length = len(job_id.encode()) + 3
        if ids and size + length > _MOST_IN_NOTIFICATION:
            texts.append(json.dumps([sender, *ids]))
            ids, size = [], 0
        ids.append(job_id)
        size += length
    return [*texts, json.dumps([sender, *ids])] if ids else texts
