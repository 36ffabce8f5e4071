"""Tests the adapter against the emulated API of its provider: each must understand the other's messages."""

# ruff: noqa: SIM300 - the expected value is on the left of ==

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from attrs import asdict, evolve, fields, frozen

from ..adapter import PageRequest, TaskPage
from ..adapter_kit import ErrorClass
from ..capabilities import ModelSpec
from ..emulation import ApiFault, CancelCall, EmulatedAPI, FetchCall, Job, JobPage, ListCall, ResultCall, SubmitCall
from ..errors import (
    AuthenticationError,
    ContentRejectedError,
    InvalidRequestError,
    PermissionDeniedError,
    ProviderError,
    QuotaExceededError,
    RateLimitError,
    TaskNotFoundError,
)
from ..messages import HttpRequest, HttpResponse
from ..request import VideoRequest
from ..task import FailureReason, Task, TaskStatus, Usage, Video
from .samples import JOB_ID, KEY, maximal, minimal, observed
from .subject import PAGE, Subject

_REQUEST_ID = "6e1b5e4e-0d2f-4f6e-9a53-0f9b8f6f3f10"
_STATUSES = (TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.SUCCEEDED)

# Providers distinguish fewer reasons than we do. A reason may be reported as another one if the caller would react the
# same way, and always as UNKNOWN.
_RETRYABLE = frozenset({FailureReason.RATE_LIMITED, FailureReason.TIMEOUT, FailureReason.PROVIDER_FAULT})
_REASONS = [reason for reason in FailureReason if reason is not FailureReason.NO_OUTPUT]

_FAULTS: dict[ApiFault, tuple[ErrorClass, ...]] = {
    ApiFault.NO_KEY: (AuthenticationError,),
    ApiFault.WRONG_KEY: (AuthenticationError,),
    ApiFault.NO_SUCH_PATH: (TaskNotFoundError, InvalidRequestError),
    ApiFault.UNKNOWN_TASK: (TaskNotFoundError,),
    ApiFault.TOO_FAST: (RateLimitError,),
    ApiFault.QUEUE_FULL: (RateLimitError,),
    ApiFault.KEY_REUSED: (InvalidRequestError,),
    ApiFault.KEY_IN_WORK: (ProviderError,),
    ApiFault.BAD_REQUEST: (InvalidRequestError,),
    ApiFault.NO_SUCH_MEDIA: (InvalidRequestError,),
    ApiFault.REJECTED_CONTENT: (ContentRejectedError,),
    ApiFault.FORBIDDEN: (PermissionDeniedError,),
    ApiFault.NO_MONEY: (QuotaExceededError,),
    ApiFault.TIMED_OUT: (ProviderError,),
    ApiFault.CONFLICT: (InvalidRequestError,),
    ApiFault.TOO_EARLY: (RateLimitError,),
    ApiFault.BROKEN: (ProviderError,),
    ApiFault.BAD_GATEWAY: (ProviderError,),
    ApiFault.UNAVAILABLE: (ProviderError,),
    ApiFault.GATEWAY_TIMEOUT: (ProviderError,),
}


@frozen
class _Server:
    """The emulated API, with the state of one task."""

    emulated_api: EmulatedAPI
    request: VideoRequest
    task_id: str
    base_url: str

    def job(self, status: TaskStatus, reason: FailureReason | None = None) -> Job:
        task = observed(self.task_id, self.request, status, reason)
        return Job(request=self.request, task=task, seen=task, submit_id=_REQUEST_ID, base_url=self.base_url)

    def accept(self) -> HttpResponse:
        return self.emulated_api.answer_submit(self.job(TaskStatus.PENDING), request_id=_REQUEST_ID)

    def show(self, status: TaskStatus, reason: FailureReason | None = None) -> HttpResponse:
        return self.emulated_api.answer_fetch(self.job(status, reason), request_id=_REQUEST_ID)

    def deliver(self, status: TaskStatus, reason: FailureReason | None = None) -> HttpResponse:
        return self.emulated_api.answer_result(self.job(status, reason), request_id=_REQUEST_ID)


class RoundTripContract(Subject):
    """The part of the suite that needs an emulated API."""

    def test_both_agree_on_the_root(self) -> None:
        """The adapter's documented base URL ends where the paths of the emulated API begin."""
        emulated_api = self._emulated_api()

        assert self.adapter.name == emulated_api.name
        assert emulated_api.root == urlsplit(self.account.base_url).path

    def test_the_provider_understands_what_was_asked(self, spec: ModelSpec) -> None:
        """Prompt, media and every option arrive as requested, with the API key and the idempotency key."""
        emulated_api = self._emulated_api()
        for request in (minimal(spec), maximal(spec)):
            message = _received(self.encoded(request))
            call = emulated_api.read(message)
            assert isinstance(call, SubmitCall)
            asked = _requested(request)
            assert asked == {name: getattr(call.request, name, None) for name in asked}
            assert type(request) is type(call.request)
            assert KEY == emulated_api.api_key(message)
            if self.adapter.capabilities.idempotent:
                assert JOB_ID == call.idempotency_key
                assert message.body == call.body

    def test_the_provider_knows_where_to_call_back(self) -> None:
        """The callback URL of a submit arrives unchanged."""
        rules = self._emulated_api().callback_rules
        if not self.adapter.capabilities.callbacks or rules is None or rules.set_up_outside:
            pytest.skip("no callback URL goes with a submit")
        url = "https://app.example/hooks?job=hh-1%2F2"
        call = self._read(self.encoded(minimal(self.adapter.capabilities.models[0]), callback_url=url))

        assert isinstance(call, SubmitCall)
        assert url == call.callback_url

    def test_an_accepted_task_has_its_id(self, spec: ModelSpec) -> None:
        """The answer to a submit is a task that has not ended, with the provider's id."""
        server = self._server(spec)
        task = self.adapter.decode_submit(server.accept(), self.account)

        assert self.account.ref(server.task_id) == task.ref
        assert not task.status.is_terminal

    @pytest.mark.parametrize("status", _STATUSES)
    def test_a_status_request_finds_the_status(self, spec: ModelSpec, status: TaskStatus) -> None:
        """A status request returns the task's status, and no false field."""
        server = self._server(spec)
        truth = server.job(status).task
        task = self._fetched(server, status)

        assert self.account.ref(server.task_id) == task.ref
        assert status is task.status
        assert task.raw_status
        assert task.error is None
        assert task.progress in (None, 0, 50, 100, truth.progress)
        _assert_true(task, truth, ("created_at", "started_at", "finished_at", "model"))

    def test_a_success_has_its_video(self, spec: ModelSpec) -> None:
        """The video of a finished task is found, and its fields and the bill are correct."""
        server = self._server(spec)
        truth = server.job(TaskStatus.SUCCEEDED).task
        task = self._fetched(server, TaskStatus.SUCCEEDED)

        assert truth.video_url == task.video_url
        assert 1 == len(task.videos)
        _assert_true(task.videos[0], truth.videos[0], [attribute.name for attribute in fields(Video)])
        if task.usage is not None:
            _assert_true(task.usage, truth.usage, [attribute.name for attribute in fields(Usage)])

    def test_a_success_without_a_video_has_none(self, spec: ModelSpec) -> None:
        """If a success has no output, the adapter invents neither a video nor an error of its own."""
        server = self._server(spec)
        task = self._fetched(server, TaskStatus.SUCCEEDED, FailureReason.NO_OUTPUT)

        assert () == task.videos
        assert task.status is TaskStatus.SUCCEEDED or FailureReason.NO_OUTPUT is _reason(task)

    @pytest.mark.parametrize("reason", _REASONS)
    def test_a_failure_says_why(self, reason: FailureReason) -> None:
        """A failed task has the provider's message, and a reason that is not misleading."""
        server = self._server()
        task = self._fetched(server, TaskStatus.FAILED, reason)
        like = _RETRYABLE if reason in _RETRYABLE else {reason}

        assert TaskStatus.FAILED is task.status
        assert task.error is not None
        assert task.error.message
        assert _reason(task) in (*like, FailureReason.UNKNOWN)
        assert () == task.videos

    def test_a_query_names_the_task(self) -> None:
        """A status request, a cancel request and a request for the result arrive for their task."""
        server = self._server()
        ended = Task(ref=self.account.ref(server.task_id), status=TaskStatus.SUCCEEDED)
        result = self.adapter.encode_result(ended, self.account)

        assert (result is not None) == self.tells_results_apart
        assert result is None or ResultCall(server.task_id) == self._read(result)
        assert FetchCall(server.task_id) == self._read(self.adapter.encode_fetch(server.task_id, self.account))
        if self.adapter.capabilities.can_cancel:
            assert CancelCall(server.task_id) == self._read(self.adapter.encode_cancel(server.task_id, self.account))

    def test_an_unknown_task_is_not_found(self) -> None:
        """A status request for a task that the provider does not know is a TaskNotFoundError."""
        server = self._server()
        answer = server.emulated_api.answer_missing(FetchCall(server.task_id), request_id=_REQUEST_ID)

        assert isinstance(self.failure("fetch", answer), TaskNotFoundError)

    def test_a_refusal_has_its_meaning(self, operation: str, fault: ApiFault) -> None:
        """Each of the provider's refusals becomes the error with its meaning."""
        emulated_api = self._emulated_api()
        refusal = evolve(emulated_api.refusals[fault], retry_after=3.0)
        answer = emulated_api.answer_error(refusal, request_id=_REQUEST_ID)
        error = self.failure(operation, answer)
        if error is None:
            assert operation == "result", "only an answer about a result can say that the task has failed"
            return
        # A submit names no task, but may name an unknown model.
        meant = (*_FAULTS[fault], InvalidRequestError) if operation == "submit" else _FAULTS[fault]

        assert isinstance(error, meant if fault is ApiFault.UNKNOWN_TASK else _FAULTS[fault])
        assert refusal.message in error.message
        assert refusal.status == error.status_code
        assert refusal.code == error.code or refusal.code is None
        if "retry-after" in answer.headers:
            assert 3.0 == getattr(error, "retry_after", 3.0)

    def test_a_list_has_every_task(self) -> None:
        """If tasks can be listed, a page has them in the provider's order, and the last page has no next one."""
        if not self.adapter.capabilities.can_list:
            pytest.skip("the provider has no list")
        servers = [self._server(number=number) for number in range(4)]
        statuses = (*_STATUSES, TaskStatus.FAILED)
        jobs = tuple(server.job(status, _why(status)) for server, status in zip(servers, statuses, strict=True))
        page = self._listed(PAGE, JobPage(jobs=jobs, total=len(jobs)))

        assert [self.account.ref(server.task_id) for server in servers] == [task.ref for task in page.tasks]
        assert list(statuses) == [task.status for task in page.tasks]
        assert page.next is None
        assert () == self._listed(PAGE, JobPage(jobs=(), total=0)).tasks
        for task, job in zip(page.tasks, jobs, strict=True):
            _assert_true(task, job.task, ("created_at", "started_at", "finished_at"))

    def test_a_full_page_has_a_next_one(self) -> None:
        """If a list continues, the next page begins where this one ends."""
        if not self.adapter.capabilities.can_list:
            pytest.skip("the provider has no list")
        asked = PageRequest(size=2)
        jobs = tuple(self._server(number=number).job(TaskStatus.RUNNING) for number in range(2))
        page = self._listed(asked, JobPage(jobs=jobs, total=3))
        if page.next is None:
            pytest.skip("the provider's list has one page")

        assert (2, 2) == (page.next.number, page.next.size)
        assert self._listed(page.next, JobPage(jobs=jobs[:1], total=3)).next is None

    def test_a_cancellation_is_taken_or_comes_too_late(self) -> None:
        """If tasks can be cancelled, the response says whether this one was."""
        if not self.adapter.capabilities.can_cancel:
            pytest.skip("the provider cannot cancel")
        server = self._server()
        for canceled, status in ((True, TaskStatus.CANCELED), (False, TaskStatus.SUCCEEDED)):
            job = server.job(status)
            answer = server.emulated_api.answer_cancel(job, canceled=canceled, request_id=_REQUEST_ID)
            assert canceled is self.adapter.decode_cancel(answer, self.account)

        assert TaskStatus.CANCELED is self._fetched(server, TaskStatus.CANCELED).status

    def _emulated_api(self) -> EmulatedAPI:
        if self.emulated_api is None:
            pytest.skip("no emulated API was given")
        return self.emulated_api

    def _server(self, spec: ModelSpec | None = None, *, number: int = 0) -> _Server:
        emulated_api = self._emulated_api()
        request = maximal(spec or self.adapter.capabilities.models[0])
        call = self._read(self.encoded(request))
        assert isinstance(call, SubmitCall)
        task_id = emulated_api.task_id(0x0123456789ABCDEF0123456789ABCDEF + number)
        return _Server(emulated_api, call.request, task_id, self.account.base_url)

    def _read(self, message: HttpRequest) -> object:
        return self._emulated_api().read(_received(message))

    def _fetched(self, server: _Server, status: TaskStatus, reason: FailureReason | None = None) -> Task:
        task = self.adapter.decode_fetch(server.show(status, reason), server.task_id, self.account)
        if self.adapter.encode_result(task, self.account) is None:
            return task
        return self.adapter.decode_result(server.deliver(status, reason), task, self.account)

    def _listed(self, asked: PageRequest, page: JobPage) -> TaskPage:
        call = self._read(self.adapter.encode_list(asked, self.account))
        assert isinstance(call, ListCall)
        assert (asked.number, asked.size) == (call.page, call.size)
        answer = self._emulated_api().answer_list(call, page, request_id=_REQUEST_ID)
        return self.adapter.decode_list(answer, asked, self.account)

    def emulated_answers(self, operation: str, status: TaskStatus | None) -> Iterator[HttpResponse]:
        """Return the emulated API's responses to *operation*, for a task with *status*, or with each status."""
        server = self._server()
        match operation:
            case "submit":
                yield server.accept()
            case "fetch":
                for each in (status,) if status else (*_STATUSES, TaskStatus.FAILED):
                    yield server.show(each, _why(each))
            case "result":
                for each in (status,) if status else (TaskStatus.SUCCEEDED, TaskStatus.FAILED):
                    yield server.deliver(each, _why(each))
            case "list":
                jobs = tuple(server.job(each, _why(each)) for each in (*_STATUSES, TaskStatus.FAILED))
                page = JobPage(jobs=jobs, total=len(jobs))
                yield server.emulated_api.answer_list(ListCall(), page, request_id=_REQUEST_ID)
            case _:
                job = server.job(TaskStatus.CANCELED)
                yield server.emulated_api.answer_cancel(job, canceled=True, request_id=_REQUEST_ID)


def _received(message: HttpRequest) -> HttpRequest:
    """Return *message* as a server receives it."""
    headers = {name.lower(): value for name, value in message.headers.items()}
    return evolve(message, headers={**headers, "host": urlsplit(message.url).netloc})


def _requested(request: VideoRequest) -> dict[str, Any]:
    values = asdict(request, recurse=False)
    return {
        name: value for name, value in values.items() if value not in (None, ()) and name not in ("version", "extra")
    }


def _why(status: TaskStatus) -> FailureReason | None:
    return FailureReason.INVALID_REQUEST if status is TaskStatus.FAILED else None


def _reason(task: Task) -> FailureReason | None:
    return task.error.reason if task.error else None


def _assert_true(told: object, truth: object, names: list[str] | tuple[str, ...]) -> None:
    """Check that everything in *told* is true. Providers omit fields, and some count only whole seconds."""
    for name in names:
        value, true = getattr(told, name), getattr(truth, name)
        if isinstance(value, datetime) and isinstance(true, datetime):
            assert abs(value - true) < timedelta(seconds=1), f"{name} is {value}, not {true}"
        else:
            assert value in (None, true), f"{name} is {value!r}, not {true!r}"
