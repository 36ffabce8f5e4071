"""
What becomes of a callback: when it is sent, how often, and what comes in its place. Pure, and repeatable by seed.

All times are emulated seconds, before the emulator's speed divides them.
"""

from __future__ import annotations

import math
import random

from attrs import field, frozen

from ..emulation import CallbackRules
from ..errors import ConfigurationError
from ..redaction import redact_url


@frozen(kw_only=True)
class DeliveryCopy:
    """The way of one copy of a callback."""

    delay: float
    """Seconds from the end of its task to the first try."""
    pauses: tuple[float, ...]
    """Seconds before each further try, if the one before it was not answered with a 2xx."""


@frozen(kw_only=True)
class DeliveryPlan:
    """The way of one callback."""

    copies: tuple[DeliveryCopy, ...]
    lost: bool = False
    """It is never sent."""
    early: bool = False
    """It is sent before the submit is answered."""
    held: bool = False
    """It lets the next one pass."""
    forged: bool = False
    """A forgery goes before it."""


@frozen(kw_only=True)
class Webhook:
    """Where the end of a task shall be told, and how that fares."""

    url: str = field(repr=lambda url: repr(redact_url(url)))
    origin: str
    """Where the task's video can be fetched."""
    event_id: str
    delivery_plan: DeliveryPlan


@frozen(kw_only=True)
class CallbackScenario:
    """
    How callbacks fare at an emulated provider.

    Each is sent when its task has succeeded or failed, and again as the provider documents it until it is answered with
    a 2xx. A share is a number from 0 to 1; chance comes from the emulator's seed alone, and the n-th task's callback
    fares the same whatever the others do.

    :raises ConfigurationError: a share is not from 0 to 1, or the span is not in order.
    """

    loss: float = 0.0
    """The share of callbacks that are never sent."""
    duplicates: float = 0.0
    """The share that are sent twice, at the same moment unless there is a `delay`."""
    delay: tuple[float, float] = (0.0, 0.0)
    """The shortest and the longest time from the end of a task to its callback, in seconds, drawn for each copy."""
    reorder: float = 0.0
    """The share that are held back until the provider's next one was sent; a minute at most."""
    early: float = 0.0
    """The share that overtake the answer to their own submit. Their tasks end at once."""
    forge: float = 0.0
    """
    The share that a forgery goes before: it tells the contrary of the truth, and is signed with a wrong secret, or not
    at all where there is none.
    """

    def __attrs_post_init__(self) -> None:
        low, high = self.delay
        if not 0 <= low <= high < math.inf:
            raise ConfigurationError(f"a span of seconds must be in order and not negative, not {low!r} to {high!r}")
        shares = (self.loss, self.duplicates, self.reorder, self.early, self.forge)
        if not all(0 <= share <= 1 for share in shares):
            raise ConfigurationError("the shares of callbacks must lie from 0 to 1")

    def delivery_plan(self, number: int, *, seed: str, rules: CallbackRules) -> DeliveryPlan:
        """Decide about the callback of the provider's task *number*, counted from 1."""
        chance = random.Random(f"{seed}/callback/{number}")
        # The order of the draws is fixed, so that a change of one share leaves the others' callbacks alone.
        lost, twice, held, early, forged = (
            chance.random() < share for share in (self.loss, self.duplicates, self.reorder, self.early, self.forge)
        )
        copies = [
            DeliveryCopy(
                delay=chance.uniform(*self.delay), pauses=tuple(chance.uniform(*pause) for pause in rules.pauses)
            )
            for _ in range(2)
        ]
        return DeliveryPlan(
            copies=tuple(copies if twice else copies[:1]),
            lost=lost,
            early=early and not lost,
            held=held and not early,
            forged=forged,
        )
