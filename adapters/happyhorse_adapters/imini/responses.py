"""The answers of imini: https://docs.imini.ai/en/api-reference/videos/task-query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define

from happyhorse_async.adapter import Account
from happyhorse_async.adapter_kit import (
    Lax,
    find_videos,
    parse_datetime,
    read_status,
    request_id,
    require_video,
    structure,
)
from happyhorse_async.messages import HttpResponse
from happyhorse_async.task import Task, TaskStatus

from .errors import WireError, failure

_STATUSES = {
    "queued": TaskStatus.PENDING,
    "processing": TaskStatus.RUNNING,
    "succeeded": TaskStatus.SUCCEEDED,
    "failed": TaskStatus.FAILED,
}


@define(kw_only=True)
class _WireAccepted:
    task_id: str
    model: Lax[str] = None
    created_at: Lax[str] = None
    request_id: Lax[str] = None


@define(kw_only=True)
class _WireTask:
    task_id: str | None = None
    status: str
    model: Lax[str] = None
    created_at: Lax[str] = None
    completed_at: Lax[str] = None
    error: Lax[WireError] = None
    request_id: Lax[str] = None


def accepted_task(body: Mapping[str, Any], response: HttpResponse, account: Account) -> Task:
    """
    Read the task from the answer to a submit. It has no status.

    :raises InvalidResponseError: it has no task id.
    """
    wire = structure(body, _WireAccepted)
    return Task(
        ref=account.ref(wire.task_id, path="task_id"),
        status=TaskStatus.PENDING,
        model=wire.model,
        created_at=parse_datetime(wire.created_at),
        request_id=wire.request_id or request_id(response),
        raw=body,
    )


def observed_task(body: Mapping[str, Any], task_id: str, response: HttpResponse, account: Account) -> Task:
    """
    Read the task from the answer to a status request for *task_id*.

    :raises InvalidResponseError: it has no status.
    """
    wire = structure(body, _WireTask)
    videos = find_videos(body.get("videos"), body)
    status = read_status(wire.status, _STATUSES, has_video=bool(videos), has_error=wire.error is not None)
    task = Task(
        ref=account.ref(wire.task_id or task_id, path="task_id"),
        status=status,
        raw_status=wire.status,
        # How long the URL is valid is not documented.
        videos=tuple(video.as_video() for video in videos) if status is TaskStatus.SUCCEEDED else (),
        error=failure(wire.error, account) if status is TaskStatus.FAILED else None,
        model=wire.model,
        created_at=parse_datetime(wire.created_at),
        finished_at=parse_datetime(wire.completed_at),
        request_id=wire.request_id or request_id(response),
        raw=body,
    )
    return require_video(task, "videos", body.get("videos"))
