"""How new jobs are shared out among the accounts of a client: the setting. `jobs.routing` has the decisions."""

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
    Which account of a client gets a job, and which one is next if the first certainly did not accept it.

    The next account gets a job only on proof that no account before it has accepted it: it cannot express the request,
    an upload failed, there was no connection, or it refused for its rate limit, the key, or the quota. An unknown
    outcome, rejected content and an invalid request are no reason.

    :raises ConfigurationError: a name twice in *order*, an unknown *strategy*, or a negative *patience*.
    """

    order: tuple[str, ...] = field(default=(), converter=_order)
    """The names of the accounts that get jobs, the first one first. By default all of the client, as they are given."""
    strategy: Strategy = "order"
    """
    `"order"`: the first of `order` that can. `"cheapest"`: the lowest price; only prices in the currency of the first
    priced account are compared. `"soonest"`: where the video is expected first, by the queue and by learned durations.
    """
    patience: float = 5.0
    """Seconds for which the first account is waited for when it answers with a 429 or 503, before the next is asked."""

    def __attrs_post_init__(self) -> None:
        order: tuple[Any, ...] = self.order
        patience: Any = self.patience
        if not all(isinstance(name, str) and name for name in order):
            raise ConfigurationError("order must be a list of the names of providers")
        if len(set(order)) != len(order):
            raise ConfigurationError("order names a provider twice")
        if self.strategy not in STRATEGIES:
            raise ConfigurationError(f"strategy must be one of {', '.join(STRATEGIES)}")
        is_number = isinstance(patience, int | float) and not isinstance(patience, bool)
        if not is_number or not 0 <= patience < math.inf:
            raise ConfigurationError(f"patience must be a number of seconds of at least 0, not {patience!r}")
