"""A provider as different from the shipped ones as possible, with its emulated API: what a third party would write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

from attrs import frozen

import happyhorse_async as hh
from happyhorse_async.adapter_kit import (
    Lax,
    class_by_status,
    error_from_response,
    find_videos,
    from_epoch,
    has_no_content,
    json_request,
    read_object,
    read_refusal,
    read_status,
    require_video,
    structure,
    task_failure,
)
from happyhorse_async.emulation import (
    ApiError,
    ApiFault,
    Call,
    CancelCall,
    EmulatedAPI,
    ErrorReply,
    FetchCall,
    Fields,
    Job,
    JobPage,
    ListCall,
    SubmitCall,
    json_answer,
    path_of,
    query_of,
)

STAGES = {
    "queue": hh.TaskStatus.PENDING,
    "rolling": hh.TaskStatus.RUNNING,
    "cut": hh.TaskStatus.SUCCEEDED,
    "spoiled": hh.TaskStatus.FAILED,
    "dropped": hh.TaskStatus.CANCELED,
}
WORDS = {status: word for word, status in STAGES.items()}
REASONS = {"BAD": hh.FailureReason.INVALID_REQUEST, "RUDE": hh.FailureReason.CONTENT_REJECTED}


@frozen(kw_only=True)
class WireTake:
    """A task of the provider."""

    take: str
    stage: str
    since: Lax[float] = None
    why: Lax[str] = None
    words: Lax[str] = None


class ToyAdapter(hh.Adapter):
    """Other words, flat objects, a list without pages, and everything that may be left out."""

    name = "toy"
    title = "Toy"
    documentation = "https://toy.example/docs"
    api_key_env = "TOY_API_KEY"
    capabilities = hh.Capabilities(
        models=(
            hh.ModelSpec(
                mode=hh.Mode.T2V, version="1.1", model="toy-t2v", resolutions=("720P",), ratios=("16:9",), seed=True
            ),
            hh.ModelSpec(
                mode=hh.Mode.R2V,
                version="1.0",
                model="toy-r2v",
                resolutions=("480P", "720P"),
                durations=range(2, 6),
                images=range(1, 4),
            ),
        ),
        can_list=True,
        can_cancel=True,
        callbacks=True,
        idempotent=True,
    )
    default_base_url = "https://toy.example/api"

    def encode_submit(self, submission: hh.Submission, account: hh.Account) -> hh.HttpRequest:
        request = submission.request
        fields = {
            "what": request.prompt,
            "tier": request.resolution,
            "shape": getattr(request, "ratio", None),
            "length": getattr(request, "duration", None),
            "dice": request.seed,
            "stills": list(getattr(request, "images", ())) or None,
            "ring": submission.callback_url,
        }
        body = {name: value for name, value in fields.items() if value is not None}
        body |= {"engine": submission.spec.model, **request.extra}
        return json_request(
            "POST", f"{account.base_url}/takes", account, body=body, headers={"Once": submission.job_id}
        )

    def decode_submit(self, response: hh.HttpResponse, account: hh.Account) -> hh.Task:
        return self.take(self.read(response, account), account)

    def encode_fetch(self, task_id: str, account: hh.Account) -> hh.HttpRequest:
        return json_request("GET", f"{account.base_url}/takes/{quote(task_id, safe='')}", account)

    def decode_fetch(self, response: hh.HttpResponse, task_id: str, account: hh.Account) -> hh.Task:
        return self.take(self.read(response, account), account)

    def encode_list(self, page: hh.PageRequest, account: hh.Account) -> hh.HttpRequest:
        return json_request("GET", f"{account.base_url}/takes?most={page.size}", account)

    def decode_list(self, response: hh.HttpResponse, page: hh.PageRequest, account: hh.Account) -> hh.TaskPage:
        rows = structure(self.read(response, account).get("takes"), list[Mapping[str, Any]], root="takes")
        return hh.TaskPage(tasks=tuple(self.take(row, account) for row in rows))

    def encode_cancel(self, task_id: str, account: hh.Account) -> hh.HttpRequest:
        return json_request("DELETE", f"{account.base_url}/takes/{quote(task_id, safe='')}", account)

    def decode_cancel(self, response: hh.HttpResponse, account: hh.Account) -> bool:
        if has_no_content(response):
            return True
        return self.take(self.read(response, account), account).status is hh.TaskStatus.CANCELED

    def read(self, response: hh.HttpResponse, account: hh.Account) -> Mapping[str, Any]:
        """Return the object in *response*, unless it is a refusal."""
        if response.ok:
            return read_object(response)
        words = read_refusal(response).get("words")
        cls = class_by_status(response.status) if isinstance(words, str) else None
        raise error_from_response(cls, words if cls else None, response=response, account=account)

    def take(self, answer: Mapping[str, Any], account: hh.Account) -> hh.Task:
        """Read a task."""
        wire = structure(answer, WireTake)
        videos = find_videos(answer.get("reel"))
        status = read_status(wire.stage, STAGES, has_video=bool(videos))
        failure = task_failure(REASONS.get(wire.why or ""), wire.words, account=account, code=wire.why)
        task = hh.Task(
            ref=account.ref(wire.take, path="take"),
            status=status,
            raw_status=wire.stage,
            videos=tuple(video.as_video() for video in videos) if status is hh.TaskStatus.SUCCEEDED else (),
            error=failure if status is hh.TaskStatus.FAILED else None,
            created_at=from_epoch(wire.since),
            raw=answer,
        )
        return require_video(task, "reel", answer.get("reel"))


class EmulatedToy(EmulatedAPI):
    """The provider's server side."""

    name = "toy"
    root = "/api"
    refusals: ClassVar[Mapping[ApiFault, ErrorReply]] = {
        ApiFault.NO_KEY: ErrorReply(status=401, message="who are you"),
        ApiFault.UNKNOWN_TASK: ErrorReply(status=404, message="no such take"),
    }

    def task_id(self, number: int) -> str:
        return f"take:{number:x}"

    def read(self, request: hh.HttpRequest) -> Call:
        match request.method, path_of(request):
            case "POST", ("api", "takes"):
                return self._submit(request)
            case "GET", ("api", "takes"):
                return ListCall(size=int(query_of(request)["most"]))
            case "GET", ("api", "takes", task_id):
                return FetchCall(task_id)
            case "DELETE", ("api", "takes", task_id):
                return CancelCall(task_id)
            case _:
                raise _refuse("no such path")

    def answer_submit(self, job: Job, *, request_id: str, replayed: bool = False) -> hh.HttpResponse:
        return json_answer(201, self._take(job))

    def answer_fetch(self, job: Job, *, request_id: str) -> hh.HttpResponse:
        return json_answer(200, self._take(job))

    def answer_list(self, call: ListCall, page: JobPage, *, request_id: str) -> hh.HttpResponse:
        return json_answer(200, {"takes": [self._take(job) for job in page.jobs]})

    def answer_cancel(self, job: Job, *, canceled: bool, request_id: str) -> hh.HttpResponse:
        return json_answer(200, self._take(job))

    def answer_error(self, refusal: ErrorReply, *, request_id: str) -> hh.HttpResponse:
        return json_answer(refusal.status, {"words": refusal.message})

    def _submit(self, request: hh.HttpRequest) -> SubmitCall:
        body = Fields.parse(request.body, _refuse)
        options: dict[str, Any] = {"model": body.text("engine"), "resolution": body.choice("tier", ("480P", "720P"))}
        made: hh.VideoRequest
        if "stills" in body:
            stills = body.medias("stills", range(1, 4), ("http",))
            duration = body.number("length", range(2, 6), default=2)
            made = hh.ReferenceToVideo(body.text("what") or "", stills, duration=duration, **options)
        else:
            shape, dice = body.choice("shape", ("16:9",)), body.number("dice", range(2**31))
            made = hh.TextToVideo(body.text("what") or "", ratio=shape, seed=dice, duration=2, **options)
        return SubmitCall(request=made, idempotency_key=request.headers.get("once"), body=request.body or b"")

    def _take(self, job: Job) -> dict[str, Any]:
        task = job.task
        take: dict[str, Any] = {"take": task.id, "stage": WORDS[task.status], "reel": task.video_url}
        take["since"] = task.created_at.timestamp() if task.created_at else None
        if task.error is not None:
            codes = {reason: code for code, reason in REASONS.items()}
            take |= {"why": codes.get(task.error.reason, "ODD"), "words": "the take was spoiled"}
        return take


def _refuse(sentence: str) -> ApiError:
    return ApiError(ErrorReply(status=400, message=sentence))
