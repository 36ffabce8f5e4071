"""The common part of the contract suite: the adapter under test, and ways to call it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

import pytest

from ..adapter import Account, Adapter, PageRequest, Submission, TaskPage
from ..adapter_kit import ErrorClass
from ..emulation import EmulatedAPI
from ..errors import HappyHorseError, InvalidResponseError, ProviderError
from ..messages import HttpRequest, HttpResponse
from ..request import VideoRequest
from ..task import Task, TaskStatus
from .samples import JOB_ID, KEY, PROVIDER

PAGE = PageRequest(size=20)


class Subject:
    """The adapter under test."""

    adapter: ClassVar[Adapter]
    """An instance of the adapter."""
    emulated_api: ClassVar[EmulatedAPI | None] = None
    """The provider's server side. With one, the suite also sends every request to it, and decodes its responses."""
    samples: ClassVar[Mapping[str, Sequence[Any]]] = {}
    """
    Sample responses from the provider's documentation, by operation: `"submit"`, `"fetch"` (about a running, a
    succeeded and a failed task), `"result"` (of a succeeded and a failed task, if results have their own response),
    `"list"` (the last page last) and `"cancel"`. Each is the JSON value of a 200, or an `HttpResponse`. Required
    without an `emulated_api`.
    """
    refusal_samples: ClassVar[Mapping[ErrorClass, HttpResponse]] = {}
    """Refusals from the provider's documentation, by error class."""
    registered: ClassVar[bool] = True
    """Whether adapter and emulated API are installed, under the entry points of their name."""
    options: ClassVar[Mapping[str, Any]] = {}
    """The adapter's own options, if it requires any."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Parametrize each test with every model, operation and fault that it takes as an argument."""
        if "spec" in metafunc.fixturenames:
            models = self.adapter.capabilities.models
            metafunc.parametrize("spec", models, ids=[f"{spec.mode}-{spec.model}" for spec in models])
        if "operation" in metafunc.fixturenames:
            metafunc.parametrize("operation", self.operations)
        if "fault" in metafunc.fixturenames:
            metafunc.parametrize("fault", list(self.emulated_api.refusals) if self.emulated_api else [])

    @property
    def account(self) -> Account:
        """The account to make requests for."""
        return self.adapter.account(provider=PROVIDER, api_key=KEY, options=self.options)

    @property
    def operations(self) -> tuple[str, ...]:
        """The operations that the adapter has."""
        capabilities = self.adapter.capabilities
        lists, can_cancel = ("list",) * capabilities.can_list, ("cancel",) * capabilities.can_cancel
        results = ("result",) * self.tells_results_apart
        return ("submit", "fetch", *results, *lists, *can_cancel)

    @property
    def tells_results_apart(self) -> bool:
        """Whether the result of a task has its own request."""
        return type(self.adapter).decode_result is not Adapter.decode_result

    def submission(self, request: VideoRequest, *, callback_url: str | None = None, job_id: str = JOB_ID) -> Submission:
        """Check *request* and return the submission."""
        spec = self.adapter.check(request, provider=PROVIDER, callback_url=callback_url)
        return Submission(request=request, spec=spec, job_id=job_id, callback_url=callback_url)

    def encoded(self, request: VideoRequest, *, callback_url: str | None = None, job_id: str = JOB_ID) -> HttpRequest:
        """Encode *request*."""
        submission = self.submission(request, callback_url=callback_url, job_id=job_id)
        return self.adapter.encode_submit(submission, self.account)

    def decode(self, operation: str, response: HttpResponse, *, task_id: str = "task-0451") -> object:
        """Decode the response to *operation*."""
        match operation:
            case "submit":
                return self.adapter.decode_submit(response, self.account)
            case "fetch":
                return self.adapter.decode_fetch(response, task_id, self.account)
            case "result":
                ended = Task(ref=self.account.ref(task_id), status=TaskStatus.SUCCEEDED, raw_status="ended")
                return self.adapter.decode_result(response, ended, self.account)
            case "list":
                return self.adapter.decode_list(response, PAGE, self.account)
            case _:
                return self.adapter.decode_cancel(response, self.account)

    def attempt(self, operation: str, response: HttpResponse, what: str = "") -> object:
        """
        Decode a 2xx that may be junk, and return a valid result or the error.

        :param what: the defect of *response*, for the message of a failing test.
        """
        try:
            answer = self.decode(operation, response)
        except (InvalidResponseError, ProviderError) as error:
            answer = error
        except Exception as error:
            raise AssertionError(f"{what}: {error!r}") from error
        assert not getattr(answer, "not_accepted", False), f"{what}: {answer!r} claims that the submit was not accepted"
        if not isinstance(answer, HappyHorseError):
            _assert_sound(answer, what)
        return answer

    def failure(self, operation: str, response: HttpResponse, what: str = "") -> HappyHorseError | None:
        """Decode the response to *operation*, and return its error, if it is an error of this library."""
        try:
            self.decode(operation, response)
        except HappyHorseError as error:
            return error
        except Exception as error:
            raise AssertionError(f"{what}: {error!r}") from error
        return None


_TYPES: dict[str, tuple[type, ...]] = {
    "raw_status": (str,),
    "progress": (int, float),
    "model": (str,),
    "request_id": (str,),
    "created_at": (datetime,),
    "started_at": (datetime,),
    "finished_at": (datetime,),
}


def _assert_sound(answer: object, what: str) -> None:
    match answer:
        case Task():
            _assert_sound_task(answer, what)
        case TaskPage():
            for task in answer.tasks:
                _assert_sound_task(task, what)
        case _:
            assert isinstance(answer, bool), what


def _assert_sound_task(task: Task, what: str) -> None:
    assert task.id.strip(), what
    assert isinstance(task.status, TaskStatus), what
    for name, types in _TYPES.items():
        value = getattr(task, name)
        assert value is None or isinstance(value, types), f"{what}: {name} is {value!r}"
        assert not isinstance(value, datetime) or value.tzinfo is not None, f"{what}: {name} has no zone"
    assert task.progress is None or 0 <= task.progress <= 100, f"{what}: progress is {task.progress}"
    assert all(isinstance(video.url, str) and video.url for video in task.videos), what
    assert task.error is None or task.status in (TaskStatus.FAILED, TaskStatus.CANCELED), what
    assert repr(task), what
