"""What a failure of the paid request means: whether the provider may have accepted it, and which error says so."""

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
from ..task import Task, TaskRef


class RefusedUploadError(InvalidRequestError):
    """The storage of an account, or what permits to use it, has refused a file. Nothing paid was sent."""


def is_ambiguous(error: HappyHorseError) -> bool:
    """Return whether the provider may have accepted the request in spite of *error*."""
    match error:
        case TransportError():
            return error.sent
        case ProviderError():
            return not error.not_accepted
        case InvalidResponseError():
            # A redirect was not followed, and the server that sent it did not do the work.
            return not 300 <= (error.status_code or 0) < 400
        case _:
            return False


def is_busy(error: HappyHorseError) -> bool:
    """Return whether the provider is still processing the same idempotency key."""
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
    Return the error for a job of unknown outcome.

    :param cause: what happened to its request.
    :param found: what a search for its task has found, in a sentence.
    """
    found = f" {found}" if found else ""
    error = SubmitOutcomeUnknownError(
        "the paid request was sent and its outcome is unknown; it is not sent again, because that may pay twice. "
        f"Settle it with resolve({job_id!r}).{found} What happened: {cause.message}",
        **_facts(cause),
    ).about(job_id=job_id)
    error.__cause__ = cause
    return error


def not_accepted(job_id: str) -> HappyHorseError:
    """Return the error for a job whose client was closed before it was accepted."""
    return TransportError("the client was closed before the job was accepted", sent=False, job_id=job_id)


def closed_meanwhile(task: Task | None, ref: TaskRef | None, job_id: str) -> WaitTimeoutError:
    """Return the error for a call that began before the client was closed, and must not start new work after it."""
    return WaitTimeoutError("the client was closed while the job was going on", task=task, ref=ref, job_id=job_id)


def unreadable(cause: Exception, provider: str) -> InvalidResponseError:
    """Return the error for a response that the library failed to process."""
    error = InvalidResponseError(f"the response cannot be processed: {type(cause).__name__}", provider=provider)
    error.__cause__ = cause
    return error


def certain(error: HappyHorseError) -> HappyHorseError:
    """Return what a refusal means for a submit."""
    if not isinstance(error, TaskNotFoundError):
        return error
    # A submit names no task: the URL itself was not found, or something that the request refers to.
    return InvalidRequestError(
        f"the submit URL was not found; check the base URL, region and workspace: {error.message}",
        **_facts(error),
    )
