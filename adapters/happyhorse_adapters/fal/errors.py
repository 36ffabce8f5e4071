"""
The errors of fal.

There are two forms: the platform's, with an `error_type` (https://fal.ai/docs/documentation/model-apis/request-errors),
and a model's, whose `detail` is a list (https://docs.fal.ai/errors). `detail` may also be no more than a text. The
types of both also say why a run has failed: in a status, in the answer to the request for the result, and in a webhook.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import define, frozen

from happyhorse_async.adapter import Account
from happyhorse_async.adapter_kit import (
    ErrorClass,
    Lax,
    class_by_status,
    error_from_response,
    failure_reason,
    is_code,
    read_object,
    read_refusal,
    structure,
    task_failure,
)
from happyhorse_async.errors import (
    ContentRejectedError,
    HappyHorseError,
    InvalidRequestError,
    PermissionDeniedError,
    ProviderError,
    QuotaExceededError,
    RateLimitError,
    TaskNotFoundError,
)
from happyhorse_async.messages import HttpResponse
from happyhorse_async.task import FailureReason, TaskFailure, TaskStatus

CALL_ID = "x-fal-request-id"

# Only these are told apart by their type; of all others the status says enough.
_ERRORS: dict[str, ErrorClass] = {
    "content_policy_violation": ContentRejectedError,
    "bad_request": InvalidRequestError,
}

_REASONS = {
    "content_policy_violation": FailureReason.CONTENT_REJECTED,
    "bad_request": FailureReason.INVALID_REQUEST,
    "request_timeout": FailureReason.TIMEOUT,
    "startup_timeout": FailureReason.TIMEOUT,
    "internal_error": FailureReason.PROVIDER_FAULT,
    "runner_server_error": FailureReason.PROVIDER_FAULT,
    "runner_incomplete_response": FailureReason.PROVIDER_FAULT,
    "runner_scheduling_failure": FailureReason.PROVIDER_FAULT,
    "runner_connection_timeout": FailureReason.PROVIDER_FAULT,
    "runner_disconnected": FailureReason.PROVIDER_FAULT,
    "runner_connection_refused": FailureReason.PROVIDER_FAULT,
    "runner_connection_error": FailureReason.PROVIDER_FAULT,
}
_CANCELED = frozenset({"client_cancelled", "client_disconnected"})

# Seen in users' reports: https://github.com/fal-ai/fal/issues/1112
_LOCKED = re.compile(r"user is locked", re.IGNORECASE)
_NO_MONEY = re.compile(r"exhausted balance|top_up", re.IGNORECASE)
# "Invalid status code: 422" in a webhook, https://docs.fal.ai/model-endpoints/webhooks
_STATUS = re.compile(r"status code:? ?([45][0-9]{2})\b", re.IGNORECASE)


@define(kw_only=True)
class _WireProblem:
    """An entry of `detail`. Its `input` repeats what was sent, pictures included, and is never read."""

    loc: Lax[list[Any]] = None
    msg: Lax[str] = None
    type: Lax[str] = None

    @property
    def sentence(self) -> str:
        place = ".".join(str(part) for part in self.loc or () if part != "body")
        return ": ".join(filter(None, (place, self.msg)))


@define(kw_only=True)
class _WireRefusal:
    detail: Lax[list[Lax[_WireProblem]]] = None
    error_type: Lax[str] = None


@frozen(kw_only=True)
class Problem:
    """What an answer of fal says is wrong."""

    code: str | None = None
    """The type: of the platform, or of the first entry of a model's list."""
    message: str | None = None
    is_of_model: bool = False
    """Whether it is a model's list."""
    is_typed: bool = False
    """Whether it has a type, wherever that stands."""
    is_final: bool = False
    """Whether a model says that the same request would fail again."""

    @property
    def is_own(self) -> bool:
        """Whether it is fal's word, and not a page of something in between."""
        return bool(self.message or self.is_typed)

    @property
    def tells_of_run(self) -> bool:
        """Whether it says why a run has failed; otherwise it may be about the call alone."""
        return self.is_of_model or self.is_typed or self.is_final

    @property
    def is_cancellation(self) -> bool:
        """Whether it is the end of a cancelled run."""
        return self.code in _CANCELED


def problem_in(answer: Mapping[str, Any], headers: Mapping[str, str]) -> Problem:
    """
    Read what is wrong from an object with a `detail`.

    The type is in `error_type`, else in the header `X-Fal-Error-Type`, else in the first entry of `detail`.
    """
    wire = structure(answer, _WireRefusal)
    entries = [entry for entry in wire.detail or () if entry is not None]
    # A gateway's own format has a `detail` and a `title`: https://www.rfc-editor.org/rfc/rfc9457#section-3
    text = None if "title" in answer else answer.get("detail")
    sentences = [entry.sentence for entry in entries if entry.sentence]
    message = text.strip() if isinstance(text, str) else "; ".join(sentences)
    typed = next((code for code in (wire.error_type, headers.get("x-fal-error-type")) if is_code(code)), None)
    code = typed or next((entry.type for entry in entries if is_code(entry.type)), None)
    # Two copies of the page have two names for it. "true" never makes a paid request repeat.
    hints = [headers.get(name, "").strip().lower() for name in ("x-fal-retryable", "x-fal-needs-retry")]
    return Problem(
        code=code, message=message or None, is_of_model=any(entry.type or entry.msg for entry in entries),
        is_typed=typed is not None,
        is_final=bool(message) and "false" in hints,
    )  # fmt: skip


def read(response: HttpResponse, account: Account, *, is_submit: bool = False) -> Mapping[str, Any]:
    """
    Read the object of an answer.

    :raises HappyHorseError: the answer is a refusal.
    """
    answer = read_object(response) if response.ok else read_refusal(response)
    problem = problem_in(answer, response.headers)
    if response.ok and (answer.get("request_id") or not problem.tells_of_run):
        return answer
    raise refusal(problem, response, account, is_submit=is_submit)


def refusal(problem: Problem, response: HttpResponse, account: Account, *, is_submit: bool = False) -> HappyHorseError:
    """
    Return the error that a refusal means.

    No 5xx is documented as one that comes before acceptance, and there is no idempotency key: a submit with one stays
    open, whatever fal's own clients do.
    """
    return error_from_response(
        _class_of(problem, response.status, is_submit=is_submit) if problem.is_own else None,
        problem.message,
        response=response,
        account=account,
        code=problem.code,
        request_id=response.headers.get(CALL_ID),
    )


def _class_of(problem: Problem, status: int, *, is_submit: bool) -> ErrorClass:
    known = _ERRORS.get(problem.code or "")
    if known is not None and status < 500:
        return known
    if status < 400:
        # An error with a status of success: nothing but a bad input is a certain refusal.
        return InvalidRequestError if problem.is_of_model else ProviderError
    cls = class_by_status(status)
    text = problem.message or ""
    if cls is PermissionDeniedError and _LOCKED.search(text) and _NO_MONEY.search(text):
        return QuotaExceededError
    if status in (404, 410):
        # A submit names no task, but a model.
        return InvalidRequestError if is_submit else TaskNotFoundError
    return ProviderError if status == 409 and not is_submit else cls


def may_tell_of_run(problem: Problem, status: int) -> bool:
    """Return whether a refusal of the request for a result is the end of the run: its status is then the run's."""
    if status in (401, 429) or not problem.tells_of_run:
        return False
    return problem.is_of_model or status not in (403, 404, 410)


def is_canceled(problem: Problem, status: int) -> bool:
    """Return whether an answer about a task says that it was cancelled. A 499 may be all that is left of it."""
    return problem.is_cancellation or (status == 499 and problem.is_own)


def failure(problem: Problem, account: Account, *, status: int | None = None) -> TaskFailure:
    """
    Return why a run has failed.

    :param status: its HTTP status, if that is known.
    """
    return task_failure(_reason(problem, status), problem.message or problem.code, account=account, code=problem.code)


def _reason(problem: Problem, status: int | None) -> FailureReason:
    known = _REASONS.get(problem.code or "")
    if known is not None:
        return known
    named = _STATUS.search(problem.message or "")
    status = status or (int(named[1]) if named else None)
    if status == 504:
        return FailureReason.TIMEOUT
    if status is not None:
        return failure_reason(_class_by_run(status))
    return FailureReason.INVALID_REQUEST if problem.is_of_model else FailureReason.UNKNOWN


def _class_by_run(status: int) -> ErrorClass:
    cls = class_by_status(status)
    return (
        cls if cls in (QuotaExceededError, RateLimitError, InvalidRequestError, ProviderError) else InvalidRequestError
    )


def ended_as(problem: Problem, account: Account, *, status: int | None = None) -> tuple[TaskStatus, TaskFailure]:
    """Return how a run has ended that did not succeed, and why."""
    canceled = problem.is_cancellation or status == 499
    return TaskStatus.CANCELED if canceled else TaskStatus.FAILED, failure(problem, account, status=status)
