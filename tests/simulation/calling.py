"""The calls of the simulated provider at the end of a task: early, late, several, lost, forged, and to any process."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import happyhorse_async as hh

URL = "https://app.example/hooks"
_SECRET = "the secret of the world"
_TRIES = 5


class Calling:
    """Calls whichever process has a client open, and calls again what was not answered well."""

    def __init__(self, world: Any) -> None:
        self.signs = world.chance("signs").random() < 0.7
        self.answers: Counter[str] = Counter()
        """How calls were answered."""
        self.told: dict[str, float] = {}
        """When the calls about jobs were answered well."""
        self._world = world
        self._clients: list[tuple[Any, hh.Client]] = []

    def open(self, process: Any, client: hh.Client) -> None:
        """Note that a process can be called."""
        self._clients.append((process, client))

    def promise(self, task: Any, url: str | None) -> None:
        """Call *url* when *task* ends, or so."""
        if url is None:
            return
        chance, loop = self._world.chance("calls of", task.intent), asyncio.get_running_loop()
        if chance.random() < 0.5:
            # Before the answer to the submit, or while it is sent again.
            task.ends_at = loop.time() + chance.choice([0.0, 1.0, 20.0, 130.0]) * chance.random()
        for number in range(chance.choice([0, 1, 1, 2, 4])):
            late = chance.choice([0.0, 1.0, 300.0]) * chance.random()
            loop.call_at(task.ends_at + late, self._call, task, url, f"{task.intent} {number}", 0)

    def _call(self, task: Any, url: str, name: str, tried: int) -> None:
        chance, loop = self._world.chance("call", name, tried), asyncio.get_running_loop()
        open_ones = [(process, client) for process, client in self._clients if process.name in self._world.alive]
        again = loop.call_later, chance.uniform(0.5, 60), self._call, task, url, name, tried + 1
        if not open_ones:
            if tried < _TRIES and not self._world.calm:
                again[0](*again[1:])
            return
        process, client = chance.choice(open_ones)
        is_forged = chance.random() < 0.1
        # What nobody proves may be a lie.
        is_lie = is_forged or (not self.signs and chance.random() < 0.5)
        answering = process.called(self._take(client, task, url, is_forged=is_forged, is_lie=is_lie))
        answering.add_done_callback(lambda done: self._answered(done, task, url, is_forged, again, tried))

    async def _take(self, client: hh.Client, task: Any, url: str, *, is_forged: bool, is_lie: bool) -> None:
        said = {"id": task.task_id, "status": task.end, "urls": []}
        if task.end == "done":
            said["urls"] = [f"https://files.example/{task.task_id}.mp4"]
        if is_lie:
            said["status"] = "failed" if task.end != "failed" else "canceled"
        receiver = hh.CallbackReceiver(client, secret=_SECRET if self.signs else None)
        headers = {"x-signature": "forged" if is_forged else _SECRET}
        await receiver.receive(headers, json.dumps(said).encode(), query=urlsplit(url).query)

    def _answered(
        self, done: asyncio.Task[Any], task: Any, url: str, is_forged: bool, again: tuple[Any, ...], tried: int
    ) -> None:
        error = hh.TransportError("it has died", sent=True) if done.cancelled() else done.exception()
        self.answers["200" if error is None else type(error).__name__] += 1
        if isinstance(error, hh.CallbackRejectedError):
            if self.signs and not is_forged:
                self._world.wrongs.append(f"a genuine call about {task.task_id} is rejected: {error}")
        elif error is not None:
            if not isinstance(error, hh.HappyHorseError | RuntimeError):
                self._world.wrongs.append(f"a call about {task.task_id} ends in {error!r}")
            if tried < _TRIES and not asyncio.get_running_loop().is_closed():
                again[0](*again[1:])
        elif self.signs:
            self.told.setdefault(task.job_id, asyncio.get_running_loop().time())
            self._check(task, is_forged)

    def _check(self, task: Any, is_forged: bool) -> None:
        if is_forged:
            self._world.wrongs.append(f"a forged call about {task.task_id} is believed")
        job = self._world.disk._jobs.get(task.job_id)
        if job is None or not job.state.is_final or job.task is None or job.task.raw_status != task.end:
            self._world.wrongs.append(f"a call about {task.task_id} is answered well, and the journal says {job}")
