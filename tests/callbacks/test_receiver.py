"""What a webhook receiver rejects before it looks at the content: secrets, encodings and arguments."""

from __future__ import annotations

import gzip
import json
import logging
import time
import zlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

import pytest

import happyhorse_async as hh

from .conftest import SECRET

if TYPE_CHECKING:
    from conftest import Fifth

    from .conftest import Hook, Serve


@pytest.fixture
def client() -> hh.Client:
    return hh.Client("hiapi", api_key="sk-any")


@pytest.fixture
async def hook(fifth: Fifth, signing: Any, serve: Serve) -> AsyncGenerator[Hook]:
    """Serve a receiver in each of the web frameworks."""
    async with fifth.open(signing) as client:
        yield await serve(hh.CallbackReceiver(client, SECRET))


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ("whsec\n", "a (line break|space) before or after it"),
        ("whsec\r\n", "a (line break|space) before or after it"),
        (" whsec", "a (line break|space) before or after it"),
        ("whsec ", "a (line break|space) before or after it"),
        (["whsec", "whsec\n"], "a (line break|space) before or after it"),
        ('"whsec"', "quotation marks"),
        ("'whsec'", "quotation marks"),
        ("w", "fewer than 4 characters"),
        ("abc", "fewer than 4 characters"),
        ("", "empty"),
        (5, "expected text or a list of texts, not int"),
        (b"whsec", "not bytes"),
        ([5], "a secret is text"),
        ([], "an empty list"),
        ({"a": "whsec"}, "not dict"),
    ],
    ids=repr,
)
def test_a_secret_that_can_match_no_signature_is_rejected(client: hh.Client, secret: Any, reason: str) -> None:
    """The error says why, and does not show the secret."""
    with pytest.raises(hh.ConfigurationError, match=reason) as raised:
        hh.CallbackReceiver(client, secret)

    assert "whsec" not in str(raised.value)


@pytest.mark.parametrize("secret", ["whsec", "it's", 'say "hello"', ["the new secret", "the old secret"], ("four",)])
def test_other_secrets_are_accepted(client: hh.Client, secret: Any) -> None:
    assert hh.CallbackReceiver(client, secret) is not None


def test_a_short_secret_is_mentioned_in_the_log(client: hh.Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "happyhorse_async")
    hh.CallbackReceiver(client, "whsec")
    hh.CallbackReceiver(client, "0123456789abcdef")

    [message] = caplog.messages
    assert "the callback secret is short" in message
    assert "whsec" not in message


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate"])
async def test_a_compressed_webhook_is_answered_with_415_in_every_framework(
    hook: Hook, done: Any, encoding: str
) -> None:
    """Some frameworks decompress a body before it can be verified."""
    body = json.dumps(done("t-1")).encode()
    packed = {"gzip": gzip.compress(body), "deflate": zlib.compress(body)}.get(encoding.lower(), body)

    assert 415 == await hook.call(packed, headers={"Content-Encoding": encoding})


async def test_a_webhook_with_the_identity_encoding_is_accepted(hook: Hook, done: Any) -> None:
    assert 200 == await hook.call(done("t-9"), headers={"Content-Encoding": "identity"})


async def test_receive_rejects_a_compressed_body_with_415(fifth: Fifth, signing: Any) -> None:
    async with fifth.open(signing) as client:
        with pytest.raises(hh.CallbackRejectedError, match="compressed") as raised:
            await hh.CallbackReceiver(client, SECRET).receive({"Content-Encoding": "gzip"}, b"{}")

    assert 415 == raised.value.http_status


@pytest.mark.parametrize(
    ("headers", "body", "problem"),
    [
        (None, b"", "headers of the request as a mapping, not None"),
        ([("A", "b")], b"", "headers of the request as a mapping, not list"),
        ({"A": 7}, b"", "names and values are text"),
        ({b"A": b"b"}, b"", "names and values are text"),
        ({}, None, "body as bytes, exactly as received, not None"),
        ({}, "{}", "body as bytes, exactly as received, not str"),
        ({}, {"id": "t-1"}, "body as bytes, exactly as received, not dict"),
    ],
)
async def test_arguments_of_a_wrong_type_are_a_configuration_error(
    fifth: Fifth, signing: Any, headers: Any, body: Any, problem: str
) -> None:
    """It names the argument and what it should be."""
    async with fifth.open(signing) as client:
        with pytest.raises(hh.ConfigurationError, match=problem):
            await hh.CallbackReceiver(client, SECRET).receive(headers, body)


async def test_header_values_may_come_in_lists(fifth: Fifth, signing: Any, done: Any) -> None:
    """Some frameworks give each header a list of values."""
    body = json.dumps(done("t-9")).encode()
    headers = {"Content-Type": ["application/json"], "X-Fifth-Signature": [fifth.sign(body, SECRET, time.time())]}
    async with fifth.open(signing) as client:
        assert await hh.CallbackReceiver(client, SECRET).receive(headers, body) is None  # type: ignore[arg-type]
