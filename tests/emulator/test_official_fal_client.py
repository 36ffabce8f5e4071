"""fal's official client, written by others, completes a job against the emulator. Its hosts are constants."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fal_client import AsyncClient, Completed, InProgress, Queued
from fal_client import client as official
from PIL import Image

from happyhorse_async.emulator import Emulator

T2V = "alibaba/happy-horse/v1.1/text-to-video"
I2V = "alibaba/happy-horse/v1.1/image-to-video"


@pytest.fixture
async def fal(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncClient]:
    """The client, with the emulator in place of fal's hosts."""
    root = emulator.url("fal")
    monkeypatch.setattr(official, "QUEUE_URL_FORMAT", f"{root}/")
    monkeypatch.setattr(official, "REST_URL", root)
    monkeypatch.setattr(official, "CDN_URL", root)
    client = AsyncClient(key="any")
    yield client
    # It has no method that closes its connections.
    await (await client._client).aclose()


def png() -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (400, 300), "teal").save(target, "PNG")
    return target.getvalue()


async def test_it_submits_polls_and_gets_the_result(emulator: Emulator, fal: AsyncClient) -> None:
    """The URLs of the answer to a submit are enough for it, and the video is there."""
    handle = await fal.submit(T2V, {"prompt": "a kite", "resolution": "720p", "duration": 3, "seed": 7})
    result: Any = await handle.get(interval=0.01)

    assert result["video"]["url"].startswith(f"{emulator.address}/videos/")
    assert {"content_type": "video/mp4", "width": 1280, "height": 720}.items() <= result["video"].items()
    assert 7 == result["seed"]


async def test_it_follows_the_states(fal: AsyncClient) -> None:
    """Each state is one of the three that it knows."""
    handle = await fal.submit(T2V, {"prompt": "a kite", "duration": 3})
    states = [type(state) async for state in handle.iter_events(with_logs=True, interval=0.01)]

    assert {Queued, InProgress, Completed} >= set(states)
    assert states[-1] is Completed


async def test_it_finds_a_request_by_its_id_alone(fal: AsyncClient) -> None:
    """It builds the URLs from owner and app, without the rest of the model's id."""
    handle = await fal.submit(T2V, {"prompt": "a kite", "duration": 3})
    again = await fal.get_handle(T2V, handle.request_id)

    assert (again.status_url, again.response_url, again.cancel_url) == (
        handle.status_url,
        handle.response_url,
        handle.cancel_url,
    )
    assert (await again.get(interval=0.01))["video"]["url"]


async def test_it_cancels_what_is_queued(fal: AsyncClient) -> None:
    """A request that has not begun is over then, and its result says why."""
    handle = await fal.submit(T2V, {"prompt": "PENDING"})
    await handle.cancel()
    state = await handle.status()

    assert isinstance(state, Completed)
    with pytest.raises(official.FalClientHTTPError) as caught:
        await handle.get(interval=0.01)
    assert 499 == caught.value.status_code


@pytest.mark.parametrize("repository", ["fal", "fal_v3"])
async def test_it_uploads_a_picture_and_animates_it(fal: AsyncClient, repository: Any) -> None:
    """By a signed URL and by a token: everyone can read the file then, and the video has its ratio."""
    url = await fal.upload(png(), "image/png", "a.png", repository=repository)
    async with httpx.AsyncClient() as plain:
        found = await plain.get(url)
    result: Any = await fal.subscribe(I2V, {"image_url": url, "resolution": "720p", "duration": 3})

    assert (png(), "image/png") == (found.content, found.headers["content-type"])
    assert result["video"]["width"] / result["video"]["height"] == pytest.approx(4 / 3, rel=0.02)


async def test_it_understands_a_bad_input(fal: AsyncClient) -> None:
    """The error of a model has a list, which it passes on."""
    with pytest.raises(official.FalClientHTTPError) as caught:
        await fal.submit(T2V, {"prompt": "a kite", "duration": 30})

    assert 422 == caught.value.status_code
    assert "duration" in str(caught.value)


async def test_it_understands_a_failed_run(fal: AsyncClient, emulator: Emulator) -> None:
    """A run that failed in moderation answers the request for its result with 422."""
    emulator.inject("moderated", on="query", times=None)
    handle = await fal.submit(T2V, {"prompt": "a kite", "duration": 3})
    with pytest.raises(official.FalClientHTTPError) as caught:
        await handle.get(interval=0.01)

    assert 422 == caught.value.status_code


async def test_it_calls_back(fal: AsyncClient, emulator: Emulator) -> None:
    """The webhook of a submit goes to the URL in the query."""
    handle = await fal.submit(T2V, {"prompt": "a kite", "duration": 3}, webhook_url="http://127.0.0.1:9/hook")
    await handle.get(interval=0.01)
    deliveries = await emulator.deliveries.wait(1)

    assert handle.request_id == deliveries[0].task_id
