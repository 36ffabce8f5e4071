"""From the bytes of a reply to typed wire objects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st

from happyhorse_async.adapter_kit.decoding import Lax, from_epoch, parse_datetime, read_json, read_object, structure
from happyhorse_async.errors import InvalidResponseError
from happyhorse_async.messages import HttpResponse

BEIJING = timezone(timedelta(hours=8))

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


def answer(body: bytes) -> HttpResponse:
    """Make an answer with *body*."""
    return HttpResponse(status=200, body=body)


@given(_JSON)
def test_json_is_read(value: Any) -> None:
    """Whatever JSON can say is read as it was written, with escapes and without."""

    assert value == read_json(answer(json.dumps(value).encode()))
    assert value == read_json(answer(json.dumps(value, ensure_ascii=False).encode()))


@given(st.binary() | st.text().map(str.encode) | _JSON.map(lambda value: json.dumps(value).encode()[:-1]))
def test_any_bytes_are_json_or_one_error(body: bytes) -> None:
    """Bytes are JSON that can be written down again, or an InvalidResponseError."""
    try:
        value = read_json(answer(body))
    except InvalidResponseError:
        return

    assert value == json.loads(json.dumps(value, ensure_ascii=False, allow_nan=False).encode())


@pytest.mark.fault(13, 16, 21, 22)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"not found",
        b"<html>login</html>",
        b'{"a": 1',
        b'{"a": 1} {"b": 2}',
        b"\xef\xbb\xbf{}",
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-16-le"),
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'"\\ud83d"',
        b'{"\\uDE00": 1}',
        b'{"a": "\\ude00\\ud83d"}',
        b"[NaN]",
        b"[Infinity]",
        b"[-Infinity]",
        b"[1e999]",
        b"[-1e999]",
        b"[" + b"9" * 5000 + b"]",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'["a\x00b"]',
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_not_json(body: bytes) -> None:
    """A cut, foreign, broken or hostile body is refused with one kind of error."""
    with pytest.raises(InvalidResponseError, match="the answer is not readable JSON") as raised:
        read_json(answer(body))

    assert ("", 200) == (raised.value.path, raised.value.status_code)
    assert 1000 > len(str(raised.value))


def test_a_pair_of_surrogates_is_one_character() -> None:
    """A character beyond the basic plane may be escaped as a pair, in either case."""

    assert ["😀", "😀", "\\ud83d"] == read_json(answer(rb'["\ud83d\ude00", "\uD83D\uDE00", "\\ud83d"]'))


def test_an_unreadable_answer_is_quoted() -> None:
    """The error has the beginning of the body, on one line, and no signature from it."""
    with pytest.raises(InvalidResponseError) as raised:
        read_json(answer(b'{"a":\n  "https:\\/\\/a.example\\/v?Signature=c4n4ry", ' + b"x" * 10_000))

    assert 'not readable JSON: \'{"a": "https:' in str(raised.value)
    assert "c4n4ry" not in str(raised.value)
    assert 400 > len(str(raised.value))


@pytest.mark.parametrize("body", [b'{"url": "https://a.example/v?x=c4n4ry', b'{"url": "https://a.example/c4n4ry"}\xff'])
def test_an_unreadable_answer_leaves_no_body_behind(body: bytes) -> None:
    """The decoder's own error, which holds the whole body, is not kept beside ours."""
    with pytest.raises(InvalidResponseError) as raised:
        read_json(answer(body))

    assert None is raised.value.__cause__
    assert None is raised.value.__context__


def test_an_object_is_read() -> None:
    """An object is given as it is."""

    assert {"a": [1]} == read_object(answer(b'{"a": [1]}'))


@pytest.mark.parametrize(("body", "kind"), [(b"[]", "list"), (b'"a"', "str"), (b"null", "NoneType"), (b"1", "int")])
def test_what_is_no_object(body: bytes, kind: str) -> None:
    """JSON that is no object is refused, and what it is instead is named."""
    with pytest.raises(InvalidResponseError, match=f"a JSON {kind}, not an object"):
        read_object(answer(body))


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


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-21T07:00:00Z", datetime(2026, 11, 21, 7, tzinfo=UTC)),
        ("2026-11-21T07:00:00+08:00", datetime(2026, 11, 21, 7, tzinfo=BEIJING)),
        ("2026-11-21T07:00:00", datetime(2026, 11, 21, 7, tzinfo=UTC)),
        ("2026-11-21 07:00:00.123", datetime(2026, 11, 21, 7, 0, 0, 123_000, tzinfo=UTC)),
        (" 2026-11-21 07:00:00 ", datetime(2026, 11, 21, 7, tzinfo=UTC)),
        (None, None),
        ("", None),
        ("  ", None),
        ("yesterday", None),
        ("2026-02-31 00:00:00", None),
        ("0001-01-01T00:00:00", None),
        ("9999-12-31T23:59:59", None),
    ],
)
def test_timestamps(text: str | None, moment: datetime | None) -> None:
    """A timestamp of either form is read; what is none, or lies at the ends of the calendar, is None."""

    assert moment == parse_datetime(text)


def test_a_timestamp_without_a_zone() -> None:
    """A provider's habitual zone holds where the text names none, and only there."""

    assert "2026-11-21T07:00:00+08:00" == parse_datetime("2026-11-21 07:00:00", default_zone=BEIJING).isoformat()  # type: ignore[union-attr]
    assert "2026-11-21T07:00:00+00:00" == parse_datetime("2026-11-21T07:00:00Z", default_zone=BEIJING).isoformat()  # type: ignore[union-attr]


@given(st.text() | st.datetimes().map(str) | st.datetimes(timezones=st.just(BEIJING)).map(datetime.isoformat))
def test_any_text_is_a_safe_moment_or_none(text: str) -> None:
    """Whatever was read has a zone, and a day can be added to it or taken from it in any zone."""
    moment = parse_datetime(text)

    assert moment is None or None is not moment.tzinfo
    assert moment is None or (moment - timedelta(days=1)).astimezone(UTC) < moment + timedelta(days=1)


@pytest.mark.parametrize(
    ("seconds", "moment"),
    [
        (1_795_244_400, datetime(2026, 11, 21, 7, tzinfo=UTC)),
        (1_795_244_400.5, datetime(2026, 11, 21, 7, 0, 0, 500_000, tzinfo=UTC)),
        (None, None),
        (0, None),
        (0.0, None),
        (-1, None),
        (1_795_244_400_000, None),
        (10**400, None),
        (float("nan"), None),
        (float("inf"), None),
        (253_402_300_799, None),
    ],
)
def test_unix_seconds(seconds: float | None, moment: datetime | None) -> None:
    """Unix seconds are read; zero, which stands for "not yet", and what is no time are None."""

    assert moment == from_epoch(seconds)


@given(st.floats() | st.integers())
def test_any_number_is_a_moment_or_none(seconds: float) -> None:
    """No number breaks the reading of a time."""
    moment = from_epoch(seconds)

    assert moment is None or UTC is moment.tzinfo
