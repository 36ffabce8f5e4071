"""KIE's callbacks: how they are signed, and that they are hints. https://docs.kie.ai/common-api/webhook-verification"""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import new
from typing import Any

import pytest

import happyhorse_async as hh
from happyhorse_adapters.kie import KieAdapter

ADAPTER = KieAdapter()
ACCOUNT = ADAPTER.account(provider="kie", api_key="sk-canary")
SECRET = "0123456789abcdef"
AT = 1_780_000_000
NOW = datetime.fromtimestamp(AT, UTC)
# Computed once by other means: openssl dgst -sha256 -hmac 0123456789abcdef -binary | base64
SIGNATURE = "85gK78hA0oXSGmisl06NM7HwKBKaG1/P+wDf8sq3JYw="
BODY = b'{"code":200,"msg":"ok","data":{"taskId":"task_example_1","state":"success"}}'


def call(body: bytes = BODY, *, at: str = str(AT), signature: str = SIGNATURE) -> hh.HttpRequest:
    headers = {"x-webhook-timestamp": at, "x-webhook-signature": signature}
    return hh.HttpRequest(method="POST", url="", headers=headers, body=body)


def test_a_genuine_callback() -> None:
    """The HMAC-SHA256 of task id, full stop and timestamp proves a callback, with any of the secrets."""
    ADAPTER.verify_callback(call(), [SECRET], NOW)
    ADAPTER.verify_callback(call(), ["the new key", SECRET], NOW)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (call(signature=""), "not signed"),
        (call(at=""), "not signed"),
        (call(at="soon"), "timestamp"),
        (call(at="\N{ARABIC-INDIC DIGIT ONE}"), "timestamp"),
        (call(at=str(AT + 1)), "signature"),
        (call(signature=SIGNATURE.lower()), "signature"),
        (call(BODY.replace(b"example_1", b"example_2")), "signature"),
        (call(b"not JSON"), "JSON"),
        (call(b"{}"), "no task"),
    ],
)
def test_a_forged_callback_is_rejected(message: hh.HttpRequest, told: str) -> None:
    """Another id, another time, another signature, or none."""
    with pytest.raises(hh.CallbackRejectedError, match=told):
        ADAPTER.verify_callback(message, [SECRET], NOW)


@pytest.mark.parametrize("skew", [-301, 301, 86_400])
def test_an_old_callback_is_rejected(skew: int) -> None:
    """The page has no window; ours is five minutes either way."""
    ADAPTER.verify_callback(call(), [SECRET], NOW + timedelta(seconds=300))
    with pytest.raises(hh.CallbackRejectedError, match="replayed"):
        ADAPTER.verify_callback(call(), [SECRET], NOW + timedelta(seconds=skew))


@pytest.mark.parametrize(
    "said",
    [
        {"code": 200, "data": {"taskId": "t-1", "state": "success"}},
        {"code": 501, "msg": "Playground task failed.", "data": {"task_id": "t-1", "state": "fail"}},
        {"taskId": "t-1"},
        {"task_id": "t-1", "data": None},
        {"data": {"taskId": ""}, "taskId": "t-1"},
    ],
)
def test_a_callback_names_its_task_and_nothing_else(said: dict[str, Any]) -> None:
    """Its body is not signed, so that none of it is believed. The pages spell the id in two ways, in two places."""
    message = hh.HttpRequest(method="POST", url="", body=json.dumps(said).encode())

    assert ADAPTER.decode_callback(message, ACCOUNT) == hh.TaskRef("kie", "t-1")


TASK = "task_example_1"
RUNNING = {"code": 200, "msg": "success", "data": {"taskId": TASK, "state": "generating"}}
RESULT = json.dumps({"resultUrls": ["https://files.example.net/v.mp4"]})
DONE = {"code": 200, "msg": "success", "data": {"taskId": TASK, "state": "success", "resultJson": RESULT}}
FORGED = {"code": 501, "msg": "no", "data": {"taskId": TASK, "state": "fail", "failCode": "500", "failMsg": "forged"}}


def signed(said: dict[str, Any], *, secret: str = SECRET) -> tuple[dict[str, str], bytes]:
    at = str(int(time.time()))
    digest = new(secret.encode(), f"{TASK}.{at}".encode(), sha256).digest()
    headers = {"X-Webhook-Timestamp": at, "X-Webhook-Signature": b64encode(digest).decode()}
    return headers, json.dumps(said).encode()


@pytest.fixture
async def client(gateway: Any) -> AsyncIterator[hh.Client]:
    gateway.on("POST", "/api/v1/jobs/createTask", {"code": 200, "msg": "success", "data": {"taskId": TASK}})
    gateway.on("GET", "/api/v1/jobs/recordInfo", RUNNING)
    quiet = hh.PollSchedule(interval=600, first_after=600)
    async with hh.Client("kie", api_key="sk-canary", base_url=gateway.url, poll=quiet) as client:
        yield client


async def test_a_genuine_callback_is_confirmed_by_a_query(gateway: Any, client: hh.Client) -> None:
    """The task is what the query says, and its waiters are told."""
    handle = await client.submit(hh.TextToVideo("a kite", resolution="720P"), callback_url="https://app.example/kie")
    receiver = hh.CallbackReceiver(client, SECRET)
    gateway.on("GET", "/api/v1/jobs/recordInfo", DONE)
    task = await receiver.receive(*signed(DONE))

    assert task is not None
    assert task.video_url == "https://files.example.net/v.mp4"
    assert (await handle).status is hh.TaskStatus.SUCCEEDED
    assert len(gateway.seen("GET", "/api/v1/jobs/recordInfo")) == 1


async def test_a_signed_body_that_lies_changes_nothing(gateway: Any, client: hh.Client) -> None:
    """Whoever has seen a signature can send another body with it: the query decides."""
    handle = await client.submit(hh.TextToVideo("a kite", resolution="720P"), callback_url="https://app.example/kie")
    receiver = hh.CallbackReceiver(client, SECRET)
    task = await receiver.receive(*signed(FORGED))

    assert task is not None
    assert task.status is hh.TaskStatus.RUNNING
    assert handle.task is not None
    assert not handle.task.status.is_terminal


async def test_a_callback_with_a_wrong_signature_is_not_even_queried(gateway: Any, client: hh.Client) -> None:
    """It costs the account no request."""
    await client.submit(hh.TextToVideo("a kite", resolution="720P"), callback_url="https://app.example/kie")
    receiver = hh.CallbackReceiver(client, SECRET)
    with pytest.raises(hh.CallbackRejectedError):
        await receiver.receive(*signed(FORGED, secret="another key of the account"))

    assert gateway.seen("GET", "/api/v1/jobs/recordInfo") == []


async def test_without_a_key_a_callback_is_a_hint_as_well(gateway: Any, client: hh.Client) -> None:
    """The signature is optional at KIE: without it, a callback is confirmed in the same way."""
    handle = await client.submit(hh.TextToVideo("a kite", resolution="720P"), callback_url="https://app.example/kie")
    with pytest.warns(UserWarning, match="cannot be verified"):
        receiver = hh.CallbackReceiver(client)
    gateway.on("GET", "/api/v1/jobs/recordInfo", DONE)
    await receiver.receive({}, json.dumps(FORGED).encode())

    assert (await handle).status is hh.TaskStatus.SUCCEEDED


async def test_a_callback_about_a_stranger_s_task_is_remembered_and_answered(client: hh.Client) -> None:
    """It is genuine, and its submit may be about to be answered."""
    receiver = hh.CallbackReceiver(client, SECRET)

    assert await receiver.receive(*signed(DONE)) is None
