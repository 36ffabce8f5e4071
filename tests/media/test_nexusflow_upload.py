"""nexusflow's upload, which only its operator's public source has: off unless an option says otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh

KEY = "nf-canary-0451-never-to-be-seen"


def relay(gateway: Any, *uploads: Any) -> None:
    gateway.on("POST", "/api/upload", *(uploads or ({"success": True, "data": {"url": "/api/uploads/a.png"}},)))
    gateway.on("POST", "/v1/tasks", {"id": "task_1", "status": "pending"})
    gateway.on("GET", "*", {"id": "task_1", "status": "running"})


def nexusflow(gateway: Any) -> hh.Client:
    retries = hh.RetryPolicies(submit=hh.RetryPolicy(max_retries=0))
    options = {"upload": True}
    return hh.Client("nexusflow", api_key=KEY, base_url=gateway.url, options=options, retries=retries)


async def test_a_picture_and_a_video_are_uploaded(
    gateway: Any, picture: Callable[..., bytes], clip: Callable[..., Path]
) -> None:
    """As one form field with a length, and the answer's path becomes a whole URL."""
    file = clip()
    relay(gateway)
    async with nexusflow(gateway) as client:
        await client.submit(hh.VideoEdit("in snow", file, images=[picture()]))

    first, second = gateway.seen("POST", "/api/upload")
    assert {file.read_bytes() in first.body, picture() in second.body} == {True}
    assert f"Bearer {KEY}" == first.headers["authorization"]
    assert str(len(first.body)) == first.headers["content-length"]
    body = json.loads(gateway.seen("POST", "/v1/tasks")[0].body)
    url = f"{gateway.url}/api/uploads/a.png"
    assert ([url], url) == (body["img_urls"], body["video_url"])


async def test_a_whole_url_is_taken_as_it_is(gateway: Any, picture: Callable[..., bytes]) -> None:
    """The storage may be on another host."""
    relay(gateway, {"success": True, "data": {"url": "https://files.example.org/a.png?x=1&y=2"}})
    async with nexusflow(gateway) as client:
        await client.submit(hh.ImageToVideo(picture()))

    body = json.loads(gateway.seen("POST", "/v1/tasks")[0].body)
    assert "https://files.example.org/a.png?x=1&y=2" == body["img_url"]


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ((400, {"success": False, "message": "File type is not allowed"}), hh.InvalidRequestError),
        ((401, {"success": False, "message": "Unauthorized"}), hh.AuthenticationError),
        ((413, {"success": False, "message": "File too large"}), hh.InvalidRequestError),
        ((429, {"success": False, "message": "Too many uploads"}), hh.RateLimitError),
        ((503, {"success": False, "message": "Storage is not available"}), hh.ProviderError),
        ({"success": True, "data": {}}, hh.ProviderError),
        ({"success": False, "message": "no"}, hh.ProviderError),
        ({"id": "x"}, hh.ProviderError),
        (b"", hh.TransportError),
    ],
)
async def test_a_refused_upload_pays_nothing(
    gateway: Any, picture: Callable[..., bytes], reply: Any, error: type[hh.HappyHorseError]
) -> None:
    """No submit is sent, and no job is left."""
    relay(gateway, gateway.reply(json.dumps(reply[1]).encode(), status=reply[0]) if isinstance(reply, tuple) else reply)
    async with nexusflow(gateway) as client:
        with pytest.raises(error):
            await client.submit(hh.ImageToVideo(picture()))
        assert [] == await client.pending()

    assert [] == gateway.seen("POST", "/v1/tasks")


def test_a_plan_warns_of_what_no_page_documents(picture: Callable[..., bytes]) -> None:
    """It says how the picture would travel, too."""
    client = hh.Client("nexusflow", api_key=KEY, options={"upload": True})
    plan = client.plan(hh.ImageToVideo(picture()))

    assert ["upload"] == [medium.delivery for medium in plan.media]
    assert any("does not document" in warning for warning in plan.warnings)
