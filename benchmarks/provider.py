"""
DashScope's wire format, written from the provider's pages and not with the library's code.

https://help.aliyun.com/zh/model-studio/manage-asynchronous-tasks
"""

from __future__ import annotations

import bisect
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone

from account import EPOCH, Task
from wire_format import Call, WireFormat

_ZONE = timezone(timedelta(hours=8))
_TASK = re.compile(r"/tasks/([^/]+)/?")
_DAY = 86_400.0
_DEFAULT_PAGE = 10


class DashScope(WireFormat):
    """The tasks of an account, as the pages above describe them. Only here are queries limited."""

    root = "/api/v1"

    def reply(self, call: Call) -> tuple[str, int, object]:
        if call.method == "POST":
            return self.submit(call)
        found = _TASK.fullmatch(call.path)
        kind = "query" if found else "list"
        if not self.account.allows_query():
            return kind, 429, _throttled(len(self.account.requests))
        return kind, 200, self._query(found[1]) if found else self._list(call.query)

    def query(self, task_id: str) -> Call:
        return Call("GET", f"/tasks/{task_id}")

    def prompt(self, call: Call) -> str:
        return str(json.loads(call.body)["input"]["prompt"])

    def created(self, task: Task, call: Call) -> object:
        return {"request_id": self._request_id(), "output": {"task_id": task.id, "task_status": "PENDING"}}

    def show(self, task: Task) -> object:
        output: dict[str, object] = {"task_id": task.id, "task_status": task.status, "submit_time": _text(task.created)}
        if task.began is not None:
            output["scheduled_time"] = _text(task.began)
        answer: dict[str, object] = {"request_id": self._request_id(), "output": output}
        if task.ended is not None:
            output["end_time"] = _text(task.ended)
            output["orig_prompt"] = task.prompt
            output["video_url"] = f"https://result.example/{task.id}.mp4?Expires={int(EPOCH + task.ended + _DAY)}&Sig=x"
            answer["usage"] = {
                "duration": 5, "input_video_duration": 0, "output_video_duration": 5, "video_count": 1, "SR": 720,
                "ratio": "16:9",
            }  # fmt: skip
        return answer

    def _request_id(self) -> str:
        return _request_id(len(self.account.requests))

    def _query(self, task_id: str) -> object:
        task = self.account.tasks.get(task_id)
        if task is None:
            return {"request_id": self._request_id(), "output": {"task_id": task_id, "task_status": "UNKNOWN"}}
        return self.show(task)

    def _list(self, query: Mapping[str, str]) -> object:
        size = min(int(query.get("page_size", _DEFAULT_PAGE)), self.account.largest_page)
        number = int(query.get("page_no", 1))
        found = self._matching(query)
        last = max(0, len(found) - (number - 1) * size)
        rows = found[max(0, last - size) : last]
        return {
            "request_id": self._request_id(),
            "total": len(found),
            "total_page": -(-len(found) // size),
            "page_no": number,
            "page_size": size,
            "data": [_row(task) for task in reversed(rows)],
        }

    def _matching(self, query: Mapping[str, str]) -> list[Task]:
        """Return the tasks that match the filters of a list request, oldest first."""
        since, until = _window(self.account.now, query.get("start_time"), query.get("end_time"))
        status = query.get("status")
        if status in ("PENDING", "RUNNING"):
            found = [task for task in self.account.live.values() if since <= task.created <= until]
        else:
            order = self.account.order
            begin = bisect.bisect_left(order, since, key=_created)
            found = order[begin : bisect.bisect_right(order, until, key=_created)]
        wanted = query.get("task_id")
        return [task for task in found if status in (None, task.status) and wanted in (None, task.id)]


def _created(task: Task) -> float:
    return task.created


def _window(now: float, start: str | None, end: str | None) -> tuple[float, float]:
    since = None if start is None else _moment(start)
    until = None if end is None else _moment(end)
    if since is None:
        return (now if until is None else until) - _DAY, now if until is None else until
    return since, since + _DAY if until is None else min(until, since + _DAY)


def _moment(text: str) -> float:
    return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=_ZONE).timestamp() - EPOCH


def _row(task: Task) -> object:
    row: dict[str, object] = {
        "task_id": task.id,
        "status": task.status,
        "model_name": "happyhorse-1.1-t2v",
        "gmt_create": round((EPOCH + task.created) * 1000),
        "region": "cn-beijing",
        "request_id": _request_id(0),
        "api_key_id": "100",
        "caller_uid": "200",
        "caller_parent_id": "200",
        "user_api_unique_key": "apikey:v1:aigc:video-generation:video-synthesis:happyhorse-1.1-t2v",
    }
    if task.began is not None:
        row["start_time"] = round((EPOCH + task.began) * 1000)
    if task.ended is not None:
        row["end_time"] = round((EPOCH + task.ended) * 1000)
    return row


def _throttled(number: int) -> object:
    return {
        "request_id": _request_id(number),
        "code": "Throttling.RateQuota",
        "message": "Requests rate limit exceeded, please try again later.",
    }


def _text(at: float) -> str:
    return datetime.fromtimestamp(EPOCH + at, UTC).astimezone(_ZONE).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _request_id(number: int) -> str:
    return f"33333333-aaaa-4bbb-8ccc-{number:012x}"
