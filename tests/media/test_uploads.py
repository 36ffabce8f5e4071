"""DashScope's temporary storage, against the emulator and a scripted gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

import happyhorse_async as hh

FAST = hh.PollSchedule(interval=0.1, first_after=0.1)
KEY = "sk-canary-0451-never-to-be-seen"
POLICY = {
    "upload_dir": "dashscope-instant/a/2026",
    "policy": "cG9saWN5",
    "signature": "c2ln",
    "oss_access_key_id": "LTAI",
    "x_oss_object_acl": "private",
    "x_oss_forbid_overwrite": "true",
    "expire_in_seconds": 300,
    "max_file_size_mb": "100",
}
ACCEPTED = {"output": {"task_id": "t-1", "task_status": "PENDING"}, "request_id": "r"}
RUNNING = {"output": {"task_id": "t-1", "task_status": "RUNNING"}, "request_id": "r"}


def script(gateway: Any, *uploads: Any, **policy: Any) -> None:
    gateway.on("GET", "/tasks/*", RUNNING)
    data = {**POLICY, "upload_host": f"{gateway.url}/store", **policy}
    gateway.on("GET", "/uploads", {"request_id": "r", "data": data})
    gateway.on("POST", "/store", *(uploads or (gateway.reply(b""),)))
    gateway.on("POST", "/services/*", ACCEPTED)


def dashscope(gateway: Any, **options: Any) -> hh.Client:
    retries = hh.RetryPolicies(submit=hh.RetryPolicy(max_retries=0))
    return hh.Client("dashscope", api_key=KEY, base_url=gateway.url, retries=retries, **options)


@pytest.fixture
async def emulator() -> AsyncIterator[hh.Emulator]:
    async with hh.Emulator(speed=500) as emulator:
        yield emulator


async def test_a_source_video_is_uploaded_and_named_by_its_oss_url(gateway: Any, clip: Callable[..., Path]) -> None:
    """The form has the file last and no API key; the submit has the URL and the header that resolves it."""
    script(gateway)
    file = clip()
    async with dashscope(gateway) as client:
        await client.submit(hh.VideoEdit("in snow", file))

    (upload,), (submit,) = gateway.seen("POST", "/store"), gateway.seen("POST", "/services/*")
    assert file.read_bytes() in upload.body
    assert KEY.encode() not in upload.body
    assert "authorization" not in upload.headers
    assert upload.body.index(b'name="key"') < upload.body.index(b'name="file"')
    name = upload.body.split(b'name="key"\r\n\r\n')[1].split(b"\r\n")[0]
    assert b'"url":"oss://' + name + b'"' in submit.body
    assert "enable" == submit.headers["x-dashscope-ossresourceresolve"]
    assert name.endswith(b".mp4")


async def test_the_same_content_is_uploaded_once_for_a_model(gateway: Any, clip: Callable[..., Path]) -> None:
    """Further requests for the same model use the upload as long as it lives."""
    script(gateway)
    file = clip()
    async with dashscope(gateway) as client:
        await client.submit(hh.VideoEdit("in snow", file))
        await client.submit(hh.VideoEdit("in rain", file.read_bytes()))

    assert 1 == len(gateway.seen("POST", "/store"))
    assert 2 == len(gateway.seen("POST", "/services/*"))


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (400, hh.ProviderError),
        (403, hh.PermissionDeniedError),
        (500, hh.ProviderError),
        (b"", hh.TransportError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", hh.TransportError),
        (b"HTTP/1.1 302 Found\r\nLocation: https://example.org/\r\nContent-Length: 0\r\n\r\n", hh.ProviderError),
        (b"HTTP/1.1 204 No Content\r\n\r\n", hh.ProviderError),
    ],
)
async def test_an_upload_that_fails_leaves_no_unknown_outcome(
    gateway: Any, clip: Callable[..., Path], reply: Any, error: type[hh.HappyHorseError]
) -> None:
    """The paid request is not sent, and no job is left."""
    script(gateway, reply)
    async with dashscope(gateway) as client:
        with pytest.raises(error):
            await client.submit(hh.VideoEdit("in snow", clip()))
        assert [] == await client.pending()

    assert [] == gateway.seen("POST", "/services/*")


async def test_a_permission_that_has_expired_is_asked_for_once_more(gateway: Any, clip: Callable[..., Path]) -> None:
    """A 403 of the storage gets a new policy, once."""
    script(gateway, 403, gateway.reply(b""))
    async with dashscope(gateway) as client:
        await client.submit(hh.VideoEdit("in snow", clip()))

    assert 2 == len(gateway.seen("GET", "/uploads"))
    assert 1 == len(gateway.seen("POST", "/services/*"))


async def test_a_file_beyond_the_limit_of_the_policy_is_not_uploaded(gateway: Any, clip: Callable[..., Path]) -> None:
    """The policy says how large a file may be."""
    script(gateway, max_file_size_mb="0.0001")
    async with dashscope(gateway) as client:
        with pytest.raises(hh.InvalidRequestError, match="at most"):
            await client.submit(hh.VideoEdit("in snow", clip()))

    assert [] == gateway.seen("POST")


@pytest.mark.parametrize("region", ["virginia"])
async def test_a_region_without_storage_refuses_a_video(clip: Callable[..., Path], region: str) -> None:
    """It says which regions have one. A small picture goes inline there."""
    client = hh.Client("dashscope", api_key=KEY, region=region)

    with pytest.raises(hh.UnsupportedFeatureError, match="Singapore or Beijing"):
        client.plan(hh.VideoEdit("in snow", clip()))


@pytest.mark.parametrize(
    ("seconds", "options", "sentence"),
    [
        (2, {}, "lasts 2.0 s"),
        (4, {"width": 160, "height": 120}, "shorter side"),
        (4, {"rate": 5}, "frames a second"),
    ],
)
async def test_a_video_outside_the_limits_is_refused_before_it_is_uploaded(
    gateway: Any, clip: Callable[..., Path], seconds: float, options: dict[str, int], sentence: str
) -> None:
    """The figure found and the figure allowed are in the error."""
    async with dashscope(gateway) as client:
        with pytest.raises(hh.InvalidRequestError, match=sentence):
            await client.submit(hh.VideoEdit("in snow", clip(seconds, **options)))
    assert [] == gateway.requests


async def test_plan_says_how_each_medium_would_travel(
    picture: Callable[..., bytes], clip: Callable[..., Path], tmp_path: Path
) -> None:
    """A URL is fetched, a small picture goes inline, a large one and a video are uploaded; nothing is sent."""
    large = tmp_path / "large.png"
    large.write_bytes(picture(2300, 1700, noise=True))
    size = large.stat().st_size
    assert 7 * 2**20 < size
    request = hh.VideoEdit("in snow", clip(), images=(large, picture(), "https://example.org/a.png"))
    plan = hh.Client("dashscope", api_key=KEY).plan(request)

    assert ["upload", "upload", "inline", "url"] == [medium.delivery for medium in plan.media]
    assert ["video", "images[0]", "images[1]", "images[2]"] == [medium.name for medium in plan.media]
    assert size == plan.media[1].sent


@pytest.mark.parametrize("is_uploaded", [False, True], ids=["inline", "uploaded"])
async def test_the_first_frame_of_the_emulated_video_is_the_picture(
    emulator: hh.Emulator, tmp_path: Path, is_uploaded: bool
) -> None:
    """Inline or uploaded, the video begins with the picture that was given."""
    import av

    source = Image.linear_gradient("L").resize((1280, 720)).convert("RGB")
    # A BMP cannot go inline.
    file = tmp_path / ("frame.bmp" if is_uploaded else "frame.png")
    source.save(file)
    async with hh.Client("dashscope", api_key="any", base_url=emulator.url("dashscope"), poll=FAST) as client:
        task = await client.generate(hh.ImageToVideo(file, resolution="720P", duration=3))
        video = await client.download(task, tmp_path / "horse.mp4")

    with av.open(str(video)) as container:
        frame = next(container.decode(video=0)).to_image()
    assert (1280, 720) == frame.size
    given = source.resize((1280, 720))
    blurred = [image.resize((64, 36)) for image in (frame, given)]
    assert max(band[1] for band in ImageChops.difference(*blurred).getextrema()) < 24


@pytest.mark.parametrize("provider", ["dashscope", "kie", "nexusflow"])
async def test_an_edit_shows_the_video_that_was_uploaded(
    emulator: hh.Emulator, clip: Callable[..., Path], tmp_path: Path, provider: str
) -> None:
    """Its frames, its ratio and its length, up to 15 seconds; a task's usage follows."""
    import av

    options = {"upload": True} if provider == "nexusflow" else None
    url = emulator.url(provider)
    async with hh.Client(provider, api_key=KEY, base_url=url, poll=FAST, options=options) as client:
        task = await client.generate(hh.VideoEdit("in snow", clip(4, width=480, height=640), resolution="720P"))
        file = await client.download(task, tmp_path / "edit.mp4")

    with av.open(str(file)) as container:
        frames = [frame.to_image() for frame in container.decode(video=0)]
    assert 96 == len(frames)
    width, height = frames[0].size
    assert width / height == pytest.approx(480 / 640, rel=0.01)
    for frame in (frames[0], frames[48], frames[-1]):
        red, green, blue = frame.getpixel((width // 2, height // 2))
        assert max(abs(red), abs(green - 90), abs(blue - 200)) < 12
    if task.usage is not None and task.usage.output_duration is not None:
        assert 4 == task.usage.output_duration


async def test_an_upload_of_another_model_is_refused(emulator: hh.Emulator, clip: Callable[..., Path]) -> None:
    """The emulated storage binds a file to the account and the model, as the provider does."""
    async with hh.Client("dashscope", api_key="any", base_url=emulator.url("dashscope"), poll=FAST) as client:
        task = await client.generate(hh.VideoEdit("in snow", clip()))
        assert task.status is hh.TaskStatus.SUCCEEDED
        with pytest.raises(hh.InvalidRequestError):
            await client.submit(hh.ImageToVideo("oss://emulated-uploads/none/a.png"))


async def test_a_key_that_is_known_uploads_nothing(gateway: Any, clip: Callable[..., Path]) -> None:
    """The job is there already, so that its file is not sent anew by another client of the store."""
    script(gateway)
    file, store = clip(), hh.MemoryStore()
    async with dashscope(gateway, store=store) as client:
        first = await client.submit(hh.VideoEdit("in snow", file), key="order")
    async with dashscope(gateway, store=store) as client:
        second = await client.submit(hh.VideoEdit("in snow", file), key="order")

    assert first.ref == second.ref
    assert 1 == len(gateway.seen("POST", "/store"))


async def test_an_upload_needs_no_second_connection(gateway: Any, clip: Callable[..., Path]) -> None:
    """A connector of one connection does for a job that is enqueued, and uploaded by the next process."""
    import aiohttp

    script(gateway)
    connector = aiohttp.TCPConnector(limit=1)
    async with dashscope(gateway, connector=connector) as client:
        handle = await client.enqueue(hh.VideoEdit("in snow", clip()))
        async with asyncio.timeout(20):
            while (await client.job(handle.job_id)).ref is None:
                await asyncio.sleep(0.01)
    await connector.close()


async def test_an_enqueued_job_is_uploaded_when_it_is_sent(
    gateway: Any, clip: Callable[..., Path], tmp_path: Path
) -> None:
    """Not while it waits: the next process uploads the file, and names it in the request."""
    script(gateway)
    store, held = tmp_path / "jobs.sqlite", hh.Limits(max_running=1, max_queued=0)
    async with dashscope(gateway, store=hh.SQLiteStore(store), limits=held) as client:
        await client.submit(hh.VideoEdit("first", "https://example.org/v.mp4"))
        handle = await client.enqueue(hh.VideoEdit("in snow", clip()))
    assert [] == gateway.seen("POST", "/store")

    async with dashscope(gateway, store=hh.SQLiteStore(store)) as client:
        await accepted(client, handle)

    (upload,) = gateway.seen("POST", "/store")
    name = upload.body.split(b'name="key"\r\n\r\n')[1].split(b"\r\n")[0]
    assert b"oss://" + name in gateway.seen("POST", "/services/*")[1].body


async def accepted(client: hh.Client, handle: hh.JobHandle) -> None:
    async with asyncio.timeout(20):
        while (await client.job(handle.job_id)).ref is None:
            await asyncio.sleep(0.01)


async def test_an_upload_holds_up_no_other_job(gateway: Any, clip: Callable[..., Path]) -> None:
    """While the file of an enqueued job is uploaded, its slot is another's."""
    answered = asyncio.Event()
    script(gateway, gateway.reply(b"", after=answered))
    limits = hh.Limits(max_running=1, max_queued=0, max_concurrent_submits=1)
    async with dashscope(gateway, limits=limits) as client:
        first = await client.enqueue(hh.VideoEdit("in snow", clip()))
        while not gateway.seen("POST", "/store"):
            await asyncio.sleep(0.01)
        async with asyncio.timeout(20):
            await client.submit(hh.TextToVideo("meanwhile"))
        assert (await client.job(first.job_id)).state is hh.JobState.QUEUED
        answered.set()


async def test_an_enqueued_upload_is_tried_again(gateway: Any, clip: Callable[..., Path]) -> None:
    """A storage that is down for a moment does not end a job that is promised."""
    script(gateway, 503, gateway.reply(b""))
    quick = hh.RetryPolicies(submit=hh.RetryPolicy(max_retries=3, initial_interval=0.01))
    async with hh.Client("dashscope", api_key=KEY, base_url=gateway.url, retries=quick) as client:
        await accepted(client, await client.enqueue(hh.VideoEdit("in snow", clip())))

    assert 2 == len(gateway.seen("POST", "/store"))
    assert 1 == len(gateway.seen("POST", "/services/*"))


async def test_the_progress_of_uploads_is_reported(
    gateway: Any, clip: Callable[..., Path], picture: Callable[..., bytes]
) -> None:
    """Of all files of a request together, growing to their sum; what was uploaded before counts at once."""
    script(gateway)
    file, bitmap = clip(), picture(kind="BMP")
    seen: list[tuple[int, int]] = []
    async with dashscope(gateway) as client:
        await client.submit(hh.VideoEdit("in snow", file), upload_progress=lambda *now: seen.append(now))
        again: list[tuple[int, int]] = []
        await client.submit(hh.VideoEdit("in rain", file), upload_progress=lambda *now: again.append(now))
        first: list[tuple[int, int]] = []
        await client.submit(hh.ImageToVideo(bitmap), upload_progress=lambda *now: first.append(now))

    size = file.stat().st_size
    assert (size, size) == seen[-1]
    assert seen == sorted(seen)
    assert [(size, size)] == again
    assert len(first) > 2, "a file of several pieces is reported piece by piece"
    assert {len(bitmap)} == {total for _, total in first}
