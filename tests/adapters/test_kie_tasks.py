"""What the KIE adapter reads from an answer about a task. https://docs.kie.ai/market/common/get-task-detail"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

import happyhorse_async as hh
from happyhorse_adapters.kie import KieAdapter

ADAPTER = KieAdapter()
ACCOUNT = ADAPTER.account(provider="market", api_key="sk-canary")
CREATED = datetime.fromtimestamp(1_780_000_000, UTC)
URL = "https://files.example.net/v.mp4"


def answer(value: object, status: int = 200) -> hh.HttpResponse:
    return hh.HttpResponse(status=status, body=json.dumps(value).encode())


def observe(*, code: int = 200, status: int = 200, **data: Any) -> hh.Task:
    known = {
        "taskId": "task_example_1",
        "model": "happyhorse-1-1/text-to-video",
        "state": "generating",
        "param": '{"model":"happyhorse-1-1/text-to-video","callBackUrl":"https://hooks.example.org/s3cr3t"}',
        "resultJson": "",
        "failCode": "",
        "failMsg": "",
        "createTime": 1_780_000_000_000,
        "updateTime": 1_780_000_020_000,
    }
    envelope = {"code": code, "msg": "success", "data": known | data}
    return ADAPTER.decode_fetch(answer(envelope, status), "task_example_1", ACCOUNT)


def succeed(result: object, **data: Any) -> hh.Task:
    return observe(state="success", resultJson=result, completeTime=1_780_000_095_000, **data)


@pytest.mark.parametrize("envelope", [{"code": 200, "msg": "success"}, {"code": 200, "message": "success"}])
def test_an_accepted_task(envelope: dict[str, Any]) -> None:
    """The answer to a submit has an id and no state; older pages write `message` for `msg`."""
    task = ADAPTER.decode_submit(answer({**envelope, "data": {"taskId": "task_example_1"}}), ACCOUNT)

    assert str(task.ref) == "market:task_example_1"
    assert task.status is hh.TaskStatus.PENDING


@pytest.mark.parametrize("data", [None, {}, {"taskId": ""}, {"taskId": None}, {"recordId": "1"}, "task_1", []])
def test_a_success_without_a_task_id_cannot_be_understood(data: object) -> None:
    """It says neither that the task was made nor that it was not."""
    with pytest.raises(hh.InvalidResponseError):
        ADAPTER.decode_submit(answer({"code": 200, "msg": "success", "data": data}), ACCOUNT)


@pytest.mark.parametrize("code", [200, 501, 500, 777])
def test_a_task_that_was_made_is_kept_whatever_the_code(code: int) -> None:
    """An answer with a task id may have been paid for."""
    task = ADAPTER.decode_submit(answer({"code": code, "msg": "odd", "data": {"taskId": "t-1"}}), ACCOUNT)

    assert task.id == "t-1"


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("waiting", hh.TaskStatus.PENDING),
        ("queuing", hh.TaskStatus.PENDING),
        ("generating", hh.TaskStatus.RUNNING),
        ("fail", hh.TaskStatus.FAILED),
        ("polishing", hh.TaskStatus.UNKNOWN),
        ("", hh.TaskStatus.UNKNOWN),
    ],
)
def test_the_states(word: str, status: hh.TaskStatus) -> None:
    """Five words are documented; any other keeps the task going."""
    task = observe(state=word)

    assert (task.status, task.raw_status) == (status, word)
    assert task.videos == ()


def test_a_finished_task() -> None:
    """The result is JSON in a text, and times are milliseconds."""
    task = succeed('{"resultUrls":["https://files.example.net/v.mp4"]}', failCode=None, failMsg=None, costTime=95000)

    assert task.status is hh.TaskStatus.SUCCEEDED
    assert task.video_url == URL
    assert task.created_at == CREATED
    assert task.finished_at == CREATED + timedelta(seconds=95)
    assert task.videos[0].expires_at == CREATED + timedelta(seconds=95, hours=24)
    assert task.model == "happyhorse-1-1/text-to-video"
    assert "s3cr3t" not in repr(task)


@pytest.mark.parametrize(
    "result",
    [
        f'{{"resultUrls":["{URL}"]}}',
        f' {{"resultUrls": "{URL}", "novelty": 1}} ',
        {"resultUrls": [URL]},
        [URL],
        URL,
        json.dumps(json.dumps({"resultUrls": [URL]})),
        json.dumps({"resultUrls": [{"url": URL}]}),
        json.dumps({"resultWaterMarkUrls": ["https://files.example.net/mark.mp4"], "resultUrls": [URL]}),
        json.dumps({"resultUrls": ["https://files.example.net/cover.jpg", URL]}),
    ],
)
def test_a_result_is_found_in_any_form(result: object) -> None:
    """As text, as JSON, as text twice over; and neither a copy with a watermark nor a cover is taken for the video."""
    assert succeed(result).video_url == URL


def test_all_results_are_kept_in_their_order() -> None:
    """HappyHorse makes one video; should there be more, the first is the video and none is lost."""
    task = succeed(json.dumps({"resultUrls": [URL, "https://files.example.net/w.mp4"]}))

    assert [video.url for video in task.videos] == [URL, "https://files.example.net/w.mp4"]


@pytest.mark.parametrize("result", ['{"resultUrls":["ftp"]}', "{broken", '{"resultUrls":{"a":1}}'])
def test_a_success_whose_result_cannot_be_read_has_no_output(result: str) -> None:
    """It is a failure, and not a reason to poll for ever."""
    task = succeed(result)

    assert task.error is not None
    assert task.error.reason is hh.FailureReason.NO_OUTPUT
    assert "resultJson" in task.error.message


@pytest.mark.parametrize("result", [None, "", "{}", '{"resultUrls":[]}'])
def test_a_success_without_any_result_is_left_to_the_core(result: object) -> None:
    """The core polls a few more times before it calls it a failure."""
    assert succeed(result).videos == ()


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        ("500", "Internal server error", hh.FailureReason.PROVIDER_FAULT),
        (500, "Internal server error", hh.FailureReason.PROVIDER_FAULT),
        ("501", "failed", hh.FailureReason.PROVIDER_FAULT),
        ("422", "duration must be between 3 and 15", hh.FailureReason.INVALID_REQUEST),
        ("402", "credits", hh.FailureReason.QUOTA_EXCEEDED),
        ("433", "limit", hh.FailureReason.QUOTA_EXCEEDED),
        ("429", "busy", hh.FailureReason.RATE_LIMITED),
        ("408", "slow", hh.FailureReason.TIMEOUT),
        ("500", "Input data may contain inappropriate content.", hh.FailureReason.CONTENT_REJECTED),
        ("422", "The prompt was flagged", hh.FailureReason.CONTENT_REJECTED),
        ("500", "green network check failed", hh.FailureReason.CONTENT_REJECTED),
        ("MYSTERY", "something new", hh.FailureReason.PROVIDER_FAULT),
        (None, None, hh.FailureReason.UNKNOWN),
    ],
)
def test_why_a_task_failed(code: object, message: str | None, reason: hh.FailureReason) -> None:
    """The code is mostly a number as text, and the words tell what moderation rejected."""
    task = observe(state="fail", failCode=code, failMsg=message, resultJson=None, completeTime=1_780_000_031_000)

    assert task.status is hh.TaskStatus.FAILED
    assert task.error is not None
    assert task.error.reason is reason
    assert task.error.message
    assert task.error.code == (None if code is None else str(code))
    assert task.finished_at == CREATED + timedelta(seconds=31)


@pytest.mark.parametrize("status", [200, 501])
def test_a_failed_task_may_come_with_another_code(status: int) -> None:
    """`state` decides, whatever the code of the envelope and the HTTP status are."""
    assert observe(code=501, status=status, state="fail", failCode="500").status is hh.TaskStatus.FAILED
    assert observe(code=500, status=status, state="generating").status is hh.TaskStatus.RUNNING


@pytest.mark.parametrize(
    ("progress", "expected"), [(40, 40.0), ("40", 40.0), (None, None), (400, None), ("soon", None)]
)
def test_progress_is_taken_where_there_is_any(progress: object, expected: float | None) -> None:
    """Only third parties have seen the field."""
    assert observe(progress=progress).progress == expected


@pytest.mark.parametrize(("credit", "expected"), [(90, 90.0), ("22.5", 22.5), (0, 0.0), (None, None), (-1, None)])
def test_the_bill_is_read_where_a_status_request_has_it(credit: object, expected: float | None) -> None:
    """It is documented in callbacks alone, which are not believed."""
    usage = succeed(json.dumps({"resultUrls": [URL]}), consumeCredits=credit).usage

    assert (None if usage is None else usage.credits) == expected
    assert observe(consumeCredits=credit).usage is None


@pytest.mark.parametrize(
    ("request_", "low", "high"),
    [
        (hh.TextToVideo("a kite", resolution="720P", duration=4), "0.45", "0.45"),
        (hh.TextToVideo("a kite"), "0.725", "0.725"),
        (hh.TextToVideo("a kite", version="1.0", resolution="1080P", duration=10), "2.40", "2.40"),
        (hh.VideoEdit("snow", "https://media.example.org/in.mp4", resolution="720P"), "0.42", "10.50"),
    ],
)
def test_what_a_request_costs(request_: hh.VideoRequest, low: str, high: str) -> None:
    """Credits at half a cent a second; whether the input of an edit counts is not stated."""
    price = hh.Client("kie", api_key="sk-canary").plan(request_).price

    assert price is not None
    assert (price.low, price.high, price.currency) == (Decimal(low), Decimal(high), "USD")
    assert price.as_of
    assert price.source.startswith("https://kie.ai/")


@pytest.mark.parametrize("complete", [None, 0, "later"])
def test_a_running_task_has_no_end(complete: object) -> None:
    """`completeTime` is absent, null or 0 while a task runs."""
    assert observe(completeTime=complete).finished_at is None


def test_an_answer_without_a_state_is_not_understood() -> None:
    """It is polled again."""
    with pytest.raises(hh.InvalidResponseError):
        ADAPTER.decode_fetch(answer({"code": 200, "msg": "success", "data": None}), "t-1", ACCOUNT)


def test_an_answer_without_an_id_is_about_the_task_that_was_asked_for() -> None:
    """An id that is missing loses nothing."""
    assert str(observe(taskId=None).ref) == "market:task_example_1"
    assert str(observe(taskId="another").ref) == "market:another"
