"""What the imini adapter reads of a task."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from happyhorse_adapters.imini import IminiAdapter
from happyhorse_async.errors import InvalidResponseError
from happyhorse_async.messages import HttpResponse
from happyhorse_async.task import FailureReason, Task, TaskFailure, TaskRef, TaskStatus, Video

ADAPTER = IminiAdapter()
ACCOUNT = ADAPTER.account(provider="main", api_key="canary-key")

MODEL = "dashscope/happyhorse-1.0"


def reply(body: object, status: int = 200) -> HttpResponse:
    return HttpResponse(status=status, headers={"X-Request-ID": "header-1"}, body=json.dumps(body).encode())


def fetch(body: object) -> Task:
    return ADAPTER.decode_fetch(reply(body), "task_1", ACCOUNT)


ACCEPTED: dict[str, Any] = {
    "task_id": "task_2044275355061448704",
    "model": MODEL,
    "created_at": "2026-07-02T08:15:00.000Z",
    "request_id": "6f0c",
}
CREATED = datetime(2026, 7, 2, 8, 15, tzinfo=UTC)
COMPLETED = datetime(2026, 7, 2, 8, 16, 41, tzinfo=UTC)


@pytest.mark.parametrize("status", [200, 201, 202])
def test_accepted_submit_is_a_waiting_task(status: int) -> None:
    """Any success accepts a submit; its answer has no status, so the task waits for its turn."""
    task = ADAPTER.decode_submit(reply(ACCEPTED, status), ACCOUNT)

    assert (
        Task(
            ref=TaskRef("main", "task_2044275355061448704"),
            status=TaskStatus.PENDING,
            model=MODEL,
            created_at=CREATED,
            request_id="6f0c",
        )
        == task
    )
    assert ACCEPTED == task.raw


def test_submit_survives_odd_adornments() -> None:
    """A field that does not matter cannot cost a paid task; a long number is read as the id it is."""
    task = ADAPTER.decode_submit(reply({"task_id": 2044275355061448704, "model": [], "created_at": 1}), ACCOUNT)

    assert Task(ref=TaskRef("main", "2044275355061448704"), status=TaskStatus.PENDING, request_id="header-1") == task


@pytest.mark.parametrize("body", [{}, {"task_id": None}, {"task_id": " "}, {"task_id": {}}, {"id": "task_1"}])
def test_submit_without_an_id_is_invalid(body: dict[str, Any]) -> None:
    """A success that names no task is not understood, and the error says which field is missing."""
    with pytest.raises(InvalidResponseError) as caught:
        ADAPTER.decode_submit(reply(body), ACCOUNT)

    assert "task_id" == caught.value.path


@pytest.mark.parametrize("body", [b"", b"<html>login</html>", b"[]", b'"ok"', b"\xff", b'{"task_id": NaN}'])
def test_unreadable_answers_are_invalid(body: bytes) -> None:
    """A success that is no JSON object is not understood, on a submit and a query alike."""
    response = HttpResponse(status=200, body=body)

    with pytest.raises(InvalidResponseError):
        ADAPTER.decode_submit(response, ACCOUNT)
    with pytest.raises(InvalidResponseError):
        ADAPTER.decode_fetch(response, "task_1", ACCOUNT)


URL = "https://file.example/u.mp4"
VIDEO: dict[str, Any] = {
    "url": "https://file.example/v.mp4",
    "width": 1280,
    "height": 720,
    "duration": 5,
    "cover_url": "https://file.example/c.jpg",
}
DONE: dict[str, Any] = {
    "task_id": "task_1",
    "status": "succeeded",
    "model": MODEL,
    "created_at": "2026-07-02T08:15:00.000Z",
    "completed_at": "2026-07-02T08:16:41.000Z",
    "videos": [VIDEO],
    "error": None,
    "request_id": "req_1",
}


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("queued", TaskStatus.PENDING),
        ("processing", TaskStatus.RUNNING),
        ("succeeded", TaskStatus.SUCCEEDED),
        ("failed", TaskStatus.FAILED),
        ("running", TaskStatus.UNKNOWN),
        ("Queued", TaskStatus.PENDING),
    ],
)
def test_every_status_is_read(word: str, status: TaskStatus) -> None:
    """The four documented words have their meaning in any case; any other is unknown and kept."""
    task = fetch({"task_id": "task_1", "status": word, "videos": None, "error": None, "completed_at": None})

    assert (status, word) == (task.status, task.raw_status)


def test_succeeded_task_is_read_whole() -> None:
    """A finished task has its videos with their sizes, both times and the id of the call."""
    task = fetch(DONE | {"videos": [VIDEO, {"url": "https://file.example/w.mp4"}]})

    assert (
        Task(
            ref=TaskRef("main", "task_1"),
            status=TaskStatus.SUCCEEDED,
            raw_status="succeeded",
            videos=(
                Video(
                    url="https://file.example/v.mp4",
                    width=1280,
                    height=720,
                    duration=5,
                    cover_url="https://file.example/c.jpg",
                ),
                Video(url="https://file.example/w.mp4"),
            ),
            model=MODEL,
            created_at=CREATED,
            finished_at=COMPLETED,
            request_id="req_1",
        )
        == task
    )
    assert [VIDEO, {"url": "https://file.example/w.mp4"}] == task.raw["videos"]


@pytest.mark.parametrize(
    ("video", "expected"),
    [
        ({"width": "1280", "height": 720.0, "duration": "5.04"}, Video(url=URL, width=1280, height=720, duration=5.04)),
        ({"width": None, "height": {}, "duration": [], "cover_url": None, "codec": "h264"}, Video(url=URL)),
        ({"width": 0.5, "duration": "long", "cover_url": ""}, Video(url=URL)),
    ],
)
def test_sizes_of_odd_types_do_not_cost_the_video(video: dict[str, Any], expected: Video) -> None:
    """What adorns a video is read where it can be, and is absent where it cannot."""
    assert (expected,) == fetch(DONE | {"videos": [{"url": URL} | video]}).videos


@pytest.mark.parametrize("videos", [None, []])
def test_success_without_a_video_is_kept_as_it_is(videos: object) -> None:
    """A success that delivers nothing is a success without videos; the judgement is not the adapter's."""
    task = fetch(DONE | {"videos": videos})

    assert (TaskStatus.SUCCEEDED, ()) == (task.status, task.videos)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"status": "queued"}, Task(ref=TaskRef("main", "task_1"), status=TaskStatus.PENDING, raw_status="queued")),
        (
            {"task_id": None, "status": "processing", "created_at": 5, "model": {}, "progress": 3, "request_id": None},
            Task(ref=TaskRef("main", "task_1"), status=TaskStatus.RUNNING, raw_status="processing"),
        ),
    ],
)
def test_fields_may_be_missing_null_new_or_odd(body: dict[str, Any], expected: Task) -> None:
    """A query answer is read whatever it leaves out or adds; without an id it is about the task asked for."""
    assert expected == ADAPTER.decode_fetch(HttpResponse(status=200, body=json.dumps(body).encode()), "task_1", ACCOUNT)


def test_request_id_may_stand_in_the_header() -> None:
    """Without an id of the call in the body, the header's is taken."""
    assert "header-1" == fetch({"status": "queued"}).request_id


def test_answer_about_another_task_says_so() -> None:
    """The ref is the answer's own, so that nobody is handed another task's video."""
    assert "main:task_2" == str(fetch(DONE | {"task_id": "task_2"}).ref)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"status": None}, "status"),
        ({"status": []}, "status"),
        ({"task_id": {}}, "task_id"),
    ],
)
def test_what_matters_and_cannot_be_read_is_named(change: dict[str, Any], path: str) -> None:
    """A query answer whose status or result cannot be read names the field."""
    with pytest.raises(InvalidResponseError) as caught:
        fetch(DONE | change)

    assert path == caught.value.path


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (
            {"code": "INVALID_PROMPT", "message": "flagged", "request_id": "req_2"},
            TaskFailure(code="INVALID_PROMPT", message="flagged", reason=FailureReason.CONTENT_REJECTED),
        ),
        (
            {"code": "INVALID_PARAMETER", "message": "no", "status": 400},
            TaskFailure(code="INVALID_PARAMETER", message="no", reason=FailureReason.INVALID_REQUEST),
        ),
        (
            {"code": "INSUFFICIENT_CREDITS"},
            TaskFailure(code="INSUFFICIENT_CREDITS", reason=FailureReason.QUOTA_EXCEEDED),
        ),
        ({"code": "RATE_LIMITED"}, TaskFailure(code="RATE_LIMITED", reason=FailureReason.RATE_LIMITED)),
        (
            {"code": "MODEL_DOWN", "message": "no", "status": 502},
            TaskFailure(code="MODEL_DOWN", message="no", reason=FailureReason.PROVIDER_FAULT),
        ),
        ({"code": "MODEL_DOWN", "message": "no"}, TaskFailure(code="MODEL_DOWN", message="no")),
        ({"code": "ODD", "status": 404}, TaskFailure(code="ODD")),
        ({"message": "broken", "status": "soon"}, TaskFailure(message="broken")),
        ({}, TaskFailure()),
        (None, TaskFailure()),
    ],
)
def test_failure_is_read_with_whatever_it_has(error: object, failure: TaskFailure) -> None:
    """Of a failed task's error every field is optional; the code decides, then the status."""
    assert failure == fetch(DONE | {"status": "failed", "videos": None, "error": error}).error


def test_error_of_a_task_that_has_not_failed_is_left_in_raw() -> None:
    """Only a failed task has a failure."""
    task = fetch(DONE | {"error": {"code": "RATE_LIMITED"}})

    assert task.error is None
    assert {"code": "RATE_LIMITED"} == task.raw["error"]
