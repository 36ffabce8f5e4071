"""Pictures as `data:` URIs: encoded in pieces, and checked when a caller gives one."""

from __future__ import annotations

import base64

import pytest

import happyhorse_async as hh
from happyhorse_async.errors import InvalidRequestError
from happyhorse_async.media import data_uri
from happyhorse_async.media.formats import MediaFormat

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(100))


def test_a_uri_is_read_by_its_content() -> None:
    """The bytes and the format come back."""
    uri = "data:image/png;base64," + base64.b64encode(PNG).decode()

    assert (MediaFormat.PNG, PNG) == data_uri.decode(uri, name="image")


def test_a_common_misspelling_of_jpeg_is_taken() -> None:
    """image/jpg is not registered, but some providers list it."""
    uri = "data:image/jpg;base64," + base64.b64encode(b"\xff\xd8\xff\xe0").decode()

    assert MediaFormat.JPEG is data_uri.decode(uri, name="image")[0]


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("data:image/png,abc", "must be written data:image/png;base64"),
        ("data:", "must be written data:image/png;base64"),
        ("data:image/png;base64,A*==", "is not valid base64"),
        ("data:image/png;base64,QQ=", "is not valid base64"),
        ("data:image/png;base64,AAAA", "holds no picture that is known"),
        ("data:image/jpeg;base64," + base64.b64encode(PNG).decode(), "says image/jpeg, and its content is image/png"),
        ("data:text/html;base64," + base64.b64encode(PNG).decode(), "says text/html, and its content is image/png"),
        (";base64,AAAA", "must be written"),
    ],
)
def test_what_cannot_be_a_picture_is_named(uri: str, why: str) -> None:
    """The field and the reason are named; the URI itself is not repeated."""
    with pytest.raises(InvalidRequestError, match=why) as raised:
        data_uri.decode(uri, name="image")

    assert str(raised.value).startswith("image: ")
    assert "iVBOR" not in str(raised.value)


def test_a_plan_shows_a_uri_as_it_was_given() -> None:
    """A plan reads no more than the beginning of a URI, and its message is the one that the caller expects."""
    uri = "data:image/png;base64," + base64.b64encode(PNG).decode()
    plan = hh.Client("dashscope", api_key="sk-0123456789").plan(hh.ImageToVideo(uri))

    assert uri in (plan.messages[-1].body or b"").decode()
    assert [(len(PNG), "image/png")] == [(medium.size, medium.mime) for medium in plan.media]
