"""What DashScope's answers to a query mean."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from happyhorse_adapters.dashscope import DashScopeAdapter
from happyhorse_async.errors import (
    InvalidResponseError,
    TaskNotFoundError,
)
from happyhorse_async.messages import HttpResponse
from happyhorse_async.task import FailureReason, Task, TaskFailure, TaskRef, TaskStatus, Usage

ADAPTER = DashScopeAdapter()
ACCOUNT = ADAPTER.account(provider="main", api_key="sk-canary")
TASK_ID = "22222222-aaaa-4bbb-8ccc-000000000002"
CHINA = timezone(timedelta(hours=8))

SUCCESS: dict[str, Any] = {
    "request_id": "44444444-aaaa-4bbb-8ccc-000000000004",
    "output": {
        "task_id": TASK_ID,
        "task_status": "SUCCEEDED",
        "submit_time": "2026-11-21 10:00:00.120",
        "scheduled_time": "2026-11-21 10:00:00.161",
        "end_time": "2026-11-21 10:03:41.907",
        "orig_prompt": "A paper boat",
        "video_url": "https://dashscope-result.example-oss.invalid/x.mp4?Expires=1",
    },
    "usage": {
        "duration": 8,
        "input_video_duration": 0,
        "output_video_duration": 8,
        "video_count": 1,
        "SR": "720",
        "ratio": "21:9",
    },
}


def reply(answer: object, status: int = 200, headers: dict[str, str] | None = None) -> HttpResponse:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return HttpResponse(status=status, headers=headers or {}, body=body)


def fetched(answer: object) -> Task:
    return ADAPTER.decode_fetch(reply(answer), TASK_ID, ACCOUNT)


def success(usage: object = SUCCESS["usage"], **output: object) -> Task:
    return fetched({**SUCCESS, "output": {**SUCCESS["output"], **output}, "usage": usage})


def test_a_succeeded_task() -> None:
    """Every field of the documented answer finds its place."""
    task = success()
    video = task.videos[0]

    assert TaskRef("main", TASK_ID) == task.ref
    assert TaskStatus.SUCCEEDED is task.status
    assert "SUCCEEDED" == task.raw_status
    assert "https://dashscope-result.example-oss.invalid/x.mp4?Expires=1" == task.video_url
    assert 8.0 == video.duration
    assert (
        Usage(duration=8.0, input_duration=0.0, output_duration=8.0, resolution="720P", ratio="21:9", count=1)
        == task.usage
    )
    assert datetime(2026, 11, 21, 10, 0, 0, 120_000, CHINA) == task.created_at
    assert datetime(2026, 11, 21, 10, 0, 0, 161_000, CHINA) == task.started_at
    assert datetime(2026, 11, 21, 10, 3, 41, 907_000, CHINA) == task.finished_at
    assert "44444444-aaaa-4bbb-8ccc-000000000004" == task.request_id
    assert task.error is None
    assert task.progress is None
    assert SUCCESS == task.raw


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("PENDING", TaskStatus.PENDING),
        ("RUNNING", TaskStatus.RUNNING),
        ("SUCCEEDED", TaskStatus.SUCCEEDED),
        ("FAILED", TaskStatus.FAILED),
        ("CANCELED", TaskStatus.CANCELED),
        ("SUSPENDED", TaskStatus.UNKNOWN),
        ("BREWING", TaskStatus.UNKNOWN),
        ("running", TaskStatus.RUNNING),
    ],
)
def test_every_status(word: str, expected: TaskStatus) -> None:
    """The documented words have their meaning; any other is kept, and is no end."""
    task = fetched({"output": {"task_id": TASK_ID, "task_status": word}})

    assert expected is task.status
    assert word == task.raw_status


@pytest.mark.parametrize("status", [200, 404])
def test_a_task_that_dashscope_does_not_know(status: int) -> None:
    """`UNKNOWN` is one look at an id that was never known or is forgotten."""
    answer = {"request_id": "r-6", "output": {"task_id": TASK_ID, "task_status": "UNKNOWN"}}

    with pytest.raises(TaskNotFoundError) as caught:
        ADAPTER.decode_fetch(reply(answer, status), TASK_ID, ACCOUNT)
    assert "r-6" == caught.value.request_id


def test_the_unknown_task_is_named() -> None:
    """The error for an `UNKNOWN` carries the ref that was asked for."""
    with pytest.raises(TaskNotFoundError) as caught:
        fetched({"output": {"task_status": "UNKNOWN"}})

    assert TaskRef("main", TASK_ID) == caught.value.ref


def test_a_failed_task() -> None:
    """A failure inside a 200 is a task, with the provider's words and ours."""
    task = fetched(
        {
            "request_id": "r-5",
            "output": {
                "task_id": TASK_ID,
                "task_status": "FAILED",
                "code": "DataInspectionFailed",
                "message": "Output data may contain inappropriate content.",
            },
        }
    )

    assert TaskStatus.FAILED is task.status
    assert (
        TaskFailure(
            code="DataInspectionFailed",
            message="Output data may contain inappropriate content.",
            reason=FailureReason.CONTENT_REJECTED,
        )
        == task.error
    )


@pytest.mark.parametrize(
    ("output", "top"),
    [({}, {}), ({"code": None, "message": None}, {}), ({"code": "", "message": ""}, {"code": None, "message": ""})],
)
def test_a_failure_without_a_word(output: dict[str, object], top: dict[str, object]) -> None:
    """A failed task without code and message is failed all the same."""
    task = fetched({**top, "output": {"task_id": TASK_ID, "task_status": "FAILED", **output}})

    assert TaskFailure(code=None, message="", reason=FailureReason.UNKNOWN) == task.error


def test_the_code_of_a_failed_task_may_stand_outside() -> None:
    """A code beside `output` is taken where there is none inside; the task stays an answer."""
    task = fetched({"code": "Arrearage", "message": "pay", "output": {"task_id": TASK_ID, "task_status": "FAILED"}})

    assert TaskFailure(code="Arrearage", message="pay", reason=FailureReason.QUOTA_EXCEEDED) == task.error


def test_the_words_of_a_failure_hold_no_secrets() -> None:
    """A signed address or the key, echoed by the provider, does not get into a repr."""
    message = "cannot download https://img.example.net/a.png?Signature=canary for sk-canary"
    task = fetched({"output": {"task_status": "FAILED", "code": "InvalidURL", "message": message}})

    assert "canary" not in repr(task)
    assert task.error is not None
    assert "https://img.example.net/a.png" in task.error.message


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ({"task_id": None}, TASK_ID),
        ({"task_id": ""}, TASK_ID),
        ({"task_id": "another"}, "another"),
        ({"task_id": 5}, "5"),
    ],
)
def test_the_id_of_the_answer(output: dict[str, object], expected: str) -> None:
    """A missing id is the one that was asked for; another one is kept, since the answer is about another task."""
    assert expected == success(**output).id


def test_no_usage() -> None:
    """A task without figures has no usage, rather than one of zeros."""
    assert success(usage=None).usage is None
    assert success(usage={}).usage is None
    assert success(usage="free").usage is None
    assert success(usage={"fps": 24}).usage is None


@pytest.mark.parametrize(
    ("tier", "expected"),
    [
        ("720", "720P"),
        (720, "720P"),
        (480.0, "480P"),
        ("1080P", "1080P"),
        ("1080p", "1080P"),
        ("1280*720", None),
        ("", None),
        (None, None),
        (True, None),
        ({}, None),
    ],
)
def test_the_billed_tier(tier: object, expected: str | None) -> None:
    """The tier is a string in some examples and a number in others."""
    usage = success(usage={"SR": tier, "video_count": 1}).usage

    assert Usage(resolution=expected, count=1) == usage


def test_fractions_of_seconds() -> None:
    """An edit bills fractions, source and result together."""
    task = success(usage={"duration": 13.24, "input_video_duration": 6.62, "output_video_duration": 6.62})

    assert Usage(duration=13.24, input_duration=6.62, output_duration=6.62) == task.usage
    assert 6.62 == task.videos[0].duration


def test_figures_of_other_types() -> None:
    """A figure is read from a string where it is one, and one that cannot be read takes no other with it."""
    usage = success(
        usage={
            "duration": "5.0",
            "input_video_duration": "none",
            "output_video_duration": 5,
            "video_count": "1",
            "fps": 24,
        }
    ).usage

    assert Usage(duration=5.0, output_duration=5.0, count=1) == usage


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-21 10:03:41.907", datetime(2026, 11, 21, 2, 3, 41, 907_000, UTC)),
        ("2026-11-21 10:03:41", datetime(2026, 11, 21, 2, 3, 41, tzinfo=UTC)),
        ("2026-11-21T10:03:41Z", datetime(2026, 11, 21, 10, 3, 41, tzinfo=UTC)),
        ("yesterday", None),
        ("", None),
        (None, None),
        ({"at": 1}, None),
    ],
)
def test_timestamps(text: object, expected: datetime | None) -> None:
    """A time without a zone is one of UTC+8; one that cannot be read does not spoil the task."""
    task = success(end_time=text)

    assert expected == task.finished_at
    assert task.video_url is not None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://r.example/x.mp4?Expires=1795313021&Signature=s", datetime.fromtimestamp(1_795_313_021, UTC)),
        ("http://r.example/x.mp4?Expires=1795313021", datetime.fromtimestamp(1_795_313_021, UTC)),
        ("https://r.example/x.mp4", datetime(2026, 11, 22, 10, 3, 41, 907_000, CHINA)),
        ("https://r.example/x.mp4?Expires=1", datetime(2026, 11, 22, 10, 3, 41, 907_000, CHINA)),
        ("https://r.example/x.mp4?Expires=xxx", datetime(2026, 11, 22, 10, 3, 41, 907_000, CHINA)),
        ("https://r.example/x.mp4?Expires=" + "9" * 5000, datetime(2026, 11, 22, 10, 3, 41, 907_000, CHINA)),
        ("https://[r.example/x.mp4?Expires=1795313021", datetime.fromtimestamp(1_795_313_021, UTC)),
        ("https://r.example/x.mp4?Expires=17953130210", datetime(2026, 11, 22, 10, 3, 41, 907_000, CHINA)),
        ("https://r.example/x.mp4?XExpires=1795313021", datetime(2026, 11, 22, 10, 3, 41, 907_000, CHINA)),
    ],
)
def test_when_the_url_dies(url: str, expected: datetime) -> None:
    """The URL says so itself; if it does not, it is 24 hours after the end."""
    video = success(video_url=url).videos[0]

    assert url == video.url
    assert expected == video.expires_at


def test_when_the_url_dies_is_not_known() -> None:
    """Without an end there is nothing to count from."""
    assert success(end_time=None).videos[0].expires_at is None


@pytest.mark.parametrize("output", [{"video_url": None}, {"video_url": ""}, {"video_url": None, "results": "none"}])
def test_a_success_without_a_video_stays_what_the_provider_calls_it(output: dict[str, object]) -> None:
    """Whether that is a failure is not the adapter's to say."""
    task = success(**output)

    assert TaskStatus.SUCCEEDED is task.status
    assert () == task.videos


def test_the_general_place_of_a_result() -> None:
    """Where there is no `video_url`, the first of `results` is taken."""
    task = success(video_url=None, results=[{"url": "https://r.example/y.mp4"}])

    assert "https://r.example/y.mp4" == task.video_url


def test_a_url_before_the_end_is_no_video() -> None:
    """Only a succeeded task has a result."""
    assert () == success(task_status="RUNNING").videos


@pytest.mark.parametrize(
    ("answer", "path"),
    [
        ({}, "output"),
        ({"output": None}, "output"),
        ({"output": "RUNNING"}, "output"),
        ({"output": {}}, "output.task_status"),
        ({"output": {"task_id": TASK_ID}}, "output.task_status"),
        ({"output": {"task_id": TASK_ID, "task_status": None}}, "output.task_status"),
        ({"output": {"task_id": TASK_ID, "task_status": ""}}, "output.task_status"),
        ({"output": {"task_id": TASK_ID, "task_status": ["RUNNING"]}}, "output.task_status"),
        ({"output": {"task_id": [], "task_status": "RUNNING"}}, "output.task_id"),
        (b"", ""),
        (b"<html>", ""),
        (b'{"output": NaN}', ""),
        ("RUNNING", ""),
    ],
)
def test_an_answer_to_a_query_that_cannot_be_understood(answer: object, path: str) -> None:
    """The error names the field."""
    with pytest.raises(InvalidResponseError) as caught:
        fetched(answer)

    assert path == caught.value.path


def test_the_request_id_may_be_in_a_header() -> None:
    """Where the body has no request id, the header's is taken."""
    response = reply({"output": {"task_status": "RUNNING"}}, headers={"X-Request-Id": "r-h"})

    assert "r-h" == ADAPTER.decode_fetch(response, TASK_ID, ACCOUNT).request_id
