"""
HappyHorse on Alibaba Cloud Model Studio, through its native HTTP API (DashScope): every mode in every version.

Written from https://help.aliyun.com/zh/model-studio/happyhorse-text-to-video-api-reference and its sibling pages (the
newest copies of mid and late 2026), not verified live. Where the pages disagree, the wider range is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from happyhorse_async.adapter import Account, Adapter, PageRequest, Submission, TaskPage, UploadFile, UploadPolicy
from happyhorse_async.adapter_kit import check_switch, has_no_content, json_request, read_callback
from happyhorse_async.capabilities import (
    AUDIO_SETTINGS,
    DURATIONS,
    MEGABYTE,
    Capabilities,
    MediaForm,
    ModelSpec,
    media_form,
)
from happyhorse_async.errors import InvalidResponseError, TaskNotFoundError
from happyhorse_async.messages import HttpRequest, HttpResponse
from happyhorse_async.request import ImageToVideo, Media, Mode, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest
from happyhorse_async.task import Task, TaskRef, TaskStatus
from happyhorse_async.timing import Limits, PollSchedule

from .errors import open_answer, read, refusal_in, refuses
from .events import ended_task, verify_token
from .limits import EDIT_REFERENCE, FIRST_FRAME, REFERENCE, SOURCE_VIDEO
from .prices import FREE_FAILURES, PRICES
from .regions import DEFAULT_REGION, REGIONS, check_workspace, find_base_url, is_tokyo, region_of, workspace_headers
from .responses import accepted_task, listed_tasks, observed_task
from .uploads import LIFETIME, policy_request, read_policy, upload_problem, upload_request, uploaded

_SUBMIT_PATH = "/services/aigc/video-generation/video-synthesis"

# The price list sells 480P for version 1.1 only.
_RESOLUTIONS = {"1.1": ("480P", "720P", "1080P"), "1.0": ("720P", "1080P")}
# The pages of April 2026 have the first five. Those of May, which document version 1.0 alone, have all nine.
_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4", "4:5", "5:4", "9:21", "21:9")

# 10 MB on the pages of April 2026, 20 MB on all later ones.
_IMAGE_SIZE = 20 * MEGABYTE
_IMAGE_FORMS = frozenset({MediaForm.URL, MediaForm.DATA_URI, MediaForm.OSS})
# `data:` URIs are documented for images only.
_VIDEO_FORMS = frozenset({MediaForm.URL, MediaForm.OSS})

# 7 MiB are 9.8 million characters: a shared text of errors caps a `data:` URI at 10 MiB. Larger ones are uploaded.
_INLINE_LIMIT = 7 * MEGABYTE

# A longer prompt is cut silently. A Chinese character counts double; how mixed text is counted is not documented.
_PROMPT_LIMIT = 5000
_CHINESE = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")

# The code of a cancellation that comes too late, as written in the tables of errors:
# https://help.aliyun.com/zh/model-studio/manage-asynchronous-tasks
_TOO_LATE = "unsupportedoperation"


_PICTURES = {Mode.I2V: FIRST_FRAME, Mode.R2V: REFERENCE}


def _models(mode: Mode, *, ratios: tuple[str, ...], prompt_required: bool, images: range) -> tuple[ModelSpec, ...]:
    return tuple(
        ModelSpec(
            mode=mode,
            version=version,
            reference_name="[Image 1]" if mode is Mode.R2V else None,
            model=f"happyhorse-{version}-{mode.value}",
            resolutions=resolutions,
            ratios=ratios,
            durations=DURATIONS,
            seed=True,
            watermark=True,
            prompt_required=prompt_required,
            images=images,
            image_forms=_IMAGE_FORMS,
            image_size=_IMAGE_SIZE,
            inline_limit=_INLINE_LIMIT if images.stop > 1 else None,
            optional_inline_limit=_IMAGE_SIZE if images.stop > 1 else None,
            upload_form=MediaForm.OSS if images.stop > 1 else None,
            picture_limits=_PICTURES.get(mode),
        )
        for version, resolutions in _RESOLUTIONS.items()
    )


# Video editing exists only in version 1.0; some resellers list a 1.1.
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
    image_size=_IMAGE_SIZE,
    video_forms=_VIDEO_FORMS,
    inline_limit=_INLINE_LIMIT,
    optional_inline_limit=_IMAGE_SIZE,
    upload_form=MediaForm.OSS,
    picture_limits=EDIT_REFERENCE,
    video_limits=SOURCE_VIDEO,
)


class DashScopeAdapter(Adapter):
    """
    Alibaba Cloud Model Studio, HappyHorse's maker.

    The option `workspace`, an id such as `llm-abc123`, selects the host of that workspace in the region; Frankfurt and
    Tokyo have no other host. With a `base_url` it is sent in a header instead. `inline_media = true` sends pictures of
    up to 20 MB inside a request, where only 7 MiB are known to be taken: for regions without storage.
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
    option_names: ClassVar[frozenset[str]] = frozenset({"workspace", "inline_media"})
    poll = PollSchedule(interval=15)
    # 20 queries per second for an account, all its keys together, and 5 submits per second for a model:
    # https://help.aliyun.com/zh/model-studio/rate-limit
    # Of each model 5 tasks run concurrently and up to 500 more wait as PENDING, by the model catalogue:
    # async_user_concurrency_limit and async_user_queue_limit.
    limits = Limits(queries_per_second=18, submits_per_second=4.5, max_running=5, max_queued=500)
    limits_per_model = True
    # InternalError.Timeout: "no result within 3 hours", https://help.aliyun.com/zh/model-studio/error-code
    execution_timeout = 3 * 3600.0
    # No task runs longer than 3 h, and results are documented for at least 24 h; the pages disagree whether that counts
    # from the submit or from the end.
    task_ttl = 24 * 3600.0

    upload_lifetime = LIFETIME
    prices = PRICES
    default_resolution = "1080P"
    free_failures = FREE_FAILURES

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
        check_switch(options or {}, "inline_media", provider=provider)
        return super().account(provider=provider, api_key=api_key, base_url=base_url, region=region, options=options)

    def base_url(self, region: str | None, options: Mapping[str, Any], *, provider: str) -> str:
        return find_base_url(region, options, provider=provider)

    def price_region(self, account: Account) -> str | None:
        return region_of(account)

    def warnings(self, submission: Submission, account: Account) -> tuple[str, ...]:
        request = submission.request
        found: list[str] = []
        if request.resolution is None and "resolution" not in request.extra:
            found.append("resolution is not set: DashScope makes 1080P by default, the costliest tier")
        if request.watermark is None and "watermark" not in request.extra:
            found.append("watermark is not set: DashScope draws one by default")
        length = _prompt_length(request.prompt or "")
        if length > _PROMPT_LIMIT:
            found.append(
                f"the prompt counts {length} characters, a Chinese one as two: DashScope silently cuts it after "
                f"{_PROMPT_LIMIT}"
            )
        if submission.spec.version == "1.0" and request.mode is not Mode.EDIT and is_tokyo(account):
            # https://help.aliyun.com/zh/model-studio/model-pricing, mid 2026
            found.append("the price list for Tokyo has no 1.0 model except the video edit")
        return tuple(found)

    def encode_submit(self, submission: Submission, account: Account) -> HttpRequest:
        request = submission.request
        media = _media(request)
        body = {
            "model": submission.spec.model,
            "input": _input(request, media),
            # A missing object is an error by the list of codes, so an empty one is sent.
            "parameters": {**_parameters(request), **request.extra},
        }
        headers = {"X-DashScope-Async": "enable", **workspace_headers(account)}
        if any(media_form(medium["url"]) is MediaForm.OSS for medium in media):
            # https://help.aliyun.com/zh/model-studio/get-temporary-file-url
            headers["X-DashScope-OssResourceResolve"] = "enable"
        return json_request("POST", account.base_url + _SUBMIT_PATH, account, body=body, headers=headers)

    def decode_submit(self, response: HttpResponse, account: Account) -> Task:
        answer, details = read(response, account)
        try:
            return accepted_task(answer, details, account)
        except InvalidResponseError as error:
            # This id identifies a submit without a known task: to the vendor's support, and in the rows of the list.
            error.request_id = details.request_id
            raise

    def upload_problem(self, account: Account) -> str | None:
        return upload_problem(account)

    def encode_upload_policy(self, file: UploadFile, account: Account) -> HttpRequest:
        return policy_request(file.model, account)

    def decode_upload_policy(self, response: HttpResponse, account: Account) -> UploadPolicy:
        answer, _ = read(response, account)
        return read_policy(answer.get("data"))

    def encode_upload(self, file: UploadFile, policy: UploadPolicy | None, account: Account) -> HttpRequest:
        return upload_request(file, _given(policy))

    def decode_upload(
        self, response: HttpResponse, file: UploadFile, policy: UploadPolicy | None, account: Account
    ) -> str:
        return uploaded(response, file, _given(policy))

    def encode_fetch(self, task_id: str, account: Account) -> HttpRequest:
        return json_request("GET", _task_url(task_id, account), account, headers=workspace_headers(account))

    def decode_fetch(self, response: HttpResponse, task_id: str, account: Account) -> Task:
        answer, details = read(response, account)
        task = observed_task(answer, details, task_id, account)
        if task.status is TaskStatus.EXPIRED:
            raise TaskNotFoundError(
                "DashScope does not know the task: the id is wrong, or older than 24 hours",
                ref=task.ref,
                status_code=response.status,
                code=task.raw_status,
                request_id=task.request_id,
            )
        return task

    def encode_list(self, page: PageRequest, account: Account) -> HttpRequest:
        # The documentation has the trailing slash; the official SDK leaves it out.
        query = urlencode({"page_no": page.number, "page_size": page.size})
        return json_request("GET", f"{account.base_url}/tasks/?{query}", account, headers=workspace_headers(account))

    def decode_list(self, response: HttpResponse, page: PageRequest, account: Account) -> TaskPage:
        answer, details = read(response, account)
        return listed_tasks(answer, details, page, account)

    def encode_cancel(self, task_id: str, account: Account) -> HttpRequest:
        return json_request(
            "POST", f"{_task_url(task_id, account)}/cancel", account, headers=workspace_headers(account)
        )

    def decode_cancel(self, response: HttpResponse, account: Account) -> bool:
        if has_no_content(response):
            return True
        answer, details = open_answer(response)
        # The task must be PENDING. It may have started after the last poll.
        if details.normal_code == _TOO_LATE:
            return False
        if refuses(response, answer, details):
            raise refusal_in(response, answer, details, account)
        return True

    def verify_callback(self, message: HttpRequest, secrets: Sequence[str], now: datetime) -> None:
        """
        Verify the token of an EventBridge event. It authenticates the sender, but not the time.

        :raises CallbackRejectedError: it is none of *secrets*.
        """
        verify_token(message, secrets)

    def decode_callback(self, message: HttpRequest, account: Account) -> TaskRef:
        """Decode an EventBridge event. It tells that a task has ended; nothing else in it is reliable."""
        return account.ref(ended_task(read_callback(message)), path="data.task_id")


def _given(policy: UploadPolicy | None) -> UploadPolicy:
    assert policy is not None, "every upload begins with a policy"
    return policy


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
