"""The neutral model, inbound."""

from __future__ import annotations

import pickle
from copy import deepcopy

import pytest
from attrs import evolve
from attrs.exceptions import FrozenInstanceError
from hypothesis import given
from hypothesis import strategies as st

from happyhorse_async.task import FailureReason, Task, TaskFailure, TaskRef, TaskStatus, Usage, Video

TASK = Task(
    ref=TaskRef("main", "1"),
    status=TaskStatus.SUCCEEDED,
    videos=(Video(url="https://a.example/1.mp4?Signature=c4n4ry", cover_url="https://a.example/1.png?x=c4n4ry"),),
    usage=Usage(duration=5.0, resolution="720P"),
    raw={"url": "https://a.example/1.mp4?Signature=c4n4ry"},
)


@pytest.mark.parametrize(
    ("status", "terminal"),
    [
        (TaskStatus.PENDING, False),
        (TaskStatus.RUNNING, False),
        (TaskStatus.SUCCEEDED, True),
        (TaskStatus.FAILED, True),
        (TaskStatus.CANCELED, True),
        (TaskStatus.EXPIRED, True),
        (TaskStatus.UNKNOWN, False),
    ],
)
def test_which_status_is_an_end(status: TaskStatus, terminal: bool) -> None:
    """A task that succeeded, failed, was cancelled or expired has ended; a word we do not know is no end."""

    assert terminal is status.is_terminal


def test_the_words_are_fixed() -> None:
    """Each status and each reason is its own name, so that it reads the same in JSON."""

    assert ["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELED", "EXPIRED", "UNKNOWN"] == list(TaskStatus)
    assert [
        "INVALID_REQUEST",
        "CONTENT_REJECTED",
        "QUOTA_EXCEEDED",
        "RATE_LIMITED",
        "TIMEOUT",
        "PROVIDER_FAULT",
        "NO_OUTPUT",
        "UNKNOWN",
    ] == list(FailureReason)
    assert "RUNNING" == str(TaskStatus.RUNNING)


@given(
    provider=st.from_regex(r"[a-z0-9_-]+", fullmatch=True),
    task_id=st.text(min_size=1).filter(lambda text: text not in (".", "..")),
)
def test_a_ref_survives_its_text_form(provider: str, task_id: str) -> None:
    """A ref is read back from its text exactly, whatever the provider's id is made of."""
    ref = TaskRef(provider, task_id)

    assert ref == TaskRef.parse(str(ref))
    assert f"{provider}:{task_id}" == str(ref)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    """A text is a ref or a ValueError, and a ref says the same as its text."""
    try:
        ref = TaskRef.parse(text)
    except ValueError:
        return

    assert text == str(ref)


def test_a_ref_is_split_at_the_first_colon() -> None:
    """An id may hold colons, a provider's name cannot."""

    assert TaskRef("main", "urn:task:1") == TaskRef.parse("main:urn:task:1")


@pytest.mark.parametrize("text", ["", "main", "main:", ":1", "Main:1", "ma in:1", "mäin:1", " main:1", "main\n:1"])
def test_what_is_no_ref(text: str) -> None:
    """A text without a provider's name, a colon or an id is refused."""
    with pytest.raises(ValueError, match=r"task ref|provider name|task id"):
        TaskRef.parse(text)


@pytest.mark.parametrize(("provider", "task_id"), [("", "1"), ("Main", "1"), ("a:b", "1"), ("a\n", "1"), ("a", "")])
def test_no_ref_that_could_not_be_read_back(provider: str, task_id: str) -> None:
    """A ref whose text would mean another one, or none, cannot be made."""
    with pytest.raises(ValueError, match=r"provider name|task id"):
        TaskRef(provider, task_id)


def test_a_task_names_itself() -> None:
    """The id, the provider's name and the first video are at hand on the task itself."""

    assert "1" == TASK.id
    assert "main" == TASK.provider
    assert "https://a.example/1.mp4?Signature=c4n4ry" == TASK.video_url
    assert None is evolve(TASK, videos=()).video_url


def test_a_bare_task_claims_nothing() -> None:
    """What a provider does not say is None or empty."""
    bare = Task(ref=TaskRef("main", "1"), status=TaskStatus.PENDING)
    names = ("raw_status", "progress", "error", "usage", "model", "created_at", "started_at", "finished_at")

    assert {None} == {getattr(bare, name) for name in names}
    assert () == bare.videos
    assert {} == bare.raw


def test_tasks_cannot_be_changed() -> None:
    """An observation stays what it was."""
    with pytest.raises(FrozenInstanceError):
        TASK.status = TaskStatus.FAILED  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        TASK.ref.id = "2"  # type: ignore[misc]


def test_the_raw_object_is_no_part_of_the_observation() -> None:
    """Two observations that say the same are equal and hash alike, whatever the provider's object was."""
    other = evolve(TASK, raw={"anything": 1})

    assert other == TASK
    assert hash(other) == hash(TASK)
    assert evolve(TASK, progress=50) != TASK


def test_tasks_travel() -> None:
    """An observation survives pickling and copying, its raw object included."""
    travelled = pickle.loads(pickle.dumps(TASK))

    assert travelled == TASK
    assert TASK.raw == travelled.raw
    assert deepcopy(TASK) == TASK


def test_a_repr_shows_no_signature() -> None:
    """A task can be logged: its URLs are cut and the raw object is left out."""
    shown = repr(TASK)

    assert "https://a.example/1.mp4?***" in shown
    assert "https://a.example/1.png?***" in shown
    assert "c4n4ry" not in shown
    assert "cover_url=None" in repr(Video(url="https://a.example/1.mp4"))


def test_a_repr_of_a_failure_shows_no_signature() -> None:
    """A provider that names an input's URL in its message does not bring the signature into a log."""
    failure = TaskFailure(code="1", message="cannot fetch https://a.example/i.png?Signature=c4n4ry")
    shown = repr(evolve(TASK, error=failure))

    assert "cannot fetch https://a.example/i.png?***" in shown
    assert "c4n4ry" not in shown
    assert failure.message.endswith("c4n4ry")
