"""What a failure of the paid request means: whether it may have been taken, and how that is said."""

from __future__ import annotations

from ..errors import (
    Facts,
    HappyHorseError,
    InvalidRequestError,
    InvalidResponseError,
    ProviderError,
    SubmitOutcomeUnknownError,
    TaskNotFoundError,
    TransportError,
    WaitTimeoutError,
)
from ..job import Job
from ..task import Task, TaskRef


def is_ambiguous(error: HappyHorseError) -> bool:
    """Tell whether the provider may have taken the request all the same."""
    match error:
        case TransportError():
            return error.sent
        case ProviderError():
            return not error.not_accepted
        case InvalidResponseError():
            # A redirect came from somebody who did not do the work.
            return not 300 <= (error.status_code or 0) < 400
        case _:
            return False


def is_busy(error: HappyHorseError) -> bool:
    """Tell whether the provider is at work on the same idempotency key."""
    return isinstance(error, ProviderError) and error.status_code == 409 and is_ambiguous(error)


def _facts(error: HappyHorseError) -> Facts:
    return Facts(
        provider=error.provider,
        job_id=error.job_id,
        status_code=error.status_code,
        code=error.code,
        request_id=error.request_id,
    )


def outcome_unknown(cause: HappyHorseError, job_id: str, found: str = "") -> SubmitOutcomeUnknownError:
    """
    Make the error for a job of unknown outcome.

    :param cause: what happened to its request.
    :param found: what a search for its task has found, in a sentence.
    """
    found = f" {found}" if found else ""
    error = SubmitOutcomeUnknownError(
        "the paid request was sent and its outcome is unknown; it is not sent again, since that may pay twice. "
        f"Settle it with resolve({job_id!r}).{found} What happened: {cause.message}",
        **_facts(cause),
    ).about(job_id=job_id)
    error.__cause__ = cause
    return error


def not_accepted(job_id: str) -> HappyHorseError:
    """Make the error for a job whose client was closed before it was accepted."""
    return TransportError("the client was closed before the job was accepted", sent=False, job_id=job_id)


def closed_meanwhile(task: Task | None, ref: TaskRef | None, job_id: str) -> WaitTimeoutError:
    """Make the error for who has asked for a job before the client was closed, and would set something going after."""
    return WaitTimeoutError("the client was closed while the job was going on", task=task, ref=ref, job_id=job_id)


def still_unknown(job: Job) -> SubmitOutcomeUnknownError:
    """Make the error for a job that was found with an outcome nobody knows."""
    return SubmitOutcomeUnknownError(
        f"the outcome of this job is unknown; settle it with resolve({job.job_id!r}). {job.failure or ''}".strip(),
        provider=job.endpoint.provider,
        job_id=job.job_id,
    )


def unreadable(cause: Exception, provider: str) -> InvalidResponseError:
    """Make the error for an answer over which the library itself has stumbled."""
    error = InvalidResponseError(f"the answer cannot be handled: {type(cause).__name__}", provider=provider)
    error.__cause__ = cause
    return error


def certain(error: HappyHorseError) -> HappyHorseError:
    """Say of a refusal what it means for a submit."""
    if not isinstance(error, TaskNotFoundError):
        return error
    # A submit names no task, so what was not found is the place itself or something the request refers to.
    return InvalidRequestError(
        f"nothing was found to take the request, check the base URL, region and workspace: {error.message}",
        **_facts(error),
    )
