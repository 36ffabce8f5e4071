"""
A task in the words of the emulated DashScope: in the answer to a query, as a row of the list, and as an event.

https://www.alibabacloud.com/help/en/model-studio/manage-asynchronous-tasks and
https://help.aliyun.com/en/model-studio/async-task-api.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from happyhorse_async.emulation import Job
from happyhorse_async.request import ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest
from happyhorse_async.task import FailureReason, TaskFailure, TaskStatus, Usage

BEIJING = timezone(timedelta(hours=8))
"""Times have no offset and are Beijing time, also on the Singapore page."""
REGION = "ap-southeast-1"
"""The region of the account."""

STATUS_WORDS = {
    TaskStatus.PENDING: "PENDING",
    TaskStatus.RUNNING: "RUNNING",
    TaskStatus.SUCCEEDED: "SUCCEEDED",
    TaskStatus.FAILED: "FAILED",
    TaskStatus.CANCELED: "CANCELED",
    TaskStatus.UNKNOWN: "UNKNOWN",
}
"""The words of DashScope."""

# https://www.alibabacloud.com/help/en/model-studio/error-code
_FAILURES: dict[FailureReason, tuple[str, str]] = {
    FailureReason.INVALID_REQUEST: ("InvalidParameter", "The parameter is invalid."),
    FailureReason.CONTENT_REJECTED: ("DataInspectionFailed", "Output data may contain inappropriate content."),
    FailureReason.QUOTA_EXCEEDED: ("Arrearage", "Access denied, the account has an overdue payment."),
    FailureReason.RATE_LIMITED: ("Throttling.RateQuota", "Requests rate limit exceeded."),
    FailureReason.TIMEOUT: ("InternalError.Timeout", "The task gave no result within three hours."),
    FailureReason.PROVIDER_FAULT: ("InternalError.Algo", "The inference service failed."),
}
_UNEXPLAINED = ("Unknown", "The task failed.")


def output_of(job: Job) -> dict[str, Any]:
    """Return the `output` of the answer to a query."""
    task = job.task
    output: dict[str, Any] = {"task_id": task.id, "task_status": task.raw_status or STATUS_WORDS[task.status]}
    moments = {"submit_time": task.created_at, "scheduled_time": task.started_at, "end_time": task.finished_at}
    output |= {name: _beijing_time(moment) for name, moment in moments.items() if moment is not None}
    if task.error is not None:
        output["code"], output["message"] = _failure(task.error)
    if task.status is TaskStatus.SUCCEEDED and job.request.prompt:
        output["orig_prompt"] = job.request.prompt
    if task.video_url is not None:
        output["video_url"] = task.video_url
    return output


def _failure(failure: TaskFailure) -> tuple[str, str]:
    return _FAILURES.get(failure.reason, _UNEXPLAINED)


def usage_of(usage: Usage, request: VideoRequest) -> dict[str, Any]:
    """Return the `usage` beside it."""
    # Seconds are integers, except for an edit, whose source may have any length.
    number = float if isinstance(request, VideoEdit) else int
    lines = (usage.resolution or "").removesuffix("P")
    answer: dict[str, Any] = {
        "duration": number(usage.duration or 0),
        "input_video_duration": number(usage.input_duration or 0),
        "output_video_duration": number(usage.output_duration or 0),
        "video_count": usage.count,
        # The examples for 1.0 (April 2026) show a text, those since 1.1 the documented integer.
        "SR": lines if "-1.0-" in str(request.model) else int(lines),
    }
    if isinstance(request, TextToVideo | ReferenceToVideo):
        answer["ratio"] = usage.ratio
    return answer


def list_row(job: Job) -> dict[str, Any]:
    """Return a row of the list: flat, with other names, times in milliseconds of the Unix epoch, and no URL."""
    task = job.task
    moments = {"gmt_create": task.created_at, "start_time": task.started_at, "end_time": task.finished_at}
    return {
        "task_id": task.id,
        "status": task.raw_status or STATUS_WORDS[task.status],
        "model_name": task.model,
        **{name: _milliseconds(moment) for name, moment in moments.items() if moment is not None},
        "caller_uid": "200",
        "caller_parent_id": "200",
        **_origin(job),
    }


def end_event(job: Job) -> dict[str, Any]:
    """Return the event of an end. No documented example has the result, so that a query must follow."""
    # The times have no milliseconds here.
    task = job.task
    moments = {"start_time": task.started_at, "end_time": task.finished_at}
    return {
        "task_id": task.id,
        "task_status": STATUS_WORDS[task.status],
        **{name: _beijing_time(moment, "seconds") for name, moment in moments.items() if moment is not None},
        "contain_result": False,
        **_origin(job),
    }


def _origin(job: Job) -> dict[str, Any]:
    """Return the fields about the account and the API."""
    return {
        "region": REGION,
        "request_id": job.submit_id,
        "api_key_id": "100",
        "user_api_unique_key": f"apikey:v1:aigc:video-generation:video-synthesis:{job.task.model}",
    }


def _beijing_time(moment: datetime, precision: str = "milliseconds") -> str:
    return moment.astimezone(BEIJING).replace(tzinfo=None).isoformat(" ", precision)


def _milliseconds(moment: datetime) -> int:
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)
