"""The web apps among the examples, served for real, with the emulator as the provider that calls their webhook."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

import happyhorse_async as hh

from .conftest import SECRET, served

APPS = ["aiohttp_app", "fastapi_app", "litestar_app", "quart_app", "starlette_app"]
WITH_FOLDER = ["aiohttp_app", "fastapi_app"]
WITH_FILES = [*WITH_FOLDER, "starlette_app"]


@pytest.fixture
def make_app(load: Callable[[str], dict[str, Any]], configure: Any, listening: socket.socket, tmp_path: Path) -> Any:
    """Make an example's app for a provider, with its webhook at the port that will be served."""

    def make_app(name: str, provider: str, emulator: hh.Emulator) -> Any:
        # An app that is mounted is found at a path with a slash only.
        slash = "/" if name == "fastapi_app" else ""
        hook = f"http://127.0.0.1:{listening.getsockname()[1]}/hooks{slash}"
        client = hh.Client.from_config(configure(provider, emulator, hook))
        folder = (tmp_path / "videos",) if name in WITH_FOLDER else ()
        return load(name)["make_app"](client, *folder)

    return make_app


async def request(browser: aiohttp.ClientSession, method: str, url: str, **options: Any) -> tuple[int, bytes]:
    """Send a request, and return status and body."""
    async with browser.request(method, url, **options) as response:
        return response.status, await response.read()


async def submit(browser: aiohttp.ClientSession, **fields: Any) -> tuple[int, dict[str, Any]]:
    """Ask an app for a video, and return status and body."""
    status, body = await request(browser, "POST", "/videos", json={"prompt": "a paper boat", **fields})
    return status, json.loads(body)


async def read_events(browser: aiohttp.ClientSession, job: str) -> list[dict[str, Any]]:
    """Read the server-sent events of a job to their end."""
    async with browser.get(f"/videos/{job}/events") as response:
        assert "text/event-stream" == response.content_type
        lines = (await response.text()).splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


@pytest.mark.parametrize("name", APPS)
async def test_an_app_enqueues_shows_and_streams_a_job(name: str, make_app: Any, listening: socket.socket) -> None:
    """It answers 202 with the job id, streams to the end, shows the job without URLs, and explains bad input."""
    async with (
        hh.Emulator(speed=600, callback_secret=SECRET) as emulator,
        served(make_app(name, "dashscope", emulator), listening) as root,
        aiohttp.ClientSession(root) as browser,
    ):
        created, body = await submit(browser, duration=3)
        events = await read_events(browser, body["job"])
        shown, info = await request(browser, "GET", f"/videos/{body['job']}")
        invalid, why = await submit(browser, duration=99)
        missing, _ = await request(browser, "GET", "/videos/hh-00000000000000000000000000000000")
        misspelt, _ = await request(browser, "GET", "/videos/none")

    assert (202, 200) == (created, shown)
    assert "SUCCEEDED" == events[-1]["status"] == json.loads(info)["state"] == json.loads(info)["task"]["status"]
    assert b"Signature" not in info
    assert (422, 404, 404) == (invalid, missing, misspelt)
    assert "99" in str(why)


@pytest.mark.parametrize("name", ["litestar_app", "quart_app"])
async def test_an_app_takes_a_picture(name: str, make_app: Any, listening: socket.socket) -> None:
    """A picture that was uploaded becomes a video, and a file that is not a picture is the user's mistake."""
    async with (
        hh.Emulator(speed=600) as emulator,
        served(make_app(name, "dashscope", emulator), listening) as root,
        aiohttp.ClientSession(root) as browser,
    ):
        picture, answers = io.BytesIO(), []
        Image.new("RGB", (640, 480)).save(picture, "PNG")
        for content in (picture.getvalue(), b"GIF89a"):
            form = aiohttp.FormData({"prompt": "she turns"})
            form.add_field("picture", content, filename="cat.png", content_type="image/png")
            answers.append(await request(browser, "POST", "/pictures", data=form))
        events = await read_events(browser, json.loads(answers[0][1])["job"])

    assert [202, 422] == [status for status, _ in answers]
    assert b"GIF" in answers[1][1]
    assert "SUCCEEDED" == events[-1]["status"]


@pytest.mark.parametrize("name", APPS)
@pytest.mark.parametrize(
    "body", [b"{", b"[1]", b'{"prompt": "a", "model": "dear"}', b'{"prompt": "a", "extra": {"b": 1}}']
)
async def test_an_app_refuses_what_a_user_must_not_send(
    name: str, body: bytes, make_app: Any, listening: socket.socket
) -> None:
    """Neither the model nor raw parameters come from outside, and a broken body is no error of the server."""
    async with (
        hh.Emulator(speed=600) as emulator,
        served(make_app(name, "dashscope", emulator), listening) as root,
        aiohttp.ClientSession(root) as browser,
    ):
        headers = {"Content-Type": "application/json"}
        status, why = await request(browser, "POST", "/videos", data=body, headers=headers)

    assert status in (400, 422), why


@pytest.mark.parametrize("name", APPS)
async def test_an_app_tells_why_there_is_no_video(name: str, make_app: Any, listening: socket.socket) -> None:
    """A prompt that moderation rejects ends the stream with a failure, and the job keeps the class of the error."""
    async with (
        hh.Emulator(speed=600) as emulator,
        served(make_app(name, "dashscope", emulator), listening) as root,
        aiohttp.ClientSession(root) as browser,
    ):
        emulator.inject("content-rejected", on="submit")
        _, body = await submit(browser)
        _, stream = await request(browser, "GET", f"/videos/{body['job']}/events")
        _, info = await request(browser, "GET", f"/videos/{body['job']}")

    assert b"event: failure" in stream
    assert "REFUSED" == json.loads(info)["state"]
    assert ("ContentRejectedError", 422) == (
        json.loads(info)["error"]["type"],
        json.loads(info)["error"]["http_status"],
    )


@pytest.mark.parametrize("name", WITH_FILES)
async def test_an_app_serves_the_file_twice(name: str, make_app: Any, listening: socket.socket) -> None:
    """The finished video is served, and the second time it comes from the disk."""
    async with (
        hh.Emulator(speed=600) as emulator,
        served(make_app(name, "imini", emulator), listening) as root,
        aiohttp.ClientSession(root) as browser,
    ):
        _, body = await submit(browser, duration=3)
        video, again = [await request(browser, "GET", f"/videos/{body['job']}/file") for _ in range(2)]

    assert (200, b"ftyp") == (video[0], video[1][4:8])
    assert video == again


@pytest.mark.parametrize("name", APPS)
async def test_an_app_receives_webhooks(name: str, make_app: Any, listening: socket.socket) -> None:
    """A signed webhook ends the stream long before the next poll; a forged one is 401, and a duplicate is harmless."""
    scenario = hh.CallbackScenario(duplicates=1, forge=1)
    async with (
        hh.Emulator(speed=600, callback_secret=SECRET, callbacks=scenario) as emulator,
        served(make_app(name, "hiapi", emulator), listening) as root,
        aiohttp.ClientSession(root) as browser,
    ):
        _, body = await submit(browser)
        events = await read_events(browser, body["job"])
        deliveries = await emulator.deliveries.wait(3)

    assert "SUCCEEDED" == events[-1]["status"]
    assert [401, 200, 200] == [delivery.status for delivery in deliveries]
