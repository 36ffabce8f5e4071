"""`costs`: what the jobs of the journal have cost, by day, provider and model."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

from ..budget import Cost
from ..price import show_amount
from .output import Output
from .session import Session
from .table import Column

_COLUMNS = (
    Column("day"),
    Column("provider"),
    Column("model", required=False),
    Column("jobs"),
    Column("billed"),
    Column("amount"),
    Column("currency"),
)


async def show_costs(output: Output, session: Session, provider: str | None) -> None:
    """Print what the jobs have cost, oldest first, and the sum of each currency."""
    session.check_memory("costs")
    async with session.journal() as store:
        costs = [cost for cost in await store.costs() if provider in (None, cost.provider)]
    for cost in costs:
        output.object(
            {
                "day": cost.day,
                "provider": cost.provider,
                "model": cost.model,
                "jobs": cost.jobs,
                "billed_jobs": cost.billed_jobs,
                "amount": None if cost.amount is None else f"{cost.amount:f}",
                "currency": cost.currency,
            }
        )
    if not costs:
        output.note("the journal knows of no costs")
        return
    output.table(_COLUMNS, (_row(cost) for cost in costs))
    output.note(_totals(costs))


def _row(cost: Cost) -> tuple[object, ...]:
    amount = "not known" if cost.amount is None else show_amount(cost.amount)
    return (
        cost.day or "reserved",
        cost.provider,
        cost.model,
        cost.jobs,
        cost.billed_jobs,
        amount,
        cost.currency or "-",
    )


def _totals(costs: list[Cost]) -> str:
    totals: defaultdict[str, Decimal] = defaultdict(Decimal)
    unknown = 0
    for cost in costs:
        if cost.amount is None or cost.currency is None:
            unknown += cost.jobs
        else:
            totals[cost.currency] += cost.amount
    parts = [f"{show_amount(amount)} {currency}" for currency, amount in sorted(totals.items())]
    if unknown:
        parts.append(f"{unknown} of unknown price")
    billed, jobs = sum(cost.billed_jobs for cost in costs), sum(cost.jobs for cost in costs)
    return f"total: {', '.join(parts)}; {billed} of {jobs} as the provider billed them, the others as estimated"
