"""
The errors of KIE: https://docs.kie.ai/market/happyhorse-1-1/image-to-video has the list of codes.

An HTTP status of 200 says nothing by itself: `code` in the body decides, and may be 401 or 422 in an answer with status
200. Where the HTTP status says something else, `code` wins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from attrs import define

from happyhorse_async.adapter import Account
from happyhorse_async.adapter_kit import (
    ErrorClass,
    Lax,
    class_by_status,
    error_from_response,
    failure_reason,
    read_object,
    read_refusal,
    request_id,
    structure,
    task_failure,
)
from happyhorse_async.errors import (
    AuthenticationError,
    ContentRejectedError,
    HappyHorseError,
    InvalidRequestError,
    InvalidResponseError,
    PermissionDeniedError,
    ProviderError,
    QuotaExceededError,
    RateLimitError,
    TaskNotFoundError,
)
from happyhorse_async.messages import HttpResponse
from happyhorse_async.task import FailureReason, TaskFailure


class Call(Enum):
    """What was called. It decides what some codes mean."""

    SUBMIT = auto()
    QUERY = auto()
    UPLOAD = auto()


# 400 and 405 are the upload API's; 408 ("no result of the upstream for ten minutes") is in third-party lists alone.
_CODES: dict[int, ErrorClass] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    402: QuotaExceededError,
    404: TaskNotFoundError,
    405: InvalidRequestError,
    408: ProviderError,
    422: InvalidRequestError,
    429: RateLimitError,
    # The limit that the owner has set for this key. One third-party list has "callback failure" for it.
    433: QuotaExceededError,
    # Under maintenance: refused, so it may be sent again.
    455: ProviderError,
    500: ProviderError,
    501: ProviderError,
    505: PermissionDeniedError,
}
_MAINTENANCE = 455
# With these the task may have been made.
_OPEN = frozenset({408, 500, 501})

# Twenty submits in ten seconds; one that was too many is rejected, not queued. There is no `Retry-After`.
_SUBMIT_WINDOW = 10.0

# There is no code for moderation. The words are Alibaba's, which runs the model, and what others call it.
_REJECTED = re.compile(
    r"green network|inappropriate content|data\s?inspection|moderation|sensitive|flagged|policy", re.IGNORECASE
)
# A status request for an unknown task is also refused with 422.
_UNKNOWN_TASK = re.compile(r"not found|not exist|is null", re.IGNORECASE)

# Cloudflare, in front of both hosts, blocks clients by their User-Agent. It resembles a refused key and is none.
_BLOCKED = re.compile(rb"error(?: code)?:?\s*1010\b", re.IGNORECASE)


@define(kw_only=True)
class Envelope:
    """The object around every answer."""

    code: Lax[int] = None
    msg: Lax[str] = None
    message: Lax[str] = None
    """What older pages call `msg`."""
    data: Any = None
    success: Lax[bool] = None
    """Of the upload API alone."""

    @property
    def text(self) -> str | None:
        """The provider's words."""
        return self.msg or self.message

    @property
    def fields(self) -> Mapping[str, Any]:
        """`data`, where it is an object."""
        return self.data if isinstance(self.data, dict) else {}  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]

    @property
    def is_own(self) -> bool:
        """Whether a refusal is KIE's, and not that of something in between, which may also send a `code`."""
        known = self.code in _CODES or self.msg is not None or self.data is not None
        return self.code is not None and known and self.text is not None


def read(response: HttpResponse, account: Account, call: Call) -> Envelope:
    """
    Read the envelope of an answer.

    :raises HappyHorseError: the answer is a refusal.
    """
    envelope = structure(read_object(response) if response.ok else read_refusal(response), Envelope)
    if envelope.code is not None and _has_answer(envelope, response, call):
        return envelope
    if response.ok and envelope.code in (None, 200) and envelope.success is not False:
        return envelope
    raise _refusal(envelope, response, account, call)


def _has_answer(envelope: Envelope, response: HttpResponse, call: Call) -> bool:
    """Return whether an answer tells what was asked for, whatever its code is."""
    if call is Call.QUERY:
        # A failed task is told with code 501.
        return isinstance(envelope.fields.get("state"), str)
    # A task that was made may be paid for.
    is_refused = 400 <= response.status < 500
    return call is Call.SUBMIT and not is_refused and isinstance(envelope.fields.get("taskId"), str)


def read_credits(response: HttpResponse, account: Account) -> str:
    """
    Return the balance in words; an empty text if the answer has none.

    :raises HappyHorseError: the answer is a refusal.
    """
    envelope = read(response, account, Call.UPLOAD)
    if envelope.code is None:
        raise InvalidResponseError("the answer has no code", path="code")
    return f"{envelope.data:g} credits" if type(envelope.data) in (int, float) else ""


def failure(code: str | None, message: str | None, account: Account) -> TaskFailure:
    """Return why a task failed. Its code is mostly one of the numbers, as text."""
    if not code and not message:
        return task_failure(FailureReason.UNKNOWN, "the task failed, and KIE does not say why", account=account)
    if _REJECTED.search(message or ""):
        reason = FailureReason.CONTENT_REJECTED
    elif code == "408":
        reason = FailureReason.TIMEOUT
    else:
        reason = failure_reason(next((cls for number, cls in _CODES.items() if str(number) == code), None))
    if reason is FailureReason.UNKNOWN:
        reason = FailureReason.PROVIDER_FAULT
    return task_failure(reason, message, account=account, code=code)


def _refusal(envelope: Envelope, response: HttpResponse, account: Account, call: Call) -> HappyHorseError:
    if response.status == 403 and _BLOCKED.search(response.body):
        text = "Cloudflare blocks this client by its User-Agent (error code: 1010); the key was not looked at"
        return error_from_response(None, text, response=response, account=account)
    code = envelope.code
    error = error_from_response(
        _class(envelope, response, call),
        envelope.text,
        response=response,
        account=account,
        code=None if code is None else str(code),
        request_id=request_id(response),
        not_accepted=code == _MAINTENANCE,
    )
    if isinstance(error, ProviderError) and code in _OPEN:
        error.not_accepted = False
    if isinstance(error, ProviderError) and code == _MAINTENANCE:
        error.retryable = True
    if isinstance(error, RateLimitError) and error.retry_after is None and call is Call.SUBMIT and envelope.is_own:
        error.retry_after = _SUBMIT_WINDOW
    return error


def _class(envelope: Envelope, response: HttpResponse, call: Call) -> ErrorClass | None:
    """Return the class of a refusal; `None` if it is not the provider's."""
    if not envelope.is_own:
        return InvalidResponseError if response.ok else None
    cls = _CODES.get(envelope.code or 0)
    if cls is None:
        # An unknown code beside a success says nothing certain.
        return InvalidResponseError if response.ok else class_by_status(response.status)
    text = envelope.text or ""
    if cls is InvalidRequestError and call is Call.QUERY and _UNKNOWN_TASK.search(text):
        return TaskNotFoundError
    if cls is TaskNotFoundError and call is not Call.QUERY:
        cls = InvalidRequestError
    if cls is InvalidRequestError and _REJECTED.search(text):
        return ContentRejectedError
    return cls
