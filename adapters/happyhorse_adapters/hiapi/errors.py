"""
The errors of HiAPI.

A refusal has one of two envelopes. The task service's is documented: https://docs.hiapi.ai/async-api/create/. The
other, with an `error` object, appears with 401 and 429 and looks like that of the vendor's gateway. The page with the
codes is gone; the vendor's own client has them: https://github.com/HiAPIAI/hiapi-python
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import define, evolve

from happyhorse_async.adapter import Account
from happyhorse_async.adapter_kit import (
    ErrorClass,
    Lax,
    class_by_status,
    error_from_response,
    is_code,
    plain_text,
    read_object,
    read_refusal,
    structure,
    task_failure,
)
from happyhorse_async.adapter_kit import request_id as header_request_id
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
from happyhorse_async.task import FailureReason, TaskFailure

# The upper-case codes are the task service's: https://github.com/HiAPIAI/hiapi-python. `rate_limit_exceeded` is the
# gateway's. The gateway's `permission_denied` also comes with a wrong key, so the status decides about it.
_ERRORS: dict[str, ErrorClass] = {
    "INVALID_REQUEST": InvalidRequestError,
    # The vendor calls it a synchronous rejection that must never be repeated. Nothing was accepted, and the same
    # request would be refused again.
    "TASK_FAILED": InvalidRequestError,
    "IDEMPOTENCY_KEY_MISMATCH": InvalidRequestError,
    # The first request with this key is still in progress; the same bytes with the same key will return its task.
    "IDEMPOTENCY_KEY_PROCESSING": ProviderError,
    "MODEL_UNAVAILABLE": ProviderError,
    "STORAGE_UNAVAILABLE": ProviderError,
    "TASK_TIMEOUT": ProviderError,
    "rate_limit_exceeded": RateLimitError,
}

# The same codes in a failed task. Moderation has no code of its own: a rejected prompt is TASK_FAILED, too.
_REASONS = {
    "INVALID_REQUEST": FailureReason.INVALID_REQUEST,
    "MODEL_UNAVAILABLE": FailureReason.PROVIDER_FAULT,
    "STORAGE_UNAVAILABLE": FailureReason.PROVIDER_FAULT,
    "TASK_FAILED": FailureReason.UNKNOWN,
    "TASK_TIMEOUT": FailureReason.TIMEOUT,
}

# A 403 may mean an account without money; only the text tells: https://github.com/HiAPIAI/hiapi-skills
_IN_PROGRESS = "IDEMPOTENCY_KEY_PROCESSING"

# Of both envelopes.
_FIELDS = {"code", "message", "error_code", "request_id", "error", "data"}

_QUOTA = re.compile(r"quota|balance|credit|funds|top.?up|recharge|余额|额度|欠费", re.IGNORECASE)


@define(kw_only=True)
class WireError:
    """The gateway's `error`, and the one of a failed task."""

    code: Lax[str] = None
    type: Lax[str] = None
    message: Lax[str] = None
    request_id: Lax[str] = None


@define(kw_only=True)
class Envelope:
    """The object around every answer."""

    code: Lax[int] = None
    message: Lax[str] = None
    error_code: Lax[str] = None
    request_id: Lax[str] = None
    error: Lax[WireError] = None
    data: Lax[Mapping[str, Any]] = None
    has_foreign_fields: bool = False
    """Whether it has fields that HiAPI's answers do not have."""

    @property
    def refuses(self) -> bool:
        """Whether a 2xx is a refusal all the same. Never if it names a task, which would be paid for."""
        data = self.data or {}
        if data.get("taskId") or data.get("tasks") is not None:
            return False
        return failure_code(self) is not None or (self.code is not None and self.code // 100 != 2)

    def is_own(self, status: int) -> bool:
        """Whether a refusal with this HTTP *status* is HiAPI's, and not that of something in between."""
        by_gateway = self.error is not None and (self.error.type or self.error.request_id)
        by_service = self.code == status and self.message is not None and not self.has_foreign_fields
        return is_code(failure_code(self)) or by_service or bool(by_gateway)


def read(response: HttpResponse, account: Account) -> Envelope:
    """
    Read the envelope of an answer.

    :raises HappyHorseError: the answer is a refusal.
    """
    answer = read_object(response) if response.ok else read_refusal(response)
    envelope = evolve(structure(answer, Envelope), has_foreign_fields=not answer.keys() <= _FIELDS)
    if response.ok and not envelope.refuses:
        return envelope
    raise _refusal(envelope, response, account)


def request_id(envelope: Envelope, response: HttpResponse) -> str | None:
    """Return the provider's id of the call."""
    in_error = envelope.error.request_id if envelope.error else None
    return envelope.request_id or in_error or header_request_id(response)


def failure_code(envelope: Envelope) -> str | None:
    """Return the provider's code from either envelope. The number in `code` only repeats the HTTP status."""
    return envelope.error_code or (envelope.error.code if envelope.error else None) or None


def failure(error: WireError | None, account: Account) -> TaskFailure:
    """Return why a task failed."""
    error = error or WireError()
    reason = _REASONS.get(error.code or "", FailureReason.UNKNOWN)
    return task_failure(reason, error.message, account=account, code=error.code)


def _refusal(envelope: Envelope, response: HttpResponse, account: Account) -> HappyHorseError:
    code = failure_code(envelope)
    message = (envelope.error.message if envelope.error else None) or envelope.message
    status = (envelope.code or 0) if response.ok else response.status
    is_own = envelope.is_own(status)
    cls = _ERRORS.get(code or "") or (class_by_status(status) if status >= 400 else InvalidResponseError)
    if response.ok and not is_own:
        cls = InvalidResponseError
    if cls is PermissionDeniedError and _QUOTA.search(f"{code} {message or plain_text(response)}"):
        cls = QuotaExceededError
    return error_from_response(
        cls if is_own or response.status < 400 else None,
        message,
        response=response,
        account=account,
        code=code,
        request_id=request_id(envelope, response),
        # The vendor's client takes its own 503 for "rejected before processing".
        not_accepted=code == "MODEL_UNAVAILABLE" or (status == 503 and is_own and (code or envelope.code) is not None),
        # The only documented 409 says so, also when it has lost its code. As a refusal it could drop a paid task.
        in_progress=code == _IN_PROGRESS or (status == 409 and code is None),
    )
