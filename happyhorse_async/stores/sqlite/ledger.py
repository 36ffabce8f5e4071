"""The ledger in the file: what its jobs have cost, in sums that outlive them. Called within a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from ...budget import Charge, Cost, SpendingLimit, changed_lines, check_room, to_cost
from ...job import Job
from .rows import TABLE

_SPENT = """
    SELECT coalesce(sum(nanos), 0) FROM spending WHERE currency = ? AND (hour = '' OR hour >= ?)
"""
_ADD = """
    INSERT INTO spending (hour, provider, model, currency, jobs, billed_jobs, nanos) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (currency, hour, provider, model) DO UPDATE SET
        jobs = jobs + excluded.jobs, billed_jobs = billed_jobs + excluded.billed_jobs, nanos = nanos + excluded.nanos
"""
_COSTS = """
    SELECT substr(hour, 1, 10) AS day, provider, model, currency, sum(jobs), sum(billed_jobs), sum(nanos)
    FROM spending GROUP BY 1, 2, 3, 4 HAVING sum(jobs) > 0 ORDER BY 1, 2, 3, 4
"""


def spent(connection: sqlite3.Connection, currency: str, start: str) -> int:
    """Return what was spent in a currency since an hour, in billionths, and what is reserved and not sent."""
    return int(connection.execute(_SPENT, (currency, start)).fetchone()[0])


def read_spent(path: Path, currency: str, start: str) -> int:
    """Return what `spent` does, from a file that may not be there yet; then nothing was spent."""
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=0)) as connection:
            return spent(connection, currency, start)
    except sqlite3.Error:
        return 0


def write(connection: sqlite3.Connection, before: Charge | None, after: Charge | None) -> None:
    """Change the sums by the charge of one job."""
    for line in changed_lines(before, after):
        connection.execute(_ADD, (*line.key, line.jobs, line.billed_jobs, line.nanos))


def check(connection: sqlite3.Connection, job: Job, within: Collection[SpendingLimit]) -> None:
    """Make sure that there is room for a job; see `TaskStore.check_budget`."""
    row = connection.execute("SELECT job_id, charge FROM jobs WHERE job_id = ?", (job.job_id,)).fetchone()
    before = None if row is None else TABLE.to_charge(row)
    check_room(within, job, before, lambda currency, start: spent(connection, currency, start), datetime.now(UTC))


def costs(connection: sqlite3.Connection) -> list[Cost]:
    """Return the sums by day."""
    return [
        to_cost(day, provider, model, currency, jobs=jobs, billed_jobs=billed, nanos=nanos)
        for day, provider, model, currency, jobs, billed, nanos in connection.execute(_COSTS)
    ]
