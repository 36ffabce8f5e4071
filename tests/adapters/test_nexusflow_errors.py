"""What the nexusflow adapter makes of a refusal."""

from __future__ import annotations

import json

import pytest

from happyhorse_adapters.nexusflow import NexusFlowAdapter
from happyhorse_async.adapter import PageRequest
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

ADAPTER = NexusFlowAdapter()
ACCOUNT = ADAPTER.account(provider="main", api_key="sk-air-canary")


def reply(status: int, code: str | None, message: str = "no", type_: str = "invalid_request_error") -> HttpResponse:
    body = {"error": {"message": message, "type": type_, "code": code}}
    return HttpResponse(status=status, headers={"X-Request-ID": "req-1"}, body=json.dumps(body).encode())


def submit_error(response: HttpResponse) -> HappyHorseError:
    with pytest.raises(HappyHorseError) as caught:
        ADAPTER.decode_submit(response, ACCOUNT)
    return caught.value


def fetch_error(response: HttpResponse) -> HappyHorseError:
    with pytest.raises(HappyHorseError) as caught:
        ADAPTER.decode_fetch(response, "task_1", ACCOUNT)
    return caught.value


def list_error(response: HttpResponse) -> HappyHorseError:
    with pytest.raises(HappyHorseError) as caught:
        ADAPTER.decode_list(response, PageRequest(), ACCOUNT)
    return caught.value


CODES: list[tuple[int, str, type[HappyHorseError]]] = [
    (401, "missing_api_key", AuthenticationError),
    (401, "invalid_api_key", AuthenticationError),
    (403, "anonymous_key_not_allowed", PermissionDeniedError),
    (403, "model_not_allowed", PermissionDeniedError),
    (403, "sub_account_suspended", PermissionDeniedError),
    (403, "account_inactive", PermissionDeniedError),
    (402, "insufficient_balance", QuotaExceededError),
    (402, "sub_account_quota_exceeded", QuotaExceededError),
    (403, "insufficient_quota", QuotaExceededError),
    (429, "insufficient_quota", QuotaExceededError),
    (404, "model_not_found", InvalidRequestError),
    (404, "provider_not_found", InvalidRequestError),
    (404, "task_not_found", TaskNotFoundError),
    (400, "invalid_request", InvalidRequestError),
    (400, "unsupported_model", InvalidRequestError),
    (400, "invalid_video_parameters", InvalidRequestError),
    (400, "unsupported_video_parameters", InvalidRequestError),
    (400, "region_unavailable", InvalidRequestError),
    (400, "invalid_json", InvalidRequestError),
    (400, "billing_reservation_failed", InvalidRequestError),
    (400, "ambiguous_request_framing", InvalidRequestError),
    (400, "content_filter", ContentRejectedError),
    (403, "content_filter", ContentRejectedError),
    (400, "context_length_exceeded", InvalidRequestError),
    (413, "payload_too_large", InvalidRequestError),
    (415, "unsupported_content_encoding", InvalidRequestError),
    (429, "rate_limit_exceeded", RateLimitError),
    (429, "actor_rate", RateLimitError),
    (429, "user_rate", RateLimitError),
    (429, "task_rate", RateLimitError),
    (429, "provider_capacity_exhausted", RateLimitError),
    (429, "body_admission_exceeded", RateLimitError),
    (503, "control_store_unavailable", ProviderError),
    (503, "provider_capacity_store_unavailable", ProviderError),
    (503, "provider_capacity_exhausted", ProviderError),
    (503, "provider_unavailable", ProviderError),
    (503, "provider_channel_unavailable", ProviderError),
    (503, "body_admission_unavailable", ProviderError),
    (500, "unexpected_response", ProviderError),
    (500, "adapter_error", ProviderError),
    (500, "poll_error", ProviderError),
    (500, "server_error", ProviderError),
    (500, "internal_error", ProviderError),
    (500, "provider_not_configured", ProviderError),
]


@pytest.mark.parametrize(("status", "code", "cls"), CODES)
def test_every_documented_code_has_its_class(status: int, code: str, cls: type[HappyHorseError]) -> None:
    """A code means the same on a submit, a query and a list, and the error carries all that was said."""
    response = reply(status, code, "the words")
    errors = [submit_error(response), fetch_error(response), list_error(response)]

    assert [cls, cls, cls] == [type(error) for error in errors]
    assert {("main", status, code, "req-1", "the words")} == {
        (error.provider, error.status_code, error.code, error.request_id, error.message) for error in errors
    }


@pytest.mark.parametrize(
    ("status", "type_", "message", "cls"),
    [
        (400, "upstream_error", "InvalidParameter: duration", InvalidRequestError),
        (400, "upstream_error", "DataInspectionFailed", ContentRejectedError),
        (400, "upstream_error", "Input data may contain inappropriate content.", ContentRejectedError),
        (400, "upstream_error", "InvalidParameter: Green network check failed", ContentRejectedError),
        (400, "upstream_error", "InvalidParameter.DataInspection: no download", InvalidRequestError),
        (401, "upstream_error", "Invalid API-key provided.", ProviderError),
        (403, "upstream_error", "Access denied.", ProviderError),
        (404, "upstream_error", "Model not exist.", InvalidRequestError),
        (422, "upstream_error", "no", InvalidRequestError),
        (429, "upstream_error", "Throttling", RateLimitError),
        (500, "upstream_error", "InternalError", ProviderError),
        (503, "upstream_error", "no", ProviderError),
        (500, "server_error", "no", ProviderError),
        (400, "server_error", "no", ProviderError),
        (429, "server_error", "no", ProviderError),
    ],
)
def test_upstream_refusals_are_told_apart(status: int, type_: str, message: str, cls: type[HappyHorseError]) -> None:
    """The relay passes DashScope's refusals on with their status; a refused key is then the relay's own."""
    assert cls is type(submit_error(reply(status, "upstream_error", message, type_)))


@pytest.mark.parametrize(
    ("status", "code", "type_", "not_accepted"),
    [
        (503, "control_store_unavailable", "server_error", True),
        (503, "provider_capacity_store_unavailable", "server_error", True),
        (503, "provider_capacity_exhausted", "server_error", True),
        (503, "provider_unavailable", "server_error", True),
        (503, "provider_channel_unavailable", "server_error", True),
        (503, "body_admission_unavailable", "server_error", True),
        (500, "provider_unavailable", "server_error", False),
        (503, None, "server_error", False),
        (503, "server_error", "server_error", False),
        (500, "internal_error", "server_error", False),
        (502, None, "server_error", False),
        (401, "upstream_error", "upstream_error", True),
        (403, "upstream_error", "upstream_error", True),
        (500, "upstream_error", "upstream_error", False),
        (503, "upstream_error", "upstream_error", False),
        (401, "upstream_error", "server_error", True),
        (400, "upstream_error", "server_error", True),
        (408, "upstream_error", "server_error", False),
    ],
)
def test_only_documented_refusals_are_certain(status: int, code: str | None, type_: str, not_accepted: bool) -> None:
    """A fault tells that the submit was not taken only where nexusflow answers so before it passes it on."""
    error = submit_error(reply(status, code, type_=type_))

    assert isinstance(error, ProviderError)
    assert not_accepted is error.not_accepted


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


@pytest.mark.parametrize(("status", "cls"), STATUSES)
@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"code": "a_new_one", "message": null}}',
        b'{"error": {"code": {}, "message": [], "type": "x"}}',
        b'{"success": false, "message": "no"}',
    ],
)
def test_status_decides_where_the_code_does_not(status: int, cls: type[HappyHorseError], body: bytes) -> None:
    """Without a code that is known, the HTTP status says what a refusal means, whatever the body is made of."""
    response = HttpResponse(status=status, body=body)

    assert (cls, cls) == (type(submit_error(response)), type(fetch_error(response)))


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 413, 422])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Sorry</body></html>",
        b"\xff\xfe",
        b"[1]",
        b"{}",
        b'{"error": null}',
        b'{"error": "text"}',
        b'{"error": {"message": "no"}}',
        b'{"code": 403, "message": "no"}',
    ],
)
def test_a_page_of_something_in_between_is_not_nexusflows_word(status: int, body: bytes) -> None:
    """Without nexusflow's error object, a 4xx says nothing about key, money or task; nothing was accepted."""
    response = HttpResponse(status=status, body=body)

    for error in (submit_error(response), fetch_error(response), list_error(response)):
        assert TransportError is type(error)
        assert not is_ambiguous(error)


@pytest.mark.parametrize(
    "message",
    [
        "Arrearage: Access denied, please make sure your account is in good standing.",
        "<400> Arrearage: Access denied",
        "AllocationQuota.FreeTierOnly: used up",
        "Model.AccessDenied: no",
        "Workspace.AccessDenied: no",
        "AccessDenied.Unpurchased: no",
        "CommodityNotPurchased: no",
        "PrepaidBillOverdue: no",
        "PostpaidBillOverdue: no",
    ],
)
def test_the_relays_own_account_is_not_the_callers(message: str) -> None:
    """A code about an account, passed on by the relay, speaks of the relay's account; nothing was accepted."""
    error = submit_error(reply(400, "upstream_error", message, "upstream_error"))

    assert isinstance(error, ProviderError)
    assert error.not_accepted


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("InternalError.Algo.DataInspectionFailed: Output data", FailureReason.CONTENT_REJECTED),
        ("InternalError.Algo: <400> InternalError.Algo.InvalidParameter: duration", FailureReason.INVALID_REQUEST),
        ("InternalError.Algo.InvalidParameter: duration", FailureReason.INVALID_REQUEST),
        ("InternalError.Algo: broken", FailureReason.PROVIDER_FAULT),
        ("Tuesday: may contain inappropriate content", FailureReason.CONTENT_REJECTED),
    ],
)
def test_the_inner_code_of_a_failed_task_decides(text: str, reason: FailureReason) -> None:
    """DashScope wraps the code that matters in `InternalError.Algo`."""
    body = json.dumps({"id": "task_1", "status": "failed", "error": text}).encode()
    task = ADAPTER.decode_fetch(HttpResponse(status=200, body=body), "task_1", ACCOUNT)

    assert task.error is not None
    assert reason is task.error.reason


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html><title>502</title><p>Bad   gateway</p></html>", "502 Bad gateway"),
        (b'{"success": false, "message": "too large"}', "too large"),
        (b'{"error": {"message": "broken"}}', "broken"),
        (b"", "the answer has status 502 and no text"),
    ],
)
def test_words_of_any_envelope_are_kept(body: bytes, words: str) -> None:
    """The provider's sentence is found in its error object, in an upload's envelope, or in the bare body."""
    assert words == submit_error(HttpResponse(status=502, body=body)).message


@pytest.mark.parametrize(
    ("body", "cls"),
    [
        ({"error": {"code": "invalid_api_key", "message": "no"}}, AuthenticationError),
        ({"error": {"code": "content_filter", "message": "no"}}, ContentRejectedError),
        ({"error": {"code": "upstream_error", "message": "no"}}, ProviderError),
        ({"error": {"message": "no"}}, ProviderError),
        ({"success": False, "message": "no"}, ProviderError),
    ],
)
def test_refusal_in_a_success_is_a_refusal(body: dict[str, object], cls: type[HappyHorseError]) -> None:
    """An error envelope under a 2xx is read by its code, and one without a code leaves the outcome open."""
    response = HttpResponse(status=200, body=json.dumps(body).encode())

    assert (cls, cls) == (type(submit_error(response)), type(fetch_error(response)))


def test_redirect_is_not_understood() -> None:
    """A redirect is no answer to a submit."""
    response = HttpResponse(status=307, headers={"Location": "https://elsewhere.example/"})

    assert InvalidResponseError is type(submit_error(response))


@pytest.mark.parametrize(("status", "code"), [(429, "task_rate"), (503, "control_store_unavailable")])
def test_wish_to_wait_is_kept(status: int, code: str) -> None:
    """`Retry-After` reaches the error, for too many requests as well as for a fault."""
    body = json.dumps({"error": {"message": "slow down", "code": code}}).encode()
    error = fetch_error(HttpResponse(status=status, headers={"Retry-After": "2"}, body=body))

    assert isinstance(error, RateLimitError | ProviderError)
    assert 2 == error.retry_after


def test_key_that_the_provider_echoes_is_masked() -> None:
    """The API key does not appear in an error, though nexusflow may repeat it."""
    error = submit_error(reply(401, "invalid_api_key", "bad key sk-air-canary"))

    assert "bad key ***" == error.message
    assert "canary" not in repr(error) + str(error)
