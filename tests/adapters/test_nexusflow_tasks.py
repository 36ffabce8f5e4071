"""What the nexusflow adapter reads of a task."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from happyhorse_adapters.nexusflow import NexusFlowAdapter
from happyhorse_async.errors import InvalidResponseError
from happyhorse_async.messages import HttpResponse
from happyhorse_async.task import FailureReason, Task, TaskFailure, TaskRef, TaskStatus, Usage, Video

ADAPTER = NexusFlowAdapter()
ACCOUNT = ADAPTER.account(provider="main", api_key="sk-air-canary")

TASK: dict[str, Any] = {
    "id": "task_1",
    "object": "task",
    "status": "running",
    "model": "happyhorse-1.0-t2v",
    "type": "video",
    "created_at": "2026-07-02T08:15:00.000Z",
}
URL = "https://bucket.example/x.mp4"
DONE: dict[str, Any] = TASK | {
    "status": "succeeded",
    "progress": 100,
    "output": {"type": "video", "video_url": URL},
    "error": None,
    "completed_at": "2026-07-02T08:17:10.000Z",
}
CREATED = datetime(2026, 7, 2, 8, 15, tzinfo=UTC)
COMPLETED = datetime(2026, 7, 2, 8, 17, 10, tzinfo=UTC)


def reply(body: object, status: int = 200) -> HttpResponse:
    return HttpResponse(status=status, headers={"X-Request-ID": "req-1"}, body=json.dumps(body).encode())


def fetch(body: object) -> Task:
    return ADAPTER.decode_fetch(reply(body), "task_1", ACCOUNT)


def test_accepted_submit_is_a_task() -> None:
    """The answer to a submit has the task's name, its status, its model and when it was taken."""
    task = ADAPTER.decode_submit(reply(TASK, 202), ACCOUNT)

    assert (
        Task(
            ref=TaskRef("main", "task_1"),
            status=TaskStatus.RUNNING,
            raw_status="running",
            model="happyhorse-1.0-t2v",
            created_at=CREATED,
            request_id="req-1",
        )
        == task
    )
    assert TASK == task.raw


@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_success_status_accepts_a_submit(status: int) -> None:
    """The documented 202 is not insisted on."""
    assert "task_1" == ADAPTER.decode_submit(reply(TASK, status), ACCOUNT).id


@pytest.mark.parametrize(
    ("word", "status"),
    [("pending", TaskStatus.PENDING), ("dreaming", TaskStatus.UNKNOWN), (None, TaskStatus.PENDING)],
)
def test_submit_status_never_costs_the_id(word: str | None, status: TaskStatus) -> None:
    """A paid task is known by its id, whatever its status says, or if it says nothing."""
    task = ADAPTER.decode_submit(reply(TASK | {"status": word}, 202), ACCOUNT)

    assert ("task_1", status, word) == (task.id, task.status, task.raw_status)


def test_submit_may_answer_with_the_end() -> None:
    """A task that has ended in the answer to its submit is read whole."""
    task = ADAPTER.decode_submit(reply(DONE, 202), ACCOUNT)

    assert TaskStatus.SUCCEEDED is task.status
    assert URL == task.video_url


def test_submit_survives_odd_adornments() -> None:
    """A field that does not matter cannot cost a paid task, of whatever type it is."""
    odd = {"id": 17, "status": "running", "model": ["x"], "created_at": 5, "output": "soon", "error": []}

    assert Task(
        ref=TaskRef("main", "17"), status=TaskStatus.RUNNING, raw_status="running", request_id="req-1"
    ) == ADAPTER.decode_submit(reply(odd, 202), ACCOUNT)


@pytest.mark.parametrize("body", [{}, {"id": None}, {"id": " "}, {"id": {}}, {"status": "running"}, {"error": "x"}])
def test_submit_without_an_id_is_invalid(body: dict[str, Any]) -> None:
    """A success that names no task is not understood, and the error says which field is missing."""
    with pytest.raises(InvalidResponseError) as caught:
        ADAPTER.decode_submit(reply(body, 202), ACCOUNT)

    assert "id" == caught.value.path


@pytest.mark.parametrize("body", [b"", b"<html>login</html>", b"[]", b'"ok"', b"\xff", b'{"id": NaN}'])
def test_unreadable_answers_are_invalid(body: bytes) -> None:
    """A success that is no JSON object is not understood, on a submit and a query alike."""
    response = HttpResponse(status=200, body=body)

    with pytest.raises(InvalidResponseError):
        ADAPTER.decode_submit(response, ACCOUNT)
    with pytest.raises(InvalidResponseError):
        ADAPTER.decode_fetch(response, "task_1", ACCOUNT)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("pending", TaskStatus.PENDING),
        ("running", TaskStatus.RUNNING),
        ("succeeded", TaskStatus.SUCCEEDED),
        ("failed", TaskStatus.FAILED),
        ("canceled", TaskStatus.CANCELED),
        ("suspended", TaskStatus.UNKNOWN),
        ("SUCCEEDED", TaskStatus.SUCCEEDED),
    ],
)
def test_every_status_is_read(word: str, status: TaskStatus) -> None:
    """The four documented words have their meaning in any case; any other is unknown and kept."""
    task = fetch(TASK | {"status": word})

    assert (status, word) == (task.status, task.raw_status)


def test_succeeded_task_is_read_whole() -> None:
    """A finished task has its video, the bill, both times and the provider's own object."""
    usage = {"duration": 4, "input_video_duration": 0, "output_video_duration": 4.04, "SR": 720, "ratio": "9:16"}
    body = DONE | {"output": {"type": "video", "video_url": URL, "usage": usage | {"video_count": 1}}}
    task = fetch(body)

    assert (
        Task(
            ref=TaskRef("main", "task_1"),
            status=TaskStatus.SUCCEEDED,
            raw_status="succeeded",
            progress=100,
            videos=(Video(url=URL, expires_at=datetime(2026, 7, 3, 8, 17, 10, tzinfo=UTC)),),
            usage=Usage(duration=4, input_duration=0, output_duration=4.04, resolution="720P", ratio="9:16", count=1),
            model="happyhorse-1.0-t2v",
            created_at=CREATED,
            finished_at=COMPLETED,
            request_id="req-1",
        )
        == task
    )
    assert body == task.raw


@pytest.mark.parametrize(
    ("tier", "resolution"),
    [
        ("720", "720P"),
        (720, "720P"),
        (1080.0, "1080P"),
        ("1080P", "1080P"),
        ("1080p", "1080P"),
        (None, None),
        ({}, None),
    ],
)
def test_billed_tier_is_read_in_every_spelling(tier: object, resolution: str | None) -> None:
    """DashScope's `SR` is text or a number, and one spelling here."""
    task = fetch(DONE | {"output": {"video_url": URL, "usage": {"SR": tier}}})

    assert Usage(resolution=resolution) == task.usage


@pytest.mark.parametrize("usage", [None, "4 s", []])
def test_unreadable_usage_is_none(usage: object) -> None:
    """A bill that cannot be read does not cost the video."""
    task = fetch(DONE | {"output": {"video_url": URL, "usage": usage}})

    assert (URL, None) == (task.video_url, task.usage)


@pytest.mark.parametrize(
    ("query", "expires_at"),
    [
        ("?Expires=1783066630&OSSAccessKeyId=x", datetime(2026, 7, 3, 8, 17, 10, tzinfo=UTC)),
        ("?a=b&Expires=1783152000", datetime(2026, 7, 4, 8, 0, tzinfo=UTC)),
        ("?Expires=1783152000#t=1", datetime(2026, 7, 4, 8, 0, tzinfo=UTC)),
        ("?Expires=1", datetime(2026, 7, 3, 8, 17, 10, tzinfo=UTC)),
        ("?Expires=1783152000000", datetime(2026, 7, 3, 8, 17, 10, tzinfo=UTC)),
        (f"?Expires={'9' * 5000}", datetime(2026, 7, 3, 8, 17, 10, tzinfo=UTC)),
        ("?Expires=99999999999", datetime(2026, 7, 3, 8, 17, 10, tzinfo=UTC)),
        ("?Expires=soon", datetime(2026, 7, 3, 8, 17, 10, tzinfo=UTC)),
        ("?NotExpires=1783152000", datetime(2026, 7, 3, 8, 17, 10, tzinfo=UTC)),
        ("", datetime(2026, 7, 3, 8, 17, 10, tzinfo=UTC)),
    ],
)
def test_url_dies_when_it_says_or_after_a_day(query: str, expires_at: datetime) -> None:
    """A URL's own `Expires` counts if it lies after the task's end; else 24 hours from there."""
    task = fetch(DONE | {"output": {"video_url": URL + query}})

    assert expires_at == task.videos[0].expires_at


@pytest.mark.parametrize(
    ("created_at", "query", "expires_at"),
    [
        (TASK["created_at"], "?Expires=1783066630", datetime(2026, 7, 3, 8, 17, 10, tzinfo=UTC)),
        (TASK["created_at"], "?Expires=1777000000", None),
        (None, "?Expires=1783066630", datetime(2026, 7, 3, 8, 17, 10, tzinfo=UTC)),
        (None, "?Expires=1", None),
    ],
)
def test_without_an_end_only_a_plausible_expiry_counts(
    created_at: str | None, query: str, expires_at: datetime | None
) -> None:
    """Where a task does not say when it ended, `Expires` counts if it lies after its creation, or after 2025."""
    task = fetch(DONE | {"created_at": created_at, "completed_at": None, "output": {"video_url": URL + query}})

    assert expires_at == task.videos[0].expires_at


@pytest.mark.parametrize("output", [None, {}, {"video_url": None}, {"video_url": ""}, {"type": "video"}])
def test_success_without_a_video_is_kept_as_it_is(output: object) -> None:
    """A success that delivers nothing is a success without videos; the judgement is not the adapter's."""
    task = fetch(DONE | {"output": output})

    assert (TaskStatus.SUCCEEDED, ()) == (task.status, task.videos)


def test_answer_about_another_task_says_so() -> None:
    """The ref is the answer's own, so that nobody is handed another task's video."""
    assert "main:task_2" == str(fetch(DONE | {"id": "task_2"}).ref)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"status": None}, "status"),
        ({"status": {}}, "status"),
        ({"id": []}, "id"),
    ],
)
def test_what_matters_and_cannot_be_read_is_named(change: dict[str, Any], path: str) -> None:
    """A query answer whose status or result cannot be read names the field."""
    with pytest.raises(InvalidResponseError) as caught:
        fetch(DONE | change)

    assert path == caught.value.path


def test_status_is_required_of_a_query() -> None:
    """A query answer without a status is not understood."""
    with pytest.raises(InvalidResponseError) as caught:
        fetch({"id": "task_1"})

    assert "status" == caught.value.path


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"status": "running"}, Task(ref=TaskRef("main", "task_1"), status=TaskStatus.RUNNING, raw_status="running")),
        (
            {"id": None, "status": "pending", "output": None, "error": None, "completed_at": None, "progress": None},
            Task(ref=TaskRef("main", "task_1"), status=TaskStatus.PENDING, raw_status="pending"),
        ),
        (
            {"id": "task_1", "status": "running", "progress": "50", "new": {"field": [1]}, "created_at": "yesterday"},
            Task(ref=TaskRef("main", "task_1"), status=TaskStatus.RUNNING, raw_status="running", progress=50),
        ),
        (
            {"id": "task_1", "status": "running", "progress": "half", "created_at": "2026-07-02T16:15:00+08:00"},
            Task(ref=TaskRef("main", "task_1"), status=TaskStatus.RUNNING, raw_status="running", created_at=CREATED),
        ),
    ],
)
def test_fields_may_be_missing_null_new_or_odd(body: dict[str, Any], expected: Task) -> None:
    """A query answer is read whatever it leaves out or adds; without an id it is about the task asked for."""
    assert expected == ADAPTER.decode_fetch(HttpResponse(status=200, body=json.dumps(body).encode()), "task_1", ACCOUNT)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (
            "InvalidParameter: duration out of range",
            TaskFailure(code="InvalidParameter", message="duration out of range", reason=FailureReason.INVALID_REQUEST),
        ),
        (
            "InvalidParameter.DataInspection: Unable to download the media resource",
            TaskFailure(
                code="InvalidParameter.DataInspection",
                message="Unable to download the media resource",
                reason=FailureReason.INVALID_REQUEST,
            ),
        ),
        (
            "DataInspectionFailed: Output refused.",
            TaskFailure(code="DataInspectionFailed", message="Output refused.", reason=FailureReason.CONTENT_REJECTED),
        ),
        (
            "Output data may contain inappropriate content.",
            TaskFailure(
                message="Output data may contain inappropriate content.", reason=FailureReason.CONTENT_REJECTED
            ),
        ),
        (
            "Throttling.RateQuota: too fast",
            TaskFailure(code="Throttling.RateQuota", message="too fast", reason=FailureReason.RATE_LIMITED),
        ),
        (
            "InternalError.Algo: one\ntwo: three",
            TaskFailure(code="InternalError.Algo", message="one\\ntwo: three", reason=FailureReason.PROVIDER_FAULT),
        ),
        (
            "InternalError.Timeout: no result",
            TaskFailure(code="InternalError.Timeout", message="no result", reason=FailureReason.TIMEOUT),
        ),
        (
            "InternalError",
            TaskFailure(code="InternalError", message="InternalError", reason=FailureReason.PROVIDER_FAULT),
        ),
        ("the task went away", TaskFailure(message="the task went away")),
        ("Oddity: nobody knows", TaskFailure(code="Oddity", message="nobody knows")),
        (
            {"code": "DataInspectionFailed", "message": "no", "type": "x"},
            TaskFailure(code="DataInspectionFailed", message="no", reason=FailureReason.CONTENT_REJECTED),
        ),
        (
            {"code": "content_filter", "message": "no"},
            TaskFailure(code="content_filter", message="no", reason=FailureReason.CONTENT_REJECTED),
        ),
        (
            {"code": "insufficient_balance"},
            TaskFailure(code="insufficient_balance", reason=FailureReason.QUOTA_EXCEEDED),
        ),
        ({"message": "broken"}, TaskFailure(message="broken")),
        ({}, TaskFailure()),
        ("", TaskFailure()),
        (None, TaskFailure()),
        (["odd"], TaskFailure()),
    ],
)
def test_failure_is_read_from_text_object_or_nothing(error: object, failure: TaskFailure) -> None:
    """The error of a failed task is a text with or without a code, an object, or null: the words are always kept."""
    body = TASK | {"status": "failed", "progress": 0, "error": error, "completed_at": "2026-07-02T08:17:10.000Z"}
    task = fetch(body)

    assert failure == task.error
    assert COMPLETED == task.finished_at


def test_error_of_a_task_that_has_not_failed_is_left_in_raw() -> None:
    """Only a failed task has a failure."""
    task = fetch(TASK | {"error": "Throttling: slow"})

    assert task.error is None
    assert "Throttling: slow" == task.raw["error"]
