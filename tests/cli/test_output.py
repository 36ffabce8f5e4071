"""What is printed of a provider's words, and the exit code of every error."""

from __future__ import annotations

from typing import Any

import pytest

import happyhorse_async as hh
from happyhorse_async.cli.exit_codes import ExitCode, exit_code, worst
from happyhorse_async.cli.output import Output, Unfinished
from happyhorse_async.cli.render import plain, task_line, task_object

REF = hh.TaskRef("main", "1")
TASK = hh.Task(ref=REF, status=hh.TaskStatus.FAILED)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (hh.ConfigurationError("x"), ExitCode.BAD_INPUT),
        (hh.UnsupportedFeatureError("x", feature="y"), ExitCode.BAD_INPUT),
        (hh.InvalidRequestError("x"), ExitCode.BAD_INPUT),
        (hh.InvalidRequestError("x", status_code=400), ExitCode.REFUSED),
        (hh.ContentRejectedError("x"), ExitCode.REFUSED),
        (hh.AuthenticationError("x"), ExitCode.REFUSED),
        (hh.PermissionDeniedError("x"), ExitCode.REFUSED),
        (hh.QuotaExceededError("x"), ExitCode.REFUSED),
        (hh.RateLimitError("x"), ExitCode.REFUSED),
        (hh.TaskNotFoundError("x"), ExitCode.REFUSED),
        (hh.TaskFailedError("x", task=TASK), ExitCode.TASK_ENDED),
        (hh.TaskCanceledError("x", task=TASK), ExitCode.TASK_ENDED),
        (hh.TaskExpiredError("x", task=TASK), ExitCode.TASK_ENDED),
        (hh.WaitTimeoutError("x"), ExitCode.TIMEOUT),
        (hh.ProviderError("x"), ExitCode.FAULT),
        (hh.TransportError("x", sent=False), ExitCode.FAULT),
        (hh.InvalidResponseError("x"), ExitCode.FAULT),
        (hh.SubmitOutcomeUnknownError("x"), ExitCode.FAULT),
        (hh.DownloadError("x"), ExitCode.FAULT),
        (hh.StoreError("x"), ExitCode.BAD_INPUT),
        (hh.StoreError("x", ref=REF), ExitCode.FAULT),
        (hh.HappyHorseError("x"), ExitCode.UNEXPECTED),
    ],
)
def test_every_error_has_its_exit_code(error: hh.HappyHorseError, code: ExitCode) -> None:
    """The exit code tells a script what to do next."""

    assert code is exit_code(error)


@pytest.mark.fault(71)
def test_a_store_that_fails_after_a_submit() -> None:
    """A store that cannot be used is bad input as long as nothing was sent, and a fault afterwards."""

    assert ExitCode.FAULT is exit_code(hh.StoreError("x"), sent=True)


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([], ExitCode.OK),
        ([0, 0], ExitCode.OK),
        ([0, 5], ExitCode.TIMEOUT),
        ([5, 4], ExitCode.TASK_ENDED),
        ([4, 2], ExitCode.BAD_INPUT),
        ([2, 3], ExitCode.REFUSED),
        ([3, 6, 4], ExitCode.FAULT),
        ([6, 1], ExitCode.UNEXPECTED),
    ],
)
def test_the_worst_outcome_decides(codes: list[int], code: ExitCode) -> None:
    """Of several outcomes the worst makes the exit code, in a fixed order."""

    assert code is worst(map(ExitCode, codes))


@pytest.mark.fault(85)
def test_words_of_a_provider_are_harmless() -> None:
    """Control characters are escaped, lines joined, and signatures cut."""

    assert r"a \x1b[31mb c" == plain("a \x1b[31mb\n  c")
    assert "see https://cdn.example/v.mp4?***" == plain("see https://cdn.example/v.mp4?Signature=abc")


def test_a_failed_task_in_a_line() -> None:
    """The line of a failed task has the provider's code and words."""
    failure = hh.TaskFailure(code="E7", message="no \x07bells\nplease")
    task = hh.Task(ref=REF, status=hh.TaskStatus.FAILED, progress=50, error=failure)

    assert r"main:1 FAILED E7: no \x07bells please" == task_line(task)


def test_an_unknown_status_shows_the_word() -> None:
    """A word that we do not know is shown as the provider wrote it."""
    task = hh.Task(ref=REF, status=hh.TaskStatus.UNKNOWN, raw_status="pondering", progress=7.0)

    assert "main:1 UNKNOWN (pondering) 7 %" == task_line(task)


def test_a_task_as_an_object_has_no_raw_reply() -> None:
    """The object of a task is made of the neutral model alone."""
    value = task_object(hh.Task(ref=REF, status=hh.TaskStatus.PENDING, raw={"secret": 1}))

    assert ("main:1", "PENDING") == (value["ref"], value["status"])
    assert "raw" not in value


@pytest.mark.fault(85)
def test_markup_of_a_provider_is_not_read(capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets that would colour the text are printed as they are."""
    Output(as_json=False).error(hh.ProviderError("[bold red]:horse: [link=https://evil.example]x[/link]"))

    assert "error: [bold red]:horse: [link=https://evil.example]x[/link]\n" == capsys.readouterr().err


def test_a_failed_task_cannot_be_resumed(capsys: pytest.CaptureFixture[str]) -> None:
    """What is over is not offered for resuming; any other failure names the command."""
    errors: list[Any] = [hh.TransportError("no network", sent=True), hh.TaskFailedError("over", task=TASK)]
    output = Output(as_json=False)
    output.unfinished = Unfinished(("happyhorse", "wait", "main:1"), ref=REF)
    shown: list[str] = []
    for error in errors:
        output.error(error)
        shown.append(capsys.readouterr().err)

    assert shown[0].endswith("\n  happyhorse wait main:1\n")
    assert "happyhorse wait" not in shown[1]
