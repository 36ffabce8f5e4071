"""Refusals that have no cause: the errors that a provider has words for, and redirects."""

from __future__ import annotations

from attrs import evolve, frozen

from ...dialect import Problem
from ...messages import HttpResponse
from .fault import API, Answer, Fault, Scene, Switch
from .wire import http_date


@frozen(kw_only=True)
class Refused(Fault):
    """A refusal in the provider's own form."""

    operations = API
    taken: bool = False
    problem: Problem
    retry_after: str | None = None
    """The header of that name; `None`: as the provider gives it."""

    def answer(self, answer: HttpResponse, scene: Scene) -> Answer:
        refusal = scene.refuse(self.problem)
        if self.retry_after is None:
            return refusal
        return evolve(refusal, headers={**refusal.headers, "retry-after": self.retry_after})


@frozen(kw_only=True)
class RefusedUntil(Refused):
    """A refusal that names the moment of the next try."""

    seconds: float = 1.0
    """From the server's now to that moment."""
    hours_off: float = 0.0
    """By how much the server's clock is wrong."""

    def answer(self, answer: HttpResponse, scene: Scene) -> Answer:
        refusal, now = scene.refuse(self.problem), scene.now + 3600 * self.hours_off
        dates = {"date": http_date(now), "retry-after": http_date(now + self.seconds)}
        return evolve(refusal, headers={**refusal.headers, **dates})


@frozen(kw_only=True)
class ErrorIn200(Fault):
    """A refusal in the provider's own form, with the status of a success."""

    operations = API
    taken: bool = False
    problem: Problem = Problem.BAD_REQUEST

    def answer(self, answer: HttpResponse, scene: Scene) -> Answer:
        return evolve(scene.refuse(self.problem), status=200)


@frozen(kw_only=True)
class Redirected(Fault):
    """A redirect to another place. Nothing was carried out."""

    taken: bool = False
    status: int = 307
    location: str = "https://elsewhere.example/"

    def answer(self, answer: HttpResponse, scene: Scene) -> Answer:
        return HttpResponse(status=self.status, headers={"location": self.location})


def _too_fast(retry_after: str | None) -> Refused:
    return Refused(problem=Problem.TOO_FAST, retry_after=retry_after)


REFUSALS: dict[str, Switch] = {
    "bad-request": Switch(Refused(problem=Problem.BAD_REQUEST), "a 400 with the provider's code"),
    "content-rejected": Switch(Refused(problem=Problem.REJECTED_CONTENT), "moderation refuses the request"),
    "wrong-key": Switch(Refused(problem=Problem.WRONG_KEY), "a 401"),
    "forbidden": Switch(Refused(problem=Problem.FORBIDDEN), "a 403"),
    "no-money": Switch(Refused(problem=Problem.NO_MONEY), "the account cannot pay, by a 402 or a code with 429"),
    "no-such-path": Switch(Refused(problem=Problem.NO_SUCH_PATH), "a 404 that is about the path"),
    "timeout-408": Switch(Refused(problem=Problem.TIMED_OUT, taken=True), "a 408"),
    "key-in-work": Switch(
        Refused(problem=Problem.KEY_IN_WORK, taken=True, retry_after="1"),
        "the first request with the idempotency key is in work: a 409 with `Retry-After`",
    ),
    "conflict": Switch(Refused(problem=Problem.CONFLICT), "a 409"),
    "key-mismatch": Switch(
        Refused(problem=Problem.KEY_REUSED), "a 422: the idempotency key came with another body before"
    ),
    "too-early": Switch(Refused(problem=Problem.TOO_EARLY), "a 425"),
    "too-fast": Switch(_too_fast(None), "a 429"),
    "too-fast-seconds": Switch(_too_fast("1"), "a 429 with `Retry-After` in seconds"),
    "too-fast-hour": Switch(_too_fast("3600"), "a 429 that asks for an hour"),
    "too-fast-date": Switch(
        RefusedUntil(problem=Problem.TOO_FAST, hours_off=5.0),
        "a 429 with a date in `Retry-After`, by a clock that is five hours ahead",
    ),
    "too-fast-past": Switch(
        RefusedUntil(problem=Problem.TOO_FAST, seconds=-60.0), "a 429 with a date in `Retry-After` that is over"
    ),
    "too-fast-absurd": Switch(_too_fast("99999999"), "a 429 that asks for three years"),
    "too-fast-negative": Switch(_too_fast("-5"), "a 429 that asks for less than nothing"),
    "too-fast-garbage": Switch(_too_fast("a while"), "a 429 with a `Retry-After` that means nothing"),
    "broken-500": Switch(Refused(problem=Problem.BROKEN, taken=True), "a 500, after the request was taken"),
    "gateway-502": Switch(Refused(problem=Problem.BAD_GATEWAY, taken=True), "a 502, after the request was taken"),
    "unavailable-503": Switch(
        Refused(problem=Problem.UNAVAILABLE), "a 503 as the provider gives it before it takes a request"
    ),
    "gateway-504": Switch(Refused(problem=Problem.GATEWAY_TIMEOUT, taken=True), "a 504, after the request was taken"),
    "error-in-200": Switch(ErrorIn200(), "the provider's error with a 200"),
    "redirect": Switch(Redirected(), "a 307 to another host"),
    "redirect-302": Switch(Redirected(status=302), "a 302 to another host"),
}
"""By name."""
