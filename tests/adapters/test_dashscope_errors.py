"""What DashScope's refusals mean: the code before the status, and the message before the code."""

from __future__ import annotations

import json

import pytest

from happyhorse_adapters.dashscope import DashScopeAdapter
from happyhorse_async.adapter import Account, PageRequest
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
    TransportError,
)
from happyhorse_async.jobs.submit_errors import is_ambiguous
from happyhorse_async.messages import HttpResponse
from happyhorse_async.task import FailureReason

ADAPTER = DashScopeAdapter()
ACCOUNT = ADAPTER.account(provider="main", api_key="sk-canary")
PLAN = ADAPTER.account(
    provider="main",
    api_key="sk-sp-canary",
    base_url="https://token-plan.cn-beijing.maas.aliyuncs.com/api/v1",
)

# The codes with the status of their headings: https://help.aliyun.com/zh/model-studio/error-code
CODES: list[tuple[str, int, type[HappyHorseError]]] = [
    ("InvalidApiKey", 401, AuthenticationError),
    ("invalid_api_key", 401, AuthenticationError),
    ("NOT AUTHORIZED", 401, AuthenticationError),
    ("AccessDenied", 403, PermissionDeniedError),
    ("access_denied", 403, PermissionDeniedError),
    ("AccessDenied.Unpurchased", 403, PermissionDeniedError),
    ("Model.AccessDenied", 403, PermissionDeniedError),
    ("Workspace.AccessDenied", 403, PermissionDeniedError),
    ("App.AccessDenied", 403, PermissionDeniedError),
    ("AllocationQuota.FreeTierOnly", 403, QuotaExceededError),
    ("Arrearage", 400, QuotaExceededError),
    ("Contain.Forbidden.Label.Error", 400, QuotaExceededError),
    ("CommodityNotPurchased", 429, QuotaExceededError),
    ("PrepaidBillOverdue", 429, QuotaExceededError),
    ("PostpaidBillOverdue", 429, QuotaExceededError),
    ("Throttling", 429, RateLimitError),
    ("Throttling.RateQuota", 429, RateLimitError),
    ("LimitRequests", 429, RateLimitError),
    ("limit_requests", 429, RateLimitError),
    ("ResourceExhausted", 429, RateLimitError),
    ("Too many requests", 429, RateLimitError),
    ("Throttling.BurstRate", 429, RateLimitError),
    ("limit_burst_rate", 429, RateLimitError),
    ("Throttling.AllocationQuota", 429, RateLimitError),
    ("Throttling.AllocationQuota", 400, RateLimitError),
    ("insufficient_quota", 429, RateLimitError),
    ("Throttling.Concurrency", 429, RateLimitError),
    ("Throttling.SomethingNew", 400, RateLimitError),
    ("InvalidParameter", 400, InvalidRequestError),
    ("invalid_parameter_error", 400, InvalidRequestError),
    ("InvalidParameter.DataInspection", 400, InvalidRequestError),
    ("invalid_request_error", 400, InvalidRequestError),
    ("invalid_value", 400, InvalidRequestError),
    ("BadRequest.EmptyInput", 400, InvalidRequestError),
    ("BadRequest.EmptyParameters", 400, InvalidRequestError),
    ("BadRequest.EmptyModel", 400, InvalidRequestError),
    ("BadRequest.IllegalInput", 400, InvalidRequestError),
    ("BadRequest.InputDownloadFailed", 400, InvalidRequestError),
    ("BadRequest.UnsupportedFileFormat", 400, InvalidRequestError),
    ("BadRequest.TooLarge", 400, InvalidRequestError),
    ("BadRequest.ResourceNotExist", 400, TaskNotFoundError),
    ("InvalidURL", 400, InvalidRequestError),
    ("InvalidURL.ConnectionRefused", 400, InvalidRequestError),
    ("InvalidURL.Timeout", 400, InvalidRequestError),
    ("InvalidFile.Format", 400, InvalidRequestError),
    ("InvalidFile.AspectRatio", 400, InvalidRequestError),
    ("InvalidFile.DownloadFailed", 400, InvalidRequestError),
    ("InvalidImage.FileFormat", 400, InvalidRequestError),
    ("InvalidImageResolution", 400, InvalidRequestError),
    ("InvalidImageFormat", 400, InvalidRequestError),
    ("InvalidInputLength", 400, InvalidRequestError),
    ("DataInspectionFailed", 400, ContentRejectedError),
    ("data_inspection_failed", 400, ContentRejectedError),
    ("IPInfringementSuspect", 400, ContentRejectedError),
    ("FaqRuleBlocked", 400, ContentRejectedError),
    ("CustomRoleBlocked", 400, ContentRejectedError),
    ("UnsupportedOperation", 400, InvalidRequestError),
    ("ModelNotFound", 404, InvalidRequestError),
    ("model_not_found", 404, InvalidRequestError),
    ("model_not_supported", 404, InvalidRequestError),
    ("WorkSpaceNotFound", 404, TaskNotFoundError),
    ("NotFound", 404, TaskNotFoundError),
    ("Conflict", 409, InvalidRequestError),
    ("InternalError", 500, ProviderError),
    ("internal_error", 500, ProviderError),
    ("InternalError.Algo", 500, ProviderError),
    ("InternalError.FileUpload", 500, ProviderError),
    ("InternalError.Upload", 500, ProviderError),
    ("InternalError.Timeout", 500, ProviderError),
    ("InternalError.SomethingNew", 500, ProviderError),
    ("InternalError.SomethingNew", 400, InvalidRequestError),
    ("InternalError", 400, InvalidRequestError),
    ("InternalError.Algo", 429, RateLimitError),
    ("InternalError.Algo.DataInspectionFailed", 400, ContentRejectedError),
    ("InternalError.Algo.DataInspectionFailed", 500, ContentRejectedError),
    ("internal_error.algo.data_inspection_failed", 400, ContentRejectedError),
    ("InternalError.Algo.InvalidParameter", 400, InvalidRequestError),
    ("InternalError.Algo.InvalidParameter", 500, InvalidRequestError),
    ("InternalError.Algo.Throttling", 400, RateLimitError),
    ("InternalError.Algo.SomethingNew", 400, InvalidRequestError),
    ("InternalError.Algo.SomethingNew", 500, ProviderError),
    ("Video.DataInspectionFailed", 400, ContentRejectedError),
    ("Something.NotFound", 400, InvalidRequestError),
    ("SystemError", 500, ProviderError),
    ("ModelServiceFailed", 500, ProviderError),
    ("RequestTimeOut", 500, ProviderError),
    ("ResponseTimeout", 500, ProviderError),
    ("ModelServingError", 500, ProviderError),
    ("ModelServingError", 503, ProviderError),
    ("ModelUnavailable", 503, ProviderError),
    ("BailianGateway.Workspace.NotAuthorised", 200, PermissionDeniedError),
]

# What the message says more exactly than the code does.
MESSAGES: list[tuple[str, int, str, type[HappyHorseError]]] = [
    ("AccessDenied", 403, "current user api does not support synchronous calls", InvalidRequestError),
    ("AccessDenied", 403, "current user api does not support asynchronous calls", InvalidRequestError),
    ("Throttling", 429, "current user api does not support asynchronous calls", InvalidRequestError),
    ("AccessDenied", 403, "Invalid according to Policy: Policy expired.", InvalidRequestError),
    ("InvalidParameter", 400, "Green network check failed", ContentRejectedError),
    ("InvalidParameter", 400, "<400> Input data may contain INAPPROPRIATE content.", ContentRejectedError),
    ("invalid_parameter_error", 400, "Input data may contain inappropriate content.", ContentRejectedError),
    ("InvalidParameter", 400, "Model not exist.", InvalidRequestError),
    ("InvalidParameter", 400, "Failed to download the image", InvalidRequestError),
    ("DataInspectionFailed", 400, "Unable to download the media resource", InvalidRequestError),
    ("AccessDenied", 403, "No authorization to access the media", InvalidRequestError),
    ("Throttling.AllocationQuota", 429, "Free allocated quota exceeded.", QuotaExceededError),
    ("insufficient_quota", 429, "Free allocated quota exceeded.", QuotaExceededError),
    ("Throttling.AllocationQuota", 429, "Allocated quota exceeded, please increase it.", RateLimitError),
    ("Throttling", 429, "A fine-tune job is running, please retry later", InvalidRequestError),
    ("Throttling", 429, "Other jobs are running, please retry later", RateLimitError),
    ("InternalError.Algo", 400, "<400> InternalError.Algo.InvalidParameter: duration", InvalidRequestError),
    ("InternalError.Algo", 400, "<400> InternalError.Algo.DataInspectionFailed: Output data", ContentRejectedError),
    ("InternalError.Algo", 500, "<400> InternalError.Algo.DataInspectionFailed: Output data", ContentRejectedError),
    ("InternalError", 400, "InternalError.Algo.DataInspectionFailed: Output data", ContentRejectedError),
    ("InvalidParameter", 400, "<400> InternalError.Algo.DataInspectionFailed: Input data", ContentRejectedError),
    ("InvalidParameter", 400, "<400> DataInspectionFailed: Input data", ContentRejectedError),
    ("InvalidParameter", 400, "<400> InternalError.Algo.InvalidParameter: duration", InvalidRequestError),
    ("InternalError.Algo", 400, "Input data may contain inappropriate content.", ContentRejectedError),
    ("InternalError", 400, "Green network check failed", ContentRejectedError),
    ("Tuesday", 400, "Output data may contain Inappropriate Content", ContentRejectedError),
]

# A status without a code that is known.
STATUSES: list[tuple[int, type[HappyHorseError]]] = [
    (400, InvalidRequestError),
    (401, AuthenticationError),
    (402, QuotaExceededError),
    (403, PermissionDeniedError),
    (404, TaskNotFoundError),
    (408, ProviderError),
    (413, InvalidRequestError),
    (422, InvalidRequestError),
    (429, RateLimitError),
    (500, ProviderError),
    (502, ProviderError),
    (503, ProviderError),
    (504, ProviderError),
]

REASONS: dict[type[HappyHorseError], FailureReason] = {
    AuthenticationError: FailureReason.UNKNOWN,
    PermissionDeniedError: FailureReason.UNKNOWN,
    QuotaExceededError: FailureReason.QUOTA_EXCEEDED,
    RateLimitError: FailureReason.RATE_LIMITED,
    InvalidRequestError: FailureReason.INVALID_REQUEST,
    ContentRejectedError: FailureReason.CONTENT_REJECTED,
    TaskNotFoundError: FailureReason.INVALID_REQUEST,
    ProviderError: FailureReason.PROVIDER_FAULT,
}


def reply(answer: object, status: int, headers: dict[str, str] | None = None) -> HttpResponse:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return HttpResponse(status=status, headers=headers or {}, body=body)


def flat(code: str, message: str = "the words") -> dict[str, str]:
    return {"code": code, "message": message, "request_id": "r-1"}


def refused_submit(response: HttpResponse, account: Account = ACCOUNT) -> HappyHorseError:
    with pytest.raises(HappyHorseError) as caught:
        ADAPTER.decode_submit(response, account)
    return caught.value


def refused_query(response: HttpResponse, account: Account = ACCOUNT) -> HappyHorseError:
    with pytest.raises(HappyHorseError) as caught:
        ADAPTER.decode_fetch(response, "t-1", account)
    return caught.value


def refused_everywhere(response: HttpResponse) -> list[HappyHorseError]:
    with pytest.raises(HappyHorseError) as caught:
        ADAPTER.decode_list(response, PageRequest(), ACCOUNT)
    return [refused_submit(response), refused_query(response), caught.value]


def reason(code: str | None, message: str = "the words", account: Account = ACCOUNT) -> FailureReason:
    answer = {"output": {"task_id": "t-1", "task_status": "FAILED", "code": code, "message": message}}
    task = ADAPTER.decode_fetch(reply(answer, 200), "t-1", account)
    assert task.error is not None
    return task.error.reason


@pytest.mark.parametrize(("code", "status", "expected"), CODES)
def test_the_code_of_a_refusal(code: str, status: int, expected: type[HappyHorseError]) -> None:
    """Every documented code has its class, on every call, and is kept with the provider's words."""
    for error in refused_everywhere(reply(flat(code), status)):
        assert expected is type(error)
        assert ("main", status, code, "r-1", "the words") == (
            error.provider,
            error.status_code,
            error.code,
            error.request_id,
            error.message,
        )


@pytest.mark.parametrize(
    ("code", "expected"),
    [(code, cls) for code, _, cls in CODES if not code.startswith(("InternalError", "Something"))],
)
def test_the_code_beats_the_status(code: str, expected: type[HappyHorseError]) -> None:
    """A code means the same with a status that would mean something else, but a 4xx is never the provider's fault."""
    for status in (200, 400, 418, 500):
        cls = InvalidRequestError if expected is ProviderError and 400 <= status < 500 else expected
        assert cls is type(refused_query(reply(flat(code), status)))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 418, 422, 425, 429, 451])
@pytest.mark.parametrize("code", sorted({code for code, _, _ in CODES} | {"Tuesday"}))
def test_a_4xx_is_a_certain_refusal(code: str, status: int) -> None:
    """Whatever its code, a submit that is answered with a 4xx was not accepted."""
    assert not is_ambiguous(refused_submit(reply(flat(code), status)))


@pytest.mark.parametrize("status", [408, 444, 460, 499])
@pytest.mark.parametrize("answer", [flat("RequestTimeOut"), b"", b"<html>Client Closed Request</html>"])
def test_a_gateway_that_gave_up_leaves_the_outcome_open(answer: object, status: int) -> None:
    """These statuses say that the connection was given up, not that the submit was refused."""
    assert is_ambiguous(refused_submit(reply(answer, status)))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param(code, REASONS[cls], id=code)
        for code, status, cls in CODES
        if code != "InternalError.Timeout" and not (code.startswith(("InternalError", "Something")) and status < 500)
    ],
)
def test_the_code_of_a_failed_task(code: str, expected: FailureReason) -> None:
    """The same codes say why a task failed."""
    assert expected is reason(code)


@pytest.mark.parametrize("code", ["InternalError.Timeout", "internal_error.timeout"])
def test_a_task_that_the_platform_gave_up(code: str) -> None:
    """A task without a result after three hours has timed out."""
    assert FailureReason.TIMEOUT is reason(code)


@pytest.mark.parametrize("code", [None, "", "Tuesday", "Tuesday.Morning"])
def test_a_reason_that_is_not_known(code: str | None) -> None:
    """An unknown code, or none, is no reason we know."""
    assert FailureReason.UNKNOWN is reason(code)


@pytest.mark.parametrize(("code", "status", "message", "expected"), MESSAGES)
def test_the_message_beats_the_code(code: str, status: int, message: str, expected: type[HappyHorseError]) -> None:
    """Where the words say more than an overloaded code, they decide, on a call and in a failed task."""
    assert expected is type(refused_submit(reply(flat(code, message), status)))
    assert REASONS[expected] is reason(code, message)


@pytest.mark.parametrize("code", ["Throttling.AllocationQuota", "insufficient_quota", "Tuesday"])
def test_exhausted_credits_of_a_plan(code: str) -> None:
    """On the host of the subscription plan the words for a quota per minute mean that the credits are gone."""
    response = reply(flat(code, "Allocated quota exceeded, please increase it."), 429)

    assert QuotaExceededError is type(refused_submit(response, PLAN))
    assert RateLimitError is type(refused_submit(response))
    assert FailureReason.QUOTA_EXCEEDED is reason(code, "allocated quota exceeded", PLAN)


def test_a_rate_limit_of_a_plan() -> None:
    """Not every 429 of the plan's host is the end of its credits."""
    assert RateLimitError is type(refused_submit(reply(flat("Throttling.RateQuota", "Too fast"), 429), PLAN))


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("message", ["cannot download the task", "no authorization to access the media"])
def test_words_alone_do_not_acquit_the_provider(status: int, message: str) -> None:
    """A 5xx that speaks of a download stays the provider's fault, so that a submit is not taken for refused."""
    error = refused_submit(reply(flat("InternalError", message), status))

    assert isinstance(error, ProviderError)
    assert not error.not_accepted


@pytest.mark.parametrize(("status", "expected"), STATUSES)
@pytest.mark.parametrize("code", ["Tuesday", "Tuesday.Morning"])
def test_the_status_decides_without_a_known_code(code: str, status: int, expected: type[HappyHorseError]) -> None:
    """With a code that is not known, the class is the status's."""
    for error in refused_everywhere(reply(flat(code), status)):
        assert expected is type(error)
        assert status == error.status_code


@pytest.mark.parametrize(("status", "expected"), STATUSES)
@pytest.mark.parametrize(
    "answer",
    [
        {"message": "the words"},
        {"code": "", "message": "the words"},
        {"code": 401, "message": "the words"},
        {"message": "the words", "request_id": "r-1"},
        {"timestamp": 1, "status": 401, "error": "the words", "path": "/"},
        {"success": False, "errors": [{"code": 1000, "message": "the words"}]},
        {"code": -1, "msg": "the words", "data": None},
        {"code": "PleaseLogIn", "message": "the words"},
        {"error": {"error": {"code": "InvalidApiKey", "message": "the words"}}},
        b"<html><body>the words</body></html>",
        b"the words",
        b'{"code": "Internal',
        b"[]",
        b"\xff\xfe",
        b"",
    ],
)
def test_a_page_of_something_in_between_is_not_dashscopes_word(
    answer: object, status: int, expected: type[HappyHorseError]
) -> None:
    """Without DashScope's own error object, a 4xx says nothing about key, money or task; nothing was accepted."""
    own = expected in (ProviderError, RateLimitError)
    for error in refused_everywhere(reply(answer, status)):
        assert (expected if own else TransportError) is type(error)
        assert status == error.status_code
    assert own or not is_ambiguous(refused_submit(reply(answer, status)))


def test_an_empty_code_in_the_whole_envelope_is_dashscopes() -> None:
    """The three fields of the envelope are DashScope's word, also with an empty code."""
    assert AuthenticationError is type(refused_submit(reply({"code": None, "message": "no", "request_id": "r"}, 401)))


def test_a_page_instead_of_json_is_quoted() -> None:
    """The error has the beginning of the page, without its tags."""
    error = refused_submit(reply(b"<html><h1>502 Bad\nGateway</h1><script>x()</script></html>", 502))

    assert "502 Bad Gateway" == error.message


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_no_answer(status: int) -> None:
    """What is neither a success nor an error says nothing of a task."""
    assert InvalidResponseError is type(refused_submit(reply(b"", status)))


@pytest.mark.parametrize(
    ("answer", "code", "message", "request_id"),
    [
        ({"code": "Throttling", "msg": "slow", "request_id": "r-1"}, "Throttling", "slow", "r-1"),
        ({"code": "Throttling", "message": "", "msg": "slow"}, "Throttling", "slow", "r-h"),
        ({"error": {"code": "limit_requests", "message": "slow"}, "id": "r-2"}, "limit_requests", "slow", "r-2"),
        ({"error": {"code": None, "type": "limit_requests", "message": "slow"}}, "limit_requests", "slow", "r-h"),
        ({"output": {"code": "Throttling", "message": "slow"}, "request_id": ""}, "Throttling", "slow", "r-h"),
        ({"code": " Throttling ", "message": "slow", "request_id": None}, "Throttling", "slow", "r-h"),
        ({"error": "slow"}, None, "slow", "r-h"),
        ({"code": 429, "message": "slow"}, "429", "slow", "r-h"),
        ({"code": True, "message": {"a": 1}, "msg": "slow"}, None, "slow", "r-h"),
    ],
)
def test_every_envelope(answer: object, code: str | None, message: str, request_id: str) -> None:
    """Code, message and request id are found wherever a gateway puts them."""
    error = refused_submit(reply(answer, 429, {"X-Request-Id": "r-h"}))

    assert RateLimitError is type(error)
    assert (code, message, request_id) == (error.code, error.message, error.request_id)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (503, "ModelUnavailable", True),
        (503, "ModelServingError", True),
        (503, "model_unavailable", True),
        (500, "ModelUnavailable", False),
        (500, "ModelServingError", False),
        (502, "ModelUnavailable", False),
        (504, "ModelServingError", False),
        (200, "ModelUnavailable", False),
        (503, "InternalError", False),
        (503, "Tuesday", False),
        (503, "", False),
    ],
)
def test_what_is_said_before_a_request_is_taken(status: int, code: str, expected: bool) -> None:
    """Only a 503 with one of two codes says for certain that nothing was taken."""
    error = refused_submit(reply(flat(code), status))

    assert expected is getattr(error, "not_accepted", False)
    assert isinstance(error, ProviderError) is (code != "" or status >= 500)


@pytest.mark.parametrize("body", [b"<html>Service Unavailable</html>", b"", b'{"code": "ModelUnavail'])
def test_a_503_without_a_readable_code_is_not_certain(body: bytes) -> None:
    """A gateway's 503 may come after the request was taken."""
    error = refused_submit(reply(body, 503))

    assert isinstance(error, ProviderError)
    assert not error.not_accepted


@pytest.mark.parametrize(("code", "status"), [("Throttling", 429), ("ModelUnavailable", 503)])
def test_how_long_to_wait(code: str, status: int) -> None:
    """`Retry-After` is passed on, although no page has it."""
    error = refused_query(reply(flat(code), status, {"Retry-After": "7"}))

    assert isinstance(error, RateLimitError | ProviderError)
    assert 7.0 == error.retry_after


def test_a_refusal_holds_no_secrets() -> None:
    """A key or a signed address that the provider echoes is masked."""
    message = "bad key sk-canary for https://img.example.net/a.png?Signature=canary"
    error = refused_submit(reply(flat("InvalidApiKey", message), 401))

    assert "canary" not in str(error)
    assert "https://img.example.net/a.png" in str(error)
