"""How the HiAPI adapter reads the account's tasks. https://docs.hiapi.ai/async-api/list/"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from happyhorse_adapters.hiapi import HiAPIAdapter
from happyhorse_async.adapter import PageRequest, TaskPage
from happyhorse_async.errors import InvalidResponseError
from happyhorse_async.messages import HttpResponse
from happyhorse_async.task import Task, TaskRef, TaskStatus, Video

ADAPTER = HiAPIAdapter()
ACCOUNT = ADAPTER.account(provider="backup", api_key="sk-canary")

FINISHED = {
    "taskId": "tk-2",
    "model": "happyhorse-1-0",
    "status": "success",
    "created": 1780000000,
    "completed": 1780000090,
    "output": [{"type": "video", "url": "https://cdn.example/v.mp4", "expireAt": 1780604890}],
}
QUEUED = {"taskId": "tk-1", "model": "seedance-2-0", "status": "queued", "created": 1780000000, "completed": 0}


def answer(data: object) -> HttpResponse:
    return HttpResponse(status=200, body=json.dumps({"code": 200, "message": "success", "data": data}).encode())


def decode(page: PageRequest, **fields: Any) -> TaskPage:
    data = {"page": page.number, "size": 2, "total": 5, "tasks": [FINISHED, QUEUED]} | fields
    return ADAPTER.decode_list(answer(data), page, ACCOUNT)


def test_a_list_carries_the_tasks_whole() -> None:
    """The rows of a list are task objects, with their output, of whatever model."""
    created = datetime(2026, 5, 28, 20, 26, 40, tzinfo=UTC)
    tasks = decode(PageRequest()).tasks

    assert (
        Task(
            ref=TaskRef("backup", "tk-2"),
            status=TaskStatus.SUCCEEDED,
            raw_status="success",
            videos=(Video(url="https://cdn.example/v.mp4", expires_at=datetime(2026, 6, 4, 20, 28, 10, tzinfo=UTC)),),
            model="happyhorse-1-0",
            created_at=created,
            finished_at=datetime(2026, 5, 28, 20, 28, 10, tzinfo=UTC),
        ),
        Task(
            ref=TaskRef("backup", "tk-1"),
            status=TaskStatus.PENDING,
            raw_status="queued",
            model="seedance-2-0",
            created_at=created,
        ),
    ) == tasks
    assert [FINISHED, QUEUED] == [task.raw for task in tasks]


@pytest.mark.parametrize(
    ("page", "fields", "following"),
    [
        (PageRequest(size=2), {}, PageRequest(number=2, size=2)),
        (PageRequest(number=2, size=2), {}, PageRequest(number=3, size=2)),
        (PageRequest(number=3, size=2), {}, None),
        (PageRequest(size=2), {"total": 2}, None),
        (PageRequest(size=2), {"total": "3", "size": "2"}, PageRequest(number=2, size=2)),
        (PageRequest(size=2), {"total": None}, PageRequest(number=2, size=2)),
        (PageRequest(size=3), {"total": None, "size": 3}, None),
        (PageRequest(size=3), {"total": None, "size": None}, PageRequest(number=2, size=3)),
        (PageRequest(size=500), {"total": 101, "size": None}, PageRequest(number=2, size=500)),
        (PageRequest(size=500), {"total": 100, "size": None}, None),
        (PageRequest(size=50), {"size": 2}, PageRequest(number=2, size=50)),
    ],
)
def test_a_page_follows_while_there_is_more(
    page: PageRequest, fields: dict[str, object], following: PageRequest | None
) -> None:
    """The total decides, counted in the size that the provider used; without a total, a full page is not the last."""
    assert following == decode(page, **fields).next


@pytest.mark.parametrize("rows", [[], None])
def test_an_empty_page_is_the_last(rows: object) -> None:
    """An empty page ends the list, whatever total it claims."""
    assert TaskPage(tasks=(), size=2) == decode(PageRequest(size=2), tasks=rows)


def test_rows_that_cannot_be_read_are_skipped() -> None:
    """One odd row does not hide the tasks around it."""
    odd: list[object] = [
        None,
        "x",
        [],
        {},
        {"status": "queued"},
        {"taskId": "tk-0"},
        {"taskId": "", "status": "queued"},
    ]
    page = decode(PageRequest(size=2), tasks=[QUEUED, *odd, FINISHED])

    assert ["tk-1", "tk-2"] == [task.id for task in page.tasks]


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (None, "data"),
        ({}, "data.tasks"),
        ({"tasks": {}}, "data.tasks"),
        ({"tasks": "none"}, "data.tasks"),
    ],
)
def test_a_list_answered_with_nonsense_names_the_field(data: object, path: str) -> None:
    """A page without its rows cannot be understood."""
    with pytest.raises(InvalidResponseError) as caught:
        ADAPTER.decode_list(answer(data), PageRequest(), ACCOUNT)

    assert path == caught.value.path


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"<html>Sign in</html>"])
def test_a_2xx_that_is_no_object_cannot_be_understood(body: bytes) -> None:
    """A page or an empty body is not an empty list."""
    with pytest.raises(InvalidResponseError):
        ADAPTER.decode_list(HttpResponse(status=200, body=body), PageRequest(), ACCOUNT)
