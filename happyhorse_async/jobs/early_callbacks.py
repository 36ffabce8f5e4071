"""
What providers have said of tasks that nobody here knows. One of them may be that of a submit on its way.

This is in memory alone, and a process that dies loses nothing by it. What is kept here named no job that waits for
its task, or it would have gone to that and into the store. So no job can be told by it later either: one that is left
behind is settled by the answer to its submit, by the same bytes sent again with their key, or by a person. Once its
task is known in one of these ways, a look at it sees the same end. What is kept here saves that look, and no more.
"""

from __future__ import annotations

import asyncio

from ..polling import Poller
from ..task import Task, TaskRef

_LIFETIME = 900.0
_COUNT = 1000


class EarlyCallbacks:
    """Keeps the last observations of unknown tasks for a quarter of an hour, and not more than a thousand."""

    def __init__(self) -> None:
        self._tasks: dict[TaskRef, tuple[Task, float]] = {}

    def keep(self, task: Task) -> None:
        """Remember what is said of a task."""
        now = asyncio.get_running_loop().time()
        self._tasks.pop(task.ref, None)
        self._tasks[task.ref] = task, now
        # The oldest stand first.
        for ref, (_, since) in list(self._tasks.items()):
            if len(self._tasks) <= _COUNT and since > now - _LIFETIME:
                return
            del self._tasks[ref]

    def hand_to(self, poller: Poller, ref: TaskRef) -> None:
        """Tell *poller* what was said of the task *ref*, which it has just come to know."""
        task, since = self._tasks.pop(ref, (None, 0.0))
        if task is not None and since > asyncio.get_running_loop().time() - _LIFETIME:
            poller.observe(task)
