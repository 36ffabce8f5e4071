"""The videos that the emulator delivers, fetched over real HTTP and decoded."""

from __future__ import annotations

import base64
import io
from array import array
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import av
import pytest
from aiohttp import ClientResponse, ClientSession
from attrs import frozen
from PIL import Image, ImageChops

from happyhorse_async.emulator.faults import Faults
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
async def test_a_video_has_the_requested_size_and_length(
    send: Send, http: ClientSession, parameters: dict[str, Any], size: tuple[int, int], seconds: int
) -> None:
    """It is H.264 with 24 frames per second, and every frame decodes."""
    reply = await fetch(http, await video_url(send, **parameters))

    with av.open(io.BytesIO(reply.body), "r") as container:
        stream = container.streams.video[0]
        frames = len(list(container.decode(stream)))
        assert "h264" == stream.codec_context.name
        assert 24 == stream.average_rate
        assert size == (stream.width, stream.height)
        assert seconds * av.time_base == container.duration
        assert seconds * 24 == frames
        (sound,) = container.streams.audio
        assert "aac" == sound.codec_context.name


async def test_the_sound_is_quiet_and_as_long_as_the_video(send: Send, http: ClientSession) -> None:
    """The track is an audible hum far below full scale."""
    reply = await fetch(http, await video_url(send, resolution="480P", duration=3))

    with av.open(io.BytesIO(reply.body), "r") as container:
        samples = array("f")
        for frame in container.decode(audio=0):
            samples.frombytes(bytes(frame.planes[0])[: frame.samples * 4])
    assert 3 * 48_000 == pytest.approx(len(samples), abs=2048)
    assert 0.001 < max(samples) < 0.05


async def test_an_edit_lasts_the_assumed_five_seconds_of_its_source(send: Send, http: ClientSession) -> None:
    """The source of an edit is not fetched; it is assumed to last five seconds."""
    media = [{"type": "video", "url": "https://vid.example.net/a.mp4"}]
    url = await video_url(send, "happyhorse-1.0-video-edit", media, resolution="720P")

    reply = await fetch(http, url)

    with av.open(io.BytesIO(reply.body), "r") as container:
        assert 5 * av.time_base == container.duration


async def test_the_video_shows_text_and_a_growing_bar(send: Send, http: ClientSession) -> None:
    """The bright text stays, and the bar at the bottom grows."""
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


async def test_a_range_of_a_video_can_be_fetched(send: Send, http: ClientSession) -> None:
    """A video has a length and validators, and a Range brings that part."""
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
async def test_a_url_with_a_wrong_signature_is_a_403_of_the_storage(
    send: Send, http: ClientSession, old: str, new: str
) -> None:
    """A wrong or missing signature is a 403 with an error in XML."""
    url = await video_url(send)

    response = await fetch(http, url.replace(old, new))

    assert (403, "application/xml") == (response.status, response.headers["Content-Type"])
    assert "<Code>SignatureDoesNotMatch</Code>" in response.body.decode()


@pytest.mark.parametrize(("expires", "status", "code"), [(1000.0, 403, "AccessDenied"), (1001.0, 404, "NoSuchKey")])
async def test_an_expired_url_is_a_403_and_a_missing_file_a_404_of_the_storage(
    http: ClientSession, tmp_path: Path, expires: float, status: int, code: str
) -> None:
    """An expired URL is a 403; a valid one of a missing video is a 404."""
    links = SignedUrls(b"secret")
    log, speed = WebhookLog(), 1.0
    async with WebhookSender((), log=log, only_loopback=True, speed=speed, clock=lambda: 1000.0) as webhook_sender:
        server = Server(
            {},
            links=links,
            media_cache=MediaCache(tmp_path),
            webhook_sender=webhook_sender,
            clock=lambda: 1000.0,
            faults=Faults(),
            received=deque(),
        )
        port = await server.start("127.0.0.1", 0)
        try:
            response = await fetch(http, links.make(f"http://127.0.0.1:{port}", "/videos/a.mp4", expires=expires))
        finally:
            await server.stop()

    assert (status, "application/xml") == (response.status, response.headers["Content-Type"])
    assert f"<Code>{code}</Code>" in response.body.decode()


async def test_closing_leaves_no_unfinished_video(tmp_path: Path) -> None:
    """Encoding stops when the emulator closes, and leaves no file under the final name."""
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


async def test_equal_requests_share_one_file(send: Send, http: ClientSession) -> None:
    """Two tasks with the same request have different URLs and the same file."""
    urls = [await video_url(send, resolution="480P", duration=3, seed=5) for _ in range(2)]

    answers = [await fetch(http, url) for url in urls]

    assert urls[0] != urls[1]
    assert answers[0].headers["ETag"] == answers[1].headers["ETag"]


async def test_each_video_has_a_cover(send: Send, http: ClientSession) -> None:
    """imini's cover is a JPEG of the video's size."""
    content = {"model": "dashscope/happyhorse-1.0", "prompt": "a kite", "resolution": "720P", "duration": 3}
    accepted = await (await send("imini", "POST", "/v1/videos/generate", json=content)).json()
    task = await (await send("imini", "GET", f"/v1/videos/tasks/{accepted['task_id']}")).json()

    response = await fetch(http, task["videos"][0]["cover_url"])

    assert "image/jpeg" == response.headers["Content-Type"]
    with Image.open(io.BytesIO(response.body)) as picture:
        assert ("JPEG", (1280, 720)) == (picture.format, picture.size)


def data_uri(width: int, height: int, kind: str = "PNG") -> tuple[str, Image.Image]:
    """Return a picture of four colours, and its URI."""
    picture = Image.new("RGB", (width, height), (200, 40, 40))
    picture.paste((40, 200, 40), (width // 2, 0, width, height // 2))
    picture.paste((40, 40, 200), (0, height // 2, width // 2, height))
    picture.paste((220, 220, 60), (width // 2, height // 2, width, height))
    content = io.BytesIO()
    picture.save(content, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(content.getvalue()).decode()}", picture


def difference(left: Image.Image, right: Image.Image) -> float:
    """Return the mean difference of two pictures of one size, from 0 to 255."""
    histogram = ImageChops.difference(left.convert("L"), right.convert("L")).histogram()
    return sum(value * count for value, count in enumerate(histogram)) / (left.width * left.height)


@pytest.mark.parametrize(("width", "height", "kind"), [(640, 640, "PNG"), (900, 1600, "JPEG"), (1200, 500, "WEBP")])
async def test_an_inline_picture_is_the_first_frame(
    send: Send, http: ClientSession, width: int, height: int, kind: str
) -> None:
    """The video begins with the picture that came with the request, and has its ratio."""
    uri, picture = data_uri(width, height, kind)
    media = [{"type": "first_frame", "url": uri}]

    reply = await fetch(http, await video_url(send, "happyhorse-1.1-i2v", media, resolution="480P", duration=3))

    with av.open(io.BytesIO(reply.body), "r") as container:
        frames = [frame.to_image() for frame in container.decode(video=0)]
    expected = picture.resize(frames[0].size)
    assert width / height == pytest.approx(frames[0].width / frames[0].height, rel=0.01)
    assert difference(expected, frames[0]) < 4
    assert difference(expected, frames[-1]) > 4


async def test_inline_references_are_shown(send: Send, http: ClientSession) -> None:
    """A reference changes the video, and the ratio stays that of the request."""
    uri, _ = data_uri(400, 400)
    media = [{"type": "reference_image", "url": url} for url in (uri, "https://img.example.net/a.png")]
    options = {"resolution": "480P", "duration": 3, "ratio": "1:1"}

    reply = await fetch(http, await video_url(send, "happyhorse-1.1-r2v", media, **options))

    with av.open(io.BytesIO(reply.body), "r") as container:
        frame = next(container.decode(video=0)).to_image()
    colours = {pixel for _, pixel in frame.resize((64, 64)).getcolors(4096) or ()}
    assert 640 == frame.width == frame.height
    assert any(red > 150 and green > 150 and blue < 120 for red, green, blue in colours)


@pytest.mark.parametrize("uri", ["data:image/png;base64,AAAA", "data:image/png;base64," + "iVBORw0KGgo" * 3 + "A"])
async def test_a_picture_that_cannot_be_read_is_treated_like_a_url(send: Send, http: ClientSession, uri: str) -> None:
    """The emulator does not inspect media: the video comes, with the assumed ratio."""
    media = [{"type": "first_frame", "url": uri}]

    reply = await fetch(http, await video_url(send, "happyhorse-1.1-i2v", media, resolution="480P", duration=3))

    with av.open(io.BytesIO(reply.body), "r") as container:
        assert (854, 480) == (container.streams.video[0].width, container.streams.video[0].height)
