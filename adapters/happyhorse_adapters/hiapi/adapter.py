"""
The client side of HiAPI: HappyHorse 1.1 from text, a first frame or references, and 1.0 from text.

Written from its documentation and the vendor's own client, never run against the live service:

- tasks, the list and callbacks: https://docs.hiapi.ai/async-api/
- a page for each model: https://docs.hiapi.ai/models/video/happyhorse-1-1-r2v/ and its like
- the idempotency key and `route`: https://github.com/HiAPIAI/hiapi-python

A field it does not know it refuses, so nothing is sent that the model's page does not have.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from attrs import define, evolve

from happyhorse_async.adapter import Account, Adapter, PageRequest, Submission, TaskPage
from happyhorse_async.adapter_kit.decoding import Lax, from_epoch, read_callback, structure
from happyhorse_async.adapter_kit.http import json_request
from happyhorse_async.capabilities import DURATIONS, Capabilities, ModelSpec
from happyhorse_async.errors import ConfigurationError, InvalidRequestError, InvalidResponseError
from happyhorse_async.messages import HttpRequest, HttpResponse
from happyhorse_async.request import ImageToVideo, Mode, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest
from happyhorse_async.task import Task, TaskStatus, Video
from happyhorse_async.timing import Limits, PollSchedule, RateLimitWindow, rate_limit_window

from .errors import WireError, failure, read, request_id
from .signature import verify

_LARGEST_PAGE = 100

# https://docs.hiapi.ai/async-api/detail/ has the first five. The vendor's integration guide advises to take the next
# four, which nobody has seen, for an end as well: https://github.com/HiAPIAI/hiapi-skills
# The last two stand on a page that contradicts all others, and can mean nothing else:
# https://www.hiapi.ai/en/blog/hiapi-task-hang-timeout-diagnosis
_STATUSES = {
    "queued": TaskStatus.PENDING,
    "handling": TaskStatus.RUNNING,
    "archiving": TaskStatus.RUNNING,
    "success": TaskStatus.SUCCEEDED,
    "fail": TaskStatus.FAILED,
    "failed": TaskStatus.FAILED,
    "error": TaskStatus.FAILED,
    "cancelled": TaskStatus.CANCELED,
    "canceled": TaskStatus.CANCELED,
    "pending": TaskStatus.PENDING,
    "succeeded": TaskStatus.SUCCEEDED,
}

_FAILURES = (TaskStatus.FAILED, TaskStatus.CANCELED)

# What an output entry may be beside a video. The list is open: https://docs.hiapi.ai/async-api/detail/
_NOT_VIDEO = frozenset({"image", "audio", "first_frame", "last_frame", "thumbnail"})
_COVERS = ("thumbnail", "first_frame")

_RESOLUTIONS = ("720P", "1080P")
_RATIOS = ("16:9", "9:16", "3:4", "4:3", "4:5", "5:4", "1:1", "9:21", "21:9")


@define(kw_only=True)
class _Created:
    taskId: str  # noqa: N815 - the provider's spelling


@define(kw_only=True)
class _Output:
    url: Lax[str] = None
    type: Lax[str] = None
    expireAt: Lax[float] = None  # noqa: N815 - the provider's spelling


@define(kw_only=True)
class _TaskObject:
    """A task in an answer to a query, in a list, and as the whole body of a callback."""

    taskId: Lax[str] = None  # noqa: N815 - the provider's spelling
    status: str
    model: Lax[str] = None
    created: Lax[float] = None
    completed: Lax[float] = None
    output: Any = None
    error: Lax[WireError] = None


@define(kw_only=True)
class _List:
    tasks: list[Any] | None
    size: Lax[int] = None
    total: Lax[int] = None


class HiAPIAdapter(Adapter):
    """
    The adapter of HiAPI, https://docs.hiapi.ai/async-api/.

    Options: `storage="persistent"` keeps the output beyond its few days, at a price for storage;
    `route` names one of the provider's ways to the model, `"default"` being the one it takes without.
    """

    name = "hiapi"
    title = "HiAPI"
    documentation = "https://docs.hiapi.ai/async-api/"
    api_key_env = "HIAPI_API_KEY"
    capabilities = Capabilities(
        # What is not in a model's table is refused as unknown: no watermark anywhere, and a seed on 1.0 alone.
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
            ),
            # https://docs.hiapi.ai/models/video/happyhorse-1-1-r2v/
            ModelSpec(
                mode=Mode.R2V,
                version="1.1",
                model="happyhorse-1.1/reference-to-video",
                resolutions=_RESOLUTIONS,
                ratios=_RATIOS,
                durations=DURATIONS,
                images=range(1, 10),
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
    option_names = frozenset({"storage", "route"})
    # The vendor's client looks every 3 s; its image-to-video guide suggests 5 s and warns that looks count as requests.
    poll = PollSchedule(interval=5)
    # https://docs.hiapi.ai/api-reference/rate-limits, older than the task interface, has 60 requests a minute and 10 at
    # once, and says that both vary by model and tier. One request a second would stall an account of a higher tier for
    # good; one of a lower tier is told by the headers of every answer how much is left, and slows down before it is
    # refused. So only the concurrency is taken over, in two parts.
    limits = Limits(queries_per_second=10, submits_per_second=10, max_concurrent_queries=6, max_concurrent_submits=4)
    # How long a task is remembered is not documented, but its output stays for up to 7 days. To give up earlier could
    # lose a video that was paid for.
    task_ttl = 7 * 24 * 3600.0

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
        Say where requests go and in whose name. As in the vendor's client, a *base_url* may end in `/v1`.

        :raises ConfigurationError: an option is unknown or has a value that the provider does not document.
        """
        account = super().account(provider=provider, api_key=api_key, base_url=base_url, region=region, options=options)
        _check_options(account)
        return evolve(account, base_url=account.base_url.removesuffix("/v1").rstrip("/"))

    def check(self, request: VideoRequest, *, provider: str, callback_url: str | None = None) -> ModelSpec:
        """
        Find the model for *request* and hold every option against what it takes.

        :raises UnsupportedFeatureError: the provider cannot express it.
        :raises InvalidRequestError: a value is outside what the provider documents; a callback URL that is not HTTPS.
        """
        spec = super().check(request, provider=provider, callback_url=callback_url)
        if callback_url is not None and not _is_callback_url(callback_url):
            raise InvalidRequestError(f"callback_url must be an https URL, not {callback_url!r}", provider=provider)
        return spec

    def warnings(self, submission: Submission, account: Account) -> tuple[str, ...]:
        """Say that the default resolution is the costlier one."""
        request = submission.request
        if request.resolution is not None or "resolution" in request.extra:
            return ()
        return (f"resolution is not set: {self.title} then makes 1080P, which costs more than 720P",)

    def encode_submit(self, submission: Submission, account: Account) -> HttpRequest:
        """
        Write the paid request.

        The idempotency key is the job's id. The provider compares the raw body for 24 hours and answers the same bytes
        with the first task: https://github.com/HiAPIAI/hiapi-python
        """
        body: dict[str, Any] = {"model": submission.spec.model, "input": _input(submission.request)}
        if submission.callback_url is not None:
            body["callback"] = {"url": submission.callback_url, "when": "final"}
        body |= {name: value for name, value in sorted(account.options.items()) if value is not None}
        return json_request(
            "POST",
            f"{account.base_url}/v1/tasks",
            account,
            body=body,
            headers={"Idempotency-Key": submission.job_id},
        )

    def decode_submit(self, response: HttpResponse, account: Account) -> Task:
        """
        Read the answer to the paid request: the task's id and nothing else, https://docs.hiapi.ai/async-api/create/.

        :raises HappyHorseError: a refusal.
        """
        envelope = read(response, account)
        created = structure(envelope.data, _Created, root="data")
        if not created.taskId:
            raise InvalidResponseError("the answer names no task", path="data.taskId", provider=account.provider)
        return Task(
            ref=account.ref(created.taskId),
            status=TaskStatus.PENDING,
            request_id=request_id(envelope, response),
            raw=envelope.data or {},
        )

    def encode_fetch(self, task_id: str, account: Account) -> HttpRequest:
        """Write a query of one task."""
        return json_request("GET", f"{account.base_url}/v1/tasks/{quote(task_id, safe='')}", account)

    def decode_fetch(self, response: HttpResponse, task_id: str, account: Account) -> Task:
        """
        Read the answer to a query of *task_id*, https://docs.hiapi.ai/async-api/detail/.

        :raises TaskNotFoundError: there is no such task, or it is another account's.
        """
        envelope = read(response, account)
        call_id = request_id(envelope, response)
        return _read_task(envelope.data, account, task_id=task_id, call_id=call_id, root="data")

    def rate_limit(self, response: HttpResponse) -> RateLimitWindow | None:
        """Read the headers of https://docs.hiapi.ai/api-reference/rate-limits. Looks count like submits."""
        return rate_limit_window(response, shared=True)

    def encode_list(self, page: PageRequest, account: Account) -> HttpRequest:
        """Write a query of the account's tasks. The size is always sent, since the sources differ on its default."""
        query = urlencode({"page": page.number, "size": min(page.size, _LARGEST_PAGE)})
        return json_request("GET", f"{account.base_url}/v1/tasks?{query}", account)

    def decode_list(self, response: HttpResponse, page: PageRequest, account: Account) -> TaskPage:
        """Read a page of the account's tasks, outputs included: https://docs.hiapi.ai/async-api/list/."""
        envelope = read(response, account)
        listed = structure(envelope.data, _List, root="data")
        rows = listed.tasks or []
        # A size out of range is replaced without a word; the answer has the one that was used. Where it has neither
        # that nor a total, only an empty page is surely the last.
        size = listed.size or min(page.size, _LARGEST_PAGE)
        more = len(rows) >= (listed.size or 1) if listed.total is None else page.number * size < listed.total
        return TaskPage(
            tasks=tuple(_readable_tasks(rows, account)),
            next=evolve(page, number=page.number + 1) if rows and more else None,
            size=size,
        )

    def verify_callback(self, message: HttpRequest, secrets: Sequence[str], now: datetime) -> None:
        """
        Hold the signature of a callback against *secrets*.

        :raises CallbackRejectedError: none of them has signed it, or not within five minutes.
        """
        verify(message, secrets, now)

    def decode_callback(self, message: HttpRequest, account: Account) -> Task:
        """Read a callback, whose body is the bare task: https://docs.hiapi.ai/async-api/."""
        return _read_task(read_callback(message), account)


def _check_options(account: Account) -> None:
    storage, route = account.options.get("storage"), account.options.get("route")
    if storage not in (None, "persistent"):
        raise ConfigurationError(
            f"storage must be 'persistent' or be left out, not {storage!r}", provider=account.provider
        )
    # An empty route means the default one, but the raw body is what the idempotency key is compared by.
    if route is not None and not (isinstance(route, str) and route.strip()):
        raise ConfigurationError(
            f"route must be the name of a route or be left out, not {route!r}", provider=account.provider
        )


def _is_callback_url(url: str) -> bool:
    # The model pages ask for HTTPS, the create page for "http(s)". Plain HTTP stays on this machine: for the emulator.
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
        # Singular, and a list all the same.
        given["reference_image"] = list(request.images)
    given["resolution"] = request.resolution.lower() if request.resolution else None
    if isinstance(request, TextToVideo | ReferenceToVideo):
        given["aspect_ratio"] = request.ratio
    if not isinstance(request, VideoEdit):
        given["duration"] = request.duration
    given["seed"] = request.seed
    return {name: value for name, value in given.items() if value is not None} | dict(request.extra)


def _readable_tasks(rows: Iterable[Any], account: Account) -> Iterator[Task]:
    for row in rows:
        # The list is the whole account's, so it may hold what this library never asked for.
        with suppress(InvalidResponseError):
            yield _read_task(row, account)


def _read_task(
    data: Any, account: Account, *, task_id: str | None = None, call_id: str | None = None, root: str = ""
) -> Task:
    """
    Read a task object, as it stands in answers and as the whole body of a callback.

    :param task_id: its id, where the object does not say.
    :param call_id: the provider's id of the call that brought it.
    """
    wire = structure(data, _TaskObject, root=root)
    found = wire.taskId or task_id
    if not found:
        path = f"{root}.taskId".lstrip(".")
        raise InvalidResponseError("the task has no id", path=path, provider=account.provider)
    status = _STATUSES.get(wire.status.lower(), TaskStatus.UNKNOWN)
    return Task(
        ref=account.ref(found),
        status=status,
        raw_status=wire.status,
        videos=_videos(wire, root) if status is TaskStatus.SUCCEEDED else (),
        error=failure(wire.error, account) if status in _FAILURES else None,
        model=wire.model,
        created_at=from_epoch(wire.created),
        # 0 until it has ended.
        finished_at=from_epoch(wire.completed),
        request_id=call_id,
        raw=data,
    )


def _videos(wire: _TaskObject, root: str) -> tuple[Video, ...]:
    outputs = structure(wire.output or [], list[Lax[_Output]], root=f"{root}.output".lstrip("."))
    entries = [entry for entry in outputs if entry and entry.url]
    chosen = (
        [entry for entry in entries if entry.type == "video"]
        or [entry for entry in entries if entry.type not in _NOT_VIDEO][:1]
        or entries[:1]
    )
    covers = {entry.type: entry.url for entry in reversed(entries)}
    cover_url = next((covers[name] for name in _COVERS if name in covers), None)
    return tuple(
        Video(url=entry.url, expires_at=from_epoch(entry.expireAt), cover_url=cover_url)
        for entry in chosen
        if entry.url
    )
