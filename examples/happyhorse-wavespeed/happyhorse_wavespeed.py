"""
WaveSpeedAI as a provider of happyhorse-async: HappyHorse 1.0 from text and from a first frame.

Written from https://wavespeed.ai/docs/docs-api/alibaba and the official client, wavespeed 2.0.5; never run against the
live service. The pages document neither an idempotency key nor, for these models, a list, a cancellation or a callback.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from attrs import frozen

import happyhorse_async as hh
from happyhorse_async import adapter_kit as kit
from happyhorse_async.price_list import price_rows

# The client ends well at the first and badly at the next four. It polls on at any other word.
STATUSES = {
    "completed": hh.TaskStatus.SUCCEEDED,
    "failed": hh.TaskStatus.FAILED,
    "timeout": hh.TaskStatus.FAILED,
    "cancelled": hh.TaskStatus.CANCELED,
    "deleted": hh.TaskStatus.CANCELED,
    "processing": hh.TaskStatus.RUNNING,
}
RESOLUTIONS = ("720P", "1080P")
PROMPT_LIMIT = 2500


@frozen(kw_only=True)
class Envelope:
    """The object around every answer."""

    code: kit.Lax[int] = None
    message: kit.Lax[str] = None
    data: kit.Lax[Mapping[str, Any]] = None


@frozen(kw_only=True)
class Prediction:
    """A task."""

    id: kit.Lax[str] = None
    status: kit.Lax[str] = None
    error: kit.Lax[str] = None
    created_at: kit.Lax[str] = None


class WaveSpeedAdapter(hh.Adapter):
    """HappyHorse 1.0 from text and from a first frame, through WaveSpeedAI."""

    name = "wavespeed"
    title = "WaveSpeedAI"
    documentation = "https://wavespeed.ai/docs"
    api_key_env = "WAVESPEED_API_KEY"
    default_base_url = "https://api.wavespeed.ai/api/v3"
    capabilities = hh.Capabilities(
        models=(
            hh.ModelSpec(
                mode=hh.Mode.T2V,
                version="1.0",
                model="alibaba/happyhorse-1.0/text-to-video",
                resolutions=RESOLUTIONS,
                ratios=("16:9", "9:16", "1:1", "4:3", "3:4"),
                durations=range(3, 16),
                seed=True,
                prompt_limit=PROMPT_LIMIT,
            ),
            hh.ModelSpec(
                mode=hh.Mode.I2V,
                version="1.0",
                model="alibaba/happyhorse-1.0/image-to-video",
                resolutions=RESOLUTIONS,
                durations=range(3, 16),
                seed=True,
                prompt_required=False,
                prompt_limit=PROMPT_LIMIT,
                images=range(1, 2),
            ),
        ),
    )
    poll = hh.PollSchedule(interval=5, max_interval=20)
    limits = hh.Limits(queries_per_second=5, submits_per_second=2)
    prices = price_rows(
        {"720P": "0.14", "1080P": "0.28"},
        "USD",
        modes=(hh.Mode.T2V, hh.Mode.I2V),
        version="1.0",
        as_of="2026-05",
        source="https://wavespeed.ai/docs/docs-api/alibaba",
    )
    default_resolution = "720P"

    def encode_submit(self, submission: hh.Submission, account: hh.Account) -> hh.HttpRequest:
        """Encode the paid request. The model is in the path."""
        request = submission.request
        fields = {
            "prompt": request.prompt,
            "image": request.image if isinstance(request, hh.ImageToVideo) else None,
            "resolution": request.resolution and request.resolution.lower(),
            "aspect_ratio": request.ratio if isinstance(request, hh.TextToVideo) else None,
            "duration": None if isinstance(request, hh.VideoEdit) else request.duration,
            "seed": request.seed,
        }
        body = {name: value for name, value in fields.items() if value is not None} | dict(request.extra)
        return kit.json_request("POST", f"{account.base_url}/{submission.spec.model}", account, body=body)

    def decode_submit(self, response: hh.HttpResponse, account: hh.Account) -> hh.Task:
        """Decode the answer to the paid request."""
        return self._task(self._read(response, account), None, account)

    def encode_fetch(self, task_id: str, account: hh.Account) -> hh.HttpRequest:
        """Encode the status request for one task."""
        return kit.json_request("GET", f"{account.base_url}/predictions/{quote(task_id, safe='')}/result", account)

    def decode_fetch(self, response: hh.HttpResponse, task_id: str, account: hh.Account) -> hh.Task:
        """Decode the answer to the status request for *task_id*."""
        return self._task(self._read(response, account), task_id, account)

    def _read(self, response: hh.HttpResponse, account: hh.Account) -> Mapping[str, Any]:
        body = kit.read_object(response) if response.ok else kit.read_refusal(response)
        envelope = kit.structure(body, Envelope)
        if response.ok and envelope.data is not None:
            return envelope.data
        if response.ok:
            raise hh.InvalidResponseError("the answer has no data", path="data", provider=account.provider)
        is_own = envelope.code is not None and envelope.message is not None
        error = kit.class_by_status(response.status) if is_own else None
        code = None if envelope.code is None else str(envelope.code)
        raise kit.error_from_response(error, envelope.message, response=response, account=account, code=code)

    def _task(self, data: Mapping[str, Any], task_id: str | None, account: hh.Account) -> hh.Task:
        wire = kit.structure(data, Prediction, root="data")
        videos = kit.find_videos(data.get("outputs"))
        if task_id and wire.status is None:
            raise hh.InvalidResponseError("the answer has no status", path="data.status")
        status = hh.TaskStatus.PENDING
        if wire.status is not None:
            status = kit.read_status(wire.status, STATUSES, has_video=bool(videos), has_error=bool(wire.error))
        failed = status in (hh.TaskStatus.FAILED, hh.TaskStatus.CANCELED)
        reason = hh.FailureReason.TIMEOUT if wire.status == "timeout" else None
        task = hh.Task(
            ref=account.ref(wire.id or task_id or "", path="data.id"),
            status=status,
            raw_status=wire.status,
            videos=tuple(video.as_video() for video in videos) if status is hh.TaskStatus.SUCCEEDED else (),
            error=kit.task_failure(reason, wire.error or wire.status, account=account) if failed else None,
            created_at=kit.parse_datetime(wire.created_at),
            raw=data,
        )
        return kit.require_video(task, "data.outputs", data.get("outputs")) if task_id else task
