"""
The contract between the core and a provider.

**An adapter never performs I/O.** It turns a request into an HTTP message and an HTTP message into a `Task`, and it
holds no state: whatever differs between two accounts of a provider arrives as an `Account`. It reads no clock, no file
and no environment.

To add a provider, write a class that inherits `Adapter` and register it under the entry-point group
`happyhorse_async.adapters`. Nothing else in this library needs to know of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from attrs import field, frozen

from .capabilities import Capabilities, ModelSpec
from .errors import ConfigurationError, UnsupportedFeatureError
from .messages import HttpRequest, HttpResponse
from .request import VideoRequest
from .task import Task, TaskRef
from .timing import Limits, PollSchedule, RateLimitWindow


def _named(_: object, __: object, name: str) -> None:
    try:
        TaskRef(name, "id")
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def _freeze(options: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return dict(options or {})


@frozen(kw_only=True)
class Account:
    """Where requests go and in whose name: all that differs between two users of one adapter."""

    provider: str = field(validator=_named)
    """The name that goes into refs and errors: the configuration section's, or the adapter's."""
    api_key: str = field(repr=False)
    """The key. It goes into headers and nowhere else."""
    base_url: str
    """The provider's root, without a trailing slash."""
    options: Mapping[str, Any] = field(factory=dict[str, Any], converter=_freeze, hash=False)
    """The adapter's own options."""

    def ref(self, task_id: str) -> TaskRef:
        """Name a task of this account."""
        return TaskRef(self.provider, task_id)

    def own(self, ref: TaskRef | str) -> TaskRef:
        """
        Read the name of a task of this account.

        :raises ConfigurationError: it is no ref, or that of another provider's task.
        """
        try:
            found = ref if isinstance(ref, TaskRef) else TaskRef.parse(ref)
        except ValueError as error:
            raise ConfigurationError(str(error), provider=self.provider) from None
        if found.provider != self.provider:
            raise ConfigurationError(
                f"the task {found} belongs to {found.provider!r}, and this client talks to {self.provider!r}", ref=found
            )
        return found


@frozen(kw_only=True)
class Submission:
    """A request that has passed the check, and all that is needed to write it down for the provider."""

    request: VideoRequest
    """What the caller wants."""
    spec: ModelSpec
    """The model that was chosen for it."""
    job_id: str
    """Our own id of the job, made before anything is sent. At most 64 characters of `[A-Za-z0-9_-]`."""
    callback_url: str | None = None
    """Where the provider shall call at the end of the task."""


@frozen(kw_only=True)
class PageRequest:
    """Which part of the account's tasks to list."""

    number: int = 1
    """Counted from 1."""
    size: int = 50
    """How many tasks to a page. A provider with a lower limit gives fewer."""


@frozen(kw_only=True)
class TaskPage:
    """A part of the account's tasks, newest first."""

    tasks: tuple[Task, ...]
    """As the provider orders them, which is the newest first wherever it says."""
    next: PageRequest | None = None
    """The page after this one, if there may be one."""
    size: int | None = None
    """How many tasks the provider says it puts on a page, which may be fewer than were asked for."""


class Adapter(ABC):
    """
    All that is known of one provider.

    Every `decode_*` raises a `HappyHorseError` where the response is a refusal, and an `InvalidResponseError` where it
    cannot be understood. The operations that not every provider has are implemented here as "not supported".
    """

    name: ClassVar[str]
    """The registered name, `[a-z0-9_-]+`."""
    title: ClassVar[str]
    """The name as the provider writes it."""
    documentation: ClassVar[str]
    """The page the adapter was written from."""
    api_key_env: ClassVar[str]
    """The environment variable with the API key."""
    capabilities: ClassVar[Capabilities]
    """What the provider can do."""
    regions: ClassVar[Mapping[str, str]] = {}
    """Region name to base URL, for a provider that has regions. The first is the default."""
    default_base_url: ClassVar[str]
    """The documented root where no region is chosen."""
    option_names: ClassVar[frozenset[str]] = frozenset()
    """What `options` may hold."""
    poll: ClassVar[PollSchedule] = PollSchedule(interval=15)
    """The provider's advice on polling."""
    limits: ClassVar[Limits] = Limits()
    """The provider's published limits, with some head-room."""
    limits_per_model: ClassVar[bool] = False
    """Whether running and waiting tasks are counted for each model by itself, and not for the account."""
    execution_timeout: ClassVar[float | None] = None
    """Seconds from the submit after which the provider gives up a task that it has not ended, as far as it says so."""
    task_ttl: ClassVar[float] = 24 * 3600.0
    """Seconds for which a task can be looked at. A task that has not ended by then never will."""

    def account(
        self,
        *,
        provider: str,
        api_key: str,
        base_url: str | None = None,
        region: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Account:
        """
        Say where requests go and in whose name. A *base_url* wins over a *region*.

        :raises ConfigurationError: the region or an option is not one of the provider's.
        """
        for option in options or {}:
            if option not in self.option_names:
                known = ", ".join(sorted(self.option_names)) or "none"
                raise ConfigurationError(f"{self.name} has no option {option!r}; known: {known}", provider=provider)
        url = base_url or self.base_url(region, options or {}, provider=provider)
        return Account(provider=provider, api_key=api_key, base_url=url.rstrip("/"), options=options or {})

    def base_url(self, region: str | None, options: Mapping[str, Any], *, provider: str) -> str:
        """
        Find the root of the provider's API.

        :raises ConfigurationError: no such region.
        """
        if region is None:
            return self.default_base_url
        if region not in self.regions:
            known = f"known: {', '.join(self.regions)}" if self.regions else "it has no regions"
            raise ConfigurationError(f"{self.name} has no region {region!r}; {known}", provider=provider)
        return self.regions[region]

    def check(self, request: VideoRequest, *, provider: str, callback_url: str | None = None) -> ModelSpec:
        """
        Find the model for *request* and hold every option against what it takes.

        :raises UnsupportedFeatureError: the provider cannot express it.
        :raises InvalidRequestError: a value is outside what the provider documents.
        """
        return self.capabilities.check(request, provider=provider, callback_url=callback_url)

    def warnings(self, submission: Submission, account: Account) -> tuple[str, ...]:
        """Say what may surprise the caller of *submission*: a costly default, a prompt that will be cut."""
        return ()

    @abstractmethod
    def encode_submit(self, submission: Submission, account: Account) -> HttpRequest:
        """Write the paid request. Called once for a job; the same bytes serve every repetition."""

    @abstractmethod
    def decode_submit(self, response: HttpResponse, account: Account) -> Task:
        """
        Read the answer to the paid request.

        :raises HappyHorseError: a refusal. `ProviderError` and `InvalidResponseError` mean that the provider may have
            taken it, unless `ProviderError.not_accepted` says otherwise.
        """

    @abstractmethod
    def encode_fetch(self, task_id: str, account: Account) -> HttpRequest:
        """Write a query of one task."""

    @abstractmethod
    def decode_fetch(self, response: HttpResponse, task_id: str, account: Account) -> Task:
        """
        Read the answer to a query of *task_id*.

        :raises TaskNotFoundError: the provider does not know the task.
        """

    def rate_limit(self, response: HttpResponse) -> RateLimitWindow | None:
        """
        Read what the provider says is left of its limits, in the headers of any answer, refusals included.

        By default `None`: the provider documents no such headers. `happyhorse_async.timing.rate_limit_window` reads the
        usual ones.
        """
        return None

    def encode_list(self, page: PageRequest, account: Account) -> HttpRequest:
        """Write a query of the account's tasks."""
        raise self.unsupported("task list", account)

    def decode_list(self, response: HttpResponse, page: PageRequest, account: Account) -> TaskPage:
        """Read the answer to a query of the account's tasks."""
        raise self.unsupported("task list", account)

    def encode_cancel(self, task_id: str, account: Account) -> HttpRequest:
        """Write the request to cancel a task."""
        raise self.unsupported("cancellation", account)

    def decode_cancel(self, response: HttpResponse, account: Account) -> bool:
        """Read the answer to a cancellation: whether it was accepted, or came too late."""
        raise self.unsupported("cancellation", account)

    def verify_callback(self, message: HttpRequest, secrets: Sequence[str], now: datetime) -> None:
        """
        Make sure that the provider itself has sent *message*, which called a URL of ours.

        Written where `Capabilities.signed_callbacks` says so. Compare in constant time, with `hmac.compare_digest`.

        :param message: its header names are lower-case, and its body is as it arrived.
        :param secrets: what is shared with the provider: one, or several while they are rotated.
        :param now: a signature that is much older or younger than this is refused.
        :raises CallbackRejectedError: none of the secrets has signed it, or not about now.
        """
        raise UnsupportedFeatureError(f"{self.title} does not sign its callbacks", feature="callback signature")

    def decode_callback(self, message: HttpRequest, account: Account) -> Task | TaskRef:
        """
        Read what the provider says of a task by calling a URL of ours. Who has sent it is not asked here.

        :param message: its header names are lower-case.
        :return: the task; or only its name, where the call has less than a query would show.
        :raises InvalidResponseError: it cannot be understood.
        """
        raise self.unsupported("callbacks", account)

    def unsupported(self, feature: str, account: Account) -> UnsupportedFeatureError:
        """Make the error for an operation that the provider does not have."""
        return UnsupportedFeatureError(
            f"{account.provider} ({self.title}) has no {feature}", feature=feature, provider=account.provider
        )
