"""Names of video files: one for each task, and safe on every file system."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from happyhorse_async.download import file_name

IDS = ["a/b", "a:b", "a_b", "a b", "A_b", "a_B", "a\\b", "a\0b", "..", ".a", "-a", "_a", "con", "CON", "nul.x"]
IDS += ["\u00e9", "e\u0301", "x" * 80, "x" * 81, "x" * 500]


@pytest.mark.fault(84)
@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(IDS, 2)))
def test_two_ids_never_share_a_file(first: str, second: str) -> None:
    """Different ids have different files, also where the file system ignores case."""
    assert file_name(first).lower() != file_name(second).lower()


def test_an_id_cannot_be_spelt_like_the_name_of_another() -> None:
    """A name that was made of an unsafe id is not the name of the id that looks like it."""
    taken = file_name("a/b").removesuffix(".mp4")

    assert f"{taken}.mp4" != file_name(taken)


@pytest.mark.parametrize("task_id", ["t-1", "0385dc79-5ff8-4d82-bcb6-a1c2d3e4f506", "tk-hiapi_1.2"])
def test_a_usual_id_is_the_name(task_id: str) -> None:
    """An id that is safe is the name as it is."""
    assert f"{task_id}.mp4" == file_name(task_id)


@given(st.text(min_size=1))
def test_a_name_is_safe(task_id: str) -> None:
    """A name is short, of plain characters, and neither hidden nor an option."""
    name = file_name(task_id)

    assert len(name) < 110
    assert name.isascii()
    assert not set(name) & set('/\\:*?"<>| \0\n')
    assert name[0] not in ".-"
    assert name.partition(".")[0].upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT9"}
