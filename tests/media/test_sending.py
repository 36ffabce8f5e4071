"""Local pictures and videos on their way to a provider, compared at the server byte by byte."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh

DASHSCOPE_OK = {"output": {"task_id": "t-1", "task_status": "PENDING"}, "request_id": "r"}
RUNNING = {"output": {"task_id": "t-1", "task_status": "RUNNING"}, "request_id": "r"}


def accept(gateway: Any) -> None:
    """Accept every submit, and let its task go on."""
    gateway.on("POST", "*", DASHSCOPE_OK)
    gateway.on("GET", "*", RUNNING)


def dashscope(gateway: Any, **options: Any) -> hh.Client:
    return hh.Client("dashscope", api_key="sk-canary-0451-never-to-be-seen", base_url=gateway.url, **options)


def sent(gateway: Any) -> dict[str, Any]:
    """The JSON of the last submit."""
    return json.loads(gateway.seen("POST")[-1].body)


def content(uri: str) -> bytes:
    return base64.b64decode(uri.partition(";base64,")[2], validate=True)


@pytest.mark.parametrize("form", ["path", "bytes", "data"])
@pytest.mark.parametrize(("kind", "mime"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
async def test_a_local_picture_arrives_byte_by_byte(
    gateway: Any, picture: Callable[..., bytes], tmp_path: Path, form: str, kind: str, mime: str
) -> None:
    """A file, bytes and a data: URI arrive as the same data: URI, whose type is that of the content."""
    data = picture(kind=kind)
    file = tmp_path / "frame.gif"
    file.write_bytes(data)
    medium = {"path": file, "bytes": data, "data": f"data:{mime};base64,{base64.b64encode(data).decode()}"}[form]
    accept(gateway)
    async with dashscope(gateway) as client:
        await client.submit(hh.ImageToVideo(medium))

    frame = sent(gateway)["input"]["media"][0]
    assert frame["url"].startswith(f"data:{mime};base64,")
    assert data == content(frame["url"])
    assert str(len(gateway.seen("POST")[-1].body)) == gateway.seen("POST")[-1].headers["content-length"]


@pytest.mark.parametrize("kind", [io.BytesIO, bytearray])
async def test_a_picture_in_memory_is_taken_in_any_form(
    gateway: Any, picture: Callable[..., bytes], kind: Callable[[bytes], Any]
) -> None:
    """A file object in memory is read from its beginning, wherever it stands, and costs nothing."""
    given = kind(picture())

    assert picture() == hh.ImageToVideo(given).image
    assert (picture(),) == hh.ReferenceToVideo("a", given).images
    assert (picture(), "https://example.org/b.png") == hh.VideoEdit(
        "a", "https://example.org/c.mp4", images=[given, "https://example.org/b.png"]
    ).images


async def test_several_pictures_arrive_in_their_order(gateway: Any, picture: Callable[..., bytes]) -> None:
    """URLs and local pictures may be mixed, and the same picture may come twice."""
    small, large = picture(), picture(800, 700, noise=True)
    images = (small, "https://example.org/a.png", large, small)
    accept(gateway)
    async with dashscope(gateway) as client:
        await client.submit(hh.ReferenceToVideo("a", images))

    urls = [medium["url"] for medium in sent(gateway)["input"]["media"]]
    assert [small, large, small] == [content(urls[0]), content(urls[2]), content(urls[3])]
    assert "https://example.org/a.png" == urls[1]


async def test_a_transport_that_cannot_stream_gets_the_whole_body(picture: Callable[..., bytes]) -> None:
    """A transport of the caller's need not know of local media."""
    data, bodies = picture(), list[bytes]()

    class Recorder:
        connection_slots = None

        async def send(self, request: hh.HttpRequest, *, timeout: float) -> hh.HttpResponse:
            bodies.append(request.body or b"")
            assert not request.media
            return hh.HttpResponse(status=200, body=json.dumps(DASHSCOPE_OK).encode())

        async def aclose(self) -> None: ...

    async with hh.Client("dashscope", api_key="sk-test-key", transport=Recorder()) as client:  # type: ignore[arg-type]
        await client.submit(hh.ImageToVideo(data))
    assert data == content(json.loads(bodies[0])["input"]["media"][0]["url"])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda picture: b"GIF89a" + bytes(100), "GIF"),
        (lambda picture: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (lambda picture: b"\x00\x00\x00\x18ftypheic" + bytes(60), "HEIC"),
        (lambda picture: picture()[:200], "damaged"),
        (lambda picture: picture(200, 200), "at least 300"),
        (lambda picture: picture(1200, 320), "ratios"),
        (lambda picture: b"", "empty"),
        (lambda picture: b"no picture at all", "neither"),
        (lambda picture: "data:image/png;base64,AAAA", "no picture"),
        (lambda picture: "data:image/png;base64," + base64.b64encode(picture(kind="JPEG")).decode(), "image/jpeg"),
        (lambda picture: Path("there-is-no-such-file.png"), "does not exist"),
    ],
)
async def test_a_picture_that_cannot_be_used_is_refused_before_anything_is_sent(
    gateway: Any, picture: Callable[..., bytes], make: Callable[..., Any], sentence: str
) -> None:
    """The error names the field and what is wrong."""
    async with dashscope(gateway) as client:
        with pytest.raises(hh.InvalidRequestError, match=sentence) as refused:
            await client.submit(hh.ImageToVideo(make(picture)))
    assert "image" in str(refused.value)
    assert [] == gateway.requests


async def test_a_key_counts_the_content_and_not_the_path(
    gateway: Any, picture: Callable[..., bytes], tmp_path: Path
) -> None:
    """The same picture under another name is the same task; another picture under the same name is an error."""
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    first.write_bytes(picture())
    second.write_bytes(picture())
    accept(gateway)
    async with dashscope(gateway) as client:
        handle = await client.submit(hh.ImageToVideo(first), key="order")
        again = await client.submit(hh.ImageToVideo(second), key="order")
        first.unlink()
        gone = await client.submit(hh.ImageToVideo(first), key="order")
        second.write_bytes(picture(700, 500))
        with pytest.raises(hh.InvalidRequestError, match="already used"):
            await client.submit(hh.ImageToVideo(second), key="order")

    assert handle.job_id == again.job_id == gone.job_id
    assert 1 == sum(seen.method == "POST" for seen in gateway.requests)


async def test_the_journal_has_the_digest_and_not_the_bytes(
    gateway: Any, picture: Callable[..., bytes], tmp_path: Path
) -> None:
    """What only waits for this process is not written to disk."""
    data = picture(500, 400, noise=True)
    accept(gateway)
    async with dashscope(gateway, store=hh.SQLiteStore(tmp_path / "jobs.sqlite")) as client:
        await client.submit(hh.ImageToVideo(data))
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("jobs.*"))  # noqa: ASYNC240

    assert data[1000:1064] not in stored
    assert base64.b64encode(data[999:1200]) not in stored


async def test_an_enqueued_picture_is_sent_by_the_next_process(
    gateway: Any, picture: Callable[..., bytes], tmp_path: Path
) -> None:
    """It is kept with the job, whatever has become of the file, and erased once the outcome is known."""
    data, file = picture(500, 400, noise=True), tmp_path / "frame.png"
    file.write_bytes(data)
    store = tmp_path / "jobs.sqlite"
    closed = dashscope(gateway, store=hh.SQLiteStore(store), limits=hh.Limits(max_running=1, max_queued=0))
    accept(gateway)
    async with closed as client:
        # It takes the only place among the tasks of the model, so that the next one waits.
        await client.submit(hh.ImageToVideo("https://example.org/a.png"))
        handle = await client.enqueue(hh.ImageToVideo(file))
    file.unlink()
    async with dashscope(gateway, store=hh.SQLiteStore(store)) as client:
        await gateway.until(2, "POST")
        async with asyncio.timeout(20):
            while (await client.job(handle.job_id)).ref is None:
                await asyncio.sleep(0.01)
    body = gateway.seen("POST")[1].body

    assert data == content(json.loads(body)["input"]["media"][0]["url"])
    assert data[1000:1064] not in store.read_bytes()
