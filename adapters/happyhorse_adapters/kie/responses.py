"""The answers of KIE about a task: https://docs.kie.ai/market/common/get-task-detail."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from attrs import define

from happyhorse_async.adapter import Account
from happyhorse_async.adapter_kit import (
    FoundVideo,
    Lax,
    Percent,
    find_videos,
    from_epoch,
    read_callback,
    read_status,
    request_id,
    require_video,
    structure,
    url_expiry,
)
from happyhorse_async.errors import InvalidResponseError
from happyhorse_async.messages import HttpRequest, HttpResponse
from happyhorse_async.task import Task, TaskRef, TaskStatus, Usage, Video

from .errors import Envelope, failure

# There is neither a cancelled nor an expired state.
_STATUSES = {
    "waiting": TaskStatus.PENDING,
    "queuing": TaskStatus.PENDING,
    "generating": TaskStatus.RUNNING,
    "success": TaskStatus.SUCCEEDED,
    "fail": TaskStatus.FAILED,
}

# An older edition of the page: "typically expires after 24 hours". The files are kept for 14 days.
_URL_LIFETIME = timedelta(hours=24)

# A result is JSON in a text, and a relay may have written it as text once more.
_LEVELS = 3


@define(kw_only=True)
class _WireAccepted:
    taskId: str  # noqa: N815 - the provider's spelling


@define(kw_only=True)
class _WireTask:
    taskId: Lax[str] = None  # noqa: N815 - the provider's spelling
    state: str
    model: Lax[str] = None
    resultJson: Any = None  # noqa: N815 - the provider's spelling
    failCode: Lax[str] = None  # noqa: N815 - the provider's spelling
    failMsg: Lax[str] = None  # noqa: N815 - the provider's spelling
    createTime: Lax[float] = None  # noqa: N815 - the provider's spelling
    completeTime: Lax[float] = None  # noqa: N815 - the provider's spelling
    progress: Percent = None
    consumeCredits: Lax[float] = None  # noqa: N815 - the provider's spelling


def accepted_task(envelope: Envelope, response: HttpResponse, account: Account) -> Task:
    """
    Read the task from the answer to a submit. It has no state.

    :raises InvalidResponseError: it has no task id.
    """
    wire = structure(envelope.data, _WireAccepted, root="data")
    return Task(
        ref=account.ref(wire.taskId, path="data.taskId"),
        status=TaskStatus.PENDING,
        request_id=request_id(response),
        raw=envelope.fields,
    )


def observed_task(envelope: Envelope, task_id: str, response: HttpResponse, account: Account) -> Task:
    """
    Read the task from the answer to a status request.

    :param task_id: its id if the answer has none.
    :raises InvalidResponseError: it has no state.
    """
    wire = structure(envelope.data, _WireTask, root="data")
    result = _decoded(wire.resultJson)
    videos, has_error = find_videos(result), bool(wire.failMsg or wire.failCode)
    status = read_status(wire.state, _STATUSES, has_video=bool(videos), has_error=has_error)
    created_at, completed_at = _moment(wire.createTime), _moment(wire.completeTime)
    task = Task(
        ref=account.ref(wire.taskId or task_id, path="data.taskId"),
        status=status,
        raw_status=wire.state,
        progress=wire.progress,
        videos=_videos(videos, created_at, completed_at) if status is TaskStatus.SUCCEEDED else (),
        usage=_usage(wire) if status.is_terminal else None,
        error=failure(wire.failCode or None, wire.failMsg, account) if status is TaskStatus.FAILED else None,
        model=wire.model,
        created_at=created_at,
        finished_at=completed_at if status.is_terminal else None,
        request_id=request_id(response),
        raw=envelope.fields,
    )
    return require_video(task, "data.resultJson", result)


def callback_ref(message: HttpRequest, account: Account) -> TaskRef:
    """
    Return the task that a callback names.

    :raises InvalidResponseError: it names none.
    """
    return account.ref(callback_task_id(message), path="data.taskId")


def callback_task_id(message: HttpRequest) -> str:
    """
    Return the id of the task that a callback names. The pages spell the field in two ways, in two places.

    :raises InvalidResponseError: it names none.
    """
    body = read_callback(message)
    data = body.get("data")
    for place in (data, body):
        for name in ("taskId", "task_id"):
            value: Any = place.get(name) if isinstance(place, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
            if isinstance(value, str) and value.strip():
                return value
    raise InvalidResponseError("the callback names no task", path="data.taskId")


def _decoded(result: object) -> object:
    """Return what is in `resultJson`: `{"resultUrls": […]}`, written as text."""
    for _ in range(_LEVELS):
        if not isinstance(result, str) or result.strip()[:1] not in ("{", "[", '"'):
            break
        decoded: object = result
        with suppress(ValueError, RecursionError):
            decoded = json.loads(result)
        if decoded is result:
            break
        result = decoded
    if isinstance(result, Mapping) and "resultUrls" in result:
        # Beside it stand the URLs of copies with a watermark, or of frames.
        return result["resultUrls"]  # pyright: ignore[reportUnknownVariableType]
    return result  # pyright: ignore[reportUnknownVariableType]


def _videos(found: tuple[FoundVideo, ...], created_at: datetime | None, ended_at: datetime | None) -> tuple[Video, ...]:
    return tuple(
        video.as_video(
            expires_at=url_expiry(video.url, created_at=created_at, finished_at=ended_at, lifetime=_URL_LIFETIME)
        )
        for video in found
    )


def _usage(wire: _WireTask) -> Usage | None:
    # Documented in a callback alone, whose body is not signed. Should a status request have it, it is the bill.
    credit = wire.consumeCredits
    return None if credit is None or credit < 0 else Usage(credits=credit)


def _moment(milliseconds: float | None) -> datetime | None:
    # Missing, null or 0 while the task runs.
    return from_epoch(milliseconds / 1000) if milliseconds else None
