"""
The emulated API of Alibaba Cloud Model Studio (DashScope): the native video-synthesis API.

Written from the provider's pages:
https://www.alibabacloud.com/help/en/model-studio/happyhorse-text-to-video-api-reference and its three siblings,
https://www.alibabacloud.com/help/en/model-studio/manage-asynchronous-tasks (list and cancel),
https://help.aliyun.com/en/model-studio/async-task-api (events),
https://www.alibabacloud.com/help/en/model-studio/error-code
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from attrs import frozen

from happyhorse_async.emulation import (
    ApiError,
    ApiFault,
    Call,
    CallbackNotice,
    CancelCall,
    EmulatedAPI,
    ErrorReply,
    FetchCall,
    Fields,
    Job,
    JobPage,
    ListCall,
    PolicyCall,
    ProviderLimits,
    RateLimit,
    ResultCall,
    StoragePolicy,
    SubmitCall,
    json_answer,
    path_of,
    query_of,
)
from happyhorse_async.messages import HttpRequest, HttpResponse
from happyhorse_async.request import ImageToVideo, Mode, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest

from .dashscope_tasks import BEIJING, REGION, STATUS_WORDS, end_event, list_row, output_of, usage_of
from .eventbridge import PUSH_RULES, push

_SYNTHESIS = ("api", "v1", "services", "aigc", "video-generation", "video-synthesis")
_TASKS = ("api", "v1", "tasks")
# https://help.aliyun.com/zh/model-studio/get-temporary-file-url
_UPLOADS = ("api", "v1", "uploads")


@frozen
class _Model:
    mode: Mode
    resolutions: tuple[str, ...]


# Only 1.1 has 480P, and there is no 1.1 for editing.
# https://help.aliyun.com/zh/model-studio/model-pricing
_MODELS: dict[str, _Model] = {
    "happyhorse-1.0-t2v": _Model(Mode.T2V, ("720P", "1080P")),
    "happyhorse-1.1-t2v": _Model(Mode.T2V, ("480P", "720P", "1080P")),
    "happyhorse-1.0-i2v": _Model(Mode.I2V, ("720P", "1080P")),
    "happyhorse-1.1-i2v": _Model(Mode.I2V, ("480P", "720P", "1080P")),
    "happyhorse-1.0-r2v": _Model(Mode.R2V, ("720P", "1080P")),
    "happyhorse-1.1-r2v": _Model(Mode.R2V, ("480P", "720P", "1080P")),
    "happyhorse-1.0-video-edit": _Model(Mode.EDIT, ("720P", "1080P")),
}
_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4", "4:5", "5:4", "9:21", "21:9")
_SECONDS = range(3, 16)
_SEEDS = range(2_147_483_648)
_VIDEO_KINDS = ("http", "oss")
_IMAGE_KINDS = (*_VIDEO_KINDS, "image/jpeg", "image/jpg", "image/png", "image/webp")


def _invalid(sentence: str) -> ApiError:
    return ApiError(ErrorReply(status=400, code="InvalidParameter", message=sentence))


def _bad_request(code: str, sentence: str) -> ApiError:
    return ApiError(ErrorReply(status=400, code=f"BadRequest.{code}", message=sentence))


def _not_json(sentence: str) -> ApiError:
    return _bad_request("IllegalInput", sentence)


# The page on temporary storage names this code for an oss:// URL without the header that resolves it.
_UNRESOLVED = ErrorReply(
    status=400, code="InvalidParameter.DataInspection", message="Unable to download the media resource."
)


class EmulatedDashScope(EmulatedAPI):
    """The server side of DashScope. It ignores unknown fields, as the real one seems to."""

    name = "dashscope"
    root = "/api/v1"
    # 5 submits per second and model, 5 running, 500 waiting: https://help.aliyun.com/zh/model-studio/rate-limit
    # 20 queries, lists and cancellations per second: the page on asynchronous tasks.
    limits = ProviderLimits(
        rates=(
            RateLimit(count=5, seconds=1, calls=(SubmitCall,), per_model=True),
            RateLimit(count=20, seconds=1, calls=(FetchCall, ListCall, CancelCall)),
        ),
        running=5,
        queued=500,
    )
    # A submit has no webhook URL: the end of a task is an event, which EventBridge forwards as configured.
    callback_rules = PUSH_RULES
    refusals: ClassVar[Mapping[ApiFault, ErrorReply]] = {
        ApiFault.NO_KEY: ErrorReply(status=401, code="InvalidApiKey", message="No API-key provided."),
        ApiFault.WRONG_KEY: ErrorReply(status=401, code="InvalidApiKey", message="Invalid API-key provided."),
        ApiFault.NO_SUCH_PATH: ErrorReply(status=404, code="NotFound", message="There is no such resource."),
        ApiFault.TOO_FAST: ErrorReply(status=429, code="Throttling.RateQuota", message="Requests rate limit exceeded."),
        ApiFault.QUEUE_FULL: ErrorReply(status=429, code="Throttling", message="Too many tasks are waiting already."),
        ApiFault.BAD_REQUEST: ErrorReply(status=400, code="InvalidParameter", message="A parameter is not valid."),
        ApiFault.REJECTED_CONTENT: ErrorReply(
            status=400, code="DataInspectionFailed", message="Input data may contain inappropriate content."
        ),
        ApiFault.FORBIDDEN: ErrorReply(status=403, code="AccessDenied", message="Access denied."),
        ApiFault.NO_SUCH_MEDIA: _UNRESOLVED,
        # An unpaid bill has the status of a rate limit, and only the code distinguishes them.
        ApiFault.NO_MONEY: ErrorReply(status=429, code="PrepaidBillOverdue", message="The prepaid bill is overdue."),
        ApiFault.BROKEN: ErrorReply(status=500, code="InternalError", message="An internal error has occurred."),
        ApiFault.UNAVAILABLE: ErrorReply(status=503, code="ModelUnavailable", message="The model is not available."),
    }

    def task_id(self, number: int) -> str:
        return str(UUID(int=number, version=4))

    def read(self, request: HttpRequest) -> Call:
        # The documentation lists tasks with a trailing slash, and the official SDK queries one with it.
        path = path_of(request)
        path = path[:-1] if path[-1:] == ("",) else path
        match request.method, path:
            case "POST", path if path == _SYNTHESIS:
                return _read_submit(request)
            case "GET", path if path == _UPLOADS:
                return _read_policy_call(query_of(request))
            case "GET", path if path == _TASKS:
                return _read_list(query_of(request))
            case "GET", ("api", "v1", "tasks", task_id):
                return FetchCall(task_id)
            case "POST", ("api", "v1", "tasks", task_id, "cancel"):
                return CancelCall(task_id)
            case _:
                raise self.refuse(ApiFault.NO_SUCH_PATH)

    def answer_submit(self, job: Job, *, request_id: str, replayed: bool = False) -> HttpResponse:
        output = {"task_status": "PENDING", "task_id": job.task.id}
        return json_answer(200, {"output": output, "request_id": request_id})

    def answer_fetch(self, job: Job, *, request_id: str) -> HttpResponse:
        answer: dict[str, Any] = {"request_id": request_id, "output": output_of(job)}
        if job.task.usage is not None:
            answer["usage"] = usage_of(job.task.usage, job.request)
        return json_answer(200, answer)

    def answer_missing(self, call: FetchCall | ResultCall | CancelCall, *, request_id: str) -> HttpResponse:
        if isinstance(call, CancelCall):
            return self.answer_error(_NOT_PENDING, request_id=request_id)
        output = {"task_id": call.task_id, "task_status": "UNKNOWN"}
        return json_answer(200, {"request_id": request_id, "output": output})

    def answer_list(self, call: ListCall, page: JobPage, *, request_id: str) -> HttpResponse:
        return json_answer(
            200,
            {
                "request_id": request_id,
                "total": page.total,
                "total_page": -(-page.total // call.size),
                "page_no": call.page,
                "page_size": call.size,
                "data": [list_row(job) for job in page.jobs],
            },
        )

    def answer_cancel(self, job: Job, *, canceled: bool, request_id: str) -> HttpResponse:
        if not canceled:
            return self.answer_error(_NOT_PENDING, request_id=request_id)
        return json_answer(200, {"request_id": request_id})

    def answer_policy(self, policy: StoragePolicy, *, request_id: str) -> HttpResponse:
        data = {
            "upload_host": policy.url,
            "upload_dir": policy.folder,
            "policy": policy.policy,
            "signature": policy.signature,
            "oss_access_key_id": "emulated",
            "x_oss_object_acl": "private",
            "x_oss_forbid_overwrite": "true",
            "expire_in_seconds": policy.seconds,
            "max_file_size_mb": str(policy.largest // 2**20),
            "capacity_limit_mb": "999999999",
        }
        return json_answer(200, {"request_id": request_id, "data": data})

    def write_callback(self, notice: CallbackNotice) -> HttpRequest:
        kind = "dashscope:System:AsyncTaskFinish"
        return push(notice, source="acs.dashscope", kind=kind, region=REGION, data=end_event(notice.job))

    def answer_error(self, refusal: ErrorReply, *, request_id: str) -> HttpResponse:
        return json_answer(refusal.status, {"code": refusal.code, "message": refusal.message, "request_id": request_id})


_NOT_PENDING = ErrorReply(
    status=400,
    code="UnsupportedOperation",
    message="The task cannot be canceled, please make sure that its status is PENDING.",
)


def _read_submit(request: HttpRequest) -> SubmitCall:
    if request.headers.get("x-dashscope-async") != "enable":
        raise ApiError(
            ErrorReply(status=403, code="AccessDenied", message="current user api does not support synchronous calls.")
        )
    body = Fields.parse(request.body, _invalid, unreadable=_not_json)
    model_id = body.text("model")
    if not model_id:
        raise _bad_request("EmptyModel", "Required parameter model is missing or empty.")
    model = _MODELS.get(model_id)
    if model is None:
        raise ApiError(ErrorReply(status=404, code="ModelNotFound", message=f"Model {model_id} does not exist."))
    given = body.child("input")
    if given is None:
        raise _bad_request("EmptyInput", "Required parameter input is missing or empty.")
    parameters = body.child("parameters") or Fields({}, _invalid, path="parameters")
    options: dict[str, Any] = {
        "model": model_id,
        "resolution": parameters.choice("resolution", model.resolutions, default="1080P"),
        "watermark": parameters.flag("watermark", default=True),
        "seed": parameters.number("seed", _SEEDS),
    }
    if model.mode is not Mode.EDIT:
        options["duration"] = parameters.number("duration", _SECONDS, default=5)
    if model.mode in (Mode.T2V, Mode.R2V):
        options["ratio"] = parameters.choice("ratio", _RATIOS, default="16:9")
    if model.mode is Mode.EDIT:
        options["audio"] = parameters.choice("audio_setting", ("auto", "origin"), default="auto")
    return SubmitCall(request=_request(model.mode, given, _Media(given, request), options))


class _Media:
    """The elements of `input.media`, whose order and type say what each is used for."""

    def __init__(self, given: Fields, request: HttpRequest) -> None:
        self._given = given
        self._resolves_oss = request.headers.get("x-dashscope-ossresourceresolve") == "enable"

    def read(self, limits: Mapping[str, range]) -> dict[str, tuple[str, ...]]:
        """Return the URLs by type. *limits* has the allowed numbers of each."""
        found: dict[str, tuple[str, ...]] = dict.fromkeys(limits, ())
        for element in self._given.children("media", range(1, sum(allowed[-1] for allowed in limits.values()) + 1)):
            kind = element.choice("type", limits)
            if kind is None:
                raise element.wrong("type", "is required")
            url = element.media("url", _VIDEO_KINDS if kind == "video" else _IMAGE_KINDS)
            if url.lower().startswith("oss:") and not self._resolves_oss:
                raise ApiError(_UNRESOLVED)
            found[kind] = (*found[kind], url)
        for kind, allowed in limits.items():
            if len(found[kind]) not in allowed:
                raise self._given.wrong("media", f"has a wrong number of elements of type {kind}")
        return found


def _request(mode: Mode, given: Fields, media: _Media, options: Mapping[str, Any]) -> VideoRequest:
    prompt = given.text("prompt", required=mode is not Mode.I2V) or ""
    if mode is Mode.T2V:
        return TextToVideo(prompt, **options)
    if mode is Mode.I2V:
        frames = media.read({"first_frame": range(1, 2)})["first_frame"]
        return ImageToVideo(frames[0], prompt=prompt or None, **options)
    if mode is Mode.R2V:
        return ReferenceToVideo(prompt, media.read({"reference_image": range(1, 10)})["reference_image"], **options)
    found = media.read({"video": range(1, 2), "reference_image": range(6)})
    return VideoEdit(prompt, found["video"][0], images=found["reference_image"], **options)


def _read_policy_call(query: Mapping[str, str]) -> PolicyCall:
    if query.get("action") != "getPolicy":
        raise _invalid("action must be getPolicy")
    if query.get("model") not in _MODELS:
        raise _invalid("model must be the name of a model")
    return PolicyCall(query["model"])


def _read_list(query: Mapping[str, str]) -> ListCall:
    start, end = _moment(query, "start_time"), _moment(query, "end_time")
    day = timedelta(days=1)
    if start and end and not timedelta() <= end - start <= day:
        raise _invalid("start_time and end_time must be in order and at most 24 hours apart")
    words = {word: status for status, word in STATUS_WORDS.items()}
    if query.get("status") and query["status"] not in words:
        raise _invalid(f"status must be one of {', '.join(words)}")
    return ListCall(
        page=_count(query, "page_no", default=1),
        size=_count(query, "page_size", default=10),
        task_id=query.get("task_id") or None,
        status=words.get(query.get("status", "")),
        model=query.get("model_name") or None,
        created_from=start or (end - day if end else None),
        created_until=end or (start + day if start else None),
    )


def _count(query: Mapping[str, str], name: str, *, default: int) -> int:
    text = query.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text)):
        raise _invalid(f"{name} must be a positive integer")
    return int(text)


def _moment(query: Mapping[str, str], name: str) -> datetime | None:
    if not query.get(name):
        return None
    try:
        return datetime.strptime(query[name], "%Y%m%d%H%M%S").replace(tzinfo=BEIJING)
    except ValueError:
        raise _invalid(f"{name} must be written YYYYMMDDhhmmss") from None
