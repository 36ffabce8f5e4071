"""
imini Open Platform: one model name for every mode. The server infers the mode from the media in the request.

Written from its documentation and its published integration guide, never run against the live service:

- fields: https://docs.imini.ai/en/api-reference/videos/happyhorse-1-0
- the status request: https://docs.imini.ai/en/api-reference/videos/task-query
- keys, base URL and errors: https://docs.imini.ai/en/guide/getting-started
- error codes and advice on polling: https://github.com/imini-ai/imini-api-integration-skill

No page documents a list of tasks, a cancellation, a callback, an idempotency key, a seed or a watermark.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from attrs import evolve

from happyhorse_async.adapter import Account, Adapter, Submission
from happyhorse_async.adapter_kit import json_request
from happyhorse_async.capabilities import AUDIO_SETTINGS, DURATIONS, MEGABYTE, Capabilities, MediaForm, ModelSpec
from happyhorse_async.media.formats import MediaFormat
from happyhorse_async.media.limits import PictureLimits
from happyhorse_async.messages import HttpRequest, HttpResponse
from happyhorse_async.request import ImageToVideo, Mode, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest
from happyhorse_async.task import Task
from happyhorse_async.timing import Limits, PollSchedule

from .errors import read
from .responses import accepted_task, observed_task

_MODEL = "dashscope/happyhorse-1.0"
_RESOLUTIONS = ("720P", "1080P")
_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4")
_PROMPT_LIMIT = 5000
_IMAGE_SIZE = 10 * MEGABYTE
_IMAGE_FORMS = frozenset({MediaForm.URL, MediaForm.DATA_URI})

# Its clause on the first frame has the size "per image", for references too.
_FIRST_FRAME = PictureLimits(
    formats=frozenset({MediaFormat.JPEG, MediaFormat.PNG, MediaFormat.WEBP}),
    source="https://docs.imini.ai/en/api-reference/videos/happyhorse-1-0",
    megabytes=10,
    side=300,
    ratio=2.5,
)
# A ratio of references is only stated by a partner of Alibaba's.
_REFERENCE = evolve(_FIRST_FRAME, side=400, ratio=None, doubted_ratio=2.5)
# For these, the figures are only DashScope's, behind imini.
_EDIT_REFERENCE = evolve(_FIRST_FRAME, is_hearsay=True)

_IMAGE_TOKEN = re.compile(r"\[image ?\d+\]", re.IGNORECASE)


class IminiAdapter(Adapter):
    """HappyHorse 1.0 in four modes through the imini Open Platform."""

    name = "imini"
    title = "imini"
    documentation = "https://docs.imini.ai/en/api-reference/videos/happyhorse-1-0"
    api_key_env = "IMINI_API_KEY"
    # The path is part of it.
    default_base_url = "https://openapi.imini.ai/imini/router"
    default_resolution = "1080P"
    capabilities = Capabilities(
        models=(
            ModelSpec(
                mode=Mode.T2V,
                version="1.0",
                model=_MODEL,
                resolutions=_RESOLUTIONS,
                ratios=_RATIOS,
                durations=DURATIONS,
                prompt_limit=_PROMPT_LIMIT,
            ),
            ModelSpec(
                mode=Mode.I2V,
                version="1.0",
                model=_MODEL,
                resolutions=_RESOLUTIONS,
                durations=DURATIONS,
                prompt_required=False,
                prompt_limit=_PROMPT_LIMIT,
                images=range(1, 2),
                image_forms=_IMAGE_FORMS,
                image_size=_IMAGE_SIZE,
                inline_limit=_IMAGE_SIZE,
                picture_limits=_FIRST_FRAME,
            ),
            ModelSpec(
                mode=Mode.R2V,
                reference_name="character1",
                version="1.0",
                model=_MODEL,
                resolutions=_RESOLUTIONS,
                ratios=_RATIOS,
                durations=DURATIONS,
                prompt_limit=_PROMPT_LIMIT,
                images=range(1, 10),
                image_forms=_IMAGE_FORMS,
                image_size=_IMAGE_SIZE,
                inline_limit=_IMAGE_SIZE,
                picture_limits=_REFERENCE,
            ),
            ModelSpec(
                mode=Mode.EDIT,
                version="1.0",
                model=_MODEL,
                resolutions=_RESOLUTIONS,
                audio=AUDIO_SETTINGS,
                prompt_limit=_PROMPT_LIMIT,
                images=range(6),
                image_forms=_IMAGE_FORMS,
                image_size=_IMAGE_SIZE,
                inline_limit=_IMAGE_SIZE,
                picture_limits=_EDIT_REFERENCE,
            ),
        ),
    )
    # The guide's advice for videos: 5 s, growing by half to 30 s.
    poll = PollSchedule(interval=5, max_interval=30)
    # An "account's rate quota" is documented, its figures are not, and no header announces a 429. With the poll
    # schedule above this is enough for 150 tasks in flight.
    limits = Limits(queries_per_second=5, submits_per_second=2)
    # Task ids expire; the documentation does not say when. Upstream, at DashScope, it is after 24 hours.
    task_ttl = 24 * 3600.0

    def warnings(self, submission: Submission, account: Account) -> tuple[str, ...]:
        request = submission.request
        found = ["imini has no watermark option and does not say whether the video has one"]
        if request.resolution is None:
            found.append("resolution is not given: imini makes 1080P by default")
        if isinstance(request, ReferenceToVideo) and _IMAGE_TOKEN.search(request.prompt):
            found.append("imini's prompts name the reference images character1, character2 and so on, not [Image 1]")
        return tuple(found)

    def encode_submit(self, submission: Submission, account: Account) -> HttpRequest:
        fields = {"model": submission.spec.model, **_fields(submission.request)}
        return json_request("POST", f"{account.base_url}/v1/videos/generate", account, body=fields)

    def decode_submit(self, response: HttpResponse, account: Account) -> Task:
        return accepted_task(read(response, account), response, account)

    def encode_fetch(self, task_id: str, account: Account) -> HttpRequest:
        url = f"{account.base_url}/v1/videos/tasks/{quote(task_id, safe='')}"
        return json_request("GET", url, account)

    def decode_fetch(self, response: HttpResponse, task_id: str, account: Account) -> Task:
        return observed_task(read(response, account), task_id, response, account)


def _fields(request: VideoRequest) -> dict[str, Any]:
    fields: dict[str, Any] = {"prompt": request.prompt, "resolution": request.resolution}
    extra_params = dict(request.extra)
    if isinstance(request, TextToVideo | ReferenceToVideo):
        fields["aspect_ratio"] = request.ratio
    if not isinstance(request, VideoEdit):
        fields["duration"] = request.duration
    if isinstance(request, ImageToVideo):
        fields["reference_images"] = [{"url": request.image, "reference_type": "first_frame"}]
    if isinstance(request, ReferenceToVideo | VideoEdit):
        fields["reference_images"] = [{"url": image, "reference_type": "asset"} for image in request.images] or None
    if isinstance(request, VideoEdit):
        fields["reference_videos"] = [{"url": request.video}]
        if request.audio is not None:
            extra_params = {"audio_setting": request.audio, **extra_params}
    fields["extra_params"] = extra_params or None
    return {name: value for name, value in fields.items() if value is not None}
