"""Tests how an adapter reads its provider's responses, and the same responses with defects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import cast

import pytest
from attrs import evolve

from ..adapter import TaskPage
from ..adapter_kit import find_videos
from ..jobs.submit_errors import is_ambiguous
from ..messages import HttpResponse
from ..task import Task, TaskStatus
from .malformed import JSON, Path, encoded, json_positions, mutations, replaced
from .round_trip import RoundTripContract
from .samples import KEY
from .subject import PAGE

_NEEDED = {
    "submit": "the answer to a submit",
    "fetch": "answers about a running, a succeeded and a failed task",
    "result": "the results of a succeeded and a failed task",
    "list": "the pages of a list, the last page last",
    "cancel": "the answer to a cancellation that was accepted",
}
_ECHO = f"the key {KEY} may not do this"


class SampleContract(RoundTripContract):
    """The part of the suite that needs responses: from the emulated API, or the samples of the subject."""

    def test_there_are_answers_to_try(self, operation: str) -> None:
        """
        Without an emulated API, `samples` must have responses to every operation.

        Without either, most reading mistakes would go unnoticed.
        """
        assert list(self._answers(operation)), (
            f"give samples[{operation!r}], {_NEEDED[operation]}, or an emulated_api: see the guide to adding a provider"
        )

    def test_the_answers_about_a_task_are_understood(self) -> None:
        """The samples have an unfinished task, one with a video and a failed one, and each is read as such."""
        tasks = [cast("Task", self.decode("fetch", answer)) for answer in self._answers("fetch")]
        if self.tells_results_apart:
            tasks = [task for task in tasks if task.status is not TaskStatus.SUCCEEDED]
            tasks += [cast("Task", self.decode("result", answer)) for answer in self._answers("result")]
        found = {task.status for task in tasks}
        read = "; the answers were read as " + ", ".join(_as_read(task) for task in tasks)

        for status in (TaskStatus.SUCCEEDED, TaskStatus.FAILED):
            assert status in found, f"no answer to a status request is a task that has {status}{read}"
        assert any(not status.is_terminal for status in found), f"no answer is a task that goes on{read}"
        assert all(task.video_url for task in tasks if task.status is TaskStatus.SUCCEEDED), f"a video is missing{read}"
        failed = [task for task in tasks if task.status is TaskStatus.FAILED]
        assert all(task.error and task.error.message for task in failed), f"a failure does not say why{read}"
        assert all(task.raw_status and task.raw for task in tasks), "raw_status or raw is missing"
        for task in tasks:
            obvious = [video.url for video in find_videos(task.raw)]
            assert not task.videos or not obvious or task.video_url in obvious, "a cover or a sound is not the video"

    def test_an_accepted_submit_has_an_id(self) -> None:
        """The response to a submit is a task with an id, and an empty id is an error."""
        for answer in self._answers("submit"):
            task = self.decode("submit", answer)
            assert isinstance(task, Task)
            assert task.id.strip()

    def test_a_list_ends(self) -> None:
        """The request for the next page differs from the one before, and the last page has no next one."""
        if not self.adapter.capabilities.can_list:
            pytest.skip("the provider has no list")
        pages = [cast("TaskPage", self.decode("list", answer)) for answer in self._answers("list")]
        first = self.adapter.encode_list(PAGE, self.account)

        assert any(page.tasks for page in pages), "no answer to a list has tasks"
        assert pages[-1].next is None, f"the last page has a next one: {pages[-1].next}"
        for page in pages[:-1]:
            assert page.next is not None, "a page that is not the last one has no next one"
            again = f"the request for the next page is the one for the first: {page.next} is not in it"
            assert first != self.adapter.encode_list(page.next, self.account), again
        if self.adapter.capabilities.list_is_live:
            assert first != self.adapter.encode_list(PAGE.next(), self.account)

    def test_an_accepted_cancellation_is_understood(self) -> None:
        """The provider's response means that the task was cancelled, and so does a success without content."""
        if not self.adapter.capabilities.can_cancel:
            pytest.skip("the provider cannot cancel")
        for answer in (*self._answers("cancel"), HttpResponse(status=204)):
            assert self.decode("cancel", answer) is True

    def test_the_samples_of_refusals_have_their_meaning(self, operation: str) -> None:
        """Each sample of a refusal becomes the declared error, and a 4xx is a certain refusal."""
        for cls, sample in self.refusal_samples.items():
            error = self.failure(operation, sample)
            assert cls is type(error), f"{sample.body!r}: {error!r}"
            assert error is not None
            assert sample.status == error.status_code
            assert not (400 <= sample.status < 500 and is_ambiguous(error)), f"{sample.body!r} is a certain refusal"

    def test_no_sample_of_a_refusal_shows_the_key(self) -> None:
        """If any text of a refusal repeats the API key, the error does not."""
        for sample in self.refusal_samples.values():
            for path, value in _texts(sample):
                error = self.failure("fetch", _with(sample, path, _ECHO), f"{value!r} at {path}")
                assert KEY not in f"{error!s} {error!r} {vars(error)}", path

    def test_a_failure_does_not_show_the_key(self) -> None:
        """If any text of a response repeats the API key, the error of the failed task does not."""
        echoed: list[str] = []
        operation = self._about_results
        for answer in self._answers(operation, TaskStatus.FAILED):
            for path, value in _texts(answer):
                found = self.attempt(operation, _with(answer, path, _ECHO), f"{value!r} at {path}")
                error = found.error if isinstance(found, Task) else None
                echoed += [f"{error!r}"] if error else []

        assert "the key" in "".join(echoed)
        assert KEY not in "".join(echoed)

    def test_junk_in_any_place_is_survived(self, operation: str) -> None:
        """With any value at any position of a response, the result is valid or an InvalidResponseError."""
        for what, answer, _ in self._distorted(operation):
            self.attempt(operation, answer, what)

    def test_junk_does_not_end_a_task(self) -> None:
        """A running task stays unfinished, with any other content of the response."""
        for what, answer, _ in self._distorted("fetch", TaskStatus.RUNNING):
            found = self.attempt("fetch", answer, what)
            assert not isinstance(found, Task) or not found.status.is_terminal, what

    def test_an_unknown_word_is_kept(self) -> None:
        """An undocumented status is UNKNOWN, is not terminal, and is kept in `raw_status`."""
        for answer in self._answers("fetch", TaskStatus.RUNNING):
            word = cast("Task", self.decode("fetch", answer)).raw_status
            new = [_with(answer, path, "CONTRACT_PROBE") for path, value in _texts(answer) if value == word]
            assert new
            tasks = [cast("Task", self.decode("fetch", changed)) for changed in new]
            assert "CONTRACT_PROBE" in [task.raw_status for task in tasks if task.status is TaskStatus.UNKNOWN]
            assert not any(task.status.is_terminal for task in tasks)

    def test_metadata_costs_no_video(self) -> None:
        """Junk in fields other than the status, the id and the URL does not lose the paid video."""
        operation = self._about_results
        for answer in self._answers(operation, TaskStatus.SUCCEEDED):
            task = cast("Task", self.decode(operation, answer))
            matters = {task.raw_status, task.video_url, task.id}
            needed = {
                path[:length]
                for path, value in json_positions(json.loads(answer.body))
                if isinstance(value, str) and (value in matters or _is_json_with(task.video_url, value))
                for length in range(len(path) + 1)
            }
            for what, path, value in mutations(json.loads(answer.body)):
                if path not in needed:
                    found = self.attempt(operation, evolve(answer, body=encoded(value)), what)
                    assert isinstance(found, Task), f"{what}: {found!r}"
                    assert task.video_url == found.video_url, what

    @property
    def _about_results(self) -> str:
        return "result" if self.tells_results_apart else "fetch"

    def _answers(self, operation: str, status: TaskStatus | None = None) -> Iterator[HttpResponse]:
        """Return responses to *operation*, only those about a task with *status* if it is given."""
        if self.emulated_api is not None:
            yield from self.emulated_answers(operation, status)
            return
        for sample in self.samples.get(operation, ()):
            answer = sample if isinstance(sample, HttpResponse) else HttpResponse(status=200, body=encoded(sample))
            if status is None or cast("Task", self.decode(operation, answer)).status is status:
                yield answer

    def _distorted(self, operation: str, status: TaskStatus | None = None) -> Iterator[tuple[str, HttpResponse, Path]]:
        """Return the responses to *operation* with junk in them, each with a description of the junk."""
        for answer in self._answers(operation, status):
            if answer.body and answer.ok:
                for what, path, value in mutations(json.loads(answer.body)):
                    yield f"{operation}: {what}", evolve(answer, body=encoded(value)), path


def _as_read(task: Task) -> str:
    why = f" ({task.error.reason}: {task.error.message})" if task.error else ""
    return f"{task.raw_status!r}: {task.status}{why}"


def _is_json_with(url: str | None, text: str) -> bool:
    """Return whether *text* is JSON within the JSON, and holds *url*."""
    return text[:1] in ("{", "[") and url is not None and json.dumps(url)[1:-1] in text


def _texts(answer: HttpResponse) -> list[tuple[Path, str]]:
    try:
        value: JSON = json.loads(answer.body or b"null")
    except ValueError as error:
        raise AssertionError(f"the sample {answer.body!r} is not JSON") from error
    return [(path, text) for path, text in json_positions(value) if isinstance(text, str)]


def _with(answer: HttpResponse, path: Path, new: str) -> HttpResponse:
    return evolve(answer, body=encoded(replaced(json.loads(answer.body), path, new)))
