"""
An account at a provider, without sockets, without a wire form and without a clock of its own.

It is neutral: it knows no client. How long a job shall take is the number in its prompt, so that every client gets the
very same jobs, and what shall become of the answer to its submit can be said there as well.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

EPOCH = 1_795_226_400.0
"""What the calendar shows when a provider's clock is at 0."""

LOST, BROKEN = "the answer is lost", "the answer is a 500"
"""In a prompt: the first submit of it is taken, and its answer is none, or that."""

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
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
class ExpectedUsage:
    """A request that has come in."""

    at: float
    kind: str
    status: int


@dataclass
class Account:
    """
    :param clock: the seconds since the beginning.
    :param queries_per_second: how many queries and lists may be sent in any second; `None` is no limit.
    :param largest_page: the most rows that a page of the list has, whatever is asked for.
    :param running: how many tasks may run at once; the others are pending, in order. `None` is no limit.
    :param there: how many tasks there are from the beginning. They run for ever.
    :param foreign: when another process of the same account submits a job, and how long that takes, in order.
    """

    clock: Callable[[], float]
    queries_per_second: float | None = 20
    largest_page: int = 50
    running: int | None = None
    there: int = 0
    foreign: Iterable[tuple[float, float]] = ()
    now: float = 0.0
    tasks: dict[str, Task] = field(default_factory=dict)
    """Those of the client, without what others have submitted."""
    order: list[Task] = field(default_factory=list)
    """All of them, oldest first."""
    live: dict[str, Task] = field(default_factory=dict)
    """Those that have not ended."""
    asked: list[ExpectedUsage] = field(default_factory=list)
    _keys: dict[str, Task] = field(default_factory=dict)
    _prompts: Counter[str] = field(default_factory=Counter)
    _queue: deque[Task] = field(default_factory=deque)
    _ends: list[tuple[float, str]] = field(default_factory=list)
    _recent: deque[float] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._coming = deque(self.foreign)
        for number in range(self.there):
            at = (number - self.there) * 0.01
            task = Task(task_id(number), "", _EVER, at, began=at)
            self.tasks[task.id] = task
            self._enlist(task)

    def settle(self) -> None:
        """Let everything happen that the clock says has happened."""
        self.now = self.clock()
        while self._coming and self._coming[0][0] <= self.now:
            at, seconds = self._coming.popleft()
            self._end(at)
            # Nobody whom we measure asks for it, but it stands in the list and takes its room.
            task = Task(task_id(len(self.order)), "", seconds, at)
            self._enlist(task)
            self._queue.append(task)
            self._begin(at)
        self._end(self.now)

    def _end(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            ended, task_id = heapq.heappop(self._ends)
            self.live.pop(task_id).ended = ended
            self._begin(ended)

    def note(self, kind: str, status: int) -> None:
        self.asked.append(ExpectedUsage(self.now, kind, status))

    def take(self, prompt: str, key: str | None = None) -> Task:
        """Take a job, and bill it, unless there is one with that *key*."""
        if key is not None and key in self._keys:
            return self._keys[key]
        number = _NUMBER.search(prompt)
        assert number is not None, "the prompt says how long the job takes"
        task = Task(task_id(len(self.order)), prompt, float(number[0]), self.now)
        self.tasks[task.id] = task
        self._enlist(task)
        if key is not None:
            self._keys[key] = task
        self._queue.append(task)
        self._begin(self.now)
        return task

    def fate(self, prompt: str) -> int | None:
        """Say once what becomes of the answer to a submit of *prompt*: a status, 0 for none, `None` for nothing."""
        self._prompts[prompt] += 1
        if self._prompts[prompt] > 1:
            return None
        return 0 if LOST in prompt else 500 if BROKEN in prompt else None

    def allows_query(self) -> bool:
        """Say whether a query or list is within the limit, and count it."""
        if self.queries_per_second is None:
            return True
        while self._recent and self.now - self._recent[0] >= 1.0:
            self._recent.popleft()
        if len(self._recent) >= self.queries_per_second:
            return False
        self._recent.append(self.now)
        return True

    def _enlist(self, task: Task) -> None:
        self.live[task.id] = task
        self.order.append(task)

    def _begin(self, now: float) -> None:
        while self._queue and (self.running is None or len(self._ends) < self.running):
            task = self._queue.popleft()
            task.began = now
            heapq.heappush(self._ends, (now + task.seconds, task.id))


def task_id(number: int) -> str:
    """The id of the task that came after *number* others."""
    return f"22222222-aaaa-4bbb-8ccc-{number:012x}"
