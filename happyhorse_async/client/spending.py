"""What a budget has room for, as far as a plan can know: no store is asked over the network."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import cast

from ..budget import SpendingLimit, check_room
from ..errors import BudgetExceededError, StoreError
from ..job import Endpoint, Job
from ..jobs.account import new_job_id
from ..price import PriceEstimate
from ..stores import TaskStore

Spent = Callable[[str, str], int]


class KnownSpending:
    """
    The budget of one client, and what its store knows to be spent of it.

    Stores in memory and in a file know it exactly. One at a server knows what this process has last read.
    """

    def __init__(self, store: TaskStore, within: Collection[SpendingLimit]) -> None:
        self._store = store
        self._within = within

    def check(self, endpoint: Endpoint, model: str, price: PriceEstimate | None) -> None:
        """
        Make sure that there is room for a job that would be sent now.

        :raises BudgetExceededError: there is not, or its price is not known.
        """
        if self._within:
            # A store of others may not say what is spent.
            spent = cast("Spent", getattr(self._store, "spent", _nothing))
            check_room(self._within, _job(endpoint, model, price), None, spent, datetime.now(UTC))

    async def read(self, endpoint: Endpoint) -> None:
        """Let the store read what is spent."""
        for limit in self._within:
            nothing = PriceEstimate(low=Decimal(0), high=Decimal(0), currency=limit.currency)
            with suppress(BudgetExceededError, StoreError):
                await self._store.check_budget(_job(endpoint, "", nothing), [limit])


def _job(endpoint: Endpoint, model: str, price: PriceEstimate | None) -> Job:
    return Job(job_id=new_job_id(), endpoint=endpoint, model=model, created_at=datetime.now(UTC), price=price)


def _nothing(_currency: str, _since: str) -> int:
    return 0
