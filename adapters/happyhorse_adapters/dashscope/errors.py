"""
The errors of DashScope.

All models of Model Studio share one list of codes: https://help.aliyun.com/zh/model-studio/error-code (February and May
2026, and a newer English edition). One HTTP status has several meanings: 429 is a rate limit or an unpaid bill, 400 a
bad value, moderation or an overdue account. So the code decides about the class of an error, and for a few overloaded
codes the words of the message. The status alone decides whether a submit was refused: every 4xx is, whatever its code.

Inference reports its errors as `InternalError.Algo.<code>`, in the code or at the beginning of the message, often with
status 400. Then `<code>` is what counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from happyhorse_async.adapter import Account
from happyhorse_async.adapter_kit import (
    ErrorClass,
    class_by_status,
    error_from_response,
    failure_reason,
    is_code,
    read_object,
    read_refusal,
    request_id,
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

# Codes in lower case, without `_`, `-` and spaces: the pages list `InvalidApiKey` and `invalid_api_key` as one. An
# unknown code with dots counts as its last known part, else as its beginning: `InvalidFile.Size` as `InvalidFile`.
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
    # "Green network" is the moderation service.
    ("", ("green network",), ContentRejectedError),
    ("", ("inappropriate content",), ContentRejectedError),
    # The header that requests an asynchronous task was lost on the way, or the model knows none.
    ("accessdenied", ("does not support synchronous calls",), InvalidRequestError),
    # Some models send it with a 429.
    ("", ("does not support asynchronous calls",), InvalidRequestError),
    ("accessdenied", ("policy expired",), InvalidRequestError),
    ("invalidparameter", ("model not exist",), InvalidRequestError),
    ("", ("download",), InvalidRequestError),
    ("", ("authorization to access the media",), InvalidRequestError),
    ("throttling.allocationquota", ("free allocated quota exceeded",), QuotaExceededError),
    ("insufficientquota", ("free allocated quota exceeded",), QuotaExceededError),
    ("throttling", ("running, please retry later", "fine-tune"), InvalidRequestError),
)

# On the host of the subscription plan these words mean that its credits are used up; elsewhere, a quota per minute.
_PLAN_HOST = "//token-plan."
_PLAN_EXHAUSTED = "allocated quota exceeded"

# With these codes a 503 is documented as sent before the request is accepted.
_BEFORE_ACCEPTANCE = frozenset({"modelunavailable", "modelservingerror"})

# The platform fails a task three hours after its submit.
_TASK_TIMEOUT = "internalerror.timeout"

_WRAPPER = "internalerror.algo."
# A message may begin with the inner code: `<400> InternalError.Algo.InvalidParameter: ...`.
_INNER_CODE = re.compile(r"\s*(?:<\d{3}>\s*)?((?:InternalError\.Algo\.)?[A-Za-z]\w*(?:\.\w+)*)\s*:", re.IGNORECASE)
_INNER_STATUS = re.compile(r"\s*<\d{3}>")
# Codes that say less than an inner code does.
_GENERIC = frozenset({"", "internalerror", "internalerror.algo", "invalidparameter"})


@frozen(kw_only=True)
class ErrorDetails:
    """The error fields of a response, from any position. Null and empty values count as absent."""

    code: str | None
    message: str | None
    request_id: str | None

    @property
    def normal_code(self) -> str:
        """The code that counts, as written in the tables; empty if there is none."""
        code = _normal(self.code or "")
        inner = _INNER_CODE.match(self.message or "")
        if inner and code in _GENERIC:
            said = _normal(inner[1])
            if said.startswith(_WRAPPER) or _INNER_STATUS.match(self.message or ""):
                code = said
        unwrapped = code.removeprefix(_WRAPPER)
        return unwrapped if any(reading in _CODES for reading in _readings(unwrapped)) else code


def _normal(code: str) -> str:
    return code.lower().translate({ord(sign): None for sign in "_- "})


def open_answer(response: HttpResponse) -> tuple[Mapping[str, Any], ErrorDetails]:
    """
    Return the JSON object in *response* and what it says about a failure. For a page of a gateway, both are empty.

    :raises InvalidResponseError: a 2xx is not a JSON object.
    """
    answer = read_object(response) if response.ok else read_refusal(response)
    return answer, read_error_details(answer, response)


def read(response: HttpResponse, account: Account) -> tuple[Mapping[str, Any], ErrorDetails]:
    """
    Return the JSON object in *response*, and its request id and error if it has any.

    :raises HappyHorseError: the response is a refusal.
    """
    answer, details = open_answer(response)
    if refuses(response, answer, details):
        raise refusal_in(response, answer, details, account)
    return answer, details


def read_error_details(answer: Mapping[str, Any], response: HttpResponse) -> ErrorDetails:
    """
    Read code, message and request id from any of the envelopes.

    Beside DashScope's flat one there is the OpenAI-style `error` of its compatible hosts, and `msg` of some gateways.
    """
    output, error = _mapping(answer.get("output")), _mapping(answer.get("error"))
    return ErrorDetails(
        code=_text(answer.get("code"), output.get("code"), error.get("code"), error.get("type")),
        message=_text(
            answer.get("message"), answer.get("msg"), output.get("message"), error.get("message"), answer.get("error")
        ),
        request_id=_text(answer.get("request_id"), answer.get("id"), request_id(response)),
    )


def refuses(response: HttpResponse, answer: Mapping[str, Any], details: ErrorDetails) -> bool:
    """Return whether *response* is a refusal. The answer about a failed task has a code, too, and is none."""
    if not response.ok:
        return True
    # Gateways also refuse with a 200.
    output = _mapping(answer.get("output"))
    answered = output.get("task_id") or output.get("task_status") or isinstance(answer.get("data"), list)
    return details.code is not None and not answered


def refusal_in(
    response: HttpResponse, answer: Mapping[str, Any], details: ErrorDetails, account: Account
) -> HappyHorseError:
    """Return the error for a *response* that is a refusal."""
    status = response.status
    cls: ErrorClass | None = None
    if status < 400 or _is_own(answer, details):
        cls = _by_message(details, status, account) or _by_code(details)
        if cls is None or (cls is ProviderError and 400 <= status < 500):
            # Without a known meaning, a 2xx is not reliable.
            cls = class_by_status(status) if status >= 400 else InvalidResponseError if cls is None else cls
    return error_from_response(
        cls,
        details.message,
        response=response,
        account=account,
        code=details.code,
        request_id=details.request_id,
        not_accepted=status == 503 and details.normal_code in _BEFORE_ACCEPTANCE,
    )


def _is_own(answer: Mapping[str, Any], details: ErrorDetails) -> bool:
    """
    Return whether a refusal is DashScope's, and not that of a gateway in between.

    A gateway's codes are numbers, or words that DashScope does not have, and it has no request id.
    """
    error = _mapping(answer.get("error"))
    if details.code is not None:
        known = _by_code(details) is not None or bool({"request_id", "id"} & answer.keys()) or "code" in error
        return is_code(details.code) and known
    return answer.keys() >= {"code", "message", "request_id"} or "task_status" in _mapping(answer.get("output"))


def failure(details: ErrorDetails, account: Account) -> TaskFailure:
    """Return why a task failed."""
    return task_failure(reason_of(details, account), details.message, account=account, code=details.code)


def reason_of(details: ErrorDetails, account: Account) -> FailureReason:
    """Return why a task failed. The codes are those of a refusal; there is no HTTP status to help."""
    if details.normal_code == _TASK_TIMEOUT:
        return FailureReason.TIMEOUT
    cls = _by_message(details, None, account) or _by_code(details)
    # The task exists. What was not found is something that its request refers to.
    return FailureReason.INVALID_REQUEST if cls is TaskNotFoundError else failure_reason(cls)


def _by_message(details: ErrorDetails, status: int | None, account: Account) -> ErrorClass | None:
    code, message = details.normal_code, (details.message or "").lower()
    if _PLAN_HOST in account.base_url and status in (None, 429) and _PLAN_EXHAUSTED in message:
        return QuotaExceededError
    for prefix, fragments, cls in _MESSAGES:
        # Words alone do not turn a 5xx into a refusal: the paid request may have been accepted.
        if not prefix and status is not None and status >= 500:
            continue
        if code.startswith(prefix) and all(fragment in message for fragment in fragments):
            return cls
    return None


def _by_code(details: ErrorDetails) -> ErrorClass | None:
    return next((_CODES[code] for code in _readings(details.normal_code) if code in _CODES), None)


def _readings(code: str) -> Iterator[str]:
    """Yield *code*, then what follows each of its dots, then what precedes each of them, the longer first."""
    yield code
    rest = code
    while "." in rest:
        rest = rest.partition(".")[2]
        # In `X.NotFound` it is not the task that was not found.
        if _CODES.get(rest) is not TaskNotFoundError:
            yield rest
    while "." in code:
        code = code.rpartition(".")[0]
        yield code


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _text(*candidates: Any) -> str | None:
    for candidate in candidates:
        if candidate is None or isinstance(candidate, bool) or not isinstance(candidate, (str, int)):
            continue
        if text := str(candidate).strip():
            return text
    return None
