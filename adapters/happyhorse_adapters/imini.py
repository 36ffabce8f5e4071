"""
imini Open Platform: one model name for every mode, which the server tells from the media in the request.

Written from its documentation and its published integration guide, never run against the live service:

- fields: https://docs.imini.ai/en/api-reference/videos/happyhorse-1-0
- the query: https://docs.imini.ai/en/api-reference/videos/task-query
- keys, base URL and errors: https://docs.imini.ai/en/guide/getting-started
- error codes and advice on polling: https://github.com/imini-ai/imini-api-integration-skill

No page names a list of tasks, a cancellation, a callback, an idempotency key, a seed or a watermark.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from attrs import define

from happyhorse_async.adapter import Account, Adapter, Submission
from happyhorse_async.adapter_kit.decoding import Lax, parse_datetime, read_object, structure
from happyhorse_async.adapter_kit.error_mapping import ErrorClass, class_by_status, error_from_response, failure_reason
from happyhorse_async.adapter_kit.http import json_request
from happyhorse_async.capabilities import AUDIO_SETTINGS, DURATIONS, Capabilities, MediaForm, ModelSpec
from happyhorse_async.errors import (
    ContentRejectedError,
    HappyHorseError,
    InvalidRequestError,
    InvalidResponseError,
    ProviderError,
    QuotaExceededError,
    RateLimitError,
    TaskNotFoundError,
)
from happyhorse_async.messages import HttpRequest, HttpResponse
from happyhorse_async.redaction import redact_text
from happyhorse_async.request import ImageToVideo, Mode, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest
from happyhorse_async.task import Task, TaskFailure, TaskStatus, Video
from happyhorse_async.timing import Limits, PollSchedule

_MODEL = "dashscope/happyhorse-1.0"
_RESOLUTIONS = ("720P", "1080P")
_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4")
_PROMPT_LIMIT = 5000
_IMAGE_FORMS = frozenset({MediaForm.URL, MediaForm.DATA_URI})

# https://docs.imini.ai/en/api-reference/videos/task-query
_STATUSES = {
    "queued": TaskStatus.PENDING,
    "processing": TaskStatus.RUNNING,
    "succeeded": TaskStatus.SUCCEEDED,
    "failed": TaskStatus.FAILED,
}

# https://github.com/imini-ai/imini-api-integration-skill/blob/main/references/errors.md
# 400 stands for a bad parameter and for a refused prompt alike, so the code comes before the status. The list is
# declared to be open.
_ERRORS: dict[str, ErrorClass] = {
    "INVALID_PARAMETER": InvalidRequestError,
    "INVALID_PROMPT": ContentRejectedError,
    "INSUFFICIENT_CREDITS": QuotaExceededError,
    "TASK_NOT_FOUND": TaskNotFoundError,
    "RATE_LIMITED": RateLimitError,
}

_IMAGE_TOKEN = re.compile(r"\[image ?\d+\]", re.IGNORECASE)


@define(kw_only=True)
class _WireError:
    """The error of a refusal, and (not documented, seen in the guide's types) of a failed task."""

    code: Lax[str] = None
    message: Lax[str] = None
    status: Lax[int] = None
    request_id: Lax[str] = None


@define(kw_only=True)
class _WireRefusal:
    error: Lax[_WireError] = None
    request_id: Lax[str] = None


@define(kw_only=True)
class _WireAccepted:
    task_id: str
    model: Lax[str] = None
    created_at: Lax[str] = None
    request_id: Lax[str] = None


@define(kw_only=True)
class _WireVideo:
    url: str | None = None
    width: Lax[int] = None
    height: Lax[int] = None
    duration: Lax[float] = None
    cover_url: Lax[str] = None


@define(kw_only=True)
class _WireTask:
    task_id: str | None = None
    status: str
    model: Lax[str] = None
    created_at: Lax[str] = None
    completed_at: Lax[str] = None
    videos: list[_WireVideo] | None = None
    error: Lax[_WireError] = None
    request_id: Lax[str] = None


class IminiAdapter(Adapter):
    """HappyHorse 1.0 in four modes through the imini Open Platform."""

    name = "imini"
    title = "imini"
    documentation = "https://docs.imini.ai/en/api-reference/videos/happyhorse-1-0"
    api_key_env = "IMINI_API_KEY"
    # The path is part of it.
    default_base_url = "https://openapi.imini.ai/imini/router"
    capabilities = Capabilities(
        models=(
            ModelSpec(
                mode=Mode.T2V,
                version="1.0",
                model=_MODEL,
                resolutions=_RESOLUTIONS,
                ratios=_RATIOS,
                durations=DURATIONS,
                prompt_limit=_PROMPT_LIMIT,
            ),
            ModelSpec(
                mode=Mode.I2V,
                version="1.0",
                model=_MODEL,
                resolutions=_RESOLUTIONS,
                durations=DURATIONS,
                prompt_required=False,
                prompt_limit=_PROMPT_LIMIT,
                images=range(1, 2),
                image_forms=_IMAGE_FORMS,
            ),
            ModelSpec(
                mode=Mode.R2V,
                version="1.0",
                model=_MODEL,
                resolutions=_RESOLUTIONS,
                ratios=_RATIOS,
                durations=DURATIONS,
                prompt_limit=_PROMPT_LIMIT,
                images=range(1, 10),
                image_forms=_IMAGE_FORMS,
            ),
            ModelSpec(
                mode=Mode.EDIT,
                version="1.0",
                model=_MODEL,
                resolutions=_RESOLUTIONS,
                audio=AUDIO_SETTINGS,
                prompt_limit=_PROMPT_LIMIT,
                images=range(6),
                image_forms=_IMAGE_FORMS,
            ),
        ),
    )
    # The guide's advice for videos: 5 s, growing by half to 30 s.
    poll = PollSchedule(interval=5, max_interval=30)
    # An "account's rate quota" is documented, its figures are not, and nothing in an answer tells before a 429 does. At
    # its own pace of looks this is enough for 150 tasks in flight.
    limits = Limits(queries_per_second=5, submits_per_second=2)
    # Task ids expire; the documentation does not say when. Upstream, DashScope's live for 24 hours.
    task_ttl = 24 * 3600.0

    def warnings(self, submission: Submission, account: Account) -> tuple[str, ...]:
        request = submission.request
        found = ["imini has no watermark option and does not say whether the video bears one"]
        if request.resolution is None:
            found.append("resolution is not given: imini makes 1080P by default")
        if isinstance(request, ReferenceToVideo) and _IMAGE_TOKEN.search(request.prompt):
            found.append("imini's prompts name the reference images character1, character2 and so on, not [Image 1]")
        return tuple(found)

    def encode_submit(self, submission: Submission, account: Account) -> HttpRequest:
        fields = {"model": submission.spec.model, **_fields(submission.request)}
        return json_request("POST", f"{account.base_url}/v1/videos/generate", account, body=fields)

    def decode_submit(self, response: HttpResponse, account: Account) -> Task:
        body = _read(response, account)
        accepted = structure(body, _WireAccepted)
        if not accepted.task_id.strip():
            raise InvalidResponseError("the answer has an empty task id", path="task_id")
        # The reply carries no status: it says that the task was taken, and no more.
        return Task(
            ref=account.ref(accepted.task_id),
            status=TaskStatus.PENDING,
            model=accepted.model,
            created_at=parse_datetime(accepted.created_at),
            request_id=accepted.request_id or _header_id(response),
            raw=body,
        )

    def encode_fetch(self, task_id: str, account: Account) -> HttpRequest:
        url = f"{account.base_url}/v1/videos/tasks/{quote(task_id, safe='')}"
        return json_request("GET", url, account)

    def decode_fetch(self, response: HttpResponse, task_id: str, account: Account) -> Task:
        body = _read(response, account)
        wire = structure(body, _WireTask)
        status = _STATUSES.get(wire.status.lower(), TaskStatus.UNKNOWN)
        return Task(
            ref=account.ref(wire.task_id or task_id),
            status=status,
            raw_status=wire.status,
            videos=tuple(_video(video.url, video) for video in wire.videos or () if video.url),
            error=_failure(wire.error or _WireError(), account) if status is TaskStatus.FAILED else None,
            model=wire.model,
            created_at=parse_datetime(wire.created_at),
            finished_at=parse_datetime(wire.completed_at),
            request_id=wire.request_id or _header_id(response),
            raw=body,
        )


def _fields(request: VideoRequest) -> dict[str, Any]:
    fields: dict[str, Any] = {"prompt": request.prompt or None, "resolution": request.resolution}
    extra_params = dict(request.extra)
    if isinstance(request, TextToVideo | ReferenceToVideo):
        fields["aspect_ratio"] = request.ratio
    if not isinstance(request, VideoEdit):
        fields["duration"] = request.duration
    if isinstance(request, ImageToVideo):
        fields["reference_images"] = [{"url": request.image, "reference_type": "first_frame"}]
    if isinstance(request, ReferenceToVideo | VideoEdit):
        fields["reference_images"] = [{"url": image, "reference_type": "asset"} for image in request.images] or None
    if isinstance(request, VideoEdit):
        fields["reference_videos"] = [{"url": request.video}]
        if request.audio is not None:
            extra_params = {"audio_setting": request.audio, **extra_params}
    fields["extra_params"] = extra_params or None
    return {name: value for name, value in fields.items() if value is not None}


def _read(response: HttpResponse, account: Account) -> Mapping[str, Any]:
    """
    Return the object in *response*.

    :raises HappyHorseError: the response is a refusal.
    """
    if response.status >= 400:
        raise _refusal(_error_body(response), response, account)
    body = read_object(response)
    # A failed task has an error object as well, beside its id and its status.
    if "task_id" not in body and "status" not in body and structure(body, _WireRefusal).error:
        raise _refusal(body, response, account)
    return body


def _error_body(response: HttpResponse) -> Mapping[str, Any]:
    try:
        return read_object(response)
    except InvalidResponseError:
        return {}


def _refusal(body: Mapping[str, Any], response: HttpResponse, account: Account) -> HappyHorseError:
    wire = structure(body, _WireRefusal)
    error = wire.error or _WireError()
    return error_from_response(
        _error_class(error.code, response.status),
        error.message,
        response=response,
        account=account,
        code=error.code,
        request_id=error.request_id or wire.request_id or _header_id(response),
    )


def _error_class(code: str | None, status: int) -> ErrorClass:
    if code in _ERRORS:
        return _ERRORS[code]
    if status == 403 and code and ("CREDIT" in code.upper() or "QUOTA" in code.upper()):
        # The documentation has a low balance under 402, the guide an exhausted quota under 403.
        return QuotaExceededError
    return class_by_status(status) if status >= 400 else ProviderError


def _header_id(response: HttpResponse) -> str | None:
    return response.headers.get("x-request-id")


def _video(url: str, wire: _WireVideo) -> Video:
    # How long the URL lives is not documented.
    return Video(
        url=url, width=wire.width, height=wire.height, duration=wire.duration, cover_url=wire.cover_url or None
    )


def _failure(wire: _WireError, account: Account) -> TaskFailure:
    known = wire.code in _ERRORS or (wire.status or 0) >= 400
    return TaskFailure(
        code=wire.code,
        message=redact_text(wire.message or "", account.api_key),
        reason=failure_reason(_error_class(wire.code, wire.status or 0) if known else None),
    )
