"""
The emulated API of fal: its queue, its storage and its webhooks.

Written from its public pages and its two official clients, above all
https://fal.ai/docs/documentation/model-apis/inference/queue, https://fal.ai/models/alibaba/happy-horse/text-to-video/llms.txt
and https://github.com/fal-ai/fal-js. All hosts of fal are one here.

A model's input is checked at the submit, with the answer that fal documents for the run: fal itself is said to accept
it, and to fail the run some minutes later.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit
from uuid import UUID

from attrs import frozen

from happyhorse_async.emulation import (
    ApiError,
    ApiFault,
    Call,
    CallbackNotice,
    CallbackRules,
    CancelCall,
    EmulatedAPI,
    ErrorReply,
    FetchCall,
    Fields,
    GrantCall,
    Job,
    KeysCall,
    PolicyCall,
    ProviderLimits,
    ResultCall,
    StorageGrant,
    StoragePolicy,
    SubmitCall,
    UploadCall,
    json_answer,
    path_of,
    query_of,
)
from happyhorse_async.messages import HttpRequest, HttpResponse
from happyhorse_async.request import ImageToVideo, Mode, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest
from happyhorse_async.task import FailureReason, Task, TaskStatus, Video

_APP = ("alibaba", "happy-horse")
_FIVE_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4")
_NINE_RATIOS = (*_FIVE_RATIOS, "21:9", "9:21", "5:4", "4:5")
_SECONDS = range(3, 16)
_SEEDS = range(2_147_483_648)
_LONGEST_PROMPT = 2500
_IMAGES = ("http", "image/jpeg", "image/jpg", "image/png", "image/webp")


@frozen
class _Model:
    mode: Mode
    ratios: tuple[str, ...] = ()


_MODELS = {
    "v1.1/text-to-video": _Model(Mode.T2V, _NINE_RATIOS),
    "v1.1/image-to-video": _Model(Mode.I2V),
    "v1.1/reference-to-video": _Model(Mode.R2V, _NINE_RATIOS),
    "text-to-video": _Model(Mode.T2V, _FIVE_RATIOS),
    "image-to-video": _Model(Mode.I2V),
    "reference-to-video": _Model(Mode.R2V, _FIVE_RATIOS),
    "video-edit": _Model(Mode.EDIT),
}

_STATUSES = {TaskStatus.PENDING: "IN_QUEUE", TaskStatus.RUNNING: "IN_PROGRESS"}
_OVER = "COMPLETED"

# Told by the model, in the answer to the request for the result alone.
_BY_MODEL = {
    FailureReason.INVALID_REQUEST: ErrorReply(status=422, code="value_error", message="The input is not valid."),
    FailureReason.CONTENT_REJECTED: ErrorReply(
        status=422,
        code="content_policy_violation",
        message="The content could not be processed by the content checker.",
    ),
}
# Told by the platform, in the status too.
_BY_PLATFORM = {
    FailureReason.TIMEOUT: ErrorReply(status=504, code="request_timeout", message="Request timed out"),
    FailureReason.PROVIDER_FAULT: ErrorReply(status=500, code="runner_server_error", message="The runner failed"),
    FailureReason.RATE_LIMITED: ErrorReply(status=503, code="runner_scheduling_failure", message="No runner is free"),
}
_UNEXPLAINED = ErrorReply(status=500, message="The request failed")
_CANCELED = ErrorReply(status=499, code="client_cancelled", message="Request was cancelled")


def _invalid(sentence: str) -> ApiError:
    return ApiError(ErrorReply(status=422, code="value_error", message=sentence))


class EmulatedFal(EmulatedAPI):
    """The server side of fal. It ignores fields that it does not know."""

    name = "fal"
    task_ttl = 30 * 24 * 3600.0
    url_lifetime = 7 * 24 * 3600.0
    # A new account runs two requests at once. More of them wait, and are never refused.
    limits = ProviderLimits(running=2)
    # 10 times within 2 hours; the pauses are ours.
    callback_rules = CallbackRules(
        pauses=tuple((float(s), float(s)) for s in (30, 60, 120, 240, 480, 900, 1200, 1200, 1400, 1400))
    )
    refusals: ClassVar[Mapping[ApiFault, ErrorReply]] = {
        ApiFault.NO_KEY: ErrorReply(status=401, message="Authentication is required to access this application"),
        ApiFault.WRONG_KEY: ErrorReply(status=401, message="The key is not valid"),
        ApiFault.NO_SUCH_PATH: ErrorReply(status=404, message="Application not found"),
        ApiFault.UNKNOWN_TASK: ErrorReply(status=404, message="Request not found"),
        ApiFault.TOO_FAST: ErrorReply(status=429, message="Too many requests"),
        ApiFault.QUEUE_FULL: ErrorReply(status=429, message="The queue is longer than fal_max_queue_length"),
        ApiFault.BAD_REQUEST: ErrorReply(status=422, code="value_error", message="The input is not valid."),
        ApiFault.NO_SUCH_MEDIA: ErrorReply(
            status=422, code="file_download_error", message="The file could not be downloaded."
        ),
        ApiFault.REJECTED_CONTENT: _BY_MODEL[FailureReason.CONTENT_REJECTED],
        ApiFault.FORBIDDEN: ErrorReply(status=403, message="The key has no permission for this application"),
        ApiFault.NO_MONEY: ErrorReply(status=403, message="User is locked. Reason: Exhausted balance."),
        ApiFault.BROKEN: ErrorReply(status=500, code="internal_error", message="Internal error"),
        ApiFault.BAD_GATEWAY: ErrorReply(
            status=502, code="runner_incomplete_response", message="The runner sent an incomplete response"
        ),
        ApiFault.UNAVAILABLE: _BY_PLATFORM[FailureReason.RATE_LIMITED],
        ApiFault.GATEWAY_TIMEOUT: _BY_PLATFORM[FailureReason.TIMEOUT],
    }

    def task_id(self, number: int) -> str:
        return str(UUID(int=number))

    def api_key(self, request: HttpRequest) -> str | None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        return key.strip() or None if scheme == "Key" else None

    def read_public(self, request: HttpRequest) -> KeysCall | UploadCall | None:
        match request.method, path_of(request):
            case "GET", (".well-known", "jwks.json"):
                return KeysCall()
            case "POST", ("files", "upload"):
                scheme, _, token = request.headers.get("authorization", "").partition(" ")
                policy, _, signature = token.partition(".")
                name = request.headers.get("x-fal-file-name") or "file"
                permit = (policy, signature) if scheme == "Bearer" else ("", "")
                return UploadCall(name=name, content=request.body or b"", permit=permit)
            case _:
                return None

    def read(self, request: HttpRequest) -> Call:
        path = path_of(request)
        match request.method, path[:2], path[2:]:
            case "POST", ("storage", "auth"), ("token",):
                return PolicyCall("")
            case "POST", ("storage", "upload"), ("initiate",):
                body = Fields.parse(request.body, _invalid)
                body.text("content_type", required=True)
                return GrantCall(body.text("file_name", required=True) or "")
            case "POST", app, rest if app == _APP and "/".join(rest) in _MODELS:
                return _read_submit(request, "/".join(rest))
            case "GET", app, ("requests", task_id, "status") if app == _APP:
                return FetchCall(task_id)
            case "GET", app, ("requests", task_id) if app == _APP:
                return ResultCall(task_id)
            case "PUT", app, ("requests", task_id, "cancel") if app == _APP:
                return CancelCall(task_id)
            case _:
                raise self.refuse(ApiFault.NO_SUCH_PATH)

    def answer_submit(self, job: Job, *, request_id: str, replayed: bool = False) -> HttpResponse:
        return _answer(200, {"status": "IN_QUEUE", "queue_position": 0, **_links(job)}, request_id)

    def answer_fetch(self, job: Job, *, request_id: str) -> HttpResponse:
        task = job.task
        word = task.raw_status or _STATUSES.get(task.status, _OVER)
        answer: dict[str, Any] = {"status": word, **_links(job)}
        if task.status is TaskStatus.PENDING:
            answer["queue_position"] = 0
        if task.status not in _STATUSES:
            began = task.started_at or task.finished_at
            seconds = (task.finished_at - began).total_seconds() if task.finished_at and began else None
            answer |= {"logs": None, "metrics": {} if seconds is None else {"inference_time": seconds}}
        why = _problem(task)
        if why is not None and why not in _BY_MODEL.values():
            answer["error"] = why.message
            if why.code is not None:
                answer["error_type"] = why.code
        return _answer(202 if task.status in _STATUSES else 200, answer, request_id)

    def answer_result(self, job: Job, *, request_id: str) -> HttpResponse:
        if job.task.status in _STATUSES:
            return _answer(400, {"detail": "Request is still in progress"}, request_id)
        why = _problem(job.task)
        if why is not None:
            return self.answer_error(why, request_id=request_id)
        return _answer(200, _result(job), request_id)

    def answer_cancel(self, job: Job, *, canceled: bool, request_id: str) -> HttpResponse:
        # A run that has begun gets a signal, which the model may not heed.
        if canceled or not job.task.status.is_terminal:
            return _answer(202, {"status": "CANCELLATION_REQUESTED"}, request_id)
        return _answer(400, {"status": "ALREADY_COMPLETED"}, request_id)

    def answer_missing(self, call: FetchCall | ResultCall | CancelCall, *, request_id: str) -> HttpResponse:
        if isinstance(call, CancelCall):
            return _answer(404, {"status": "NOT_FOUND"}, request_id)
        return super().answer_missing(call, request_id=request_id)

    def answer_policy(self, policy: StoragePolicy, *, request_id: str) -> HttpResponse:
        parts = urlsplit(policy.url)
        token = {
            "token": f"{policy.policy}.{policy.signature}",
            "token_type": "Bearer",
            "base_url": f"{parts.scheme}://{parts.netloc}",
            "expires_at": policy.expires.isoformat(),
        }
        return _answer(200, token, request_id)

    def answer_grant(self, grant: StorageGrant, *, request_id: str) -> HttpResponse:
        return _answer(200, {"upload_url": grant.upload_url, "file_url": grant.file_url}, request_id)

    def answer_upload(self, file_url: str, *, request_id: str) -> HttpResponse:
        return _answer(200, {"access_url": file_url}, request_id)

    def answer_keys(self, signing_seed: bytes) -> HttpResponse:
        public = _public_key(signing_seed)
        key = {"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": "emulated", "x": public}
        return json_answer(200, {"keys": [key] if public else []})

    def write_callback(self, notice: CallbackNotice) -> HttpRequest:
        task = notice.job.task
        said: dict[str, Any] = {"request_id": task.id, "gateway_request_id": task.id}
        why = _problem(task)
        if why is None:
            said |= {"status": "OK", "error": None, "payload": _result(notice.job)}
        else:
            said |= {"status": "ERROR", "error": f"Invalid status code: {why.status}", "payload": _error_body(why)}
        body = json.dumps(said, ensure_ascii=False).encode()
        moment = str(int(notice.sent_at.timestamp()))
        headers = {"Content-Type": "application/json", **_signature(notice.signing_seed, task.id, moment, body)}
        return HttpRequest(method="POST", url=notice.url, headers=headers, body=body)

    def answer_error(self, refusal: ErrorReply, *, request_id: str) -> HttpResponse:
        headers = {} if refusal.retry_after is None else {"retry-after": str(math.ceil(refusal.retry_after))}
        if refusal.code is not None and refusal.status != 422:
            headers["x-fal-error-type"] = refusal.code
        return _answer(refusal.status, _error_body(refusal), request_id, headers)


def _answer(status: int, value: object, request_id: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
    return json_answer(status, value, {"x-fal-request-id": request_id, **(headers or {})})


def _error_body(refusal: ErrorReply) -> dict[str, Any]:
    if refusal.status == 422:
        url = f"https://docs.fal.ai/errors/#{refusal.code}"
        return {"detail": [{"loc": ["body"], "msg": refusal.message, "type": refusal.code, "url": url}]}
    return {"detail": refusal.message} | ({"error_type": refusal.code} if refusal.code else {})


def _links(job: Job) -> dict[str, str]:
    url = f"{job.base_url}/{'/'.join(_APP)}/requests/{job.task.id}"
    return {
        "request_id": job.task.id,
        "response_url": url,
        "status_url": f"{url}/status",
        "cancel_url": f"{url}/cancel",
    }


def _problem(task: Task) -> ErrorReply | None:
    """Return why a task has ended without a result."""
    if task.status is TaskStatus.CANCELED:
        return _CANCELED
    if task.status is not TaskStatus.FAILED:
        return None
    reason = task.error.reason if task.error else None
    return _BY_MODEL.get(reason) or _BY_PLATFORM.get(reason) or _UNEXPLAINED if reason else _UNEXPLAINED


def _result(job: Job) -> dict[str, Any]:
    video = next((video for video in job.task.videos), None)
    seed = int(hashlib.sha256(job.task.id.encode()).hexdigest()[:7], 16)
    return {"video": _file(video), "seed": seed if job.request.seed is None else job.request.seed}


def _file(video: Video | None) -> dict[str, Any] | None:
    if video is None:
        return None
    known = {"width": video.width, "height": video.height, "duration": video.duration}
    return {
        "url": video.url,
        "content_type": "video/mp4",
        "file_name": "output.mp4",
        **{name: value for name, value in known.items() if value is not None},
    }


def _read_submit(request: HttpRequest, name: str) -> SubmitCall:
    body = Fields.parse(request.body, _invalid)
    return SubmitCall(
        request=_read_input(name, _MODELS[name], body),
        body=request.body or b"",
        callback_url=query_of(request).get("fal_webhook") or None,
    )


def _read_input(name: str, model: _Model, given: Fields) -> VideoRequest:
    prompt = given.text("prompt", required=model.mode is not Mode.I2V, longest=_LONGEST_PROMPT)
    given.flag("enable_safety_checker")
    options: dict[str, Any] = {
        "model": "/".join((*_APP, name)),
        "resolution": given.choice("resolution", ("720p", "1080p"), default="1080p"),
        "seed": given.number("seed", _SEEDS),
    }
    if model.mode is Mode.EDIT:
        audio = given.choice("audio_setting", ("auto", "origin"), default="auto")
        images = given.medias("reference_image_urls", range(6), _IMAGES)
        return VideoEdit(prompt or "", given.media("video_url", ("http",)), images=images, audio=audio, **options)
    options["duration"] = given.number("duration", _SECONDS, default=5)
    if model.mode is Mode.I2V:
        return ImageToVideo(given.media("image_url", _IMAGES), prompt=prompt, **options)
    options["ratio"] = given.choice("aspect_ratio", model.ratios, default="16:9")
    if model.mode is Mode.R2V:
        return ReferenceToVideo(prompt or "", given.medias("image_urls", range(1, 10), _IMAGES), **options)
    return TextToVideo(prompt or "", **options)


def _signature(seed: bytes, request_id: str, moment: str, body: bytes) -> dict[str, str]:
    """Sign a webhook; without the package `cryptography`, send it unsigned."""
    user = "user_emulated"
    signed = "\n".join((request_id, user, moment, hashlib.sha256(body).hexdigest())).encode()
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    except ImportError:
        return {}
    return {
        "X-Fal-Webhook-Request-Id": request_id,
        "X-Fal-Webhook-User-Id": user,
        "X-Fal-Webhook-Timestamp": moment,
        "X-Fal-Webhook-Signature": Ed25519PrivateKey.from_private_bytes(seed).sign(signed).hex(),
    }


def _public_key(seed: bytes) -> str | None:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    except ImportError:
        return None
    raw = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
