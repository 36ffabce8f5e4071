"""nexusflow as the emulator plays it, asked with hand-written requests over real HTTP."""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientResponse

Send = Callable[..., Awaitable[ClientResponse]]

TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
PICTURE = "https://img.example.net/a.png"
SOURCE = "https://vid.example.net/a.mp4"


def body(suffix: str = "t2v", **fields: Any) -> dict[str, Any]:
    return {"model": f"happyhorse-1.0-{suffix}", "prompt": "a kite", **fields}


async def submit(send: Send, content: Any) -> ClientResponse:
    return await send("nexusflow", "POST", "/v1/tasks", json=content)


async def task_of(send: Send, content: dict[str, Any]) -> dict[str, Any]:
    accepted = await (await submit(send, content)).json()
    return dict(await (await send("nexusflow", "GET", f"/v1/tasks/{accepted['id']}")).json())


async def test_a_submit_is_answered_with_202_and_running(send: Send) -> None:
    """The answer is flat, a 202, and says running even of a task that waits."""
    response = await submit(send, body(prompt="PENDING"))

    answer = await response.json()
    assert 202 == response.status
    assert {"id", "object", "status", "model", "type", "created_at"} == answer.keys()
    assert re.fullmatch(r"task_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", answer["id"])
    assert ("task", "running", "happyhorse-1.0-t2v", "video") == (
        answer["object"],
        answer["status"],
        answer["model"],
        answer["type"],
    )
    assert re.fullmatch(TIMESTAMP, answer["created_at"])
    assert response.headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("content", "usage"),
    [
        (body(resolution="720P", ratio="3:4", duration=3, seed=1, watermark=False), (3, 0, 3, "720", "3:4")),
        (body(resolution="720p"), (5, 0, 5, "720", "16:9")),
        (body(), (5, 0, 5, "1080", "16:9")),
        (body("i2v", prompt=None, img_url=PICTURE, ratio="odd"), (5, 0, 5, "1080", None)),
        (body("i2v", img_url="data:image/png;base64,AAAA", duration=15), (15, 0, 15, "1080", None)),
        (body("r2v", img_urls=[PICTURE] * 9, ratio="1:1"), (5, 0, 5, "1080", "1:1")),
        (body("r2v", img_url=PICTURE), (5, 0, 5, "1080", "16:9")),
        (body("video-edit", video_url=SOURCE, duration=99), (10.0, 5.0, 5.0, "1080", None)),
        (
            body("video-edit", video_url=SOURCE, img_urls=[PICTURE] * 5, audio_setting="origin"),
            (10.0, 5.0, 5.0, "1080", None),
        ),
    ],
)
async def test_every_mode_succeeds_with_the_usage_of_upstream(
    send: Send, content: dict[str, Any], usage: tuple[Any, ...]
) -> None:
    """A finished task is at 100 with a URL and DashScope's usage; without a resolution upstream's 1080P is billed."""
    task = await task_of(send, content)

    names = ("duration", "input_video_duration", "output_video_duration", "SR", "ratio")
    assert ("succeeded", 100, None) == (task["status"], task["progress"], task["error"])
    assert re.fullmatch(TIMESTAMP, task["completed_at"])
    assert task["output"]["video_url"].partition("?")[0].endswith(".mp4")
    assert usage == tuple(task["output"]["usage"].get(name) for name in names)
    assert [type(value) for value in usage] == [type(task["output"]["usage"].get(name)) for name in names]


@pytest.mark.parametrize(("prompt", "status", "progress"), [("PENDING", "pending", 0), ("RUNNING", "running", 50)])
async def test_an_unfinished_task_is_at_none_or_half(send: Send, prompt: str, status: str, progress: int) -> None:
    """While a task waits or runs there is no output, no error and no time of completion."""
    task = await task_of(send, body(prompt=prompt))

    assert (status, progress) == (task["status"], task["progress"])
    assert {"id", "object", "status", "model", "type", "progress", "created_at"} == task.keys()


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("INVALID_REQUEST", "InvalidParameter: "),
        ("CONTENT_REJECTED", "DataInspectionFailed: "),
        ("QUOTA_EXCEEDED", "Arrearage: "),
        ("RATE_LIMITED", "Throttling.RateQuota: "),
        ("TIMEOUT", "InternalError.Timeout: "),
        ("PROVIDER_FAULT", "InternalError.Algo: "),
        ("UNKNOWN", "The task failed."),
    ],
)
async def test_a_failure_has_its_error_as_text(send: Send, reason: str, error: str) -> None:
    """A failed task has a string for error, mostly with upstream's code before it, and no output."""
    task = await task_of(send, body(prompt=f"fail {reason}"))

    assert ("failed", 0) == (task["status"], task["progress"])
    assert task["error"].startswith(error)
    assert "output" not in task


async def test_a_success_may_deliver_nothing(send: Send) -> None:
    """A task told to end without an output succeeds without a URL."""
    task = await task_of(send, body(prompt="fail NO_OUTPUT"))

    assert ("succeeded", {"type": "video"}) == (task["status"], task["output"])


async def test_unknown_fields_are_ignored(send: Send) -> None:
    """Fields that HappyHorse lacks do no harm."""
    response = await submit(send, body(size="1280*720", negative_prompt="x", webhook_url="https://a.example", n=2))

    assert 202 == response.status


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ({"prompt": "a kite"}, "model"),
        (body(prompt=None), "prompt"),
        (body(prompt=""), "prompt"),
        (body(resolution="480P"), "resolution"),
        (body(resolution=720), "resolution"),
        (body(ratio="21:9"), "ratio"),
        (body(duration=2), "duration"),
        (body(duration="5"), "duration"),
        (body(seed=-1), "seed"),
        (body(watermark="no"), "watermark"),
        (body("i2v"), "img_url"),
        (body("i2v", img_url="a.png"), "img_url"),
        (body("r2v"), "img_urls"),
        (body("r2v", img_urls=[PICTURE] * 10), "img_urls"),
        (body("r2v", img_urls=PICTURE), "img_urls"),
        (body("r2v", img_urls=[1]), "img_urls[0]"),
        (body("video-edit"), "video_url"),
        (body("video-edit", video_url="data:video/mp4;base64,AAAA"), "video_url"),
        (body("video-edit", video_url=SOURCE, img_urls=[PICTURE] * 6), "img_urls"),
        (body("video-edit", video_url=SOURCE, audio_setting="off"), "audio_setting"),
        (body("video-edit", video_url=SOURCE, prompt=None), "prompt"),
        (7, "object"),
    ],
)
async def test_bad_values_are_refused_and_named(send: Send, content: Any, word: str) -> None:
    """What is outside the documented ranges is a 400 invalid_request whose message names the field."""
    response = await submit(send, content)

    answer = await response.json()
    assert 400 == response.status
    assert {"error"} == answer.keys()
    assert {"message", "type", "code"} == answer["error"].keys()
    assert ("invalid_request_error", "invalid_request") == (answer["error"]["type"], answer["error"]["code"])
    assert word in answer["error"]["message"]


async def test_an_unknown_model_is_a_404(send: Send) -> None:
    """A model that nexusflow does not relay is a model_not_found."""
    response = await submit(send, {"model": "happyhorse-1.2-t2v", "prompt": "a kite"})

    assert (404, "model_not_found") == (response.status, (await response.json())["error"]["code"])


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"{", {}, 400, "invalid_json"),
        (b"[" + b" " * 1024 * 1024 + b"]", {}, 413, "payload_too_large"),
        (gzip.compress(b"{}"), {"Content-Encoding": "gzip"}, 415, "unsupported_content_encoding"),
    ],
    ids=["not JSON", "too large", "compressed"],
)
async def test_bodies_that_cannot_be_read_are_refused(
    send: Send, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    """A body that is no JSON, larger than 1 MiB or compressed is refused, each with a code of its own."""
    response = await send("nexusflow", "POST", "/v1/tasks", data=io.BytesIO(content), headers=headers)

    assert (status, code) == (response.status, (await response.json())["error"]["code"])


async def test_a_missing_key_is_refused(send: Send) -> None:
    """Without a key the answer is a 401 with a code that says so."""
    response = await send("nexusflow", "GET", "/v1/tasks", key=None)

    assert (401, "missing_api_key") == (response.status, (await response.json())["error"]["code"])


async def test_an_unknown_task_is_a_404(send: Send) -> None:
    """An id that never was, or that another key created, is a task_not_found."""
    accepted = await (await submit(send, body())).json()
    unknown = await send("nexusflow", "GET", "/v1/tasks/task_x")
    foreign = await send("nexusflow", "GET", f"/v1/tasks/{accepted['id']}", key="sk-other")

    assert (404, "task_not_found") == (unknown.status, (await unknown.json())["error"]["code"])
    assert 404 == foreign.status


async def test_the_list_has_neither_output_nor_error(send: Send) -> None:
    """A row of the list is a task without what it delivered, newest first."""
    await task_of(send, body())
    await task_of(send, body("i2v", img_url=PICTURE, prompt="fail TIMEOUT"))

    answer = await (await send("nexusflow", "GET", "/v1/tasks")).json()

    assert "list" == answer["object"]
    assert ["failed", "succeeded"] == [row["status"] for row in answer["data"]]
    assert all(not {"output", "error"} & row.keys() for row in answer["data"])


@pytest.mark.parametrize(("query", "found"), [("", 20), ("?limit=1", 1), ("?limit=999", 22), ("?limit=x", 20)])
async def test_the_list_is_limited(send: Send, query: str, found: int) -> None:
    """Twenty rows are the default and a hundred the most."""
    for _ in range(22):
        await submit(send, body())

    answer = await (await send("nexusflow", "GET", f"/v1/tasks{query}")).json()

    assert found == len(answer["data"])


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/tasks/x/cancel"), ("DELETE", "/v1/tasks/x")])
async def test_there_is_no_cancellation(send: Send, method: str, path: str) -> None:
    """A path or method that is not documented is a 404, and not about a task."""
    response = await send("nexusflow", method, path)

    assert (404, "invalid_request") == (response.status, (await response.json())["error"]["code"])
