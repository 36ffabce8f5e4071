"""The ledger of a store in memory: what its jobs have cost, in sums that outlive them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime

from ..budget import (
    UNSENT,
    Charge,
    Cost,
    SpendingLimit,
    changed_lines,
    charge_of,
    check_limits,
    check_room,
    to_cost,
)
from ..job import Job


class MemoryLedger:
    """The charges of the jobs that are kept, and the sums of all."""

    def __init__(self) -> None:
        self._charges: dict[str, Charge] = {}
        # By hour, provider, model and currency: jobs, those that are billed, and billionths.
        self._lines: defaultdict[tuple[str, str, str, str], list[int]] = defaultdict(lambda: [0, 0, 0])

    def write(self, job: Job, within: Collection[SpendingLimit], now: datetime) -> None:
        """
        Write what *job* counts for at *now*, in exchange for what it counted for before.

        :raises BudgetExceededError: the limits leave no room. Nothing was written.
        """
        before = self._charges.get(job.job_id)
        after = charge_of(job, before, now)
        check_limits(within, job, before, after, self.spent, now)
        for line in changed_lines(before, after):
            sums = self._lines[line.key]
            for index, change in enumerate((line.jobs, line.billed_jobs, line.nanos)):
                sums[index] += change
        if after is None:
            self._charges.pop(job.job_id, None)
        else:
            self._charges[job.job_id] = after

    def check(self, job: Job, within: Collection[SpendingLimit], now: datetime) -> None:
        """Make sure that there is room for *job*; raises what `write` raises."""
        check_room(within, job, self._charges.get(job.job_id), self.spent, now)

    def forget(self, job_id: str) -> None:
        """Forget a job. What it has cost stays in the sums."""
        self._charges.pop(job_id, None)

    def costs(self) -> list[Cost]:
        """Return the sums by day."""
        days: defaultdict[tuple[str, str, str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
        for (hour, *names), sums in self._lines.items():
            provider, model, currency = names
            of_day = days[hour.partition("T")[0], provider, model, currency]
            for index, figure in enumerate(sums):
                of_day[index] += figure
        return [
            to_cost(*key, jobs=jobs, billed_jobs=billed, nanos=nanos)
            for key, (jobs, billed, nanos) in sorted(days.items())
            if jobs
        ]

    def spent(self, currency: str, start: str) -> int:
        """Return what was spent in a currency since an hour, in billionths, and what is reserved and not sent."""
        return sum(
            sums[2]
            for (hour, _, _, of_line), sums in self._lines.items()
            if of_line == currency and (hour == UNSENT or hour >= start)
        )
