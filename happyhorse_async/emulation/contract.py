"""What a dialect is given, and what it has to say."""

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
    """A paid request that the provider would take."""

    request: VideoRequest
    """What shall be made, with `model` set and the provider's defaults filled in."""
    idempotency_key: str | None = None
    """A repetition with the same key is the same task, where the provider promises that."""
    body: bytes = field(default=b"", repr=False)
    """The bytes as they came: what makes a repetition the same."""
    callback_url: str | None = field(default=None, repr=_show_url)
    """Where the end of the task shall be told, if the request says so."""


@frozen
class FetchCall:
    """A query of one task."""

    task_id: str


@frozen(kw_only=True)
class ListCall:
    """A query of the account's tasks, newest first. A filter that is `None` keeps everything."""

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


Call: TypeAlias = SubmitCall | FetchCall | ListCall | CancelCall
"""Anything a provider can be asked."""


@frozen(kw_only=True)
class Job:
    """One task on the provider's side: what was asked for, and where it stands."""

    request: VideoRequest
    task: Task
    """
    Where it stands now. A failure carries a `reason` only: the provider's words for it are the dialect's. So is the
    word for the status, unless there is a `raw_status`, which is shown as it is.
    """
    seen: Task
    """Where it stood when a submit or a query last told the client."""
    submit_id: str
    """The id of the call that submitted it."""


@frozen(kw_only=True)
class JobPage:
    """A part of the account's tasks."""

    jobs: tuple[Job, ...]
    total: int
    """How many tasks there are on all pages."""


@frozen(kw_only=True)
class RateLimit:
    """At most *count* of certain calls within any *seconds*."""

    count: int
    seconds: float
    calls: tuple[type[Call], ...] = (SubmitCall, FetchCall, ListCall, CancelCall)
    """Which calls count."""
    per_model: bool = False
    """Whether submits are counted for each model by itself."""


@frozen(kw_only=True)
class ProviderLimits:
    """What a provider allows one account. `None` means no limit."""

    rates: tuple[RateLimit, ...] = ()
    running: int | None = None
    """Tasks of one model that run at the same time. Further ones wait."""
    queued: int | None = None
    """Tasks of one model that wait. Further ones are refused."""


@frozen(kw_only=True)
class CallbackRules:
    """How a provider tells of the end of a task by itself. It does so when a task has succeeded or failed."""

    set_up_outside: bool = False
    """Whether the URL is set up outside the API, once for the account. Otherwise each submit brings its own."""
    pauses: tuple[tuple[float, float], ...] = ()
    """
    The shortest and the longest pause, in seconds, before each further try while the receiver answers no 2xx. After the
    last one the provider gives up.
    """
    timeout: float = 10.0
    """Seconds that the receiver has to answer. It lives in real time, so that no speed divides them."""


@frozen(kw_only=True)
class CallbackNotice:
    """One try to tell of the end of a task."""

    job: Job
    url: str = field(repr=_show_url)
    """Where it goes."""
    event_id: str
    """A UUID that names the event, the same at every try."""
    sent_at: datetime
    """When this try is made."""
    secret: str | None = field(default=None, repr=False)
    """What it is signed with; `None` where the account has set none."""


class EmulatedAPI(ABC):
    """
    A provider's server side.

    The names of request headers arrive in lower case, and a request's URL is the one the provider itself would see.
    """

    name: ClassVar[str]
    """The registered name, the same as the adapter's."""
    root: ClassVar[str] = ""
    """The path of the provider's documented base URL, such as `"/api/v1"`."""
    task_ttl: ClassVar[float] = 24 * 3600.0
    """Seconds from the submit for which a task is known."""
    url_lifetime: ClassVar[float] = 24 * 3600.0
    """Seconds from the end of a task for which its video can be fetched."""
    limits: ClassVar[ProviderLimits] = ProviderLimits()
    """The provider's published limits."""
    refusals: ClassVar[Mapping[ApiFault, ErrorReply]]
    """The provider's answer to each problem that can come up with it. Where its pages name none, there is none here."""
    callback_rules: ClassVar[CallbackRules | None] = None
    """How the provider sends callbacks; `None` where it sends none."""

    @abstractmethod
    def task_id(self, number: int) -> str:
        """Write a task id as the provider shapes them. *number* is a random one of 128 bits."""

    @abstractmethod
    def read(self, request: HttpRequest) -> Call:
        """
        Understand a request.

        :raises RefusalError: the provider would not take it.
        """

    @abstractmethod
    def answer_submit(self, job: Job, *, request_id: str, replayed: bool = False) -> HttpResponse:
        """
        Write the answer to a submit that was taken.

        :param request_id: a fresh UUID that names this call.
        :param replayed: the submit repeated an earlier one, and *job* is the earlier one's.
        """

    @abstractmethod
    def answer_fetch(self, job: Job, *, request_id: str) -> HttpResponse:
        """Write the answer to a query of one task."""

    @abstractmethod
    def answer_error(self, refusal: ErrorReply, *, request_id: str) -> HttpResponse:
        """Put *refusal* into the provider's envelope."""

    def answer_missing(self, call: FetchCall | CancelCall, *, request_id: str) -> HttpResponse:
        """Write the answer to a call about a task that is not known, or no longer."""
        return self.answer_error(self.refusal(ApiFault.UNKNOWN_TASK), request_id=request_id)

    def answer_list(self, call: ListCall, page: JobPage, *, request_id: str) -> HttpResponse:
        """Write the answer to a query of the account's tasks, for a provider that has one."""
        raise NotImplementedError(f"{self.name} reads no list calls")

    def answer_cancel(self, job: Job, *, canceled: bool, request_id: str) -> HttpResponse:
        """Write the answer to a cancellation, for a provider that has one. It is taken only before a task begins."""
        raise NotImplementedError(f"{self.name} reads no cancellations")

    def write_callback(self, notice: CallbackNotice) -> HttpRequest:
        """Write a callback, signed, for a provider that has `callback_rules`."""
        raise NotImplementedError(f"{self.name} sends no callbacks")

    def api_key(self, request: HttpRequest) -> str | None:
        """Find the API key in *request*; by default the bearer token."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return token.strip() or None if scheme.lower() == "bearer" else None

    def refuse(self, problem: ApiFault) -> ApiError:
        """Make the error for *problem*."""
        return ApiError(self.refusal(problem))

    def refusal(self, problem: ApiFault) -> ErrorReply:
        """Say how the provider refuses for *problem*; by the bare HTTP status where its pages say nothing of it."""
        return self.refusals.get(problem) or BARE_REFUSALS[problem]


def path_of(request: HttpRequest) -> tuple[str, ...]:
    """Return the parts of the URL's path, decoded. A trailing slash is an empty part at the end."""
    return tuple(unquote(part) for part in urlsplit(request.url).path.split("/")[1:])


def query_of(request: HttpRequest) -> dict[str, str]:
    """Return the parameters of the URL's query. Of a repeated one the last counts."""
    return dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))


def json_answer(status: int, value: object, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """Write *value* as a JSON answer."""
    body = json.dumps(value, ensure_ascii=False).encode()
    return HttpResponse(status=status, headers={"content-type": "application/json", **(headers or {})}, body=body)


_DATA_URI = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,[A-Za-z0-9+/=_-]+", re.IGNORECASE)


def media_kind(url: str) -> str:
    """Tell what *url* is: `"http"`, `"oss"`, for a data: URI its type such as `"image/png"`; else an empty text."""
    if inline := _DATA_URI.fullmatch(url):
        return inline.group(1).lower()
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    scheme = parts.scheme.lower().replace("https", "http")
    return scheme if scheme in ("http", "oss") and parts.netloc else ""
