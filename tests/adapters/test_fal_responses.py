"""What fal answers, and what its webhooks prove: https://docs.fal.ai/documentation/model-apis/inference/queue."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import happyhorse_async as hh
from happyhorse_adapters.fal import FalAdapter

ADAPTER = FalAdapter()
ACCOUNT = ADAPTER.account(provider="fal", api_key="sk-any")
ID = "11111111-2222-4333-8444-555555555555"


def reply(body: Any, status: int = 200, **headers: str) -> hh.HttpResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return hh.HttpResponse(status=status, headers=named, body=json.dumps(body).encode())


def seen(body: Any, status: int = 200, **headers: str) -> hh.Task:
    return ADAPTER.decode_fetch(reply(body, status, **headers), ID, ACCOUNT)


def result(body: Any, status: int = 200, **headers: str) -> hh.Task:
    return ADAPTER.decode_result(reply(body, status, **headers), seen({"status": "COMPLETED"}), ACCOUNT)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"status": "IN_QUEUE", "queue_position": 3}, hh.TaskStatus.PENDING),
        ({"status": "IN_PROGRESS", "logs": [{"message": "started", "level": "INFO"}]}, hh.TaskStatus.RUNNING),
        ({"status": "in_progress"}, hh.TaskStatus.RUNNING),
        ({"status": "COMPLETED", "logs": None, "metrics": {"inference_time": 141.2}}, hh.TaskStatus.SUCCEEDED),
        ({"status": "COMPLETED", "error": "", "error_type": None}, hh.TaskStatus.SUCCEEDED),
        ({"status": "FAILED"}, hh.TaskStatus.FAILED),
        ({"status": "CANCELED"}, hh.TaskStatus.CANCELED),
        ({"status": "PAUSED"}, hh.TaskStatus.UNKNOWN),
    ],
    ids=str,
)
def test_a_status(body: dict[str, Any], status: hh.TaskStatus) -> None:
    """Three words are documented, and two more of a third party can mean nothing else."""
    task = seen(body, 202)

    assert (status, body["status"], f"fal:{ID}") == (task.status, task.raw_status, str(task.ref))
    assert body == task.raw


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("content_policy_violation", hh.FailureReason.CONTENT_REJECTED),
        ("request_timeout", hh.FailureReason.TIMEOUT),
        ("startup_timeout", hh.FailureReason.TIMEOUT),
        ("runner_disconnected", hh.FailureReason.PROVIDER_FAULT),
        ("internal_error", hh.FailureReason.PROVIDER_FAULT),
        ("bad_request", hh.FailureReason.INVALID_REQUEST),
        ("unheard_of", hh.FailureReason.UNKNOWN),
    ],
)
def test_a_status_with_an_error_is_a_failure(code: str, reason: hh.FailureReason) -> None:
    """Its type says why."""
    task = seen({"status": "COMPLETED", "error": "It broke", "error_type": code})

    assert hh.TaskStatus.FAILED is task.status
    assert task.error == hh.TaskFailure(code=code, message="It broke", reason=reason)


def test_a_cancelled_request_is_told_by_its_type() -> None:
    """There is no word for it among the states."""
    assert (
        hh.TaskStatus.CANCELED is seen({"status": "COMPLETED", "error": "x", "error_type": "client_cancelled"}).status
    )


def test_another_id_is_kept_for_the_core_to_see() -> None:
    """An answer about another request says so."""
    assert "other" == seen({"status": "IN_QUEUE", "request_id": "other"}).id


def test_only_a_success_without_videos_needs_a_request_for_its_result() -> None:
    """What is going on or has failed is told by the status."""
    for body in ({"status": "IN_QUEUE"}, {"status": "COMPLETED", "error": "x"}, {"status": "FAILED"}):
        assert ADAPTER.encode_result(seen(body), ACCOUNT) is None
    message = ADAPTER.encode_result(seen({"status": "COMPLETED"}), ACCOUNT)
    assert message is not None
    assert f"https://queue.fal.run/alibaba/happy-horse/requests/{ID}" == message.url


@pytest.mark.parametrize(
    "url",
    ["https://evil.example/x", "http://queue.fal.run/x", "https://queue.fal.run.evil.example/x", "x", 7, "https://[/"],
)
def test_a_foreign_url_is_not_used(url: Any) -> None:
    """The key goes to the host of the queue alone."""
    message = ADAPTER.encode_result(seen({"status": "COMPLETED", "response_url": url}), ACCOUNT)

    assert message is not None
    assert f"https://queue.fal.run/alibaba/happy-horse/requests/{ID}" == message.url


def test_a_type_in_a_header_counts() -> None:
    """As in the body."""
    task = result({"detail": "It broke"}, 500, x_fal_error_type="runner_server_error")

    assert (hh.TaskStatus.FAILED, "runner_server_error") == (task.status, task.error.code if task.error else None)


@pytest.mark.parametrize("header", ["x_fal_retryable", "x_fal_needs_retry"])
def test_a_model_may_say_that_repeating_is_of_no_use(header: str) -> None:
    """Then a text alone is the end of the run; without it, or with `true`, the result is requested again."""
    assert hh.TaskStatus.FAILED is result({"detail": "It broke"}, 500, **{header: "false"}).status
    with pytest.raises(hh.ProviderError):
        result({"detail": "It broke"}, 500, **{header: "true"})


def test_the_list_of_a_model_is_told_without_what_was_sent() -> None:
    """`input` repeats it, pictures included."""
    row = {
        "loc": ["body", "image_url"],
        "msg": "Too small",
        "type": "image_too_small",
        "input": "data:image/png;base64,AA",
    }
    task = result({"detail": [row, {"loc": ["body", "seed"], "msg": "No number", "type": "int_type"}]}, 422)

    assert task.error is not None
    assert ("image_too_small", "image_url: Too small; seed: No number") == (task.error.code, task.error.message)
    assert hh.FailureReason.INVALID_REQUEST is task.error.reason


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"detail": "Request not found"}, 404, hh.TaskNotFoundError),
        ({"detail": "Gone"}, 410, hh.TaskNotFoundError),
        ({"detail": "No such key"}, 401, hh.AuthenticationError),
        ({"detail": "Slow down", "error_type": "too_fast"}, 429, hh.RateLimitError),
        ({"detail": "Internal error"}, 500, hh.ProviderError),
        ({}, 502, hh.ProviderError),
        ({}, 404, hh.TransportError),
        ({"type": "about:blank", "title": "Forbidden", "status": 403, "detail": "no"}, 403, hh.TransportError),
        ({"detail": "Conflict"}, 409, hh.ProviderError),
    ],
    ids=str,
)
def test_a_refused_request_for_a_result_is_not_the_end_of_the_run(body: Any, status: int, error: Any) -> None:
    """Only a list of a model or a type is the run's own."""
    with pytest.raises(error):
        result(body, status)


def test_a_result_found_elsewhere() -> None:
    """A URL as text, or a list, is understood as well."""
    for body in ({"video": "https://a.example/y.mp4"}, {"videos": [{"url": "https://a.example/y.mp4"}]}):
        assert "https://a.example/y.mp4" == result(body).video_url


def test_a_submit_needs_its_id() -> None:
    """Without one, the outcome is open; an error of fal's own with status 200 is a refusal."""
    submitted = ADAPTER.decode_submit(reply({"request_id": ID}, 201, x_fal_request_id="call-1"), ACCOUNT)
    assert (hh.TaskStatus.PENDING, "call-1") == (submitted.status, submitted.request_id)
    with pytest.raises(hh.InvalidResponseError):
        ADAPTER.decode_submit(reply({"status": "IN_QUEUE"}), ACCOUNT)
    with pytest.raises(hh.InvalidRequestError):
        ADAPTER.decode_submit(reply({"detail": [{"msg": "m", "type": "missing"}]}), ACCOUNT)


# Computed for the documentation of this wire with the private seed 00…1f.
X = "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"
BODY = f'{{"request_id":"{ID}","status":"OK"}}'.encode()
AT = 1_780_000_000
SIGNATURE = (
    "0bf54b82b28008d64b0c18fd541b7b83729855d5d3beef2bcf02e56240c978bc"
    "fd2d9f173f21f7eb1e617fac154431b2d009ba7286221dcea4d5d48747316404"
)


def webhook(**changes: str) -> hh.HttpRequest:
    headers = {"request-id": ID, "user-id": "user_example", "timestamp": str(AT), "signature": SIGNATURE, **changes}
    named = {f"x-fal-webhook-{name.replace('_', '-')}": value for name, value in headers.items()}
    return hh.HttpRequest(method="POST", url="", headers=named, body=BODY)


def test_a_genuine_webhook_by_any_of_the_keys() -> None:
    """Four lines are signed: the ids of the request and of the user, the time, the digest of the raw body."""
    now = datetime.fromtimestamp(AT, UTC)
    for keys in ([X], ["AAAA", X], [X.replace("A", "B", 1), X]):
        for skew in (-300, 0, 300):
            ADAPTER.verify_callback(webhook(), keys, now + timedelta(seconds=skew))


@pytest.mark.parametrize(
    "changes", [{"user_id": "x"}, {"timestamp": str(AT + 1)}, {"request_id": "x"}, {"signature": "0" * 128}], ids=str
)
def test_a_webhook_that_fits_no_key(changes: dict[str, str]) -> None:
    """Newer keys may fit: they are requested."""
    with pytest.raises(hh.CallbackRejectedError) as caught:
        ADAPTER.verify_callback(webhook(**changes), [X], datetime.fromtimestamp(AT, UTC))

    assert caught.value.fits_no_key


@pytest.mark.parametrize(
    "changes", [{"timestamp": str(AT - 301)}, {"timestamp": "١٢"}, {"signature": ""}, {"request_id": ""}], ids=str
)
def test_a_webhook_that_no_key_can_prove(changes: dict[str, str]) -> None:
    """It is refused without any key."""
    with pytest.raises(hh.CallbackRejectedError) as caught:
        ADAPTER.verify_callback(webhook(**changes), [], datetime.fromtimestamp(AT, UTC))

    assert not caught.value.fits_no_key


def test_the_key_set() -> None:
    """Keys of other kinds are left out."""
    other = {"kty": "RSA", "n": "x"}
    keys = {
        "keys": [other, {"kty": "OKP", "crv": "Ed25519", "x": X, "kid": "1"}, {"kty": "OKP", "crv": "X25519", "x": X}]
    }

    assert (X,) == ADAPTER.decode_callback_keys(reply(keys), ACCOUNT)
    for bad in ({"keys": [other]}, {"keys": []}, {"keys": {}}, {}):
        with pytest.raises(hh.InvalidResponseError):
            ADAPTER.decode_callback_keys(reply(bad), ACCOUNT)


def test_two_hosts_publish_the_keys() -> None:
    """The newer one is asked first, without the API key."""
    messages = ADAPTER.encode_callback_keys(ACCOUNT)

    assert [
        "https://rest.fal.ai/.well-known/jwks.json",
        "https://rest.alpha.fal.ai/.well-known/jwks.json",
    ] == [message.url for message in messages]
    assert not any("Authorization" in message.headers for message in messages)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"status": "OK", "payload": {"video": {"url": "https://a.example/y.mp4"}}}, hh.TaskStatus.SUCCEEDED),
        ({"status": "OK", "data": {"video": {"url": "https://a.example/y.mp4"}}}, hh.TaskStatus.SUCCEEDED),
        ({"status": "ERROR", "error": "Invalid status code: 422", "payload": None}, hh.TaskStatus.FAILED),
        ({"status": "ERROR", "payload": {"detail": "x", "error_type": "client_cancelled"}}, hh.TaskStatus.CANCELED),
    ],
    ids=str,
)
def test_what_a_webhook_says(said: dict[str, Any], status: hh.TaskStatus) -> None:
    """It is matched by `request_id`, not by the id of the last attempt."""
    body = json.dumps({"request_id": ID, "gateway_request_id": "other", **said}).encode()
    task = ADAPTER.decode_callback(hh.HttpRequest(method="POST", url="", body=body), ACCOUNT)

    assert isinstance(task, hh.Task)
    assert (ID, status) == (task.id, task.status)


@pytest.mark.parametrize(
    "said", [{"status": "OK"}, {"status": "OK", "payload": {"seed": 7}}, {"status": "NEW"}, {}], ids=str
)
def test_a_webhook_without_a_result_is_a_reason_to_poll(said: dict[str, Any]) -> None:
    """Only its ref is read."""
    body = json.dumps({"request_id": ID, **said}).encode()

    assert hh.TaskRef("fal", ID) == ADAPTER.decode_callback(hh.HttpRequest(method="POST", url="", body=body), ACCOUNT)
