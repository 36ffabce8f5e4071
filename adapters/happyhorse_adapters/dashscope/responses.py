"""
The answers of DashScope.

The answer to a status request and the list of tasks are two formats: other field names, other times, and no result in
the list. https://help.aliyun.com/zh/model-studio/manage-asynchronous-tasks
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from attrs import define, evolve

from happyhorse_async.adapter import Account, PageRequest, TaskPage
from happyhorse_async.adapter_kit import (
    FoundVideo,
    Lax,
    find_videos,
    from_epoch,
    parse_datetime,
    read_status,
    require_video,
    structure,
    url_expiry,
)
from happyhorse_async.errors import InvalidResponseError
from happyhorse_async.task import Task, TaskStatus, Usage, Video

from .errors import ErrorDetails, failure

# The official SDK also has SUSPENDED, which no page explains. It stays unknown, and so not terminal.
_STATUSES = {
    "PENDING": TaskStatus.PENDING,
    "RUNNING": TaskStatus.RUNNING,
    "SUCCEEDED": TaskStatus.SUCCEEDED,
    "FAILED": TaskStatus.FAILED,
    "CANCELED": TaskStatus.CANCELED,
    # "The task does not exist or its status is unknown."
    "UNKNOWN": TaskStatus.EXPIRED,
}

_ACTIVE = (TaskStatus.PENDING, TaskStatus.RUNNING)

# Timestamps name no zone. The pages of April 2026 say UTC+8, also for Singapore; later ones do not say.
_ZONE = timezone(timedelta(hours=8))

_URL_LIFETIME = timedelta(hours=24)

_TIER = re.compile(r"(\d+)(?:\.0)?P?", re.IGNORECASE)


@define(kw_only=True)
class _WireAccepted:
    """The `output` of the answer to a submit."""

    task_id: str
    task_status: Lax[str] = None


@define(kw_only=True)
class _WireOutput:
    task_status: str
    task_id: str | None = None
    code: Lax[str] = None
    message: Lax[str] = None
    video_url: Any = None
    submit_time: Lax[str] = None
    scheduled_time: Lax[str] = None
    end_time: Lax[str] = None


@define(kw_only=True)
class _WireUsage:
    # Seconds are typed as integers, but the page on video editing has 6.62. The tier is typed as an integer, but the
    # pages of April 2026 have the string "720".
    duration: Lax[float] = None
    input_video_duration: Lax[float] = None
    output_video_duration: Lax[float] = None
    video_count: Lax[int] = None
    SR: Lax[str] = None
    ratio: Lax[str] = None


@define(kw_only=True)
class _WireTask:
    output: _WireOutput
    usage: Lax[_WireUsage] = None


@define(kw_only=True)
class _WireRow:
    task_id: str
    status: Lax[str] = None
    model_name: Lax[str] = None
    gmt_create: Lax[float] = None
    start_time: Lax[float] = None
    end_time: Lax[float] = None
    code: Lax[str] = None
    message: Lax[str] = None


@define(kw_only=True)
class _WireList:
    data: list[Any] | None
    total: Lax[int] = None
    page_size: Lax[int] = None


def accepted_task(answer: Mapping[str, Any], details: ErrorDetails, account: Account) -> Task:
    """
    Read the task from the answer to a submit.

    :raises InvalidResponseError: it has no task id.
    """
    output = structure(answer.get("output"), _WireAccepted, root="output")
    status = read_status(output.task_status, _STATUSES)
    return Task(
        ref=account.ref(output.task_id, path="output.task_id"),
        # It was accepted. If it has ended already, only a status request has its result or error.
        status=TaskStatus.PENDING if output.task_status is None or status.is_terminal else status,
        raw_status=output.task_status,
        request_id=details.request_id,
        raw=answer,
    )


def observed_task(answer: Mapping[str, Any], details: ErrorDetails, task_id: str, account: Account) -> Task:
    """
    Read the task from the answer to a status request for *task_id*.

    :raises InvalidResponseError: it has no status, or a required field cannot be read.
    """
    found = structure(answer, _WireTask)
    output, usage = found.output, found.usage
    if not output.task_status.strip():
        raise InvalidResponseError("the answer has an empty status", path="output.task_status")
    own = _own(output, details)
    # While a task goes on, there is no result to find.
    is_active = _STATUSES.get(output.task_status) in _ACTIVE
    videos = () if is_active else find_videos(output.video_url, answer.get("output"), answer)
    status = read_status(output.task_status, _STATUSES, has_video=bool(videos), has_error=bool(own.code or own.message))
    created_at = parse_datetime(output.submit_time, default_zone=_ZONE)
    finished_at = parse_datetime(output.end_time, default_zone=_ZONE)

    def video(found: FoundVideo) -> Video:
        expiry = url_expiry(found.url, created_at=created_at, finished_at=finished_at, lifetime=_URL_LIFETIME)
        return found.as_video(expires_at=expiry, duration=usage.output_video_duration if usage else None)

    task = Task(
        ref=account.ref(output.task_id or task_id, path="output.task_id"),
        status=status,
        raw_status=output.task_status,
        videos=tuple(map(video, videos)) if status is TaskStatus.SUCCEEDED else (),
        error=failure(own, account) if status is TaskStatus.FAILED else None,
        usage=_neutral_usage(usage),
        created_at=created_at,
        started_at=parse_datetime(output.scheduled_time, default_zone=_ZONE),
        finished_at=finished_at,
        request_id=details.request_id,
        raw=answer,
    )
    return require_video(task, "output.video_url", output.video_url)


def listed_tasks(answer: Mapping[str, Any], details: ErrorDetails, page: PageRequest, account: Account) -> TaskPage:
    """
    Read a page of the list. A row that cannot be read is left out.

    :raises InvalidResponseError: it has no list.
    """
    found = structure(answer, _WireList)
    rows = found.data or []
    tasks = tuple(task for row in rows if (task := _listed_task(row, details, account)))
    # The maximum page size is not documented. A smaller page would have its size here. If the answer has neither size
    # nor total, only an empty page is surely the last.
    size = found.page_size if found.page_size and found.page_size > 0 else None
    more = len(rows) >= (size or 1) if found.total is None else page.number * (size or page.size) < found.total
    return TaskPage(tasks=tasks, next=page.next() if rows and more else None, size=size or page.size)


def _listed_task(row: Any, details: ErrorDetails, account: Account) -> Task | None:
    try:
        found = structure(row, _WireRow)
        ref = account.ref(found.task_id)
    except InvalidResponseError:
        return None
    # A row has no result. A synonym of success counts here: it makes the task be polled, and that answer decides.
    status = read_status(found.status, _STATUSES, has_video=True)
    if status is TaskStatus.UNKNOWN:
        status = read_status(found.status, _STATUSES)
    own = ErrorDetails(code=found.code, message=found.message, request_id=details.request_id)
    return Task(
        ref=ref,
        status=status,
        raw_status=found.status,
        error=failure(own, account) if status is TaskStatus.FAILED else None,
        model=found.model_name,
        created_at=_from_milliseconds(found.gmt_create),
        started_at=_from_milliseconds(found.start_time),
        finished_at=_from_milliseconds(found.end_time),
        # The row's own `request_id` is that of the submit.
        request_id=details.request_id,
        raw=row,
    )


def _own(output: _WireOutput, details: ErrorDetails) -> ErrorDetails:
    """Prefer what the task says about its failure to what the answer says around it."""
    if output.code is None and output.message is None:
        return details
    return evolve(details, code=output.code or details.code, message=output.message or details.message)


def _neutral_usage(usage: _WireUsage | None) -> Usage | None:
    if usage is None or usage == _WireUsage():
        return None
    tier = _TIER.fullmatch(usage.SR.strip()) if usage.SR else None
    return Usage(
        duration=usage.duration,
        input_duration=usage.input_video_duration,
        output_duration=usage.output_video_duration,
        resolution=f"{tier[1]}P" if tier else None,
        ratio=usage.ratio,
        count=usage.video_count,
    )


def _from_milliseconds(milliseconds: float | None) -> datetime | None:
    return from_epoch(None if milliseconds is None else milliseconds / 1000)
