"""
A task as a provider reports it, in a model that all providers share.

A `Task` is one observation, complete and immutable. The classes know nothing of JSON; adapters build them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Any

from attrs import field, frozen

from .plain_data import MAY_BE_LEFT_OUT, from_plain, pydantic_schema, pydantic_text_schema, to_plain
from .redaction import redact_text, redact_url

_PROVIDER_NAME = re.compile(r"[a-z0-9_-]+")


class TaskStatus(StrEnum):
    """The state of a task, in the same seven words for every provider."""

    PENDING = "PENDING"
    """Accepted, and queued at the provider."""
    RUNNING = "RUNNING"
    """The video is being generated, or is being stored."""
    SUCCEEDED = "SUCCEEDED"
    """The video is available."""
    FAILED = "FAILED"
    """There will be no video; `Task.error` says why."""
    CANCELED = "CANCELED"
    """The task was cancelled before it began to run."""
    EXPIRED = "EXPIRED"
    """The provider no longer knows the task."""
    UNKNOWN = "UNKNOWN"
    """The provider used an unknown word; `Task.raw_status` has it. The task may still be running."""

    @property
    def is_terminal(self) -> bool:
        """Whether the task has ended and will not change again."""
        return self in _TERMINAL


_TERMINAL = frozenset({TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELED, TaskStatus.EXPIRED})


class FailureReason(StrEnum):
    """Why a task failed, in the same words for every provider. The provider's own are in `TaskFailure`."""

    INVALID_REQUEST = "INVALID_REQUEST"
    """The request was at fault: a value, or an input that could not be fetched or read."""
    CONTENT_REJECTED = "CONTENT_REJECTED"
    """Moderation refused the prompt, an input, or the finished video."""
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    """Money, credits or an allocation ran out."""
    RATE_LIMITED = "RATE_LIMITED"
    """Too many tasks at once for the account or the model."""
    TIMEOUT = "TIMEOUT"
    """The provider gave up after its own time limit."""
    PROVIDER_FAULT = "PROVIDER_FAULT"
    """Something broke on the provider's side."""
    NO_OUTPUT = "NO_OUTPUT"
    """The provider reported a success without a video."""
    UNKNOWN = "UNKNOWN"
    """The provider gave no reason, or an unknown one."""


@frozen
class TaskRef:
    """
    The name of a paid task: what to store in order to find it again.

    `str(ref)` is `provider:id`, and `TaskRef.parse` reads it back.
    """

    provider: str
    """The configuration section's name, or the adapter's without a configuration: `[a-z0-9_-]+`."""
    id: str
    """The provider's own id. Opaque."""

    def __attrs_post_init__(self) -> None:
        if not _PROVIDER_NAME.fullmatch(self.provider):
            raise ValueError(f"a provider name is made of a-z, 0-9, _ and -, not {self.provider!r}")
        if self.id in ("", ".", ".."):
            # The last two would change the path of the URL they stand in.
            raise ValueError(f"{self.id!r} is not a task id")

    def __str__(self) -> str:
        return f"{self.provider}:{self.id}"

    @classmethod
    def parse(cls, text: str) -> TaskRef:
        """
        Read a ref from its text form. The id begins after the first colon and may hold further ones.

        :raises ValueError: the text is not `provider:id`.
        """
        provider, colon, task_id = text.partition(":")
        if not colon:
            raise ValueError(f"a task ref is written provider:id, such as main:0385dc79-5ff8, not {text!r}")
        return cls(provider, task_id)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Let pydantic, and so FastAPI, read and write it as its text."""
        return pydantic_text_schema(TaskRef, TaskRef.parse)


def _show_text(text: str) -> str:
    return repr(redact_text(text))


def _show_url(url: str | None) -> str:
    return repr(None if url is None else redact_url(url))


@frozen(kw_only=True)
class Video:
    """One finished video."""

    url: str = field(repr=_show_url, metadata={MAY_BE_LEFT_OUT: True})
    """Where it can be fetched. A credential: the query string is a signature."""
    expires_at: datetime | None = None
    """When the URL expires, where the provider says so."""
    width: int | None = None
    """In pixels."""
    height: int | None = None
    """In pixels."""
    duration: float | None = None
    """In seconds."""
    cover_url: str | None = field(default=None, repr=_show_url)
    """A still picture of it."""


@frozen(kw_only=True)
class Usage:
    """What the provider says it has billed. Absent figures are `None`, never zero."""

    duration: float | None = None
    """Billed seconds."""
    input_duration: float | None = None
    """Seconds of the source video."""
    output_duration: float | None = None
    """Seconds of the finished video."""
    resolution: str | None = None
    """The billed tier, written `"720P"`."""
    ratio: str | None = None
    """Aspect ratio, such as `"16:9"`."""
    count: int | None = None
    """How many videos."""
    credits: float | None = None
    """How many of the provider's prepaid credits it took."""


@frozen(kw_only=True)
class TaskFailure:
    """Why a task failed."""

    code: str | None = None
    """The provider's code, as it wrote it."""
    message: str = field(default="", repr=_show_text)
    """The provider's message."""
    reason: FailureReason = FailureReason.UNKNOWN
    """The reason, in the vocabulary that all providers share."""


@frozen(kw_only=True)
class Task:
    """One observation of a task at its provider."""

    ref: TaskRef
    """The provider and the task's id there."""
    status: TaskStatus
    """Its state."""
    raw_status: str | None = None
    """The provider's own word; `None` if the response has none."""
    progress: float | None = None
    """0 to 100, or `None` where the provider does not say."""
    videos: tuple[Video, ...] = ()
    """The results, once it has succeeded."""
    error: TaskFailure | None = None
    """The reason, once it has failed."""
    usage: Usage | None = None
    """What was billed, where the provider says so."""
    model: str | None = None
    """The provider's model id; that of the job where the provider does not say it."""
    created_at: datetime | None = None
    """When the provider accepted it."""
    started_at: datetime | None = None
    """When the provider began to work on it."""
    finished_at: datetime | None = None
    """When it ended."""
    observed_at: datetime | None = field(factory=partial(datetime.now, UTC), eq=False)
    """When this was observed, by the clock of this machine: by default now. `None` if it was not observed yet."""
    request_id: str | None = None
    """The provider's id of the request that made this observation, for its support desk."""
    raw: Mapping[str, Any] = field(factory=dict[str, Any], eq=False, repr=False)
    """The provider's object, untouched."""

    @property
    def id(self) -> str:
        """The provider's id of the task."""
        return self.ref.id

    @property
    def provider(self) -> str:
        """The name of the provider's configuration section, or of its adapter."""
        return self.ref.provider

    @property
    def video_url(self) -> str | None:
        """The URL of the first video, or `None`."""
        return self.videos[0].url if self.videos else None

    def to_dict(self, *, urls: bool = True, raw: bool = False) -> dict[str, Any]:
        """
        Return the task as plain data for JSON: the ref as text, times as ISO 8601. The command line prints the same.

        :param urls: whether the URLs of videos and covers are in it. Anyone who has one can fetch the video.
        :param raw: whether the provider's object is in it, which has the URLs as well.
        :raises ValueError: *raw* without *urls*.
        """
        if raw and not urls:
            raise ValueError("raw=True holds the URLs that urls=False leaves out: choose one of them")
        skip = frozenset({"raw"}) if urls else frozenset({"raw", "url", "cover_url"})
        data: dict[str, Any] = to_plain(self, skip=skip)
        return {**data, "raw": dict(self.raw)} if raw else data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Task:
        """
        Read a task from what `to_dict` returned with its URLs. Fields that are not known are ignored.

        :raises ValueError: a field is missing or of the wrong type.
        """
        return from_plain(data, cls)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Let pydantic, and so FastAPI, read and write the shape of `to_dict`."""
        return pydantic_schema(Task, read=Task.from_dict, write=Task.to_dict, skip=frozenset({"raw"}))
