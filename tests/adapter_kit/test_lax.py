"""From decoded JSON to typed wire objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st

from happyhorse_async.adapter_kit import Lax, Percent, structure
from happyhorse_async.errors import InvalidResponseError

_FINITE = st.floats(allow_nan=False, allow_infinity=False)
_PRINTABLE = st.text(st.characters(codec="utf-8"))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | _FINITE | _PRINTABLE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_PRINTABLE, inner, max_size=4),
    max_leaves=20,
)


@frozen(kw_only=True)
class Video:
    """A wire object inside another."""

    url: str
    width: Lax[int] = None


@frozen(kw_only=True)
class Wire:
    """A wire object with a field of every kind."""

    text: str = ""
    whole: int = 0
    number: float = 0.0
    flag: bool = False
    perhaps: str | None = None
    video: Video | None = None
    videos: list[Video] | None = None
    anything: Mapping[str, Any] | None = None
    loose_text: Lax[str] = None
    loose_whole: Lax[int] = None
    loose_number: Lax[float] = None
    loose_flag: Lax[bool] = None
    loose_video: Lax[Video] = None
    loose_videos: Lax[list[Lax[Video]]] = None


@pytest.mark.fault(57)
@pytest.mark.parametrize(
    ("field", "given_", "read"),
    [
        ("text", "a", "a"),
        ("text", 7, "7"),
        ("text", 7.5, "7.5"),
        ("whole", 7, 7),
        ("whole", 7.0, 7),
        ("whole", "7", 7),
        ("whole", "7.0", 7),
        ("whole", " 7 ", 7),
        ("whole", -7, -7),
        ("whole", "9007199254740993", 9007199254740993),
        ("whole", 9007199254740993, 9007199254740993),
        ("number", 7, 7.0),
        ("number", "7.5", 7.5),
        ("number", "1e3", 1000.0),
        ("flag", True, True),
        ("flag", "true", True),
        ("flag", "false", False),
        ("perhaps", None, None),
        ("perhaps", 7, "7"),
        ("anything", {"a": {"b": 1}}, {"a": {"b": 1}}),
        ("anything", None, None),
        ("videos", [], []),
        ("videos", [{"url": "u", "width": "720"}], [Video(url="u", width=720)]),
        ("video", {"url": "u", "unheard_of": 1}, Video(url="u")),
    ],
)
def test_what_is_read_without_loss(field: str, given_: object, read: object) -> None:
    """Numbers as strings, whole numbers as floats and truths as words mean what they say; unknown fields are left."""
    found = getattr(structure({field: given_, "unheard_of": 1}, Wire), field)

    assert read == found
    assert type(read) is type(found)


@pytest.mark.fault(57)
@pytest.mark.parametrize(
    ("field", "given_", "sentence"),
    [
        ("text", None, "expected text, got nothing"),
        ("text", True, "expected text, got true or false"),
        ("text", {}, "expected text, got an object"),
        ("text", [], "expected text, got a list"),
        ("whole", None, "expected a whole number, got nothing"),
        ("whole", True, "expected a whole number, got true or false"),
        ("whole", 7.5, "expected a whole number, got a fraction"),
        ("whole", "7.5", "expected a whole number, got a fraction"),
        ("whole", "", "could not convert"),
        ("whole", "seven", "could not convert string to float: 'seven'"),
        ("whole", "nan", "expected a whole number"),
        ("whole", "1e999", "expected a whole number"),
        ("whole", [7], "expected a whole number, got a list"),
        ("number", True, "expected a number, got true or false"),
        ("number", "inf", "expected a number, got none that is finite"),
        ("number", 10**400, "expected a number, got none that is finite"),
        ("number", None, "expected a number, got nothing"),
        ("flag", 1, "expected true or false, got a number"),
        ("flag", "yes", "expected true or false, got text"),
        ("flag", [], "expected true or false, got a list"),
        ("videos", {"url": "u"}, "expected a list, got an object"),
        ("videos", "u", "expected a list, got text"),
        ("video", [], "expected an object, got a list"),
        ("video", "u", "expected an object, got text"),
        ("anything", [], "expected an object, got a list"),
    ],
)
def test_what_cannot_be_read(field: str, given_: object, sentence: str) -> None:
    """A field that matters and cannot be read is named, with what was found in its place."""
    with pytest.raises(InvalidResponseError, match=sentence) as raised:
        structure({field: given_}, Wire)

    assert field == raised.value.path


@pytest.mark.fault(56, 57)
@pytest.mark.parametrize(
    ("field", "given_", "read"),
    [
        ("loose_text", "a", "a"),
        ("loose_text", [], None),
        ("loose_whole", "7", 7),
        ("loose_whole", "seven", None),
        ("loose_whole", 7.5, None),
        ("loose_whole", 10**400, 10**400),
        ("loose_number", "7.5", 7.5),
        ("loose_number", 10**400, None),
        ("loose_number", "1e999", None),
        ("loose_flag", "true", True),
        ("loose_flag", "perhaps", None),
        ("loose_video", {"url": "u"}, Video(url="u")),
        ("loose_video", {"width": 1}, None),
        ("loose_video", "u", None),
        ("loose_videos", [{"url": "u"}, {}, "u", None], [Video(url="u"), None, None, None]),
        ("loose_videos", {"url": "u"}, None),
    ],
)
def test_what_only_adorns_breaks_nothing(field: str, given_: object, read: Any) -> None:
    """A loose field that cannot be read is None, and the rest of the answer stands."""

    assert evolve(Wire(text="a"), **{field: read}) == structure({"text": "a", field: given_}, Wire)


@pytest.mark.fault(57)
@given(_JSON)
def test_loose_fields_take_anything(value: Any) -> None:
    """No value in a loose field is ever an error."""
    names = [name for name in Wire.__annotations__ if name.startswith("loose")]

    assert "a" == structure({"text": "a"} | dict.fromkeys(names, value), Wire).text


@given(_JSON)
def test_anything_is_structured_or_one_error(value: Any) -> None:
    """No JSON, as the whole answer or as any field, leads to an error of another kind."""
    for whole in (value, dict.fromkeys(Wire.__annotations__, value)):
        try:
            wire = structure(whole, Wire)
        except InvalidResponseError:
            continue
        assert isinstance(wire, Wire)


@pytest.mark.parametrize(
    ("value", "root", "path"),
    [
        ({"video": {}}, "", "video.url"),
        ({"video": {}}, "output", "output.video.url"),
        ({"videos": [{"url": "u"}, {"url": None}]}, "data", "data.videos[1].url"),
        ([], "data", "data"),
        ([], "", ""),
    ],
)
def test_the_path_to_a_broken_field(value: object, root: str, path: str) -> None:
    """An error names the field by its place in the whole answer, list positions included."""
    with pytest.raises(InvalidResponseError) as raised:
        structure(value, Wire, root=root)

    assert path == raised.value.path
    assert (f"(at {path})" in str(raised.value)) is bool(path)


def test_a_missing_field() -> None:
    """A field that matters and is not there is called missing."""
    with pytest.raises(InvalidResponseError, match=r"required field missing \(at url\)"):
        structure({}, Video)


def test_a_broken_field_is_quoted_short_and_clean() -> None:
    """The text of a broken field is no place for a signature or a flood, and does not confuse the path."""
    with pytest.raises(InvalidResponseError) as raised:
        structure({"whole": "https://a.example/v?x=c4n4ry @ $.other"}, Wire)
    with pytest.raises(InvalidResponseError) as flood:
        structure({"whole": "x" * 100_000}, Wire)

    assert "c4n4ry" not in str(raised.value)
    assert "whole" == raised.value.path
    assert 400 > len(str(flood.value))
    assert None is raised.value.__cause__
    assert None is raised.value.__context__


def test_a_list_of_anything_is_read() -> None:
    """`object` takes any JSON value as it is."""
    assert [1, None, {"a": []}] == structure([1, None, {"a": []}], list[object])


@frozen(kw_only=True)
class Progress:
    """A wire object with a progress."""

    progress: Percent = None


@pytest.mark.parametrize(
    ("given_", "read"),
    [
        (0, 0.0),
        (50, 50.0),
        (100, 100.0),
        ("45", 45.0),
        ("45%", 45.0),
        (" 99.5 % ", 99.5),
        (250, None),
        (-1, None),
        ("250%", None),
        (None, None),
        (True, None),
        ("half", None),
        ([50], None),
        (float("nan"), None),
    ],
)
def test_a_progress_is_a_percentage_or_none(given_: object, read: float | None) -> None:
    """A number from 0 to 100, with or without a percent sign; anything else is no progress."""
    assert read == structure({"progress": given_}, Progress).progress
