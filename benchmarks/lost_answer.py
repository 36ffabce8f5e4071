"""
A paid submit is accepted, and its response is lost, or is a 500: how often is it billed, and what does the caller get?

    python benchmarks/lost_answer.py

Every prompt is submitted by one call, one after the other. The first submit of each is accepted and billed, but the
connection is closed without a response, or the response is a 500. All other requests are answered normally. The clocks
run fast, so that backoff takes little time. No speed is measured.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import happyhorse_async as hh
from account import BROKEN, LOST
from clients import Caller, Library
from figures import Outcomes
from harness import run_over_sockets
from limits import submits_unlimited
from loads import Job, Load
from peers import HiAPI, installed

COUNT = 20
FAULTS = (LOST, BROKEN)
_SECONDS = 0.3
_SPEED = 10.0
# A call that has neither returned nor raised by then counts as hanging.
_PATIENCE = 180.0
_VIDEO, _HUNG, _FOUND = "the video", "no end", "an error, then the video"


class Searching(Library):
    """This library with an error handler that searches the lost task, and adopts it if it is the only one."""

    async def make(self, client: hh.Client, request: hh.TextToVideo) -> str:
        try:
            return await super().make(client, request)
        except hh.SubmitOutcomeUnknownError as error:
            raise FoundError(await self._find(client, str(error.job_id))) from error

    async def _find(self, client: hh.Client, job_id: str) -> str:
        (task,) = await client.candidates(job_id)
        handle = await client.resolve(job_id, adopt=task.ref)
        assert handle is not None
        return (await handle).id


class FoundError(Exception):
    """The caller was told that the outcome is unknown, and has found the task and its video."""


@dataclass(frozen=True)
class CallByCall:
    """Makes the calls of *caller* one after the other."""

    caller: Caller

    @property
    def wire_format(self) -> str:
        return self.caller.wire_format

    def prepare(self) -> None:
        self.caller.prepare()

    async def __call__(self, base_url: str, load: Load, outcomes: Outcomes) -> dict[str, tuple[str, str | None]]:
        """Return what the caller got for each prompt, and the id of the task of its video."""
        got: dict[str, tuple[str, str | None]] = {}
        async with self.caller.open(base_url) as calls:
            for job in load.jobs:
                call = asyncio.ensure_future(calls.generate(job.prompt))
                await asyncio.wait([call], timeout=_PATIENCE)
                got[job.prompt] = _outcome(call)
                call.cancel()
        return got


def _outcome(call: asyncio.Future[str]) -> tuple[str, str | None]:
    if not call.done():
        return _HUNG, None
    error = call.exception()
    if error is None:
        return _VIDEO, call.result()
    return (_FOUND, str(error)) if isinstance(error, FoundError) else (type(error).__name__, None)


OURS: dict[str, Caller] = {
    "happyhorse_async, HiAPI": Library(hh.PollSchedule(interval=0.5), submits_unlimited, "hiapi"),
    "happyhorse_async, DashScope": Searching(hh.PollSchedule(interval=0.5)),
    "happyhorse_async, DashScope, `auto_adopt=True`": Library(hh.PollSchedule(interval=0.5), auto_adopt=True),
}


def measure(*, count: int = COUNT) -> dict[str, Any]:
    """Let each client make *count* calls with each fault, three clients at a time."""
    peers = installed()
    keyed = {"hiapi, with a key": HiAPI(keyed=True)} if "hiapi" in peers else {}
    callers: dict[str, Caller] = {**OURS, **keyed, **peers}
    with ThreadPoolExecutor(3) as threads:
        found = threads.map(lambda caller: _faults(caller, count), callers.values())
        return {"count": count, "callers": dict(zip(callers, found, strict=True))}


def _faults(caller: Caller, count: int) -> dict[str, dict[str, Any]]:
    jobs = {fault: [Job(0.0, _SECONDS, f": number {number}, {fault}") for number in range(count)] for fault in FAULTS}
    load = Load(tuple(job for of_fault in jobs.values() for job in of_fault))
    run = run_over_sockets(CallByCall(caller), load, per_second=None, speed=_SPEED)
    accepted = Counter(task.prompt for task in run.tasks.values())
    for prompt, (_, task_id) in run.answer.items():
        assert task_id is None or run.tasks[task_id].prompt == prompt, "the video of another prompt"
    return {
        fault: {
            "paid": sum(accepted[job.prompt] for job in of_fault) / count,
            "got": dict(Counter(run.answer[job.prompt][0] for job in of_fault)),
        }
        for fault, of_fault in jobs.items()
    }


def main() -> None:
    for name, faults in measure()["callers"].items():
        for fault, found in faults.items():
            print(f"{name:50} {fault:24} billed {found['paid']:4.2f} times per call; the caller got {found['got']}")


if __name__ == "__main__":
    main()
