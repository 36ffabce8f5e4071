"""Webhooks with keys that fal publishes: https://docs.fal.ai/documentation/model-apis/inference/webhooks."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import happyhorse_async as hh

from .conftest import ID, VIDEO

KEYS = "/.well-known/jwks.json"
OK = {"request_id": ID, "gateway_request_id": ID, "status": "OK", "error": None, "payload": VIDEO}
REF = hh.TaskRef("fal", ID)
REQUEST = hh.TextToVideo("a kite")
HOOK = "https://hooks.example.org/hh"


async def accepted(fal: Any, client: hh.Client) -> hh.TaskHandle:
    """Submit a request whose status is not requested for a while."""
    fal.accept()
    fal.show("IN_PROGRESS")
    return await client.submit(REQUEST, callback_url=HOOK)


async def test_a_genuine_webhook_ends_the_task(fal: Any) -> None:
    """The key set is requested once, without the API key, and the webhook has the whole result."""
    fal.gateway.on("GET", KEYS, fal.publish())
    async with fal.open() as client:
        handle = await accepted(fal, client)
        receiver = hh.CallbackReceiver(client)
        for _ in range(2):
            task = await receiver.receive(*fal.signed(OK))
        assert task is not None
        assert "https://files.example.net/b/x/y.mp4" == task.video_url
        assert "https://files.example.net/b/x/y.mp4" == (await handle).video_url

    (asked,) = fal.gateway.seen("GET", KEYS)
    assert "authorization" not in asked.headers
    (query,) = [urlsplit(seen.target).query for seen in fal.gateway.seen("POST")]
    assert parse_qs(query)["fal_webhook"][0].startswith(f"{HOOK}?happyhorse_account=fal&happyhorse_job=hh-")


async def test_a_webhook_of_a_failed_run(fal: Any) -> None:
    """Its payload has the model's list."""
    payload = {"detail": [{"loc": ["body", "prompt"], "msg": "Not allowed", "type": "content_policy_violation"}]}
    said = {"request_id": ID, "status": "ERROR", "error": "Invalid status code: 422", "payload": payload}
    fal.gateway.on("GET", KEYS, fal.publish())
    async with fal.open() as client:
        handle = await accepted(fal, client)
        await hh.CallbackReceiver(client).receive(*fal.signed(said))
        with pytest.raises(hh.TaskFailedError) as caught:
            await handle

    assert hh.FailureReason.CONTENT_REJECTED is caught.value.reason


async def test_a_webhook_without_its_payload_is_a_reason_to_poll(fal: Any) -> None:
    """What could not be made into JSON is found by the request for the result."""
    said = {"request_id": ID, "status": "OK", "payload": None, "payload_error": "not serializable"}
    fal.gateway.on("GET", KEYS, fal.publish())
    async with fal.open() as client:
        await accepted(fal, client)
        fal.show("COMPLETED")
        fal.deliver(VIDEO)
        task = await hh.CallbackReceiver(client).receive(*fal.signed(said))

    assert task is not None
    assert task.video_url


async def test_forged_and_replayed_webhooks_change_nothing(fal: Any) -> None:
    """A stranger's key, another body, another id in the header, and an old or a future time are refused."""
    stranger = Ed25519PrivateKey.generate()
    headers, body = fal.signed(OK)
    forged = [
        fal.signed(OK, by=stranger),
        (headers, body + b" "),
        fal.signed({**OK, "request_id": "22222222-2222-4333-8444-555555555555"}),
        fal.signed(OK, at=time.time() - 301),
        fal.signed(OK, at=time.time() + 301),
        ({**headers, "X-Fal-Webhook-Signature": "00"}, body),
        ({}, body),
    ]
    fal.gateway.on("GET", KEYS, fal.publish())
    async with fal.open() as client:
        handle = await accepted(fal, client)
        receiver = hh.CallbackReceiver(client)
        for each in forged:
            with pytest.raises(hh.CallbackRejectedError) as caught:
                await receiver.receive(*each)
            assert 401 == caught.value.http_status
        assert not (await client.fetch(handle.ref)).status.is_terminal

    assert 1 == len(fal.gateway.seen("GET", KEYS))


async def test_stale_and_unsigned_webhooks_cause_no_request(fal: Any) -> None:
    """They are refused before any key is needed."""
    async with fal.open() as client:
        receiver = hh.CallbackReceiver(client)
        for headers, body in (fal.signed(OK, at=time.time() - 1000), ({}, b"{}")):
            with pytest.raises(hh.CallbackRejectedError):
                await receiver.receive(headers, body)

    assert [] == fal.gateway.seen("GET")


async def test_a_new_key_is_found_within_a_minute(fal: Any) -> None:
    """However many strangers send, the key set is requested once a minute at most."""
    new = Ed25519PrivateKey.generate()
    fal.gateway.on("GET", KEYS, fal.publish(), fal.publish(fal.signer, new))
    async with fal.open() as client:
        await accepted(fal, client)
        receiver = hh.CallbackReceiver(client)
        assert await receiver.receive(*fal.signed(OK))
        for _ in range(20):
            with pytest.raises(hh.CallbackRejectedError):
                await receiver.receive(*fal.signed(OK, by=new))
        assert 1 == len(fal.gateway.seen("GET", KEYS))
        await asyncio.sleep(61)
        assert await receiver.receive(*fal.signed(OK, by=new))
        assert await receiver.receive(*fal.signed(OK))

    assert 2 == len(fal.gateway.seen("GET", KEYS))


async def test_many_webhooks_at_once_share_one_request(fal: Any) -> None:
    """Each waits for the same answer."""
    fal.gateway.on("GET", KEYS, fal.publish())
    async with fal.open() as client:
        await accepted(fal, client)
        receiver = hh.CallbackReceiver(client)
        tasks = await asyncio.gather(*(receiver.receive(*fal.signed(OK)) for _ in range(10)))

    assert all(tasks)
    assert 1 == len(fal.gateway.seen("GET", KEYS))


@pytest.mark.parametrize("answer", [500, b"<html>", {"keys": []}, {"keys": [{"kty": "RSA"}]}, {}], ids=str)
async def test_keys_that_cannot_be_had_are_answered_with_503(fal: Any, answer: Any) -> None:
    """fal sends the webhook again, and the key set is not requested again before a minute has passed."""
    fal.gateway.on("GET", KEYS, answer, fal.publish())
    async with fal.open() as client:
        await accepted(fal, client)
        receiver = hh.CallbackReceiver(client)
        headers, body = fal.signed(OK)
        sent = [await asgi(receiver.asgi_app, headers, body) for _ in range(3)]
        assert [503, 503, 503] == sent
        assert 1 == len(fal.gateway.seen("GET", KEYS))
        await asyncio.sleep(61)
        assert 200 == await asgi(receiver.asgi_app, headers, body)


async def test_known_keys_do_without_the_key_set(fal: Any) -> None:
    """They serve for a day, whatever becomes of the host."""
    fal.gateway.on("GET", KEYS, fal.publish(), 503)
    async with fal.open() as client:
        await accepted(fal, client)
        receiver = hh.CallbackReceiver(client)
        assert await receiver.receive(*fal.signed(OK))
        await asyncio.sleep(23 * 3600)
        assert await receiver.receive(*fal.signed(OK))
        await asyncio.sleep(2 * 3600)
        with pytest.raises(hh.TransportError, match="published keys"):
            await receiver.receive(*fal.signed(OK))


async def asgi(app: Any, headers: dict[str, str], body: bytes) -> int:
    """Call an ASGI app with a POST, and return the status."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    await app(scope, receive, send)
    status: int = sent[0]["status"]
    return status


async def test_the_key_set_may_be_elsewhere(fal: Any) -> None:
    """The option `jwks_url` names it."""
    fal.gateway.on("GET", "/keys", fal.publish())
    async with fal.open(options={"jwks_url": f"{fal.url}/keys"}) as client:
        await accepted(fal, client)
        assert await hh.CallbackReceiver(client).receive(*fal.signed(OK))


async def test_a_secret_is_of_no_use(fal: Any) -> None:
    """It is said, because whoever sets one expects something of it."""
    async with fal.open() as client:
        with pytest.warns(UserWarning, match="keys that it publishes"):
            hh.CallbackReceiver(client, secret="0123456789abcdef")


async def test_without_the_extra_it_is_said_what_to_install(fal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the receiver is made, not when the first webhook comes."""
    monkeypatch.setattr("happyhorse_adapters.fal.signature.find_spec", lambda name: None)
    async with fal.open() as client:
        with pytest.raises(hh.ConfigurationError, match=r"happyhorse-async\[webhooks\]"):
            hh.CallbackReceiver(client)
