"""What the page asks of its server."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from PIL import Image

import happyhorse_async as hh

from .conftest import Running, Serve


class Page:
    """A browser's view of the API."""

    def __init__(self, session: aiohttp.ClientSession, running: Running) -> None:
        self._session = session
        self._running = running

    async def get(self, path: str) -> Any:
        async with self._session.get(self._running.origin + path) as response:
            return await response.json()

    async def post(self, path: str, data: Any) -> tuple[int, Any]:
        headers = {"Origin": self._running.origin}
        async with self._session.post(self._running.origin + path, json=data, headers=headers) as response:
            return response.status, await response.json()

    async def drop(self, body: Any) -> tuple[int, Any]:
        headers = {"Origin": self._running.origin}
        async with self._session.post(f"{self._running.origin}/api/media", data=body, headers=headers) as response:
            return response.status, await response.json()

    async def piece(self, path: str, span: str) -> tuple[int, bytes, str]:
        async with self._session.get(self._running.origin + path, headers={"Range": span}) as response:
            return response.status, await response.read(), response.content_type

    async def events(self) -> AsyncIterator[tuple[str, Any]]:
        async with self._session.get(f"{self._running.origin}/api/events") as response:
            name = ""
            async for line in response.content:
                if line.startswith(b"event: "):
                    name = line[7:].decode().strip()
                elif line.startswith(b"data: "):
                    yield name, json.loads(line[6:])

    async def until(self, job_id: str, **wanted: Any) -> Any:
        """Wait for a job that has *wanted*, and return it as the page sees it."""
        async with asyncio.timeout(30):
            async for name, rows in self.events():
                for row in rows if name == "jobs" else ():
                    if row["job_id"] == job_id and all(row[key] == value for key, value in wanted.items()):
                        return row
        raise AssertionError("the stream has ended")


async def open_page(running: Running, session: aiohttp.ClientSession) -> Page:
    async with session.get(running.studio.url) as response:
        assert response.status == 200
    return Page(session, running)


@pytest.fixture
async def page(running: Running) -> AsyncIterator[Page]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield await open_page(running, session)


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (640, 480), "teal").save(file, "PNG")
    return file.getvalue()


def asked(prompt: str = "a train", **fields: Any) -> dict[str, Any]:
    return {"mode": "t2v", "prompt": prompt, **fields}


async def test_the_plan_says_where_a_request_goes_and_shows_the_message_without_the_key(page: Page) -> None:
    status, plan = await page.post("/api/plan", {"request": asked(resolution="720P")})

    assert status == 200
    assert (plan["provider"], plan["model"]) == ("dashscope", "happyhorse-1.1-t2v")
    assert json.loads(plan["messages"][0]["body"])["parameters"] == {"resolution": "720P"}
    assert plan["messages"][0]["headers"]["Authorization"] == "***"


async def test_a_plan_of_a_request_that_cannot_be_sent_has_the_reason(page: Page) -> None:
    """With status 200: a browser reports every other one on its console, and a form is incomplete at first."""
    status, answer = await page.post("/api/plan", {"request": asked(duration=99)})

    assert status == 200
    assert answer["error"]["type"] == "InvalidRequestError"
    assert "3 to 15" in answer["error"]["message"]


async def test_a_video_is_made_saved_and_played(page: Page, running: Running) -> None:
    _, made = await page.post("/api/jobs", {"request": asked(), "key": "1"})

    row = await page.until(made["job_id"], video=True)

    assert (row["state"], row["prompt"], row["mode"]) == ("SUCCEEDED", "a train", "t2v")
    assert [file.suffix for file in running.videos.iterdir()] == [".mp4"]
    assert await page.piece(f"/api/jobs/{made['job_id']}/video", "bytes=4-7") == (206, b"ftyp", "video/mp4")


async def test_no_signed_url_reaches_the_page(page: Page) -> None:
    _, made = await page.post("/api/jobs", {"request": asked(), "key": "1"})

    row = await page.until(made["job_id"], video=True)

    assert "http" not in json.dumps(row)


async def test_a_click_that_is_repeated_makes_one_video(page: Page, running: Running) -> None:
    first = await page.post("/api/jobs", {"request": asked(), "key": "same"})
    second = await page.post("/api/jobs", {"request": asked(), "key": "same"})

    assert first == second


async def test_a_dropped_picture_becomes_the_first_frame_and_can_be_used_again(page: Page) -> None:
    _, medium = await page.drop(picture())
    request = {"mode": "i2v", "image": {"id": medium["id"]}, "prompt": "it moves"}
    _, made = await page.post("/api/jobs", {"request": request, "key": "1"})

    row = await page.until(made["job_id"], video=True)

    assert (medium["mime"], row["asked"]) == ("image/png", request)


@pytest.mark.parametrize("body", [b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", b"#!/bin/sh", b""])
async def test_a_file_that_is_neither_picture_nor_video_is_refused(page: Page, body: bytes) -> None:
    status, answer = await page.drop(body)

    assert status == 422
    assert "neither a picture nor a video" in answer["error"]["message"]


async def test_a_file_of_exactly_the_largest_documented_size_is_taken(page: Page) -> None:
    largest = (await page.get("/api/setup"))["largest"]

    status, medium = await page.drop(io.BytesIO(_video(largest)))

    assert (status, medium["size"], medium["mime"]) == (200, largest, "video/mp4")


@pytest.mark.parametrize("announced", [True, False])
async def test_one_byte_more_is_refused_with_a_413_and_leaves_nothing(
    page: Page, running: Running, announced: bool
) -> None:
    largest = (await page.get("/api/setup"))["largest"]
    body = _video(largest + 1)
    try:
        status, answer = await page.drop(io.BytesIO(body) if announced else _pieces(body))
    except aiohttp.ClientConnectionError:
        # The server closes the connection while the rest is on its way.
        status, answer = 413, {"error": {"message": "100 MB"}}

    assert status == 413
    assert "100 MB" in answer["error"]["message"]
    assert list((running.videos.parent / "studio" / "media").iterdir()) == []


def _video(size: int) -> bytes:
    return (b"\x00\x00\x00\x18ftypisom" + bytes(12)).ljust(size, b"\0")


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1 << 20):
        yield body[start : start + (1 << 20)]


async def test_a_path_from_the_page_is_never_read(page: Page) -> None:
    for medium in ("/etc/hostname", {"id": "/etc/hostname"}, {"id": "../jobs.sqlite"}, {"path": "/etc/hostname"}):
        _, plan = await page.post("/api/plan", {"request": {"mode": "i2v", "image": medium}})
        assert plan["error"]["type"] == "InvalidRequestError"
        status, _ = await page.post("/api/jobs", {"request": {"mode": "i2v", "image": medium}, "key": "1"})
        assert status == 422


async def test_a_queued_job_is_cancelled(page: Page, running: Running) -> None:
    running.emulator.inject("too-fast", on="submit", times=None)
    _, made = await page.post("/api/jobs", {"request": asked(), "key": "1"})

    status, _ = await page.post(f"/api/jobs/{made['job_id']}/cancel", {})

    assert status == 200
    assert (await page.until(made["job_id"], is_final=True))["state"] == "WITHDRAWN"


async def test_a_lost_answer_is_shown_with_its_candidates_and_settled(page: Page, running: Running) -> None:
    running.emulator.inject("reset-before-answer", on="submit")
    _, made = await page.post("/api/jobs", {"request": asked(), "key": "1"})
    await page.until(made["job_id"], state="OUTCOME_UNKNOWN")

    found = await page.get(f"/api/jobs/{made['job_id']}/candidates")
    status, _ = await page.post(f"/api/jobs/{made['job_id']}/settle", {"adopt": found["candidates"][0]["ref"]})

    assert (found["has_list"], status) == (True, 200)
    await page.until(made["job_id"], video=True)


async def test_a_restart_shows_the_same_jobs(serve: Serve) -> None:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with serve() as running:
            page = await open_page(running, session)
            _, made = await page.post("/api/jobs", {"request": asked("before"), "key": "1"})
        async with serve() as running:
            page = await open_page(running, session)
            row = await page.until(made["job_id"], video=True)

    assert row["prompt"] == "before"


async def test_an_emulator_that_goes_away_leaves_the_job_at_the_provider(page: Page, running: Running) -> None:
    running.emulator.scenario = hh.Scenario(run=(3600.0, 3600.0))
    _, made = await page.post("/api/jobs", {"request": asked(), "key": "1"})
    await page.until(made["job_id"], state="ACCEPTED")
    await running.emulator.__aexit__(None, None, None)

    async for name, data in page.events():
        if name == "health" and data["accounts"]["dashscope"]["last_error"] == "TransportError":
            break

    rows = await page.get("/api/jobs")
    assert [row["state"] for row in rows] == ["ACCEPTED"]
    await running.emulator.__aenter__()
