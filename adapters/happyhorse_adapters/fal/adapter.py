"""
fal: HappyHorse 1.1 and 1.0 from text, a first frame or references, and the video edit of 1.0.

Written from its public pages and its two official clients, never run against the live service:

- the models: https://fal.ai/models/alibaba/happy-horse/v1.1/text-to-video/llms.txt and its like
- the queue: https://fal.ai/docs/documentation/model-apis/inference/queue
- https://github.com/fal-ai/fal-js, and the Python package `fal-client`

There is no idempotency key, and no list of tasks. The official clients send a submit again after a lost answer, at the
risk of a second charge; this library does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import quote, urlencode, urlsplit

from attrs import define

from happyhorse_async.adapter import Account, Adapter, Submission, UploadFile, UploadPolicy
from happyhorse_async.adapter_kit import KEY, Lax, json_request, read_callback, read_refusal, structure
from happyhorse_async.capabilities import Capabilities
from happyhorse_async.errors import ConfigurationError, InvalidResponseError, TaskNotFoundError
from happyhorse_async.messages import HttpRequest, HttpResponse
from happyhorse_async.request import ImageToVideo, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest
from happyhorse_async.task import Task, TaskRef, TaskStatus
from happyhorse_async.timing import Limits, PollSchedule

from .errors import problem_in, read, refusal
from .models import APP, MODELS
from .prices import FREE_FAILURES, PRICES
from .responses import accepted_task, called_task, observed_task, with_result
from .signature import check_extra, published_keys, verify
from .uploads import LIFETIME, grant_request, granted, upload_request, uploaded

_REST = "https://rest.fal.ai"
_KEY_SET = "/.well-known/jwks.json"
# The older of two hosts in fal's pages and in code.
_OLDER_KEY_SET = f"https://rest.alpha.fal.ai{_KEY_SET}"


_PROMPT_LIMIT = 2500
_BRACKETS = re.compile(r"\[image ?\d+\]", re.IGNORECASE)
_TAKEN = frozenset({"OK", "CANCELLATION_REQUESTED"})


class FalAdapter(Adapter):
    """
    The adapter of fal, https://fal.ai/models/alibaba/happy-horse.

    Options: `upload = false` uploads no local files; `inline_media = true` sends pictures of up to 1 MiB inside a
    request, which no page of these models documents; `start_timeout` fails a request that has not started after so many
    seconds; `priority` is `"normal"` or `"low"`; `no_retry = true` lets fal not repeat a run that has failed;
    `rest_url` and `jwks_url` are where files are uploaded and where the keys of webhooks are published.
    """

    name = "fal"
    title = "fal"
    documentation = "https://fal.ai/docs/documentation/model-apis/inference/queue"
    api_key_env = "FAL_KEY"
    default_base_url = "https://queue.fal.run"
    option_names: ClassVar[frozenset[str]] = frozenset(
        {"upload", "inline_media", "start_timeout", "priority", "no_retry", "rest_url", "jwks_url"}
    )
    further_urls: ClassVar[Mapping[str, str]] = {"rest_url": _REST}
    capabilities = Capabilities(models=MODELS, can_cancel=True, callbacks=True, signed_callbacks=True)
    # The official clients poll every 0.1 s and 0.5 s, for models of seconds. These take a minute and more.
    poll = PollSchedule(interval=5, max_interval=15)
    # No limit of requests is documented, and no header announces one. What is over the account's concurrency waits in
    # the queue and is never refused: https://docs.fal.ai/documentation/model-apis/concurrency-limits
    limits = Limits(queries_per_second=10, submits_per_second=5)
    # A request waits without limit, and request and result are kept for 30 days: https://docs.fal.ai/faq
    task_ttl = 30 * 24 * 3600.0
    prices = PRICES
    default_resolution = "1080P"
    free_failures = FREE_FAILURES
    upload_lifetime = LIFETIME
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
        """
        Return the account that requests are made for.

        :raises ConfigurationError: an option is unknown, or has a value that fal does not document.
        """
        account = super().account(provider=provider, api_key=api_key, base_url=base_url, region=region, options=options)
        _check_options(account)
        return account

    def warnings(self, submission: Submission, account: Account) -> tuple[str, ...]:
        """Warn of a costly default, of a prompt that is too long, and of names that fal does not know."""
        request = submission.request
        found: list[str] = []
        if request.resolution is None and "resolution" not in request.extra:
            found.append("resolution is not set: fal then makes 1080p, which costs more than 720p")
        if len(request.prompt or "") > _PROMPT_LIMIT:
            found.append(
                f"the prompt has {len(request.prompt or '')} characters; fal documents at most {_PROMPT_LIMIT}, "
                "and not what becomes of a longer one"
            )
        if isinstance(request, ReferenceToVideo | VideoEdit) and _BRACKETS.search(request.prompt):
            names = "@Image1, @Image2" if isinstance(request, VideoEdit) else "character1, character2"
            found.append(f"fal's prompts name the reference images {names} and so on, not [Image 1]")
        return tuple(found)

    def encode_submit(self, submission: Submission, account: Account) -> HttpRequest:
        """Encode the paid request. The body is the model's input, and the model id is the path."""
        called = submission.callback_url
        query = "" if called is None else f"?{urlencode({'fal_webhook': called})}"
        return json_request(
            "POST",
            f"{account.base_url}/{quote(submission.spec.model)}{query}",
            account,
            body=_input(submission.request),
            headers=_headers(account),
            auth=KEY,
        )

    def decode_submit(self, response: HttpResponse, account: Account) -> Task:
        """
        Decode the answer to the paid request.

        :raises HappyHorseError: the submit was refused.
        """
        return accepted_task(response, account)

    def encode_fetch(self, task_id: str, account: Account) -> HttpRequest:
        """Encode the status request. Its path has owner and app only, whatever the model."""
        return json_request("GET", f"{_task_url(task_id, account)}/status", account, auth=KEY)

    def decode_fetch(self, response: HttpResponse, task_id: str, account: Account) -> Task:
        """
        Decode the answer to the status request for *task_id*.

        :raises TaskNotFoundError: fal does not know the task, or has forgotten it.
        """
        return observed_task(response, task_id, account)

    def encode_result(self, task: Task, account: Account) -> HttpRequest | None:
        """Encode the request for the result. It is where the status says, if that is a host of fal's queue."""
        if task.status is not TaskStatus.SUCCEEDED or task.videos:
            return None
        given = task.raw.get("response_url")
        url = given if isinstance(given, str) and _is_of_queue(given, account) else _task_url(task.id, account)
        return json_request("GET", url, account, auth=KEY)

    def decode_result(self, response: HttpResponse, task: Task, account: Account) -> Task:
        """
        Decode the answer to the request for the result: the model's own answer, with its status code.

        :raises TaskNotFoundError: fal does not know the task, or its result is gone.
        """
        return with_result(response, task, account)

    def encode_cancel(self, task_id: str, account: Account) -> HttpRequest:
        """Encode the request to cancel a task."""
        return json_request("PUT", f"{_task_url(task_id, account)}/cancel", account, auth=KEY)

    def decode_cancel(self, response: HttpResponse, account: Account) -> bool:
        """
        Decode the answer to a cancel request. `True` is a wish that was taken: a run may ignore it.

        :raises TaskNotFoundError: fal does not know the task.
        """
        answer = read_refusal(response)
        word = (structure(answer, _WireCancel).status or "").upper()
        if word in _TAKEN or (response.ok and not response.body.strip()):
            return True
        if word == "ALREADY_COMPLETED":
            return False
        if word == "NOT_FOUND":
            raise TaskNotFoundError(
                "fal does not know the task", provider=account.provider, status_code=response.status, code=word
            )
        read(response, account)
        raise InvalidResponseError("the answer to a cancellation has no known status", path="status")

    def encode_upload_policy(self, file: UploadFile, account: Account) -> HttpRequest:
        """Encode the request for a URL to send *file* to. It goes to `rest_url`, with the key."""
        return grant_request(file, self.further_url("rest_url", account), account)

    def decode_upload_policy(self, response: HttpResponse, account: Account) -> UploadPolicy:
        """Decode the URL to send a file to, and that of the file."""
        return granted(response, account)

    def encode_upload(self, file: UploadFile, policy: UploadPolicy | None, account: Account) -> HttpRequest:
        """Encode the file as it is sent, without the key."""
        assert policy is not None, "there is a request for it"
        return upload_request(file, policy)

    def decode_upload(
        self, response: HttpResponse, file: UploadFile, policy: UploadPolicy | None, account: Account
    ) -> str:
        """Return the URL of the file."""
        assert policy is not None, "there is a request for it"
        return uploaded(response, policy)

    def encode_callback_keys(self, account: Account) -> tuple[HttpRequest, ...]:
        """
        Encode the requests for the published keys. Without a `jwks_url`, the older of two hosts is the second.

        :raises ConfigurationError: the extra `webhooks` is not installed.
        """
        check_extra(account.provider)
        given, rest_url = account.options.get("jwks_url"), self.further_url("rest_url", account)
        urls = [given or f"{rest_url}{_KEY_SET}"]
        if not given and rest_url == _REST:
            urls.append(_OLDER_KEY_SET)
        return tuple(json_request("GET", url, account, auth=None) for url in urls)

    def decode_callback_keys(self, response: HttpResponse, account: Account) -> tuple[str, ...]:
        """Decode the published keys: the `x` of each Ed25519 key of the set."""
        if not response.ok:
            raise refusal(problem_in(read_refusal(response), response.headers), response, account)
        return published_keys(response)

    def verify_callback(self, message: HttpRequest, secrets: Sequence[str], now: datetime) -> None:
        """
        Verify the signature of a webhook by the published keys.

        :raises CallbackRejectedError: none of them fits, it is more than five minutes old, or about another request.
        """
        verify(message, secrets, now)

    def decode_callback(self, message: HttpRequest, account: Account) -> Task | TaskRef:
        """Decode a webhook, which has the whole result."""
        return called_task(read_callback(message), account)


@define(kw_only=True)
class _WireCancel:
    status: Lax[str] = None


def _task_url(task_id: str, account: Account) -> str:
    return f"{account.base_url}/{APP}/requests/{quote(task_id, safe='')}"


def _is_of_queue(url: str, account: Account) -> bool:
    # The key goes there.
    try:
        host = urlsplit(url)[:2]
    except ValueError:
        return False
    own = urlsplit(account.base_url)[:2]
    return host == own and url.isascii() and url.isprintable() and " " not in url


def _headers(account: Account) -> dict[str, str]:
    options = account.options
    headers: dict[str, str] = {}
    if options.get("start_timeout") is not None:
        headers["X-Fal-Request-Start-Timeout"] = f"{options['start_timeout']:g}"
    if options.get("priority") is not None:
        headers["X-Fal-Queue-Priority"] = options["priority"]
    if options.get("no_retry"):
        headers["X-Fal-No-Retry"] = "1"
    return headers


def _input(request: VideoRequest) -> dict[str, Any]:
    given: dict[str, Any] = {"prompt": request.prompt}
    if isinstance(request, ImageToVideo):
        given["image_url"] = request.image
    if isinstance(request, ReferenceToVideo):
        given["image_urls"] = list(request.images)
    if isinstance(request, VideoEdit):
        given["video_url"] = request.video
        given["reference_image_urls"] = list(request.images) or None
        given["audio_setting"] = request.audio
    given["resolution"] = request.resolution.lower() if request.resolution else None
    if isinstance(request, TextToVideo | ReferenceToVideo):
        given["aspect_ratio"] = request.ratio
    if not isinstance(request, VideoEdit):
        given["duration"] = request.duration
    given["seed"] = request.seed
    return {name: value for name, value in given.items() if value is not None} | dict(request.extra)


def _check_options(account: Account) -> None:
    options = account.options
    for name in ("upload", "inline_media", "no_retry"):
        if not isinstance(options.get(name, False), bool | None):
            raise ConfigurationError(f"{name} must be true or false, not {options[name]!r}", provider=account.provider)
    if options.get("priority") not in (None, "normal", "low"):
        raise ConfigurationError('priority must be "normal" or "low"', provider=account.provider)
    seconds = options.get("start_timeout")
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if seconds is not None and not (is_number and 0.1 < seconds < 1e9):
        raise ConfigurationError("start_timeout must be a number of seconds above 0.1", provider=account.provider)
    for name in ("rest_url", "jwks_url"):
        url = options.get(name)
        if url is not None and not (isinstance(url, str) and url.startswith(("https://", "http://"))):
            raise ConfigurationError(f"{name} must be an http:// or https:// URL", provider=account.provider)
