"""
HappyHorse on Alibaba Cloud Model Studio, by its own HTTP API (DashScope): every mode in every version there is.

Written from https://help.aliyun.com/zh/model-studio/happyhorse-text-to-video-api-reference and the pages beside it (the
newest copies of mid and late 2026), not verified live. Where the pages disagree, the wider range is taken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from happyhorse_async.adapter import Account, Adapter, PageRequest, Submission, TaskPage
from happyhorse_async.adapter_kit.decoding import read_callback, read_object
from happyhorse_async.adapter_kit.http import json_request
from happyhorse_async.capabilities import AUDIO_SETTINGS, DURATIONS, Capabilities, MediaForm, ModelSpec, media_form
from happyhorse_async.errors import InvalidResponseError, TaskNotFoundError
from happyhorse_async.messages import HttpRequest, HttpResponse
from happyhorse_async.request import ImageToVideo, Media, Mode, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest
from happyhorse_async.task import Task, TaskRef, TaskStatus
from happyhorse_async.timing import Limits, PollSchedule

from .errors import ErrorDetails, read_error_details, refusal_in, refuses
from .events import ended_task, verify_token
from .regions import DEFAULT_REGION, REGIONS, check_workspace, find_base_url, is_tokyo, workspace_headers
from .responses import accepted_task, listed_tasks, observed_task

_SUBMIT_PATH = "/services/aigc/video-generation/video-synthesis"

# 480P came with version 1.1, and the price list sells it for that alone.
_RESOLUTIONS = {"1.1": ("480P", "720P", "1080P"), "1.0": ("720P", "1080P")}
# The pages of April 2026 have the first five; those of May have all nine while they name version 1.0 alone.
_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4", "4:5", "5:4", "9:21", "21:9")

_IMAGE_FORMS = frozenset({MediaForm.URL, MediaForm.DATA_URI, MediaForm.OSS})
# `data:` URIs are documented for images only.
_VIDEO_FORMS = frozenset({MediaForm.URL, MediaForm.OSS})

# What is longer is cut without a word. A Chinese character counts double; how mixed text is counted is not documented.
_PROMPT_LIMIT = 5000
_CHINESE = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")

# What a cancellation is answered with that comes too late, without the capitals:
# https://help.aliyun.com/zh/model-studio/manage-asynchronous-tasks
_TOO_LATE = "unsupportedoperation"


def _models(mode: Mode, *, ratios: tuple[str, ...], prompt_required: bool, images: range) -> tuple[ModelSpec, ...]:
    return tuple(
        ModelSpec(
            mode=mode,
            version=version,
            model=f"happyhorse-{version}-{mode.value}",
            resolutions=resolutions,
            ratios=ratios,
            durations=DURATIONS,
            seed=True,
            watermark=True,
            prompt_required=prompt_required,
            images=images,
            image_forms=_IMAGE_FORMS,
        )
        for version, resolutions in _RESOLUTIONS.items()
    )


# There is no 1.1 of video editing, whatever some resellers list.
_EDIT = ModelSpec(
    mode=Mode.EDIT,
    version="1.0",
    model="happyhorse-1.0-video-edit",
    resolutions=("720P", "1080P"),
    seed=True,
    watermark=True,
    audio=AUDIO_SETTINGS,
    images=range(6),
    image_forms=_IMAGE_FORMS,
    video_forms=_VIDEO_FORMS,
)


class DashScopeAdapter(Adapter):
    """
    Alibaba Cloud Model Studio, HappyHorse's maker.

    The option `workspace`, an id such as `llm-abc123`, chooses the host of that workspace in the region; Frankfurt and
    Tokyo have no other. With a base URL of your own it is named in a header instead.
    """

    name = "dashscope"
    title = "Alibaba Cloud Model Studio (DashScope)"
    documentation = "https://help.aliyun.com/zh/model-studio/happyhorse-text-to-video-api-reference"
    api_key_env = "DASHSCOPE_API_KEY"
    capabilities = Capabilities(
        models=(
            *_models(Mode.T2V, ratios=_RATIOS, prompt_required=True, images=range(1)),
            *_models(Mode.I2V, ratios=(), prompt_required=False, images=range(1, 2)),
            *_models(Mode.R2V, ratios=_RATIOS, prompt_required=True, images=range(1, 10)),
            _EDIT,
        ),
        can_list=True,
        list_is_live=True,
        can_cancel=True,
        signed_callbacks=True,
    )
    regions = REGIONS
    default_base_url = REGIONS[DEFAULT_REGION]
    option_names: ClassVar[frozenset[str]] = frozenset({"workspace"})
    poll = PollSchedule(interval=15)
    # 20 queries a second for an account, all its keys together, and 5 submits a second for a model:
    # https://help.aliyun.com/zh/model-studio/rate-limit
    # Of each model 5 tasks run at once and up to 500 more wait as PENDING, says its catalogue:
    # GET /limits, async_user_concurrency_limit and async_user_queue_limit.
    limits = Limits(queries_per_second=18, submits_per_second=4.5, max_running=5, max_queued=500)
    limits_per_model = True
    # InternalError.Timeout: "no result within 3 hours", https://help.aliyun.com/zh/model-studio/error-code
    execution_timeout = 3 * 3600.0
    # None is still running after a day; and a day is the least for which the pages promise to answer for it (from its
    # submit or from its end, they disagree).
    task_ttl = 24 * 3600.0

    def account(
        self,
        *,
        provider: str,
        api_key: str,
        base_url: str | None = None,
        region: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Account:
        check_workspace(options or {}, provider=provider)
        return super().account(provider=provider, api_key=api_key, base_url=base_url, region=region, options=options)

    def base_url(self, region: str | None, options: Mapping[str, Any], *, provider: str) -> str:
        return find_base_url(region, options, provider=provider)

    def warnings(self, submission: Submission, account: Account) -> tuple[str, ...]:
        request = submission.request
        found: list[str] = []
        if request.resolution is None and "resolution" not in request.extra:
            found.append("resolution is not set, and DashScope then makes 1080P, the costliest tier")
        length = _prompt_length(request.prompt or "")
        if length > _PROMPT_LIMIT:
            found.append(
                f"the prompt counts {length} characters, a Chinese one for two; DashScope cuts it without a word after "
                f"{_PROMPT_LIMIT} and bills the video all the same"
            )
        if submission.spec.version == "1.0" and request.mode is not Mode.EDIT and is_tokyo(account):
            # https://help.aliyun.com/zh/model-studio/model-pricing, mid 2026
            found.append("the price list has no 1.0 model for Tokyo but the video edit")
        return tuple(found)

    def encode_submit(self, submission: Submission, account: Account) -> HttpRequest:
        request = submission.request
        media = _media(request)
        body = {
            "model": submission.spec.model,
            "input": _input(request, media),
            # The list of errors has one for a missing object, so an empty one is sent.
            "parameters": {**_parameters(request), **request.extra},
        }
        headers = {"X-DashScope-Async": "enable", **workspace_headers(account)}
        if any(media_form(medium["url"]) is MediaForm.OSS for medium in media):
            # https://help.aliyun.com/zh/model-studio/get-temporary-file-url
            headers["X-DashScope-OssResourceResolve"] = "enable"
        return json_request("POST", account.base_url + _SUBMIT_PATH, account, body=body, headers=headers)

    def decode_submit(self, response: HttpResponse, account: Account) -> Task:
        answer, details = _read(response, account)
        try:
            return accepted_task(answer, details, account)
        except InvalidResponseError as error:
            # By this id the vendor's support, and the list's rows, know a submit whose task is not known.
            error.request_id = details.request_id
            raise

    def encode_fetch(self, task_id: str, account: Account) -> HttpRequest:
        return json_request("GET", _task_url(task_id, account), account, headers=workspace_headers(account))

    def decode_fetch(self, response: HttpResponse, task_id: str, account: Account) -> Task:
        answer, details = _read(response, account)
        task = observed_task(answer, details, task_id, account)
        if task.status is TaskStatus.EXPIRED:
            raise TaskNotFoundError(
                "DashScope does not know the task: it never did, or has forgotten it after 24 hours",
                ref=task.ref,
                status_code=response.status,
                code=task.raw_status,
                request_id=task.request_id,
            )
        return task

    def encode_list(self, page: PageRequest, account: Account) -> HttpRequest:
        # The slash stands in the documentation; the official SDK leaves it out.
        query = urlencode({"page_no": page.number, "page_size": page.size})
        return json_request("GET", f"{account.base_url}/tasks/?{query}", account, headers=workspace_headers(account))

    def decode_list(self, response: HttpResponse, page: PageRequest, account: Account) -> TaskPage:
        answer, details = _read(response, account)
        return listed_tasks(answer, details, page, account)

    def encode_cancel(self, task_id: str, account: Account) -> HttpRequest:
        return json_request(
            "POST", f"{_task_url(task_id, account)}/cancel", account, headers=workspace_headers(account)
        )

    def decode_cancel(self, response: HttpResponse, account: Account) -> bool:
        answer, details = _open(response)
        # The task must be PENDING, and between a look and a cancellation it may well have begun.
        if details.normal_code == _TOO_LATE:
            return False
        if refuses(response, answer, details):
            raise refusal_in(response, details, account)
        return True

    def verify_callback(self, message: HttpRequest, secrets: Sequence[str], now: datetime) -> None:
        """
        Hold the token of an event of EventBridge against *secrets*. It says who calls, and nothing of when.

        :raises CallbackRejectedError: it is none of them.
        """
        verify_token(message, secrets)

    def decode_callback(self, message: HttpRequest, account: Account) -> TaskRef:
        """Read an event of EventBridge, which says that a task has ended, and no more that could be relied on."""
        return account.ref(ended_task(read_callback(message)))


def _input(request: VideoRequest, media: list[dict[str, str]]) -> dict[str, Any]:
    fields = {"prompt": request.prompt, "media": media or None}
    return {name: value for name, value in fields.items() if value is not None}


def _media(request: VideoRequest) -> list[dict[str, str]]:
    match request:
        case ImageToVideo():
            return [_medium("first_frame", request.image)]
        case ReferenceToVideo():
            return [_medium("reference_image", image) for image in request.images]
        case VideoEdit():
            # The order is not documented; every example has the video first.
            images = [_medium("reference_image", image) for image in request.images]
            return [_medium("video", request.video), *images]
        case TextToVideo():
            return []


def _medium(kind: str, media: Media) -> dict[str, str]:
    assert isinstance(media, str), "the check lets nothing else pass"
    return {"type": kind, "url": media}


def _parameters(request: VideoRequest) -> dict[str, Any]:
    parameters = {
        "resolution": request.resolution,
        "ratio": getattr(request, "ratio", None),
        "duration": getattr(request, "duration", None),
        "watermark": request.watermark,
        "seed": request.seed,
        "audio_setting": getattr(request, "audio", None),
    }
    return {name: value for name, value in parameters.items() if value is not None}


def _task_url(task_id: str, account: Account) -> str:
    return f"{account.base_url}/tasks/{quote(task_id, safe='')}"


def _prompt_length(prompt: str) -> int:
    return len(prompt) + len(_CHINESE.findall(prompt))


def _open(response: HttpResponse) -> tuple[Mapping[str, Any], ErrorDetails]:
    answer: Mapping[str, Any] = {}
    try:
        answer = read_object(response)
    except InvalidResponseError:
        # Gateways answer an error with a page of their own. Its status is enough.
        if response.ok:
            raise
    return answer, read_error_details(answer, response)


def _read(response: HttpResponse, account: Account) -> tuple[Mapping[str, Any], ErrorDetails]:
    answer, details = _open(response)
    if refuses(response, answer, details):
        raise refusal_in(response, details, account)
    return answer, details
