"""
An account at a provider that speaks DashScope's wire form, without sockets and without a clock of its own.

It is neutral: it knows no client, and is written from the provider's pages, not with the library's code. How long a
job shall take is the number in its prompt, so that every client gets the very same jobs.
https://help.aliyun.com/zh/model-studio/manage-asynchronous-tasks
"""

from __future__ import annotations

import bisect
import heapq
import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

EPOCH = 1_795_226_400.0
"""What the calendar shows when a provider's clock is at 0."""

_ZONE = timezone(timedelta(hours=8))
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_TASK = re.compile(r"/tasks/([^/]+)/?")
_DAY = 86_400.0
_DEFAULT_PAGE = 10
_EVER = 1e9


@dataclass(slots=True)
class Task:
    """A job that was taken."""

    id: str
    prompt: str
    seconds: float
    created: float
    began: float | None = None
    ended: float | None = None

    @property
    def status(self) -> str:
        if self.ended is not None:
            return "SUCCEEDED"
        return "PENDING" if self.began is None else "RUNNING"


@dataclass(slots=True)
class Asked:
    """A request that has come in."""

    at: float
    kind: str
    status: int


@dataclass
class Provider:
    """
    :param clock: the seconds since the beginning.
    :param queries_per_second: how many queries and lists the account may send in any second; `None` is no limit.
    :param largest_page: the most rows that a page of the list has, whatever is asked for.
    :param running: how many tasks may run at once; the others are pending, in order. `None` is no limit.
    :param there: how many tasks there are from the beginning. They run for ever.
    """

    clock: Callable[[], float]
    queries_per_second: float | None = 20
    largest_page: int = 50
    running: int | None = None
    there: int = 0
    tasks: dict[str, Task] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    _order: list[Task] = field(default_factory=list)
    _live: dict[str, Task] = field(default_factory=dict)
    _queue: deque[Task] = field(default_factory=deque)
    _ends: list[tuple[float, str]] = field(default_factory=list)
    _recent: deque[float] = field(default_factory=deque)

    def __post_init__(self) -> None:
        for number in range(self.there):
            at = (number - self.there) * 0.01
            task = Task(task_id(number), "", _EVER, at, began=at)
            self.tasks[task.id] = self._live[task.id] = task
            self._order.append(task)

    def answer(self, method: str, path: str, query: Mapping[str, str], body: bytes | None) -> tuple[int, bytes]:
        """Answer a request to *path* below the API's root, with a status and a JSON document."""
        now = self.clock()
        self._advance(now)
        kind, status, document = self._answer(now, method, path, query, body)
        self.asked.append(Asked(now, kind, status))
        return status, json.dumps(document).encode()

    def settle(self) -> None:
        """Let everything happen that the clock says has happened."""
        self._advance(self.clock())

    def _answer(
        self, now: float, method: str, path: str, query: Mapping[str, str], body: bytes | None
    ) -> tuple[str, int, object]:
        if method == "POST":
            return "submit", 200, self._take(now, json.loads(body or b"{}"))
        found = _TASK.fullmatch(path)
        kind = "query" if found else "list"
        if not self._within_limit(now):
            return kind, 429, _refusal(len(self.asked))
        return kind, 200, self._show(found[1]) if found else self._list(now, query)

    def _within_limit(self, now: float) -> bool:
        if self.queries_per_second is None:
            return True
        while self._recent and now - self._recent[0] >= 1.0:
            self._recent.popleft()
        if len(self._recent) >= self.queries_per_second:
            return False
        self._recent.append(now)
        return True

    def _take(self, now: float, order: Mapping[str, Mapping[str, str]]) -> object:
        prompt = order["input"]["prompt"]
        number = _NUMBER.search(prompt)
        assert number is not None, "the prompt says how long the job takes"
        task = Task(task_id(len(self._order)), prompt, float(number[0]), now)
        self.tasks[task.id] = self._live[task.id] = task
        self._order.append(task)
        self._queue.append(task)
        self._begin(now)
        return {"request_id": _request_id(len(self.asked)), "output": {"task_id": task.id, "task_status": "PENDING"}}

    def _advance(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            ended, task_id = heapq.heappop(self._ends)
            self._live.pop(task_id).ended = ended
            self._begin(ended)

    def _begin(self, now: float) -> None:
        while self._queue and (self.running is None or len(self._ends) < self.running):
            task = self._queue.popleft()
            task.began = now
            heapq.heappush(self._ends, (now + task.seconds, task.id))

    def _show(self, task_id: str) -> object:
        task = self.tasks.get(task_id)
        request_id = _request_id(len(self.asked))
        if task is None:
            return {"request_id": request_id, "output": {"task_id": task_id, "task_status": "UNKNOWN"}}
        output: dict[str, object] = {"task_id": task_id, "task_status": task.status, "submit_time": _text(task.created)}
        if task.began is not None:
            output["scheduled_time"] = _text(task.began)
        answer: dict[str, object] = {"request_id": request_id, "output": output}
        if task.ended is not None:
            output["end_time"] = _text(task.ended)
            output["orig_prompt"] = task.prompt
            output["video_url"] = f"https://result.example/{task_id}.mp4?Expires={int(EPOCH + task.ended + _DAY)}&Sig=x"
            answer["usage"] = {
                "duration": 5, "input_video_duration": 0, "output_video_duration": 5, "video_count": 1, "SR": 720,
                "ratio": "16:9",
            }  # fmt: skip
        return answer

    def _list(self, now: float, query: Mapping[str, str]) -> object:
        size = min(int(query.get("page_size", _DEFAULT_PAGE)), self.largest_page)
        number = int(query.get("page_no", 1))
        found = self._matching(now, query)
        rows = found[max(0, len(found) - number * size) : len(found) - (number - 1) * size] if found else []
        return {
            "request_id": _request_id(len(self.asked)),
            "total": len(found),
            "total_page": -(-len(found) // size),
            "page_no": number,
            "page_size": size,
            "data": [_row(task) for task in reversed(rows)],
        }

    def _matching(self, now: float, query: Mapping[str, str]) -> list[Task]:
        """Return the tasks that a list is about, oldest first."""
        since, until = _window(now, query.get("start_time"), query.get("end_time"))
        status = query.get("status")
        if status in ("PENDING", "RUNNING"):
            found = [task for task in self._live.values() if since <= task.created <= until]
        else:
            begin = bisect.bisect_left(self._order, since, key=_created)
            found = self._order[begin : bisect.bisect_right(self._order, until, key=_created)]
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


def _refusal(number: int) -> object:
    return {
        "request_id": _request_id(number),
        "code": "Throttling.RateQuota",
        "message": "Requests rate limit exceeded, please try again later.",
    }


def _text(at: float) -> str:
    return datetime.fromtimestamp(EPOCH + at, UTC).astimezone(_ZONE).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def task_id(number: int) -> str:
    """The id of the task that came after *number* others."""
    return f"22222222-aaaa-4bbb-8ccc-{number:012x}"


def _request_id(number: int) -> str:
    return f"33333333-aaaa-4bbb-8ccc-{number:012x}"
