"""
What nexusflow means by a refusal, and by the error of a failed task.

From https://nexusflow.vip/docs/api/errors and the operator's public source. An error on a call is an object; the one
of a failed task is a text, for which the HTTP status says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import define

from happyhorse_async.adapter import Account
from happyhorse_async.adapter_kit.decoding import Lax, read_object, structure
from happyhorse_async.adapter_kit.error_mapping import ErrorClass, class_by_status, error_from_response, failure_reason
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
from happyhorse_async.redaction import redact_text
from happyhorse_async.task import FailureReason, TaskFailure

# Without the two codes that mean different things: `upstream_error`, which has a function of its own, and
# `provider_capacity_exhausted`, which comes with 429 as well as 503, so that the status decides.
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

# With 503 these are answered before the request goes to DashScope.
_NOT_TAKEN = (
    "control_store_unavailable",
    "provider_capacity_store_unavailable",
    "provider_capacity_exhausted",
    "provider_unavailable",
    "provider_channel_unavailable",
    "body_admission_unavailable",
)

# DashScope's codes as they stand before the text of a failed task, by their beginning, the longer one first.
_REASONS = {
    "InvalidParameter": FailureReason.INVALID_REQUEST,
    "DataInspectionFailed": FailureReason.CONTENT_REJECTED,
    "Throttling": FailureReason.RATE_LIMITED,
    "InternalError.Timeout": FailureReason.TIMEOUT,
    "InternalError": FailureReason.PROVIDER_FAULT,
}

# What DashScope writes where moderation refused. Its `InvalidParameter.DataInspection` is a failed media download.
_MODERATED = ("datainspectionfailed", "data_inspection_failed", "inappropriate content", "green network")

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


def read(response: HttpResponse, account: Account) -> Mapping[str, Any]:
    """
    Return the object in *response*.

    :raises HappyHorseError: the response is a refusal.
    """
    if response.status >= 400:
        raise _refusal(_error_body(response), response, account)
    body = read_object(response)
    # A failed task may have an error object as well, beside its id and its status.
    wire = structure(body, _WireRefusal)
    if (wire.error or wire.success is False) and "id" not in body and "status" not in body:
        raise _refusal(body, response, account)
    return body


def request_id(response: HttpResponse) -> str | None:
    """Return nexusflow's id of the call."""
    return response.headers.get("x-request-id")


def _error_body(response: HttpResponse) -> Mapping[str, Any]:
    try:
        return read_object(response)
    except InvalidResponseError:
        return {}


def _refusal(body: Mapping[str, Any], response: HttpResponse, account: Account) -> HappyHorseError:
    wire = structure(body, _WireRefusal)
    error = wire.error or _WireError(message=wire.message)
    return error_from_response(
        _error_class(error, response.status),
        error.message,
        response=response,
        account=account,
        code=error.code,
        request_id=request_id(response),
        not_accepted=_certainly_refused(error, response.status),
    )


def _error_class(error: _WireError, status: int) -> ErrorClass:
    if error.code == "upstream_error":
        return _upstream_class(error, status)
    if error.code in _ERRORS:
        return _ERRORS[error.code]
    return class_by_status(status) if status >= 400 else ProviderError


def _upstream_class(error: _WireError, status: int) -> ErrorClass:
    """Tell what a refusal by DashScope means to the relay's customer. The relay copies DashScope's status."""
    if error.type == "server_error" or status < 400:
        return ProviderError
    if status in (401, 403):
        # It is the relay's own key that DashScope refuses here.
        return ProviderError
    if status == 400 and _moderated(error.message or ""):
        return ContentRejectedError
    return InvalidRequestError if status == 404 else class_by_status(status)


def _certainly_refused(error: _WireError, status: int) -> bool:
    if error.code == "upstream_error":
        return error.type != "server_error" and status in (401, 403)
    return status == 503 and error.code in _NOT_TAKEN


def _moderated(text: str) -> bool:
    return any(mark in text.lower() for mark in _MODERATED)


def failure(error: object, account: Account) -> TaskFailure:
    """Read the error of a failed task: a text, an object as on calls, or nothing."""
    wire = structure({"error": error}, _WireRefusal).error
    if wire:
        code, message = wire.code, wire.message or ""
    else:
        code, message = _split(error if isinstance(error, str) else "")
    reason = _reason(code or "", message)
    return TaskFailure(code=code, message=redact_text(message, account.api_key), reason=reason)


def _split(text: str) -> tuple[str | None, str]:
    """Part `Code: message`. The relay also stores a message alone, or a code alone."""
    parts = _CODE_AND_TEXT.fullmatch(text)
    if parts:
        return parts[1], parts[2]
    return (text if _CODE.fullmatch(text) else None), text


def _reason(code: str, message: str) -> FailureReason:
    if _moderated(f"{code} {message}"):
        return FailureReason.CONTENT_REJECTED
    for beginning, reason in _REASONS.items():
        if code.startswith(beginning):
            return reason
    return failure_reason(_ERRORS.get(code))
