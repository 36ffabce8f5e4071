"""The exit codes of `happyhorse`."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from ..errors import (
    AuthenticationError,
    BudgetExceededError,
    ConfigurationError,
    ContentRejectedError,
    DownloadError,
    HappyHorseError,
    InvalidRequestError,
    InvalidResponseError,
    PermissionDeniedError,
    ProviderError,
    QuotaExceededError,
    RateLimitError,
    StoreError,
    SubmitOutcomeUnknownError,
    TaskError,
    TaskNotFoundError,
    TransportError,
    UnsupportedFeatureError,
    WaitTimeoutError,
)


class ExitCode(IntEnum):
    """How a run of `happyhorse` ended."""

    OK = 0
    """Done."""
    UNEXPECTED = 1
    """An unexpected error."""
    BAD_INPUT = 2
    """
    Bad arguments, configuration or batch file, a journal that cannot be used, or a request that the provider does not
    support. Nothing was sent.
    """
    REFUSED = 3
    """Refused by the provider: key, permission, quota, rate limit, moderation, request, or an unknown task."""
    TASK_ENDED = 4
    """The task failed, was cancelled or has expired. There will be no video."""
    TIMEOUT = 5
    """The time given with --timeout is over. The task keeps running."""
    FAULT = 6
    """
    A network error, an error of the provider, a submit of unknown outcome, a failed download, or a journal that failed
    after something was sent.
    """
    INTERRUPTED = 130
    """Ctrl-C or SIGTERM. A submitted task keeps running, and its ref was printed."""


_WORST_FIRST = (
    ExitCode.UNEXPECTED,
    ExitCode.FAULT,
    ExitCode.REFUSED,
    ExitCode.BAD_INPUT,
    ExitCode.TASK_ENDED,
    ExitCode.TIMEOUT,
    ExitCode.OK,
)


_BY_ERROR: dict[type[HappyHorseError], ExitCode] = {
    BudgetExceededError: ExitCode.BAD_INPUT,
    ConfigurationError: ExitCode.BAD_INPUT,
    UnsupportedFeatureError: ExitCode.BAD_INPUT,
    InvalidRequestError: ExitCode.BAD_INPUT,
    ContentRejectedError: ExitCode.REFUSED,
    AuthenticationError: ExitCode.REFUSED,
    PermissionDeniedError: ExitCode.REFUSED,
    QuotaExceededError: ExitCode.REFUSED,
    RateLimitError: ExitCode.REFUSED,
    TaskNotFoundError: ExitCode.REFUSED,
    ProviderError: ExitCode.FAULT,
    TransportError: ExitCode.FAULT,
    InvalidResponseError: ExitCode.FAULT,
    SubmitOutcomeUnknownError: ExitCode.FAULT,
    TaskError: ExitCode.TASK_ENDED,
    WaitTimeoutError: ExitCode.TIMEOUT,
    DownloadError: ExitCode.FAULT,
}


def exit_code(error: HappyHorseError, *, sent: bool = False) -> ExitCode:
    """
    Return the code of a run that ended with *error*.

    :param sent: whether anything was submitted before the error.
    """
    if isinstance(error, InvalidRequestError) and error.status_code is not None:
        return ExitCode.REFUSED
    if isinstance(error, StoreError):
        return ExitCode.FAULT if sent or error.ref is not None else ExitCode.BAD_INPUT
    return next((_BY_ERROR[cls] for cls in type(error).__mro__ if cls in _BY_ERROR), ExitCode.UNEXPECTED)


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the code of a run with several results: the worst code."""
    return min(codes, key=_WORST_FIRST.index, default=ExitCode.OK)


EXIT_CODES = "Exit codes: " + "; ".join(
    f"{code.value} {meaning}"
    for code, meaning in {
        ExitCode.OK: "done",
        ExitCode.UNEXPECTED: "unexpected error",
        ExitCode.BAD_INPUT: "bad input or configuration, nothing was sent",
        ExitCode.REFUSED: "refused by the provider",
        ExitCode.TASK_ENDED: "the task failed, was cancelled or has expired",
        ExitCode.TIMEOUT: "timeout, the task keeps running",
        ExitCode.FAULT: "network, provider or journal error, unknown outcome of a submit, or failed download",
        ExitCode.INTERRUPTED: "interrupted, the ref was printed",
    }.items()
)
"""The same for `--help`."""
