"""What a refusal of KIE's means. https://docs.kie.ai/market/happyhorse-1-1/image-to-video has the codes."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

import happyhorse_async as hh
from happyhorse_adapters.kie import KieAdapter
from happyhorse_async.jobs.submit_errors import is_ambiguous

ADAPTER = KieAdapter()
ACCOUNT = ADAPTER.account(provider="market", api_key="sk-canary-0451")


def refusal(code: int, text: str = "no", *, status: int = 200, word: str = "msg") -> hh.HttpResponse:
    body = json.dumps({"code": code, word: text, "data": None})
    return hh.HttpResponse(status=status, body=body.encode())


def submit(response: hh.HttpResponse) -> object:
    return ADAPTER.decode_submit(response, ACCOUNT)


def query(response: hh.HttpResponse) -> object:
    return ADAPTER.decode_fetch(response, "task_example_1", ACCOUNT)


def error_of(call: Callable[[hh.HttpResponse], object], response: hh.HttpResponse) -> hh.HappyHorseError:
    with pytest.raises(hh.HappyHorseError) as caught:
        call(response)
    return caught.value


# The code, what it means for a submit and for a query, and whether a submit may have been accepted in spite of it.
ROWS: list[tuple[int, type[hh.HappyHorseError], type[hh.HappyHorseError], bool]] = [
    (401, hh.AuthenticationError, hh.AuthenticationError, False),
    (402, hh.QuotaExceededError, hh.QuotaExceededError, False),
    (404, hh.InvalidRequestError, hh.TaskNotFoundError, False),
    (408, hh.ProviderError, hh.ProviderError, True),
    (422, hh.InvalidRequestError, hh.InvalidRequestError, False),
    (429, hh.RateLimitError, hh.RateLimitError, False),
    (433, hh.QuotaExceededError, hh.QuotaExceededError, False),
    (455, hh.ProviderError, hh.ProviderError, False),
    (500, hh.ProviderError, hh.ProviderError, True),
    (501, hh.ProviderError, hh.ProviderError, True),
    (505, hh.PermissionDeniedError, hh.PermissionDeniedError, False),
]


@pytest.mark.parametrize("word", ["msg", "message"])
@pytest.mark.parametrize("matching", [False, True])
@pytest.mark.parametrize(("code", "on_submit", "on_query", "is_open"), ROWS)
def test_the_code_decides(
    code: int,
    on_submit: type[hh.HappyHorseError],
    on_query: type[hh.HappyHorseError],
    is_open: bool,
    matching: bool,
    word: str,
) -> None:
    """The HTTP status may be 200 or match; the code in the body says what is meant, and what was certainly refused."""
    response = refusal(code, status=code if matching else 200, word=word)
    submitted, queried = error_of(submit, response), error_of(query, response)

    assert type(submitted) is on_submit
    assert type(queried) is on_query
    assert is_ambiguous(submitted) is is_open
    assert (submitted.code, submitted.message) == (str(code), "no")


@pytest.mark.parametrize(("code", "status"), [(422, 500), (401, 503), (402, 500), (455, 503), (429, 502)])
def test_a_refusal_is_certain_whatever_the_http_status(code: int, status: int) -> None:
    """Nothing was accepted, although a 5xx alone would leave it open."""
    assert not is_ambiguous(error_of(submit, refusal(code, status=status)))


@pytest.mark.parametrize("code", [408, 500, 501])
@pytest.mark.parametrize("status", [200, 400, 422, 500, 503])
def test_an_open_outcome_stays_open_whatever_the_http_status(code: int, status: int) -> None:
    """With these codes the task may have been made and billed."""
    assert is_ambiguous(error_of(submit, refusal(code, status=status)))


@pytest.mark.parametrize("code", [0, 201, 777, -1])
def test_an_unknown_code_beside_a_success_says_nothing(code: int) -> None:
    """A submit may have been accepted, and a task is polled again."""
    assert type(error_of(submit, refusal(code))) is hh.InvalidResponseError
    assert is_ambiguous(error_of(submit, refusal(code)))
    assert type(error_of(query, refusal(code))) is hh.InvalidResponseError


def test_an_unknown_code_is_read_by_the_http_status() -> None:
    """A status of 4xx is a certain refusal, and one of 5xx is not."""
    assert type(error_of(submit, refusal(777, status=422))) is hh.InvalidRequestError
    assert is_ambiguous(error_of(submit, refusal(777, status=500)))


@pytest.mark.parametrize(
    "text", ["Your prompt was flagged as sensitive", "violates our content policy", "blocked by moderation"]
)
def test_moderation_is_told_by_its_words(text: str) -> None:
    """There is no code for it."""
    assert type(error_of(submit, refusal(422, text))) is hh.ContentRejectedError


@pytest.mark.parametrize("text", ["recordInfo is null", "task not found", "The task does not exist"])
def test_an_unknown_task_may_be_refused_as_a_parameter(text: str) -> None:
    """For a query it means that the task is not known; for a submit, that a parameter is wrong."""
    assert type(error_of(query, refusal(422, text))) is hh.TaskNotFoundError
    assert type(error_of(submit, refusal(422, text))) is hh.InvalidRequestError


def test_too_many_submits_wait_for_a_whole_window() -> None:
    """There is no `Retry-After`; twenty submits are allowed in ten seconds. Queries have a window of a second."""
    submitted, queried = error_of(submit, refusal(429)), error_of(query, refusal(429))

    assert isinstance(submitted, hh.RateLimitError)
    assert isinstance(queried, hh.RateLimitError)
    assert submitted.retry_after == 10.0
    assert queried.retry_after is None


def test_a_wait_that_is_asked_for_counts() -> None:
    """Should there be a `Retry-After` one day, it is heard."""
    response = hh.HttpResponse(status=429, headers={"Retry-After": "3"}, body=b'{"code":429,"msg":"no","data":null}')
    error = error_of(submit, response)

    assert isinstance(error, hh.RateLimitError)
    assert error.retry_after == 3.0


@pytest.mark.parametrize("body", [b"error code: 1010", b"<title>Error 1010</title> Access denied"])
def test_a_client_that_cloudflare_blocks_has_no_wrong_key(body: bytes) -> None:
    """It is a page like any other of something in between, and says why; nothing was accepted."""
    for call in (submit, query):
        error = error_of(call, hh.HttpResponse(status=403, body=body))
        assert type(error) is hh.TransportError
        assert "User-Agent" in error.message
        assert not is_ambiguous(error)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, b"<h1>Forbidden</h1>"),
        (401, b'{"error": "Unauthorized"}'),
        (404, b'{"code": "NotFound", "message": "no route"}'),
        (403, b'{"code": 403, "message": "Forbidden"}'),
        (404, b""),
    ],
)
def test_a_page_of_something_in_between_says_nothing(status: int, body: bytes) -> None:
    """Neither the key nor the task is refused by it."""
    assert type(error_of(query, hh.HttpResponse(status=status, body=body))) is hh.TransportError


def test_no_error_shows_the_key() -> None:
    """Not even if the provider repeats it."""
    error = error_of(submit, refusal(401, "the key sk-canary-0451 is wrong"))

    assert "sk-canary-0451" not in f"{error} {error!r} {vars(error)}"


def test_a_check_of_the_account_tells_the_balance() -> None:
    """It asks for the credits, https://docs.kie.ai/common-api/get-account-credits."""
    message = ADAPTER.encode_check(ACCOUNT)

    assert (message.method, message.url) == ("GET", "https://api.kie.ai/api/v1/chat/credit")
    for data, told in ((100, "100 credits"), (2510.5, "2510.5 credits"), (None, ""), ({"credits": 1}, "")):
        body = json.dumps({"code": 200, "msg": "success", "data": data}).encode()
        assert ADAPTER.decode_check(hh.HttpResponse(status=200, body=body), ACCOUNT) == told
    for response in (refusal(401), hh.HttpResponse(status=200, body=b"{}")):
        with pytest.raises((hh.AuthenticationError, hh.InvalidResponseError)):
            ADAPTER.decode_check(response, ACCOUNT)
