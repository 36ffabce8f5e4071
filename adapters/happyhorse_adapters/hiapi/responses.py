"""The answers of HiAPI: https://docs.hiapi.ai/async-api/detail/ and https://docs.hiapi.ai/async-api/list/."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from attrs import define

from happyhorse_async.adapter import Account, PageRequest, TaskPage
from happyhorse_async.adapter_kit import (
    FoundVideo,
    Lax,
    find_videos,
    from_epoch,
    read_status,
    require_video,
    structure,
)
from happyhorse_async.errors import InvalidResponseError
from happyhorse_async.task import Task, TaskStatus, Video

from .errors import Envelope, WireError, failure

# The first five are documented. The vendor's integration guide advises to treat the next four as final as well:
# https://github.com/HiAPIAI/hiapi-skills
# The last two stand on a page that contradicts all others, and can mean nothing else:
# https://www.hiapi.ai/en/blog/hiapi-task-hang-timeout-diagnosis
_STATUSES = {
    "queued": TaskStatus.PENDING,
    "handling": TaskStatus.RUNNING,
    "archiving": TaskStatus.RUNNING,
    "success": TaskStatus.SUCCEEDED,
    "fail": TaskStatus.FAILED,
    "failed": TaskStatus.FAILED,
    "error": TaskStatus.FAILED,
    "cancelled": TaskStatus.CANCELED,
    "canceled": TaskStatus.CANCELED,
    "pending": TaskStatus.PENDING,
    "succeeded": TaskStatus.SUCCEEDED,
}

_FAILURES = (TaskStatus.FAILED, TaskStatus.CANCELED)


@define(kw_only=True)
class _WireAccepted:
    taskId: str  # noqa: N815 - the provider's spelling


@define(kw_only=True)
class _WireOutput:
    expireAt: Lax[float] = None  # noqa: N815 - the provider's spelling


@define(kw_only=True)
class _WireTask:
    """A task in the answer to a status request, in a list, and as the whole body of a callback."""

    taskId: Lax[str] = None  # noqa: N815 - the provider's spelling
    status: str
    model: Lax[str] = None
    created: Lax[float] = None
    completed: Lax[float] = None
    output: Any = None
    error: Lax[WireError] = None


@define(kw_only=True)
class _WireList:
    tasks: list[Any] | None
    size: Lax[int] = None
    total: Lax[int] = None


def accepted_task(envelope: Envelope, account: Account, *, call_id: str | None) -> Task:
    """
    Read the task from the answer to a submit. It has no status.

    :param call_id: the provider's id of the call.
    :raises InvalidResponseError: it has no task id.
    """
    wire = structure(envelope.data, _WireAccepted, root="data")
    return Task(
        ref=account.ref(wire.taskId, path="data.taskId"),
        status=TaskStatus.PENDING,
        request_id=call_id,
        raw=envelope.data or {},
    )


def observed_task(
    data: Any, account: Account, *, task_id: str | None = None, call_id: str | None = None, root: str = ""
) -> Task:
    """
    Read a task object.

    :param task_id: its id if the object has none.
    :param call_id: the provider's id of the call.
    :param root: the path of the object in the whole answer.
    :raises InvalidResponseError: it has no status or no id.
    """
    wire = structure(data, _WireTask, root=root)
    videos = find_videos(wire.output, data)
    status = read_status(wire.status, _STATUSES, has_video=bool(videos), has_error=wire.error is not None)
    task = Task(
        ref=account.ref(wire.taskId or task_id or "", path=f"{root}.taskId".lstrip(".")),
        status=status,
        raw_status=wire.status,
        videos=tuple(map(_video, videos)) if status is TaskStatus.SUCCEEDED else (),
        error=failure(wire.error, account) if status in _FAILURES else None,
        model=wire.model,
        created_at=from_epoch(wire.created),
        # 0 until it has ended.
        finished_at=from_epoch(wire.completed),
        request_id=call_id,
        raw=data,
    )
    # A list or a callback only tells that a status request is worthwhile.
    return require_video(task, f"{root}.output".lstrip("."), wire.output) if task_id else task


def listed_tasks(envelope: Envelope, page: PageRequest, account: Account, *, largest_page: int) -> TaskPage:
    """
    Read a page of the list, outputs included.

    :raises InvalidResponseError: it has no list.
    """
    listed = structure(envelope.data, _WireList, root="data")
    rows = listed.tasks or []
    # A size out of range is replaced silently; the answer has the one that was used. If it has neither that nor a
    # total, only an empty page is surely the last.
    size = listed.size or min(page.size, largest_page)
    more = len(rows) >= (listed.size or 1) if listed.total is None else page.number * size < listed.total
    return TaskPage(tasks=tuple(_readable_tasks(rows, account)), next=page.next() if rows and more else None, size=size)


def _readable_tasks(rows: Iterable[Any], account: Account) -> Iterator[Task]:
    for row in rows:
        # The list has all tasks of the account, including those that this library did not submit.
        with suppress(InvalidResponseError):
            yield observed_task(row, account)


def _video(found: FoundVideo) -> Video:
    return found.as_video(expires_at=from_epoch(structure(dict(found.fields), _WireOutput).expireAt))
