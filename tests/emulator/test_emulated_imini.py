"""The emulated API of imini, with hand-written requests over real HTTP."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientResponse

Send = Callable[..., Awaitable[ClientResponse]]

MODEL = "dashscope/happyhorse-1.0"
TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
FRAME = {"url": "https://img.example.net/a.png", "reference_type": "first_frame"}
ASSET = {"url": "data:image/png;base64,AAAA", "reference_type": "asset"}
SOURCE = {"url": "https://vid.example.net/a.mp4"}


def body(**fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "prompt": "a kite", **fields}


async def submit(send: Send, content: Any) -> ClientResponse:
    return await send("imini", "POST", "/v1/videos/generate", json=content)


async def task_of(send: Send, content: dict[str, Any]) -> dict[str, Any]:
    accepted = await (await submit(send, content)).json()
    return dict(await (await send("imini", "GET", f"/v1/videos/tasks/{accepted['task_id']}")).json())


async def test_a_submit_is_answered_without_a_status(send: Send) -> None:
    """The answer is flat: id, model, time and the id of the call."""
    response = await submit(send, body())

    answer = await response.json()
    assert 200 == response.status
    assert {"task_id", "model", "created_at", "request_id"} == answer.keys()
    assert re.fullmatch(r"task_\d{19}", answer["task_id"])
    assert MODEL == answer["model"]
    assert re.fullmatch(TIMESTAMP, answer["created_at"])
    assert re.fullmatch(UUID, answer["request_id"])


@pytest.mark.parametrize(
    ("content", "size", "seconds"),
    [
        (body(), (1920, 1080), 5),
        (body(resolution="720P", aspect_ratio="9:16", duration=4), (720, 1280), 4),
        (body(reference_images=[FRAME], prompt=None, duration=15), (1920, 1080), 15),
        (body(reference_images=[ASSET], aspect_ratio="1:1", resolution="720P"), (960, 960), 5),
        (body(reference_images=[ASSET] * 9), (1920, 1080), 5),
        (body(reference_videos=[SOURCE], extra_params={"audio_setting": "origin"}), (1920, 1080), 5),
        (body(reference_videos=[SOURCE], reference_images=[ASSET] * 5, resolution="720P"), (1280, 720), 5),
    ],
)
async def test_every_mode_succeeds_with_the_size_of_its_video(
    send: Send, content: dict[str, Any], size: tuple[int, int], seconds: int
) -> None:
    """A finished task has one video with its measures and a cover, and error is null."""
    task = await task_of(send, content)

    (video,) = task["videos"]
    assert ("succeeded", MODEL, None) == (task["status"], task["model"], task["error"])
    assert re.fullmatch(TIMESTAMP, task["completed_at"])
    assert {"url", "width", "height", "duration", "cover_url"} == video.keys()
    assert (*size, seconds) == (video["width"], video["height"], video["duration"])
    assert [".mp4", ".jpg"] == [video[name].partition("?")[0][-4:] for name in ("url", "cover_url")]


@pytest.mark.parametrize(("prompt", "status"), [("PENDING", "queued"), ("RUNNING", "processing")])
async def test_an_unfinished_task_has_null_for_what_is_not_there(send: Send, prompt: str, status: str) -> None:
    """While a task is pending or running, completed_at, videos and error are null."""
    task = await task_of(send, body(prompt=prompt))

    assert status == task["status"]
    assert (None, None, None) == (task["completed_at"], task["videos"], task["error"])


@pytest.mark.parametrize(
    ("reason", "code", "status"),
    [
        ("INVALID_REQUEST", "INVALID_PARAMETER", 400),
        ("CONTENT_REJECTED", "INVALID_PROMPT", 400),
        ("QUOTA_EXCEEDED", "INSUFFICIENT_CREDITS", 402),
        ("RATE_LIMITED", "RATE_LIMITED", 429),
        ("TIMEOUT", None, 504),
        ("PROVIDER_FAULT", None, 502),
        ("UNKNOWN", None, None),
    ],
)
async def test_a_failure_has_an_error_like_a_refusal(
    send: Send, reason: str, code: str | None, status: int | None
) -> None:
    """A failed task has an error object with a message, and a code where one is documented."""
    task = await task_of(send, body(prompt=f"fail {reason}"))

    assert ("failed", None) == (task["status"], task["videos"])
    assert (code, status) == (task["error"].get("code"), task["error"].get("status"))
    assert task["error"]["message"]
    assert task["error"]["request_id"]


async def test_a_success_may_deliver_nothing(send: Send) -> None:
    """A task with NO_OUTPUT succeeds with an empty list."""
    task = await task_of(send, body(prompt="fail NO_OUTPUT"))

    assert ("succeeded", []) == (task["status"], task["videos"])


async def test_unknown_fields_are_ignored(send: Send) -> None:
    """Fields that HappyHorse lacks are ignored, nor does an audio setting where nothing is edited."""
    response = await submit(send, body(seed=1, watermark=False, extra_params={"audio_setting": "off", "x": 1}))

    assert 200 == response.status


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (body(model="happyhorse-1.0"), "model"),
        ({"prompt": "a kite"}, "model"),
        (body(prompt=None), "prompt"),
        (body(prompt=""), "prompt"),
        (body(prompt="x" * 5001), "prompt"),
        (body(prompt=7, reference_images=[FRAME]), "prompt"),
        (body(resolution="720p"), "resolution"),
        (body(resolution="480P"), "resolution"),
        (body(aspect_ratio="21:9"), "aspect_ratio"),
        (body(aspect_ratio="16:9", reference_images=[FRAME]), "aspect_ratio"),
        (body(aspect_ratio="16:9", reference_videos=[SOURCE]), "aspect_ratio"),
        (body(duration=2), "duration"),
        (body(duration=5, reference_videos=[SOURCE]), "duration"),
        (body(reference_images=[ASSET] * 10), "reference_images"),
        (body(reference_images=[FRAME, FRAME]), "reference_images"),
        (body(reference_images=[FRAME, ASSET]), "reference_images"),
        (body(reference_images=[FRAME], reference_videos=[SOURCE]), "reference_images"),
        (body(reference_images=[ASSET] * 6, reference_videos=[SOURCE]), "reference_images"),
        (body(reference_images=[{"url": FRAME["url"]}]), "reference_images[0].reference_type"),
        (body(reference_images=[{**FRAME, "reference_type": "last_frame"}]), "reference_images[0].reference_type"),
        (body(reference_images=[{"reference_type": "asset"}]), "reference_images[0].url"),
        (body(reference_images=[FRAME["url"]]), "reference_images[0]"),
        (body(reference_videos=[SOURCE, SOURCE]), "reference_videos"),
        (body(reference_videos=[{"url": "data:video/mp4;base64,AAAA"}]), "reference_videos[0].url"),
        (body(reference_videos=[SOURCE], extra_params={"audio_setting": "off"}), "extra_params.audio_setting"),
        (body(reference_videos=[SOURCE], prompt=None), "prompt"),
        ("x", "object"),
    ],
)
async def test_bad_values_are_refused_and_named(send: Send, content: Any, word: str) -> None:
    """A value outside the documented ranges is a 400 INVALID_PARAMETER whose message names the field."""
    response = await submit(send, content)

    error = (await response.json())["error"]
    assert 400 == response.status
    assert {"code", "message", "status", "request_id"} == error.keys()
    assert ("INVALID_PARAMETER", 400) == (error["code"], error["status"])
    assert word in error["message"]


async def test_a_missing_key_is_refused(send: Send) -> None:
    """A 401 has no code, since none is documented."""
    response = await send("imini", "GET", "/v1/videos/tasks/task_1", key=None)

    error = (await response.json())["error"]
    assert (401, 401) == (response.status, error["status"])
    assert "code" not in error


async def test_an_unknown_task_is_a_404(send: Send) -> None:
    """An unknown id, or one of another account, is a TASK_NOT_FOUND."""
    accepted = await (await submit(send, body())).json()
    unknown = await send("imini", "GET", "/v1/videos/tasks/task_1")
    foreign = await send("imini", "GET", f"/v1/videos/tasks/{accepted['task_id']}", key="sk-other")

    assert (404, "TASK_NOT_FOUND") == (unknown.status, (await unknown.json())["error"]["code"])
    assert 404 == foreign.status


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/videos/tasks"), ("POST", "/v1/videos/tasks/x/cancel"), ("POST", "/v1/images/generate")],
)
async def test_there_is_neither_a_list_nor_a_cancellation(send: Send, method: str, path: str) -> None:
    """A path that is not documented is a 404 in the provider's envelope, and not about a task."""
    response = await send("imini", method, path)

    error = (await response.json())["error"]
    assert (404, 404) == (response.status, error["status"])
    assert "code" not in error
