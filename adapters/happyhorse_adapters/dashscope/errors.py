"""
What DashScope's error codes mean.

The list is shared by all of Model Studio's models: https://help.aliyun.com/zh/model-studio/error-code (February and
May 2026, and a newer English edition). One HTTP status carries several meanings (429 is a rate limit or an unpaid
bill, 400 a bad value, moderation or an overdue account), so the code decides, and before it, for a few overloaded
codes, the words of the message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from happyhorse_async.adapter import Account
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
from happyhorse_async.task import FailureReason

# Codes in lower case, without `_`, `-` and spaces: the pages list `InvalidApiKey` and `invalid_api_key` as one. A code
# that is not here counts as the part before its last dot: `InvalidFile.Size` as `InvalidFile`.
_CODES: dict[str, ErrorClass] = {
    "invalidapikey": AuthenticationError,
    "notauthorized": AuthenticationError,
    "accessdenied": PermissionDeniedError,
    "accessdenied.unpurchased": PermissionDeniedError,
    "model.accessdenied": PermissionDeniedError,
    "workspace.accessdenied": PermissionDeniedError,
    "app.accessdenied": PermissionDeniedError,
    "bailiangateway.workspace.notauthorised": PermissionDeniedError,
    "allocationquota.freetieronly": QuotaExceededError,
    "arrearage": QuotaExceededError,
    "contain.forbidden.label.error": QuotaExceededError,
    "commoditynotpurchased": QuotaExceededError,
    "prepaidbilloverdue": QuotaExceededError,
    "postpaidbilloverdue": QuotaExceededError,
    "throttling": RateLimitError,
    "throttling.ratequota": RateLimitError,
    "limitrequests": RateLimitError,
    "resourceexhausted": RateLimitError,
    "toomanyrequests": RateLimitError,
    "throttling.burstrate": RateLimitError,
    "limitburstrate": RateLimitError,
    "throttling.allocationquota": RateLimitError,
    "insufficientquota": RateLimitError,
    "throttling.concurrency": RateLimitError,
    "invalidparameter": InvalidRequestError,
    "invalidparametererror": InvalidRequestError,
    "invalidparameter.datainspection": InvalidRequestError,
    "invalidrequesterror": InvalidRequestError,
    "invalidvalue": InvalidRequestError,
    "badrequest": InvalidRequestError,
    "badrequest.resourcenotexist": TaskNotFoundError,
    "invalidurl": InvalidRequestError,
    "invalidfile": InvalidRequestError,
    "invalidimage": InvalidRequestError,
    "invalidimageresolution": InvalidRequestError,
    "invalidimageformat": InvalidRequestError,
    "invalidinputlength": InvalidRequestError,
    "datainspectionfailed": ContentRejectedError,
    "ipinfringementsuspect": ContentRejectedError,
    "faqruleblocked": ContentRejectedError,
    "customroleblocked": ContentRejectedError,
    "unsupportedoperation": InvalidRequestError,
    "modelnotfound": InvalidRequestError,
    "modelnotsupported": InvalidRequestError,
    "workspacenotfound": TaskNotFoundError,
    "notfound": TaskNotFoundError,
    "conflict": InvalidRequestError,
    "internalerror": ProviderError,
    "internalerror.algo": ProviderError,
    "internalerror.fileupload": ProviderError,
    "internalerror.upload": ProviderError,
    "internalerror.timeout": ProviderError,
    "systemerror": ProviderError,
    "modelservicefailed": ProviderError,
    "requesttimeout": ProviderError,
    "responsetimeout": ProviderError,
    "modelservingerror": ProviderError,
    "modelunavailable": ProviderError,
}

# The beginning of the code ("" for any), what the message says in lower case, and what it really is.
_MESSAGES: tuple[tuple[str, tuple[str, ...], ErrorClass], ...] = (
    # The header that asks for an asynchronous task was lost on the way, or the model knows none.
    ("accessdenied", ("does not support synchronous calls",), InvalidRequestError),
    # On some models a 429 says so.
    ("", ("does not support asynchronous calls",), InvalidRequestError),
    ("accessdenied", ("policy expired",), InvalidRequestError),
    # "Green network" is the moderation service.
    ("invalidparameter", ("green network",), ContentRejectedError),
    ("invalidparameter", ("inappropriate content",), ContentRejectedError),
    ("invalidparameter", ("model not exist",), InvalidRequestError),
    ("", ("download",), InvalidRequestError),
    ("", ("authorization to access the media",), InvalidRequestError),
    ("throttling.allocationquota", ("free allocated quota exceeded",), QuotaExceededError),
    ("insufficientquota", ("free allocated quota exceeded",), QuotaExceededError),
    ("throttling", ("running, please retry later", "fine-tune"), InvalidRequestError),
)

# Elsewhere these words are a quota per minute, on the host of the subscription plan they are the end of its credits.
_PLAN_HOST = "//token-plan."
_PLAN_EXHAUSTED = "allocated quota exceeded"

# With these a 503 is documented as given before the request is taken.
_BEFORE_ACCEPTANCE = frozenset({"modelunavailable", "modelservingerror"})

# The platform gives a task up three hours after its submit.
_TASK_TIMEOUT = "internalerror.timeout"


@frozen(kw_only=True)
class ErrorDetails:
    """What a reply says of a failure, wherever in the reply it says so. What is null or empty counts as absent."""

    code: str | None
    message: str | None
    request_id: str | None

    @property
    def normal_code(self) -> str:
        """The code as it stands in the tables; empty for none."""
        return (self.code or "").lower().translate({ord(sign): None for sign in "_- "})


def read_error_details(answer: Mapping[str, Any], response: HttpResponse) -> ErrorDetails:
    """
    Read code, message and request id from any of the envelopes.

    Beside DashScope's flat one there is the OpenAI-style `error` of its compatible hosts and a `msg` of some gateways.
    """
    output, error = _mapping(answer.get("output")), _mapping(answer.get("error"))
    return ErrorDetails(
        code=_text(answer.get("code"), output.get("code"), error.get("code"), error.get("type")),
        message=_text(
            answer.get("message"), answer.get("msg"), output.get("message"), error.get("message"), answer.get("error")
        ),
        request_id=_text(answer.get("request_id"), answer.get("id"), response.headers.get("x-request-id")),
    )


def refuses(response: HttpResponse, answer: Mapping[str, Any], details: ErrorDetails) -> bool:
    """Tell whether *response* is a refusal. A failed task has a code as well, and is an answer."""
    if not response.ok:
        return True
    # Gateways refuse with a 200, too.
    output = _mapping(answer.get("output"))
    answered = output.get("task_id") or output.get("task_status") or isinstance(answer.get("data"), list)
    return details.code is not None and not answered


def refusal_in(response: HttpResponse, details: ErrorDetails, account: Account) -> HappyHorseError:
    """Make the error for a *response* that is a refusal, from what it says."""
    cls = _by_message(details, response.status, account) or _by_code(details)
    if cls is None:
        # A reply that is no error by its status and has a code we do not know says nothing that could be relied on.
        cls = class_by_status(response.status) if response.status >= 400 else InvalidResponseError
    return error_from_response(
        cls,
        details.message,
        response=response,
        account=account,
        code=details.code,
        request_id=details.request_id,
        not_accepted=response.status == 503 and details.normal_code in _BEFORE_ACCEPTANCE,
    )


def reason_of(details: ErrorDetails, account: Account) -> FailureReason:
    """Tell why a task failed. The same codes as on a call, with no HTTP status to help."""
    if details.normal_code == _TASK_TIMEOUT:
        return FailureReason.TIMEOUT
    cls = _by_message(details, None, account) or _by_code(details)
    # The task is there. What was not found is something that its request refers to.
    return FailureReason.INVALID_REQUEST if cls is TaskNotFoundError else failure_reason(cls)


def _by_message(details: ErrorDetails, status: int | None, account: Account) -> ErrorClass | None:
    code, message = details.normal_code, (details.message or "").lower()
    if _PLAN_HOST in account.base_url and status in (None, 429) and _PLAN_EXHAUSTED in message:
        return QuotaExceededError
    for prefix, fragments, cls in _MESSAGES:
        # Words alone are no ground to call the provider's own fault the caller's: a paid request that ended in a 5xx
        # may have been taken.
        if not prefix and status is not None and status >= 500:
            continue
        if code.startswith(prefix) and all(fragment in message for fragment in fragments):
            return cls
    return None


def _by_code(details: ErrorDetails) -> ErrorClass | None:
    code = details.normal_code
    while code:
        if code in _CODES:
            return _CODES[code]
        code = code.rpartition(".")[0]
    return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _text(*candidates: Any) -> str | None:
    for candidate in candidates:
        if candidate is None or isinstance(candidate, bool) or not isinstance(candidate, (str, int)):
            continue
        if text := str(candidate).strip():
            return text
    return None
