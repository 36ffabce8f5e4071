"""Which secrets prove a call, and where they come from."""

from __future__ import annotations

import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh

SECRET = "the-canary-of-the-callbacks-0451"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HIAPI_API_KEY", "sk-any")
    return tmp_path


def configured(*lines: str) -> hh.Client:
    """Make a client from a file with a section of HiAPI."""
    Path("happyhorse.toml").write_text("\n".join(["[providers.hiapi]", *lines]), "utf-8")
    return hh.Client.from_config()


async def test_secrets_are_rotated(fifth: Any, signing: Any, serve: Any, done: Any) -> None:
    """While secrets are rotated, a call is genuine with the new one and with the old one."""
    async with fifth.open(signing) as client:
        hook = await serve(hh.CallbackReceiver(client, ["the new one", "the old one"]))
        statuses = [await hook.call(done("t-9"), secret=secret) for secret in ("the new one", "the old one", "a third")]

    assert [200, 200, 401] == statuses


async def believes(client: hh.Client, secret: str) -> bool:
    """Return whether a receiver of *client* believes a callback that was signed with *secret*."""
    body, now = b'{"taskId": "t-9", "status": "success"}', str(int(time.time()))
    signature = hmac.new(secret.encode(), f"{now}.".encode() + body, "sha256").hexdigest()
    headers = {"X-HiAPI-Signature": signature, "X-HiAPI-Timestamp": now}
    async with client:
        try:
            await hh.CallbackReceiver(client).receive(headers, body)
        except hh.CallbackRejectedError:
            return False
    return True


async def test_the_secret_of_the_configuration(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`callback_secret_env` names the variable with the secret, and no repr shows it."""
    monkeypatch.setenv("MY_SECRET", SECRET)
    client = configured('callback_secret_env = "MY_SECRET"')
    receiver = hh.CallbackReceiver(client)

    assert SECRET not in repr(vars(client)) + repr(receiver)
    assert await believes(client, SECRET)
    assert not await believes(client, "another secret of some length")


async def test_several_secrets_in_a_file(directory: Path) -> None:
    """`callback_secret_file` names a file with a secret to a line, so that they can be rotated."""
    (directory / "secrets").write_text("the new one\nthe old one\n\n", "utf-8")

    client = configured('callback_secret_file = "secrets"')
    believed = [await believes(client, secret) for secret in ("the new one", "the old one", "the one before")]

    assert [True, True, False] == believed


def test_a_secret_that_is_configured_and_missing(directory: Path) -> None:
    """A variable that is named and not set is an error, and no receiver that believes everybody."""
    client = configured('callback_secret_env = "NOT_SET"')

    with pytest.raises(hh.ConfigurationError, match="NOT_SET is not set"):
        hh.CallbackReceiver(client)


@pytest.mark.parametrize(
    ("lines", "details"),
    [
        (['callback_secret_env = "A"', 'callback_secret_file = "b"'], "only one of callback_secret_env"),
        (['callback_secret_env = "not a name"'], "expected the name of an environment variable, not the secret"),
        (['callback_secret = "x"'], "unknown key providers.hiapi.callback_secret"),
    ],
)
def test_what_cannot_be_configured(directory: Path, lines: list[str], details: str) -> None:
    """A secret stands in one place, and not in the file itself."""
    with pytest.raises(hh.ConfigurationError, match=details):
        configured(*lines)


def test_a_secret_for_a_provider_that_signs_nothing(directory: Path) -> None:
    """A secret is of no use where a provider does not sign, and to believe otherwise is an error."""
    Path("happyhorse.toml").write_text('[providers.nexusflow]\ncallback_secret_env = "A"', "utf-8")

    with pytest.raises(hh.ConfigurationError, match="nexusflow signs no callbacks"):
        hh.Client.from_config()


@pytest.mark.parametrize("secret", ["", " ", [], [SECRET, ""], 7, "\ud800"])
def test_what_is_no_secret(secret: Any) -> None:
    """An empty secret would be everybody's: it is an error, and none of its neighbours is shown."""
    client = hh.Client("hiapi", api_key="sk-any")

    with pytest.raises(hh.ConfigurationError) as raised:
        hh.CallbackReceiver(client, secret)

    assert SECRET not in str(raised.value)


def test_without_a_secret_it_warns() -> None:
    """A receiver that could have a secret and has none says so, once, when it is made."""
    client = hh.Client("hiapi", api_key="sk-any")

    with pytest.warns(UserWarning, match="no secret is set for the webhooks of 'hiapi'") as warned:
        hh.CallbackReceiver(client)

    assert [__file__] == [warning.filename for warning in warned]


def test_where_nothing_is_signed_it_does_not_warn() -> None:
    """A receiver for a provider that signs nothing has nothing to say that could be mended."""
    hh.CallbackReceiver(hh.Client("nexusflow", api_key="sk-any"))


async def test_header_names_in_any_case(fifth: Any, signing: Any, done: Any) -> None:
    """The signature is found whatever the case of its header's name."""
    body = json.dumps(done("t-9")).encode()
    signature = fifth.sign(body, SECRET, time.time())
    async with fifth.open(signing) as client:
        receiver = hh.CallbackReceiver(client, SECRET)
        for name in ("x-fifth-signature", "X-FIFTH-SIGNATURE", "X-Fifth-Signature"):
            assert await receiver.receive({name: signature}, body) is None
