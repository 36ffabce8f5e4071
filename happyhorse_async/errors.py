"""
All errors of the library, grouped by their meaning for the caller.

    HappyHorseError
    ├── ConfigurationError
    ├── UnsupportedFeatureError
    ├── BudgetExceededError
    ├── InvalidRequestError
    ├── ContentRejectedError
    ├── AuthenticationError
    ├── PermissionDeniedError
    ├── QuotaExceededError
    ├── RateLimitError
    ├── TaskNotFoundError
    ├── ProviderError
    ├── TransportError
    ├── InvalidResponseError
    ├── SubmitOutcomeUnknownError
    ├── TaskError
    │   ├── TaskFailedError
    │   ├── TaskCanceledError
    │   └── TaskExpiredError
    ├── WaitTimeoutError (also a TimeoutError)
    ├── DownloadError
    ├── StoreError
    └── CallbackRejectedError

Exceptions carry objects; `str()` builds the sentence from them. None carries an API key or a signed URL. Each has an
`http_status` for a web handler's own response.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Self, TypedDict, Unpack

from .messages import HttpResponse
from .redaction import redact_text
from .task import FailureReason, Task, TaskRef

__all__ = [
    "AuthenticationError",
    "BudgetExceededError",
    "CallbackRejectedError",
    "ConfigurationError",
    "ContentRejectedError",
    "DownloadError",
    "HappyHorseError",
    "InvalidRequestError",
    "InvalidResponseError",
    "PermissionDeniedError",
    "ProviderError",
    "QuotaExceededError",
    "RateLimitError",
    "StoreError",
    "SubmitOutcomeUnknownError",
    "TaskCanceledError",
    "TaskError",
    "TaskExpiredError",
    "TaskFailedError",
    "TaskNotFoundError",
    "TransportError",
    "UnsupportedFeatureError",
    "WaitTimeoutError",
]


_LONGEST_MESSAGE = 10_000
"""In characters. Providers choose the text, and redaction takes linear time."""


class Facts(TypedDict, total=False):
    """The attributes that any error may carry; see `HappyHorseError`."""

    provider: str | None
    ref: TaskRef | None
    job_id: str | None
    status_code: int | None
    code: str | None
    request_id: str | None


class HappyHorseError(Exception):
    """
    Base class of all errors that this library raises.

    :param message: the sentence, without the facts below, which `str()` adds.
    :param provider: the configuration section's or adapter's name.
    :param ref: the task, once it has an id; use it to resume.
    :param job_id: our own id of the job, once a submit has begun.
    :param status_code: the HTTP status of the provider's response.
    :param code: the provider's own code.
    :param request_id: the provider's id of the call, to quote to its support.
    """

    _http_status: int = 502

    def __init__(self, message: str, **facts: Unpack[Facts]) -> None:
        super().__init__(redact_text(message[:_LONGEST_MESSAGE]))
        self.ref = facts.get("ref")
        self.provider = facts.get("provider") or (self.ref.provider if self.ref else None)
        self.job_id = facts.get("job_id")
        self.status_code = facts.get("status_code")
        self.code = facts.get("code")
        self.request_id = facts.get("request_id")

    @property
    def message(self) -> str:
        """The sentence without the facts."""
        return str(self.args[0])

    @property
    def http_status(self) -> int:
        """
        The HTTP status for a web handler's response to its own user.

        402 the budget, 404 not found, 410 expired, 409 cancelled, 422 an invalid, unsupported or rejected request, 429
        the rate limit, 503 our key, our money, our configuration or our store, 504 a wait that timed out, and 502 for
        everything else at the provider or on the way to it. Never 401 or 403, which would blame the user.
        """
        return self._http_status

    def mask(self, *secrets: str) -> Self:
        """Mask *secrets* in all text from the provider, in case it echoed one."""
        self.args = (redact_text(self.message, *secrets),)
        self.code = self.code and redact_text(self.code, *secrets)
        self.request_id = self.request_id and redact_text(self.request_id, *secrets)
        return self

    def about(self, *, ref: TaskRef | None = None, job_id: str | None = None) -> Self:
        """Fill in the task or job of the error, unless they are already set."""
        self.ref = self.ref or ref
        self.job_id = self.job_id or job_id
        self.provider = self.provider or (ref.provider if ref else None)
        return self

    def __reduce__(self) -> tuple[object, ...]:
        # An exception is pickled and copied by calling its class with `args`, which lacks the keyword arguments.
        return _revive, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        facts = {
            "provider": None if self.ref else self.provider,
            "HTTP": self.status_code,
            "code": self.code,
            "request id": self.request_id,
            "task": self.ref,
            "job": self.job_id,
        }
        known = ", ".join(f"{name} {redact_text(str(fact))}" for name, fact in facts.items() if fact is not None)
        return f"{self.message} ({known})" if known else self.message


def _revive(cls: type[HappyHorseError], args: tuple[object, ...], state: dict[str, object]) -> HappyHorseError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(HappyHorseError):
    """No provider, no key, a bad file or a misspelt option. Names the setting and where it is."""

    _http_status = 503


class UnsupportedFeatureError(HappyHorseError):
    """
    The provider cannot express the request. Raised before anything is sent.

    :param feature: the missing feature, in a few words.
    :param alternatives: the providers that can express it.
    """

    _http_status = 422

    def __init__(
        self, message: str, *, feature: str, alternatives: tuple[str, ...] = (), **facts: Unpack[Facts]
    ) -> None:
        super().__init__(message, **facts)
        self.feature = feature
        self.alternatives = alternatives

    def __str__(self) -> str:
        sentence = super().__str__()
        return f"{sentence}; providers that can: {', '.join(self.alternatives)}" if self.alternatives else sentence


class BudgetExceededError(HappyHorseError):
    """
    The job may cost more than the budget has left, or its price is not known. Nothing was sent.

    :param limit: the limit that would be exceeded; `None` if the price is not known or in another currency.
    :param left: the amount left of it.
    :param currency: the currency of both, or of the price.
    """

    _http_status = 402

    def __init__(
        self,
        message: str,
        *,
        limit: Decimal | None = None,
        left: Decimal | None = None,
        currency: str | None = None,
        **facts: Unpack[Facts],
    ) -> None:
        super().__init__(message, **facts)
        self.limit = limit
        self.left = left
        self.currency = currency


class InvalidRequestError(HappyHorseError):
    """A value outside the documented range (found locally, nothing sent), or the provider's refusal of the request."""

    _http_status = 422


class ContentRejectedError(HappyHorseError):
    """Moderation refused the prompt or an input."""

    _http_status = 422


class AuthenticationError(HappyHorseError):
    """The API key is missing, wrong, revoked, or of another region."""

    _http_status = 503


class PermissionDeniedError(HappyHorseError):
    """The key is valid but may not do this: a model, a workspace, an account that is not activated."""

    _http_status = 503


class QuotaExceededError(HappyHorseError):
    """Money, credits or an allocation has run out. Waiting does not help."""

    _http_status = 503


class RateLimitError(HappyHorseError):
    """
    Too many requests or tasks at once. The provider accepted nothing.

    :param retry_after: seconds to wait, where the provider says so.
    """

    _http_status = 429

    def __init__(self, message: str, *, retry_after: float | None = None, **facts: Unpack[Facts]) -> None:
        super().__init__(message, **facts)
        self.retry_after = retry_after

    def __str__(self) -> str:
        sentence = super().__str__()
        return sentence if self.retry_after is None else f"{sentence}; try again in {self.retry_after:g} s"


class TaskNotFoundError(HappyHorseError):
    """The provider does not know the id: it never did, or has forgotten it."""

    _http_status = 404


class ProviderError(HappyHorseError):
    """
    The provider's fault: a 5xx or an equivalent code, on a query, or on a submit that was certainly not accepted.

    :param retry_after: seconds to wait, where the provider says so.
    :param not_accepted: whether the provider documents this response as one that it sends only before it accepts a
        submit.
    :param retryable: whether the same submit may be accepted a moment later; `None`, the default, decides by the
        status: a 5xx is temporary, a 4xx is not.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        not_accepted: bool = False,
        retryable: bool | None = None,
        **facts: Unpack[Facts],
    ) -> None:
        super().__init__(message, **facts)
        self.retry_after = retry_after
        self.not_accepted = not_accepted
        self.retryable = retryable


class TransportError(HappyHorseError):
    """
    No answer: DNS, connection refused, TLS, reset, timeout.

    :param sent: whether any part of the request may have reached the other side.
    :param retryable: whether another attempt may succeed: not after an invalid certificate.
    """

    def __init__(self, message: str, *, sent: bool, retryable: bool = True, **facts: Unpack[Facts]) -> None:
        super().__init__(message, **facts)
        self.sent = sent
        self.retryable = retryable
        self.received: HttpResponse | None = None
        """The received part of a response that broke off. Set by the transport and removed by the exchange."""


class InvalidResponseError(HappyHorseError):
    """
    A response that cannot be understood.

    :param path: the path of the field in the response, such as `output.task_id`; empty for the response as a whole.
    """

    def __init__(self, message: str, *, path: str = "", **facts: Unpack[Facts]) -> None:
        super().__init__(f"{message} (at {path})" if path else message, **facts)
        self.path = path


class SubmitOutcomeUnknownError(HappyHorseError):
    """
    The paid POST was sent and no readable response came. The provider may have accepted it. Never resent silently.

    `__cause__` is the original error.
    """


_FAULTS_OF_REQUEST = (FailureReason.INVALID_REQUEST, FailureReason.CONTENT_REJECTED)


class TaskError(HappyHorseError):
    """
    The task ended without a video.

    :param task: the last observation; `None` for a job that was withdrawn before there was a task.
    """

    def __init__(self, message: str, *, task: Task | None = None, job_id: str | None = None) -> None:
        super().__init__(
            message,
            ref=task.ref if task else None,
            job_id=job_id,
            code=task.error.code if task and task.error else None,
            request_id=task.request_id if task else None,
        )
        self.task = task


class TaskFailedError(TaskError):
    """The provider reported the task as failed, or as a success without a video."""

    @property
    def http_status(self) -> int:
        """422 where the request or its content was the reason, else 502."""
        return 422 if self.reason in _FAULTS_OF_REQUEST else 502

    @property
    def reason(self) -> FailureReason:
        """The reason, in provider-neutral terms."""
        return self.task.error.reason if self.task and self.task.error else FailureReason.UNKNOWN


class TaskCanceledError(TaskError):
    """The task was cancelled at the provider, or the job was withdrawn before it was sent: then without a task."""

    _http_status = 409


class TaskExpiredError(TaskError):
    """The provider no longer knows the task, or its lifetime is over."""

    _http_status = 410


class WaitTimeoutError(HappyHorseError, TimeoutError):
    """
    The timeout of a wait is over, or the client was closed. The task goes on, and `ref` resumes it.

    :param task: the last observation, if there was one.
    """

    _http_status = 504

    def __init__(self, message: str, *, task: Task | None = None, **facts: Unpack[Facts]) -> None:
        super().__init__(message, **facts)
        self.task = task


class DownloadError(HappyHorseError):
    """The video could not be downloaded. The target is unchanged."""


class StoreError(HappyHorseError):
    """The journal cannot be read or written. Names the file, and carries the ref of a paid task if there is one."""

    _http_status = 503


class CallbackRejectedError(HappyHorseError):
    """
    A callback that is forged, stale, too large or malformed. It has changed nothing.

    :param http_status: the status of the response to the sender: 400, 401, 408, 413 or 415.
    :param fits_no_key: whether the signature matches none of the provider's published keys, so that newer keys may
        match.
    """

    def __init__(
        self, message: str, *, http_status: int = 401, fits_no_key: bool = False, **facts: Unpack[Facts]
    ) -> None:
        super().__init__(message, **facts)
        self._http_status = http_status
        self.fits_no_key = fits_no_key
