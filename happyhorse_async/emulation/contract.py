"""The contract of an emulated API: its input and output."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

from attrs import field, frozen

from ..messages import HttpRequest, HttpResponse
from ..redaction import redact_url
from ..request import VideoRequest
from ..task import Task, TaskStatus
from .errors import BARE_REFUSALS, ApiError, ApiFault, ErrorReply


def _show_url(url: str | None) -> str:
    return repr(url and redact_url(url))


@frozen(kw_only=True)
class SubmitCall:
    """A paid request that the provider accepts."""

    request: VideoRequest
    """What to generate, with `model` set and the provider's defaults filled in."""
    idempotency_key: str | None = None
    """Requests with the same key are the same task, if the provider promises that."""
    body: bytes = field(default=b"", repr=False)
    """The received bytes: a repeated request must have the same."""
    callback_url: str | None = field(default=None, repr=_show_url)
    """The destination of the webhook, if the request has one."""


@frozen
class FetchCall:
    """A status request for one task."""

    task_id: str


@frozen
class ResultCall:
    """A request for the result of a task, if status responses do not include it."""

    task_id: str


@frozen(kw_only=True)
class ListCall:
    """A request for the account's tasks, newest first. A filter that is `None` keeps all."""

    page: int = 1
    """Counted from 1."""
    size: int = 20
    task_id: str | None = None
    status: TaskStatus | None = None
    model: str | None = None
    created_from: datetime | None = None
    created_until: datetime | None = None


@frozen
class CancelCall:
    """A request to cancel a task."""

    task_id: str


@frozen
class PolicyCall:
    """A request for the permission to upload a file."""

    model: str
    """The model that will use it."""


@frozen
class GrantCall:
    """A request for a URL to which a file may be sent with PUT."""

    name: str
    """The name of the file."""


@frozen(kw_only=True)
class UploadCall:
    """A file sent to the provider itself. Anyone with its URL can read it."""

    name: str
    content: bytes = field(repr=False)
    permit: tuple[str, str] | None = field(default=None, repr=False)
    """The policy that permits it, with its signature, if there is no API key."""


@frozen
class KeysCall:
    """A request for the published keys that webhooks are signed with. It needs no API key."""


@frozen
class BalanceCall:
    """A request for the balance of the account."""


@frozen(kw_only=True)
class StorageGrant:
    """The permission to send one file to the emulator's own storage."""

    upload_url: str = field(repr=False)
    """The signed URL to PUT the file to."""
    file_url: str
    """The URL of the stored file."""


@frozen(kw_only=True)
class StoragePolicy:
    """The permission to upload files to the emulator's own storage."""

    url: str
    """The URL to send the form to."""
    folder: str
    """The required prefix of file names."""
    policy: str
    """The permission itself."""
    signature: str = field(repr=False)
    """Its signature."""
    seconds: float
    """Its lifetime."""
    expires: datetime
    """When it expires."""
    largest: int
    """The largest file in bytes."""


Call: TypeAlias = (
    SubmitCall | FetchCall | ResultCall | ListCall | CancelCall | PolicyCall | GrantCall | UploadCall | BalanceCall
)
"""Any request to a provider."""


@frozen(kw_only=True)
class Job:
    """One task as the provider has it: its request and its status."""

    request: VideoRequest
    task: Task
    """
    Its present state. A failure has a `reason` only: the emulated API chooses the provider's code, message and status
    word. A `raw_status` is written unchanged.
    """
    seen: Task
    """Its state when the client last saw it in a submit or a query."""
    submit_id: str
    """The id of the call that submitted it."""
    base_url: str = ""
    """The provider's root URL as used by the client."""


@frozen(kw_only=True)
class JobPage:
    """A part of the account's tasks."""

    jobs: tuple[Job, ...]
    total: int
    """The number of tasks on all pages."""


@frozen(kw_only=True)
class RateLimit:
    """At most *count* calls within any *seconds*."""

    count: int
    seconds: float
    calls: tuple[type[Call], ...] = (SubmitCall, FetchCall, ResultCall, ListCall, CancelCall)
    """The counted operations."""
    per_model: bool = False
    """Whether submits are counted for each model by itself."""


@frozen(kw_only=True)
class ProviderLimits:
    """The limits of one account. `None` means no limit."""

    rates: tuple[RateLimit, ...] = ()
    running: int | None = None
    """Tasks of one model that run at the same time. Further ones wait."""
    queued: int | None = None
    """Tasks of one model that wait. Further ones are refused."""


@frozen(kw_only=True)
class CallbackRules:
    """How a provider sends webhooks: one when a task has succeeded or failed."""

    set_up_outside: bool = False
    """Whether the URL is configured outside the API, once for the account. Otherwise each submit has its own."""
    pauses: tuple[tuple[float, float], ...] = ()
    """
    The shortest and the longest pause, in seconds, before each further attempt, until the receiver answers with a 2xx.
    After the last one the provider gives up.
    """
    timeout: float = 10.0
    """The receiver's timeout in real seconds, which the emulator's speed does not divide."""


@frozen(kw_only=True)
class CallbackNotice:
    """One attempt to deliver a webhook."""

    job: Job
    url: str = field(repr=_show_url)
    """The destination."""
    event_id: str
    """A UUID of the event, the same at every attempt."""
    sent_at: datetime
    """The time of this attempt."""
    secret: str | None = field(default=None, repr=False)
    """The signing secret; `None` if the account has none."""
    signing_seed: bytes = field(default=bytes(32), repr=False)
    """The seed of the provider's signing key, 32 random bytes, if it publishes its keys."""


class EmulatedAPI(ABC):
    """
    A provider's server side.

    The names of request headers arrive in lower case, and a request's URL is the one that the provider would see.
    """

    name: ClassVar[str]
    """The registered name: the adapter's."""
    root: ClassVar[str] = ""
    """The path of the provider's documented base URL, such as `"/api/v1"`."""
    task_ttl: ClassVar[float] = 24 * 3600.0
    """Seconds from the submit for which a task is known."""
    url_lifetime: ClassVar[float] = 24 * 3600.0
    """Seconds from the end of a task for which its video can be fetched."""
    limits: ClassVar[ProviderLimits] = ProviderLimits()
    """The provider's published limits."""
    refusals: ClassVar[Mapping[ApiFault, ErrorReply]]
    """The provider's error for each fault that it documents. Others are answered with the HTTP status alone."""
    callback_rules: ClassVar[CallbackRules | None] = None
    """How the provider sends webhooks; `None` if it sends none."""

    @abstractmethod
    def task_id(self, number: int) -> str:
        """Return a task id in the provider's format, made from a random *number* of 128 bits."""

    @abstractmethod
    def read(self, request: HttpRequest) -> Call:
        """
        Parse a request.

        :raises ApiError: the provider refuses it.
        """

    def read_public(self, request: HttpRequest) -> KeysCall | UploadCall | None:
        """
        Parse a request that needs no API key; `None` for any other.

        :raises ApiError: the provider refuses it.
        """
        return None

    @abstractmethod
    def answer_submit(self, job: Job, *, request_id: str, replayed: bool = False) -> HttpResponse:
        """
        Write the response to an accepted submit.

        :param request_id: a new UUID for this call.
        :param replayed: the submit repeated an idempotency key, and *job* is the job of the earlier submit.
        """

    @abstractmethod
    def answer_fetch(self, job: Job, *, request_id: str) -> HttpResponse:
        """Write the response to a status request for one task."""

    @abstractmethod
    def answer_error(self, refusal: ErrorReply, *, request_id: str) -> HttpResponse:
        """Write an error in the provider's envelope."""

    def answer_result(self, job: Job, *, request_id: str) -> HttpResponse:
        """Write the response to a request for the result of a task, for a provider with a separate result request."""
        raise NotImplementedError(f"the emulated API of {self.name} has no separate results")

    def answer_missing(self, call: FetchCall | ResultCall | CancelCall, *, request_id: str) -> HttpResponse:
        """Write the response to a call about a task that is unknown or has expired."""
        return self.answer_error(self.refusal(ApiFault.UNKNOWN_TASK), request_id=request_id)

    def answer_list(self, call: ListCall, page: JobPage, *, request_id: str) -> HttpResponse:
        """Write the response to a list request, for a provider that has one."""
        raise NotImplementedError(f"the emulated API of {self.name} has no list")

    def answer_cancel(self, job: Job, *, canceled: bool, request_id: str) -> HttpResponse:
        """Write the response to a cancellation, for a provider that has one. Only pending tasks can be canceled."""
        raise NotImplementedError(f"the emulated API of {self.name} has no cancellation")

    def answer_policy(self, policy: StoragePolicy, *, request_id: str) -> HttpResponse:
        """Write the response to a request for an upload, for a provider that has temporary storage."""
        raise NotImplementedError(f"the emulated API of {self.name} has no storage")

    def answer_grant(self, grant: StorageGrant, *, request_id: str) -> HttpResponse:
        """Write the response to a request for an upload URL, for a provider that has such storage."""
        raise NotImplementedError(f"the emulated API of {self.name} grants no uploads")

    def answer_upload(self, file_url: str, *, request_id: str) -> HttpResponse:
        """Write the response to a file that was sent to the provider itself and is stored at *file_url*."""
        raise NotImplementedError(f"the emulated API of {self.name} takes no files")

    def answer_balance(self, *, request_id: str) -> HttpResponse:
        """Write the response to a request for the balance, for a provider that reports it."""
        raise NotImplementedError(f"the emulated API of {self.name} has no balance")

    def answer_keys(self, signing_seed: bytes) -> HttpResponse:
        """
        Write the published keys, for a provider that signs webhooks with published keys; see
        `CallbackNotice.signing_seed`.
        """
        raise NotImplementedError(f"the emulated API of {self.name} publishes no keys")

    def write_callback(self, notice: CallbackNotice) -> HttpRequest:
        """Write a webhook, signed, for a provider that has `callback_rules`."""
        raise NotImplementedError(f"the emulated API of {self.name} has no webhooks")

    def api_key(self, request: HttpRequest) -> str | None:
        """Return the API key of *request*; by default the bearer token."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return token.strip() or None if scheme.lower() == "bearer" else None

    def refuse(self, fault: ApiFault) -> ApiError:
        """Return the exception for *fault*."""
        return ApiError(self.refusal(fault))

    def refusal(self, fault: ApiFault) -> ErrorReply:
        """Return the provider's error for *fault*; with the HTTP status alone if it documents none."""
        return self.refusals.get(fault) or BARE_REFUSALS[fault]


def path_of(request: HttpRequest) -> tuple[str, ...]:
    """Return the decoded segments of the URL's path. A trailing slash is an empty segment at the end."""
    return tuple(unquote(part) for part in urlsplit(request.url).path.split("/")[1:])


def query_of(request: HttpRequest) -> dict[str, str]:
    """Return the query parameters of the URL. If one is repeated, the last one counts."""
    return dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))


def json_answer(status: int, value: object, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """Return a JSON response."""
    body = json.dumps(value, ensure_ascii=False).encode()
    return HttpResponse(status=status, headers={"content-type": "application/json", **(headers or {})}, body=body)


_DATA_URI = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,[A-Za-z0-9+/=_-]+", re.IGNORECASE)


def media_kind(url: str) -> str:
    """Return `"http"`, `"oss"`, the type of a data: URI such as `"image/png"`, or an empty text for any other *url*."""
    if inline := _DATA_URI.fullmatch(url):
        return inline.group(1).lower()
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    scheme = parts.scheme.lower().replace("https", "http")
    return scheme if scheme in ("http", "oss") and parts.netloc else ""
