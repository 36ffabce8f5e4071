"""What DashScope's answers to a submit mean."""

from __future__ import annotations

import json

import pytest

from happyhorse_adapters.dashscope import DashScopeAdapter
from happyhorse_async.errors import AuthenticationError, InvalidResponseError
from happyhorse_async.messages import HttpResponse
from happyhorse_async.task import TaskRef, TaskStatus

ADAPTER = DashScopeAdapter()
ACCOUNT = ADAPTER.account(provider="main", api_key="sk-canary")
TASK_ID = "22222222-aaaa-4bbb-8ccc-000000000002"


def reply(answer: object, status: int = 200, headers: dict[str, str] | None = None) -> HttpResponse:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return HttpResponse(status=status, headers=headers or {}, body=body)


@pytest.mark.parametrize("status", [200, 201, 202])
def test_an_accepted_submit(status: int) -> None:
    """The answer to a submit is a pending task with the provider's id."""
    answer = {"request_id": "r-1", "output": {"task_id": TASK_ID, "task_status": "PENDING"}}
    task = ADAPTER.decode_submit(reply(answer, status), ACCOUNT)

    assert TaskRef("main", TASK_ID) == task.ref
    assert TaskStatus.PENDING is task.status
    assert "PENDING" == task.raw_status
    assert "r-1" == task.request_id
    assert answer == task.raw


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (None, TaskStatus.PENDING),
        ("RUNNING", TaskStatus.RUNNING),
        ("WAITING", TaskStatus.UNKNOWN),
        ("SUCCEEDED", TaskStatus.PENDING),
        ("UNKNOWN", TaskStatus.PENDING),
    ],
)
def test_a_task_has_not_ended_when_it_is_accepted(word: str | None, expected: TaskStatus) -> None:
    """Without a status, or with one of an end, only a query tells what belongs to it."""
    output = {"task_id": TASK_ID} if word is None else {"task_id": TASK_ID, "task_status": word}
    task = ADAPTER.decode_submit(reply({"output": output}), ACCOUNT)

    assert expected is task.status
    assert word == task.raw_status


@pytest.mark.parametrize("absent", [None, "", "  "])
def test_an_empty_code_is_no_error(absent: str | None) -> None:
    """Some calls answer a success with `code` null or empty."""
    answer = {"code": absent, "message": absent, "output": {"task_id": TASK_ID, "task_status": "PENDING"}}

    assert TASK_ID == ADAPTER.decode_submit(reply(answer), ACCOUNT).id


@pytest.mark.parametrize(
    ("answer", "path"),
    [
        ({}, "output"),
        ({"code": "", "output": None}, "output"),
        ({"output": []}, "output"),
        ({"output": {}}, "output.task_id"),
        ({"output": {"task_status": "PENDING"}}, "output.task_id"),
        ({"output": {"task_id": ""}}, "output.task_id"),
        ({"output": {"task_id": None}}, "output.task_id"),
        ({"output": {"task_id": {"id": 1}}}, "output.task_id"),
        (b"", ""),
        (b"<html>log in</html>", ""),
        (b'{"output": {"task_id": "2222', ""),
        ([{"output": {"task_id": TASK_ID}}], ""),
    ],
)
def test_an_answer_to_a_submit_that_cannot_be_understood(answer: object, path: str) -> None:
    """A 2xx without a task id says nothing of whether the task was taken, and names what is missing."""
    with pytest.raises(InvalidResponseError) as caught:
        ADAPTER.decode_submit(reply(answer), ACCOUNT)

    assert path == caught.value.path


def test_an_answer_without_a_task_has_the_id_of_its_call() -> None:
    """Of a submit whose task is not known, the provider's support can at least be told the call."""
    with pytest.raises(InvalidResponseError) as caught:
        ADAPTER.decode_submit(reply({"request_id": "r-1", "output": {"task_status": "PENDING"}}), ACCOUNT)

    assert "r-1" == caught.value.request_id


@pytest.mark.parametrize("output", [None, {}, {"task_id": None}])
def test_a_refusal_with_status_200(output: object) -> None:
    """A code without a task is an error by the code, whatever the HTTP status."""
    answer = {
        "code": "InvalidApiKey",
        "message": "Invalid API-key.",
        "request_id": "r-1",
        "data": None,
        "output": output,
    }

    with pytest.raises(AuthenticationError, match=r"Invalid API-key\.") as caught:
        ADAPTER.decode_submit(reply(answer), ACCOUNT)
    assert "InvalidApiKey" == caught.value.code
    assert "r-1" == caught.value.request_id


def test_an_unknown_code_with_status_200_says_nothing_certain() -> None:
    """Neither the status nor the code tells whether a task was taken."""
    with pytest.raises(InvalidResponseError, match="it is Tuesday") as caught:
        ADAPTER.decode_submit(reply({"code": "Tuesday", "message": "it is Tuesday"}), ACCOUNT)

    assert "Tuesday" == caught.value.code
