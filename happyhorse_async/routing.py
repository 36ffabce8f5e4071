"""The setting that distributes new jobs among the accounts of a client. `jobs.routing` makes the decisions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from attrs import field, frozen

from .errors import ConfigurationError

Strategy: TypeAlias = Literal["order", "cheapest", "soonest"]
STRATEGIES: tuple[Strategy, ...] = ("order", "cheapest", "soonest")


def _order(value: Sequence[str]) -> tuple[str, ...]:
    # A lone text is a sequence of letters.
    return (value,) if isinstance(value, str) else tuple(value)


@frozen
class Routing:
    """
    Selects the account for a new job, and the next one if the first certainly did not accept it.

    The next account gets a job only on proof that no account before it has accepted it: it cannot express the request,
    an upload failed, there was no connection, or it refused because of its rate limit, the key, or the quota. An
    unknown outcome, rejected content and an invalid request never move a job.

    :raises ConfigurationError: *order* repeats a name, *strategy* is unknown, or *patience* is negative.
    """

    order: tuple[str, ...] = field(default=(), converter=_order)
    """
    The names of the accounts that get jobs, in this order. By default all accounts of the client, as they were given.
    """
    strategy: Strategy = "order"
    """
    `"order"`: the first of `order` that can express the request. `"cheapest"`: the lowest price; only prices in the
    currency of the first priced account are compared. `"soonest"`: the account that is expected to finish first, from
    its queue and the learned durations.
    """
    patience: float = 5.0
    """Seconds to wait for the first account after a 429 or 503, before the next one is tried."""

    def __attrs_post_init__(self) -> None:
        order: tuple[Any, ...] = self.order
        patience: Any = self.patience
        if not all(isinstance(name, str) and name for name in order):
            raise ConfigurationError("order must be a list of provider names")
        if len(set(order)) != len(order):
            raise ConfigurationError("order repeats a provider name")
        if self.strategy not in STRATEGIES:
            raise ConfigurationError(f"strategy must be one of {', '.join(STRATEGIES)}")
        is_number = isinstance(patience, int | float) and not isinstance(patience, bool)
        if not is_number or not 0 <= patience < math.inf:
            raise ConfigurationError(f"patience must be a number of seconds of at least 0, not {patience!r}")
