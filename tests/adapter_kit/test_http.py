"""HTTP requests to JSON APIs."""

from __future__ import annotations

import pytest

from happyhorse_async.adapter import Account
from happyhorse_async.adapter_kit import BEARER, KEY, AuthScheme, json_request, request_id
from happyhorse_async.errors import InvalidRequestError
from happyhorse_async.messages import HttpResponse

ACCOUNT = Account(provider="main", api_key="sk-c4n4ry", base_url="https://a.example")
URL = "https://a.example/v1/videos"


@pytest.mark.parametrize(
    ("auth", "headers"),
    [
        (BEARER, {"Authorization": "Bearer sk-c4n4ry"}),
        (KEY, {"Authorization": "Key sk-c4n4ry"}),
        (AuthScheme("X-Api-Key"), {"X-Api-Key": "sk-c4n4ry"}),
        (None, {}),
    ],
)
def test_the_key_is_sent_as_declared(auth: AuthScheme | None, headers: dict[str, str]) -> None:
    """The key stands in the header of its scheme and in no other."""
    message = json_request("GET", URL, ACCOUNT, auth=auth)

    assert {"Accept": "application/json", **headers} == dict(message.headers)
    assert message.body is None


def test_bearer_is_the_default() -> None:
    """Most APIs take a bearer token."""
    assert json_request("GET", URL, ACCOUNT) == json_request("GET", URL, ACCOUNT, auth=BEARER)


def test_a_body_is_compact_json() -> None:
    """The same fields give the same bytes, in UTF-8 without blanks."""
    message = json_request("POST", URL, ACCOUNT, body={"prompt": "风筝", "seed": 7}, headers={"X-Once": "1"})

    assert '{"prompt":"风筝","seed":7}'.encode() == message.body
    assert ("application/json", "1") == (message.headers["Content-Type"], message.headers["X-Once"])


@pytest.mark.parametrize("value", [object(), float("nan"), "a kite \ud800"])
def test_a_body_that_cannot_be_written_is_refused(value: object) -> None:
    """The error names the problem and carries nothing of the body, in its causes neither."""
    with pytest.raises(InvalidRequestError) as caught:
        json_request("POST", URL, ACCOUNT, body={"prompt": value, "image": "https://i.example/?Signature=s3cr3t"})

    error: BaseException | None = caught.value
    while error is not None:
        assert "s3cr3t" not in repr(error) + repr(error.args)
        error = error.__cause__ or error.__context__


def test_the_request_id_stands_in_the_usual_header() -> None:
    """`X-Request-Id` names the call at most providers."""
    assert "r-1" == request_id(HttpResponse(status=200, headers={"X-Request-ID": "r-1"}))
    assert request_id(HttpResponse(status=200, headers={"X-Request-ID": ""})) is None
