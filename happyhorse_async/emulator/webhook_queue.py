"""
The callbacks that a provider's tasks owe. No network and no clock.

All times are Unix seconds, handed in.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from itertools import count

from ..emulation import CallbackRules, SubmitCall
from ..task import TaskStatus
from .account import Entry
from .webhook_plan import CallbackScenario, DeliveryPlan, Webhook

_TOLD = (TaskStatus.SUCCEEDED, TaskStatus.FAILED)


class WebhookQueue:
    """
    Tasks that somebody is to be told of, in the order in which they end.

    :param rules: the provider's; `None` where it sends no callbacks.
    :param events_url: where callbacks go that are set up outside the API; `None`: nowhere.
    :param seed: the provider's own.
    :param lifetime: seconds from its submit for which a task is known.
    """

    def __init__(
        self,
        rules: CallbackRules | None,
        scenario: CallbackScenario,
        *,
        events_url: str | None,
        seed: str,
        task_ttl: float,
    ) -> None:
        self._rules = rules
        self._scenario = scenario
        self._events_url = events_url
        self._seed = seed
        self._lifetime = task_ttl
        self._order = count()
        self._heap: list[tuple[float, int, Entry]] = []

    def destination(self, call: SubmitCall) -> str | None:
        """Say where the end of the task that *call* submits is told."""
        if self._rules is None:
            return None
        return self._events_url if self._rules.set_up_outside else call.callback_url

    def delivery_plan(self, number: int) -> DeliveryPlan:
        """Decide about the callback of the provider's task *number*, counted from 1."""
        return self._scenario.delivery_plan(number, seed=self._seed, rules=self._rules or CallbackRules())

    def add(self, entry: Entry) -> None:
        """Take in a task, unless nobody is to be told of it."""
        if entry.webhook is not None:
            heapq.heappush(self._heap, (self._due(entry), next(self._order), entry))

    def rearrange(self) -> None:
        """Put the tasks into order again, since some have moved up."""
        self._heap = [(self._due(entry), number, entry) for _, number, entry in self._heap]
        heapq.heapify(self._heap)

    def next_end(self) -> float:
        """Say when the next task ends. `math.inf`: none does."""
        return self._heap[0][0] if self._heap else math.inf

    def take(self, now: float) -> Iterator[tuple[Entry, Webhook]]:
        """Yield the tasks that have succeeded or failed by *now*, each once. What ended otherwise is let go."""
        while self.next_end() <= now:
            entry = heapq.heappop(self._heap)[2]
            if entry.webhook is not None and entry.status(now) in _TOLD:
                yield entry, entry.webhook

    def _due(self, entry: Entry) -> float:
        # Of a task that ends after it was forgotten nobody is told.
        return min(entry.ends, entry.created + self._lifetime)
