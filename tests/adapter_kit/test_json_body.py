"""The JSON bodies of responses and callbacks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from happyhorse_async.adapter_kit import read_json, read_object, read_refusal
from happyhorse_async.errors import InvalidResponseError
from happyhorse_async.messages import HttpResponse

_FINITE = st.floats(allow_nan=False, allow_infinity=False)
_PRINTABLE = st.text(st.characters(codec="utf-8"))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | _FINITE | _PRINTABLE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_PRINTABLE, inner, max_size=4),
    max_leaves=20,
)


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


@pytest.mark.parametrize(
    ("body", "found"),
    [(b'{"code": "x"}', {"code": "x"}), (b"", {}), (b"<html>", {}), (b"[1]", {}), (b'{"code": ', {}), (b"\xff", {})],
)
def test_a_page_instead_of_an_error_object_is_empty(body: bytes, found: dict[str, str]) -> None:
    """The JSON object of a refusal is read; a page of something in between has none."""
    assert found == read_refusal(HttpResponse(status=403, body=body))
