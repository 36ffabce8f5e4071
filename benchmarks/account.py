"""
An account at a provider, without sockets, wire format or clock.

It is neutral: it knows no client. The number in a prompt says how long the job takes, so that every client gets the
same jobs. A prompt may also say what happens to the response to its submit.
"""

from __future__ import annotations

import heapq
import os
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

EPOCH = float(os.environ.setdefault("BENCHMARK_EPOCH", str(int(time.time()))))
"""
The calendar time at second 0 of a provider's clock: when the benchmark began, in all of its processes. With a fixed
date, every task would be too old a day later.
"""

LOST, BROKEN = "the response is lost", "the response is a 500"
"""In a prompt: its first submit is accepted, but gets no response, or a 500."""

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_EVER = 1e9


@dataclass(slots=True)
class Task:
    """A job that was accepted."""

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
class SeenRequest:
    """A request that was received."""

    at: float
    kind: str
    status: int


@dataclass
class Account:
    """
    :param clock: the seconds since the beginning.
    :param queries_per_second: how many queries and lists may be sent in any second; `None` is no limit.
    :param largest_page: the most rows that a page of the list has, whatever is asked for.
    :param running: how many tasks run at once; the others are pending, in order. `None` is no limit.
    :param initial: how many tasks there are from the beginning. They run for ever.
    :param others: when another process of the same account submits a job, and how long that takes, in order.
    """

    clock: Callable[[], float]
    queries_per_second: float | None = 20
    largest_page: int = 50
    running: int | None = None
    initial: int = 0
    others: Iterable[tuple[float, float]] = ()
    now: float = 0.0
    tasks: dict[str, Task] = field(default_factory=dict)
    """Those of the client, without what others have submitted."""
    order: list[Task] = field(default_factory=list)
    """All of them, oldest first."""
    live: dict[str, Task] = field(default_factory=dict)
    """Those that have not ended."""
    requests: list[SeenRequest] = field(default_factory=list)
    _keys: dict[str, Task] = field(default_factory=dict)
    _prompts: Counter[str] = field(default_factory=Counter)
    _queue: deque[Task] = field(default_factory=deque)
    _ends: list[tuple[float, str]] = field(default_factory=list)
    _recent: deque[float] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._upcoming = deque(self.others)
        for number in range(self.initial):
            at = (number - self.initial) * 0.01
            task = Task(task_id(number), "", _EVER, at, began=at)
            self.tasks[task.id] = task
            self._add(task)

    def settle(self) -> None:
        """Advance to the present time of the clock."""
        self.now = self.clock()
        while self._upcoming and self._upcoming[0][0] <= self.now:
            at, seconds = self._upcoming.popleft()
            self._end(at)
            # The measured client does not know it, but it is in the list and uses capacity.
            task = Task(task_id(len(self.order)), "", seconds, at)
            self._add(task)
            self._queue.append(task)
            self._begin(at)
        self._end(self.now)

    def _end(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            ended, task_id = heapq.heappop(self._ends)
            self.live.pop(task_id).ended = ended
            self._begin(ended)

    def note(self, kind: str, status: int) -> None:
        self.requests.append(SeenRequest(self.now, kind, status))

    def accept(self, prompt: str, key: str | None = None) -> Task:
        """Accept and bill a job, unless there is one with that *key*."""
        if key is not None and key in self._keys:
            return self._keys[key]
        number = _NUMBER.search(prompt)
        assert number is not None, "the prompt says how long the job takes"
        task = Task(task_id(len(self.order)), prompt, float(number[0]), self.now)
        self.tasks[task.id] = task
        self._add(task)
        if key is not None:
            self._keys[key] = task
        self._queue.append(task)
        self._begin(self.now)
        return task

    def fault(self, prompt: str) -> int | None:
        """Return what the first submit of *prompt* gets: a status, 0 for no response, `None` for a normal one."""
        self._prompts[prompt] += 1
        if self._prompts[prompt] > 1:
            return None
        return 0 if LOST in prompt else 500 if BROKEN in prompt else None

    def allows_query(self) -> bool:
        """Count a query or list, and return whether it is within the limit."""
        if self.queries_per_second is None:
            return True
        while self._recent and self.now - self._recent[0] >= 1.0:
            self._recent.popleft()
        if len(self._recent) >= self.queries_per_second:
            return False
        self._recent.append(self.now)
        return True

    def _add(self, task: Task) -> None:
        self.live[task.id] = task
        self.order.append(task)

    def _begin(self, now: float) -> None:
        while self._queue and (self.running is None or len(self._ends) < self.running):
            task = self._queue.popleft()
            task.began = now
            heapq.heappush(self._ends, (now + task.seconds, task.id))


def task_id(number: int) -> str:
    """Return the id of the task with this number."""
    return f"22222222-aaaa-4bbb-8ccc-{number:012x}"
