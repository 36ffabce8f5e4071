"""Injected refusals: errors that a provider has codes for, and redirects."""

from __future__ import annotations

from attrs import evolve

from ...emulation import ApiFault, ErrorReply
from ...messages import HttpResponse
from .connection import http_date
from .fault import API, CallContext, Fault


def refused(
    reason: ApiFault | ErrorReply,
    *,
    summary: str = "",
    accepted: bool = False,
    retry_after: str | None = None,
    status: int | None = None,
) -> Fault:
    """
    Answer with an error in the provider's own format.

    :param reason: the error by its meaning, or by its status, code and message.
    :param accepted: whether the provider carries out the call first.
    :param retry_after: the `Retry-After` header; `None`: as the provider sends it.
    :param status: replaces the provider's HTTP status.
    """

    def change(response: HttpResponse, call: CallContext) -> HttpResponse:
        error = call.refuse(reason)
        extra = {} if retry_after is None else {"retry-after": retry_after}
        return evolve(error, status=status or error.status, headers={**error.headers, **extra})

    text = reason.name if isinstance(reason, ApiFault) else f"{reason.status} {reason.code}"
    return Fault(summary or f"the provider answers with the error {text}", on=API, accepted=accepted, response=change)


def refused_until(seconds: float, *, summary: str = "", hours_off: float = 0.0) -> Fault:
    """
    Answer with a 429 whose `Retry-After` is a date.

    :param seconds: from the server's `Date` to that date.
    :param hours_off: how many hours the server's clock is ahead.
    """

    def change(response: HttpResponse, call: CallContext) -> HttpResponse:
        error, now = call.refuse(ApiFault.TOO_FAST), call.now + 3600 * hours_off
        dates = {"date": http_date(now), "retry-after": http_date(now + seconds)}
        return evolve(error, headers={**error.headers, **dates})

    return Fault(summary or "a 429 with a date in `Retry-After`", on=API, accepted=False, response=change)


def redirected(location: str = "https://elsewhere.example/", *, status: int = 307) -> Fault:
    """Answer with a redirect to *location*. Nothing was carried out."""

    def change(response: HttpResponse, call: CallContext) -> HttpResponse:
        return HttpResponse(status=status, headers={"location": location})

    return Fault(f"a {status} redirect to another host", accepted=False, response=change)


def _too_fast(retry_after: str | None, summary: str) -> Fault:
    return refused(ApiFault.TOO_FAST, summary=summary, retry_after=retry_after)


def _internal(status: int, code: str, message: str, summary: str) -> Fault:
    return refused(ErrorReply(status=status, code=code, message=message), summary=summary)


REFUSALS: dict[str, Fault] = {
    "bad-request": refused(ApiFault.BAD_REQUEST, summary="a 400 with the provider's code"),
    "content-rejected": refused(ApiFault.REJECTED_CONTENT, summary="moderation rejects the request"),
    "wrong-key": refused(ApiFault.WRONG_KEY, summary="a 401"),
    "forbidden": refused(ApiFault.FORBIDDEN, summary="a 403"),
    "no-money": refused(ApiFault.NO_MONEY, summary="the account cannot pay: a 402, or a code with 429"),
    "no-such-path": refused(ApiFault.NO_SUCH_PATH, summary="a 404 for the path"),
    "timeout-408": refused(ApiFault.TIMED_OUT, summary="a 408", accepted=True),
    "key-in-work": refused(
        ApiFault.KEY_IN_WORK,
        summary="a 409 with `Retry-After`: the first request with the idempotency key is still processed",
        accepted=True,
        retry_after="1",
    ),
    "conflict": refused(ApiFault.CONFLICT, summary="a 409"),
    "key-mismatch": refused(
        ApiFault.KEY_REUSED, summary="a 422: the idempotency key was used with another body before"
    ),
    "too-early": refused(ApiFault.TOO_EARLY, summary="a 425"),
    "too-fast": _too_fast(None, "a 429"),
    "too-fast-seconds": _too_fast("1", "a 429 with `Retry-After` in seconds"),
    "too-fast-hour": _too_fast("3600", "a 429 that asks for a pause of an hour"),
    "too-fast-date": refused_until(
        1.0, hours_off=5.0, summary="a 429 with a date in `Retry-After`, by a clock that is five hours ahead"
    ),
    "too-fast-past": refused_until(-60.0, summary="a 429 with a date in `Retry-After` that is over"),
    "too-fast-absurd": _too_fast("99999999", "a 429 that asks for a pause of three years"),
    "too-fast-negative": _too_fast("-5", "a 429 with a negative `Retry-After`"),
    "too-fast-garbage": _too_fast("a while", "a 429 with a `Retry-After` that is neither seconds nor a date"),
    "broken-500": refused(ApiFault.BROKEN, summary="a 500, after the request was accepted", accepted=True),
    "gateway-502": refused(ApiFault.BAD_GATEWAY, summary="a 502, after the request was accepted", accepted=True),
    "unavailable-503": refused(
        ApiFault.UNAVAILABLE, summary="a 503 as the provider sends it before it accepts a request"
    ),
    "gateway-504": refused(ApiFault.GATEWAY_TIMEOUT, summary="a 504, after the request was accepted", accepted=True),
    "error-in-200": refused(ApiFault.BAD_REQUEST, summary="the provider's error with status 200", status=200),
    # DashScope rejects inputs with codes that look like internal failures.
    "internal-content-400": _internal(
        400,
        "InternalError.Algo.DataInspectionFailed",
        "Input data may contain inappropriate content.",
        "moderation rejects the request by a 400 whose code begins with `InternalError`",
    ),
    "internal-parameter-400": _internal(
        400,
        "InternalError.Algo.InvalidParameter",
        "The parameter is invalid.",
        "a 400 for a wrong value whose code begins with `InternalError`",
    ),
    "internal-400": _internal(400, "InternalError", "An internal error has occurred.", "a 400 `InternalError`"),
    "internal-429": _internal(429, "InternalError.Algo", "Too many requests.", "a 429 `InternalError.Algo`"),
    "redirect": redirected(),
    "redirect-302": redirected(status=302),
}
"""By name."""
