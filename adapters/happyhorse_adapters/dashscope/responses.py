"""
What DashScope answers, and the `Task` or page of tasks that it means.

A task's own page and the list of tasks are two formats: other field names, other times, and no result in the list.
https://help.aliyun.com/zh/model-studio/manage-asynchronous-tasks
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

from attrs import define, evolve

from happyhorse_async.adapter import Account, PageRequest, TaskPage
from happyhorse_async.adapter_kit.decoding import Lax, from_epoch, parse_datetime, structure
from happyhorse_async.errors import InvalidResponseError
from happyhorse_async.redaction import redact_text
from happyhorse_async.task import Task, TaskFailure, TaskStatus, Usage, Video

from .errors import ErrorDetails, reason_of

# The official SDK has a word SUSPENDED as well, which no page explains. It stays unknown, and so not an end.
_STATUSES = {
    "PENDING": TaskStatus.PENDING,
    "RUNNING": TaskStatus.RUNNING,
    "SUCCEEDED": TaskStatus.SUCCEEDED,
    "FAILED": TaskStatus.FAILED,
    "CANCELED": TaskStatus.CANCELED,
    # "The task does not exist or its status is unknown."
    "UNKNOWN": TaskStatus.EXPIRED,
}

# Timestamps name no zone. The pages of April 2026 say UTC+8, also for Singapore; later ones say nothing.
_ZONE = timezone(timedelta(hours=8))

_URL_LIFETIME = timedelta(hours=24)
# From 2020 to 2100. The examples of the pages have `Expires=xxx`.
_PLAUSIBLE_EXPIRY = range(1_577_836_800, 4_102_444_800)

_TIER = re.compile(r"(\d+)(?:\.0)?P?", re.IGNORECASE)


@define(kw_only=True)
class _Accepted:
    """The `output` of the answer to a submit."""

    task_id: str
    task_status: Lax[str] = None


@define(kw_only=True)
class _Result:
    url: Lax[str] = None


@define(kw_only=True)
class _Output:
    task_status: str
    task_id: str | None = None
    code: Lax[str] = None
    message: Lax[str] = None
    video_url: str | None = None
    results: Lax[list[_Result]] = None
    submit_time: Lax[str] = None
    scheduled_time: Lax[str] = None
    end_time: Lax[str] = None


@define(kw_only=True)
class _Usage:
    # Seconds are typed as integers, and the page on video editing has 6.62. The tier is typed as an integer, and the
    # pages of April 2026 have the string "720".
    duration: Lax[float] = None
    input_video_duration: Lax[float] = None
    output_video_duration: Lax[float] = None
    video_count: Lax[int] = None
    SR: Lax[str] = None
    ratio: Lax[str] = None


@define(kw_only=True)
class _Answer:
    output: _Output
    usage: Lax[_Usage] = None


@define(kw_only=True)
class _Row:
    task_id: str
    status: Lax[str] = None
    model_name: Lax[str] = None
    gmt_create: Lax[float] = None
    start_time: Lax[float] = None
    end_time: Lax[float] = None
    code: Lax[str] = None
    message: Lax[str] = None


@define(kw_only=True)
class _List:
    data: list[Any] | None
    total: Lax[int] = None
    page_size: Lax[int] = None


def _status_of(word: str | None) -> TaskStatus:
    return _STATUSES.get((word or "").strip().upper(), TaskStatus.UNKNOWN)


def accepted_task(answer: Mapping[str, Any], details: ErrorDetails, account: Account) -> Task:
    """
    Read the task from the answer to a submit.

    :raises InvalidResponseError: there is no task id in it.
    """
    output = structure(answer.get("output"), _Accepted, root="output")
    if not output.task_id.strip():
        raise InvalidResponseError("the answer has an empty task id", path="output.task_id")
    status = _status_of(output.task_status)
    return Task(
        ref=account.ref(output.task_id),
        # It has been accepted. Should it have ended already, only a query has all that belongs to its end.
        status=TaskStatus.PENDING if output.task_status is None or status.is_terminal else status,
        raw_status=output.task_status,
        request_id=details.request_id,
        raw=answer,
    )


def observed_task(answer: Mapping[str, Any], details: ErrorDetails, task_id: str, account: Account) -> Task:
    """
    Read the task from the answer to a query of *task_id*.

    :raises InvalidResponseError: it has no status, or a field that matters cannot be read.
    """
    found = structure(answer, _Answer)
    output, usage = found.output, found.usage
    if not output.task_status.strip():
        raise InvalidResponseError("the answer has an empty status", path="output.task_status")
    status = _status_of(output.task_status)
    finished_at = parse_datetime(output.end_time, default_zone=_ZONE)
    url = _result_url(output) if status is TaskStatus.SUCCEEDED else None
    return Task(
        ref=account.ref(output.task_id or task_id),
        status=status,
        raw_status=output.task_status,
        videos=(_video(url, finished_at, usage),) if url else (),
        error=_failure(_own(output, details), account) if status is TaskStatus.FAILED else None,
        usage=_neutral_usage(usage),
        created_at=parse_datetime(output.submit_time, default_zone=_ZONE),
        started_at=parse_datetime(output.scheduled_time, default_zone=_ZONE),
        finished_at=finished_at,
        request_id=details.request_id,
        raw=answer,
    )


def listed_tasks(answer: Mapping[str, Any], details: ErrorDetails, page: PageRequest, account: Account) -> TaskPage:
    """
    Read a page of the list. A row that cannot be read is left out, since the others are as good as ever.

    :raises InvalidResponseError: there is no list in the answer.
    """
    found = structure(answer, _List)
    rows = found.data or []
    tasks = tuple(task for row in rows if (task := _listed_task(row, details, account)))
    # The largest page is not documented. A smaller one than was asked for would say so here; where it does not, and
    # names no total either, only an empty page is surely the last.
    size = found.page_size if found.page_size and found.page_size > 0 else None
    more = len(rows) >= (size or 1) if found.total is None else page.number * (size or page.size) < found.total
    return TaskPage(
        tasks=tasks, next=evolve(page, number=page.number + 1) if rows and more else None, size=size or page.size
    )


def _listed_task(row: Any, details: ErrorDetails, account: Account) -> Task | None:
    try:
        found = structure(row, _Row)
    except InvalidResponseError:
        return None
    if not found.task_id.strip():
        return None
    status = _status_of(found.status)
    own = ErrorDetails(code=found.code, message=found.message, request_id=details.request_id)
    return Task(
        ref=account.ref(found.task_id),
        status=status,
        raw_status=found.status,
        error=_failure(own, account) if status is TaskStatus.FAILED else None,
        model=found.model_name,
        created_at=_from_milliseconds(found.gmt_create),
        started_at=_from_milliseconds(found.start_time),
        finished_at=_from_milliseconds(found.end_time),
        # The row's own `request_id` is that of the submit.
        request_id=details.request_id,
        raw=row,
    )


def _result_url(output: _Output) -> str | None:
    # The general format of the task service; the vendor's command line reads it where there is no `video_url`.
    return output.video_url or next((result.url for result in output.results or () if result.url), None)


def _video(url: str, finished_at: datetime | None, usage: _Usage | None) -> Video:
    return Video(
        url=url,
        expires_at=_url_expiry(url) or (finished_at and finished_at + _URL_LIFETIME),
        duration=usage.output_video_duration if usage else None,
    )


def _url_expiry(url: str) -> datetime | None:
    try:
        expires = parse_qs(urlsplit(url).query).get("Expires", [""])[0]
    except ValueError:
        return None
    if not re.fullmatch(r"[0-9]{1,10}", expires) or int(expires) not in _PLAUSIBLE_EXPIRY:
        return None
    return from_epoch(int(expires))


def _own(output: _Output, details: ErrorDetails) -> ErrorDetails:
    """Put what a task says of its own failure before what the reply says around it."""
    return evolve(details, code=output.code or details.code, message=output.message or details.message)


def _failure(details: ErrorDetails, account: Account) -> TaskFailure:
    return TaskFailure(
        code=details.code,
        message=redact_text(details.message or "", account.api_key),
        reason=reason_of(details, account),
    )


def _neutral_usage(usage: _Usage | None) -> Usage | None:
    if usage is None or usage == _Usage():
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
