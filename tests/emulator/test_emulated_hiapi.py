"""The emulated API of HiAPI, with hand-written requests over real HTTP."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientResponse

Send = Callable[..., Awaitable[ClientResponse]]

T2V = "happyhorse-1.1/text-to-video"
I2V = "happyhorse-1.1/image-to-video"
R2V = "happyhorse-1.1/reference-to-video"
OLD = "happyhorse-1-0"
PICTURE = "https://img.example.net/a.png"


def body(model: str, top: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    prompt = {} if model == I2V else {"prompt": "a kite"}
    return {"model": model, "input": {**prompt, **given}, **(top or {})}


async def submit(send: Send, content: Any, **headers: str) -> ClientResponse:
    return await send("hiapi", "POST", "/v1/tasks", json=content, headers=headers)


async def task_of(send: Send, content: dict[str, Any]) -> dict[str, Any]:
    accepted = await (await submit(send, content)).json()
    answer = await (await send("hiapi", "GET", f"/v1/tasks/{accepted['data']['taskId']}")).json()
    assert {"code": 200, "message": "success"} == {name: answer[name] for name in ("code", "message")}
    return dict(answer["data"])


async def test_a_submit_is_answered_with_the_id_alone(send: Send) -> None:
    """The answer is a 200 with an envelope and an id of 35 characters, and says nothing of a status."""
    response = await submit(send, body(T2V))

    answer = await response.json()
    assert 200 == response.status
    assert {"code", "message", "data"} == answer.keys()
    assert {"taskId"} == answer["data"].keys()
    assert re.fullmatch(r"tk-hiapi-[0-9A-HJKMNP-TV-Z]{26}", answer["data"]["taskId"])
    assert "Idempotent-Replay" not in response.headers


@pytest.mark.parametrize(
    "content",
    [
        body(T2V),
        body(T2V, resolution="720p", aspect_ratio="9:21", duration=3),
        body(I2V, image_urls=[PICTURE]),
        body(I2V, image_urls=[PICTURE], prompt="she turns", resolution="1080p", duration=15),
        body(R2V, reference_image=[PICTURE]),
        body(R2V, reference_image=[PICTURE] * 9, aspect_ratio="4:5"),
        body(OLD, aspect_ratio="3:4", seed=2147483647),
        body(T2V, {"callback": {"url": "https://app.example/hook", "when": "final"}}),
        body(T2V, {"callback": {"url": "http://app.example/hook"}}),
        body(T2V, {"route": "default"}),
    ],
)
async def test_every_model_succeeds(send: Send, content: dict[str, Any]) -> None:
    """A finished task has Unix times and several outputs, of which the video is not the first."""
    task = await task_of(send, content)

    assert (content["model"], "success", "temp") == (task["model"], task["status"], task["storage"])
    assert 1e9 < task["created"] <= task["completed"]
    assert ["first_frame", "video"] == [output["type"] for output in task["output"]]
    assert all(task["completed"] < output["expireAt"] for output in task["output"])
    assert [".jpg", ".mp4"] == [output["url"].partition("?")[0][-4:] for output in task["output"]]
    assert "error" not in task


async def test_persistent_storage_is_echoed(send: Send) -> None:
    """A task that asked for persistent storage says so."""
    task = await task_of(send, body(T2V, {"storage": "persistent"}))

    assert "persistent" == task["storage"]


@pytest.mark.parametrize(("prompt", "status"), [("PENDING", "queued"), ("RUNNING", "handling")])
async def test_an_unfinished_task_was_completed_at_zero(send: Send, prompt: str, status: str) -> None:
    """While a task is pending or running, completed is 0, and there is neither output nor error."""
    task = await task_of(send, body(T2V, prompt=prompt))

    assert (status, 0) == (task["status"], task["completed"])
    assert {"taskId", "model", "status", "created", "completed", "storage"} == task.keys()


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("INVALID_REQUEST", "INVALID_REQUEST"),
        ("CONTENT_REJECTED", "TASK_FAILED"),
        ("QUOTA_EXCEEDED", "TASK_FAILED"),
        ("RATE_LIMITED", "MODEL_UNAVAILABLE"),
        ("TIMEOUT", "TASK_TIMEOUT"),
        ("PROVIDER_FAULT", "STORAGE_UNAVAILABLE"),
        ("UNKNOWN", "TASK_FAILED"),
    ],
)
async def test_a_failure_has_a_code_and_a_message(send: Send, reason: str, code: str) -> None:
    """A failed task is a successful call, with an error object and no output."""
    task = await task_of(send, body(T2V, prompt=f"fail {reason}"))

    assert ("fail", code) == (task["status"], task["error"]["code"])
    assert task["error"]["message"]
    assert task["completed"] > 0
    assert "output" not in task


async def test_a_success_may_deliver_nothing(send: Send) -> None:
    """A task with NO_OUTPUT succeeds with an empty list."""
    task = await task_of(send, body(T2V, prompt="fail NO_OUTPUT"))

    assert ("success", []) == (task["status"], task["output"])


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (body(T2V, seed=1), "input.seed"),
        (body(T2V, watermark=False), "input.watermark"),
        (body(T2V, audio=True), "input.audio"),
        (body(T2V, callback={}), "input.callback"),
        (body(I2V, image_urls=[PICTURE], aspect_ratio="16:9"), "input.aspect_ratio"),
        (body(R2V, reference_images=[PICTURE]), "input.reference_images"),
        (body(OLD, image_urls=[PICTURE]), "input.image_urls"),
        (body(T2V, {"foo": 1}), "foo"),
        (body(T2V, {"callback": {"url": "https://a.example", "secret": "x"}}), "callback.secret"),
        (body("happyhorse-1.0/text-to-video"), "model"),
        ({"input": {"prompt": "a kite"}}, "model"),
        ({"model": T2V}, "input"),
        ({"model": T2V, "input": []}, "input"),
        ({"model": T2V, "input": {}}, "input.prompt"),
        (body(T2V, prompt=""), "input.prompt"),
        (body(T2V, prompt=None), "input.prompt"),
        (body(T2V, resolution="720P"), "input.resolution"),
        (body(T2V, resolution="480p"), "input.resolution"),
        (body(T2V, aspect_ratio="2:1"), "input.aspect_ratio"),
        (body(OLD, aspect_ratio="21:9"), "input.aspect_ratio"),
        (body(OLD, seed=-1), "input.seed"),
        (body(T2V, duration=16), "input.duration"),
        (body(T2V, duration=5.5), "input.duration"),
        (body(T2V, duration="5"), "input.duration"),
        (body(T2V, duration=None), "input.duration"),
        (body(I2V), "input.image_urls"),
        (body(I2V, image_urls=PICTURE), "input.image_urls"),
        (body(I2V, image_urls=[PICTURE, PICTURE]), "input.image_urls"),
        (body(I2V, image_urls=["data:image/png;base64,AAAA"]), "input.image_urls[0]"),
        (body(R2V, reference_image=[PICTURE] * 10), "input.reference_image"),
        (body(R2V, reference_image=[]), "input.reference_image"),
        (body(T2V, {"callback": {}}), "callback.url"),
        (body(T2V, {"callback": {"url": "ftp://a.example"}}), "callback.url"),
        (body(T2V, {"callback": {"url": "https://a.example", "when": "always"}}), "callback.when"),
        (body(T2V, {"route": "pro"}), "route"),
        (body(T2V, {"storage": "forever"}), "storage"),
        ([], "object"),
    ],
)
async def test_bad_and_unknown_fields_are_refused_and_named(send: Send, content: Any, word: str) -> None:
    """A value that the schema does not allow is a 400 INVALID_REQUEST whose message names the property."""
    response = await submit(send, content)

    answer = await response.json()
    assert 400 == response.status
    assert {"code", "message", "data", "error_code"} == answer.keys()
    assert (400, None, "INVALID_REQUEST") == (answer["code"], answer["data"], answer["error_code"])
    assert word in answer["message"]


async def test_a_body_that_is_not_json_is_refused(send: Send) -> None:
    """A body that cannot be read is an INVALID_REQUEST."""
    response = await send("hiapi", "POST", "/v1/tasks", data=b"\xff")

    assert (400, "INVALID_REQUEST") == (response.status, (await response.json())["error_code"])


async def test_the_same_key_and_bytes_are_the_same_task(send: Send) -> None:
    """A repeated submit with its key returns the first task and says that it is a replay."""
    first = await submit(send, body(T2V), **{"Idempotency-Key": "job-1"})
    again = await submit(send, body(T2V), **{"Idempotency-Key": "job-1"})
    other = await submit(send, body(T2V), **{"Idempotency-Key": "job-2"})

    ids = [(await response.json())["data"]["taskId"] for response in (first, again, other)]
    assert ids[0] == ids[1] != ids[2]
    assert "true" == again.headers["Idempotent-Replay"]
    assert "Idempotent-Replay" not in first.headers
    assert "Idempotent-Replay" not in other.headers


async def test_the_same_key_with_other_bytes_is_refused(send: Send) -> None:
    """The bytes count, not their meaning: a body with one more blank is another."""
    headers = {"Idempotency-Key": "job-1"}
    await send("hiapi", "POST", "/v1/tasks", data=b'{"model":"happyhorse-1-0","input":{"prompt":"x"}}', headers=headers)

    response = await send(
        "hiapi", "POST", "/v1/tasks", data=b'{"model":"happyhorse-1-0", "input":{"prompt":"x"}}', headers=headers
    )

    assert (422, "IDEMPOTENCY_KEY_MISMATCH") == (response.status, (await response.json())["error_code"])


async def test_the_key_of_another_account_is_another_key(send: Send) -> None:
    """Two accounts may use the same idempotency key."""
    headers = {"Idempotency-Key": "job-1"}
    ours = await send("hiapi", "POST", "/v1/tasks", json=body(T2V), headers=headers)
    theirs = await send("hiapi", "POST", "/v1/tasks", json=body(T2V), headers=headers, key="sk-other")

    assert (await ours.json())["data"] != (await theirs.json())["data"]


async def test_a_long_idempotency_key_is_refused(send: Send) -> None:
    """A key may have 255 bytes and no more."""
    accepted = await submit(send, body(T2V), **{"Idempotency-Key": "k" * 255})
    refused = await submit(send, body(T2V), **{"Idempotency-Key": "k" * 256})

    assert (200, 400) == (accepted.status, refused.status)


async def test_a_missing_key_is_refused_by_the_gateway(send: Send) -> None:
    """A 401 comes in the envelope of the gateway in front of the task service."""
    response = await send("hiapi", "GET", "/v1/tasks", key=None)

    answer = await response.json()
    assert 401 == response.status
    assert {"error"} == answer.keys()
    assert ("hiapi_error", "permission_denied") == (answer["error"]["type"], answer["error"]["code"])


async def test_an_unknown_task_is_a_404(send: Send) -> None:
    """An unknown id, or one of another account, is a 404 in the usual envelope without a code."""
    accepted = await (await submit(send, body(T2V))).json()
    unknown = await send("hiapi", "GET", "/v1/tasks/tk-hiapi-x")
    foreign = await send("hiapi", "GET", f"/v1/tasks/{accepted['data']['taskId']}", key="sk-other")

    answer = await unknown.json()
    assert (404, 404) == (unknown.status, foreign.status)
    assert (404, None) == (answer["code"], answer["data"])
    assert "error_code" not in answer


async def test_the_list_has_the_whole_tasks_newest_first(send: Send) -> None:
    """A row of the list is what a query returns, output included."""
    await submit(send, body(T2V))
    await submit(send, body(OLD, prompt="RUNNING"))

    data = (await (await send("hiapi", "GET", "/v1/tasks")).json())["data"]

    assert {"page": 1, "size": 10, "total": 2} == {name: data[name] for name in ("page", "size", "total")}
    assert [(OLD, "handling"), (T2V, "success")] == [(task["model"], task["status"]) for task in data["tasks"]]
    assert "video" == data["tasks"][1]["output"][1]["type"]


@pytest.mark.parametrize(
    ("query", "page", "size", "found"),
    [
        ("?page=2&size=2", 2, 2, 1),
        ("?page=9&size=2", 9, 2, 0),
        ("?page=0&size=100", 1, 100, 3),
        ("?page=x&size=101", 1, 10, 3),
        ("?size=-1", 1, 10, 3),
    ],
)
async def test_pages_out_of_range_are_silently_the_default(
    send: Send, query: str, page: int, size: int, found: int
) -> None:
    """A page or size that is out of range is replaced, not refused."""
    for _ in range(3):
        await submit(send, body(T2V))

    data = (await (await send("hiapi", "GET", f"/v1/tasks{query}")).json())["data"]

    assert (page, size, 3, found) == (data["page"], data["size"], data["total"], len(data["tasks"]))


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/videos"), ("DELETE", "/v1/tasks/x"), ("GET", "/tasks/x")])
async def test_an_undocumented_path_is_a_404(send: Send, method: str, path: str) -> None:
    """A path or method that is not documented is a 404 in the provider's envelope."""
    response = await send("hiapi", method, path)

    assert (404, 404) == (response.status, (await response.json())["code"])
