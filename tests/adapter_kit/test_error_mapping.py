"""From a provider's refusal to the error that says what it means."""

from __future__ import annotations

import pytest

from happyhorse_async.adapter import Account
from happyhorse_async.adapter_kit import (
    ErrorClass,
    class_by_status,
    error_from_response,
    failure_reason,
    plain_text,
    task_failure,
)
from happyhorse_async.errors import (
    AuthenticationError,
    ContentRejectedError,
    InvalidRequestError,
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

ACCOUNT = Account(provider="main", api_key="sk-c4n4ry", base_url="https://a.example")


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (400, InvalidRequestError),
        (401, AuthenticationError),
        (402, QuotaExceededError),
        (403, PermissionDeniedError),
        (404, TaskNotFoundError),
        (405, InvalidRequestError),
        (408, ProviderError),
        (409, InvalidRequestError),
        (413, InvalidRequestError),
        (422, InvalidRequestError),
        (425, RateLimitError),
        (429, RateLimitError),
        (444, ProviderError),
        (460, ProviderError),
        (499, ProviderError),
        (500, ProviderError),
        (502, ProviderError),
        (503, ProviderError),
        (504, ProviderError),
        (529, ProviderError),
        (599, ProviderError),
    ],
)
def test_the_meaning_of_a_status(status: int, cls: ErrorClass) -> None:
    """Without a code the status decides: 4xx is the request's fault but for the named ones, 5xx the provider's."""

    assert cls is class_by_status(status)


@pytest.mark.parametrize(
    ("cls", "reason"),
    [
        (InvalidRequestError, FailureReason.INVALID_REQUEST),
        (ContentRejectedError, FailureReason.CONTENT_REJECTED),
        (QuotaExceededError, FailureReason.QUOTA_EXCEEDED),
        (RateLimitError, FailureReason.RATE_LIMITED),
        (ProviderError, FailureReason.PROVIDER_FAULT),
        (AuthenticationError, FailureReason.UNKNOWN),
        (TaskNotFoundError, FailureReason.UNKNOWN),
        (None, FailureReason.UNKNOWN),
    ],
)
def test_the_reason_of_a_failed_task(cls: ErrorClass | None, reason: FailureReason) -> None:
    """A failed task's code means what it would mean on a call; what cannot fail a task is no reason."""

    assert reason is failure_reason(cls)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", ""),
        (b"upstream gone\n", "upstream gone"),
        (b"<html><head><title>502</title></head>\n<body><h1>Bad  Gateway</h1></body></html>", "502 Bad Gateway"),
        (b"<style>h1 { color: red }</style><SCRIPT>if (a > b) {}</SCRIPT >no", "no"),
        (b"<script>" + b"x" * 10_000 + b"</script>no", ""),
        (b"\xff\xfe", "\ufffd\ufffd"),
        ("<p>网关</p>".encode(), "网关"),
        (b"a " * 10_000, "a " * 99 + "…"),
    ],
)
def test_the_text_of_a_page(body: bytes, text: str) -> None:
    """A page that came instead of JSON is shown without tags and scripts, on one line, 200 characters at most."""

    assert text == plain_text(HttpResponse(status=502, body=body)).rstrip()


@pytest.mark.parametrize(
    "body", [b"<" * 100_000, b"<script>" * 10_000, b"<script " * 10_000, b"<style></script>" * 9000]
)
def test_a_hostile_page_takes_no_time(body: bytes) -> None:
    """No page makes the search for tags slow; a search that backs up would run into the time limit of the test."""

    assert 200 >= len(plain_text(HttpResponse(status=502, body=body)))


def test_a_refusal_says_all_that_is_known() -> None:
    """The provider's words, code and request id are on the error, and so is its name."""
    error = error_from_response(
        InvalidRequestError,
        "no such ratio",
        response=HttpResponse(status=400, body=b"{}"),
        account=ACCOUNT,
        code="E1",
        request_id="r1",
    )

    assert InvalidRequestError is type(error)
    assert "no such ratio (provider main, HTTP 400, code E1, request id r1)" == str(error)


@pytest.mark.parametrize("message", [None, ""])
def test_a_refusal_without_words(message: str | None) -> None:
    """Where the provider is silent the body speaks, and where that is empty the status does."""
    page = HttpResponse(status=502, body=b"<h1>Bad Gateway</h1>")
    empty = HttpResponse(status=502)

    assert "Bad Gateway" == error_from_response(ProviderError, message, response=page, account=ACCOUNT).message
    assert "502" in error_from_response(ProviderError, message, response=empty, account=ACCOUNT).message


def test_a_refusal_that_names_a_time() -> None:
    """Retry-After is kept where waiting helps, and only there."""
    response = HttpResponse(status=429, headers={"Retry-After": "7"})
    rate = error_from_response(RateLimitError, "slow down", response=response, account=ACCOUNT)
    fault = error_from_response(ProviderError, "busy", response=response, account=ACCOUNT)

    assert isinstance(rate, RateLimitError)
    assert 7.0 == rate.retry_after
    assert isinstance(fault, ProviderError)
    assert 7.0 == fault.retry_after
    assert not hasattr(error_from_response(QuotaExceededError, "no", response=response, account=ACCOUNT), "retry_after")


@pytest.mark.parametrize("not_accepted", [True, False])
def test_a_fault_before_acceptance(not_accepted: bool) -> None:
    """Whether the provider says so only before it takes a submit is on the error."""
    error = error_from_response(
        ProviderError, "busy", response=HttpResponse(status=503), account=ACCOUNT, not_accepted=not_accepted
    )

    assert isinstance(error, ProviderError)
    assert not_accepted is error.not_accepted


def test_an_echoed_key_is_masked() -> None:
    """A provider that repeats the key in its words, its code or its page does not bring it into a log."""
    page = HttpResponse(status=401, body=b"<p>bad key sk-c4n4ry</p>")
    error = error_from_response(
        AuthenticationError, "bad key sk-c4n4ry", response=page, account=ACCOUNT, code="E-sk-c4n4ry"
    )
    silent = error_from_response(AuthenticationError, None, response=page, account=ACCOUNT, request_id="sk-c4n4ry")

    for shown in (str(error), repr(error), str(silent), repr(silent), repr(error.__dict__), repr(silent.__dict__)):
        assert "c4n4ry" not in shown
    assert "bad key ***" == error.message


@pytest.mark.parametrize(
    ("status", "cls", "ambiguous"),
    [
        (400, TransportError, False),
        (401, TransportError, False),
        (402, TransportError, False),
        (403, TransportError, False),
        (404, TransportError, False),
        (405, TransportError, False),
        (407, TransportError, False),
        (408, ProviderError, True),
        (409, TransportError, False),
        (425, RateLimitError, False),
        (429, RateLimitError, False),
        (444, ProviderError, True),
        (451, TransportError, False),
        (460, ProviderError, True),
        (499, ProviderError, True),
        (500, ProviderError, True),
        (503, ProviderError, True),
        (520, ProviderError, True),
    ],
)
def test_a_page_of_something_in_between(status: int, cls: ErrorClass, ambiguous: bool) -> None:
    """Without the provider's own error object, a 4xx is a TransportError, unless a gateway gave up waiting."""
    page = HttpResponse(status=status, body=b"<title>Just a moment...</title>")
    error = error_from_response(None, response=page, account=ACCOUNT)

    assert (cls, status, ambiguous) == (type(error), error.status_code, is_ambiguous(error))
    assert "Just a moment" in error.message


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 422])
def test_a_4xx_is_never_an_open_outcome(status: int) -> None:
    """A fault of the provider that it reports with a 4xx was found before the submit was accepted."""
    error = error_from_response(ProviderError, "busy", response=HttpResponse(status=status), account=ACCOUNT)

    assert not is_ambiguous(error)


@pytest.mark.parametrize("words", ["the first request is still in progress", "IDEMPOTENCY_KEY_PROCESSING", "in flight"])
@pytest.mark.parametrize("cls", [None, InvalidRequestError, ProviderError])
def test_a_409_in_progress_is_an_open_outcome(cls: ErrorClass | None, words: str) -> None:
    """A 409 that says that the same request is in progress means that a task may be made."""
    error = error_from_response(cls, words, response=HttpResponse(status=409), account=ACCOUNT)

    assert (ProviderError, True) == (type(error), is_ambiguous(error))


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        (FailureReason.TIMEOUT, FailureReason.TIMEOUT),
        (ContentRejectedError, FailureReason.CONTENT_REJECTED),
        (None, FailureReason.UNKNOWN),
    ],
)
def test_the_error_of_a_failed_task(why: ErrorClass | FailureReason | None, reason: FailureReason) -> None:
    """It has the provider's code and words, without the key."""
    failure = task_failure(why, "bad key sk-c4n4ry", account=ACCOUNT, code="E-sk-c4n4ry")

    assert (reason, "bad key ***", "E-***") == (failure.reason, failure.message, failure.code)
    assert ("", None) == (task_failure(why, None, account=ACCOUNT).message, task_failure(why, "", account=ACCOUNT).code)
