"""The ledger in PostgreSQL: what the jobs have cost, in sums that outlive them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import define, field

from ...budget import (
    NANO,
    UNSENT,
    Charge,
    Cost,
    SpendingLimit,
    SpendingLine,
    changed_lines,
    charge_of,
    check_limits,
    check_room,
    to_cost,
    to_nanos,
)
from ...job import Job
from .rows import TABLE, name_text

if TYPE_CHECKING:
    from .operations import Connection

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
_CHARGE = "SELECT job_id, charge FROM {schema}.jobs WHERE job_id = $1"
_SPENT = """
    SELECT coalesce(sum(amount), 0) FROM {schema}.spending WHERE currency = $1 AND (hour = '' OR hour >= $2)
"""
# In the order of the key: two groups with the same lines would wait for each other for ever.
_ADD = """
    INSERT INTO {schema}.spending AS line (hour, provider, model, currency, jobs, billed_jobs, amount)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::numeric[])
        AS new(hour, provider, model, currency, jobs, billed_jobs, amount)
    ORDER BY 1, 2, 3, 4
    ON CONFLICT (currency, hour, provider, model) DO UPDATE SET
        jobs = line.jobs + excluded.jobs, billed_jobs = line.billed_jobs + excluded.billed_jobs,
        amount = line.amount + excluded.amount
"""
_COSTS = """
    SELECT substr(hour, 1, 10) AS day, provider, model, currency, sum(jobs) AS jobs, sum(billed_jobs) AS billed_jobs,
        sum(amount) AS amount
    FROM {schema}.spending GROUP BY 1, 2, 3, 4 HAVING sum(jobs) > 0 ORDER BY 1, 2, 3, 4
"""


@define
class Spending:
    """
    What is spent when a group of jobs is written.

    Each job is checked against the sums of the ledger and what the others of the group have added to them. The changes
    are written together at the end, because every process waits for those lines.
    """

    schema: str
    """The quoted name of the schema."""
    now: datetime
    known: dict[tuple[str, str], int] = field(factory=dict[tuple[str, str], int])
    """What this process knows of the sums, by currency and first hour."""
    _sums: dict[tuple[str, str], int] = field(factory=dict[tuple[str, str], int], init=False)
    _lines: list[SpendingLine] = field(factory=list[SpendingLine], init=False)

    async def read(self, connection: Connection, limits: Iterable[SpendingLimit], *, locks: bool) -> None:
        """
        Read the sums that *limits* depend on.

        :param locks: whether other processes that spend within limits wait until this transaction has ended.
        """
        needed = {(limit.currency, limit.start(self.now)) for limit in limits}
        if needed and locks:
            await connection.execute(_LOCK, f"happyhorse:{self.schema}:spending")
        for currency, start in sorted(needed):
            amount = await connection.fetchval(_SPENT.format(schema=self.schema), currency, start)
            self._sums[currency, start] = self.known[currency, start] = to_nanos(amount)

    def charge(self, job: Job, before: Charge | None, within: Collection[SpendingLimit]) -> Charge | None:
        """
        Return what *job* counts for now.

        :raises BudgetExceededError: the limits leave no room for it.
        """
        after = charge_of(job, before, self.now)
        check_limits(within, job, before, after, self._spent, self.now)
        return after

    async def check(self, connection: Connection, job: Job, within: Collection[SpendingLimit]) -> None:
        """Make sure that there is room for a job; see `TaskStore.check_budget`."""
        await self.read(connection, within, locks=False)
        row = await connection.fetchrow(_CHARGE.format(schema=self.schema), name_text(job.job_id))
        before = None if row is None else TABLE.to_charge(row)
        check_room(within, job, before, self._spent, self.now)

    def change(self, before: Charge | None, after: Charge | None) -> None:
        """Count what a job that is written counts for, in exchange for what it did before."""
        self._lines += changed_lines(before, after)

    async def write(self, connection: Connection) -> None:
        """Write what has changed."""
        sums: defaultdict[tuple[str, str, str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
        for line in self._lines:
            for index, figure in enumerate((line.jobs, line.billed_jobs, line.nanos)):
                sums[line.key][index] += figure
        changed = [(key, figures) for key, figures in sums.items() if any(figures)]
        if not changed:
            return
        names = [[name_text(key[part]) for key, _ in changed] for part in range(4)]
        jobs, billed = ([figures[index] for _, figures in changed] for index in (0, 1))
        amounts: list[Decimal] = [figures[2] * NANO for _, figures in changed]
        await connection.execute(_ADD.format(schema=self.schema), *names, jobs, billed, amounts)
        for currency, start in self.known:
            self.known[currency, start] += self._own(currency, start)

    def _spent(self, currency: str, start: str) -> int:
        return self._sums[currency, start] + self._own(currency, start)

    def _own(self, currency: str, start: str) -> int:
        return sum(
            line.nanos
            for line in self._lines
            if line.currency == currency and (line.hour == UNSENT or line.hour >= start)
        )


async def costs(connection: Connection, schema: str) -> list[Cost]:
    """Return the sums by day."""
    read = TABLE.forms["TEXT"].read
    rows = await connection.fetch(_COSTS.format(schema=schema))
    return [
        to_cost(
            row["day"],
            read(row["provider"]),
            read(row["model"]),
            row["currency"],
            jobs=int(row["jobs"]),
            billed_jobs=int(row["billed_jobs"]),
            nanos=to_nanos(row["amount"]),
        )
        for row in rows
    ]
