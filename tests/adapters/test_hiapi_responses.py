"""How the HiAPI adapter reads what is no refusal. https://docs.hiapi.ai/async-api/detail/"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from happyhorse_adapters.hiapi import HiAPIAdapter
from happyhorse_async.errors import InvalidResponseError
from happyhorse_async.messages import HttpResponse
from happyhorse_async.task import FailureReason, Task, TaskFailure, TaskRef, TaskStatus, Video

ADAPTER = HiAPIAdapter()
ACCOUNT = ADAPTER.account(provider="backup", api_key="sk-canary")
TASK_ID = "tk-hiapi-01ABCDEFGHJKMNPQRSTVWXYZ01"
OTHER = "https://cdn.example/other"
VIDEO = {"type": "video", "url": "https://cdn.example/v.mp4?sig=1", "expireAt": 1780604890}
FRAME = {"type": "first_frame", "url": "https://cdn.example/f.jpg", "expireAt": 1780604890}


def answer(data: object, headers: Mapping[str, str] | None = None) -> HttpResponse:
    envelope = {"code": 200, "message": "success", "data": data}
    return HttpResponse(status=200, headers=headers or {}, body=json.dumps(envelope).encode())


def task_object(**fields: Any) -> dict[str, Any]:
    return {
        "taskId": TASK_ID,
        "model": "happyhorse-1.1/text-to-video",
        "status": "success",
        "created": 1780000000,
        "completed": 1780000090,
        "storage": "temp",
        "output": [FRAME, VIDEO],
    } | fields


def fetch(**fields: Any) -> Task:
    return ADAPTER.decode_fetch(answer(task_object(**fields)), TASK_ID, ACCOUNT)


def test_a_submit_is_answered_with_an_id() -> None:
    """The answer to a submit has no status, so the task is pending and there is no word of the provider's."""
    task = ADAPTER.decode_submit(answer({"taskId": TASK_ID}), ACCOUNT)

    assert Task(ref=TaskRef("backup", TASK_ID), status=TaskStatus.PENDING) == task
    assert {"taskId": TASK_ID} == task.raw


@pytest.mark.parametrize(
    "data",
    [
        {"taskId": "task_7", "status": "queued"},
        {"taskId": "task_7", "status": "success", "position": 3},
        {"taskId": "task_7", "status": None},
    ],
)
def test_extras_in_the_answer_to_a_submit_are_kept_and_not_believed(data: dict[str, Any]) -> None:
    """Some accounts of the API show a status beside the id. What it means there is not documented."""
    task = ADAPTER.decode_submit(answer(data), ACCOUNT)

    assert ("task_7", TaskStatus.PENDING, None) == (task.id, task.status, task.raw_status)
    assert data == task.raw


@pytest.mark.parametrize(
    "envelope",
    [
        {"data": {"taskId": 12}},
        {"code": "200", "error_code": "", "data": {"taskId": "12"}},
        {"code": 200, "error_code": None, "error": None, "data": {"taskId": "12"}},
        {"code": 0, "data": {"taskId": "12"}},
        {"code": 500, "error_code": "STORAGE_UNAVAILABLE", "data": {"taskId": "12"}},
    ],
)
def test_an_id_is_never_thrown_away(envelope: dict[str, Any]) -> None:
    """Whatever else a 2xx says, the id in it names a task that is paid for."""
    response = HttpResponse(status=200, body=json.dumps(envelope).encode())

    assert TaskRef("backup", "12") == ADAPTER.decode_submit(response, ACCOUNT).ref


def test_the_request_id_comes_from_the_envelope_or_the_header() -> None:
    """The id of a call is kept for the support desk, wherever it stands."""
    data = task_object()
    in_header = answer(data, {"X-Request-Id": "req-header"})
    in_envelope = HttpResponse(status=200, body=json.dumps({"code": 200, "request_id": "req-1", "data": data}).encode())

    assert "req-header" == ADAPTER.decode_fetch(in_header, TASK_ID, ACCOUNT).request_id
    assert "req-header" == ADAPTER.decode_submit(in_header, ACCOUNT).request_id
    assert "req-1" == ADAPTER.decode_fetch(in_envelope, TASK_ID, ACCOUNT).request_id
    assert ADAPTER.decode_fetch(answer(data), TASK_ID, ACCOUNT).request_id is None


def test_a_success_is_read_whole() -> None:
    """Every field of a finished task finds its place."""
    task = fetch()

    assert (
        Task(
            ref=TaskRef("backup", TASK_ID),
            status=TaskStatus.SUCCEEDED,
            raw_status="success",
            videos=(
                Video(
                    url="https://cdn.example/v.mp4?sig=1",
                    expires_at=datetime(2026, 6, 4, 20, 28, 10, tzinfo=UTC),
                    cover_url="https://cdn.example/f.jpg",
                ),
            ),
            model="happyhorse-1.1/text-to-video",
            created_at=datetime(2026, 5, 28, 20, 26, 40, tzinfo=UTC),
            finished_at=datetime(2026, 5, 28, 20, 28, 10, tzinfo=UTC),
        )
        == task
    )
    assert task_object() == task.raw


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("queued", TaskStatus.PENDING),
        ("handling", TaskStatus.RUNNING),
        ("archiving", TaskStatus.RUNNING),
        ("success", TaskStatus.SUCCEEDED),
        ("fail", TaskStatus.FAILED),
        ("failed", TaskStatus.FAILED),
        ("error", TaskStatus.FAILED),
        ("cancelled", TaskStatus.CANCELED),
        ("canceled", TaskStatus.CANCELED),
        ("paused", TaskStatus.UNKNOWN),
        ("pending", TaskStatus.PENDING),
        ("succeeded", TaskStatus.SUCCEEDED),
        ("Success", TaskStatus.SUCCEEDED),
        ("", TaskStatus.UNKNOWN),
    ],
)
def test_every_status_has_its_meaning(word: str, status: TaskStatus) -> None:
    """The provider's five words, others that its pages expect, in any case; what else comes ends nothing."""
    task = fetch(status=word)

    assert (status, word) == (task.status, task.raw_status)


@pytest.mark.parametrize("word", ["queued", "handling", "archiving"])
def test_a_task_on_its_way_has_no_end_yet(word: str) -> None:
    """Until the end, `completed` is 0 and there is neither output nor error."""
    task = fetch(status=word, completed=0, output=None)

    assert (None, (), None) == (task.finished_at, task.videos, task.error)
    assert datetime(2026, 5, 28, 20, 26, 40, tzinfo=UTC) == task.created_at


def test_an_output_before_the_end_is_not_a_result() -> None:
    """Videos are those of a succeeded task."""
    assert () == fetch(status="archiving").videos


@pytest.mark.parametrize(
    ("output", "urls"),
    [
        ([VIDEO], ["https://cdn.example/v.mp4?sig=1"]),
        ([FRAME, VIDEO], ["https://cdn.example/v.mp4?sig=1"]),
        ([{"url": OTHER}, VIDEO], ["https://cdn.example/v.mp4?sig=1"]),
        ([VIDEO, {"type": "video", "url": OTHER}], ["https://cdn.example/v.mp4?sig=1", OTHER]),
        ([{"type": "video", "url": ""}, {"type": "video", "url": OTHER}], [OTHER]),
        ([FRAME, {"type": "reel", "url": OTHER}, {"type": "show", "url": f"{OTHER}2"}], [OTHER]),
        ([FRAME, {"url": OTHER}], [OTHER]),
        ([FRAME, OTHER], [OTHER]),
        (OTHER, [OTHER]),
        ({"url": OTHER}, [OTHER]),
        ({"video_url": [OTHER]}, [OTHER]),
        ([FRAME], []),
        ([{"type": "audio", "url": "https://cdn.example/b.mp3"}], []),
        ([{"type": "audio", "url": "https://cdn.example/b"}, {"type": "last_frame", "url": OTHER}], []),
        ([{"type": "thumbnail"}, {"type": "image", "url": OTHER}], []),
        ([{"url": "https://cdn.example/cover.jpg?x=1"}, {"url": OTHER}], [OTHER]),
        ([None, "nonsense", 7, VIDEO], ["https://cdn.example/v.mp4?sig=1"]),
        ([{"type": "video"}], []),
        ([], []),
        (None, []),
    ],
)
def test_the_output_is_chosen_by_its_type(output: object, urls: list[str]) -> None:
    """All videos count; without any, the entries that are not known to be a still or a sound."""
    assert urls == [video.url for video in fetch(output=output).videos]


@pytest.mark.parametrize("output", [[FRAME], {"url": 7}, "soon", [{"type": "audio", "url": OTHER}]])
def test_an_output_without_a_video_fails_and_is_named(output: object) -> None:
    """A success whose output has no video that can be read is NO_OUTPUT, and its error names the field."""
    task = fetch(output=output)

    assert (TaskStatus.FAILED, "success") == (task.status, task.raw_status)
    assert task.error is not None
    assert (FailureReason.NO_OUTPUT, True) == (task.error.reason, "data.output" in task.error.message)
    assert output == task.raw["output"]


@pytest.mark.parametrize(
    ("output", "cover"),
    [
        ([VIDEO], None),
        ([VIDEO, FRAME], "https://cdn.example/f.jpg"),
        ([FRAME, {"type": "thumbnail", "url": OTHER}, VIDEO], OTHER),
        ([VIDEO, {"type": "thumbnail", "url": OTHER}, {"type": "thumbnail", "url": f"{OTHER}2"}], OTHER),
        ([VIDEO, {"type": "last_frame", "url": OTHER}, {"type": "thumbnail"}], None),
    ],
)
def test_a_still_serves_as_cover(output: object, cover: str | None) -> None:
    """A thumbnail, or else the first frame, is the picture of the video."""
    assert [cover] == [video.cover_url for video in fetch(output=output).videos]


@pytest.mark.parametrize(
    ("expire_at", "expires_at"),
    [
        (1780604890, datetime(2026, 6, 4, 20, 28, 10, tzinfo=UTC)),
        ("1780604890", datetime(2026, 6, 4, 20, 28, 10, tzinfo=UTC)),
        (1780604890.0, datetime(2026, 6, 4, 20, 28, 10, tzinfo=UTC)),
        (0, None),
        (None, None),
        ("soon", None),
        (1e300, None),
    ],
)
def test_the_expiry_is_what_the_output_says(expire_at: object, expires_at: datetime | None) -> None:
    """`expireAt` is read however it is written, and one that cannot be read does not cost the video."""
    assert [expires_at] == [video.expires_at for video in fetch(output=[VIDEO | {"expireAt": expire_at}]).videos]


def test_types_that_differ_from_the_page_are_read() -> None:
    """Numbers may come as text or fractions, and what only adorns may be missing or odd."""
    task = fetch(created="1780000000", completed=1780000090.5, model=None, storage=7, price={"amount": 1}, error=None)

    assert datetime(2026, 5, 28, 20, 26, 40, tzinfo=UTC) == task.created_at
    assert datetime(2026, 5, 28, 20, 28, 10, 500_000, tzinfo=UTC) == task.finished_at
    assert task.model is None
    assert {"amount": 1} == task.raw["price"]


def test_the_route_stays_in_the_model() -> None:
    """With a route, the provider writes it behind the model, and so it is shown."""
    task = fetch(model="happyhorse-1.1/text-to-video@pro", route="pro")

    assert "happyhorse-1.1/text-to-video@pro" == task.model


def test_a_bare_object_is_enough() -> None:
    """A status alone makes an observation of the task that was asked for."""
    task = ADAPTER.decode_fetch(answer({"status": "handling"}), TASK_ID, ACCOUNT)

    assert Task(ref=TaskRef("backup", TASK_ID), status=TaskStatus.RUNNING, raw_status="handling") == task


def test_the_ref_is_the_one_in_the_answer() -> None:
    """An answer about another task says so in its ref, where the core sees it."""
    assert TaskRef("backup", "tk-other") == fetch(taskId="tk-other").ref


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (
            {"code": "TASK_FAILED", "message": "upstream said no"},
            TaskFailure(code="TASK_FAILED", message="upstream said no", reason=FailureReason.UNKNOWN),
        ),
        (
            {"code": "TASK_TIMEOUT", "message": "too slow"},
            TaskFailure(code="TASK_TIMEOUT", message="too slow", reason=FailureReason.TIMEOUT),
        ),
        (
            {"code": "INVALID_REQUEST", "message": "unreadable image"},
            TaskFailure(code="INVALID_REQUEST", message="unreadable image", reason=FailureReason.INVALID_REQUEST),
        ),
        (
            {"code": "STORAGE_UNAVAILABLE", "message": "m"},
            TaskFailure(code="STORAGE_UNAVAILABLE", message="m", reason=FailureReason.PROVIDER_FAULT),
        ),
        (
            {"code": "MODEL_UNAVAILABLE", "message": "m"},
            TaskFailure(code="MODEL_UNAVAILABLE", message="m", reason=FailureReason.PROVIDER_FAULT),
        ),
        (
            {"code": "NEW_CODE", "message": "m", "hint": 1},
            TaskFailure(code="NEW_CODE", message="m", reason=FailureReason.UNKNOWN),
        ),
        ({"code": 500, "message": None}, TaskFailure(code="500")),
        ({"code": "", "message": ""}, TaskFailure()),
        ({}, TaskFailure()),
        (None, TaskFailure()),
        ("broken", TaskFailure()),
    ],
)
def test_a_failed_task_says_why(error: object, failure: TaskFailure) -> None:
    """The code and message are kept as written, and the code decides the reason."""
    task = fetch(status="fail", error=error, output=None)

    assert failure == task.error
    assert () == task.videos


def test_a_success_has_no_error() -> None:
    """An `error` on a task that did not fail is left in the raw object."""
    assert fetch(error={"code": "TASK_FAILED", "message": "m"}).error is None


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (None, "data"),
        ([], "data"),
        ({}, "data.status"),
        ({"taskId": TASK_ID}, "data.status"),
        ({"taskId": TASK_ID, "status": None}, "data.status"),
        ({"taskId": TASK_ID, "status": {"word": "success"}}, "data.status"),
    ],
)
def test_a_query_answered_with_nonsense_names_the_field(data: object, path: str) -> None:
    """A task without a status cannot be understood."""
    with pytest.raises(InvalidResponseError) as caught:
        ADAPTER.decode_fetch(answer(data), TASK_ID, ACCOUNT)

    assert path == caught.value.path


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (None, "data"),
        ("tk-1", "data"),
        ({}, "data.taskId"),
        ({"id": "tk-1"}, "data.taskId"),
        ({"taskId": None}, "data.taskId"),
        ({"taskId": ""}, "data.taskId"),
        ({"taskId": ["tk-1"]}, "data.taskId"),
    ],
)
def test_a_submit_answered_with_nonsense_names_the_field(data: object, path: str) -> None:
    """A 2xx without an id cannot be understood, and is no refusal."""
    with pytest.raises(InvalidResponseError) as caught:
        ADAPTER.decode_submit(answer(data), ACCOUNT)

    assert path == caught.value.path


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"<html>Sign in</html>", b'{"code": 200, "da', b"\xff\xfe{}"])
def test_a_2xx_that_is_no_object_cannot_be_understood(body: bytes) -> None:
    """A page, an empty body or a torn one is neither an answer nor a refusal."""
    response = HttpResponse(status=200, body=body)

    with pytest.raises(InvalidResponseError):
        ADAPTER.decode_submit(response, ACCOUNT)
    with pytest.raises(InvalidResponseError):
        ADAPTER.decode_fetch(response, TASK_ID, ACCOUNT)
