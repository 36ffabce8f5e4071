"""The answers of nexusflow: https://nexusflow.vip/docs/api/happyhorse and https://nexusflow.vip/docs/api/tasks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

from attrs import define, evolve

from happyhorse_async.adapter import Account, TaskPage
from happyhorse_async.adapter_kit import (
    FoundVideo,
    Lax,
    Percent,
    find_videos,
    parse_datetime,
    read_status,
    request_id,
    require_video,
    structure,
    url_expiry,
)
from happyhorse_async.errors import InvalidResponseError
from happyhorse_async.messages import HttpResponse
from happyhorse_async.task import Task, TaskStatus, Usage

from .errors import failure

_STATUSES = {
    "pending": TaskStatus.PENDING,
    "running": TaskStatus.RUNNING,
    "succeeded": TaskStatus.SUCCEEDED,
    "failed": TaskStatus.FAILED,
}

_URL_LIFETIME = timedelta(hours=24)


@define(kw_only=True)
class _WireUsage:
    """DashScope's usage object, passed through."""

    duration: Lax[float] = None
    input_video_duration: Lax[float] = None
    output_video_duration: Lax[float] = None
    SR: Lax[str] = None
    ratio: Lax[str] = None
    video_count: Lax[int] = None


@define(kw_only=True)
class _WireOutput:
    usage: Lax[_WireUsage] = None


@define(kw_only=True)
class _WireAccepted:
    id: str
    status: Lax[str] = None


@define(kw_only=True)
class _WireTask:
    id: str | None = None
    status: Lax[str] = None
    model: Lax[str] = None
    progress: Percent = None
    output: Lax[_WireOutput] = None
    error: Any = None
    created_at: Lax[str] = None
    completed_at: Lax[str] = None


@define(kw_only=True)
class _WireList:
    data: list[Lax[Mapping[str, Any]]] | None


def accepted_task(body: Mapping[str, Any], response: HttpResponse, account: Account) -> Task:
    """
    Read the task from the answer to a submit. It may have ended already.

    :raises InvalidResponseError: it has no task id.
    """
    accepted = structure(body, _WireAccepted)
    task = _task(structure(body, _WireTask), body, accepted.id, response, account)
    if accepted.status is None:
        # An answer without a status says that the task was accepted, and no more.
        return evolve(task, status=TaskStatus.PENDING)
    if task.status is TaskStatus.SUCCEEDED and not task.videos:
        # The submit's answer has no output. The next status request has it.
        return evolve(task, status=TaskStatus.RUNNING)
    return task


def observed_task(body: Mapping[str, Any], task_id: str, response: HttpResponse, account: Account) -> Task:
    """
    Read the task from the answer to a status request for *task_id*.

    :raises InvalidResponseError: it has no status.
    """
    wire = structure(body, _WireTask)
    if wire.status is None:
        raise InvalidResponseError("the answer cannot be understood: required field missing", path="status")
    task = _task(wire, body, wire.id or task_id, response, account)
    return require_video(task, "output.video_url", _result(body))


def listed_tasks(body: Mapping[str, Any], response: HttpResponse, account: Account) -> TaskPage:
    """
    Read the list of recent tasks. Its rows have neither output nor error, and are as old as the last status request.

    :raises InvalidResponseError: it has no list.
    """
    rows = structure(body, _WireList).data or []
    tasks = (_row(row, response, account) for row in rows if row is not None)
    return TaskPage(tasks=tuple(task for task in tasks if task is not None))


def _row(row: Mapping[str, Any], response: HttpResponse, account: Account) -> Task | None:
    try:
        wire = structure(row, _WireTask)
        return _task(wire, row, wire.id or "", response, account) if wire.status else None
    except InvalidResponseError:
        return None


def _task(wire: _WireTask, body: Mapping[str, Any], task_id: str, response: HttpResponse, account: Account) -> Task:
    videos = _find_videos(wire, body)
    status = read_status(wire.status, _STATUSES, has_video=bool(videos), has_error=bool(wire.error))
    created_at, finished_at = parse_datetime(wire.created_at), parse_datetime(wire.completed_at)
    return Task(
        ref=account.ref(task_id, path="id"),
        status=status,
        raw_status=wire.status,
        progress=wire.progress,
        videos=tuple(
            video.as_video(
                expires_at=url_expiry(video.url, created_at=created_at, finished_at=finished_at, lifetime=_URL_LIFETIME)
            )
            for video in videos
        )
        if status is TaskStatus.SUCCEEDED
        else (),
        error=failure(wire.error, account) if status is TaskStatus.FAILED else None,
        usage=_usage(wire.output.usage) if wire.output and wire.output.usage else None,
        model=wire.model,
        created_at=created_at,
        finished_at=finished_at,
        request_id=request_id(response),
        raw=body,
    )


def _result(body: Mapping[str, Any]) -> object:
    output = body.get("output")
    return cast("Mapping[str, Any]", output).get("video_url") if isinstance(output, dict) else output


def _find_videos(wire: _WireTask, body: Mapping[str, Any]) -> tuple[FoundVideo, ...]:
    # `video_url` is also the request's field for the source of an edit, which the relay could echo.
    is_edit = "edit" in (wire.model or "")
    around = {name: value for name, value in body.items() if not (is_edit and name == "video_url")}
    return find_videos(_result(body), body.get("output"), around)


def _usage(wire: _WireUsage) -> Usage:
    return Usage(
        duration=wire.duration,
        input_duration=wire.input_video_duration,
        output_duration=wire.output_video_duration,
        resolution=_tier(wire.SR),
        ratio=wire.ratio,
        count=wire.video_count,
    )


def _tier(text: str | None) -> str | None:
    # DashScope writes the tier as "720", 720 or "720P".
    return f"{text.upper().removesuffix('P').removesuffix('.0')}P" if text else None
