"""
From a provider's refusal to the matching error.

The provider's code decides, and each adapter has the table of its provider's codes. This module has the common part:
the meaning of an HTTP status without a known code, which refusals are certain, and the `FailureReason` of an error
class.

**Who answered?** Between this library and a provider are CDNs, proxies and login pages. A 401, 403 or 404 without
the provider's own error object says nothing about the key or the task. Then pass no class to `error_from_response`.

**Was the paid request accepted?** A 4xx is a certain refusal, with any code. The exceptions are 408, 444, 460 and 499,
with which a gateway says that it gave up waiting, and a response that the same request is still in progress.
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
    TransportError,
)
from ..messages import HttpResponse
from ..redaction import redact_text
from ..task import FailureReason, TaskFailure
from ..timing import retry_after

ErrorClass: TypeAlias = type[HappyHorseError]

# nginx uses 444 and 499, AWS's load balancer 460, for a connection that was closed before the response came.
_GAVE_UP = frozenset({408, 444, 460, 499})

_BY_STATUS: dict[int, ErrorClass] = {
    401: AuthenticationError,
    402: QuotaExceededError,
    403: PermissionDeniedError,
    404: TaskNotFoundError,
    **dict.fromkeys(_GAVE_UP, ProviderError),
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

_IN_PROGRESS = re.compile(r"in[\s_-]?progress|in[\s_-]?flight|processing|still running|being processed", re.IGNORECASE)

_WORD = re.compile(r"[^\W\d_]")
_LONGEST_MESSAGE = 1000

_TAG = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<[^>]*>", re.DOTALL | re.IGNORECASE)


def is_code(text: str | None) -> bool:
    """Return whether *text* can be a provider's error code: a word. Gateways send numbers as codes."""
    return text is not None and bool(_WORD.search(text))


def class_by_status(status: int) -> ErrorClass:
    """Return the error class for an HTTP status of 400 or more whose provider code is missing or unknown."""
    return _BY_STATUS.get(status, InvalidRequestError if status < 500 else ProviderError)


def failure_reason(cls: ErrorClass | None) -> FailureReason:
    """Return the failure reason of a task whose error code maps to *cls* on a call."""
    return _REASONS.get(cls, FailureReason.UNKNOWN) if cls else FailureReason.UNKNOWN


def plain_text(response: HttpResponse) -> str:
    """Return the first 200 characters of a page, without its tags."""
    text = _TAG.sub(" ", response.body[:4000].decode(errors="replace"))
    # Cut between words: half of an echoed key would not be recognized and masked later.
    return shorten(text, 200, placeholder=" …")


def error_from_response(
    cls: ErrorClass | None,
    message: str | None = None,
    *,
    response: HttpResponse,
    account: Account,
    code: str | None = None,
    request_id: str | None = None,
    not_accepted: bool = False,
    in_progress: bool = False,
) -> HappyHorseError:
    """
    Make the error for a refusal. The API key is masked in it.

    :param cls: the class by the provider's code or, with a provider's error object without a known code, by
        `class_by_status`; `None` if the body is not the provider's own. Then a 5xx is a `ProviderError`, a 429 a
        `RateLimitError`, and any other 4xx a `TransportError`: a page from an intermediary.
    :param message: the provider's message; without it, the beginning of the body.
    :param not_accepted: for a `ProviderError`, whether the provider documents that it sends this response only before
        it accepts a submit. A 4xx always counts as such.
    :param in_progress: whether the provider says that it is still working on the same request.
    """
    status = response.status
    sentence = message or plain_text(response) or f"the answer has status {status} and no text"
    if len(sentence) > _LONGEST_MESSAGE:
        # A message may have a megabyte, and the time to process it grows with its length.
        sentence = shorten(sentence[: 4 * _LONGEST_MESSAGE], _LONGEST_MESSAGE, placeholder=" …")
    facts = Facts(provider=account.provider, status_code=status, code=code, request_id=request_id)
    in_progress = in_progress or (status == 409 and bool(_IN_PROGRESS.search(f"{code} {sentence}")))
    if cls is None:
        cls = _class_without_envelope(status)
    if in_progress:
        cls = ProviderError
    error: HappyHorseError
    if cls is TransportError:
        text = f"the answer does not come from the provider but from something in between (a proxy, a CDN): {sentence}"
        # Some firewalls block the answer and not the request, so a paid request is not sent again at once.
        error = TransportError(text, sent=False, retryable=False, **facts)
    elif cls is RateLimitError:
        error = RateLimitError(sentence, retry_after=retry_after(response), **facts)
    elif cls is ProviderError:
        refused = 400 <= status < 500 and status not in _GAVE_UP and not in_progress
        error = ProviderError(
            sentence, retry_after=retry_after(response), not_accepted=not_accepted or refused, **facts
        )
    else:
        error = cls(sentence, **facts)
    return error.mask(account.api_key)


def _class_without_envelope(status: int) -> ErrorClass:
    cls = class_by_status(status)
    return cls if cls in (ProviderError, RateLimitError) else TransportError


def task_failure(
    why: ErrorClass | FailureReason | None, message: str | None, *, account: Account, code: str | None = None
) -> TaskFailure:
    """
    Return the failure of a task. The API key is masked in it.

    :param why: the reason, or the error class of the code on a call; `None` if the code is not known.
    :param message: the provider's message.
    :param code: the provider's code.
    """
    return TaskFailure(
        code=redact_text(code, account.api_key) if code else None,
        message=redact_text(message or "", account.api_key),
        reason=why if isinstance(why, FailureReason) else failure_reason(why),
    )
