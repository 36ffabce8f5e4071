"""A transport without sockets whose tasks run for ever: what remains is the work of the client."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import happyhorse_async as hh
from account import EPOCH, task_id

# In the time zone of DashScope.
_STARTED = datetime.fromtimestamp(EPOCH, timezone(timedelta(hours=8)))
_HEADERS = {"content-type": "application/json"}


class StaticServer:
    """
    Responds in DashScope's wire format, or in nexusflow's, which has no usable list. Every response costs the same.

    :param tasks: how many tasks there are; the newest are on the first page of the list.
    """

    connection_slots = None

    def __init__(self, tasks: int) -> None:
        self.requests = 0
        self.polls = 0
        """How many tasks the responses were about."""
        self.tasks = tasks
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, request: hh.HttpRequest, *, timeout: float) -> hh.HttpResponse:
        await self.open.wait()
        await asyncio.sleep(0)
        self.requests += 1
        url = urlsplit(request.url)
        if request.method == "POST":
            self.tasks += 1
            answer: Any = {"output": {"task_id": task_id(self.tasks), "task_status": "PENDING"}, "request_id": "r"}
        elif url.path.startswith("/v1/"):
            self.polls += 1
            answer = {"id": url.path.rpartition("/")[2], "status": "processing", "created_at": _STARTED.isoformat()}
        elif url.path.endswith("/tasks/"):
            answer = self._page(dict(parse_qsl(url.query)))
        else:
            self.polls += 1
            answer = self.state(url.path.rpartition("/")[2])
        return hh.HttpResponse(status=200, headers=_HEADERS, body=json.dumps(answer).encode())

    def state(self, name: str) -> object:
        """Return the response to a query of the task *name*."""
        output = {
            "task_id": name,
            "task_status": "RUNNING",
            "submit_time": f"{_STARTED:%Y-%m-%d %H:%M:%S}.120",
            "scheduled_time": f"{_STARTED:%Y-%m-%d %H:%M:%S}.161",
        }
        return {"request_id": "r", "output": output}

    def _page(self, query: dict[str, str]) -> object:
        size, number = min(50, int(query.get("page_size", 10))), int(query.get("page_no", 1))
        newest = self.tasks - (number - 1) * size
        rows = [
            {
                "task_id": task_id(row),
                "status": "RUNNING",
                "model_name": "happyhorse-1.1-t2v",
                "gmt_create": EPOCH * 1000 + row,
                "start_time": EPOCH * 1000 + row + 40,
            }
            for row in range(newest, max(0, newest - size), -1)
        ]
        self.polls += len(rows)
        pages = -(-self.tasks // size)
        return {"total": self.tasks, "total_page": pages, "page_no": number, "page_size": size, "data": rows}

    async def aclose(self) -> None: ...
