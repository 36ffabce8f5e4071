"""
The emulated API of nexusflow: a thin relay to DashScope with flat task objects.

Written from the provider's pages https://nexusflow.vip/docs/api/happyhorse, /tasks, /async and /errors, and for what
they leave open from its public source (https://github.com/Daemon4444/nexusflow).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

from attrs import frozen

from happyhorse_async.emulation import (
    ApiError,
    ApiFault,
    Call,
    EmulatedAPI,
    ErrorReply,
    FetchCall,
    Fields,
    Job,
    JobPage,
    ListCall,
    ProviderLimits,
    RateLimit,
    SubmitCall,
    UploadCall,
    form_fields,
    json_answer,
    path_of,
    query_of,
)
from happyhorse_async.messages import HttpRequest, HttpResponse
from happyhorse_async.request import ImageToVideo, Mode, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest
from happyhorse_async.task import FailureReason, Task, TaskFailure, TaskStatus, Usage

_FIVE_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4")
_NINE_RATIOS = (*_FIVE_RATIOS, "4:5", "5:4", "9:21", "21:9")


@frozen
class _Model:
    mode: Mode
    resolutions: tuple[str, ...] = ("720P", "1080P")
    ratios: tuple[str, ...] = _FIVE_RATIOS


def _newer(mode: Mode) -> _Model:
    # The relay forwards the fields, so that 1.1 has DashScope's resolutions and ratios.
    return _Model(mode, ("480P", "720P", "1080P"), _NINE_RATIOS)


# 1.1 is in the catalogue of the public source since 2026-09-18; the page names 1.0 only.
_MODELS = {
    "happyhorse-1.0-t2v": _Model(Mode.T2V),
    "happyhorse-1.0-i2v": _Model(Mode.I2V),
    "happyhorse-1.0-r2v": _Model(Mode.R2V),
    "happyhorse-1.0-video-edit": _Model(Mode.EDIT),
    "happyhorse-1.1-t2v": _newer(Mode.T2V),
    "happyhorse-1.1-i2v": _newer(Mode.I2V),
    "happyhorse-1.1-r2v": _newer(Mode.R2V),
}
_SECONDS = range(3, 16)
_SEEDS = range(2_147_483_648)
# The relay forwards an image as it is, so that a small data: URI works although only URLs are documented.
_IMAGE_KINDS = ("http", "image/jpeg", "image/jpg", "image/png", "image/webp")
_LARGEST_BODY = 1024 * 1024
# Where JPEG, PNG, GIF, BMP, WebP and AVI, MP4 and MOV, and WebM have their marks.
_MAGIC = (
    (0, b"\xff\xd8\xff"),
    (0, b"\x89PNG"),
    (0, b"GIF8"),
    (0, b"BM"),
    (0, b"RIFF"),
    (4, b"ftyp"),
    (0, b"\x1aE\xdf\xa3"),
)

_STATUSES = {
    TaskStatus.PENDING: "pending",
    TaskStatus.RUNNING: "running",
    TaskStatus.SUCCEEDED: "succeeded",
    TaskStatus.FAILED: "failed",
}
# Only these values occur, and a failed task has 0.
_PROGRESS = {"pending": 0, "running": 50, "succeeded": 100, "failed": 0}

# The codes are DashScope's, which the relay puts before the message.
_FAILURES: dict[FailureReason, str] = {
    FailureReason.INVALID_REQUEST: "InvalidParameter: The parameter is invalid.",
    FailureReason.CONTENT_REJECTED: "DataInspectionFailed: Output data may contain inappropriate content.",
    FailureReason.QUOTA_EXCEEDED: "Arrearage: Access denied, the account has an overdue payment.",
    FailureReason.RATE_LIMITED: "Throttling.RateQuota: Requests rate limit exceeded.",
    FailureReason.TIMEOUT: "InternalError.Timeout: The task gave no result within three hours.",
    FailureReason.PROVIDER_FAULT: "InternalError.Algo: The inference service failed.",
}
# Without an upstream code the prefix is missing.
_UNEXPLAINED = "The task failed."


def _refusal(status: int, code: str, sentence: str) -> ApiError:
    return ApiError(ErrorReply(status=status, code=code, message=sentence))


def _invalid(sentence: str) -> ApiError:
    return _refusal(400, "invalid_request", sentence)


def _not_json(sentence: str) -> ApiError:
    return _refusal(400, "invalid_json", sentence)


class EmulatedNexusFlow(EmulatedAPI):
    """The server side of nexusflow. It ignores unknown fields."""

    name = "nexusflow"
    # The free tier's 20 requests a minute, and 60 polls a minute for each key.
    limits = ProviderLimits(
        rates=(
            RateLimit(count=20, seconds=60, calls=(SubmitCall,)),
            RateLimit(count=60, seconds=60, calls=(FetchCall, ListCall)),
            RateLimit(count=10, seconds=60, calls=(UploadCall,)),
        ),
    )
    refusals: ClassVar[Mapping[ApiFault, ErrorReply]] = {
        ApiFault.NO_KEY: ErrorReply(status=401, code="missing_api_key", message="The API key is missing."),
        ApiFault.WRONG_KEY: ErrorReply(status=401, code="invalid_api_key", message="The API key is invalid."),
        ApiFault.NO_SUCH_PATH: ErrorReply(status=404, code="invalid_request", message="There is no such path."),
        ApiFault.UNKNOWN_TASK: ErrorReply(status=404, code="task_not_found", message="The task was not found."),
        ApiFault.TOO_FAST: ErrorReply(status=429, code="rate_limit_exceeded", message="Too many requests."),
        ApiFault.QUEUE_FULL: ErrorReply(status=429, code="rate_limit_exceeded", message="Too many tasks at once."),
        ApiFault.BAD_REQUEST: ErrorReply(status=400, code="invalid_request", message="A value is not valid."),
        ApiFault.REJECTED_CONTENT: ErrorReply(status=400, code="content_filter", message="The content is not allowed."),
        ApiFault.FORBIDDEN: ErrorReply(status=403, code="model_not_allowed", message="The key may not use the model."),
        ApiFault.NO_MONEY: ErrorReply(status=402, code="insufficient_balance", message="The balance is too low."),
        ApiFault.BROKEN: ErrorReply(status=500, code="internal_error", message="An internal error has occurred."),
        ApiFault.UNAVAILABLE: ErrorReply(
            status=503, code="provider_unavailable", message="The provider is not available.", retry_after=5.0
        ),
    }

    def task_id(self, number: int) -> str:
        return f"task_{UUID(int=number, version=4)}"

    def read(self, request: HttpRequest) -> Call:
        match request.method, path_of(request):
            case "POST", ("v1", "tasks"):
                return _read_submit(request)
            case "POST", ("api", "upload"):
                return _read_upload(request)
            case "GET", ("v1", "tasks"):
                return ListCall(size=_limit(query_of(request).get("limit", "")))
            case "GET", ("v1", "tasks", task_id):
                return FetchCall(task_id)
            case _:
                raise self.refuse(ApiFault.NO_SUCH_PATH)

    def answer_submit(self, job: Job, *, request_id: str, replayed: bool = False) -> HttpResponse:
        # It always says "running", so that the first query may show a step back to "pending".
        answer = {
            "id": job.task.id,
            "object": "task",
            "status": "running",
            "model": job.task.model,
            "type": "video",
            "created_at": _timestamp(job.task.created_at),
        }
        return json_answer(202, answer, {"x-request-id": request_id})

    def answer_upload(self, file_url: str, *, request_id: str) -> HttpResponse:
        return json_answer(200, {"success": True, "data": {"url": file_url}}, {"x-request-id": request_id})

    def answer_fetch(self, job: Job, *, request_id: str) -> HttpResponse:
        answer = _row(job.task)
        if job.task.status is TaskStatus.SUCCEEDED:
            answer |= {"output": _output(job), "error": None}
        if job.task.error is not None:
            answer["error"] = _error(job.task.error)
        return json_answer(200, answer, {"x-request-id": request_id})

    def answer_list(self, call: ListCall, page: JobPage, *, request_id: str) -> HttpResponse:
        # A task is updated only by a query for it: the list shows what the last query saw.
        rows = [_row(job.seen) for job in page.jobs]
        return json_answer(200, {"object": "list", "data": rows}, {"x-request-id": request_id})

    def answer_error(self, refusal: ErrorReply, *, request_id: str) -> HttpResponse:
        headers = {"x-request-id": request_id}
        if refusal.retry_after is not None:
            headers["retry-after"] = str(math.ceil(refusal.retry_after))
        error = {"message": refusal.message, "type": _ERROR_TYPES.get(refusal.status, "invalid_request_error")}
        return json_answer(refusal.status, {"error": {**error, "code": refusal.code}}, headers)


# Only the default is documented for these errors.
_ERROR_TYPES = {429: "rate_limit_error"}


def _limit(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 20
    return min(max(number, 1), 100)


def _read_upload(request: HttpRequest) -> UploadCall:
    # From the public source: 411 without a length, and content, type and name have to agree.
    fields = form_fields(request) or {}
    if "content-length" not in request.headers:
        raise ApiError(ErrorReply(status=411, message="A length is required."))
    content = fields.get("file", b"")
    if not any(content[at : at + len(magic)] == magic for at, magic in _MAGIC):
        raise ApiError(ErrorReply(status=400, message="The type of the file is not allowed."))
    return UploadCall(name="file", content=content)


def _read_submit(request: HttpRequest) -> SubmitCall:
    if request.headers.get("content-encoding", "identity") != "identity":
        raise _refusal(415, "unsupported_content_encoding", "The request body must not be compressed.")
    if len(request.body or b"") > _LARGEST_BODY:
        raise _refusal(413, "payload_too_large", "The JSON body is too large.")
    body = Fields.parse(request.body, _invalid, unreadable=_not_json)
    model_id = body.text("model", required=True) or ""
    model = _MODELS.get(model_id)
    if model is None:
        raise _refusal(404, "model_not_found", f"The model {model_id} does not exist.")
    return SubmitCall(request=_request(model_id, model, body))


def _request(model_id: str, model: _Model, body: Fields) -> VideoRequest:
    mode = model.mode
    prompt = body.text("prompt", required=mode is not Mode.I2V)
    resolution = body.text("resolution")
    if resolution is not None and resolution.upper() not in model.resolutions:
        raise body.wrong("resolution", f"must be one of {', '.join(model.resolutions)}")
    common: dict[str, Any] = {
        "model": model_id,
        # 720P is the documented default, but the relay sends none to DashScope, whose default is 1080P.
        "resolution": resolution or "1080P",
        "watermark": body.flag("watermark", default=True),
        "seed": body.number("seed", _SEEDS),
    }
    if mode is Mode.EDIT:
        images = body.medias("img_urls", range(6), _IMAGE_KINDS)
        audio = body.choice("audio_setting", ("auto", "origin"), default="auto")
        return VideoEdit(prompt or "", body.media("video_url", ("http",)), images=images, audio=audio, **common)
    common["duration"] = body.number("duration", _SECONDS, default=5)
    if mode is Mode.I2V:
        return ImageToVideo(body.media("img_url", _IMAGE_KINDS), prompt=prompt, **common)
    common["ratio"] = body.choice("ratio", model.ratios, default="16:9")
    if mode is Mode.T2V:
        return TextToVideo(prompt or "", **common)
    # The relay accepts img_url alone as a list of one.
    lone = "img_url" in body and "img_urls" not in body
    images = (body.media("img_url", _IMAGE_KINDS),) if lone else body.medias("img_urls", range(1, 10), _IMAGE_KINDS)
    return ReferenceToVideo(prompt or "", images, **common)


def _row(task: Task) -> dict[str, Any]:
    status = task.raw_status or _STATUSES[task.status]
    row: dict[str, Any] = {
        "id": task.id,
        "object": "task",
        "status": status,
        "model": task.model,
        "type": "video",
        "progress": _PROGRESS.get(status, 0),
        "created_at": _timestamp(task.created_at),
    }
    if task.finished_at is not None:
        row["completed_at"] = _timestamp(task.finished_at)
    return row


def _output(job: Job) -> dict[str, Any]:
    output: dict[str, Any] = {"type": "video"}
    if job.task.video_url is not None:
        output["video_url"] = job.task.video_url
    if job.task.usage is not None:
        output["usage"] = _usage(job.task.usage, job.request)
    return output


def _usage(usage: Usage, request: VideoRequest) -> dict[str, Any]:
    # DashScope's usage object, forwarded.
    number = float if isinstance(request, VideoEdit) else int
    answer: dict[str, Any] = {
        "duration": number(usage.duration or 0),
        "input_video_duration": number(usage.input_duration or 0),
        "output_video_duration": number(usage.output_duration or 0),
        "video_count": usage.count,
        "SR": (usage.resolution or "").removesuffix("P"),
    }
    if isinstance(request, TextToVideo | ReferenceToVideo):
        answer["ratio"] = usage.ratio
    return answer


def _error(failure: TaskFailure) -> str:
    return _FAILURES.get(failure.reason, _UNEXPLAINED)


def _timestamp(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
