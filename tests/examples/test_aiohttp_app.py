"""The example app, run for real against the emulator."""

from __future__ import annotations

import asyncio
import runpy
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

import happyhorse_async as hh

APP = Path(__file__).parents[2] / "examples" / "aiohttp_app.py"


async def ended(browser: TestClient[Any, Any], job: str) -> dict[str, Any]:
    while True:
        shown: dict[str, Any] = await (await browser.get(f"/videos/{job}")).json()
        if shown["status"] in ("SUCCEEDED", "FAILED"):
            return shown
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("provider", ["dashscope", "hiapi", "imini", "nexusflow"])
async def test_a_video_is_asked_for_and_fetched(provider: str) -> None:
    """The app answers 202 at once, tells how the job stands, and serves the finished video."""
    make_app = runpy.run_path(str(APP))["make_app"]
    async with hh.Emulator(speed=600) as emulator:
        url = emulator.url(provider)
        client = hh.Client(provider, api_key="any", base_url=url, poll=hh.PollSchedule(interval=0.05))
        async with TestClient(TestServer(make_app(client))) as browser:
            created = await browser.post("/videos", json={"prompt": "a paper boat", "duration": 3})
            job = (await created.json())["job"]
            shown = await ended(browser, job)
            video = await browser.get(f"/videos/{job}/file")
            refused = await browser.post("/videos", json={"prompt": "a paper boat", "duration": 99})
            missing = await browser.get("/videos/none")
            body = await video.read()

    assert 202 == created.status
    assert "SUCCEEDED" == shown["status"]
    assert shown["ref"].startswith(f"{provider}:")
    assert (200, b"ftyp") == (video.status, body[4:8])
    assert (400, 404) == (refused.status, missing.status)
