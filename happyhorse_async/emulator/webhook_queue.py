"""
The pending webhooks of a provider's tasks, with their times and attempts.

No network and no clock. Deliveries are repeatable by seed. Durations in a scenario are emulated seconds, before the
emulator's speed divides them; the queue's own times are Unix seconds, passed in.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

from attrs import field, frozen

from ..emulation import CallbackRules, SubmitCall
from ..errors import ConfigurationError
from ..redaction import redact_url
from ..task import TaskStatus

if TYPE_CHECKING:
    from .account import Entry

_REPORTED = (TaskStatus.SUCCEEDED, TaskStatus.FAILED)


@frozen(kw_only=True)
class DeliveryPlan:
    """How one webhook is delivered."""

    copies: tuple[tuple[float, ...], ...]
    """
    For each copy the seconds before each attempt: the first from the end of the task, each further one from an attempt
    that was not answered with a 2xx.
    """
    lost: bool = False
    """It is never sent."""
    early: bool = False
    """It is sent before the submit is answered."""
    held: bool = False
    """It is delayed until the next webhook was sent."""
    forged: bool = False
    """A forged webhook is sent before it."""


@frozen(kw_only=True)
class Webhook:
    """The webhook of one task."""

    url: str = field(repr=lambda url: repr(redact_url(url)))
    origin: str
    """The scheme, host and port of the task's video URL."""
    event_id: str
    plan: DeliveryPlan


@frozen(kw_only=True)
class CallbackScenario:
    """
    How an emulated provider delivers its webhooks.

    A webhook is sent when its task has succeeded or failed, and again as the provider documents it until it is answered
    with a 2xx. A share is a number from 0 to 1. All randomness comes from the emulator's seed: the webhook of the n-th
    task is always delivered the same way, independent of the others.

    :raises ConfigurationError: a share is not from 0 to 1, or `delay` is not in order.
    """

    loss: float = 0.0
    """The share of webhooks that are never sent."""
    duplicates: float = 0.0
    """The share that are sent twice, at the same moment unless there is a `delay`."""
    delay: tuple[float, float] = (0.0, 0.0)
    """The shortest and the longest time from the end of a task to its webhook, in seconds, drawn for each copy."""
    reorder: float = 0.0
    """The share that are delayed until the provider's next webhook was sent, for a minute at most."""
    early: float = 0.0
    """The share that overtake the response to their own submit. Their tasks end at once."""
    forge: float = 0.0
    """
    The share preceded by a forged webhook, which reports the opposite end and is signed with a wrong secret, or
    unsigned if there is no secret.
    """

    def __attrs_post_init__(self) -> None:
        low, high = self.delay
        if not 0 <= low <= high < math.inf:
            raise ConfigurationError(f"delay must be in order: two numbers of at least 0, not {low!r} and {high!r}")
        shares = (self.loss, self.duplicates, self.reorder, self.early, self.forge)
        if not all(0 <= share <= 1 for share in shares):
            raise ConfigurationError("the shares of a CallbackScenario must be from 0 to 1")

    def delivery_plan(self, number: int, *, seed: str, rules: CallbackRules) -> DeliveryPlan:
        """Return how the webhook of the provider's task *number* is delivered, counted from 1."""
        chance = random.Random(f"{seed}/callback/{number}")
        # The order of the draws is fixed, so that a change of one share does not affect the other webhooks.
        lost, twice, held, early, forged = (
            chance.random() < share for share in (self.loss, self.duplicates, self.reorder, self.early, self.forge)
        )
        waits = [(self.delay, *rules.pauses) for _ in range(2)]
        copies = tuple(tuple(chance.uniform(*wait) for wait in copy) for copy in waits)
        return DeliveryPlan(
            copies=copies if twice else copies[:1],
            lost=lost,
            early=early and not lost,
            held=held and not early,
            forged=forged,
        )


class WebhookQueue:
    """
    The tasks of one provider that have a webhook to send, in the order in which they end.

    :param rules: the provider's; `None` if it sends no webhooks.
    :param events_url: the destination, if it is configured outside the API.
    :param seed: the provider's own.
    :param task_ttl: seconds from its submit for which a task is known.
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
        self.scenario = scenario
        self._rules = rules
        self._events_url = events_url
        self.seed = seed
        self._task_ttl = task_ttl
        self._order = count()
        self._heap: list[tuple[float, int, Entry]] = []

    def webhook(self, call: SubmitCall, number: int, *, origin: str, event_id: str) -> Webhook | None:
        """Return the webhook of the task *number*, counted from 1, that *call* submits; `None` if it has none."""
        if self._rules is None:
            return None
        url = self._events_url if self._rules.set_up_outside else call.callback_url
        plan = self.scenario.delivery_plan(number, seed=self.seed, rules=self._rules)
        return Webhook(url=url, origin=origin, event_id=event_id, plan=plan) if url else None

    def add(self, entry: Entry) -> None:
        """Add a task, if it has a webhook."""
        if entry.webhook is not None:
            heapq.heappush(self._heap, (self._due(entry), next(self._order), entry))

    def clear(self) -> None:
        """Remove every task."""
        self._heap = []

    def reorder(self) -> None:
        """Sort the tasks again after some have moved up in the provider's queue."""
        self._heap = [(self._due(entry), number, entry) for _, number, entry in self._heap]
        heapq.heapify(self._heap)

    def next_end(self) -> float:
        """Return when the next task ends; `math.inf` if there is none."""
        heap = self._heap
        return heap[0][0] if heap else math.inf

    def take(self, now: float) -> Iterator[tuple[Entry, Webhook]]:
        """Yield the tasks that have succeeded or failed by *now*, each once. Others that have ended are dropped."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            entry = heapq.heappop(heap)[2]
            if entry.webhook is not None and entry.status(now) in _REPORTED:
                yield entry, entry.webhook

    def _due(self, entry: Entry) -> float:
        # A task that would end after it has expired sends nothing.
        return min(entry.ends, entry.created + self._task_ttl)
