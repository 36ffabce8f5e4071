"""
Finds the jobs that no living process has, and makes this one their owner: at the opening of a client, and ever after.

What is in flight comes first and without a limit: those tasks run at the provider already. Queued jobs are taken a few
at a time, so that all processes get some. Those of a dead process have no owner until then.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Sequence
from contextlib import suppress

from ..background import Background
from ..errors import StoreError
from ..job import Endpoint, Job, JobState
from ..logs import get_logger, log_fields
from ..stores import TaskStore
from ..tracker import Tracker
from .account import Accounts
from .followers import Followers
from .recovery import Recovery

_log = get_logger(__name__)

_IN_FLIGHT = (JobState.SUBMITTING, JobState.ACCEPTED, JobState.SUCCEEDED)
_QUEUED = (JobState.QUEUED,)
# More at once would delay everything else in the event loop for too long.
_BATCH = 200
_INTERVAL = 1.0
# Other processes change jobs all the time; few of these changes leave a job without an owner.
_AFTER_CHANGE = 0.1
# The jobs that a process holds in its own queue last so many seconds.
_AHEAD = 2.0
_LEAST_AHEAD = 10
_MOST_AHEAD = 1000


class TakeOver:
    """
    Takes over the jobs of dead processes, and those that are left to whichever process sends them.

    :param is_enabled: whether it does. Otherwise it only finds out which outcomes are unknown.
    :param takes_polled: whether it takes over tasks that are only polled, and not saved.
    :param takes_queued: whether it takes over jobs that have not been sent. Otherwise an engine runs them.
    :param takes: the names of the accounts whose jobs it takes over; `None` for all.
    :param concurrency: take no more queued jobs while so many are queued, sent or polled here; `None` for no limit.
    """

    def __init__(
        self,
        store: TaskStore,
        accounts: Accounts,
        tracker: Tracker,
        recovery: Recovery,
        followers: Followers,
        *,
        is_enabled: bool,
        takes_queued: bool = True,
        takes_polled: bool = True,
        takes: frozenset[str] | None = None,
        concurrency: int | None = None,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._tracker = tracker
        self.recovery = recovery
        """Goes on with what was taken."""
        self._followers = followers
        self._is_enabled = is_enabled
        self._takes_queued = takes_queued
        self._in_flight = _IN_FLIGHT if takes_polled else tuple(s for s in _IN_FLIGHT if s is not JobState.ACCEPTED)
        self._takes = takes
        self._concurrency = math.inf if concurrency is None else concurrency
        self._changed = asyncio.Event()
        self._work = Background()
        self._is_failing = False

    async def open(self) -> None:
        """
        Take over the first jobs now, and the others in the background.

        :raises StoreError: the store cannot be used.
        """
        for endpoint in await self._endpoints():
            await self.recovery.search_unknown(endpoint)
            if not self._is_enabled:
                await self.recovery.give_up_lost(endpoint)
        if self._is_enabled:
            is_complete = await self._take(once=True)
            self._followers.listeners.add(self._changed.set)
            if not is_complete:
                self._changed.set()
            self._work.spawn(self._run())

    async def _run(self) -> None:
        while True:
            # Without other processes, jobs lose their owner only when another client of this one is closed.
            interval = _INTERVAL * random.uniform(0.8, 1.2) if self._store.is_shared else None
            with suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await self._changed.wait()
            self._changed.clear()
            await self._try_take()
            await asyncio.sleep(_AFTER_CHANGE)

    async def _try_take(self) -> None:
        try:
            await self._take()
        except StoreError as error:
            if not self._is_failing:
                _log.warning("jobs without an owner cannot be taken over: %s", error)
            self._is_failing = True
        except Exception:  # noqa: BLE001 - it is tried again
            _log.exception("taking over jobs failed with an unexpected error")
        else:
            self._is_failing = False

    async def _take(self, *, once: bool = False) -> bool:
        """
        Take jobs, and return whether there are no more that this process would take.

        :param once: no more than one batch of each kind.
        """
        endpoints = await self._endpoints()
        if not endpoints:
            return True
        while len(await self._take_batch(endpoints, self._in_flight, _BATCH)) == _BATCH:
            if once:
                return False
        while self._takes_queued:
            limit = max(0, min(self._room(), _BATCH))
            if len(await self._take_batch(endpoints, _QUEUED, limit)) < limit or limit == 0:
                break
            if once:
                return False
        return True

    async def _endpoints(self) -> list[Endpoint]:
        found: list[Endpoint] = []
        for endpoint in self._accounts.endpoints.values():
            if self._takes is not None and endpoint.provider not in self._takes:
                continue
            # An account is opened when it is first needed.
            is_open = self._accounts.opened(endpoint.provider) is not None
            if (is_open or await self._has_jobs(endpoint)) and self.recovery.is_usable(endpoint):
                found.append(endpoint)
        return found

    async def _has_jobs(self, endpoint: Endpoint) -> bool:
        counts = await self._store.count([endpoint], [*_IN_FLIGHT, *_QUEUED, JobState.OUTCOME_UNKNOWN])
        return any(counts.values())

    async def _take_batch(self, endpoints: Sequence[Endpoint], states: Sequence[JobState], limit: int) -> list[Job]:
        jobs = await self._store.take_over(endpoints, states, limit)
        # Many at once, so that a store can write them with one flush. They are sent in the order that they have here.
        work = [self.recovery.resume(job, self._followers.tracked(job.job_id)) for job in jobs]
        failures = [each for each in await asyncio.gather(*work, return_exceptions=True) if each is not None]
        for job in jobs:
            _log.info("job %s was taken over", job.job_id, extra=log_fields(job))
        for failure in failures:
            raise failure
        return jobs

    def _room(self) -> int:
        """Return how many more queued jobs this process may take."""
        queued = len(self._tracker)
        if not self._store.is_shared:
            return _BATCH
        accounts = list(self._accounts)
        rates = [account.exchange.limits.submits.rate for account in accounts]
        ahead = sum(_MOST_AHEAD if rate is None else max(_LEAST_AHEAD, int(rate * _AHEAD)) for rate in rates)
        in_flight = queued + sum(account.poller.in_flight for account in accounts)
        return int(min(_MOST_AHEAD, ahead, self._concurrency - in_flight + queued) - queued)

    async def aclose(self) -> None:
        """Take no more jobs."""
        self._followers.listeners.discard(self._changed.set)
        await self._work.aclose()
