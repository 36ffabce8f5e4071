"""
What HiAPI means by a refusal, and by the error of a failed task.

A refusal comes in one of two envelopes. The task service's is documented, https://docs.hiapi.ai/async-api/create/; the
other, with an `error` object, was seen with 401 and 429 and looks like a gateway's in front of it. The page with the
codes is gone; they are in the vendor's own client, https://github.com/HiAPIAI/hiapi-python.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import define

from happyhorse_async.adapter import Account
from happyhorse_async.adapter_kit.decoding import Lax, read_object, structure
from happyhorse_async.adapter_kit.error_mapping import ErrorClass, class_by_status, error_from_response, plain_text
from happyhorse_async.errors import (
    HappyHorseError,
    InvalidRequestError,
    InvalidResponseError,
    PermissionDeniedError,
    ProviderError,
    QuotaExceededError,
    RateLimitError,
)
from happyhorse_async.messages import HttpResponse
from happyhorse_async.redaction import redact_text
from happyhorse_async.task import FailureReason, TaskFailure

# https://github.com/HiAPIAI/hiapi-python has the upper-case codes of the task service; `rate_limit_exceeded` is the
# gateway's. The gateway's `permission_denied` comes with a wrong key as well, so there the status decides.
_ERRORS: dict[str, ErrorClass] = {
    "INVALID_REQUEST": InvalidRequestError,
    # The vendor calls it a synchronous rejection, to be repeated under no status. So it is the refusal of a request:
    # nothing was taken, and the same request will not do better. As a fault of the provider it would be sent again.
    "TASK_FAILED": InvalidRequestError,
    "IDEMPOTENCY_KEY_MISMATCH": InvalidRequestError,
    # The first request with this key is still on its way; the same bytes with the same key will find its task.
    "IDEMPOTENCY_KEY_PROCESSING": ProviderError,
    "MODEL_UNAVAILABLE": ProviderError,
    "STORAGE_UNAVAILABLE": ProviderError,
    "TASK_TIMEOUT": ProviderError,
    "rate_limit_exceeded": RateLimitError,
}

# The same codes inside a failed task. There is none for moderation: a rejected prompt is TASK_FAILED as well.
_REASONS = {
    "INVALID_REQUEST": FailureReason.INVALID_REQUEST,
    "MODEL_UNAVAILABLE": FailureReason.PROVIDER_FAULT,
    "STORAGE_UNAVAILABLE": FailureReason.PROVIDER_FAULT,
    "TASK_FAILED": FailureReason.UNKNOWN,
    "TASK_TIMEOUT": FailureReason.TIMEOUT,
}

# A 403 may be an account without money, and only the text tells: https://github.com/HiAPIAI/hiapi-skills
_QUOTA = re.compile(r"quota|balance|credit|funds|top.?up|recharge|余额|额度|欠费", re.IGNORECASE)


@define(kw_only=True)
class WireError:
    """The gateway's `error`, and the one of a failed task."""

    code: Lax[str] = None
    message: Lax[str] = None
    request_id: Lax[str] = None


@define(kw_only=True)
class Envelope:
    """What surrounds every answer."""

    code: Lax[int] = None
    message: Lax[str] = None
    error_code: Lax[str] = None
    request_id: Lax[str] = None
    error: Lax[WireError] = None
    data: Lax[Mapping[str, Any]] = None

    @property
    def refuses(self) -> bool:
        """Whether a 2xx is a refusal all the same. Never where it names a task: that one is paid for."""
        data = self.data or {}
        if data.get("taskId") or data.get("tasks") is not None:
            return False
        return failure_code(self) is not None or (self.code is not None and self.code // 100 != 2)


def read(response: HttpResponse, account: Account) -> Envelope:
    """
    Read the envelope of an answer.

    :raises HappyHorseError: the answer is a refusal.
    """
    try:
        envelope = structure(read_object(response), Envelope)
    except InvalidResponseError:
        if response.ok:
            raise
        # A proxy in front of the provider answers in HTML.
        envelope = Envelope()
    if response.ok and not envelope.refuses:
        return envelope
    raise _refusal(envelope, response, account)


def request_id(envelope: Envelope, response: HttpResponse) -> str | None:
    """Find the provider's id of the call."""
    in_error = envelope.error.request_id if envelope.error else None
    return envelope.request_id or in_error or response.headers.get("x-request-id")


def failure_code(envelope: Envelope) -> str | None:
    """Find the provider's code in either envelope. The number in `code` only repeats the HTTP status."""
    return envelope.error_code or (envelope.error.code if envelope.error else None) or None


def failure(error: WireError | None, account: Account) -> TaskFailure:
    """Say why a task failed."""
    error = error or WireError()
    reason = _REASONS.get(error.code or "", FailureReason.UNKNOWN)
    message = redact_text(error.message or "", account.api_key)
    return TaskFailure(code=error.code or None, message=message, reason=reason)


def _refusal(envelope: Envelope, response: HttpResponse, account: Account) -> HappyHorseError:
    code = failure_code(envelope)
    message = (envelope.error.message if envelope.error else None) or envelope.message
    status = (envelope.code or 0) if response.ok else response.status
    cls = _ERRORS.get(code or "") or _class_by_status(status, code)
    if cls is PermissionDeniedError and _QUOTA.search(f"{code} {message or plain_text(response)}"):
        cls = QuotaExceededError
    # The vendor's client takes a 503 for "rejected before processing". Without an envelope it is somebody else's 503.
    enveloped = code is not None or envelope.code is not None
    return error_from_response(
        cls,
        message,
        response=response,
        account=account,
        code=code,
        request_id=request_id(envelope, response),
        not_accepted=code == "MODEL_UNAVAILABLE" or (status == 503 and enveloped),
    )


def _class_by_status(status: int, code: str | None) -> ErrorClass:
    if status < 400:
        return InvalidResponseError
    if status == 409 and code is None:
        # The only documented 409 says that the same request is still in work. To take one that lost its code for a
        # refusal could drop a task that is paid for.
        return ProviderError
    return class_by_status(status)
