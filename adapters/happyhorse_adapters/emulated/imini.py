"""
The emulated API of the imini Open Platform: one model name for every mode, which follows from the media.

Written from the provider's pages:
https://docs.imini.ai/en/api-reference/videos/happyhorse-1-0 (submit),
https://docs.imini.ai/en/api-reference/videos/task-query (query),
https://docs.imini.ai/en/guide/getting-started (errors)
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from happyhorse_async.emulation import (
    ApiError,
    ApiFault,
    Call,
    EmulatedAPI,
    ErrorReply,
    FetchCall,
    Fields,
    Job,
    SubmitCall,
    json_answer,
    path_of,
)
from happyhorse_async.messages import HttpRequest, HttpResponse
from happyhorse_async.request import ImageToVideo, Mode, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest
from happyhorse_async.task import FailureReason, Task, TaskFailure, TaskStatus, Video

_MODEL = "dashscope/happyhorse-1.0"
_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4")
_SECONDS = range(3, 16)
_LONGEST_PROMPT = 5000
_IMAGE_KINDS = ("http", "image/jpeg", "image/jpg", "image/png", "image/webp")

# Exactly these four: https://github.com/imini-ai/imini-api-integration-skill
_STATUSES = {
    TaskStatus.PENDING: "queued",
    TaskStatus.RUNNING: "processing",
    TaskStatus.SUCCEEDED: "succeeded",
    TaskStatus.FAILED: "failed",
}

# Codes and statuses of the HTTP errors: none are documented for tasks, and no code for an internal error.
_FAILURES: dict[FailureReason, tuple[str | None, int, str]] = {
    FailureReason.INVALID_REQUEST: ("INVALID_PARAMETER", 400, "A parameter is invalid."),
    FailureReason.CONTENT_REJECTED: ("INVALID_PROMPT", 400, "The prompt was flagged by content safety."),
    FailureReason.QUOTA_EXCEEDED: ("INSUFFICIENT_CREDITS", 402, "The credits do not cover this call."),
    FailureReason.RATE_LIMITED: ("RATE_LIMITED", 429, "The account's rate quota is exceeded."),
    FailureReason.TIMEOUT: (None, 504, "The upstream model timed out."),
    FailureReason.PROVIDER_FAULT: (None, 502, "The upstream model failed."),
}
_UNEXPLAINED = (None, None, "The task failed.")


def _invalid(sentence: str) -> ApiError:
    return ApiError(ErrorReply(status=400, code="INVALID_PARAMETER", message=sentence))


class EmulatedImini(EmulatedAPI):
    """The server side of imini. Whether it accepts unknown fields is not documented; here it ignores them."""

    name = "imini"
    root = "/imini/router"
    refusals: ClassVar[Mapping[ApiFault, ErrorReply]] = {
        ApiFault.NO_KEY: ErrorReply(status=401, message="The API key is missing."),
        ApiFault.WRONG_KEY: ErrorReply(status=401, message="The API key is invalid or revoked."),
        ApiFault.NO_SUCH_PATH: ErrorReply(status=404, message="There is no such path."),
        ApiFault.UNKNOWN_TASK: ErrorReply(
            status=404, code="TASK_NOT_FOUND", message="The task does not exist or has expired."
        ),
        ApiFault.TOO_FAST: ErrorReply(status=429, code="RATE_LIMITED", message="The account's rate quota is exceeded."),
        ApiFault.QUEUE_FULL: ErrorReply(
            status=429, code="RATE_LIMITED", message="The account's rate quota is exceeded."
        ),
        ApiFault.BAD_REQUEST: ErrorReply(status=400, code="INVALID_PARAMETER", message="A parameter is invalid."),
        ApiFault.REJECTED_CONTENT: ErrorReply(
            status=400, code="INVALID_PROMPT", message="The prompt was flagged by content safety."
        ),
        ApiFault.NO_MONEY: ErrorReply(
            status=402, code="INSUFFICIENT_CREDITS", message="The credits do not cover this call."
        ),
    }

    def task_id(self, number: int) -> str:
        return f"task_{10**18 + number % (9 * 10**18)}"

    def read(self, request: HttpRequest) -> Call:
        match request.method, path_of(request):
            case "POST", ("imini", "router", "v1", "videos", "generate"):
                return _read_submit(request)
            case "GET", ("imini", "router", "v1", "videos", "tasks", task_id):
                return FetchCall(task_id)
            case _:
                raise self.refuse(ApiFault.NO_SUCH_PATH)

    def answer_submit(self, job: Job, *, request_id: str, replayed: bool = False) -> HttpResponse:
        return json_answer(
            200,
            {
                "task_id": job.task.id,
                "model": _MODEL,
                "created_at": _timestamp(job.task.created_at),
                "request_id": request_id,
            },
        )

    def answer_fetch(self, job: Job, *, request_id: str) -> HttpResponse:
        task = job.task
        return json_answer(
            200,
            {
                "task_id": task.id,
                "status": task.raw_status or _STATUSES[task.status],
                "model": _MODEL,
                "created_at": _timestamp(task.created_at),
                "completed_at": _timestamp(task.finished_at),
                "videos": _videos(task),
                "error": _error(task.error, request_id) if task.error else None,
                "request_id": request_id,
            },
        )

    def answer_error(self, refusal: ErrorReply, *, request_id: str) -> HttpResponse:
        error: dict[str, Any] = {
            "message": refusal.message,
            "status": refusal.status,
            "request_id": request_id,
        }
        if refusal.code is not None:
            error["code"] = refusal.code
        return json_answer(refusal.status, {"error": error})


def _read_submit(request: HttpRequest) -> SubmitCall:
    body = Fields.parse(request.body, _invalid)
    if body.text("model", required=True) != _MODEL:
        raise body.wrong("model", f"must be {_MODEL}")
    images = [_reference(element) for element in body.children("reference_images", range(10))]
    videos = [element.media("url", ("http",)) for element in body.children("reference_videos", range(2))]
    return SubmitCall(request=_request(body, _mode(body, images, videos), images, videos))


def _reference(element: Fields) -> tuple[str, str]:
    kind = element.choice("reference_type", ("first_frame", "asset"))
    if kind is None:
        raise element.wrong("reference_type", "is required")
    return kind, element.media("url", _IMAGE_KINDS)


def _mode(body: Fields, images: list[tuple[str, str]], videos: list[str]) -> Mode:
    frames = sum(kind == "first_frame" for kind, _ in images)
    if frames and (len(images) > 1 or videos):
        raise body.wrong("reference_images", "must hold one first_frame alone, without reference_videos")
    if frames:
        return Mode.I2V
    if not videos:
        return Mode.R2V if images else Mode.T2V
    if len(images) > 5:
        raise body.wrong("reference_images", "must have at most 5 items beside a reference video")
    return Mode.EDIT


def _request(body: Fields, mode: Mode, images: list[tuple[str, str]], videos: list[str]) -> VideoRequest:
    prompt = body.text("prompt", required=mode is not Mode.I2V, longest=_LONGEST_PROMPT)
    options: dict[str, Any] = {
        "model": _MODEL,
        "resolution": body.choice("resolution", ("720P", "1080P"), default="1080P"),
    }
    duration = body.number("duration", _SECONDS)
    ratio = body.choice("aspect_ratio", _RATIOS)
    if ratio is not None and mode not in (Mode.T2V, Mode.R2V):
        raise body.wrong("aspect_ratio", "is only accepted in text-to-video and reference-to-video")
    if mode is Mode.EDIT:
        if duration is not None:
            raise body.wrong("duration", "is not accepted in video-edit")
        audio = (body.child("extra_params") or Fields({}, _invalid)).choice("audio_setting", ("auto", "origin"))
        pictures = tuple(url for _, url in images)
        return VideoEdit(prompt or "", videos[0], images=pictures, audio=audio or "auto", **options)
    options["duration"] = duration or 5
    if mode is Mode.I2V:
        return ImageToVideo(images[0][1], prompt=prompt, **options)
    options["ratio"] = ratio or "16:9"
    if mode is Mode.R2V:
        return ReferenceToVideo(prompt or "", tuple(url for _, url in images), **options)
    return TextToVideo(prompt or "", **options)


def _videos(task: Task) -> list[dict[str, Any]] | None:
    if task.status is not TaskStatus.SUCCEEDED:
        return None
    return [_video(video) for video in task.videos]


def _video(video: Video) -> dict[str, Any]:
    duration = video.duration or 0.0
    return {
        "url": video.url,
        "width": video.width,
        "height": video.height,
        "duration": int(duration) if duration.is_integer() else duration,
        "cover_url": video.cover_url,
    }


def _error(failure: TaskFailure, request_id: str) -> dict[str, Any]:
    code, status, message = _FAILURES.get(failure.reason, _UNEXPLAINED)
    error = {"code": code, "message": message, "status": status, "request_id": request_id}
    return {name: value for name, value in error.items() if value is not None}


def _timestamp(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
