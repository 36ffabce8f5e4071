"""Refusals that have no cause: the errors that a provider has words for, and redirects."""

from __future__ import annotations

from attrs import evolve, frozen

from ...emulation import ApiFault
from ...messages import HttpResponse
from .fault import API, Answer, CallContext, Fault, FaultPreset
from .wire import http_date


@frozen(kw_only=True)
class Refused(Fault):
    """A refusal in the provider's own form."""

    operations = API
    taken: bool = False
    problem: ApiFault
    retry_after: str | None = None
    """The header of that name; `None`: as the provider gives it."""

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        refusal = context.refuse(self.problem)
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

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        refusal, now = context.refuse(self.problem), context.now + 3600 * self.hours_off
        dates = {"date": http_date(now), "retry-after": http_date(now + self.seconds)}
        return evolve(refusal, headers={**refusal.headers, **dates})


@frozen(kw_only=True)
class ErrorIn200(Fault):
    """A refusal in the provider's own form, with the status of a success."""

    operations = API
    taken: bool = False
    problem: ApiFault = ApiFault.BAD_REQUEST

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        return evolve(context.refuse(self.problem), status=200)


@frozen(kw_only=True)
class Redirected(Fault):
    """A redirect to another place. Nothing was carried out."""

    taken: bool = False
    status: int = 307
    location: str = "https://elsewhere.example/"

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        return HttpResponse(status=self.status, headers={"location": self.location})


def _too_fast(retry_after: str | None) -> Refused:
    return Refused(problem=ApiFault.TOO_FAST, retry_after=retry_after)


REFUSALS: dict[str, FaultPreset] = {
    "bad-request": FaultPreset(Refused(problem=ApiFault.BAD_REQUEST), "a 400 with the provider's code"),
    "content-rejected": FaultPreset(Refused(problem=ApiFault.REJECTED_CONTENT), "moderation refuses the request"),
    "wrong-key": FaultPreset(Refused(problem=ApiFault.WRONG_KEY), "a 401"),
    "forbidden": FaultPreset(Refused(problem=ApiFault.FORBIDDEN), "a 403"),
    "no-money": FaultPreset(Refused(problem=ApiFault.NO_MONEY), "the account cannot pay, by a 402 or a code with 429"),
    "no-such-path": FaultPreset(Refused(problem=ApiFault.NO_SUCH_PATH), "a 404 that is about the path"),
    "timeout-408": FaultPreset(Refused(problem=ApiFault.TIMED_OUT, taken=True), "a 408"),
    "key-in-work": FaultPreset(
        Refused(problem=ApiFault.KEY_IN_WORK, taken=True, retry_after="1"),
        "the first request with the idempotency key is in work: a 409 with `Retry-After`",
    ),
    "conflict": FaultPreset(Refused(problem=ApiFault.CONFLICT), "a 409"),
    "key-mismatch": FaultPreset(
        Refused(problem=ApiFault.KEY_REUSED), "a 422: the idempotency key came with another body before"
    ),
    "too-early": FaultPreset(Refused(problem=ApiFault.TOO_EARLY), "a 425"),
    "too-fast": FaultPreset(_too_fast(None), "a 429"),
    "too-fast-seconds": FaultPreset(_too_fast("1"), "a 429 with `Retry-After` in seconds"),
    "too-fast-hour": FaultPreset(_too_fast("3600"), "a 429 that asks for an hour"),
    "too-fast-date": FaultPreset(
        RefusedUntil(problem=ApiFault.TOO_FAST, hours_off=5.0),
        "a 429 with a date in `Retry-After`, by a clock that is five hours ahead",
    ),
    "too-fast-past": FaultPreset(
        RefusedUntil(problem=ApiFault.TOO_FAST, seconds=-60.0), "a 429 with a date in `Retry-After` that is over"
    ),
    "too-fast-absurd": FaultPreset(_too_fast("99999999"), "a 429 that asks for three years"),
    "too-fast-negative": FaultPreset(_too_fast("-5"), "a 429 that asks for less than nothing"),
    "too-fast-garbage": FaultPreset(_too_fast("a while"), "a 429 with a `Retry-After` that means nothing"),
    "broken-500": FaultPreset(Refused(problem=ApiFault.BROKEN, taken=True), "a 500, after the request was taken"),
    "gateway-502": FaultPreset(Refused(problem=ApiFault.BAD_GATEWAY, taken=True), "a 502, after the request was taken"),
    "unavailable-503": FaultPreset(
        Refused(problem=ApiFault.UNAVAILABLE), "a 503 as the provider gives it before it takes a request"
    ),
    "gateway-504": FaultPreset(
        Refused(problem=ApiFault.GATEWAY_TIMEOUT, taken=True), "a 504, after the request was taken"
    ),
    "error-in-200": FaultPreset(ErrorIn200(), "the provider's error with a 200"),
    "redirect": FaultPreset(Redirected(), "a 307 to another host"),
    "redirect-302": FaultPreset(Redirected(status=302), "a 302 to another host"),
}
"""By name."""
