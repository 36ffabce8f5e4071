"""HiAPI's callbacks: how they are signed, and what they say. https://docs.hiapi.ai/async-api/"""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import happyhorse_async as hh
from happyhorse_adapters.hiapi import HiAPIAdapter

ADAPTER = HiAPIAdapter()
ACCOUNT = ADAPTER.account(provider="hiapi", api_key="sk-any")
SECRET = "0123456789abcdef"
BODY = b'{"taskId":"tk-hiapi-X","status":"success"}'
AT = 1_780_000_000
NOW = datetime.fromtimestamp(AT, UTC)
# Computed once by other means: openssl dgst -sha256 -hmac 0123456789abcdef
SIGNATURE = "f538d415db88f2b50c773ad9a1398d2cff8b3d8ac32473e4b4ed4fd5b47f606b"


def call(body: bytes = BODY, *, at: str = str(AT), signature: str = SIGNATURE) -> hh.HttpRequest:
    """Make a call as HiAPI sends it."""
    headers = {"x-hiapi-timestamp": at, "x-hiapi-signature": signature}
    return hh.HttpRequest(method="POST", url="", headers=headers, body=body)


def test_a_genuine_call() -> None:
    """The HMAC-SHA256 of timestamp, full stop and raw body proves a call."""

    ADAPTER.verify_callback(call(), [SECRET], NOW)


def test_any_of_several_secrets() -> None:
    """While the signing key is changed, the old one and the new one both prove a call."""

    ADAPTER.verify_callback(call(), ["the new signing key", SECRET], NOW)


def test_a_secret_of_other_letters() -> None:
    """A secret is text in UTF-8, and a body is any bytes."""
    secret, body = "пароль-и-ещё-немного", b"\xff\x00"
    signature = hmac.new(secret.encode(), b"%d." % AT + body, hashlib.sha256).hexdigest()

    ADAPTER.verify_callback(call(body, signature=signature), [secret], NOW)


@pytest.mark.parametrize("skew", [-300, -1, 0, 299, 300])
def test_the_window(skew: int) -> None:
    """A signature is good for five minutes either way."""

    ADAPTER.verify_callback(call(), [SECRET], NOW + timedelta(seconds=skew))


@pytest.mark.fault(50)
@pytest.mark.parametrize(("skew", "told"), [(301, "301 s ago"), (-301, "301 s from now"), (86_400, "86400 s ago")])
def test_outside_the_window(skew: int, told: str) -> None:
    """An older or younger signature is refused, and the error names the clock as a likely cause."""
    with pytest.raises(hh.CallbackRejectedError, match=f"{told}.* clock of this machine"):
        ADAPTER.verify_callback(call(), [SECRET], NOW + timedelta(seconds=skew))


@pytest.mark.fault(49)
@pytest.mark.parametrize(
    "changes",
    [
        {"body": BODY + b" "},
        {"body": b""},
        {"at": str(AT + 1)},
        {"at": f"{AT}.0"},
        {"at": f" {AT}"},
        {"at": f"+{AT}"},
        {"at": "\u0661" * 10},
        {"at": ""},
        {"at": "9" * 4000},
        {"signature": ""},
        {"signature": SIGNATURE.upper()},
        {"signature": SIGNATURE[:-1]},
        {"signature": SIGNATURE + "0"},
        {"signature": f"sha256={SIGNATURE}"},
        {"signature": f"{SIGNATURE}, {SIGNATURE}"},
        {"signature": "\xe9" * 64},
        {"signature": "\udcff" * 64},
    ],
    ids=str,
)
def test_a_call_that_is_not_genuine(changes: dict[str, Any]) -> None:
    """Whatever differs from what was signed, or is written otherwise than HiAPI writes it, is refused."""
    with pytest.raises(hh.CallbackRejectedError) as raised:
        ADAPTER.verify_callback(call(**changes), [SECRET], NOW)

    assert 401 == raised.value.http_status
    assert SECRET not in str(raised.value)


@pytest.mark.fault(49)
def test_another_secret() -> None:
    """A call that is signed with another secret is refused."""
    with pytest.raises(hh.CallbackRejectedError, match="fits none of the secrets"):
        ADAPTER.verify_callback(call(), ["fedcba9876543210"], NOW)


def test_what_it_says() -> None:
    """The body is the bare task, as a query has it in its envelope."""
    output = [
        {"type": "first_frame", "url": "https://cdn.example/f.jpg", "expireAt": 1_780_604_890},
        {"type": "video", "url": "https://cdn.example/v.mp4", "expireAt": 1_780_604_890},
    ]
    said = {"taskId": "tk-1", "model": "happyhorse-1-0", "status": "success", "completed": AT, "output": output}
    body = json.dumps(said).encode()
    envelope = json.dumps({"code": 200, "message": "success", "data": said}).encode()

    task = ADAPTER.decode_callback(call(body), ACCOUNT)

    assert (hh.TaskStatus.SUCCEEDED, "https://cdn.example/v.mp4", NOW) == (
        task.status,
        task.video_url,
        task.finished_at,
    )
    assert ADAPTER.decode_fetch(hh.HttpResponse(status=200, body=envelope), "tk-1", ACCOUNT) == task


def test_a_failure() -> None:
    """A failed task comes with the provider's code and words."""
    body = b'{"taskId": "tk-1", "status": "fail", "error": {"code": "TASK_FAILED", "message": "no luck"}}'
    task = ADAPTER.decode_callback(call(body), ACCOUNT)

    assert (hh.TaskStatus.FAILED, "TASK_FAILED", "no luck") == (task.status, task.error.code, task.error.message)


@pytest.mark.parametrize(
    "body", [b"{}", b'{"taskId": "tk-1"}', b'{"status": "success"}', b'{"taskId": "", "status": "x"}']
)
def test_a_call_without_a_task(body: bytes) -> None:
    """A call that names no task, or says nothing of it, cannot be understood."""
    with pytest.raises(hh.InvalidResponseError):
        ADAPTER.decode_callback(call(body), ACCOUNT)
