"""
The errors of nexusflow: https://nexusflow.vip/docs/api/errors and the operator's public source.

The error of a call is an object. The error of a failed task is a text, which comes with HTTP status 200.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import define

from happyhorse_async.adapter import Account
from happyhorse_async.adapter_kit import (
    ErrorClass,
    Lax,
    class_by_status,
    error_from_response,
    failure_reason,
    is_code,
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
    PermissionDeniedError,
    ProviderError,
    QuotaExceededError,
    RateLimitError,
    TaskNotFoundError,
)
from happyhorse_async.messages import HttpResponse
from happyhorse_async.task import FailureReason, TaskFailure

# Two codes are missing: `upstream_error`, which has a function of its own, and `provider_capacity_exhausted`, which
# comes with 429 or 503, so that the status decides.
_ERRORS: dict[str, ErrorClass] = {
    "missing_api_key": AuthenticationError,
    "invalid_api_key": AuthenticationError,
    "anonymous_key_not_allowed": PermissionDeniedError,
    "model_not_allowed": PermissionDeniedError,
    "sub_account_suspended": PermissionDeniedError,
    "account_inactive": PermissionDeniedError,
    "insufficient_balance": QuotaExceededError,
    "insufficient_quota": QuotaExceededError,
    "sub_account_quota_exceeded": QuotaExceededError,
    "task_not_found": TaskNotFoundError,
    "model_not_found": InvalidRequestError,
    "provider_not_found": InvalidRequestError,
    "invalid_request": InvalidRequestError,
    "unsupported_model": InvalidRequestError,
    "invalid_video_parameters": InvalidRequestError,
    "unsupported_video_parameters": InvalidRequestError,
    "region_unavailable": InvalidRequestError,
    "invalid_json": InvalidRequestError,
    "billing_reservation_failed": InvalidRequestError,
    "payload_too_large": InvalidRequestError,
    "context_length_exceeded": InvalidRequestError,
    "ambiguous_request_framing": InvalidRequestError,
    "unsupported_content_encoding": InvalidRequestError,
    "content_filter": ContentRejectedError,
    "rate_limit_exceeded": RateLimitError,
    "actor_rate": RateLimitError,
    "user_rate": RateLimitError,
    "task_rate": RateLimitError,
    "body_admission_exceeded": RateLimitError,
    "control_store_unavailable": ProviderError,
    "provider_capacity_store_unavailable": ProviderError,
    "provider_unavailable": ProviderError,
    "provider_channel_unavailable": ProviderError,
    "body_admission_unavailable": ProviderError,
    "provider_not_configured": ProviderError,
    "unexpected_response": ProviderError,
    "adapter_error": ProviderError,
    "poll_error": ProviderError,
    "server_error": ProviderError,
    "internal_error": ProviderError,
}

# With 503 these are sent before the request goes to DashScope.
_BEFORE_ACCEPTANCE = (
    "control_store_unavailable",
    "provider_capacity_store_unavailable",
    "provider_capacity_exhausted",
    "provider_unavailable",
    "provider_channel_unavailable",
    "body_admission_unavailable",
)

# DashScope's codes in front of the text of a failed task, by their beginning, the longer one first.
_REASONS = {
    "InvalidParameter": FailureReason.INVALID_REQUEST,
    "DataInspectionFailed": FailureReason.CONTENT_REJECTED,
    "Throttling": FailureReason.RATE_LIMITED,
    "InternalError.Timeout": FailureReason.TIMEOUT,
    "InternalError": FailureReason.PROVIDER_FAULT,
}

# DashScope puts this in front of the code that matters, and a status as `<400> ` in front of both.
_WRAPPER = re.compile(r"(?:<\d{3}>\s*)?(?:InternalError\.Algo\.(?=\w))?")

# What DashScope writes after moderation. Its `InvalidParameter.DataInspection` is a failed download of media.
_MODERATED = ("datainspectionfailed", "data_inspection_failed", "inappropriate content", "green network")

# DashScope's codes about an account. Behind the relay it is the relay's own account, not the caller's:
# https://help.aliyun.com/zh/model-studio/error-code
_ACCOUNT = re.compile(
    r"Arrearage|AllocationQuota|(?:Model\.|Workspace\.|App\.)?AccessDenied|CommodityNotPurchased|PrepaidBillOverdue"
    r"|PostpaidBillOverdue|InvalidApiKey|NOT AUTHORIZED|Contain\.Forbidden",
    re.IGNORECASE,
)

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
_CODE_AND_TEXT = re.compile(rf"({_CODE.pattern}): (.+)", re.DOTALL)


@define(kw_only=True)
class _WireError:
    code: Lax[str] = None
    type: Lax[str] = None
    message: Lax[str] = None


@define(kw_only=True)
class _WireRefusal:
    error: Lax[_WireError] = None
    success: Lax[bool] = None
    """Only uploads answer `{"success": false, "message": ...}`, without `error`."""
    message: Lax[str] = None

    @property
    def is_own(self) -> bool:
        """Whether it is nexusflow's, and not that of a gateway in between."""
        by_error = self.error is not None and (is_code(self.error.code) or is_code(self.error.type))
        return by_error or (self.success is False and self.message is not None)


def read(response: HttpResponse, account: Account) -> Mapping[str, Any]:
    """
    Return the JSON object in *response*.

    :raises HappyHorseError: the response is a refusal.
    """
    if response.status >= 400:
        raise _refusal(read_refusal(response), response, account)
    body = read_object(response)
    # A failed task may have an error object, too, beside its id and its status.
    wire = structure(body, _WireRefusal)
    if (wire.error or wire.success is False) and "id" not in body and "status" not in body:
        raise _refusal(body, response, account)
    return body


def read_upload(response: HttpResponse, account: Account) -> Mapping[str, Any]:
    """
    Return the JSON object in the answer to an upload.

    :raises HappyHorseError: it was refused.
    """
    body = read(response, account)
    if structure(body, _WireRefusal).success is not True:
        raise _refusal(body, response, account)
    return body


def failure(error: object, account: Account) -> TaskFailure:
    """Read the error of a failed task: a text, an object as on calls, or nothing."""
    wire = structure({"error": error}, _WireRefusal).error
    if wire:
        code, message = wire.code, wire.message or ""
    else:
        code, message = _split(error if isinstance(error, str) else "")
    return task_failure(_reason(code or "", message), message, account=account, code=code)


def _refusal(body: Mapping[str, Any], response: HttpResponse, account: Account) -> HappyHorseError:
    wire = structure(body, _WireRefusal)
    error = wire.error or _WireError(message=wire.message)
    return error_from_response(
        _error_class(error, response.status) if response.status < 400 or wire.is_own else None,
        error.message,
        response=response,
        account=account,
        code=error.code,
        request_id=request_id(response),
        not_accepted=response.status == 503 and error.code in _BEFORE_ACCEPTANCE,
    )


def _error_class(error: _WireError, status: int) -> ErrorClass:
    if error.code == "upstream_error":
        return _upstream_class(error, status)
    if error.code in _ERRORS:
        return _ERRORS[error.code]
    return class_by_status(status) if status >= 400 else ProviderError


def _upstream_class(error: _WireError, status: int) -> ErrorClass:
    """Return what a refusal by DashScope means to the relay's customer. The relay copies DashScope's status."""
    message = error.message or ""
    if error.type == "server_error" or status < 400:
        return ProviderError
    if status < 500 and _is_moderated(message):
        return ContentRejectedError
    if status in (401, 403) or (status < 500 and _ACCOUNT.match(_unwrapped(message))):
        # It is the relay's own key or account that DashScope refuses.
        return ProviderError
    return InvalidRequestError if status == 404 else class_by_status(status)


def _is_moderated(text: str) -> bool:
    return any(mark in text.lower() for mark in _MODERATED)


def _unwrapped(text: str) -> str:
    return text[len(match[0]) :] if (match := _WRAPPER.match(text.strip())) else text


def _split(text: str) -> tuple[str | None, str]:
    """Split `Code: message`. The relay also stores a message alone, or a code alone."""
    parts = _CODE_AND_TEXT.fullmatch(text)
    if parts:
        return parts[1], parts[2]
    return (text if _CODE.fullmatch(text) else None), text


def _reason(code: str, message: str) -> FailureReason:
    if _is_moderated(f"{code} {message}"):
        return FailureReason.CONTENT_REJECTED
    inner = _split(_unwrapped(message))[0] if _unwrapped(message) != message.strip() else None
    for said in (inner or "", _unwrapped(code)):
        for beginning, reason in _REASONS.items():
            if said.startswith(beginning):
                return reason
    return failure_reason(_ERRORS.get(code))
