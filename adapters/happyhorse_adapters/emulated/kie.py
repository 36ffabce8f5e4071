"""
The emulated API of KIE: its Market API and its file upload API, as if both were on one host.

Written from the provider's pages: https://docs.kie.ai/market/happyhorse-1-1/image-to-video and its like,
https://docs.kie.ai/market/common/get-task-detail, https://docs.kie.ai/common-api/webhook-verification,
https://docs.kie.ai/common-api/get-account-credits and https://docs.kie.ai/file-upload-api/quickstart.

No page says which HTTP status a refusal has. Here some have the matching one, and some 200, so that a client must read
the `code` of the body.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from attrs import frozen

from happyhorse_async.emulation import (
    ApiError,
    ApiFault,
    BalanceCall,
    Call,
    CallbackNotice,
    CallbackRules,
    EmulatedAPI,
    ErrorReply,
    FetchCall,
    Fields,
    Job,
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
from happyhorse_async.task import FailureReason, TaskStatus

_FIVE_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4")
_NINE_RATIOS = (*_FIVE_RATIOS, "4:5", "5:4", "9:21", "21:9")
_SECONDS = range(3, 16)
_SEEDS = range(2_147_483_648)
_LONGEST_PROMPT = 5000

_FIELDS: dict[Mode, frozenset[str]] = {
    Mode.T2V: frozenset({"prompt", "resolution", "aspect_ratio", "duration"}),
    Mode.I2V: frozenset({"prompt", "image_urls", "resolution", "duration"}),
    Mode.R2V: frozenset({"prompt", "reference_image", "resolution", "aspect_ratio", "duration"}),
    Mode.EDIT: frozenset({"prompt", "video_url", "reference_image", "resolution", "audio_setting"}),
}


@frozen
class _Model:
    mode: Mode
    is_newer: bool

    @property
    def properties(self) -> frozenset[str]:
        """The fields that `input` may have. Any other is refused."""
        return _FIELDS[self.mode] if self.is_newer else _FIELDS[self.mode] | {"seed"}

    @property
    def ratios(self) -> tuple[str, ...]:
        return _NINE_RATIOS if self.is_newer else _FIVE_RATIOS


_MODELS: dict[str, _Model] = {
    "happyhorse-1-1/text-to-video": _Model(Mode.T2V, is_newer=True),
    "happyhorse-1-1/image-to-video": _Model(Mode.I2V, is_newer=True),
    "happyhorse-1-1/reference-to-video": _Model(Mode.R2V, is_newer=True),
    "happyhorse/text-to-video": _Model(Mode.T2V, is_newer=False),
    "happyhorse/image-to-video": _Model(Mode.I2V, is_newer=False),
    "happyhorse/reference-to-video": _Model(Mode.R2V, is_newer=False),
    "happyhorse/video-edit": _Model(Mode.EDIT, is_newer=False),
}

_STATUSES = {
    TaskStatus.PENDING: "waiting",
    TaskStatus.RUNNING: "generating",
    TaskStatus.SUCCEEDED: "success",
    TaskStatus.FAILED: "fail",
}

# `failCode` is mostly a number of the list of codes, as text. Moderation has none of its own.
_FAILURES: dict[FailureReason, tuple[str, str]] = {
    FailureReason.INVALID_REQUEST: ("422", "The parameters are not valid."),
    FailureReason.CONTENT_REJECTED: ("422", "The content was flagged as sensitive."),
    FailureReason.QUOTA_EXCEEDED: ("402", "The credits are insufficient."),
    FailureReason.RATE_LIMITED: ("429", "The upstream is overloaded."),
    FailureReason.TIMEOUT: ("408", "The upstream gave no result for ten minutes."),
    FailureReason.PROVIDER_FAULT: ("500", "Internal server error"),
}

# https://www.rfc-editor.org/rfc/rfc7578

# What is in every account: the figure of the page.
_CREDITS = 100
_CREDITS_PER_VIDEO = 90


def _invalid(sentence: str) -> ApiError:
    return ApiError(ErrorReply(status=200, code="422", message=sentence))


def _bad_upload(sentence: str) -> ApiError:
    return ApiError(ErrorReply(status=400, code="400", message=sentence))


class EmulatedKie(EmulatedAPI):
    """The server side of KIE. It refuses every undocumented field."""

    name = "kie"
    # Two months: https://docs.kie.ai/
    task_ttl = 60 * 24 * 3600.0
    # https://docs.kie.ai/ for submits, https://docs.kie.ai/market/common/get-task-detail for queries.
    limits = ProviderLimits(
        rates=(
            RateLimit(count=20, seconds=10, calls=(SubmitCall,)),
            RateLimit(count=10, seconds=1, calls=(FetchCall,)),
        )
    )
    # Whether and when a webhook is repeated is not documented: these pauses are ours.
    callback_rules = CallbackRules(pauses=((10.0, 10.0), (60.0, 60.0), (300.0, 300.0)))
    refusals: ClassVar[Mapping[ApiFault, ErrorReply]] = {
        ApiFault.NO_KEY: ErrorReply(status=200, code="401", message="You do not have access permissions"),
        ApiFault.WRONG_KEY: ErrorReply(status=401, code="401", message="You do not have access permissions"),
        ApiFault.NO_SUCH_PATH: ErrorReply(status=404, code="404", message="Not found"),
        ApiFault.TOO_FAST: ErrorReply(status=429, code="429", message="The rate limit is exceeded."),
        ApiFault.QUEUE_FULL: ErrorReply(status=200, code="429", message="The rate limit is exceeded."),
        ApiFault.BAD_REQUEST: ErrorReply(status=200, code="422", message="A parameter is not valid."),
        ApiFault.NO_SUCH_MEDIA: ErrorReply(status=422, code="422", message="A file cannot be read."),
        ApiFault.REJECTED_CONTENT: ErrorReply(status=200, code="422", message="The prompt was flagged as sensitive."),
        ApiFault.NO_MONEY: ErrorReply(status=200, code="402", message="The credits are insufficient."),
        ApiFault.FORBIDDEN: ErrorReply(status=200, code="505", message="This feature is disabled."),
        ApiFault.TIMED_OUT: ErrorReply(status=200, code="408", message="The upstream is slow."),
        ApiFault.BROKEN: ErrorReply(status=200, code="500", message="An unexpected error occurred."),
        # Maintenance.
        ApiFault.UNAVAILABLE: ErrorReply(status=200, code="455", message="The service is under maintenance."),
    }

    def task_id(self, number: int) -> str:
        return f"{number:032x}"

    def read(self, request: HttpRequest) -> Call:
        match request.method, path_of(request):
            case "POST", ("api", "v1", "jobs", "createTask"):
                return _read_submit(request)
            case "GET", ("api", "v1", "jobs", "recordInfo"):
                task_id = query_of(request).get("taskId", "")
                if not task_id:
                    raise _invalid("taskId is required")
                return FetchCall(task_id)
            case "GET", ("api", "v1", "chat", "credit"):
                return BalanceCall()
            case "POST", ("api", "file-stream-upload"):
                return _read_form(request)
            case "POST", ("api", "file-base64-upload"):
                return _read_base64(request)
            case _:
                raise self.refuse(ApiFault.NO_SUCH_PATH)

    def answer_submit(self, job: Job, *, request_id: str, replayed: bool = False) -> HttpResponse:
        return _envelope({"taskId": job.task.id})

    def answer_fetch(self, job: Job, *, request_id: str) -> HttpResponse:
        return _envelope(_task(job))

    def answer_balance(self, *, request_id: str) -> HttpResponse:
        return _envelope(_CREDITS)

    def answer_upload(self, file_url: str, *, request_id: str) -> HttpResponse:
        name = file_url.rpartition("/")[2]
        data = {"fileName": name, "filePath": f"happyhorse/{name}", "downloadUrl": file_url}
        answer = {"success": True, "code": 200, "msg": "File uploaded successfully", "data": data}
        return json_answer(200, answer)

    def write_callback(self, notice: CallbackNotice) -> HttpRequest:
        # A status reply with two more fields, and another code for a failure.
        task = notice.job.task
        failed = task.status is TaskStatus.FAILED
        charged = 0 if failed else _CREDITS_PER_VIDEO
        body = {
            "code": 501 if failed else 200,
            "msg": "Playground task failed." if failed else "Playground task completed successfully.",
            "data": _task(notice.job) | {"consumeCredits": charged, "remainedCredits": _CREDITS},
        }
        headers = {"Content-Type": "application/json"}
        if notice.secret is not None:
            moment = str(int(notice.sent_at.timestamp()))
            digest = hmac.new(notice.secret.encode(), f"{task.id}.{moment}".encode(), hashlib.sha256).digest()
            headers |= {"X-Webhook-Timestamp": moment, "X-Webhook-Signature": base64.b64encode(digest).decode()}
        encoded = json.dumps(body, ensure_ascii=False).encode()
        return HttpRequest(method="POST", url=notice.url, headers=headers, body=encoded)

    def answer_error(self, refusal: ErrorReply, *, request_id: str) -> HttpResponse:
        code = int(refusal.code) if refusal.code else refusal.status
        return json_answer(refusal.status, {"code": code, "msg": refusal.message, "data": None})


def _envelope(data: object) -> HttpResponse:
    return json_answer(200, {"code": 200, "msg": "success", "data": data})


def _read_submit(request: HttpRequest) -> SubmitCall:
    body = Fields.parse(request.body, _invalid, nulls=False)
    # The schema of 1.1 does not list callBackUrl; the text of the same page advises it.
    body.only(("model", "input", "callBackUrl"))
    model_id = body.text("model", required=True) or ""
    model = _MODELS.get(model_id)
    if model is None:
        raise body.wrong("model", "is not supported")
    given = body.child("input")
    if given is None:
        raise body.wrong("input", "is required")
    callback_url = body.media("callBackUrl", ("http",)) if "callBackUrl" in body else None
    return SubmitCall(request=_read_input(model_id, model, given), body=request.body or b"", callback_url=callback_url)


def _read_input(model_id: str, model: _Model, given: Fields) -> VideoRequest:
    given.only(model.properties)
    prompt = given.text("prompt", required=model.mode is not Mode.I2V, longest=_LONGEST_PROMPT)
    options: dict[str, Any] = {
        "model": model_id,
        "resolution": _tier(given.choice("resolution", ("720p", "1080p"), default="1080p")),
        "seed": given.number("seed", _SEEDS),
    }
    if model.mode is Mode.EDIT:
        return VideoEdit(
            prompt or "",
            given.media("video_url", ("http",)),
            images=given.medias("reference_image", range(6), ("http",)),
            audio=given.choice("audio_setting", ("auto", "origin"), default="auto"),
            **options,
        )
    options["duration"] = given.number("duration", _SECONDS, default=5)
    if model.mode is Mode.I2V:
        return ImageToVideo(given.medias("image_urls", range(1, 2), ("http",))[0], prompt=prompt, **options)
    options["ratio"] = given.choice("aspect_ratio", model.ratios, default="16:9")
    if model.mode is Mode.R2V:
        return ReferenceToVideo(prompt or "", given.medias("reference_image", range(1, 10), ("http",)), **options)
    return TextToVideo(prompt or "", **options)


def _tier(resolution: str | None) -> str | None:
    return None if resolution is None else resolution.upper()


def _read_form(request: HttpRequest) -> UploadCall:
    """Read an upload as a form: a file, the folder, and the name that it is to have."""
    fields = form_fields(request)
    if fields is None:
        raise _bad_upload("the upload is not a form")
    if "file" not in fields:
        raise _bad_upload("file is required")
    if not fields.get("uploadPath"):
        raise _bad_upload("uploadPath is required")
    return UploadCall(name=fields.get("fileName", b"").decode(errors="replace") or _new_name(), content=fields["file"])


def _read_base64(request: HttpRequest) -> UploadCall:
    body = Fields.parse(request.body, _bad_upload, nulls=False)
    encoded, _ = body.text("base64Data", required=True) or "", body.text("uploadPath", required=True)
    try:
        content = base64.b64decode(encoded.rpartition(",")[2], validate=True)
    except binascii.Error:
        raise body.wrong("base64Data", "is not valid base64") from None
    return UploadCall(name=body.text("fileName") or _new_name(), content=content)


def _new_name() -> str:
    return secrets.token_hex(8)


def _task(job: Job) -> dict[str, Any]:
    task = job.task
    code, message = ("", "") if task.error is None else _FAILURES.get(task.error.reason, ("", ""))
    urls = [video.url for video in task.videos]
    ended = task.finished_at or datetime.now(UTC)
    return {
        "taskId": task.id,
        "model": task.model,
        "state": task.raw_status or _STATUSES[task.status],
        "param": json.dumps({"model": task.model, "input": {"prompt": job.request.prompt}}),
        "resultJson": json.dumps({"resultUrls": urls}) if urls else "",
        "failCode": code,
        "failMsg": message,
        "costTime": _milliseconds(ended) - _milliseconds(task.created_at) if task.finished_at else 0,
        "createTime": _milliseconds(task.created_at),
        "updateTime": _milliseconds(ended) if task.finished_at else _milliseconds(task.created_at),
        # 0 until it has ended.
        "completeTime": _milliseconds(task.finished_at),
    }


def _milliseconds(moment: datetime | None) -> int:
    return 0 if moment is None else int(moment.timestamp() * 1000)
