"""
The client side of KIE: HappyHorse 1.1 and 1.0 from text, a first frame or references, and edits with 1.0.

Written from its documentation, never run against the live service:

- submits: https://docs.kie.ai/market/happyhorse-1-1/image-to-video and its like
- status requests: https://docs.kie.ai/market/common/get-task-detail
- limits and lifetimes: https://docs.kie.ai/
- signatures: https://docs.kie.ai/common-api/webhook-verification
- uploads: https://docs.kie.ai/file-upload-api/quickstart

The schema of `input` is closed, so nothing is sent that the model's page does not document. There is neither a list nor
a cancellation nor an idempotency key.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

from happyhorse_async.adapter import Account, Adapter, Submission, UploadFile, UploadPolicy
from happyhorse_async.adapter_kit import json_request
from happyhorse_async.capabilities import Capabilities
from happyhorse_async.errors import ConfigurationError
from happyhorse_async.messages import HttpRequest, HttpResponse
from happyhorse_async.price import Money
from happyhorse_async.request import ImageToVideo, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest
from happyhorse_async.task import Task, TaskRef
from happyhorse_async.timing import Limits, PollSchedule

from . import uploads
from .errors import Call, read, read_credits
from .models import MODELS
from .prices import PRICES
from .responses import accepted_task, callback_ref, observed_task
from .signature import verify

# Characters, of which a Chinese one counts twice.
_PROMPT_WIDTH = 5000


class KieAdapter(Adapter):
    """
    The adapter of KIE, https://docs.kie.ai/.

    Options: `upload_url` is the root of its file upload API; `upload = false` refuses local files, because everyone who
    has the URL of an upload can read it.
    """

    name = "kie"
    title = "KIE"
    documentation = "https://docs.kie.ai/"
    api_key_env = "KIE_API_KEY"
    capabilities = Capabilities(models=MODELS, callbacks=True, signed_callbacks=True)
    default_base_url = "https://api.kie.ai"
    further_urls: ClassVar[Mapping[str, str]] = {"upload_url": uploads.DEFAULT_URL}
    option_names = frozenset({"upload", "upload_url"})
    # "Start at 2 to 3 s, then 2 to 5 s, growing" is for all models of the market. HappyHorse takes minutes.
    poll = PollSchedule(interval=5, max_interval=20)
    # 20 submits in 10 s per account, and 10 queries a second per key, each with a margin. Uploads and queries do not
    # count as submits.
    limits = Limits(queries_per_second=9, submits_per_second=1.8)
    # A task is known for two months, but its files are deleted after 14 days.
    task_ttl = 14 * 24 * 3600.0
    prices = PRICES
    # A bonus on larger payments lowers it by about a tenth.
    credit_price = Money.parse("0.005 USD")
    default_resolution = "1080P"
    upload_lifetime = uploads.LIFETIME
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

        :raises ConfigurationError: an option is unknown or has a value that it cannot have.
        """
        account = super().account(provider=provider, api_key=api_key, base_url=base_url, region=region, options=options)
        _check_options(account)
        return account

    def warnings(self, submission: Submission, account: Account) -> tuple[str, ...]:
        """Warn of the costlier default resolution, and of a prompt at the limit of what is accepted."""
        request, found = submission.request, list[str]()
        if request.resolution is None and "resolution" not in request.extra:
            found.append(f"resolution is not set: {self.title} then makes 1080P, which costs more than 720P")
        if _width(request.prompt or "") >= _PROMPT_WIDTH:
            found.append("the prompt has 2500 Chinese (or 5000 other) characters or more: it may be refused")
        return tuple(found)

    def encode_submit(self, submission: Submission, account: Account) -> HttpRequest:
        """Encode the paid request."""
        body: dict[str, Any] = {"model": submission.spec.model}
        if submission.callback_url is not None:
            # The pages advise it, and the schema of 1.1 does not list it. It is only sent where a caller asks for it.
            body["callBackUrl"] = submission.callback_url
        body["input"] = _input(submission.request)
        return json_request("POST", f"{account.base_url}/api/v1/jobs/createTask", account, body=body)

    def decode_submit(self, response: HttpResponse, account: Account) -> Task:
        """
        Decode the answer to the paid request: the task's id and nothing else.

        :raises HappyHorseError: the submit was refused.
        """
        return accepted_task(read(response, account, Call.SUBMIT), response, account)

    def encode_fetch(self, task_id: str, account: Account) -> HttpRequest:
        """Encode the status request for one task."""
        query = urlencode({"taskId": task_id})
        return json_request("GET", f"{account.base_url}/api/v1/jobs/recordInfo?{query}", account)

    def decode_fetch(self, response: HttpResponse, task_id: str, account: Account) -> Task:
        """
        Decode the answer to the status request for *task_id*.

        :raises TaskNotFoundError: the provider does not know the task.
        """
        return observed_task(read(response, account, Call.QUERY), task_id, response, account)

    def encode_check(self, account: Account) -> HttpRequest:
        """Encode a request for the balance, https://docs.kie.ai/common-api/get-account-credits."""
        return json_request("GET", f"{account.base_url}/api/v1/chat/credit", account)

    def decode_check(self, response: HttpResponse, account: Account) -> str:
        """Return the balance in a few words."""
        return read_credits(response, account)

    def encode_upload(self, file: UploadFile, policy: UploadPolicy | None, account: Account) -> HttpRequest:
        """Encode an upload. It goes to another host of the provider, with the same key."""
        return uploads.upload_request(file, self.further_url("upload_url", account), account)

    def decode_upload(
        self, response: HttpResponse, file: UploadFile, policy: UploadPolicy | None, account: Account
    ) -> str:
        """
        Return the URL of an upload.

        :raises HappyHorseError: it was refused.
        """
        return uploads.uploaded_url(response, account)

    def verify_callback(self, message: HttpRequest, secrets: Sequence[str], now: datetime) -> None:
        """
        Verify the signature of a callback.

        :raises CallbackRejectedError: none of *secrets* made the signature, or it is more than five minutes old.
        """
        verify(message, secrets, now)

    def decode_callback(self, message: HttpRequest, account: Account) -> TaskRef:
        """
        Return the task that a callback is about, and nothing of what it says.

        The signature covers the task id and the time alone: anyone who has seen one can send another body with it.
        """
        return callback_ref(message, account)


def _check_options(account: Account) -> None:
    upload, url = account.options.get("upload"), account.options.get("upload_url")
    if upload is not None and not isinstance(upload, bool):
        raise ConfigurationError(f"upload must be true or false, not {upload!r}", provider=account.provider)
    if url is not None and not _is_url(url):
        raise ConfigurationError("upload_url must be an http:// or https:// URL", provider=account.provider)


def _is_url(url: object) -> bool:
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        return parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _input(request: VideoRequest) -> dict[str, Any]:
    given: dict[str, Any] = {"prompt": request.prompt}
    if isinstance(request, ImageToVideo):
        given["image_urls"] = [request.image]
    if isinstance(request, VideoEdit):
        given["video_url"] = request.video
    if isinstance(request, ReferenceToVideo | VideoEdit):
        # The name is singular, the value a list.
        given["reference_image"] = list(request.images) or None
    given["resolution"] = request.resolution.lower() if request.resolution else None
    if isinstance(request, TextToVideo | ReferenceToVideo):
        given["aspect_ratio"] = request.ratio
    if isinstance(request, VideoEdit):
        given["audio_setting"] = request.audio
    else:
        given["duration"] = request.duration
    given["seed"] = request.seed
    return {name: value for name, value in given.items() if value is not None} | dict(request.extra)


def _width(prompt: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in prompt)
