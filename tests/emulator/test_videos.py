"""The videos that the emulator delivers, fetched over real HTTP and decoded."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import av
import pytest
from aiohttp import ClientResponse, ClientSession
from attrs import frozen
from PIL import Image, ImageChops

from happyhorse_async.emulator.media_cache import ClosingError, MediaCache
from happyhorse_async.emulator.media_spec import MediaSpec
from happyhorse_async.emulator.renderer import Renderer
from happyhorse_async.emulator.server import Server
from happyhorse_async.emulator.signed_urls import SignedUrls
from happyhorse_async.emulator.webhook_log import WebhookLog
from happyhorse_async.emulator.webhook_sender import WebhookSender
from happyhorse_async.request import TextToVideo

Send = Callable[..., Awaitable[ClientResponse]]
SYNTHESIS = "/services/aigc/video-generation/video-synthesis"


async def video_url(send: Send, model: str = "happyhorse-1.1-t2v", media: Any = None, **parameters: Any) -> str:
    content = {"model": model, "input": {"prompt": "a kite", "media": media}, "parameters": parameters}
    accepted = await send("dashscope", "POST", SYNTHESIS, json=content, headers={"X-DashScope-Async": "enable"})
    task_id = (await accepted.json())["output"]["task_id"]
    task = await (await send("dashscope", "GET", f"/tasks/{task_id}")).json()
    return str(task["output"]["video_url"])


@frozen
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


async def fetch(http: ClientSession, url: str, **headers: str) -> Reply:
    async with http.get(url, headers=headers) as response:
        return Reply(response.status, response.headers, await response.read())


@pytest.mark.parametrize(
    ("parameters", "size", "seconds"),
    [
        ({"resolution": "480P", "duration": 3}, (854, 480), 3),
        ({"resolution": "720P", "duration": 3}, (1280, 720), 3),
        ({"resolution": "720P", "ratio": "9:16", "duration": 3}, (720, 1280), 3),
        ({"resolution": "480P", "ratio": "9:21", "duration": 4}, (418, 978), 4),
        ({"resolution": "1080P", "duration": 3, "watermark": False, "seed": 3}, (1920, 1080), 3),
    ],
)
async def test_a_video_is_what_was_asked_for(
    send: Send, http: ClientSession, parameters: dict[str, Any], size: tuple[int, int], seconds: int
) -> None:
    """It is H.264 at 24 frames a second, as large and as long as asked, and every frame decodes."""
    reply = await fetch(http, await video_url(send, **parameters))

    with av.open(io.BytesIO(reply.body), "r") as container:
        stream = container.streams.video[0]
        frames = len(list(container.decode(stream)))
        assert "h264" == stream.codec_context.name
        assert 24 == stream.average_rate
        assert size == (stream.width, stream.height)
        assert seconds * av.time_base == container.duration
        assert seconds * 24 == frames


async def test_an_edit_is_as_long_as_its_stand_in_source(send: Send, http: ClientSession) -> None:
    """A video edit lasts the five seconds that its source, which is never fetched, is taken for."""
    media = [{"type": "video", "url": "https://vid.example.net/a.mp4"}]
    url = await video_url(send, "happyhorse-1.0-video-edit", media, resolution="720P")

    reply = await fetch(http, url)

    with av.open(io.BytesIO(reply.body), "r") as container:
        assert 5 * av.time_base == container.duration


async def test_the_picture_has_writing_and_moves(send: Send, http: ClientSession) -> None:
    """There is bright writing on it that stays, and a bar at the bottom that grows."""
    reply = await fetch(http, await video_url(send, resolution="480P", duration=3))

    with av.open(io.BytesIO(reply.body), "r") as container:
        lumas = [bytes(frame.planes[0]) for frame in container.decode(video=0)]
    (above, band), (above_at_end, band_at_end) = (
        (bright(luma[: len(luma) * 7 // 8]), bright(luma[len(luma) * 8 // 9 :])) for luma in (lumas[0], lumas[-1])
    )
    assert above > 500
    assert above == pytest.approx(above_at_end, rel=0.05)
    assert band_at_end > 3 * band


def bright(luma: bytes) -> int:
    return sum(value > 130 for value in luma)


async def test_a_video_can_be_fetched_in_parts(send: Send, http: ClientSession) -> None:
    """It has a length and validators, and a Range brings the part that was asked for."""
    url = await video_url(send, resolution="480P", duration=3)

    whole = await fetch(http, url)
    part = await fetch(http, url, Range="bytes=100-199")

    assert ("video/mp4", str(len(whole.body)), "bytes") == (
        whole.headers["Content-Type"],
        whole.headers["Content-Length"],
        whole.headers["Accept-Ranges"],
    )
    assert (206, whole.body[100:200]) == (part.status, part.body)
    assert whole.headers["ETag"] == part.headers["ETag"]
    assert "Last-Modified" in whole.headers


@pytest.mark.parametrize(("old", "new"), [("Signature=", "Signature=0"), ("Expires=1", "Expires=2"), ("?", "#")])
async def test_a_forged_url_is_refused_as_by_an_object_store(
    send: Send, http: ClientSession, old: str, new: str
) -> None:
    """A URL whose signature does not fit, or that has none, is a 403 with a page in XML."""
    url = await video_url(send)

    response = await fetch(http, url.replace(old, new))

    assert (403, "application/xml") == (response.status, response.headers["Content-Type"])
    assert "<Code>SignatureDoesNotMatch</Code>" in response.body.decode()


@pytest.mark.parametrize(("expires", "status", "code"), [(1000.0, 403, "AccessDenied"), (1001.0, 404, "NoSuchKey")])
async def test_an_expired_url_is_refused_as_by_an_object_store(
    http: ClientSession, tmp_path: Path, expires: float, status: int, code: str
) -> None:
    """A URL whose time is over is a 403; one that still holds, of a video that is gone, a 404."""
    links = SignedUrls(b"secret")
    async with WebhookSender((), log=WebhookLog(), speed=1.0, clock=lambda: 1000.0) as webhook_sender:
        server = Server(
            {}, links=links, media_cache=MediaCache(tmp_path), webhook_sender=webhook_sender, clock=lambda: 1000.0
        )
        port = await server.start("127.0.0.1", 0)
        try:
            response = await fetch(http, links.make(f"http://127.0.0.1:{port}", "/videos/a.mp4", expires=expires))
        finally:
            await server.stop()

    assert (status, "application/xml") == (response.status, response.headers["Content-Type"])
    assert f"<Code>{code}</Code>" in response.body.decode()


async def test_a_closed_studio_finishes_nothing(tmp_path: Path) -> None:
    """Work in hand stops when the emulator closes, and leaves no half file under the final name."""
    media_cache = MediaCache(tmp_path)
    media_spec = MediaSpec.of(TextToVideo("a kite", resolution="480P"), provider="hiapi")
    media_cache.close()

    with pytest.raises(ClosingError):
        await media_cache.video(media_spec)

    assert not (tmp_path / f"{media_spec.digest}.mp4").exists()


@pytest.mark.parametrize("prompt", ["", "\n\n", "a kite " * 700, "x" * 5000, "一只风筝" * 50, "\U0001fa81\udcff"])
@pytest.mark.parametrize("ratio", ["21:9", "9:21"])
def test_any_prompt_can_be_drawn(prompt: str, ratio: str) -> None:
    """No prompt is too long, too strange or too empty for a picture of its size."""
    media_spec = MediaSpec.of(TextToVideo(prompt, resolution="480P", ratio=ratio), provider="hiapi")

    assert (media_spec.width, media_spec.height) == Renderer(media_spec).first_frame().size


def test_the_prompt_is_drawn() -> None:
    """Two pictures that differ in their prompt alone differ in the panel where it is written, and nowhere else."""
    kite, boat = (
        Renderer(MediaSpec.of(TextToVideo(prompt, seed=1), provider="hiapi")).still() for prompt in ("a kite", "a boat")
    )

    left, top, right, bottom = ImageChops.difference(kite, boat).getbbox() or (0, 0, 0, 0)
    assert kite.height / 8 < top < bottom < kite.height / 4
    assert kite.width / 50 < left < right < kite.width / 4


async def test_equal_requests_share_a_file(send: Send, http: ClientSession) -> None:
    """Two tasks that ask for the same have URLs of their own and the very same file."""
    urls = [await video_url(send, resolution="480P", duration=3, seed=5) for _ in range(2)]

    answers = [await fetch(http, url) for url in urls]

    assert urls[0] != urls[1]
    assert answers[0].headers["ETag"] == answers[1].headers["ETag"]


async def test_a_still_belongs_to_each_video(send: Send, http: ClientSession) -> None:
    """imini's cover is a JPEG of the video's size."""
    content = {"model": "dashscope/happyhorse-1.0", "prompt": "a kite", "resolution": "720P", "duration": 3}
    accepted = await (await send("imini", "POST", "/v1/videos/generate", json=content)).json()
    task = await (await send("imini", "GET", f"/v1/videos/tasks/{accepted['task_id']}")).json()

    response = await fetch(http, task["videos"][0]["cover_url"])

    assert "image/jpeg" == response.headers["Content-Type"]
    with Image.open(io.BytesIO(response.body)) as picture:
        assert ("JPEG", (1280, 720)) == (picture.format, picture.size)
