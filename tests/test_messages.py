"""HTTP messages as plain data."""

from __future__ import annotations

import pytest
from attrs.exceptions import FrozenInstanceError

from happyhorse_async.messages import HttpRequest, HttpResponse

REQUEST = HttpRequest(
    method="POST",
    url="https://user:c4n4ry@a.example/tasks?key=c4n4ry",
    headers={"Authorization": "Bearer c4n4ry", "X-Api-Key": "c4n4ry", "Content-Type": "application/json"},
    body=b'{"prompt": "c4n4ry"}',
)


def test_a_request_is_kept_to_the_letter() -> None:
    """The spelling of a header is the provider's, and its value is there for whoever sends it."""

    assert ["Authorization", "X-Api-Key", "Content-Type"] == list(REQUEST.headers)
    assert "Bearer c4n4ry" == REQUEST.headers["Authorization"]


@pytest.mark.fault(86)
def test_a_repr_of_a_request_shows_no_secret() -> None:
    """A request can be logged: neither credentials nor the body are in its repr."""
    shown = repr(REQUEST)

    assert "c4n4ry" not in shown
    assert "'https://***@a.example/tasks?***'" in shown
    assert "'Content-Type': 'application/json'" in shown
    assert "<20 bytes>" in shown
    assert "body=None" in repr(HttpRequest(method="GET", url="https://a.example"))


def test_a_repr_of_a_response_shows_no_secret() -> None:
    """A response can be logged: neither cookies nor the body are in its repr."""
    shown = repr(HttpResponse(status=200, headers={"Set-Cookie": "c4n4ry", "X-Request-Id": "7"}, body=b"c4n4ry"))

    assert "c4n4ry" not in shown
    assert "'x-request-id': '7'" in shown
    assert "<6 bytes>" in shown


def test_the_header_names_of_a_response_are_lower_case() -> None:
    """Headers are found by one spelling, whatever the server's."""
    response = HttpResponse(status=200, headers={"Retry-After": "5", "DATE": "x"})

    assert {"retry-after": "5", "date": "x"} == dict(response.headers)


@pytest.mark.parametrize(("status", "ok"), [(199, False), (200, True), (204, True), (299, True), (300, False)])
def test_what_is_a_success(status: int, ok: bool) -> None:
    """The statuses of 200 to 299 are a success, no others."""

    assert ok is HttpResponse(status=status).ok


def test_messages_cannot_be_changed() -> None:
    """What is sent is what was encoded, header by header; a change to the given mapping does not reach it."""
    headers = {"A": "1"}
    request = HttpRequest(method="GET", url="https://a.example", headers=headers)
    response = HttpResponse(status=200, headers=headers)
    headers["A"] = "2"

    assert "1" == request.headers["A"]
    assert "1" == response.headers["a"]
    with pytest.raises(FrozenInstanceError):
        request.url = "https://b.example"  # type: ignore[misc]
    with pytest.raises(TypeError, match="item assignment"):
        request.headers["A"] = "3"  # type: ignore[index]
    with pytest.raises(TypeError, match="item assignment"):
        response.headers["a"] = "3"  # type: ignore[index]


def test_equal_messages_hash_alike() -> None:
    """A message can be a key although it holds mappings."""

    assert 1 == len({REQUEST, HttpRequest(method="POST", url=REQUEST.url, headers=REQUEST.headers, body=REQUEST.body)})
    assert 1 == len({HttpResponse(status=200), HttpResponse(status=200)})
