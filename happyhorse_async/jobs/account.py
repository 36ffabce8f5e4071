"""One account of one provider while a client is open, and all accounts of a client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from uuid import uuid4

from ..adapter import Account, Adapter
from ..download import Downloads
from ..errors import ConfigurationError
from ..exchange import Exchange
from ..job import Job, JobState
from ..polling import EstimatorPersistence, Poller
from ..task import TaskRef
from ..tracked_job import TrackedJob
from .callback_keys import CallbackKeys
from .media import MediaSender
from .scheduler import SubmitScheduler


class AccountRuntime:
    """
    Everything that runs for one account: requests, polls, the submit queue, and what was learned of durations.

    :param start_submit: called with the next job to be sent, and with its slot.
    :param in_flight: returns how many jobs there are that have not ended.
    :param owns_transport: whether its connections are closed at the end. Those of a caller's transport are not.
    """

    def __init__(
        self,
        exchange: Exchange,
        poller: Poller,
        persistence: EstimatorPersistence,
        downloads: Downloads,
        start_submit: Callable[[TrackedJob, AsyncExitStack], object],
        in_flight: Callable[[], int],
        *,
        owns_transport: bool,
    ) -> None:
        self.exchange = exchange
        self._owns_transport = owns_transport
        self.media = MediaSender(exchange)
        self.callback_keys = CallbackKeys(exchange)
        self.poller = poller
        self.persistence = persistence
        self.downloads = downloads
        self.scheduler = SubmitScheduler(exchange, start_submit, in_flight)
        self.endpoint = exchange.endpoint

    @property
    def adapter(self) -> Adapter:
        """The adapter of the provider."""
        return self.exchange.adapter

    @property
    def account(self) -> Account:
        """The account as the adapter sees it."""
        return self.exchange.account

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

    async def aclose(self) -> None:
        """Close the connections."""
        if self._owns_transport:
            await self.exchange.transport.aclose()


def new_job_id() -> str:
    """Return a new id for a job: our own, and unique without asking anyone."""
    return f"hh-{uuid4().hex}"


class Accounts:
    """The accounts of one client, by the name that their refs begin with."""

    def __init__(self) -> None:
        self._by_name: dict[str, AccountRuntime] = {}

    def add(self, account: AccountRuntime) -> None:
        """Add an account."""
        self._by_name[account.endpoint.provider] = account

    def __iter__(self) -> Iterator[AccountRuntime]:
        return iter(self._by_name.values())

    def named(self, provider: str) -> AccountRuntime:
        """
        Return an account by its name.

        :raises ConfigurationError: the client does not have it.
        """
        found = self._by_name.get(provider)
        if found is None:
            known = ", ".join(repr(name) for name in self._by_name)
            raise ConfigurationError(f"the client has no provider {provider!r}; it has {known}")
        return found

    def of(self, job: Job) -> AccountRuntime:
        """Return the account that a job was or is to be sent to; raises what `named` raises."""
        return self.named(job.endpoint.provider)

    def has(self, job: Job) -> bool:
        """Return whether a job belongs to an account of this client, at its present endpoint."""
        account = self._by_name.get(job.endpoint.provider)
        return account is not None and account.endpoint == job.endpoint
