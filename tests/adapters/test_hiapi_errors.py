"""What a refusal of HiAPI's means, in both of its envelopes. https://docs.hiapi.ai/async-api/create/"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from happyhorse_adapters.hiapi import HiAPIAdapter
from happyhorse_async.adapter import PageRequest
from happyhorse_async.errors import (
    AuthenticationError,
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

ADAPTER = HiAPIAdapter()
ACCOUNT = ADAPTER.account(provider="backup", api_key="sk-canary")

Decode = Callable[[HttpResponse], object]
DECODERS: list[Decode] = [
    lambda response: ADAPTER.decode_submit(response, ACCOUNT),
    lambda response: ADAPTER.decode_fetch(response, "tk-hiapi-1", ACCOUNT),
    lambda response: ADAPTER.decode_list(response, PageRequest(), ACCOUNT),
]

# HTTP status, code, what it means, whether a submit was certainly not taken although it is the provider's fault.
ROWS: list[tuple[int, str | None, type[HappyHorseError], bool]] = [
    (400, "INVALID_REQUEST", InvalidRequestError, False),
    (400, None, InvalidRequestError, False),
    (401, None, AuthenticationError, False),
    (401, "permission_denied", AuthenticationError, False),
    (402, None, QuotaExceededError, False),
    (403, None, PermissionDeniedError, False),
    (403, "permission_denied", PermissionDeniedError, False),
    (404, None, TaskNotFoundError, False),
    (409, "IDEMPOTENCY_KEY_PROCESSING", ProviderError, False),
    (409, "SOMETHING_ELSE", InvalidRequestError, False),
    (422, "IDEMPOTENCY_KEY_MISMATCH", InvalidRequestError, False),
    (429, None, RateLimitError, False),
    (429, "rate_limit_exceeded", RateLimitError, False),
    (400, "MODEL_UNAVAILABLE", ProviderError, True),
    (500, "MODEL_UNAVAILABLE", ProviderError, True),
    (503, "MODEL_UNAVAILABLE", ProviderError, True),
    (400, "TASK_FAILED", InvalidRequestError, False),
    (500, "TASK_FAILED", InvalidRequestError, False),
    (504, "TASK_TIMEOUT", ProviderError, False),
    (400, "TASK_TIMEOUT", ProviderError, True),
    (500, "STORAGE_UNAVAILABLE", ProviderError, False),
    (503, "STORAGE_UNAVAILABLE", ProviderError, True),
    (503, None, ProviderError, True),
    (500, None, ProviderError, False),
    (502, None, ProviderError, False),
    (500, "INVALID_REQUEST", InvalidRequestError, False),
    (418, "NEW_CODE", InvalidRequestError, False),
    (599, "NEW_CODE", ProviderError, False),
]


def service(status: int, code: str | None, message: str | None = "the words") -> HttpResponse:
    envelope = {"code": status, "message": message, "data": None, "error_code": code}
    return HttpResponse(status=status, body=json.dumps(envelope).encode())


def gateway(status: int, code: str | None) -> HttpResponse:
    error = {"type": "hiapi_error", "code": code, "message": "the words", "request_id": "req_1"}
    return HttpResponse(status=status, body=json.dumps({"error": error}).encode())


def error_from_response(decode: Decode, response: HttpResponse) -> HappyHorseError:
    with pytest.raises(HappyHorseError) as caught:
        decode(response)
    return caught.value


def refused(error: HappyHorseError) -> bool:
    return isinstance(error, ProviderError) and error.not_accepted


@pytest.mark.parametrize("decode", DECODERS, ids=["submit", "fetch", "list"])
@pytest.mark.parametrize(("status", "code", "cls", "certain"), ROWS)
def test_every_row_in_the_task_services_envelope(
    decode: Decode, status: int, code: str | None, cls: type[HappyHorseError], certain: bool
) -> None:
    """The code decides, then the HTTP status; and the error carries what the provider said."""
    error = error_from_response(decode, service(status, code))

    assert (cls, certain) == (type(error), refused(error))
    assert ("the words", "backup", status, code) == (error.message, error.provider, error.status_code, error.code)


@pytest.mark.parametrize("decode", DECODERS, ids=["submit", "fetch", "list"])
@pytest.mark.parametrize(
    ("status", "code", "cls", "certain"), [row for row in ROWS if row[1] is not None or row[0] != 503]
)
def test_every_row_in_the_gateways_envelope(
    decode: Decode, status: int, code: str | None, cls: type[HappyHorseError], certain: bool
) -> None:
    """The gateway's `error` object says the same by `error.code`, and has a request id."""
    error = error_from_response(decode, gateway(status, code))

    assert (cls, certain) == (type(error), refused(error))
    assert ("the words", "backup", status, code) == (error.message, error.provider, error.status_code, error.code)
    assert "req_1" == error.request_id


@pytest.mark.parametrize("decode", DECODERS, ids=["submit", "fetch", "list"])
@pytest.mark.parametrize(
    ("status", "code", "cls", "certain"),
    [row for row in ROWS if row[1] != "permission_denied" and row[:2] != (400, "TASK_TIMEOUT")],
)
def test_every_row_inside_a_200(
    decode: Decode, status: int, code: str | None, cls: type[HappyHorseError], certain: bool
) -> None:
    """A call that went well by its HTTP status and not by its envelope is judged by the envelope."""
    envelope = {"code": status, "message": "the words", "data": None, "error_code": code}
    error = error_from_response(decode, HttpResponse(status=200, body=json.dumps(envelope).encode()))

    assert (cls, certain) == (type(error), refused(error))
    assert (200, code) == (error.status_code, error.code)


@pytest.mark.parametrize("data", [None, {}, {"taskId": None}, {"detail": "prompt"}, []])
def test_a_code_beside_empty_data_is_a_refusal(data: object) -> None:
    """An error code counts even in an envelope that calls itself a success."""
    envelope = {"code": 200, "message": "bad prompt", "data": data, "error_code": "INVALID_REQUEST"}
    error = error_from_response(DECODERS[0], HttpResponse(status=200, body=json.dumps(envelope).encode()))

    assert InvalidRequestError is type(error)
    assert "bad prompt" == error.message


@pytest.mark.parametrize(
    "envelope",
    [{"code": 0}, {"code": 302}, {"code": 200, "error_code": "NEW_CODE"}, {"code": 401, "msg": "log in first"}],
)
def test_a_200_that_says_neither_yes_nor_no_cannot_be_understood(envelope: dict[str, Any]) -> None:
    """Nobody knows whether such a submit was taken, so it is no refusal."""
    error = error_from_response(DECODERS[0], HttpResponse(status=200, body=json.dumps(envelope).encode()))

    assert InvalidResponseError is type(error)


@pytest.mark.parametrize(
    "text", ["Insufficient balance", "quota exceeded", "Please top up", "no credits left", "余额不足"]
)
def test_a_403_about_money_is_told_by_its_text(text: str) -> None:
    """A 403 may mean an empty account, which only the words say."""
    assert QuotaExceededError is type(error_from_response(DECODERS[0], service(403, None, text)))


def test_a_403_about_money_is_told_by_its_code() -> None:
    """The words may stand in the code."""
    assert QuotaExceededError is type(error_from_response(DECODERS[0], gateway(403, "insufficient_quota")))


def test_a_403_page_about_money_is_not_the_providers_word() -> None:
    """A page of something in between says nothing about the account, whatever its words."""
    response = HttpResponse(status=403, body=b"<p>Quota used up</p>")

    assert TransportError is type(error_from_response(DECODERS[0], response))


@pytest.mark.parametrize("body", [b"", b'{"code": 409, "message": "conflict", "data": null}', b"<html>Conflict</html>"])
def test_a_409_without_its_code_may_be_the_same_request_in_work(body: bytes) -> None:
    """To take it for a refusal could drop a paid task, so the outcome stays open."""
    error = error_from_response(DECODERS[0], HttpResponse(status=409, body=body))

    assert (ProviderError, False) == (type(error), refused(error))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>503 Service Unavailable</html>",
        b'{"message": "no upstream"}',
        b"[]",
        b'{"error": {"type": "x"}}',
        b'{"code": 14, "message": "unavailable", "details": []}',
        b'{"kind": "Status", "code": 503, "message": "no upstream"}',
    ],
)
def test_a_503_of_somebody_elses_is_no_refusal(body: bytes) -> None:
    """Without one of the two envelopes, a 503 does not say that the submit was not taken."""
    error = error_from_response(DECODERS[0], HttpResponse(status=503, body=body))

    assert (ProviderError, False) == (type(error), refused(error))


@pytest.mark.parametrize(
    ("status", "cls"),
    [(status, TransportError) for status in (400, 401, 402, 403, 404, 405, 422)]
    + [(429, RateLimitError)]
    + [(status, ProviderError) for status in (408, 444, 460, 499, 500, 502, 504)],
)
@pytest.mark.parametrize(
    "body",
    [
        b"<html><h1>Bad</h1> gateway</html>",
        b'{"message": "Bad gateway"}',
        b'{"code": 1000, "message": "Bad gateway"}',
        b'{"error": "Bad gateway"}',
        b'{"code": -1, "message": "Bad gateway"}',
        b'{"code": 401, "msg": "Bad gateway", "kind": "Status"}',
    ],
)
def test_a_page_of_something_in_between_is_not_hiapis_word(
    status: int, cls: type[HappyHorseError], body: bytes
) -> None:
    """Without one of HiAPI's envelopes, a 4xx says nothing about key, money or task; nothing was accepted."""
    for decode in DECODERS:
        error = error_from_response(decode, HttpResponse(status=status, body=body))
        assert cls is type(error)
        assert "ad gateway" in error.message
        assert is_ambiguous(error) is (cls is ProviderError)


@pytest.mark.parametrize(
    ("response", "cls"),
    [
        (service(429, None), RateLimitError),
        (service(409, "IDEMPOTENCY_KEY_PROCESSING"), ProviderError),
        (service(503, None), ProviderError),
    ],
)
@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("7", 7.0), ("Thu, 28 May 2026 20:27:00 GMT", 20.0), ("Thu, 28 May 2026 20:26:00 GMT", 0.0), ("later", None)],
)
def test_the_wish_for_patience_is_kept(
    response: HttpResponse, cls: type[HappyHorseError], retry_after: str, seconds: float | None
) -> None:
    """`Retry-After` is read in seconds or as a date, against the provider's own clock."""
    headers = {"Retry-After": retry_after, "Date": "Thu, 28 May 2026 20:26:40 GMT"}
    error = error_from_response(DECODERS[0], HttpResponse(status=response.status, headers=headers, body=response.body))

    assert isinstance(error, RateLimitError | ProviderError)
    assert (cls, seconds) == (type(error), error.retry_after)


def test_both_envelopes_at_once_are_read() -> None:
    """The task service's code wins, and nothing of the other is lost."""
    body = {"code": 400, "error_code": "MODEL_UNAVAILABLE", "error": {"code": "x", "message": "m", "request_id": "r"}}
    error = error_from_response(DECODERS[0], HttpResponse(status=400, body=json.dumps(body).encode()))

    assert (ProviderError, "MODEL_UNAVAILABLE", "m", "r") == (type(error), error.code, error.message, error.request_id)


def test_an_odd_envelope_is_read_by_the_status() -> None:
    """Fields of other types than documented do not get in the way."""
    body = {"code": 400, "error": "broken", "message": "no", "data": 7, "error_code": []}
    error = error_from_response(DECODERS[0], HttpResponse(status=400, body=json.dumps(body).encode()))

    assert (InvalidRequestError, "no") == (type(error), error.message)


def test_the_request_id_may_stand_in_the_header() -> None:
    """Where no envelope has it, the header's is kept."""
    response = HttpResponse(status=500, headers={"X-Request-ID": "req-9"}, body=b"{}")

    assert "req-9" == error_from_response(DECODERS[1], response).request_id


def test_the_key_is_masked_in_the_providers_words() -> None:
    """A provider that echoes the key does not put it into a log."""
    error = error_from_response(DECODERS[0], service(401, None, "unknown key sk-canary"))

    assert "unknown key ***" == error.message
