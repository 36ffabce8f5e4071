"""What the nexusflow adapter reads of a task list."""

from __future__ import annotations

import json
from typing import Any

import pytest

from happyhorse_adapters.nexusflow import NexusFlowAdapter
from happyhorse_async.adapter import PageRequest
from happyhorse_async.errors import InvalidResponseError
from happyhorse_async.messages import HttpResponse
from happyhorse_async.task import TaskFailure, TaskStatus

ADAPTER = NexusFlowAdapter()
ACCOUNT = ADAPTER.account(provider="main", api_key="sk-air-canary")


def reply(body: object) -> HttpResponse:
    return HttpResponse(status=200, body=json.dumps(body).encode())


def test_list_is_one_page_without_results() -> None:
    """The rows of a list are tasks without output; a finished one has no videos yet."""
    rows = [
        {"id": "task_3", "object": "task", "status": "running", "progress": 50, "created_at": "2026-07-02T08:15:00Z"},
        {"id": "task_2", "status": "succeeded", "model": "happyhorse-1.0-i2v", "progress": 100},
        {"id": "task_1", "status": "failed"},
    ]
    page = ADAPTER.decode_list(reply({"object": "list", "data": rows}), PageRequest(), ACCOUNT)

    assert page.next is None
    assert ["main:task_3", "main:task_2", "main:task_1"] == [str(task.ref) for task in page.tasks]
    assert [TaskStatus.RUNNING, TaskStatus.SUCCEEDED, TaskStatus.FAILED] == [task.status for task in page.tasks]
    assert [50, 100, None] == [task.progress for task in page.tasks]
    assert () == page.tasks[1].videos
    assert TaskFailure() == page.tasks[2].error
    assert rows[0] == page.tasks[0].raw


def test_unreadable_rows_are_skipped() -> None:
    """A row that cannot be read does not hide the others."""
    rows: list[object] = ["x", None, {}, {"id": "a"}, {"status": "running"}, {"id": "", "status": "running"}]
    page = ADAPTER.decode_list(reply({"data": [*rows, {"id": "task_1", "status": "running"}]}), PageRequest(), ACCOUNT)

    assert ["task_1"] == [task.id for task in page.tasks]


@pytest.mark.parametrize("body", [{}, {"data": {}}, {"data": "none"}])
def test_list_without_rows_is_invalid(body: dict[str, Any]) -> None:
    """A list answer without its list is not understood; an empty list is."""
    with pytest.raises(InvalidResponseError) as caught:
        ADAPTER.decode_list(reply(body), PageRequest(), ACCOUNT)

    assert "data" == caught.value.path
    assert () == ADAPTER.decode_list(reply({"data": []}), PageRequest(), ACCOUNT).tasks


@pytest.mark.parametrize("body", [b"", b"<html>login</html>", b"[]"])
def test_unreadable_list_is_invalid(body: bytes) -> None:
    """A list answer that is no JSON object is not understood."""
    with pytest.raises(InvalidResponseError):
        ADAPTER.decode_list(HttpResponse(status=200, body=body), PageRequest(), ACCOUNT)
