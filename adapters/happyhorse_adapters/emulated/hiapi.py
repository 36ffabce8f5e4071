"""
The emulated API of HiAPI: the unified asynchronous task API.

Written from the provider's pages, above all https://docs.hiapi.ai/async-api/create/, /detail/ and /list/ and the model
pages under https://docs.hiapi.ai/models/video/. Idempotency is documented by its SDKs only:
https://github.com/HiAPIAI/hiapi-python
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from attrs import frozen

from happyhorse_async.emulation import (
    ApiError,
    ApiFault,
    Call,
    CallbackNotice,
    CallbackRules,
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
from happyhorse_async.request import ImageToVideo, Mode, ReferenceToVideo, TextToVideo, VideoRequest
from happyhorse_async.task import FailureReason, Task, TaskFailure, TaskStatus

_NINE_RATIOS = ("16:9", "9:16", "3:4", "4:3", "4:5", "5:4", "1:1", "9:21", "21:9")
_FIVE_RATIOS = ("1:1", "16:9", "3:4", "4:3", "9:16")


@frozen
class _Model:
    mode: Mode
    properties: frozenset[str]
    """The fields that `input` may have. Any other is a 400."""
    ratios: tuple[str, ...] = _NINE_RATIOS


_MODELS: dict[str, _Model] = {
    "happyhorse-1.1/text-to-video": _Model(Mode.T2V, frozenset({"prompt", "resolution", "aspect_ratio", "duration"})),
    "happyhorse-1.1/image-to-video": _Model(Mode.I2V, frozenset({"prompt", "image_urls", "resolution", "duration"})),
    "happyhorse-1.1/reference-to-video": _Model(
        Mode.R2V, frozenset({"prompt", "reference_image", "resolution", "aspect_ratio", "duration"})
    ),
    # Hyphens and no slash: https://docs.hiapi.ai/models/video/happyhorse-1-0/
    "happyhorse-1-0": _Model(
        Mode.T2V, frozenset({"prompt", "resolution", "aspect_ratio", "duration", "seed"}), _FIVE_RATIOS
    ),
}
_SECONDS = range(3, 16)
_SEEDS = range(2_147_483_648)
_LONGEST_KEY = 255

# There is no word for a canceled or expired task.
_STATUSES = {
    TaskStatus.PENDING: "queued",
    TaskStatus.RUNNING: "handling",
    TaskStatus.SUCCEEDED: "success",
    TaskStatus.FAILED: "fail",
}
# The video is made and being stored during the last twentieth of a run.
_ARCHIVING_FROM = 95.0

# The codes are those of the vendor's SDKs. Moderation has no code of its own, only a message.
_FAILURES: dict[FailureReason, tuple[str, str]] = {
    FailureReason.INVALID_REQUEST: ("INVALID_REQUEST", "The request was not accepted by the model."),
    FailureReason.CONTENT_REJECTED: ("TASK_FAILED", "The content was rejected by the safety system."),
    FailureReason.QUOTA_EXCEEDED: ("TASK_FAILED", "The balance of the account is too low."),
    FailureReason.RATE_LIMITED: ("MODEL_UNAVAILABLE", "The model is overloaded, please retry shortly."),
    FailureReason.TIMEOUT: ("TASK_TIMEOUT", "The upstream task timed out."),
    FailureReason.PROVIDER_FAULT: ("STORAGE_UNAVAILABLE", "The output could not be stored."),
}
_UNEXPLAINED = ("TASK_FAILED", "The task failed.")


def _invalid(sentence: str) -> ApiError:
    return ApiError(ErrorReply(status=400, code="INVALID_REQUEST", message=sentence))


class EmulatedHiAPI(EmulatedAPI):
    """The server side of HiAPI. It refuses every undocumented property."""

    name = "hiapi"
    # https://docs.hiapi.ai/api-reference/rate-limits, polling included.
    limits = ProviderLimits(rates=(RateLimit(count=60, seconds=60),))
    # The SDK says that a webhook is repeated until it is answered with a 2xx. How often and when is not documented:
    # these pauses are ours.
    callback_rules = CallbackRules(pauses=((10.0, 10.0), (30.0, 30.0), (60.0, 60.0), (300.0, 300.0), (600.0, 600.0)))
    refusals: ClassVar[Mapping[ApiFault, ErrorReply]] = {
        ApiFault.NO_KEY: ErrorReply(status=401, code="permission_denied", message="The API key is missing."),
        ApiFault.WRONG_KEY: ErrorReply(status=401, code="permission_denied", message="The API key is invalid."),
        ApiFault.NO_SUCH_PATH: ErrorReply(status=404, message="not found"),
        ApiFault.UNKNOWN_TASK: ErrorReply(status=404, message="task not found"),
        ApiFault.TOO_FAST: ErrorReply(status=429, code="rate_limit_exceeded", message="Too many requests."),
        ApiFault.QUEUE_FULL: ErrorReply(status=429, code="rate_limit_exceeded", message="Too many tasks at once."),
        ApiFault.KEY_REUSED: ErrorReply(
            status=422,
            code="IDEMPOTENCY_KEY_MISMATCH",
            message="This Idempotency-Key was used with another request body.",
        ),
        ApiFault.KEY_IN_WORK: ErrorReply(
            status=409,
            code="IDEMPOTENCY_KEY_PROCESSING",
            message="The first request with this Idempotency-Key is still processed.",
            retry_after=1.0,
        ),
        ApiFault.BAD_REQUEST: ErrorReply(status=400, code="INVALID_REQUEST", message="A value is not valid."),
    }

    def task_id(self, number: int) -> str:
        letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
        return "tk-hiapi-" + "".join(letters[number >> shift & 31] for shift in range(125, -1, -5))

    def read(self, request: HttpRequest) -> Call:
        match request.method, path_of(request):
            case "POST", ("v1", "tasks"):
                return _read_submit(request)
            case "GET", ("v1", "tasks"):
                query = query_of(request)
                return ListCall(page=_count(query, "page", 1, math.inf), size=_count(query, "size", 10, 100))
            case "GET", ("v1", "tasks", task_id):
                return FetchCall(task_id)
            case _:
                raise self.refuse(ApiFault.NO_SUCH_PATH)

    def answer_submit(self, job: Job, *, request_id: str, replayed: bool = False) -> HttpResponse:
        return _envelope({"taskId": job.task.id}, {"idempotent-replay": "true"} if replayed else None)

    def answer_fetch(self, job: Job, *, request_id: str) -> HttpResponse:
        return _envelope(_task(job))

    def answer_list(self, call: ListCall, page: JobPage, *, request_id: str) -> HttpResponse:
        return _envelope(
            {
                "page": call.page,
                "size": call.size,
                "total": page.total,
                "tasks": [_task(job) for job in page.jobs],
            }
        )

    def write_callback(self, notice: CallbackNotice) -> HttpRequest:
        # The bare task, without the envelope of a query: https://docs.hiapi.ai/async-api/
        body = json.dumps(_task(notice.job), ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json"}
        if notice.secret is not None:
            moment = str(int(notice.sent_at.timestamp()))
            digest = hmac.new(notice.secret.encode(), f"{moment}.".encode() + body, hashlib.sha256)
            headers |= {"X-HiAPI-Timestamp": moment, "X-HiAPI-Signature": digest.hexdigest()}
        return HttpRequest(method="POST", url=notice.url, headers=headers, body=body)

    def answer_error(self, refusal: ErrorReply, *, request_id: str) -> HttpResponse:
        headers = {} if refusal.retry_after is None else {"retry-after": str(math.ceil(refusal.retry_after))}
        if refusal.status in (401, 429):
            # A gateway stands in front of the task service and answers these in an envelope of its own:
            # https://www.hiapi.ai/en/blog/hiapi-rate-limit-429-error
            error = {"type": "hiapi_error", "code": refusal.code, "message": refusal.message, "request_id": request_id}
            return json_answer(refusal.status, {"error": error}, headers)
        answer: dict[str, Any] = {"code": refusal.status, "message": refusal.message, "data": None}
        if refusal.code is not None:
            answer["error_code"] = refusal.code
        return json_answer(refusal.status, answer, headers)


def _envelope(data: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> HttpResponse:
    return json_answer(200, {"code": 200, "message": "success", "data": data}, headers)


def _count(query: Mapping[str, str], name: str, default: int, most: float) -> int:
    # A value out of range is silently replaced by the default: https://docs.hiapi.ai/async-api/list/
    text = query.get(name, "")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else default
    return number if 1 <= number <= most else default


def _read_submit(request: HttpRequest) -> SubmitCall:
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key.encode()) <= _LONGEST_KEY:
        raise _invalid(f"Idempotency-Key must have at most {_LONGEST_KEY} bytes")
    body = Fields.parse(request.body, _invalid, nulls=False)
    body.only(("model", "input", "callback", "route", "storage"))
    model_id = body.text("model", required=True) or ""
    model = _MODELS.get(model_id)
    if model is None:
        raise body.wrong("model", "is not a known model")
    given = body.child("input")
    if given is None:
        raise body.wrong("input", "is required")
    callback_url = _read_callback(body.child("callback"))
    # The only documented route of HappyHorse is the default one, which may also be written as an empty text.
    body.choice("route", ("default", ""))
    return SubmitCall(
        request=_read_input(model_id, model, given, storage=body.choice("storage", ("persistent", "temp"))),
        idempotency_key=key,
        body=request.body or b"",
        callback_url=callback_url,
    )


def _read_callback(callback: Fields | None) -> str | None:
    if callback is None:
        return None
    callback.only(("url", "when"))
    callback.choice("when", ("final",))
    # The model page asks for HTTPS, the create page for "a valid http(s) URL": both are accepted.
    return callback.media("url", ("http",))


def _read_input(model_id: str, model: _Model, given: Fields, *, storage: str | None) -> VideoRequest:
    given.only(model.properties)
    prompt = given.text("prompt", required=model.mode is not Mode.I2V)
    options: dict[str, Any] = {
        "model": model_id,
        "resolution": given.choice("resolution", ("720p", "1080p"), default="1080p"),
        "duration": given.number("duration", _SECONDS, default=5),
        "extra": {"storage": storage or "temp"},
    }
    if model.mode is Mode.I2V:
        image = given.medias("image_urls", range(1, 2), ("http",))[0]
        return ImageToVideo(image, prompt=prompt, **options)
    options["ratio"] = given.choice("aspect_ratio", model.ratios, default="16:9")
    if model.mode is Mode.R2V:
        return ReferenceToVideo(prompt or "", given.medias("reference_image", range(1, 10), ("http",)), **options)
    return TextToVideo(prompt or "", seed=given.number("seed", _SEEDS), **options)


def _task(job: Job) -> dict[str, Any]:
    task = job.task
    answer: dict[str, Any] = {
        "taskId": task.id,
        "model": task.model,
        "status": _status(task),
        "created": _unix(task.created_at),
        "completed": _unix(task.finished_at),
        "storage": job.request.extra["storage"],
    }
    if task.status is TaskStatus.SUCCEEDED:
        answer["output"] = [
            output for video in task.videos for output in _outputs(video.url, video.cover_url, video.expires_at)
        ]
    if task.error is not None:
        answer["error"] = _error(task.error)
    return answer


def _status(task: Task) -> str:
    archiving = task.status is TaskStatus.RUNNING and (task.progress or 0) >= _ARCHIVING_FROM
    return task.raw_status or ("archiving" if archiving else _STATUSES[task.status])


def _outputs(url: str, still_url: str | None, expires_at: datetime | None) -> list[dict[str, Any]]:
    # The video is not the first entry: a client that takes output[0] gets a picture.
    entries = (("first_frame", still_url), ("video", url))
    return [{"type": kind, "url": link, "expireAt": _unix(expires_at)} for kind, link in entries if link]


def _error(failure: TaskFailure) -> dict[str, str]:
    code, message = _FAILURES.get(failure.reason, _UNEXPLAINED)
    return {"code": code, "message": message}


def _unix(moment: datetime | None) -> int:
    # Zero means "not yet".
    return 0 if moment is None else int(moment.timestamp())
