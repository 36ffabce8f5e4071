"""
The contract between the emulator and a provider's server side.

A *dialect* is the mirror image of an adapter: it reads the requests that an adapter writes, and writes the answers that
an adapter reads. **It never performs I/O**, reads no clock, draws no random number and keeps no state: all that is the
emulator's business.

A dialect must not import the adapter of its provider nor share a class with it, or a misspelt field would cancel itself
out. To add one, write a class that inherits `Dialect` and register it under the entry-point group
`happyhorse_async.dialects`.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import Enum, auto
from typing import Any, ClassVar, TypeAlias, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from attrs import field, frozen

from .messages import HttpRequest, HttpResponse
from .request import VideoRequest
from .task import Task, TaskStatus


@frozen(kw_only=True)
class SubmitCall:
    """A paid request that the provider would take."""

    request: VideoRequest
    """What shall be made, with `model` set and the provider's defaults filled in."""
    idempotency_key: str | None = None
    """A repetition with the same key is the same task, where the provider promises that."""
    body: bytes = field(default=b"", repr=False)
    """The bytes as they came: what makes a repetition the same."""


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
    """Where it stands now. A failure carries a `reason` only: the provider's words for it are the dialect's."""
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


class Problem(Enum):
    """What the emulator finds wrong with a call on its own, whichever the provider."""

    NO_KEY = auto()
    """There is no API key."""
    WRONG_KEY = auto()
    """The API key is not the one."""
    NO_SUCH_PATH = auto()
    """The provider has no such path or method."""
    UNKNOWN_TASK = auto()
    """The account has no such task, or it is too old."""
    TOO_FAST = auto()
    """More calls than the provider's quota."""
    QUEUE_FULL = auto()
    """More waiting tasks than the provider's quota."""
    KEY_REUSED = auto()
    """The idempotency key was used before, with another body."""


@frozen(kw_only=True)
class Refusal:
    """An error answer in the provider's own terms, without the envelope around them."""

    status: int
    """The HTTP status."""
    message: str
    code: str | None = None
    """The provider's code; `None` where its pages name none."""
    retry_after: float | None = None
    """Seconds after which the call would be taken."""


class RefusalError(Exception):
    """Raised while a call is read or carried out: the provider would refuse it."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


@frozen(kw_only=True)
class Rate:
    """At most *count* of certain calls within any *seconds*."""

    count: int
    seconds: float
    calls: tuple[type[Call], ...] = (SubmitCall, FetchCall, ListCall, CancelCall)
    """Which calls count."""
    per_model: bool = False
    """Whether submits are counted for each model by itself."""


@frozen(kw_only=True)
class Quotas:
    """What a provider allows one account. `None` means no limit."""

    rates: tuple[Rate, ...] = ()
    running: int | None = None
    """Tasks of one model that run at the same time. Further ones wait."""
    queued: int | None = None
    """Tasks of one model that wait. Further ones are refused."""


class Dialect(ABC):
    """
    A provider's server side.

    The names of request headers arrive in lower case, and a request's URL is the one the provider itself would see.
    """

    name: ClassVar[str]
    """The registered name, the same as the adapter's."""
    root: ClassVar[str] = ""
    """The path of the provider's documented base URL, such as `"/api/v1"`."""
    lifetime: ClassVar[float] = 24 * 3600.0
    """Seconds from the submit for which a task is known."""
    url_lifetime: ClassVar[float] = 24 * 3600.0
    """Seconds from the end of a task for which its video can be fetched."""
    quotas: ClassVar[Quotas] = Quotas()
    """The provider's published limits."""
    refusals: ClassVar[Mapping[Problem, Refusal]]
    """The provider's answer to each problem that can come up with it."""

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
    def answer_refusal(self, refusal: Refusal, *, request_id: str) -> HttpResponse:
        """Put *refusal* into the provider's envelope."""

    def answer_missing(self, call: FetchCall | CancelCall, *, request_id: str) -> HttpResponse:
        """Write the answer to a call about a task that is not known, or no longer."""
        return self.answer_refusal(self.refusals[Problem.UNKNOWN_TASK], request_id=request_id)

    def answer_list(self, call: ListCall, page: JobPage, *, request_id: str) -> HttpResponse:
        """Write the answer to a query of the account's tasks, for a provider that has one."""
        raise NotImplementedError(f"{self.name} reads no list calls")

    def answer_cancel(self, job: Job, *, canceled: bool, request_id: str) -> HttpResponse:
        """Write the answer to a cancellation, for a provider that has one. It is taken only before a task begins."""
        raise NotImplementedError(f"{self.name} reads no cancellations")

    def api_key(self, request: HttpRequest) -> str | None:
        """Find the API key in *request*; by default the bearer token."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return token.strip() or None if scheme.lower() == "bearer" else None

    def refuse(self, problem: Problem) -> RefusalError:
        """Make the error for *problem*."""
        return RefusalError(self.refusals[problem])


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


class Fields:
    """
    A JSON object of a request, read field by field. Whatever is wrong is refused with the path of the field.

    :param refuse: makes the provider's error from a sentence.
    :param nulls: whether null counts as left out. Otherwise it is refused like any value of a wrong type.
    :raises RefusalError: *value* is no object.
    """

    def __init__(
        self, value: object, refuse: Callable[[str], RefusalError], *, path: str = "", nulls: bool = True
    ) -> None:
        self._refuse = refuse
        self._path = path
        self._nulls = nulls
        if not isinstance(value, dict):
            raise refuse(f"{path or 'the request body'} must be a JSON object")
        self._values = cast("dict[str, Any]", value)

    @classmethod
    def parse(
        cls,
        body: bytes | None,
        refuse: Callable[[str], RefusalError],
        *,
        unreadable: Callable[[str], RefusalError] | None = None,
        nulls: bool = True,
    ) -> Fields:
        """
        Decode a request's body. For one that is no JSON, *unreadable* makes the error; by default *refuse*.

        :raises RefusalError: it is no JSON object.
        """
        try:
            value = json.loads(body or b"")
        except (ValueError, RecursionError):
            raise (unreadable or refuse)("the request body is not valid JSON") from None
        return cls(value, refuse, nulls=nulls)

    def only(self, names: Iterable[str]) -> None:
        """Refuse every field but *names*."""
        for name in self._values.keys() - set(names):
            raise self._refuse(f"unexpected property '{self._name(name)}'")

    def text(self, name: str, *, required: bool = False, longest: int | None = None) -> str | None:
        """Read a text of at most *longest* characters. A required one must hold more than blanks."""
        value = self._get(name)
        if value is None and not required:
            return None
        if not isinstance(value, str) or (required and not value.strip()):
            raise self.wrong(name, "must be a string" if value is not None else "is required")
        if longest is not None and len(value) > longest:
            raise self.wrong(name, f"must have at most {longest} characters")
        return value

    def choice(self, name: str, allowed: Iterable[str], *, default: str | None = None) -> str | None:
        """Read one of a few words."""
        value = self._get(name)
        if value is None:
            return default
        if value not in (words := tuple(allowed)):
            raise self.wrong(name, f"must be one of {', '.join(words)}")
        return cast("str", value)

    def number(self, name: str, allowed: range, *, default: int | None = None) -> int | None:
        """Read a whole number. One that is written as a text or with a fraction is wrong."""
        value = self._get(name)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or value not in allowed:
            raise self.wrong(name, f"must be an integer from {allowed[0]} to {allowed[-1]}")
        return value

    def flag(self, name: str, *, default: bool | None = None) -> bool | None:
        """Read true or false."""
        value = self._get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.wrong(name, "must be a boolean")
        return value

    def child(self, name: str) -> Fields | None:
        """Read an object; `None` where there is none."""
        value = self._get(name)
        if value is None:
            return None
        return Fields(value, self._refuse, path=self._name(name), nulls=self._nulls)

    def children(self, name: str, count: range) -> list[Fields]:
        """Read a list of objects."""
        return [
            Fields(value, self._refuse, path=f"{self._name(name)}[{index}]", nulls=self._nulls)
            for index, value in enumerate(self._list(name, count))
        ]

    def media(self, name: str, kinds: Iterable[str]) -> str:
        """Read the URL of an image or a video, of one of *kinds*; see `media_kind`."""
        return self._medium(name, self._get(name), kinds)

    def medias(self, name: str, count: range, kinds: Iterable[str]) -> tuple[str, ...]:
        """Read a list of URLs of images, each of one of *kinds*; see `media_kind`."""
        return tuple(
            self._medium(f"{name}[{index}]", value, kinds) for index, value in enumerate(self._list(name, count))
        )

    def wrong(self, name: str, sentence: str) -> RefusalError:
        """Make the error that says what is wrong with the field *name*."""
        return self._refuse(f"{self._name(name)} {sentence}")

    def __contains__(self, name: str) -> bool:
        return self._get(name) is not None

    def _medium(self, name: str, value: object, kinds: Iterable[str]) -> str:
        if value is None:
            raise self.wrong(name, "is required")
        if not isinstance(value, str) or media_kind(value) not in set(kinds):
            raise self.wrong(name, "must be a valid URL of a supported kind")
        return value

    def _list(self, name: str, count: range) -> list[Any]:
        value = self._get(name)
        values: Any = [] if value is None else value
        if not isinstance(values, list):
            raise self.wrong(name, "must be an array")
        if len(values) not in count:  # pyright: ignore[reportUnknownArgumentType]
            span = f"{count[0]} to {count[-1]}" if len(count) > 1 else f"exactly {count[0]}"
            raise self.wrong(name, f"must have {span} items")
        return values  # pyright: ignore[reportUnknownVariableType]

    def _get(self, name: str) -> Any:
        value = self._values.get(name)
        if value is None and name in self._values and not self._nulls:
            raise self.wrong(name, "must not be null")
        return value

    def _name(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name
