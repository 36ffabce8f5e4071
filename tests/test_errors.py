"""The tree of errors and what each of them says."""

from __future__ import annotations

import pickle
import re
import time
from copy import copy
from typing import Any

import pytest

from happyhorse_async import errors
from happyhorse_async.errors import (
    AuthenticationError,
    HappyHorseError,
    InvalidRequestError,
    InvalidResponseError,
    ProviderError,
    RateLimitError,
    SubmitOutcomeUnknownError,
    TaskCanceledError,
    TaskError,
    TaskExpiredError,
    TaskFailedError,
    TransportError,
    UnsupportedFeatureError,
    WaitTimeoutError,
)
from happyhorse_async.task import FailureReason, Task, TaskFailure, TaskRef, TaskStatus

REF = TaskRef("main", "1")
TASK = Task(
    ref=REF,
    status=TaskStatus.FAILED,
    error=TaskFailure(code="E1", message="no", reason=FailureReason.TIMEOUT),
    request_id="r1",
)


def _examples() -> list[HappyHorseError]:
    needed: dict[type, dict[str, Any]] = {
        UnsupportedFeatureError: {"feature": "seed", "alternatives": ("b",)},
        TransportError: {"sent": True, "retryable": False},
        RateLimitError: {"retry_after": 5.0},
        ProviderError: {"retry_after": 5.0, "not_accepted": True},
        InvalidResponseError: {"path": "output.task_id"},
        WaitTimeoutError: {"task": TASK},
    }
    facts: dict[str, Any] = {
        "provider": "main",
        "job_id": "j1",
        "status_code": 418,
        "code": "E1",
        "request_id": "r1",
        "ref": REF,
    }
    found: list[HappyHorseError] = []
    for name in errors.__all__:
        cls = getattr(errors, name)
        task_error = issubclass(cls, TaskError)
        found.append(cls("oh", task=TASK, job_id="j1") if task_error else cls("oh", **facts, **needed.get(cls, {})))
    return found


def test_the_tree() -> None:
    """The tree drawn in the module's docstring is the tree there is."""
    drawn: dict[str, str] = {}
    above = ["Exception"]
    for line in (errors.__doc__ or "").splitlines():
        found = re.fullmatch(r" {4}(?P<branch>[│├└─ ]*)(?P<name>\w+Error)( \(.*\))?", line)
        if found:
            depth = len(found["branch"]) // 4
            above[depth + 1 :] = [found["name"]]
            drawn[found["name"]] = above[depth]

    assert {name: getattr(errors, name).__bases__[0].__name__ for name in errors.__all__} == drawn
    assert 22 <= len(drawn)


def test_a_timeout_is_a_timeout() -> None:
    """Whoever catches Python's own timeout catches ours."""

    assert issubclass(WaitTimeoutError, TimeoutError)


def test_a_sentence_with_all_its_facts() -> None:
    """The text has the sentence first and then every fact that is known, by name."""
    error = AuthenticationError("no", provider="main", status_code=401, code="E1", request_id="r1", job_id="j1")

    assert "no (provider main, HTTP 401, code E1, request id r1, job j1)" == str(error)
    assert "no" == error.message
    assert ("main", 401, "E1", "r1", "j1", None) == (
        error.provider,
        error.status_code,
        error.code,
        error.request_id,
        error.job_id,
        error.ref,
    )


def test_a_sentence_alone() -> None:
    """Without facts there is the sentence and nothing else."""

    assert "no" == str(InvalidRequestError("no"))


def test_a_ref_says_the_provider() -> None:
    """A ref has the provider's name in it, which is then not said twice."""
    error = InvalidRequestError("no", ref=REF)

    assert "main" == error.provider
    assert "no (task main:1)" == str(error)


def test_what_is_known_later() -> None:
    """The task and the job are put on an error by whoever knows them, and never replaced."""
    error = ProviderError("no")

    assert error is error.about(ref=REF, job_id="j1")
    assert (REF, "j1", "main") == (error.ref, error.job_id, error.provider)
    error.about(ref=TaskRef("other", "2"), job_id="j2")
    assert (REF, "j1", "main") == (error.ref, error.job_id, error.provider)


@pytest.mark.parametrize("error", _examples(), ids=lambda error: type(error).__name__)
def test_no_error_shows_a_secret(error: HappyHorseError) -> None:
    """Once masked, no error shows the key in any form, and none ever shows a signature or a control character."""
    key, url = "sk-c4n4ry", "https://a.example/i.png?Signature=c4n4ry"
    state = error.__dict__
    state.update(code=f"{key}\x1b", request_id=f"{key}{url}")
    error.args = (f"{key} {url} \x1b[31m",)
    error.mask(key)

    for shown in (str(error), repr(error), repr(error.args), f"{error.code}{error.request_id}"):
        assert "c4n4ry" not in shown
        assert "\x1b" not in shown


def test_a_sentence_is_cleaned_from_the_start() -> None:
    """Also without masking, a signature and a control character are taken out of the sentence and the facts."""
    error = InvalidRequestError("bad \x1b[31m https://a.example/i.png?x=c4n4ry", code="https://a.example/?x=c4n4ry")

    assert r"bad \x1b[31m https://a.example/i.png?*** (code https://a.example/?***)" == str(error)
    assert "c4n4ry" not in repr(error)


@pytest.mark.parametrize("error", _examples(), ids=lambda error: type(error).__name__)
def test_errors_travel(error: HappyHorseError) -> None:
    """A copied or pickled error is of the same class, says the same and knows the same."""
    for travelled in (copy(error), pickle.loads(pickle.dumps(error))):
        assert type(error) is type(travelled)
        assert error is not travelled
        assert str(error) == str(travelled)
        assert error.args == travelled.args
        assert error.__dict__ == travelled.__dict__


def test_a_copy_is_an_error_of_its_own() -> None:
    """What is put on a copy does not reach the original."""
    error = ProviderError("no")
    copy(error).about(ref=REF)

    assert None is error.ref


def test_who_else_can() -> None:
    """An unsupported feature is named, and so are the providers that have it."""
    error = UnsupportedFeatureError("hiapi has no seed", feature="seed", provider="hiapi")

    assert "hiapi has no seed (provider hiapi)" == str(error)
    error.alternatives = ("dashscope", "imini")
    assert "hiapi has no seed (provider hiapi); providers that can: dashscope, imini" == str(error)
    assert "seed" == error.feature


def test_where_an_answer_is_broken() -> None:
    """An answer that cannot be understood is named with the path to the field, where there is one."""

    assert "no text (at output.task_id)" == str(InvalidResponseError("no text", path="output.task_id"))
    assert "no text" == str(InvalidResponseError("no text"))


@pytest.mark.parametrize("cls", [TaskFailedError, TaskCanceledError, TaskExpiredError])
def test_a_task_error_has_the_task(cls: type[TaskError]) -> None:
    """The last observation, its ref, the provider's code and request id are on the error."""
    error = cls("the task failed", task=TASK, job_id="j1")

    assert TASK is error.task
    assert (REF, "main", "j1", "E1", "r1") == (
        error.ref,
        error.provider,
        error.job_id,
        error.code,
        error.request_id,
    )
    assert "the task failed (code E1, request id r1, task main:1, job j1)" == str(error)


def test_why_a_task_failed() -> None:
    """The reason is at hand, also where the provider gave none."""
    silent = Task(ref=REF, status=TaskStatus.FAILED)

    assert FailureReason.TIMEOUT is TaskFailedError("no", task=TASK).reason
    assert FailureReason.UNKNOWN is TaskFailedError("no", task=silent).reason
    assert None is TaskFailedError("no", task=silent).code


def test_when_to_come_back_is_said() -> None:
    """A limit that is reached says when to try again, where the provider does."""
    assert "too many (provider main); try again in 3600 s" == str(
        RateLimitError("too many", retry_after=3600.0, provider="main")
    )
    assert "too many (provider main)" == str(RateLimitError("too many", provider="main"))


def test_what_errors_know_of_a_submit() -> None:
    """Whether something was sent, whether another try may help and when, are plain attributes."""

    assert (True, True) == (TransportError("no", sent=True).sent, TransportError("no", sent=True).retryable)
    assert not TransportError("no", sent=False, retryable=False).retryable
    assert None is RateLimitError("no").retry_after
    assert 5.0 == RateLimitError("no", retry_after=5.0).retry_after
    assert not ProviderError("no").not_accepted
    assert ProviderError("no", not_accepted=True).not_accepted
    assert None is SubmitOutcomeUnknownError("no").ref


HTTP_STATUS = {
    "AuthenticationError": 503,
    "CallbackRejectedError": 401,
    "ConfigurationError": 503,
    "ContentRejectedError": 422,
    "DownloadError": 502,
    "HappyHorseError": 502,
    "InvalidRequestError": 422,
    "InvalidResponseError": 502,
    "PermissionDeniedError": 503,
    "ProviderError": 502,
    "QuotaExceededError": 503,
    "BudgetExceededError": 402,
    "RateLimitError": 429,
    "StoreError": 503,
    "SubmitOutcomeUnknownError": 502,
    "TaskCanceledError": 409,
    "TaskError": 502,
    "TaskExpiredError": 410,
    "TaskFailedError": 502,
    "TaskNotFoundError": 404,
    "TransportError": 502,
    "UnsupportedFeatureError": 422,
    "WaitTimeoutError": 504,
}


@pytest.mark.parametrize("error", _examples(), ids=lambda error: type(error).__name__)
def test_each_error_has_a_status_for_a_web_handler(error: HappyHorseError) -> None:
    """A web handler may answer its own user with the status of the error, whatever the provider answered."""
    assert HTTP_STATUS.get(type(error).__name__, 502) == error.http_status
    assert error.http_status == copy(error).http_status


@pytest.mark.parametrize("reason", FailureReason)
def test_a_failed_task_is_the_users_fault_or_the_providers(reason: FailureReason) -> None:
    """A request or content that made the task fail is a 422, everything else a 502."""
    task = Task(ref=REF, status=TaskStatus.FAILED, error=TaskFailure(reason=reason))
    of_the_user = reason in (FailureReason.INVALID_REQUEST, FailureReason.CONTENT_REJECTED)

    assert (422 if of_the_user else 502) == TaskFailedError("no", task=task).http_status


@pytest.mark.parametrize("status", [400, 401, 408, 413, 415])
def test_a_rejected_callback_has_the_status_for_its_sender(status: int) -> None:
    """The status is the one that was given, also on a copy."""
    error = errors.CallbackRejectedError("no", http_status=status)

    assert status == error.http_status == pickle.loads(pickle.dumps(error)).http_status


def test_a_message_of_any_length_is_cut_before_it_is_redacted() -> None:
    """A megabyte of slashes in a provider's message does not hold up the event loop."""
    began = time.thread_time()

    error = HappyHorseError("//" * 500_000)

    assert time.thread_time() - began < 0.5
    assert len(str(error)) < 20_000
