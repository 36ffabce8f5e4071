"""Whether a client works, for a readiness probe."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import frozen

from ..errors import StoreError
from ..job import JobState
from ..jobs.account import AccountRuntime
from ..jobs.breaker import BreakerState
from ..plain_data import to_plain
from .runtime import ClientRuntime


@frozen(kw_only=True)
class AccountHealth:
    """How one account of a client works, as this process knows it."""

    open: bool
    """Whether the client is open."""
    last_answer_at: datetime | None = None
    """When the provider last answered any request of this client; `None` if it has not yet."""
    last_error: str | None = None
    """The class of the error that the last request ended in, such as `TransportError`; `None` if it succeeded."""
    queries_per_second: float | None = None
    """How many status requests may be sent at present, fewer after a 429; `None` for no limit."""
    submits_per_second: float | None = None
    """How many submits may be sent at present, fewer after a 429; `None` for no limit."""
    breaker: BreakerState = "closed"
    """Whether routing gives the account jobs: `"open"` for not at present, `"half-open"` while one job tries it."""
    left_out_for: str | None = None
    """The class of the error for which the breaker is not closed, such as `AuthenticationError`."""
    jobs: Mapping[JobState, int]
    """How many unfinished jobs this process submits or polls, by state. Those of other processes are not counted."""


@frozen(kw_only=True)
class Health:
    """How a client works. Sends nothing to a provider."""

    open: bool
    """Whether the client is open."""
    store_error: str | None = None
    """Why the store cannot be used; `None` if it can, or if the client is not open."""
    accounts: Mapping[str, AccountHealth]
    """Each account, by the name that its refs begin with."""

    @property
    def is_ready(self) -> bool:
        """Whether the client takes jobs: it is open, and its store can be used."""
        return self.open and self.store_error is None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        data: dict[str, Any] = to_plain(self)
        return data


async def health_of(runtime: ClientRuntime | None, accounts: list[str]) -> Health:
    """
    Find out how a client works.

    :param runtime: `None` if it is not open.
    :param accounts: their names.
    """
    if runtime is None:
        return Health(open=False, accounts={name: AccountHealth(open=False, jobs={}) for name in accounts})
    counts: dict[str, Counter[JobState]] = {name: Counter() for name in accounts}
    for tracked in runtime.tracker.unaccepted():
        counts[tracked.job.endpoint.provider][tracked.job.state] += 1
    found = {name: _account(runtime.accounts.opened(name), counts[name]) for name in accounts}
    # Where another process keeps a file locked, it can still be read.
    store_error: str | None = getattr(runtime.journal.store, "write_error", None)
    try:
        await runtime.journal.store.get_note("health")
    except StoreError as error:
        store_error = str(error)
    return Health(open=True, store_error=store_error, accounts=found)


def _account(account: AccountRuntime | None, jobs: Counter[JobState]) -> AccountHealth:
    if account is None:
        return AccountHealth(open=True, jobs=dict(jobs))
    exchange = account.exchange
    jobs[JobState.ACCEPTED] += account.poller.in_flight
    return AccountHealth(
        open=True,
        last_answer_at=exchange.last_answer_at,
        last_error=exchange.last_error,
        queries_per_second=exchange.limits.queries.rate,
        submits_per_second=exchange.limits.submits.rate,
        breaker=account.breaker.state(asyncio.get_running_loop().time()),
        left_out_for=None if account.breaker.error is None else type(account.breaker.error).__name__,
        jobs={state: count for state, count in jobs.items() if count},
    )
