"""The provider of `cluster.py`: DashScope's wire format and limits, in a process of its own."""

from __future__ import annotations

import asyncio
import bisect
import time
from collections import Counter
from multiprocessing.connection import Connection
from typing import Any

from aiohttp import web

from account import Account
from provider import DashScope
from wire_format import Call

SUBMITS, QUERIES = 5, 20
"""How many are allowed in any second."""
ANSWER_AFTER = 0.5
"""Seconds from the acceptance of a submit to its answer: a process that is killed meanwhile does not know its task."""


class Gateway(DashScope):
    """An account with DashScope's limits, which notes when it told of each success."""

    def __init__(self, account: Account, submits_per_second: float) -> None:
        super().__init__(account)
        self._submits_per_second = submits_per_second
        self._accepted: list[float] = []
        self.told: dict[str, float] = {}
        """The prompt of a task, to when a query of it was last answered with its success."""

    def reply(self, call: Call) -> tuple[str, int, object]:
        now = self.account.now
        if call.method == "POST":
            recent = len(self._accepted) - bisect.bisect_right(self._accepted, now - 1.0)
            if recent >= self._submits_per_second:
                return "submit", 429, {"code": "Throttling.RateQuota", "message": "Requests rate limit exceeded."}
            self._accepted.append(now)
        return super().reply(call)

    def show(self, task: Any) -> object:
        if task.ended is not None:
            self.told[task.prompt] = time.monotonic()
        return super().show(task)


def serve(pipe: Connection, speed: float) -> None:
    """Run the provider until the pipe says that it is to stop, then send what it has seen."""
    pipe.send("ready")

    async def work() -> None:
        began = time.monotonic()
        account = Account(lambda: time.monotonic() - began, queries_per_second=QUERIES * speed)
        gateway = Gateway(account, SUBMITS * speed)

        async def answer(request: web.Request) -> web.Response:
            call = Call(
                request.method, request.path.removeprefix(gateway.root), request.query, {}, await request.read()
            )
            status, body = gateway.answer(call)
            if call.method == "POST" and status == 200:
                await asyncio.sleep(ANSWER_AFTER / speed)
            return web.Response(status=status, body=body, content_type="application/json")

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
        pipe.send(f"http://127.0.0.1:{runner.addresses[0][1]}{gateway.root}")
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        requests = [(each.at, each.kind, each.status) for each in account.requests]
        pipe.send((requests, Counter(task.prompt for task in account.tasks.values()), gateway.told))

    asyncio.run(work())
