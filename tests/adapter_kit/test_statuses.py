"""The status words of providers, and their synonyms."""

from __future__ import annotations

import pytest

from happyhorse_async.adapter_kit import read_status
from happyhorse_async.task import TaskStatus

OWN = {"In-Queue": TaskStatus.PENDING, "cooking": TaskStatus.RUNNING, "UNKNOWN": TaskStatus.EXPIRED}


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("In-Queue", TaskStatus.PENDING),
        ("in queue", TaskStatus.PENDING),
        (" IN_QUEUE \n", TaskStatus.PENDING),
        ("COOKING", TaskStatus.RUNNING),
        ("unknown", TaskStatus.EXPIRED),
        ("polishing", TaskStatus.UNKNOWN),
        ("", TaskStatus.UNKNOWN),
        ("  ", TaskStatus.UNKNOWN),
        (None, TaskStatus.UNKNOWN),
    ],
)
def test_a_documented_word_counts_however_it_is_spelt(word: str | None, status: TaskStatus) -> None:
    """Case, blanks and the separator do not matter; an unknown word is UNKNOWN, with a video or without."""
    assert status is read_status(word, OWN)
    assert status is read_status(word, OWN, has_video=True)


@pytest.mark.parametrize(
    "word",
    [
        "completed",
        "SUCCESS",
        "Finished",
        "succeed",
        "done",
        "task success",
        " Complete ",
        "成功",
        "TaskCompleted",
        "video-ready",
        "completed successfully",
        "Succeeded.",
        "finalized",
        "SUCCESSED",
        "任务已完成",
        "生成成功了",
    ],
)
def test_a_synonym_of_success_needs_a_video(word: str) -> None:
    """Another vendor's word for a success is believed with a video beside it."""
    assert TaskStatus.SUCCEEDED is read_status(word, OWN, has_video=True)
    assert TaskStatus.UNKNOWN is read_status(word, OWN)
    assert TaskStatus.UNKNOWN is read_status(word, OWN, has_error=True)


@pytest.mark.parametrize("word", ["failed", "FAIL", "Failure", "task-failed", "GENERATION_FAILED", "videoFailed"])
def test_a_synonym_of_failure_needs_no_error(word: str) -> None:
    """A word that can mean nothing else ends the task, unless there is a video."""
    assert TaskStatus.FAILED is read_status(word, OWN)
    assert TaskStatus.UNKNOWN is read_status(word, OWN, has_video=True)


@pytest.mark.parametrize("word", ["error", "Rejected", "timed out"])
def test_a_vague_word_needs_an_error(word: str) -> None:
    """A relay whose own query failed says so, too."""
    assert TaskStatus.UNKNOWN is read_status(word, OWN)
    assert TaskStatus.FAILED is read_status(word, OWN, has_error=True)


@pytest.mark.parametrize("word", ["canceled", "CANCELLED"])
def test_both_spellings_of_canceled_are_read(word: str) -> None:
    """British and American spelling mean the same."""
    assert TaskStatus.CANCELED is read_status(word, OWN)


@pytest.mark.parametrize(
    "word",
    ["not_ready", "incomplete", "unfinished", "partially completed", "failed, retrying", "ready_to_start", "in review"],
)
def test_what_is_not_yet_an_end_is_none(word: str) -> None:
    """A word that only contains the word for an end does not end the task, with a video or without."""
    for has_video in (True, False):
        assert TaskStatus.UNKNOWN is read_status(word, OWN, has_video=has_video, has_error=True)


def test_the_providers_own_word_takes_precedence() -> None:
    """A provider may use a synonym for something else."""
    assert TaskStatus.RUNNING is read_status("done", {"done": TaskStatus.RUNNING}, has_video=True)
