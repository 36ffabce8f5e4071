"""The errors of an emulated API: the faults of a call, and how the provider reports them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from attrs import frozen


class ApiFault(Enum):
    """The faults of a call, provider-neutral. The later ones occur only as injected faults."""

    NO_KEY = auto()
    """The API key is missing."""
    WRONG_KEY = auto()
    """The API key is invalid."""
    NO_SUCH_PATH = auto()
    """The provider has no such path or method."""
    UNKNOWN_TASK = auto()
    """The account has no such task, or it has expired."""
    TOO_FAST = auto()
    """More calls than the rate limit allows."""
    QUEUE_FULL = auto()
    """More waiting tasks than the limit allows."""
    KEY_REUSED = auto()
    """The idempotency key was used before, with another body."""
    KEY_IN_WORK = auto()
    """The first request with the idempotency key is still being processed."""
    BAD_REQUEST = auto()
    """A value of the request is not valid."""
    NO_SUCH_MEDIA = auto()
    """A file that the request names is not in the provider's storage, or belongs to another account or model."""
    REJECTED_CONTENT = auto()
    """Moderation rejects the request."""
    FORBIDDEN = auto()
    """The API key may not do this."""
    NO_MONEY = auto()
    """The account cannot pay."""
    TIMED_OUT = auto()
    """The request did not arrive in time."""
    CONFLICT = auto()
    """The request is in conflict with the state of a resource."""
    TOO_EARLY = auto()
    """The request may be a replay."""
    BROKEN = auto()
    """An internal error of the provider."""
    BAD_GATEWAY = auto()
    """The provider's gateway got an invalid response from its upstream."""
    UNAVAILABLE = auto()
    """The provider accepts nothing now."""
    GATEWAY_TIMEOUT = auto()
    """The provider's gateway got no response from its upstream in time."""


@frozen(kw_only=True)
class ErrorReply:
    """An error of a provider, without its envelope."""

    status: int
    """The HTTP status."""
    message: str
    code: str | None = None
    """The provider's code; `None` if it documents none."""
    retry_after: float | None = None
    """Seconds after which the call would be accepted."""


class ApiError(Exception):
    """Raised while a call is read or carried out: the provider refuses it."""

    def __init__(self, refusal: ErrorReply) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


BARE_REFUSALS: Mapping[ApiFault, ErrorReply] = {
    fault: ErrorReply(status=status, message=message)
    for fault, status, message in (
        (ApiFault.NO_KEY, 401, "The API key is missing."),
        (ApiFault.WRONG_KEY, 401, "The API key is not valid."),
        (ApiFault.NO_SUCH_PATH, 404, "There is no such path."),
        (ApiFault.UNKNOWN_TASK, 404, "There is no such task."),
        (ApiFault.TOO_FAST, 429, "Too many requests."),
        (ApiFault.QUEUE_FULL, 429, "Too many tasks at once."),
        (ApiFault.KEY_REUSED, 422, "The key came with another request before."),
        (ApiFault.KEY_IN_WORK, 409, "The first request with this key is in work."),
        (ApiFault.BAD_REQUEST, 400, "A value is not valid."),
        (ApiFault.NO_SUCH_MEDIA, 400, "The file does not exist."),
        (ApiFault.REJECTED_CONTENT, 400, "The content is not allowed."),
        (ApiFault.FORBIDDEN, 403, "The API key may not do this."),
        (ApiFault.NO_MONEY, 402, "The balance does not cover this call."),
        (ApiFault.TIMED_OUT, 408, "The request did not arrive in time."),
        (ApiFault.CONFLICT, 409, "The request is in conflict with another."),
        (ApiFault.TOO_EARLY, 425, "The request came too early."),
        (ApiFault.BROKEN, 500, "Something went wrong."),
        (ApiFault.BAD_GATEWAY, 502, "The upstream service failed."),
        (ApiFault.UNAVAILABLE, 503, "The service is not available."),
        (ApiFault.GATEWAY_TIMEOUT, 504, "The upstream service gave no answer."),
    )
}
"""An error for each fault by its HTTP status, without a code."""
