"""What the parts of the contract suite share: the adapter on trial, and ways to ask it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

import pytest

from ..adapter import Account, Adapter, PageRequest, Submission, TaskPage
from ..emulation import EmulatedAPI
from ..errors import HappyHorseError, InvalidResponseError, ProviderError
from ..messages import HttpRequest, HttpResponse
from ..request import VideoRequest
from ..task import Task, TaskStatus
from .samples import JOB_ID, KEY, PROVIDER

PAGE = PageRequest(size=20)


class Subject:
    """The adapter on trial."""

    adapter: ClassVar[Adapter]
    """The adapter, an instance of it."""
    emulated_api: ClassVar[EmulatedAPI | None] = None
    """Its provider's server side. With one, the suite also leads every request to it, and its answers back."""
    registered: ClassVar[bool] = True
    """Whether adapter and dialect are installed, under the entry points of their name."""
    options: ClassVar[Mapping[str, Any]] = {}
    """The adapter's own options, where it needs any."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test for every offer, operation and problem that it asks for."""
        if "spec" in metafunc.fixturenames:
            models = self.adapter.capabilities.models
            metafunc.parametrize("spec", models, ids=[f"{spec.mode}-{spec.model}" for spec in models])
        if "operation" in metafunc.fixturenames:
            metafunc.parametrize("operation", self.operations)
        if "problem" in metafunc.fixturenames:
            metafunc.parametrize("problem", list(self.emulated_api.refusals) if self.emulated_api else [])

    @property
    def account(self) -> Account:
        """The account in whose name everything is asked."""
        return self.adapter.account(provider=PROVIDER, api_key=KEY, options=self.options)

    @property
    def operations(self) -> tuple[str, ...]:
        """Everything the adapter can do."""
        capabilities = self.adapter.capabilities
        lists, can_cancel = ("list",) * capabilities.can_list, ("cancel",) * capabilities.can_cancel
        return ("submit", "fetch", *lists, *can_cancel)

    def submission(self, request: VideoRequest, *, callback_url: str | None = None, job_id: str = JOB_ID) -> Submission:
        """Let *request* pass the check."""
        spec = self.adapter.check(request, provider=PROVIDER, callback_url=callback_url)
        return Submission(request=request, spec=spec, job_id=job_id, callback_url=callback_url)

    def encoded(self, request: VideoRequest, *, callback_url: str | None = None, job_id: str = JOB_ID) -> HttpRequest:
        """Write *request* down for the provider."""
        submission = self.submission(request, callback_url=callback_url, job_id=job_id)
        return self.adapter.encode_submit(submission, self.account)

    def decode(self, operation: str, response: HttpResponse, *, task_id: str = "task-0451") -> object:
        """Read the answer to *operation*."""
        match operation:
            case "submit":
                return self.adapter.decode_submit(response, self.account)
            case "fetch":
                return self.adapter.decode_fetch(response, task_id, self.account)
            case "list":
                return self.adapter.decode_list(response, PAGE, self.account)
            case _:
                return self.adapter.decode_cancel(response, self.account)

    def attempt(self, operation: str, response: HttpResponse, what: str = "") -> object:
        """
        Read a 2xx that may be junk, and return a sound answer or the error that says that there is none.

        :param what: what is the matter with *response*, for the one whose test fails.
        """
        try:
            answer = self.decode(operation, response)
        except (InvalidResponseError, ProviderError) as error:
            answer = error
        except Exception as error:
            raise AssertionError(f"{what}: {error!r}") from error
        assert not getattr(answer, "not_accepted", False), f"{what}: {answer!r} claims that nothing was taken"
        if not isinstance(answer, HappyHorseError):
            _assert_sound(answer, what)
        return answer

    def failure(self, operation: str, response: HttpResponse, what: str = "") -> HappyHorseError | None:
        """Read the answer to *operation*, and return the error of this library that it is, if it is one."""
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
