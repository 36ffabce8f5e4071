"""Tests how an adapter reads undocumented responses."""

# ruff: noqa: SIM300 - the expected value is on the left of ==

from __future__ import annotations

import traceback
from collections.abc import Mapping
from unicodedata import category

import pytest

from ..adapter_kit import ErrorClass
from ..errors import HappyHorseError, ProviderError, RateLimitError, TransportError
from ..jobs.submit_errors import is_ambiguous
from ..messages import HttpResponse
from ..task import Task, TaskStatus
from .malformed import HOSTILE_BODIES, TEMPTING_BODIES, encoded
from .samples import KEY
from .subject import Subject

# With these a gateway says that it gave up waiting, so the outcome of a submit is unknown.
_GAVE_UP = (408, 444, 460, 499)
_UNCERTAIN = (*_GAVE_UP, 409)

# Control characters, which can drive a terminal, and lone surrogates, which cannot be encoded.
_UNPRINTABLE = {"Cc", "Cs"}

# Ways in which providers quote the key that they refuse.
_ECHOES: dict[str, bytes] = {
    "plain text": f"invalid key {KEY}".encode(),
    "HTML": f"<html><body>Invalid key <b>{KEY}</b></body></html>".encode(),
    "a broken object": f'{{"message": "invalid key {KEY}'.encode(),
    "a flat object": encoded({"code": "InvalidKey", "message": f"invalid key {KEY}", "request_id": "1"}),
    "an error object": encoded({"error": {"code": "invalid_key", "message": f"invalid key {KEY}", "type": "auth"}}),
    "an error text": encoded({"error": f"invalid key {KEY}"}),
    "an envelope": encoded({"code": 401, "message": f"invalid key {KEY}", "data": None, "error_code": "KEY"}),
    "a list": encoded([f"invalid key {KEY}"]),
}

# Responses of a proxy, a CDN or a login page.
_PAGES = (b"", b"{}", b"<html><h1>Just a moment...</h1></html>", b'{"status": 403, "error": "Forbidden", "path": "/"}')

_RETRY_AFTERS: dict[str, Mapping[str, str]] = {
    "seconds": {"Retry-After": "7"},
    "a date": {"Retry-After": "Sat, 21 Nov 2026 07:30:07 GMT", "Date": "Sat, 21 Nov 2026 07:30:00 GMT"},
}


class AnswerContract(Subject):
    """The part of the suite about responses from any sender."""

    @pytest.mark.parametrize("status", [200, 202])
    def test_an_unreadable_success_is_no_refusal(self, operation: str, status: int) -> None:
        """
        Junk with a 2xx cannot be understood: it neither refuses a paid request nor ends a task.

        As an InvalidResponseError, or a ProviderError that does not claim a refusal, it leaves open whether a submit
        was accepted, and makes the poller poll again.
        """
        for what, body in HOSTILE_BODIES.items():
            answer = self.attempt(operation, HttpResponse(status=status, body=body), what)
            # A result response is final: a success without a video is polled a few more times.
            is_result = operation == "result" and isinstance(answer, Task) and answer.status is TaskStatus.SUCCEEDED
            assert is_result or not isinstance(answer, Task) or not answer.status.is_terminal, what

    @pytest.mark.parametrize("status", [400, 401, 404, 418, 429, 500, 503, 599])
    def test_an_unreadable_refusal_is_one(self, operation: str, status: int) -> None:
        """Junk with a 4xx or 5xx is a printable error of this library, with the status."""
        for what, body in HOSTILE_BODIES.items():
            error = self.failure(operation, HttpResponse(status=status, body=body), what)
            assert isinstance(error, HappyHorseError), what
            assert status == error.status_code, what
            assert _UNPRINTABLE.isdisjoint(map(category, str(error))), what

    @pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 410, 413, 418, 422, 451])
    def test_a_page_of_something_in_between_is_not_the_providers_word(self, operation: str, status: int) -> None:
        """Without the provider's own error object, a 4xx says nothing about key, money or task: a TransportError."""
        for body in _PAGES:
            error = self.failure(operation, HttpResponse(status=status, body=body))
            assert isinstance(error, TransportError), f"{body!r} is not the provider's: {error!r}"

    @pytest.mark.parametrize(
        ("status", "cls"), [(429, RateLimitError), *((status, ProviderError) for status in (500, 502, 503, 504, 520))]
    )
    def test_a_status_has_its_meaning_without_an_error_object(
        self, operation: str, status: int, cls: ErrorClass
    ) -> None:
        """A 429 is a rate limit and a 5xx the provider's fault, with any body."""
        for body in _PAGES:
            assert cls is type(self.failure(operation, HttpResponse(status=status, body=body))), body

    def test_a_4xx_is_a_certain_refusal(self) -> None:
        """A submit that is answered with a 4xx was not accepted, with any body, unless a gateway gave up."""
        own = [sample.body for sample in self.refusal_samples.values()]
        for status in range(400, 500):
            for body in (*_PAGES, *TEMPTING_BODIES.values(), *own):
                error = self.failure("submit", HttpResponse(status=status, body=body))
                assert isinstance(error, HappyHorseError)
                if status not in _UNCERTAIN:
                    assert not is_ambiguous(error), f"{status} {body!r}: {error!r}"
                if status in _GAVE_UP and body in _PAGES:
                    assert is_ambiguous(error), f"{status} {body!r}: {error!r}"

    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize("form", _RETRY_AFTERS)
    def test_retry_after_is_read(self, operation: str, form: str, status: int) -> None:
        """The error has the requested wait, given in seconds or as a date."""
        error = self.failure(operation, HttpResponse(status=status, headers=_RETRY_AFTERS[form], body=b"{}"))

        assert isinstance(error, RateLimitError | ProviderError), repr(error)
        assert 7.0 == error.retry_after, f"Retry-After: {_RETRY_AFTERS[form]} is read as {error.retry_after}"

    @pytest.mark.parametrize("body", TEMPTING_BODIES.values(), ids=TEMPTING_BODIES)
    @pytest.mark.parametrize("status", [500, 502, 504])
    def test_a_5xx_does_not_claim_a_refusal(self, status: int, body: bytes) -> None:
        """A 500, 502 or 504 without a documented code leaves open whether a submit was accepted."""
        error = self.failure("submit", HttpResponse(status=status, body=body))

        assert isinstance(error, ProviderError), repr(error)
        assert not error.not_accepted, f"a {status} {body!r} leaves open whether the job was accepted; it may be billed"

    @pytest.mark.parametrize("body", _ECHOES.values(), ids=_ECHOES)
    def test_no_refusal_shows_the_key(self, operation: str, body: bytes) -> None:
        """An error does not repeat the API key, even if the provider does."""
        for status in (400, 401, 403, 500):
            error = self.failure(operation, HttpResponse(status=status, body=body))
            assert error is not None
            assert KEY not in "".join([str(error), repr(error), *traceback.format_exception(error)])
