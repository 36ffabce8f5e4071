"""
The contract between the core and a provider.

**An adapter never performs I/O.** It turns a request into an HTTP message and an HTTP message into a `Task`. It has no
state: everything that differs between two accounts of a provider arrives as an `Account`. It reads no clock, no file
and no environment.

To add a provider, write a class that inherits `Adapter` and register it under the entry-point group
`happyhorse_async.adapters`. Nothing else in this library needs to be edited. `happyhorse_async.adapter_kit` has the
functions that adapters share.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from .capabilities import Capabilities, ModelSpec
from .errors import ConfigurationError, InvalidResponseError, TaskNotFoundError, UnsupportedFeatureError
from .messages import HttpRequest, HttpResponse
from .price import Money
from .price_list import Price, PriceList
from .request import VideoRequest
from .task import FailureReason, Task, TaskRef
from .timing import Limits, PollSchedule, RateLimitWindow


def _check_name(_: object, __: object, name: str) -> None:
    try:
        TaskRef(name, "id")
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def _freeze(options: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return dict(options or {})


@frozen(kw_only=True)
class Account:
    """The endpoint and the credentials: everything that differs between two users of one adapter."""

    provider: str = field(validator=_check_name)
    """The name in refs and errors: the configuration section's, or the adapter's."""
    api_key: str = field(repr=False)
    """The API key. It is sent in a header and appears nowhere else."""
    base_url: str
    """The provider's root, without a trailing slash."""
    options: Mapping[str, Any] = field(factory=dict[str, Any], converter=_freeze, hash=False)
    """The adapter's own options."""
    region: str | None = None
    """The requested region. Prices follow it if the base URL is not one of the provider's own."""

    def ref(self, task_id: str, *, path: str = "") -> TaskRef:
        """
        Return the name of a task of this account.

        :param path: the path of the id in the response, for the error.
        :raises InvalidResponseError: *task_id* is empty or cannot be a task id.
        """
        try:
            if not task_id.strip():
                raise InvalidResponseError("the task id is empty", path=path, provider=self.provider)
            return TaskRef(self.provider, task_id)
        except (AttributeError, TypeError, ValueError):
            # Not every adapter checks the ids that it reads from JSON.
            raise InvalidResponseError("the task id is not usable", path=path, provider=self.provider) from None

    def own(self, ref: TaskRef | str) -> TaskRef:
        """
        Parse the name of a task of this account.

        :raises ConfigurationError: *ref* is not a ref, or names a task of another provider.
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
    """A checked request, with everything that an adapter needs to encode it."""

    request: VideoRequest
    """The caller's request."""
    spec: ModelSpec
    """The selected model."""
    job_id: str
    """Our own id of the job, created before anything is sent. At most 64 characters of `[A-Za-z0-9_-]`."""
    callback_url: str | None = None
    """The URL for the provider to call at the end of the task."""


@frozen(kw_only=True)
class UploadPolicy:
    """A provider's permission to put files into its storage."""

    url: str = field(repr=False)
    """Where the file is sent. May be another host: the API key is never sent there."""
    fields: Mapping[str, str] = field(factory=dict[str, str], repr=False, hash=False)
    """The further fields of the upload form, signatures included."""
    folder: str = ""
    """The required prefix of the file name."""
    max_size: int | None = None
    """The largest file in bytes, if the provider states it."""
    file_url: str | None = field(default=None, repr=False)
    """The URL that will name the file in a request, if the provider returns it before the upload."""


@frozen(kw_only=True)
class UploadFile:
    """A local file to upload. The adapter never sees its bytes."""

    name: str
    """A random name with the extension of the format, new for each upload."""
    mime: str
    """Its media type, determined from the content."""
    size: int
    """In bytes."""
    token: str
    """The token that takes the place of the content in the body."""
    model: str
    """The model that will use it."""


@frozen(kw_only=True)
class PageRequest:
    """Which page of the account's tasks to list."""

    number: int = 1
    """Counted from 1."""
    size: int = 50
    """Tasks per page. A provider with a lower maximum sends fewer."""
    cursor: str | None = None
    """The provider's cursor; `None` for the first page, or if pages have numbers."""

    def next(self, cursor: str | None = None) -> PageRequest:
        """Return the request for the page after this one. A list that uses cursors gives the *cursor* of that page."""
        return evolve(self, number=self.number + 1, cursor=cursor)


@frozen(kw_only=True)
class TaskPage:
    """One page of the account's tasks, newest first."""

    tasks: tuple[Task, ...]
    """In the provider's order: newest first wherever the provider documents an order."""
    next: PageRequest | None = None
    """The request for the next page; `None` on the last one."""
    size: int | None = None
    """Tasks per page as stated by the provider, which may be fewer than requested."""


class Adapter(ABC):
    """
    Everything the library knows about one provider.

    Every `decode_*` raises a `HappyHorseError` if the response is a refusal, and an `InvalidResponseError` if it cannot
    be understood. Optional operations are implemented here as "not supported".
    """

    name: ClassVar[str]
    """The registered name, `[a-z0-9_-]+`."""
    title: ClassVar[str]
    """The display name, in the provider's own spelling."""
    documentation: ClassVar[str]
    """URL of the page that the adapter was written from."""
    api_key_env: ClassVar[str]
    """Name of the environment variable with the API key."""
    capabilities: ClassVar[Capabilities]
    """The provider's models and operations."""
    regions: ClassVar[Mapping[str, str]] = {}
    """Region name to base URL, for a provider with regions. The first is the default."""
    default_base_url: ClassVar[str]
    """The documented root of the API if no region is chosen."""
    option_names: ClassVar[frozenset[str]] = frozenset()
    """The names that `options` may contain."""
    further_urls: ClassVar[Mapping[str, str]] = {}
    """
    Options that name further hosts of the provider, each with its documented URL. The API key may go there, too. See
    `further_url`.
    """
    poll: ClassVar[PollSchedule] = PollSchedule(interval=15)
    """The provider's recommended poll intervals."""
    limits: ClassVar[Limits] = Limits()
    """The provider's published limits, with a safety margin."""
    limits_per_model: ClassVar[bool] = False
    """Whether `max_running` and `max_queued` apply to each model separately instead of to the account."""
    execution_timeout: ClassVar[float | None] = None
    """Seconds after the submit at which the provider fails a task that has not ended; `None` if it documents none."""
    task_ttl: ClassVar[float] = 24 * 3600.0
    """Seconds for which a task can be polled. A task that has not ended by then never will."""
    prices: ClassVar[tuple[Price, ...]] = ()
    """The provider's price list, made by `happyhorse_async.price_list.price_rows`. Empty: none is published."""
    default_resolution: ClassVar[str | None] = None
    """The provider's default tier, written `"720P"`; `None` if it is not documented."""
    default_duration: ClassVar[int] = 5
    """The provider's default duration, in seconds."""
    credit_price: ClassVar[Money | None] = None
    """The price of one credit, for a provider that reports `Usage.credits`."""
    free_failures: ClassVar[frozenset[FailureReason]] = frozenset()
    """The failures that are free according to the provider. Budgets count any other as billed."""

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
        Return the account to make requests for. A *base_url* takes precedence over a *region*.

        :raises ConfigurationError: the provider has no such region or option.
        """
        for option in options or {}:
            if option not in self.option_names:
                known = ", ".join(sorted(self.option_names)) or "none"
                raise ConfigurationError(f"{self.name} has no option {option!r}; known: {known}", provider=provider)
        url = base_url or self.base_url(region, options or {}, provider=provider)
        return Account(
            provider=provider, api_key=api_key, base_url=url.rstrip("/"), options=options or {}, region=region
        )

    def base_url(self, region: str | None, options: Mapping[str, Any], *, provider: str) -> str:
        """
        Return the root of the provider's API.

        :raises ConfigurationError: the provider has no such region.
        """
        if region is None:
            return self.default_base_url
        if region not in self.regions:
            known = f"known: {', '.join(self.regions)}" if self.regions else "it has no regions"
            raise ConfigurationError(f"{self.name} has no region {region!r}; {known}", provider=provider)
        return self.regions[region]

    def further_url(self, option: str, account: Account) -> str:
        """
        Return the URL of a further host of the provider, without a trailing slash: the option, else the documented one.

        A `base_url` that is not the documented one is a gateway or an emulator. Then all requests go there, because the
        owner of the key named no other host.

        :param option: one of `further_urls`.
        """
        url = account.options.get(option)
        if url is None:
            documented = account.base_url in (self.default_base_url, *self.regions.values())
            url = self.further_urls[option] if documented else account.base_url
        return str(url).rstrip("/")

    def price_region(self, account: Account) -> str | None:
        """
        Return the region, by its name in `regions`, whose prices *account* pays; `None` if no published price holds.

        A gateway's address has the prices of the region that was set with it. Empty for a provider without regions.
        """
        host = urlsplit(account.base_url).hostname
        documented = {urlsplit(url).hostname: name for name, url in self.regions.items()}
        if not self.regions:
            documented[urlsplit(self.default_base_url).hostname] = ""
        return documented.get(host, account.region)

    def price_list(self, account: Account, configured: tuple[Price, ...] = ()) -> PriceList:
        """
        Return the prices that apply to *account*.

        :param configured: the user's own prices, which take precedence.
        """
        region = self.price_region(account)
        published = [row for row in self.prices if region is not None and row.region in (None, region)]
        return PriceList(
            rows=(*published, *configured),
            default_resolution=self.default_resolution,
            default_duration=self.default_duration,
            credit=None if self.credit_price is None else self.credit_price.amount,
            free_failures=tuple(sorted(self.free_failures)),
            known_models=frozenset(spec.model for spec in self.capabilities.models),
            billing={row.mode: row.billing for row in self.prices if row.mode and row.billing},
        )

    def check(self, request: VideoRequest, *, provider: str, callback_url: str | None = None) -> ModelSpec:
        """
        Choose the model for *request* and check every option against the model.

        :raises UnsupportedFeatureError: the provider cannot express the request.
        :raises InvalidRequestError: a value is outside the range that the provider documents.
        """
        return self.capabilities.check(request, provider=provider, callback_url=callback_url)

    def warnings(self, submission: Submission, account: Account) -> tuple[str, ...]:
        """Return warnings for the caller, such as a costly default or a prompt that will be truncated."""
        return ()

    @abstractmethod
    def encode_submit(self, submission: Submission, account: Account) -> HttpRequest:
        """Encode the paid request. The same submission always gives the same bytes, which are also resent."""

    @abstractmethod
    def decode_submit(self, response: HttpResponse, account: Account) -> Task:
        """
        Decode the response to the paid request.

        :raises HappyHorseError: the submit was refused. After a `ProviderError` or an `InvalidResponseError` the
            provider may still have accepted it, unless `ProviderError.not_accepted` is set.
        """

    @abstractmethod
    def encode_fetch(self, task_id: str, account: Account) -> HttpRequest:
        """Encode the status request for one task."""

    @abstractmethod
    def decode_fetch(self, response: HttpResponse, task_id: str, account: Account) -> Task:
        """
        Decode the response to the status request for *task_id*.

        :raises TaskNotFoundError: the provider does not know the task.
        """

    def encode_result(self, task: Task, account: Account) -> HttpRequest | None:
        """
        Encode the request for the result of *task*, if status responses do not include it.

        :param task: the task that `decode_fetch` returned.
        :return: `None` if *task* is already complete. Otherwise `decode_result` returns the final task.
        """
        return None

    def decode_result(self, response: HttpResponse, task: Task, account: Account) -> Task:
        """
        Decode the response to the request for the result of *task*. It may also say that the task has failed.

        :raises TaskNotFoundError: the provider does not know the task.
        """
        raise self.unsupported("result", account)

    upload_lifetime: ClassVar[float] = 600.0
    """Seconds for which an upload may be reused: its documented lifetime minus the longest queue time."""

    public_uploads: ClassVar[bool] = False
    """Whether anyone with the URL of an upload can read it. A plan with an upload then has a warning."""

    def upload_problem(self, account: Account) -> str | None:
        """
        Return why files cannot be uploaded for *account*, in a sentence that says what to do; `None` if they can be.

        Called only for a model with an `upload_form`. By default the option `upload = false` is such a reason, if the
        adapter has this option.
        """
        if account.options.get("upload") is False:
            return "uploads are switched off by the option upload = false: give a URL"
        return None

    def encode_upload_policy(self, file: UploadFile, account: Account) -> HttpRequest | None:
        """Encode the request for permission to upload *file*; `None` if none is needed."""
        return None

    def decode_upload_policy(self, response: HttpResponse, account: Account) -> UploadPolicy:
        """Decode the response to that request."""
        raise self.unsupported("upload", account)

    def encode_upload(self, file: UploadFile, policy: UploadPolicy | None, account: Account) -> HttpRequest:
        """
        Encode an upload. The body has `file.token` in place of the content; `adapter_kit.form_request` makes one.

        The API key must not be in it unless it goes to the host of the API or to one of `further_urls`.
        """
        raise self.unsupported("upload", account)

    def decode_upload(
        self, response: HttpResponse, file: UploadFile, policy: UploadPolicy | None, account: Account
    ) -> str:
        """
        Decode the response to an upload: the URL that names the file in a request.

        :raises HappyHorseError: the upload was refused. Nothing was paid for.
        """
        raise self.unsupported("upload", account)

    def rate_limit(self, response: HttpResponse) -> RateLimitWindow | None:
        """
        Return the provider's rate limit window from the headers of any response.

        By default `None`: the provider documents no such headers. `happyhorse_async.timing.rate_limit_window` reads the
        usual ones.
        """
        return None

    def encode_list(self, page: PageRequest, account: Account) -> HttpRequest:
        """Encode the request for one page of the account's tasks."""
        raise self.unsupported("task list", account)

    def decode_list(self, response: HttpResponse, page: PageRequest, account: Account) -> TaskPage:
        """Decode a page of the account's tasks. Unreadable rows are skipped."""
        raise self.unsupported("task list", account)

    def encode_cancel(self, task_id: str, account: Account) -> HttpRequest:
        """Encode the request to cancel a task."""
        raise self.unsupported("cancellation", account)

    def decode_cancel(self, response: HttpResponse, account: Account) -> bool:
        """
        Decode the response to a cancel request. `False` means that it came too late, `True` that it was accepted.

        If the provider only promises to try, a status request shows the result.
        """
        raise self.unsupported("cancellation", account)

    absent_task_id: ClassVar[str] = "00000000-0000-0000-0000-000000000000"
    """A task id in the provider's format that belongs to no task, for `encode_check`."""

    def encode_check(self, account: Account) -> HttpRequest:
        """
        Encode a free request that shows whether key, region and address are valid.

        By default the shortest list of tasks or, where there is no list, the status request for `absent_task_id`.
        """
        if self.capabilities.can_list:
            return self.encode_list(PageRequest(size=1), account)
        return self.encode_fetch(self.absent_task_id, account)

    def decode_check(self, response: HttpResponse, account: Account) -> str:
        """
        Decode the response to the request of `encode_check`.

        :return: a few words about the account, such as `"100 credits"`; by default none.
        :raises HappyHorseError: the provider refuses the key, or the response is not the provider's.
        """
        if self.capabilities.can_list:
            self.decode_list(response, PageRequest(size=1), account)
            return ""
        try:
            self.decode_fetch(response, self.absent_task_id, account)
        except TaskNotFoundError:
            return ""
        raise InvalidResponseError("the provider knows a task that does not exist", path="id")

    callback_keys_lifetime: ClassVar[float] = 24 * 3600.0
    """Seconds for which published callback keys may be cached."""

    def encode_callback_keys(self, account: Account) -> tuple[HttpRequest, ...]:
        """
        Encode the request for the published keys that callbacks are signed with. The API key is not in it.

        Empty, the default, means that callbacks are signed with a shared secret, or not at all. Several requests are
        alternative addresses of the same keys, tried in order until one succeeds. The core keeps the keys, and sends
        the requests again, at most once a minute, when a signature matches none of them.

        :raises ConfigurationError: the package that verifies signatures is not installed.
        """
        return ()

    def decode_callback_keys(self, response: HttpResponse, account: Account) -> tuple[str, ...]:
        """
        Decode the response to the request for the published keys, each in the form that `verify_callback` takes.

        :raises InvalidResponseError: it has no keys.
        """
        raise self.unsupported("published keys for callbacks", account)

    def verify_callback(self, message: HttpRequest, secrets: Sequence[str], now: datetime) -> None:
        """
        Verify that the provider itself sent the callback *message*.

        Implement it if `Capabilities.signed_callbacks` is set. Compare in constant time, with `hmac.compare_digest`.

        :param message: the callback, with lower-case header names and the body as it arrived.
        :param secrets: the secrets shared with the provider: one, or several during a rotation. With published keys:
            those keys, or none while they have not been requested.
        :param now: a signature that is much older or newer than this is rejected.
        :raises CallbackRejectedError: none of the secrets made the signature, or its time is too far from *now*. With
            `fits_no_key` set, newer published keys may match: the core requests them and calls this again.
        """
        raise UnsupportedFeatureError(f"{self.title} does not sign its callbacks", feature="callback signature")

    def decode_callback(self, message: HttpRequest, account: Account) -> Task | TaskRef:
        """
        Decode a callback. The sender is verified elsewhere.

        :param message: the callback, with lower-case header names.
        :return: the task; or only its ref if the callback has less than a status response.
        :raises InvalidResponseError: the callback cannot be understood.
        """
        raise self.unsupported("callbacks", account)

    def unsupported(self, feature: str, account: Account) -> UnsupportedFeatureError:
        """Return the error for an operation that the provider does not have."""
        return UnsupportedFeatureError(
            f"{account.provider} ({self.title}) has no {feature}", feature=feature, provider=account.provider
        )
