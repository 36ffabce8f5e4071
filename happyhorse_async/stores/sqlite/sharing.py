"""
What the processes that share a file need: who owns which jobs, what has changed, and when a request may be sent.

Every function here is called within a transaction.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple

from ...job import Endpoint, JobState
from ..columns import to_text
from ..contract import MOST_RELEASED
from ..pacing import Pace

# The words of the condition are those of the partial index, or SQLite would not use it.
_OPEN = "provider = :provider AND state = :state AND closed_at IS NULL"
# Each step jumps to the next owner in the index, so that it does not matter how many jobs an owner has.
_OWNERS = f"""
    WITH RECURSIVE owners(owner) AS (
        SELECT min(owner) FROM jobs WHERE {_OPEN}
        UNION ALL
        SELECT (SELECT min(owner) FROM jobs WHERE {_OPEN} AND owner > owners.owner) FROM owners
        WHERE owners.owner IS NOT NULL
    )
    SELECT owner FROM owners WHERE owner IS NOT NULL
"""  # noqa: S608
_OWNED = f"""
    SELECT number FROM jobs
    WHERE {_OPEN} AND owner IS :owner AND adapter = :adapter AND base_url = :base_url
    ORDER BY number LIMIT :limit
"""  # noqa: S608
_COUNT = f"""
    SELECT model, count(*) AS jobs FROM jobs
    WHERE {_OPEN} AND adapter = :adapter AND base_url = :base_url GROUP BY model
"""  # noqa: S608
_PACE = "SELECT free_at, is_probing, spacing, spacing_until FROM paces WHERE name = ?"
_SET_PACE = "INSERT OR REPLACE INTO paces (name, free_at, is_probing, spacing, spacing_until) VALUES (?, ?, ?, ?, ?)"


class Orphans(NamedTuple):
    """The numbers of jobs that have no living owner."""

    taken: list[int]
    """Those to take, the oldest first."""
    released: list[int]
    """Those of a dead owner that are left to other processes."""


def orphans(
    connection: sqlite3.Connection,
    endpoints: Collection[Endpoint],
    states: Collection[JobState],
    limit: int,
    is_alive: Callable[[str], bool],
) -> Orphans:
    """Find jobs that have no living owner."""
    alive: dict[str, bool] = {}
    found: set[int] = set()
    waiting: set[int] = set()
    for values in _groups(endpoints, states):
        is_queued = values["state"] == JobState.QUEUED.value
        for owner in (None, *(row["owner"] for row in connection.execute(_OWNERS, values))):
            if owner and owner not in alive:
                alive[owner] = is_alive(owner)
            if not owner or not alive[owner]:
                releases = bool(owner) and is_queued
                most = limit + MOST_RELEASED if releases else limit
                rows = connection.execute(_OWNED, {**values, "owner": owner, "limit": most})
                numbers = {row["number"] for row in rows}
                found |= numbers
                waiting |= numbers if releases else set()
    taken = sorted(found)[:limit]
    return Orphans(taken, sorted(waiting.difference(taken))[:MOST_RELEASED])


def count(
    connection: sqlite3.Connection, endpoints: Collection[Endpoint], states: Collection[JobState]
) -> Mapping[str, int]:
    """Return how many unfinished jobs there are, by model."""
    found = Counter[str]()
    for values in _groups(endpoints, states):
        for row in connection.execute(_COUNT, values):
            found[row["model"]] += row["jobs"]
    return found


def _groups(endpoints: Collection[Endpoint], states: Collection[JobState]) -> Iterator[dict[str, object]]:
    for endpoint in dict.fromkeys(endpoints):
        names = {"provider": endpoint.provider, "adapter": endpoint.adapter, "base_url": endpoint.base_url}
        for state in dict.fromkeys(states):
            yield {"state": state.value, **{name: to_text(text) for name, text in names.items()}}


def last_change(connection: sqlite3.Connection) -> int:
    """Return the number of the last change of a job."""
    return int(connection.execute("SELECT coalesce(max(changed), 0) FROM jobs").fetchone()[0])


def changed_after(connection: sqlite3.Connection, change: int) -> list[tuple[str, int]]:
    """Return the ids of the jobs that were changed after *change*, each with the number of its last change."""
    return [tuple(row) for row in connection.execute("SELECT job_id, changed FROM jobs WHERE changed > ?", (change,))]


def pace(connection: sqlite3.Connection, name: str, now: float) -> Pace:
    """Return the row of a pace."""
    row = connection.execute(_PACE, (name,)).fetchone()
    return Pace(now) if row is None else Pace(row[0], bool(row[1]), row[2], row[3])


def set_pace(connection: sqlite3.Connection, name: str, pace: Pace) -> None:
    """Write the row of a pace."""
    values = (name, pace.free_at, int(pace.is_probing), pace.spacing, pace.spacing_until)
    connection.execute(_SET_PACE, values)
