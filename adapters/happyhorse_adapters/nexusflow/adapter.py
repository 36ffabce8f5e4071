"""
The client side of nexusflow, a relay in front of Alibaba's DashScope.

Written from its documentation and the operator's public source, never run against the live service:

- models and fields: https://nexusflow.vip/docs/api/happyhorse
- tasks and the list: https://nexusflow.vip/docs/api/tasks
- why there are no callbacks: https://nexusflow.vip/docs/api/async
- version 1.1: https://github.com/Daemon4444/nexusflow, `backend/scripts/test-model-catalog.ts` of 2026-09-18

The relay ignores unknown fields silently, so the check of a request before it is sent is the only guard.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from attrs import evolve

from happyhorse_async.adapter import Account, Adapter, PageRequest, Submission, TaskPage, UploadFile, UploadPolicy
from happyhorse_async.adapter_kit import check_switch, json_request
from happyhorse_async.capabilities import DURATIONS, Capabilities, MediaForm, ModelSpec
from happyhorse_async.media.formats import MediaFormat
from happyhorse_async.media.limits import PictureLimits, VideoLimits
from happyhorse_async.messages import HttpRequest, HttpResponse
from happyhorse_async.request import ImageToVideo, Mode, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest
from happyhorse_async.task import Task
from happyhorse_async.timing import Limits, PollSchedule, RateLimitWindow, rate_limit_window

from .errors import read, read_upload
from .prices import FREE_FAILURES, PRICES
from .responses import accepted_task, listed_tasks, observed_task
from .uploads import upload_request, uploaded

_RESOLUTIONS = ("720P", "1080P")
_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4")

# The pages document 1.0 alone; what 1.1 takes is what DashScope, behind the relay, takes.
_RESOLUTIONS_1_1 = ("480P", *_RESOLUTIONS)
_RATIOS_1_1 = (*_RATIOS, "4:5", "5:4", "9:21", "21:9")

# The documented default. It is always sent: the relay adds none, and DashScope's own default is the costlier 1080P.
_DEFAULT_RESOLUTION = "720P"

# The documented limit is 2,500 Chinese characters. DashScope, which cuts what is beyond, counts 5,000 of any other.
_PROMPT_WIDTH = 5000

_LONGEST_LIST = 100

_PAGE = "https://nexusflow.vip/docs/api/happyhorse"
# Sides and ratios are those of DashScope, behind the relay, which checks nothing itself.
_FIRST_FRAME = PictureLimits(
    formats=frozenset({MediaFormat.JPEG, MediaFormat.PNG, MediaFormat.WEBP}),
    source=_PAGE,
    megabytes=10,
    side=300,
    ratio=2.5,
    is_hearsay=True,
)
# An upload takes 100 MB, and pictures above 10 MB are made smaller.
_REFERENCE = evolve(_FIRST_FRAME, megabytes=100, doubted_megabytes=10, side=400, ratio=None, doubted_ratio=2.5)
_EDIT_REFERENCE = evolve(_REFERENCE, side=300, ratio=2.5, doubted_ratio=None)
_SOURCE_VIDEO = VideoLimits(
    formats=frozenset({MediaFormat.MP4, MediaFormat.MOV}),
    source=_PAGE,
    megabytes=100,
    durations=(3, 60),
    longer_side=4096,
    shorter_side=320,
    doubted_shorter_side=360,
    doubted_ratio=2.5,
    doubted_frame_rates=(8, 60),
    edited=15,
)

# Values of `X-RateLimit-Scope`, which no page documents, for the account's limit as opposed to one task's.
_ACCOUNT_SCOPES = ("", "api_key", "account_model_qpm")


def _models(
    mode: Mode,
    *,
    ratios: bool = False,
    prompt_required: bool = True,
    images: range = range(1),
    picture_limits: PictureLimits | None = None,
) -> tuple[ModelSpec, ModelSpec]:
    documented = ModelSpec(
        mode=mode,
        version="1.0",
        model=f"happyhorse-1.0-{mode.value}",
        resolutions=_RESOLUTIONS,
        ratios=_RATIOS if ratios else (),
        durations=DURATIONS,
        seed=True,
        watermark=True,
        prompt_required=prompt_required,
        images=images,
        optional_upload_form=None if picture_limits is None else MediaForm.URL,
        picture_limits=picture_limits,
    )
    newer = evolve(
        documented,
        version="1.1",
        opt_in=True,
        model=f"happyhorse-1.1-{mode.value}",
        resolutions=_RESOLUTIONS_1_1,
        ratios=_RATIOS_1_1 if ratios else (),
    )
    return documented, newer


class NexusFlowAdapter(Adapter):
    """
    HappyHorse 1.0 in four modes, and 1.1 in three, through nexusflow.

    The option `upload = true` uploads local media to a storage that only the operator's public source has.
    """

    name = "nexusflow"
    title = "nexusflow"
    documentation = "https://nexusflow.vip/docs/api/happyhorse"
    api_key_env = "NEXUSFLOW_API_KEY"
    default_base_url = "https://nexusflow.vip"
    # `audio` is missing on purpose: the relay passes DashScope's `audio_setting` on, but no page documents it.
    capabilities = Capabilities(
        models=(
            *_models(Mode.T2V, ratios=True),
            *_models(Mode.I2V, prompt_required=False, images=range(1, 2), picture_limits=_FIRST_FRAME),
            *_models(Mode.R2V, ratios=True, images=range(1, 10), picture_limits=_REFERENCE),
            ModelSpec(
                mode=Mode.EDIT,
                version="1.0",
                model="happyhorse-1.0-video-edit",
                resolutions=_RESOLUTIONS,
                seed=True,
                watermark=True,
                images=range(6),
                optional_upload_form=MediaForm.URL,
                picture_limits=_EDIT_REFERENCE,
                video_limits=_SOURCE_VIDEO,
            ),
        ),
        can_list=True,
    )
    # "Polling recommended interval 10-15 seconds."
    poll = PollSchedule(interval=10)
    # The published tiers begin at 20 requests a minute. What an account really has is learned from the headers of its
    # answers, from 429 and from Retry-After.
    limits = Limits(queries_per_second=10, submits_per_second=5)
    task_ttl = 24 * 3600.0
    option_names = frozenset({"upload"})
    prices = PRICES
    default_resolution = _DEFAULT_RESOLUTION
    free_failures = FREE_FAILURES
    public_uploads = True

    def account(
        self,
        *,
        provider: str,
        api_key: str,
        base_url: str | None = None,
        region: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Account:
        check_switch(options or {}, "upload", provider=provider)
        return super().account(provider=provider, api_key=api_key, base_url=base_url, region=region, options=options)

    def encode_upload(self, file: UploadFile, policy: UploadPolicy | None, account: Account) -> HttpRequest:
        return upload_request(file, account)

    def decode_upload(
        self, response: HttpResponse, file: UploadFile, policy: UploadPolicy | None, account: Account
    ) -> str:
        return uploaded(read_upload(response, account), account)

    def warnings(self, submission: Submission, account: Account) -> tuple[str, ...]:
        request = submission.request
        found: list[str] = []
        if submission.spec.opt_in:
            found.append(f"nexusflow's pages do not list {submission.spec.model}; only its public source does")
        if request.resolution is None:
            found.append(f"resolution is not set and is sent as {_DEFAULT_RESOLUTION}, nexusflow's documented default")
        if request.watermark is None:
            found.append("watermark is not set: nexusflow draws one by default")
        if _width(request.prompt or "") > _PROMPT_WIDTH:
            found.append("the prompt is longer than 2500 Chinese (or 5000 other) characters: the rest may be cut off")
        return tuple(found)

    def encode_submit(self, submission: Submission, account: Account) -> HttpRequest:
        request = submission.request
        fields = {"model": submission.spec.model, **_fields(request), **request.extra}
        # A compressed body is refused with 415.
        return json_request("POST", f"{account.base_url}/v1/tasks", account, body=fields)

    def decode_submit(self, response: HttpResponse, account: Account) -> Task:
        return accepted_task(read(response, account), response, account)

    def encode_fetch(self, task_id: str, account: Account) -> HttpRequest:
        url = f"{account.base_url}/v1/tasks/{quote(task_id, safe='')}"
        return json_request("GET", url, account)

    def decode_fetch(self, response: HttpResponse, task_id: str, account: Account) -> Task:
        return observed_task(read(response, account), task_id, response, account)

    def rate_limit(self, response: HttpResponse) -> RateLimitWindow | None:
        """
        Return what is left of the account's limit. The limit for polling one task is ignored.

        The limits page documents `X-RateLimit-Remaining` alone; the public source sends limit and reset with it. All
        tiers count requests per minute: https://nexusflow.vip/docs/api/limits
        """
        of_account = response.headers.get("x-ratelimit-scope", "").strip() in _ACCOUNT_SCOPES
        return rate_limit_window(response, period=60.0) if of_account else None

    def encode_list(self, page: PageRequest, account: Account) -> HttpRequest:
        if page.number > 1:
            raise self.unsupported("second page of its task list", account)
        query = urlencode({"limit": min(page.size, _LONGEST_LIST)})
        return json_request("GET", f"{account.base_url}/v1/tasks?{query}", account)

    def decode_list(self, response: HttpResponse, page: PageRequest, account: Account) -> TaskPage:
        return listed_tasks(read(response, account), response, account)


def _fields(request: VideoRequest) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "prompt": request.prompt,
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
