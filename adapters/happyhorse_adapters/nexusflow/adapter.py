"""
The client side of nexusflow.

Written from its documentation, never run against the live service:

- models and fields: https://nexusflow.vip/docs/api/happyhorse
- tasks and the list: https://nexusflow.vip/docs/api/tasks
- why there are no callbacks: https://nexusflow.vip/docs/api/async

Fields it does not know it drops without a word, so the check of a request before it is sent is the only guard.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from attrs import define

from happyhorse_async.adapter import Account, Adapter, PageRequest, Submission, TaskPage
from happyhorse_async.adapter_kit.decoding import Lax, from_epoch, parse_datetime, structure
from happyhorse_async.adapter_kit.http import json_request
from happyhorse_async.capabilities import DURATIONS, Capabilities, ModelSpec
from happyhorse_async.errors import InvalidResponseError
from happyhorse_async.messages import HttpRequest, HttpResponse
from happyhorse_async.request import ImageToVideo, Mode, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest
from happyhorse_async.task import Task, TaskStatus, Usage, Video
from happyhorse_async.timing import Limits, PollSchedule, RateLimitWindow, rate_limit_window

from .errors import failure, read, request_id

_RESOLUTIONS = ("720P", "1080P")
_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4")

# The documented default. The relay passes on only what it is given, and DashScope's own default is the dearer 1080P.
_DEFAULT_RESOLUTION = "720P"

# The documented limit is 2,500 Chinese characters. DashScope, which cuts what is beyond, counts 5,000 of any other.
_PROMPT_WIDTH = 5000

_LONGEST_LIST = 100

# What `X-RateLimit-Scope` may say where the headers speak of the account and not of one task. The pages have no such
# header.
_ACCOUNT_SCOPES = ("", "api_key", "account_model_qpm")

_URL_LIFETIME = timedelta(hours=24)
_FIRST_VIDEOS = datetime(2026, 1, 1, tzinfo=UTC)

# https://nexusflow.vip/docs/api/happyhorse
_STATUSES = {
    "pending": TaskStatus.PENDING,
    "running": TaskStatus.RUNNING,
    "succeeded": TaskStatus.SUCCEEDED,
    "failed": TaskStatus.FAILED,
}

_EXPIRES = re.compile(r"[?&]Expires=([0-9]+)(?![^&#])")


@define(kw_only=True)
class _WireUsage:
    """DashScope's usage object, passed through."""

    duration: Lax[float] = None
    input_video_duration: Lax[float] = None
    output_video_duration: Lax[float] = None
    SR: Lax[str] = None
    ratio: Lax[str] = None
    video_count: Lax[int] = None


@define(kw_only=True)
class _WireOutput:
    video_url: str | None = None
    usage: Lax[_WireUsage] = None


@define(kw_only=True)
class _WireAccepted:
    id: str
    status: Lax[str] = None
    model: Lax[str] = None
    created_at: Lax[str] = None


@define(kw_only=True)
class _WireTask:
    id: str | None = None
    status: str
    model: Lax[str] = None
    progress: Lax[float] = None
    output: _WireOutput | None = None
    error: Any = None
    created_at: Lax[str] = None
    completed_at: Lax[str] = None


@define(kw_only=True)
class _WirePage:
    data: list[Lax[Mapping[str, Any]]]


class NexusFlowAdapter(Adapter):
    """HappyHorse 1.0 in four modes through nexusflow."""

    name = "nexusflow"
    title = "nexusflow"
    documentation = "https://nexusflow.vip/docs/api/happyhorse"
    api_key_env = "NEXUSFLOW_API_KEY"
    default_base_url = "https://nexusflow.vip"
    # `audio` is missing on purpose: the relay passes DashScope's `audio_setting` on, but no page of its own names it.
    capabilities = Capabilities(
        models=(
            ModelSpec(
                mode=Mode.T2V,
                version="1.0",
                model="happyhorse-1.0-t2v",
                resolutions=_RESOLUTIONS,
                ratios=_RATIOS,
                durations=DURATIONS,
                seed=True,
                watermark=True,
            ),
            ModelSpec(
                mode=Mode.I2V,
                version="1.0",
                model="happyhorse-1.0-i2v",
                resolutions=_RESOLUTIONS,
                durations=DURATIONS,
                seed=True,
                watermark=True,
                prompt_required=False,
                images=range(1, 2),
            ),
            ModelSpec(
                mode=Mode.R2V,
                version="1.0",
                model="happyhorse-1.0-r2v",
                resolutions=_RESOLUTIONS,
                ratios=_RATIOS,
                durations=DURATIONS,
                seed=True,
                watermark=True,
                images=range(1, 10),
            ),
            ModelSpec(
                mode=Mode.EDIT,
                version="1.0",
                model="happyhorse-1.0-video-edit",
                resolutions=_RESOLUTIONS,
                seed=True,
                watermark=True,
                images=range(6),
            ),
        ),
        can_list=True,
    )
    # "Polling recommended interval 10-15 seconds."
    poll = PollSchedule(interval=10)
    # The published tiers begin at 20 requests a minute, and the operator may set the budget for queries (60 a minute
    # for a key in the public source) as it likes. What an account really has is learned from the headers of its
    # answers, from 429 and from Retry-After.
    limits = Limits(queries_per_second=10, submits_per_second=5)
    task_ttl = 24 * 3600.0

    def warnings(self, submission: Submission, account: Account) -> tuple[str, ...]:
        request = submission.request
        found: list[str] = []
        if request.resolution is None:
            found.append(
                f"resolution is not given and is sent as {_DEFAULT_RESOLUTION}, nexusflow's documented default"
            )
        if request.watermark is None:
            found.append("watermark is not given: nexusflow draws one by default")
        if _width(request.prompt or "") > _PROMPT_WIDTH:
            found.append("the prompt is longer than 2500 Chinese (or 5000 other) characters: the rest may be cut off")
        return tuple(found)

    def encode_submit(self, submission: Submission, account: Account) -> HttpRequest:
        request = submission.request
        fields = {"model": submission.spec.model, **_fields(request), **request.extra}
        # A compressed body is refused with 415.
        return json_request("POST", f"{account.base_url}/v1/tasks", account, body=fields)

    def decode_submit(self, response: HttpResponse, account: Account) -> Task:
        body = read(response, account)
        accepted = structure(body, _WireAccepted)
        if not accepted.id.strip():
            raise InvalidResponseError("the answer has an empty task id", path="id")
        # Accepted is all that a reply without a status says.
        status = _status(accepted.status) if accepted.status else TaskStatus.PENDING
        if status.is_terminal:
            return self.decode_fetch(response, accepted.id, account)
        return Task(
            ref=account.ref(accepted.id),
            status=status,
            raw_status=accepted.status,
            model=accepted.model,
            created_at=parse_datetime(accepted.created_at),
            request_id=request_id(response),
            raw=body,
        )

    def encode_fetch(self, task_id: str, account: Account) -> HttpRequest:
        url = f"{account.base_url}/v1/tasks/{quote(task_id, safe='')}"
        return json_request("GET", url, account)

    def decode_fetch(self, response: HttpResponse, task_id: str, account: Account) -> Task:
        body = read(response, account)
        wire = structure(body, _WireTask)
        return _task(wire, body, wire.id or task_id, response, account)

    def rate_limit(self, response: HttpResponse) -> RateLimitWindow | None:
        """
        Read what is left, where it is the account's: one task may be looked at too often by itself.

        The limits' page promises `X-RateLimit-Remaining`; the public source sends the limit and the reset with it.
        """
        ours = response.headers.get("x-ratelimit-scope", "").strip() in _ACCOUNT_SCOPES
        return rate_limit_window(response) if ours else None

    def encode_list(self, page: PageRequest, account: Account) -> HttpRequest:
        if page.number > 1:
            raise self.unsupported("second page of its task list", account)
        query = urlencode({"limit": min(page.size, _LONGEST_LIST)})
        return json_request("GET", f"{account.base_url}/v1/tasks?{query}", account)

    def decode_list(self, response: HttpResponse, page: PageRequest, account: Account) -> TaskPage:
        # The rows carry neither output nor error, and are copies of what earlier queries saw.
        rows = structure(read(response, account), _WirePage).data
        tasks = (_row(row, response, account) for row in rows if row is not None)
        return TaskPage(tasks=tuple(task for task in tasks if task is not None))


def _fields(request: VideoRequest) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "prompt": request.prompt or None,
        "resolution": request.resolution or _DEFAULT_RESOLUTION,
        "watermark": request.watermark,
        "seed": request.seed,
    }
    if isinstance(request, TextToVideo | ReferenceToVideo):
        fields["ratio"] = request.ratio
    if not isinstance(request, VideoEdit):
        fields["duration"] = request.duration
    if isinstance(request, ImageToVideo):
        fields["img_url"] = request.image
    if isinstance(request, ReferenceToVideo | VideoEdit):
        fields["img_urls"] = list(request.images) or None
    if isinstance(request, VideoEdit):
        fields["video_url"] = request.video
    return {name: value for name, value in fields.items() if value is not None}


def _width(prompt: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in prompt)


def _status(word: str) -> TaskStatus:
    return _STATUSES.get(word.lower(), TaskStatus.UNKNOWN)


def _row(row: Mapping[str, Any], response: HttpResponse, account: Account) -> Task | None:
    try:
        wire = structure(row, _WireTask)
    except InvalidResponseError:
        return None
    return _task(wire, row, wire.id, response, account) if wire.id else None


def _task(wire: _WireTask, body: Mapping[str, Any], task_id: str, response: HttpResponse, account: Account) -> Task:
    status = _status(wire.status)
    return Task(
        ref=account.ref(task_id),
        status=status,
        raw_status=wire.status,
        progress=_percentage(wire.progress),
        videos=_videos(wire),
        error=failure(wire.error, account) if status is TaskStatus.FAILED else None,
        usage=_usage(wire.output.usage) if wire.output and wire.output.usage else None,
        model=wire.model,
        created_at=parse_datetime(wire.created_at),
        finished_at=parse_datetime(wire.completed_at),
        request_id=request_id(response),
        raw=body,
    )


def _percentage(progress: float | None) -> float | None:
    return progress if progress is not None and 0 <= progress <= 100 else None


def _videos(wire: _WireTask) -> tuple[Video, ...]:
    url = wire.output.video_url if wire.output else None
    if not url:
        return ()
    return (Video(url=url, expires_at=_expiry(url, wire)),)


def _expiry(url: str, wire: _WireTask) -> datetime | None:
    """Read when *url* dies. One that says it died before it was made says nothing."""
    finished = parse_datetime(wire.completed_at)
    signed = _EXPIRES.search(url)
    moment = from_epoch(float(signed[1])) if signed else None
    if moment is not None and moment > (finished or parse_datetime(wire.created_at) or _FIRST_VIDEOS):
        return moment
    return finished + _URL_LIFETIME if finished else None


def _usage(wire: _WireUsage) -> Usage:
    return Usage(
        duration=wire.duration,
        input_duration=wire.input_video_duration,
        output_duration=wire.output_video_duration,
        resolution=_tier(wire.SR),
        ratio=wire.ratio,
        count=wire.video_count,
    )


def _tier(text: str | None) -> str | None:
    # DashScope writes the tier as "720", 720 or "720P".
    return f"{text.upper().removesuffix('P').removesuffix('.0')}P" if text else None
