"""What may be wrong with a call to a provider, and how the provider says so: the emulator's side of a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from attrs import frozen


class Problem(Enum):
    """What may be wrong with a call, whichever the provider. The later ones come up as faults only."""

    NO_KEY = auto()
    """There is no API key."""
    WRONG_KEY = auto()
    """The API key is not the one."""
    NO_SUCH_PATH = auto()
    """The provider has no such path or method."""
    UNKNOWN_TASK = auto()
    """The account has no such task, or it is too old."""
    TOO_FAST = auto()
    """More calls than the provider's quota."""
    QUEUE_FULL = auto()
    """More waiting tasks than the provider's quota."""
    KEY_REUSED = auto()
    """The idempotency key was used before, with another body."""
    KEY_IN_WORK = auto()
    """The first request with the idempotency key has not been answered yet."""
    BAD_REQUEST = auto()
    """A value of the request is not taken."""
    REJECTED_CONTENT = auto()
    """Moderation does not let the request pass."""
    FORBIDDEN = auto()
    """The API key may not do this."""
    NO_MONEY = auto()
    """The account cannot pay."""
    TIMED_OUT = auto()
    """The request did not arrive in time."""
    CONFLICT = auto()
    """The request contradicts something that is there."""
    TOO_EARLY = auto()
    """The request may be a replay."""
    BROKEN = auto()
    """A fault inside the provider."""
    BAD_GATEWAY = auto()
    """The provider's front has no good answer from what is behind it."""
    UNAVAILABLE = auto()
    """The provider takes nothing now."""
    GATEWAY_TIMEOUT = auto()
    """The provider's front has no answer in time from what is behind it."""


@frozen(kw_only=True)
class Refusal:
    """An error answer in the provider's own terms, without the envelope around them."""

    status: int
    """The HTTP status."""
    message: str
    code: str | None = None
    """The provider's code; `None` where its pages name none."""
    retry_after: float | None = None
    """Seconds after which the call would be taken."""


class RefusalError(Exception):
    """Raised while a call is read or carried out: the provider would refuse it."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


BARE_REFUSALS: Mapping[Problem, Refusal] = {
    problem: Refusal(status=status, message=message)
    for problem, status, message in (
        (Problem.NO_KEY, 401, "There is no API key."),
        (Problem.WRONG_KEY, 401, "The API key is not valid."),
        (Problem.NO_SUCH_PATH, 404, "There is no such path."),
        (Problem.UNKNOWN_TASK, 404, "There is no such task."),
        (Problem.TOO_FAST, 429, "Too many requests."),
        (Problem.QUEUE_FULL, 429, "Too many tasks at once."),
        (Problem.KEY_REUSED, 422, "The key came with another request before."),
        (Problem.KEY_IN_WORK, 409, "The first request with this key is in work."),
        (Problem.BAD_REQUEST, 400, "A value is not valid."),
        (Problem.REJECTED_CONTENT, 400, "The content is not allowed."),
        (Problem.FORBIDDEN, 403, "The API key may not do this."),
        (Problem.NO_MONEY, 402, "The balance does not cover this call."),
        (Problem.TIMED_OUT, 408, "The request did not arrive in time."),
        (Problem.CONFLICT, 409, "The request is in conflict with another."),
        (Problem.TOO_EARLY, 425, "The request came too early."),
        (Problem.BROKEN, 500, "Something went wrong."),
        (Problem.BAD_GATEWAY, 502, "The upstream service failed."),
        (Problem.UNAVAILABLE, 503, "The service is not available."),
        (Problem.GATEWAY_TIMEOUT, 504, "The upstream service gave no answer."),
    )
}
"""What the HTTP status alone says of each problem, without a code of anybody's."""
