"""
nexusflow as the emulator plays it: a thin relay to DashScope with flat task objects.

Written from the provider's pages https://nexusflow.vip/docs/api/happyhorse, /tasks, /async and /errors, and where they
are silent from what its public source shows (https://github.com/Daemon4444/nexusflow).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

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
    json_answer,
    path_of,
    query_of,
)
from happyhorse_async.messages import HttpRequest, HttpResponse
from happyhorse_async.request import ImageToVideo, Mode, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest
from happyhorse_async.task import FailureReason, Task, TaskFailure, TaskStatus, Usage

_MODELS = {
    "happyhorse-1.0-t2v": Mode.T2V,
    "happyhorse-1.0-i2v": Mode.I2V,
    "happyhorse-1.0-r2v": Mode.R2V,
    "happyhorse-1.0-video-edit": Mode.EDIT,
    # In the public source since 2026-09-18, on no page.
    "happyhorse-1.1-t2v": Mode.T2V,
    "happyhorse-1.1-i2v": Mode.I2V,
    "happyhorse-1.1-r2v": Mode.R2V,
}
_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4")
# What DashScope, behind the relay, takes for 1.1 beyond the page's table.
_RATIOS_1_1 = (*_RATIOS, "4:5", "5:4", "9:21", "21:9")
_SECONDS = range(3, 16)
_SEEDS = range(2_147_483_648)
# The relay passes an image on as it is, so that a small data: URI works although only URLs are documented.
_IMAGE_KINDS = ("http", "image/jpeg", "image/jpg", "image/png", "image/webp")
_LARGEST_BODY = 1024 * 1024

_STATUSES = {
    TaskStatus.PENDING: "pending",
    TaskStatus.RUNNING: "running",
    TaskStatus.SUCCEEDED: "succeeded",
    TaskStatus.FAILED: "failed",
}
# Only three figures are ever shown, and a failed task is back at none.
_PROGRESS = {"pending": 0, "running": 50, "succeeded": 100, "failed": 0}

# The codes are DashScope's, which the relay puts before the text.
_FAILURES: dict[FailureReason, str] = {
    FailureReason.INVALID_REQUEST: "InvalidParameter: The parameter is invalid.",
    FailureReason.CONTENT_REJECTED: "DataInspectionFailed: Output data may contain inappropriate content.",
    FailureReason.QUOTA_EXCEEDED: "Arrearage: Access denied, the account has an overdue payment.",
    FailureReason.RATE_LIMITED: "Throttling.RateQuota: Requests rate limit exceeded.",
    FailureReason.TIMEOUT: "InternalError.Timeout: The task gave no result within three hours.",
    FailureReason.PROVIDER_FAULT: "InternalError.Algo: The inference service failed.",
}
# Where upstream gives a text without a code, the prefix is missing.
_UNEXPLAINED = "The task failed."


def _refusal(status: int, code: str, sentence: str) -> ApiError:
    return ApiError(ErrorReply(status=status, code=code, message=sentence))


def _invalid(sentence: str) -> ApiError:
    return _refusal(400, "invalid_request", sentence)


def _not_json(sentence: str) -> ApiError:
    return _refusal(400, "invalid_json", sentence)


class EmulatedNexusFlow(EmulatedAPI):
    """The server side of nexusflow. It ignores what it does not know."""

    name = "nexusflow"
    # The free tier's 20 requests a minute, and 60 polls a minute for each key.
    limits = ProviderLimits(
        rates=(
            RateLimit(count=20, seconds=60, calls=(SubmitCall,)),
            RateLimit(count=60, seconds=60, calls=(FetchCall, ListCall)),
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
            case "GET", ("v1", "tasks"):
                return ListCall(size=_limit(query_of(request).get("limit", "")))
            case "GET", ("v1", "tasks", task_id):
                return FetchCall(task_id)
            case _:
                raise self.refuse(ApiFault.NO_SUCH_PATH)

    def answer_submit(self, job: Job, *, request_id: str, replayed: bool = False) -> HttpResponse:
        # It says "running" whatever the truth, so that the first query may show a step back to "pending".
        answer = {
            "id": job.task.id,
            "object": "task",
            "status": "running",
            "model": job.task.model,
            "type": "video",
            "created_at": _timestamp(job.task.created_at),
        }
        return json_answer(202, answer, {"x-request-id": request_id})

    def answer_fetch(self, job: Job, *, request_id: str) -> HttpResponse:
        answer = _row(job.task)
        if job.task.status is TaskStatus.SUCCEEDED:
            answer |= {"output": _output(job), "error": None}
        if job.task.error is not None:
            answer["error"] = _error(job.task.error)
        return json_answer(200, answer, {"x-request-id": request_id})

    def answer_list(self, call: ListCall, page: JobPage, *, request_id: str) -> HttpResponse:
        # A task moves on only when somebody queries it: the list is a copy of what the last query saw.
        rows = [_row(job.seen) for job in page.jobs]
        return json_answer(200, {"object": "list", "data": rows}, {"x-request-id": request_id})

    def answer_error(self, refusal: ErrorReply, *, request_id: str) -> HttpResponse:
        headers = {"x-request-id": request_id}
        if refusal.retry_after is not None:
            headers["retry-after"] = str(math.ceil(refusal.retry_after))
        error = {"message": refusal.message, "type": _ERROR_TYPES.get(refusal.status, "invalid_request_error")}
        return json_answer(refusal.status, {"error": {**error, "code": refusal.code}}, headers)


# Only the default one of these is documented for the errors played here.
_ERROR_TYPES = {429: "rate_limit_error"}


def _limit(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 20
    return min(max(number, 1), 100)


def _read_submit(request: HttpRequest) -> SubmitCall:
    if request.headers.get("content-encoding", "identity") != "identity":
        raise _refusal(415, "unsupported_content_encoding", "The request body must not be compressed.")
    if len(request.body or b"") > _LARGEST_BODY:
        raise _refusal(413, "payload_too_large", "The JSON body is too large.")
    body = Fields.parse(request.body, _invalid, unreadable=_not_json)
    model = body.text("model", required=True) or ""
    if model not in _MODELS:
        raise _refusal(404, "model_not_found", f"The model {model} does not exist.")
    return SubmitCall(request=_request(model, _MODELS[model], body))


def _request(model: str, mode: Mode, body: Fields) -> VideoRequest:
    prompt = body.text("prompt", required=mode is not Mode.I2V)
    is_1_1 = model.startswith("happyhorse-1.1")
    tiers = ("480P", "720P", "1080P") if is_1_1 else ("720P", "1080P")
    resolution = body.text("resolution")
    if resolution is not None and resolution.upper() not in tiers:
        raise body.wrong("resolution", f"must be one of {', '.join(tiers)}")
    common: dict[str, Any] = {
        "model": model,
        # 720P is the documented default, but the relay leaves it to DashScope, where it is 1080P.
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
    common["ratio"] = body.choice("ratio", _RATIOS_1_1 if is_1_1 else _RATIOS, default="16:9")
    if mode is Mode.T2V:
        return TextToVideo(prompt or "", **common)
    # The relay takes a lone img_url for a list of one.
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
    # DashScope's usage object, handed through.
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
