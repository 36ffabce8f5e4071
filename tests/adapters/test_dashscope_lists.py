"""What DashScope's answers to a list and to a cancellation mean, and any answer at all."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from happyhorse_adapters.dashscope import DashScopeAdapter
from happyhorse_async.adapter import PageRequest
from happyhorse_async.errors import (
    AuthenticationError,
    HappyHorseError,
    InvalidRequestError,
    InvalidResponseError,
    ProviderError,
    RateLimitError,
    TaskNotFoundError,
    TransportError,
)
from happyhorse_async.messages import HttpResponse
from happyhorse_async.task import TaskRef, TaskStatus

ADAPTER = DashScopeAdapter()
ACCOUNT = ADAPTER.account(provider="main", api_key="sk-canary")
TASK_ID = "22222222-aaaa-4bbb-8ccc-000000000002"


def reply(answer: object, status: int = 200, headers: dict[str, str] | None = None) -> HttpResponse:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return HttpResponse(status=status, headers=headers or {}, body=body)


ROW: dict[str, Any] = {
    "task_id": TASK_ID,
    "status": "SUCCEEDED",
    "model_name": "happyhorse-1.1-t2v",
    "gmt_create": 1_795_226_400_120,
    "start_time": 1_795_226_400_161,
    "end_time": 1_795_226_621_907,
    "region": "cn-beijing",
    "request_id": "r-submit",
    "api_key_id": "100",
}


def listed(*rows: object, page: PageRequest | None = None, **fields: object) -> Any:
    answer = {"request_id": "r-8", "data": list(rows), **fields}
    return ADAPTER.decode_list(reply(answer), page or PageRequest(), ACCOUNT)


def test_a_row_of_the_list() -> None:
    """A row has other names and times in milliseconds, and no result."""
    page = listed(ROW, total=1, total_page=1, page_no=1, page_size=10)
    (task,) = page.tasks

    assert TaskRef("main", TASK_ID) == task.ref
    assert TaskStatus.SUCCEEDED is task.status
    assert "SUCCEEDED" == task.raw_status
    assert "happyhorse-1.1-t2v" == task.model
    assert datetime(2026, 11, 21, 2, 0, 0, 120_000, UTC) == task.created_at
    assert datetime(2026, 11, 21, 2, 0, 0, 161_000, UTC) == task.started_at
    assert datetime(2026, 11, 21, 2, 3, 41, 907_000, UTC) == task.finished_at
    assert "r-8" == task.request_id
    assert () == task.videos
    assert ROW == task.raw
    assert page.next is None


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("PENDING", TaskStatus.PENDING),
        ("RUNNING", TaskStatus.RUNNING),
        ("FAILED", TaskStatus.FAILED),
        ("CANCELED", TaskStatus.CANCELED),
        ("UNKNOWN", TaskStatus.EXPIRED),
        ("BREWING", TaskStatus.UNKNOWN),
        (None, TaskStatus.UNKNOWN),
    ],
)
def test_the_status_of_a_row(word: str | None, expected: TaskStatus) -> None:
    """A row has the words of a query, and may lack one."""
    (task,) = listed({**ROW, "status": word}).tasks

    assert expected is task.status
    assert word == task.raw_status
    assert (task.error is not None) is (expected is TaskStatus.FAILED)


def test_a_row_of_a_running_task() -> None:
    """Times that are not there yet, or cannot be read, are none."""
    (task,) = listed({"task_id": TASK_ID, "status": "RUNNING", "start_time": 0, "gmt_create": "soon"}).tasks

    assert (None, None, None) == (task.created_at, task.started_at, task.finished_at)


def test_a_row_that_cannot_be_read_is_left_out() -> None:
    """One row without an id does not take the page with it."""
    page = listed({"status": "RUNNING"}, None, "row", {"task_id": ""}, {"task_id": []}, ROW)

    assert [TASK_ID] == [task.id for task in page.tasks]


@pytest.mark.parametrize(
    ("number", "size", "rows", "fields", "more"),
    [
        (1, 2, 2, {"total": 5}, True),
        (2, 2, 2, {"total": "5"}, True),
        (3, 2, 1, {"total": 5}, False),
        (1, 2, 2, {"total": 2}, False),
        (1, 2, 2, {}, True),
        (1, 50, 10, {}, True),
        (1, 50, 9, {"page_size": 10}, False),
        (2, 50, 0, {}, False),
        (1, 2, 2, {"total": None}, True),
        (4, 2, 0, {"total": 100}, False),
        (1, 50, 10, {"total": 15, "page_size": 10}, True),
        (1, 50, 10, {"page_size": 10}, True),
        (1, 2, 2, {"total": 3, "page_size": 0}, True),
    ],
)
def test_whether_there_is_a_next_page(number: int, size: int, rows: int, fields: dict[str, object], more: bool) -> None:
    """There is one while the total is not reached; without one, while pages are full, or not empty if none says."""
    page = PageRequest(number=number, size=size)
    expected = PageRequest(number=number + 1, size=size) if more else None

    assert expected == listed(*[ROW] * rows, page=page, **fields).next


def test_an_empty_list() -> None:
    """No tasks are no error."""
    assert () == listed(total=0).tasks
    assert () == ADAPTER.decode_list(reply({"total": 0, "data": None}), PageRequest(), ACCOUNT).tasks


@pytest.mark.parametrize(("answer", "path"), [({}, "data"), ({"data": {"task_id": TASK_ID}}, "data"), ([], "")])
def test_a_list_that_is_none(answer: object, path: str) -> None:
    """An answer without a list names the field."""
    with pytest.raises(InvalidResponseError) as caught:
        ADAPTER.decode_list(reply(answer), PageRequest(), ACCOUNT)

    assert path == caught.value.path


def test_a_refused_list() -> None:
    """A list is refused like a query."""
    with pytest.raises(RateLimitError):
        ADAPTER.decode_list(reply({"code": "Throttling.RateQuota", "message": "slow"}, 429), PageRequest(), ACCOUNT)


def test_an_accepted_cancellation() -> None:
    """The answer has nothing but a request id."""
    assert ADAPTER.decode_cancel(reply({"request_id": "r-7"}), ACCOUNT)


@pytest.mark.parametrize("code", ["UnsupportedOperation", "unsupported_operation"])
def test_a_cancellation_that_comes_too_late(code: str) -> None:
    """A task that is no longer pending cannot be cancelled, which is no error."""
    answer = {"code": code, "message": "Failed to cancel the task, please confirm if the task is in PENDING status."}

    assert not ADAPTER.decode_cancel(reply(answer, 400), ACCOUNT)


@pytest.mark.parametrize(
    ("answer", "status", "expected"),
    [
        ({"code": "InvalidParameter", "message": "no"}, 400, InvalidRequestError),
        ({"code": "InvalidApiKey", "message": "no"}, 401, AuthenticationError),
        ({"code": "InternalError", "message": "no"}, 500, ProviderError),
        ({"code": "Throttling", "message": "no"}, 200, RateLimitError),
        ({"code": "NotFound", "message": "no"}, 404, TaskNotFoundError),
        (b"", 404, TransportError),
        (b"<html>", 403, TransportError),
        (b"<html>", 200, InvalidResponseError),
    ],
)
def test_a_refused_cancellation(answer: object, status: int, expected: type[HappyHorseError]) -> None:
    """Any other refusal is the error that it means."""
    with pytest.raises(HappyHorseError) as caught:
        ADAPTER.decode_cancel(reply(answer, status), ACCOUNT)

    assert expected is type(caught.value)


@pytest.mark.parametrize(("status", "body"), [(204, b""), (200, b""), (202, b" \r\n")])
def test_a_cancellation_that_is_answered_without_a_body(status: int, body: bytes) -> None:
    """A success without content says that the cancellation was accepted."""
    assert ADAPTER.decode_cancel(HttpResponse(status=status, body=body), ACCOUNT)


KEYS = st.sampled_from(
    [
        "request_id",
        "output",
        "usage",
        "data",
        "code",
        "message",
        "error",
        "task_id",
        "task_status",
        "status",
        "video_url",
        "results",
        "url",
        "end_time",
        "SR",
        "duration",
        "video_count",
        "total",
        "page_size",
        "gmt_create",
    ]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["SUCCEEDED", "FAILED", "RUNNING", "UNKNOWN", "", "x", TASK_ID]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


@given(answer=JSON, output=JSON, status=st.sampled_from([200, 400, 404, 429, 500, 503]))
def test_whatever_is_answered_is_a_task_or_an_error_of_ours(answer: Any, output: Any, status: int) -> None:
    """No answer in JSON brings any other exception."""
    whole = {**answer, "output": output} if isinstance(answer, dict) else answer
    response = reply(whole, status)

    for decode in (
        lambda: ADAPTER.decode_submit(response, ACCOUNT),
        lambda: ADAPTER.decode_fetch(response, TASK_ID, ACCOUNT),
        lambda: ADAPTER.decode_list(response, PageRequest(), ACCOUNT),
        lambda: ADAPTER.decode_cancel(response, ACCOUNT),
    ):
        with suppress(HappyHorseError):
            assert repr(decode())
