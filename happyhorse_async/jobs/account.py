"""One account of one provider while a client is open, and all accounts of a client."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from ..download import Downloads
from ..errors import ConfigurationError, TransportError
from ..exchange import Exchange
from ..job import Endpoint, Job, JobState
from ..polling import EstimatorPersistence, Poller
from ..task import TaskRef
from ..tracked_job import TrackedJob
from .breaker import Breaker
from .callback_keys import CallbackKeys
from .media import MediaSender
from .scheduler import SubmitScheduler

_MILLISECONDS = 2**48 - 1


class AccountRuntime:
    """
    Everything that runs for one account: requests, polls, the submit queue, and learned durations.

    :param start_submit: called with the next job to be sent, and with its slot.
    :param in_flight: returns the number of unfinished jobs.
    :param breaker: shared by all sections that are the same account.
    :param auto_adopt: whether a job whose response was lost adopts the only matching task.
    """

    def __init__(
        self,
        exchange: Exchange,
        poller: Poller,
        persistence: EstimatorPersistence,
        downloads: Downloads,
        start_submit: Callable[[TrackedJob, AsyncExitStack], object],
        in_flight: Callable[[], int],
        breaker: Breaker,
        *,
        auto_adopt: bool = False,
    ) -> None:
        self.exchange = exchange
        self.adapter = exchange.adapter
        """The adapter of the provider."""
        self.account = exchange.account
        """The account as the adapter sees it."""
        self.breaker = breaker
        self.auto_adopt = auto_adopt
        self.media = MediaSender(exchange)
        self.callback_keys = CallbackKeys(exchange)
        self.poller = poller
        self.persistence = persistence
        self.downloads = downloads
        self.scheduler = SubmitScheduler(exchange, start_submit, in_flight)
        self.endpoint = exchange.endpoint

    def unrecorded(self, ref: TaskRef) -> Job:
        """Return an entry for a task of this account that the store may not have. It is never written."""
        return Job(
            job_id=new_job_id(),
            endpoint=self.endpoint,
            model="",
            created_at=datetime.now(UTC),
            state=JobState.ACCEPTED,
            task_id=ref.id,
        )


def new_job_id() -> str:
    """
    Return a new id for a job: our own, and unique without asking anyone.

    It begins with the time, so that the newest jobs lie side by side in the index of a store, however many there are.
    """
    return f"hh-{time.time_ns() // 1_000_000 & _MILLISECONDS:012x}{secrets.token_hex(10)}"


class Accounts:
    """
    The accounts of one client, by the prefix of their refs. Each is opened when it is first needed.

    :param endpoints: the endpoint of each account's jobs.
    :param start: makes an account ready. It raises a
        `ConfigurationError` if there is no key.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint], start: Callable[[str], AccountRuntime]) -> None:
        self.endpoints = endpoints
        """Where the jobs of each account are sent, open or not, by its name."""
        self._start = start
        self._by_name: dict[str, AccountRuntime] = {}
        self._closing = False

    def __iter__(self) -> Iterator[AccountRuntime]:
        """Iterate over those that are open."""
        return iter(list(self._by_name.values()))

    def opened(self, provider: str) -> AccountRuntime | None:
        """Return an account if it is open."""
        return self._by_name.get(provider)

    def named(self, provider: str) -> AccountRuntime:
        """
        Return an account by its name.

        :raises ConfigurationError: the client does not have it, or it has no key.
        """
        found = self._by_name.get(provider)
        if found is None:
            self._check(provider)
            found = self._by_name[provider] = self._start(provider)
        return found

    def _check(self, provider: str) -> None:
        if provider not in self.endpoints:
            known = ", ".join(repr(name) for name in self.endpoints)
            raise ConfigurationError(f"the client has no provider {provider!r}; it has {known}")
        if self._closing:
            raise TransportError("the client was closed", sent=False, provider=provider)

    def of(self, job: Job) -> AccountRuntime:
        """Return the account that a job was or will be sent to; raises the errors of `named`."""
        return self.named(job.endpoint.provider)

    def has(self, job: Job) -> bool:
        """Return whether a job belongs to an account of this client, at its present endpoint."""
        return self.endpoints.get(job.endpoint.provider) == job.endpoint

    def close(self) -> None:
        """Open no more accounts."""
        self._closing = True
