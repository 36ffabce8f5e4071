"""What the imini adapter makes of a refusal."""

from __future__ import annotations

import json

import pytest

from happyhorse_adapters.imini import IminiAdapter
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

ADAPTER = IminiAdapter()
ACCOUNT = ADAPTER.account(provider="main", api_key="canary-key")


def reply(status: int, code: str | None, message: str = "no") -> HttpResponse:
    body = {"error": {"code": code, "message": message, "status": status, "request_id": "req_1"}}
    return HttpResponse(status=status, body=json.dumps(body).encode())


def submit_error(response: HttpResponse) -> HappyHorseError:
    with pytest.raises(HappyHorseError) as caught:
        ADAPTER.decode_submit(response, ACCOUNT)
    return caught.value


def fetch_error(response: HttpResponse) -> HappyHorseError:
    with pytest.raises(HappyHorseError) as caught:
        ADAPTER.decode_fetch(response, "task_1", ACCOUNT)
    return caught.value


ROWS: list[tuple[int, str | None, type[HappyHorseError]]] = [
    (400, "INVALID_PARAMETER", InvalidRequestError),
    (400, "INVALID_PROMPT", ContentRejectedError),
    (403, "INVALID_PROMPT", ContentRejectedError),
    (401, None, AuthenticationError),
    (401, "UNAUTHORIZED", AuthenticationError),
    (402, "INSUFFICIENT_CREDITS", QuotaExceededError),
    (402, None, QuotaExceededError),
    (403, "INSUFFICIENT_CREDITS", QuotaExceededError),
    (403, "CREDITS_EXHAUSTED", QuotaExceededError),
    (403, "QUOTA_EXCEEDED", QuotaExceededError),
    (403, "FORBIDDEN", PermissionDeniedError),
    (403, None, PermissionDeniedError),
    (404, "TASK_NOT_FOUND", TaskNotFoundError),
    (404, "NOT_FOUND", TaskNotFoundError),
    (429, "RATE_LIMITED", RateLimitError),
    (429, "QUOTA_PER_MINUTE", RateLimitError),
    (429, None, RateLimitError),
    (500, "RATE_LIMITED", RateLimitError),
    (500, None, ProviderError),
    (502, "UPSTREAM", ProviderError),
    (503, None, ProviderError),
    (504, None, ProviderError),
    (400, "SOMETHING_NEW", InvalidRequestError),
    (422, None, InvalidRequestError),
]


@pytest.mark.parametrize(("status", "code", "cls"), ROWS)
def test_code_decides_before_the_status(status: int, code: str | None, cls: type[HappyHorseError]) -> None:
    """A known code has its meaning under any status, an unknown one is kept and the status decides."""
    response = reply(status, code, "the words")
    errors = [submit_error(response), fetch_error(response)]

    assert [cls, cls] == [type(error) for error in errors]
    assert {("main", status, code, "req_1", "the words")} == {
        (error.provider, error.status_code, error.code, error.request_id, error.message) for error in errors
    }


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_no_fault_of_imini_is_a_certain_refusal(status: int) -> None:
    """Since imini documents no fault that comes before it takes a submit, none tells that it was not taken."""
    error = submit_error(reply(status, None))

    assert isinstance(error, ProviderError)
    assert error.not_accepted is False


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (400, TransportError),
        (401, TransportError),
        (402, TransportError),
        (403, TransportError),
        (404, TransportError),
        (405, TransportError),
        (408, ProviderError),
        (429, RateLimitError),
        (499, ProviderError),
        (502, ProviderError),
    ],
)
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
        b'{"error": {"code": {}, "message": [], "status": "x"}}',
        b'{"error": {"message": "no"}}',
        b'{"code": 401, "message": "no"}',
    ],
)
def test_a_page_of_something_in_between_is_not_iminis_word(
    status: int, cls: type[HappyHorseError], body: bytes
) -> None:
    """Without imini's error object, a 4xx says nothing about key, money or task; nothing was accepted."""
    response = HttpResponse(status=status, body=body)

    assert (cls, cls) == (type(submit_error(response)), type(fetch_error(response)))
    assert is_ambiguous(submit_error(response)) is (cls is ProviderError)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html><title>502</title><p>Bad   gateway</p></html>", "502 Bad gateway"),
        (b'{"error": {"message": "broken"}}', "broken"),
        (b"", "the answer has status 502 and no text"),
    ],
)
def test_words_of_any_body_are_kept(body: bytes, words: str) -> None:
    """The provider's sentence is found in its error object or in the bare body."""
    assert words == submit_error(HttpResponse(status=502, body=body)).message


@pytest.mark.parametrize(
    ("body", "headers", "request_id"),
    [
        ({"error": {"request_id": "inner"}, "request_id": "outer"}, {"X-Request-ID": "header"}, "inner"),
        ({"error": {}, "request_id": "outer"}, {"X-Request-ID": "header"}, "outer"),
        ({"error": {}}, {"X-Request-ID": "header"}, "header"),
        ({}, {}, None),
    ],
)
def test_request_id_is_found_where_there_is_one(
    body: dict[str, object], headers: dict[str, str], request_id: str | None
) -> None:
    """The id of the call stands in the error, beside it, or in a header."""
    response = HttpResponse(status=500, headers=headers, body=json.dumps(body).encode())

    assert request_id == fetch_error(response).request_id


@pytest.mark.parametrize(
    ("error", "cls"),
    [
        ({"code": "INVALID_PROMPT", "message": "no"}, ContentRejectedError),
        ({"code": "RATE_LIMITED"}, RateLimitError),
        ({"message": "no"}, ProviderError),
    ],
)
def test_refusal_in_a_success_is_a_refusal(error: dict[str, str], cls: type[HappyHorseError]) -> None:
    """An error envelope under a 200 is read by its code, and one without a code leaves the outcome open."""
    response = HttpResponse(status=200, body=json.dumps({"error": error}).encode())

    assert (cls, cls) == (type(submit_error(response)), type(fetch_error(response)))


def test_redirect_is_not_understood() -> None:
    """A redirect is no answer to a submit."""
    response = HttpResponse(status=307, headers={"Location": "https://elsewhere.example/"})

    assert InvalidResponseError is type(submit_error(response))


def test_wish_to_wait_is_kept() -> None:
    """`Retry-After` reaches the error, though imini does not document it."""
    body = json.dumps({"error": {"code": "RATE_LIMITED", "message": "slow down"}}).encode()
    error = fetch_error(HttpResponse(status=429, headers={"Retry-After": "7"}, body=body))

    assert isinstance(error, RateLimitError)
    assert 7 == error.retry_after


def test_key_that_the_provider_echoes_is_masked() -> None:
    """The API key does not appear in an error, though imini may repeat it."""
    error = submit_error(reply(401, None, "bad key canary-key"))

    assert "bad key ***" == error.message
    assert "canary" not in repr(error) + str(error)
