"""
From a provider's refusal to the error that says what it means.

The provider's code decides, and each adapter has the table of its provider's codes. Here is what all of them share: the
meaning of an HTTP status where the code is missing or unknown, and how an error class becomes a `FailureReason`.
"""

from __future__ import annotations

import re
from textwrap import shorten
from typing import TypeAlias

from ..adapter import Account
from ..errors import (
    AuthenticationError,
    ContentRejectedError,
    Facts,
    HappyHorseError,
    InvalidRequestError,
    PermissionDeniedError,
    ProviderError,
    QuotaExceededError,
    RateLimitError,
    TaskNotFoundError,
)
from ..messages import HttpResponse
from ..task import FailureReason
from ..timing import retry_after

ErrorClass: TypeAlias = type[HappyHorseError]

_BY_STATUS: dict[int, ErrorClass] = {
    401: AuthenticationError,
    402: QuotaExceededError,
    403: PermissionDeniedError,
    404: TaskNotFoundError,
    408: ProviderError,
    425: RateLimitError,
    429: RateLimitError,
}

_REASONS: dict[ErrorClass, FailureReason] = {
    InvalidRequestError: FailureReason.INVALID_REQUEST,
    ContentRejectedError: FailureReason.CONTENT_REJECTED,
    QuotaExceededError: FailureReason.QUOTA_EXCEEDED,
    RateLimitError: FailureReason.RATE_LIMITED,
    ProviderError: FailureReason.PROVIDER_FAULT,
}

_LONGEST_MESSAGE = 1000

_TAG = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<[^>]*>", re.DOTALL | re.IGNORECASE)


def class_by_status(status: int) -> ErrorClass:
    """Tell what an HTTP status of 400 or more means where the provider's code is missing or unknown."""
    return _BY_STATUS.get(status, InvalidRequestError if status < 500 else ProviderError)


def failure_reason(cls: ErrorClass | None) -> FailureReason:
    """Tell why a task failed whose code, on a call, would have been an error of *cls*."""
    return _REASONS.get(cls, FailureReason.UNKNOWN) if cls else FailureReason.UNKNOWN


def plain_text(response: HttpResponse) -> str:
    """Return the first 200 characters of a body that is not the provider's JSON, without its tags."""
    text = _TAG.sub(" ", response.body[:4000].decode(errors="replace"))
    # Cut between words: half of a key that the provider echoes would no longer be known for one.
    return shorten(text, 200, placeholder=" …")


def error_from_response(
    cls: ErrorClass,
    message: str | None,
    *,
    response: HttpResponse,
    account: Account,
    code: str | None = None,
    request_id: str | None = None,
    not_accepted: bool = False,
) -> HappyHorseError:
    """
    Make the error of class *cls* for a refusal.

    :param message: the provider's words; without them, the beginning of the body.
    :param not_accepted: for a `ProviderError`, whether the provider documents that it answers so only before it takes a
        submit.
    """
    sentence = message or plain_text(response) or f"the provider answered {response.status} without a word"
    if len(sentence) > _LONGEST_MESSAGE:
        sentence = shorten(sentence, _LONGEST_MESSAGE, placeholder=" …")
    facts = Facts(provider=account.provider, status_code=response.status, code=code, request_id=request_id)
    if cls is RateLimitError:
        error: HappyHorseError = RateLimitError(sentence, retry_after=retry_after(response), **facts)
    elif cls is ProviderError:
        error = ProviderError(sentence, retry_after=retry_after(response), not_accepted=not_accepted, **facts)
    else:
        error = cls(sentence, **facts)
    return error.mask(account.api_key)
