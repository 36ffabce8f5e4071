"""Which account is next: the table of proofs, and the order of accounts."""

from __future__ import annotations

from decimal import Decimal

import pytest
from attrs import frozen

import happyhorse_async as hh
from happyhorse_async.jobs.breaker import Breaker
from happyhorse_async.jobs.routing import Candidate, allows_move, is_busy_for_now, most_telling, ranked
from happyhorse_async.jobs.submit_errors import RefusedUploadError


def refused(kind: type[hh.HappyHorseError], status: int = 0) -> hh.HappyHorseError:
    return kind("no", status_code=status or None)


UNAVAILABLE = hh.ProviderError("later", not_accepted=True, status_code=503)
UNREACHABLE = hh.TransportError("refused", sent=False)


@pytest.mark.parametrize(
    "failure",
    [
        UNREACHABLE,
        UNAVAILABLE,
        hh.ProviderError("the upload failed", not_accepted=True),
        RefusedUploadError("the upload was refused", status_code=400),
        refused(hh.RateLimitError, 429),
        refused(hh.AuthenticationError, 401),
        refused(hh.PermissionDeniedError, 403),
        refused(hh.QuotaExceededError, 402),
        hh.UnsupportedFeatureError("no uploads", feature="uploads"),
    ],
    ids=repr,
)
def test_what_proves_that_a_job_was_not_accepted(failure: hh.HappyHorseError) -> None:
    assert allows_move(failure)


@pytest.mark.parametrize(
    "failure",
    [
        hh.TransportError("reset", sent=True),
        hh.TransportError("a page of a CDN", sent=False, status_code=403),
        hh.ProviderError("a 500", status_code=500),
        hh.ProviderError("a 503 of something in between", status_code=503),
        hh.InvalidResponseError("HTML", status_code=502),
        hh.InvalidResponseError("a redirect", status_code=307),
        refused(hh.InvalidRequestError, 400),
        refused(hh.ContentRejectedError, 400),
        refused(hh.TaskNotFoundError, 404),
        hh.StoreError("the disk is full"),
    ],
    ids=repr,
)
def test_what_proves_nothing_or_is_about_the_request(failure: hh.HappyHorseError) -> None:
    assert not allows_move(failure)


def test_what_is_waited_for() -> None:
    """A 429, and a 503 before acceptance. Neither a connection nor a key."""
    assert is_busy_for_now(refused(hh.RateLimitError, 429))
    assert is_busy_for_now(UNAVAILABLE)
    assert not is_busy_for_now(UNREACHABLE)
    assert not is_busy_for_now(refused(hh.AuthenticationError, 401))
    assert not is_busy_for_now(hh.ProviderError("the upload failed", not_accepted=True))


@frozen
class Price:
    high: Decimal
    currency: str


def candidate(provider: str, price: str | None = None, seconds: float = 0.0) -> Candidate:
    amount, _, currency = (price or "").partition(" ")
    return Candidate(provider, None if price is None else Price(Decimal(amount), currency), seconds)


def test_by_order() -> None:
    assert ["a", "b"] == ranked([candidate("a", "9 USD"), candidate("b", "1 USD")], "order")


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        ({"a": "0.9 USD", "b": "0.5 USD", "c": "0.7 USD"}, "bca"),
        ({"a": "0.5 USD", "b": "0.5 USD", "c": "0.4 USD"}, "cab"),
        ({"a": None, "b": "0.5 USD", "c": "0.4 USD"}, "cba"),
        ({"a": None, "b": None}, "ab"),
        ({"a": "0.9 CNY", "b": "0.1 USD", "c": "0.8 CNY", "d": None, "e": "0.01 USD"}, "cabed"),
        ({"a": None, "b": "5 USD", "c": "1 CNY", "d": "4 USD"}, "dbca"),
    ],
)
def test_by_price(prices: dict[str, str | None], expected: str) -> None:
    """Only the first currency is compared; ties and other currencies follow in order, unknown prices come last."""
    found = ranked([candidate(name, price) for name, price in prices.items()], "cheapest")

    assert list(expected) == found


def test_by_expected_time() -> None:
    times = {"a": 90.0, "b": 30.0, "c": 30.0}

    assert ["b", "c", "a"] == ranked([candidate(name, seconds=at) for name, at in times.items()], "soonest")


def test_the_caller_hears_what_is_wrong_with_the_request() -> None:
    """A missing key of one account says less than what another one cannot express."""
    missing, unsupported = hh.ConfigurationError("no key"), hh.UnsupportedFeatureError("no edits", feature="edits")

    assert unsupported is most_telling([missing, unsupported])
    assert missing is most_telling([missing, hh.ConfigurationError("no key either")])


def test_five_failures_in_a_row_open_the_breaker() -> None:
    breaker = Breaker()
    for _ in range(4):
        breaker.failed(UNREACHABLE, 0.0)
    breaker.failed(refused(hh.InvalidRequestError, 400), 0.0)
    for _ in range(4):
        breaker.failed(UNAVAILABLE, 0.0)
    was_open = breaker.error is not None
    breaker.failed(refused(hh.RateLimitError, 429), 0.0)
    breaker.failed(UNAVAILABLE, 0.0)

    assert not was_open
    assert "open" == breaker.state(59.0)
    assert not breaker.admits("job", 59.0)


def test_rate_limits_and_unknown_outcomes_do_not_open_it() -> None:
    breaker = Breaker()
    for _ in range(20):
        breaker.failed(refused(hh.RateLimitError, 429), 0.0)
        breaker.failed(hh.ProviderError("a 500", status_code=500), 0.0)
        breaker.failed(hh.TransportError("a page of a CDN", sent=False, status_code=403), 0.0)

    assert "closed" == breaker.state(0.0)


@pytest.mark.parametrize("kind", [hh.AuthenticationError, hh.QuotaExceededError])
def test_a_refused_key_and_an_empty_account_open_it_at_once(kind: type[hh.HappyHorseError]) -> None:
    breaker = Breaker()
    breaker.failed(refused(kind), 10.0)

    assert "open" == breaker.state(10.0)
    assert 60.0 == breaker.paused_for(10.0)


def test_one_job_tries_after_a_minute() -> None:
    """It is the only one until it has ended, or another minute is over."""
    breaker = Breaker()
    breaker.failed(refused(hh.AuthenticationError), 0.0)
    admitted = [breaker.admits(job, 61.0) for job in ("first", "second", "first")]
    state, later = breaker.state(61.0), breaker.admits("second", 122.0)
    breaker.succeeded()

    assert [True, False, True] == admitted
    assert "half-open" == state
    assert later
    assert "closed" == breaker.state(122.0)


def test_a_try_that_fails_opens_it_again() -> None:
    breaker = Breaker()
    for _ in range(5):
        breaker.failed(UNREACHABLE, 0.0)
    assert breaker.admits("first", 61.0)
    breaker.failed(UNREACHABLE, 61.0)

    assert not breaker.admits("first", 119.0)
    assert breaker.admits("second", 122.0)
