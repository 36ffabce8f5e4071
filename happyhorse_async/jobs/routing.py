"""
Which account gets a job next, as a pure decision: no I/O, no clock.

A job goes to another account only on proof that no account before has accepted it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Protocol

from attrs import frozen

from ..adapter import Submission
from ..errors import (
    BudgetExceededError,
    HappyHorseError,
    InvalidRequestError,
    ProviderError,
    RateLimitError,
    TransportError,
    UnsupportedFeatureError,
)
from ..job import Job
from ..local_media import LocalMedium
from ..messages import HttpRequest
from ..price import PriceEstimate
from ..routing import Strategy
from .breaker import is_of_account
from .submit_errors import RefusedUploadError


def allows_move(failure: HappyHorseError) -> bool:
    """
    Return whether *failure* proves that the account did not accept the job, and another account may accept it.

    Only for a submit whose every POST has failed like this: after a lost answer, no refusal proves anything.
    """
    match failure:
        case TransportError():
            # A page of a CDN or a proxy is no word of the account about the job.
            return not failure.sent and failure.status_code is None
        case ProviderError():
            return failure.not_accepted
        case BudgetExceededError() | RateLimitError() | RefusedUploadError() | UnsupportedFeatureError():
            return True
        case _:
            return is_of_account(failure)


def is_busy_for_now(failure: HappyHorseError) -> bool:
    """Return whether the account may accept the job in some seconds: a 429, or a 503 before acceptance."""
    if isinstance(failure, ProviderError):
        return failure.not_accepted and failure.status_code == 503
    return isinstance(failure, RateLimitError)


@frozen
class Candidate:
    """An account that can express a request."""

    provider: str
    price: PriceEstimate | None = None
    seconds: float = 0.0
    """When the video is expected there, from now on."""


def ranked(candidates: Sequence[Candidate], strategy: Strategy) -> list[str]:
    """Return the names of *candidates*, which come in the order of the routing, the best one first."""
    if strategy == "soonest":
        return [one.provider for one in sorted(candidates, key=lambda one: one.seconds)]
    if strategy == "cheapest":
        return [one.provider for one in _cheapest(candidates)]
    return [one.provider for one in candidates]


def _cheapest(candidates: Sequence[Candidate]) -> Iterable[Candidate]:
    # Prices in different currencies cannot be compared: that of the first price counts.
    currency = next((one.price.currency for one in candidates if one.price is not None), None)

    def rank(one: Candidate) -> tuple[int, Decimal]:
        if one.price is None:
            return 2, Decimal(0)
        return (0, one.price.high) if one.price.currency == currency else (1, Decimal(0))

    return sorted(candidates, key=rank)


def most_telling(errors: Sequence[HappyHorseError]) -> HappyHorseError:
    """Return the one of several refusals, the first account's first, that the caller can do most about."""
    # An account without room in the budget could have made it, and one that finds a value wrong takes other values.
    for kind in (BudgetExceededError, InvalidRequestError, UnsupportedFeatureError):
        found = next((error for error in errors if isinstance(error, kind)), None)
        if found is not None:
            return found
    return errors[0]


@frozen(kw_only=True)
class PlannedJob:
    """A job that was planned for an account, ready to be recorded and queued there."""

    provider: str
    """The name of the account."""
    submission: Submission
    message: HttpRequest
    media: tuple[LocalMedium, ...] = ()
    price: PriceEstimate | None = None
    """What it will cost; `None` where no price is known."""


class Router(Protocol):
    """What knows the accounts of a client, and plans requests for them."""

    @property
    def patience(self) -> float:
        """Seconds for which the first account is waited for."""
        ...

    def candidates(self, job: Job) -> tuple[list[str], dict[str, HappyHorseError]]:
        """Return the accounts that can express *job*, the best one first; and why each other one cannot."""
        ...

    async def plan_anew(self, provider: str, job: Job, media: tuple[LocalMedium, ...]) -> PlannedJob:
        """
        Plan *job* anew for an account.

        :param media: its local media, with their content where it is known.
        :raises HappyHorseError: the account cannot express it.
        """
        ...
