"""
The client side of HiAPI: HappyHorse 1.1 from text, a first frame or references, and 1.0 from text.

Written from its documentation and the vendor's own client, never run against the live service:

- tasks, the list and callbacks: https://docs.hiapi.ai/async-api/
- a page for each model: https://docs.hiapi.ai/models/video/happyhorse-1-1-r2v/ and its like
- the idempotency key and `route`: https://github.com/HiAPIAI/hiapi-python

It refuses unknown fields, so nothing is sent that the model's page does not document.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from attrs import evolve

from happyhorse_async.adapter import Account, Adapter, PageRequest, Submission, TaskPage
from happyhorse_async.adapter_kit import check_switch, json_request, read_callback
from happyhorse_async.capabilities import DURATIONS, MEGABYTE, Capabilities, ModelSpec
from happyhorse_async.errors import ConfigurationError, InvalidRequestError
from happyhorse_async.media.formats import MediaFormat
from happyhorse_async.media.limits import PictureLimits
from happyhorse_async.messages import HttpRequest, HttpResponse
from happyhorse_async.request import ImageToVideo, Mode, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest
from happyhorse_async.task import Task
from happyhorse_async.timing import Limits, PollSchedule, RateLimitWindow, rate_limit_window

from .errors import read, request_id
from .responses import accepted_task, listed_tasks, observed_task
from .signature import verify

_LARGEST_PAGE = 100
_WIRE_OPTIONS = ("route", "storage")

_RESOLUTIONS = ("720P", "1080P")
_RATIOS = ("16:9", "9:16", "3:4", "4:3", "4:5", "5:4", "1:1", "9:21", "21:9")

# "Request bodies are limited to 10 MB": https://docs.hiapi.ai/api-reference/rate-limits, older than the task interface.
_LARGEST_BODY = 10 * 10**6
# In base64, a picture has a third more.
_INLINE_LIMIT = 7 * MEGABYTE

_PAGES = "https://docs.hiapi.ai/models/video/happyhorse-1-1-"
_FIRST_FRAME = PictureLimits(
    formats=frozenset({MediaFormat.JPEG, MediaFormat.PNG, MediaFormat.WEBP}),
    source=f"{_PAGES}i2v/",
    megabytes=20,
    side=300,
    # No page of its own has a ratio; this is upstream's.
    doubted_ratio=2.5,
)
_REFERENCE = evolve(_FIRST_FRAME, source=f"{_PAGES}r2v/", side=400)


class HiAPIAdapter(Adapter):
    """
    The adapter of HiAPI, https://docs.hiapi.ai/async-api/.

    Options: `storage="persistent"` keeps the output beyond its few days, which is billed; `route` names one of the
    provider's routes to the model, by default `"default"`; `inline_media = true` sends local pictures inside a request,
    which no page documents for HappyHorse.
    """

    name = "hiapi"
    title = "HiAPI"
    documentation = "https://docs.hiapi.ai/async-api/"
    api_key_env = "HIAPI_API_KEY"
    capabilities = Capabilities(
        # A field that is not in a model's table is refused: watermark everywhere, and seed except with 1.0.
        models=(
            # https://www.hiapi.ai/en/blog/happyhorse-1-1-text-to-video-hiapi-tutorial
            ModelSpec(
                mode=Mode.T2V,
                version="1.1",
                model="happyhorse-1.1/text-to-video",
                resolutions=_RESOLUTIONS,
                ratios=_RATIOS,
                durations=DURATIONS,
            ),
            # https://docs.hiapi.ai/models/video/happyhorse-1-1-i2v/
            ModelSpec(
                mode=Mode.I2V,
                version="1.1",
                model="happyhorse-1.1/image-to-video",
                resolutions=_RESOLUTIONS,
                durations=DURATIONS,
                prompt_required=False,
                images=range(1, 2),
                optional_inline_limit=_INLINE_LIMIT,
                inline_body_limit=_LARGEST_BODY,
                picture_limits=_FIRST_FRAME,
            ),
            # https://docs.hiapi.ai/models/video/happyhorse-1-1-r2v/
            ModelSpec(
                mode=Mode.R2V,
                reference_name="[Image 1]",
                version="1.1",
                model="happyhorse-1.1/reference-to-video",
                resolutions=_RESOLUTIONS,
                ratios=_RATIOS,
                durations=DURATIONS,
                images=range(1, 10),
                optional_inline_limit=_INLINE_LIMIT,
                inline_body_limit=_LARGEST_BODY,
                picture_limits=_REFERENCE,
            ),
            # https://docs.hiapi.ai/models/video/happyhorse-1-0/ has 3 to 15 seconds; an older copy of it and the
            # vendor's skill have only 3, 5, 8, 10 and 15.
            ModelSpec(
                mode=Mode.T2V,
                version="1.0",
                model="happyhorse-1-0",
                resolutions=_RESOLUTIONS,
                ratios=("1:1", "16:9", "3:4", "4:3", "9:16"),
                durations=DURATIONS,
                seed=True,
            ),
        ),
        can_list=True,
        list_is_live=True,
        list_has_results=True,
        callbacks=True,
        signed_callbacks=True,
        idempotent=True,
    )
    default_base_url = "https://api.hiapi.ai"
    option_names = frozenset({*_WIRE_OPTIONS, "inline_media"})
    # The vendor's client polls every 3 s; its image-to-video guide suggests 5 s and warns that polls count as requests.
    poll = PollSchedule(interval=5)
    # https://docs.hiapi.ai/api-reference/rate-limits, older than the task interface, has 60 requests a minute and 10
    # concurrent ones, varying by model and tier. One request a second would slow an account of a higher tier down for
    # good; for a lower tier the headers of each answer tell how much is left. So only the concurrency is adopted, in
    # two parts.
    limits = Limits(queries_per_second=10, submits_per_second=10, max_concurrent_queries=6, max_concurrent_submits=4)
    # How long a task is known is not documented, but its output stays for up to 7 days. Giving up earlier could lose a
    # paid video.
    task_ttl = 7 * 24 * 3600.0
    default_resolution = "1080P"

    def account(
        self,
        *,
        provider: str,
        api_key: str,
        base_url: str | None = None,
        region: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Account:
        """
        Return the account that requests are made for. As in the vendor's client, a *base_url* may end in `/v1`.

        :raises ConfigurationError: an option is unknown or has a value that the provider does not document.
        """
        account = super().account(provider=provider, api_key=api_key, base_url=base_url, region=region, options=options)
        _check_options(account)
        return evolve(account, base_url=account.base_url.removesuffix("/v1").rstrip("/"))

    def check(self, request: VideoRequest, *, provider: str, callback_url: str | None = None) -> ModelSpec:
        """
        Choose the model for *request* and check every option against what the model takes.

        :raises UnsupportedFeatureError: the provider cannot express the request.
        :raises InvalidRequestError: a value is outside the documented range, or the callback URL is not HTTPS.
        """
        spec = super().check(request, provider=provider, callback_url=callback_url)
        if callback_url is not None and not _is_callback_url(callback_url):
            raise InvalidRequestError(f"callback_url must be an https URL, not {callback_url!r}", provider=provider)
        return spec

    def warnings(self, submission: Submission, account: Account) -> tuple[str, ...]:
        """Warn that the default resolution is the costlier one."""
        request = submission.request
        if request.resolution is not None or "resolution" in request.extra:
            return ()
        return (f"resolution is not set: {self.title} then makes 1080P, which costs more than 720P",)

    def encode_submit(self, submission: Submission, account: Account) -> HttpRequest:
        """
        Encode the paid request.

        The idempotency key is the job's id. For 24 hours the provider compares the raw body, and answers the same bytes
        with the first task: https://github.com/HiAPIAI/hiapi-python
        """
        body: dict[str, Any] = {"model": submission.spec.model, "input": _input(submission.request)}
        if submission.callback_url is not None:
            body["callback"] = {"url": submission.callback_url, "when": "final"}
        options = {name: account.options.get(name) for name in _WIRE_OPTIONS}
        body |= {name: value for name, value in options.items() if value is not None}
        return json_request(
            "POST",
            f"{account.base_url}/v1/tasks",
            account,
            body=body,
            headers={"Idempotency-Key": submission.job_id},
        )

    def decode_submit(self, response: HttpResponse, account: Account) -> Task:
        """
        Decode the answer to the paid request: the task's id and nothing else, https://docs.hiapi.ai/async-api/create/.

        :raises HappyHorseError: the submit was refused.
        """
        envelope = read(response, account)
        return accepted_task(envelope, account, call_id=request_id(envelope, response))

    def encode_fetch(self, task_id: str, account: Account) -> HttpRequest:
        """Encode the status request for one task."""
        return json_request("GET", f"{account.base_url}/v1/tasks/{quote(task_id, safe='')}", account)

    def decode_fetch(self, response: HttpResponse, task_id: str, account: Account) -> Task:
        """
        Decode the answer to the status request for *task_id*, https://docs.hiapi.ai/async-api/detail/.

        :raises TaskNotFoundError: the task does not exist, or belongs to another account.
        """
        envelope = read(response, account)
        call_id = request_id(envelope, response)
        return observed_task(envelope.data, account, task_id=task_id, call_id=call_id, root="data")

    def rate_limit(self, response: HttpResponse) -> RateLimitWindow | None:
        """Read the headers of https://docs.hiapi.ai/api-reference/rate-limits. Polls count like submits."""
        return rate_limit_window(response, shared=True, period=60.0)

    def encode_list(self, page: PageRequest, account: Account) -> HttpRequest:
        """Encode the request for a page of tasks. The size is always sent, since the sources differ on its default."""
        query = urlencode({"page": page.number, "size": min(page.size, _LARGEST_PAGE)})
        return json_request("GET", f"{account.base_url}/v1/tasks?{query}", account)

    def decode_list(self, response: HttpResponse, page: PageRequest, account: Account) -> TaskPage:
        """Decode a page of the account's tasks, outputs included: https://docs.hiapi.ai/async-api/list/."""
        return listed_tasks(read(response, account), page, account, largest_page=_LARGEST_PAGE)

    def verify_callback(self, message: HttpRequest, secrets: Sequence[str], now: datetime) -> None:
        """
        Verify the signature of a callback.

        :raises CallbackRejectedError: none of *secrets* made the signature, or it is more than five minutes old.
        """
        verify(message, secrets, now)

    def decode_callback(self, message: HttpRequest, account: Account) -> Task:
        """Decode a callback, whose body is the bare task: https://docs.hiapi.ai/async-api/."""
        return observed_task(read_callback(message), account)


def _check_options(account: Account) -> None:
    check_switch(account.options, "inline_media", provider=account.provider)
    storage, route = account.options.get("storage"), account.options.get("route")
    if storage not in (None, "persistent"):
        raise ConfigurationError(
            f"storage must be 'persistent' or be left out, not {storage!r}", provider=account.provider
        )
    # An empty route means the default route, but changes the raw body that the idempotency key is compared by.
    if route is not None and not (isinstance(route, str) and route.strip()):
        raise ConfigurationError(
            f"route must be the name of a route or be left out, not {route!r}", provider=account.provider
        )


def _is_callback_url(url: str) -> bool:
    # The model pages require HTTPS, the create page "http(s)". Plain HTTP is allowed on loopback, for the emulator.
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return host != "" and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _input(request: VideoRequest) -> dict[str, Any]:
    given: dict[str, Any] = {"prompt": request.prompt}
    if isinstance(request, ImageToVideo):
        given["image_urls"] = [request.image]
    if isinstance(request, ReferenceToVideo):
        # The name is singular, the value a list.
        given["reference_image"] = list(request.images)
    given["resolution"] = request.resolution.lower() if request.resolution else None
    if isinstance(request, TextToVideo | ReferenceToVideo):
        given["aspect_ratio"] = request.ratio
    if not isinstance(request, VideoEdit):
        given["duration"] = request.duration
    given["seed"] = request.seed
    return {name: value for name, value in given.items() if value is not None} | dict(request.extra)
