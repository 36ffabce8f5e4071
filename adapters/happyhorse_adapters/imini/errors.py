"""
The errors of imini.

- HTTP statuses: https://docs.imini.ai/en/guide/getting-started
- codes: https://github.com/imini-ai/imini-api-integration-skill/blob/main/references/errors.md
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define

from happyhorse_async.adapter import Account
from happyhorse_async.adapter_kit import (
    ErrorClass,
    Lax,
    class_by_status,
    error_from_response,
    is_code,
    read_object,
    read_refusal,
    request_id,
    structure,
    task_failure,
)
from happyhorse_async.errors import (
    ContentRejectedError,
    HappyHorseError,
    InvalidRequestError,
    ProviderError,
    QuotaExceededError,
    RateLimitError,
    TaskNotFoundError,
)
from happyhorse_async.messages import HttpResponse
from happyhorse_async.task import TaskFailure

# A 400 is a bad parameter or a rejected prompt, so the code takes precedence over the status. More codes may exist.
_ERRORS: dict[str, ErrorClass] = {
    "INVALID_PARAMETER": InvalidRequestError,
    "INVALID_PROMPT": ContentRejectedError,
    "INSUFFICIENT_CREDITS": QuotaExceededError,
    "TASK_NOT_FOUND": TaskNotFoundError,
    "RATE_LIMITED": RateLimitError,
}


@define(kw_only=True)
class WireError:
    """The error of a refusal and, as the vendor's guide types it, of a failed task."""

    code: Lax[str] = None
    message: Lax[str] = None
    status: Lax[int] = None
    request_id: Lax[str] = None

    def is_own(self, status: int) -> bool:
        """Whether a refusal with this HTTP *status* is imini's, and not that of a gateway in between."""
        return is_code(self.code) or self.status == status or bool(self.request_id)


@define(kw_only=True)
class _WireRefusal:
    error: Lax[WireError] = None
    request_id: Lax[str] = None


def read(response: HttpResponse, account: Account) -> Mapping[str, Any]:
    """
    Return the JSON object in *response*.

    :raises HappyHorseError: the response is a refusal.
    """
    if response.status >= 400:
        raise _refusal(read_refusal(response), response, account)
    body = read_object(response)
    # A failed task has an error object, too, beside its id and its status.
    if "task_id" not in body and "status" not in body and structure(body, _WireRefusal).error:
        raise _refusal(body, response, account)
    return body


def failure(error: WireError | None, account: Account) -> TaskFailure:
    """Return why a task failed."""
    error = error or WireError()
    known = error.code in _ERRORS or (error.status or 0) >= 400
    why = _error_class(error.code, error.status or 0) if known else None
    return task_failure(why, error.message, account=account, code=error.code)


def _refusal(body: Mapping[str, Any], response: HttpResponse, account: Account) -> HappyHorseError:
    wire = structure(body, _WireRefusal)
    error = wire.error or WireError()
    return error_from_response(
        _error_class(error.code, response.status) if response.status < 400 or error.is_own(response.status) else None,
        error.message,
        response=response,
        account=account,
        code=error.code,
        request_id=error.request_id or wire.request_id or request_id(response),
    )


def _error_class(code: str | None, status: int) -> ErrorClass:
    if code in _ERRORS:
        return _ERRORS[code]
    if status == 403 and code and ("CREDIT" in code.upper() or "QUOTA" in code.upper()):
        # The documentation sends 402 for a low balance, the guide 403 for an exhausted quota.
        return QuotaExceededError
    return class_by_status(status) if status >= 400 else ProviderError
