"""Who takes which file, what is refused, and what is changed only where the user says so."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import happyhorse_async as hh
from happyhorse_async.cli.batch_file import BatchFile

KEY = "sk-canary-0451-never-to-be-seen"


def accept(gateway: Any) -> None:
    gateway.on("POST", "*", {"output": {"task_id": "t-1", "task_status": "PENDING"}, "request_id": "r"})
    gateway.on("GET", "*", {"output": {"task_id": "t-1", "task_status": "RUNNING"}, "request_id": "r"})


@pytest.mark.parametrize("provider", ["hiapi", "nexusflow"])
def test_a_provider_of_urls_refuses_a_file_and_names_who_takes_it(provider: str, picture: Callable[..., bytes]) -> None:
    """The refusal comes before anything is read or sent."""
    with pytest.raises(hh.UnsupportedFeatureError, match="local media as image") as refused:
        hh.Client(provider, api_key=KEY).plan(hh.ImageToVideo(picture()))

    assert {"dashscope", "imini"} <= set(refused.value.alternatives)
    assert provider not in refused.value.alternatives


async def test_hiapi_inlines_a_picture_where_its_option_says_so(gateway: Any, picture: Callable[..., bytes]) -> None:
    """With `inline_media`, which is a warning of the plan and no field of the request."""
    gateway.on("POST", "*", {"code": 200, "message": "ok", "data": {"taskId": "t-1"}})
    gateway.on("GET", "*", {"code": 200, "message": "ok", "data": {"taskId": "t-1", "status": "handling"}})
    options = {"inline_media": True}
    async with hh.Client("hiapi", api_key=KEY, base_url=gateway.url, options=options) as client:
        plan = client.plan(hh.ImageToVideo(picture()))
        await client.submit(hh.ImageToVideo(picture()))

    assert any("does not document" in warning for warning in plan.warnings)
    (submit,) = gateway.seen("POST")
    body = json.loads(submit.body)
    assert picture() == base64.b64decode(body["input"]["image_urls"][0].removeprefix("data:image/png;base64,"))
    assert {"model", "input"} == body.keys()


async def test_hiapi_takes_ten_megabytes_in_all(picture: Callable[..., bytes]) -> None:
    """What is beyond that together is refused, although each fits."""
    client = hh.Client("hiapi", api_key=KEY, options={"inline_media": True})
    large = picture(1100, 1100, kind="BMP", noise=True)
    noisy = [picture(1400, 1400, noise=True) for _ in range(3)]

    with pytest.raises(hh.UnsupportedFeatureError, match="together"):
        client.plan(hh.ReferenceToVideo("a", noisy))
    with pytest.raises(hh.InvalidRequestError, match="BMP"):
        client.plan(hh.ReferenceToVideo("a", large))


async def test_a_region_without_storage_inlines_what_its_option_allows(picture: Callable[..., bytes]) -> None:
    """Pictures beyond 7 MiB are refused there by default, with a hint at the option."""
    large = picture(1900, 1900, noise=True)
    assert len(large) > 7 * 2**20
    request = hh.ImageToVideo(large)

    with pytest.raises(hh.UnsupportedFeatureError, match="inline_media = true"):
        hh.Client("dashscope", api_key=KEY, region="virginia").plan(request)
    able = hh.Client("dashscope", api_key=KEY, region="virginia", options={"inline_media": True})
    assert ["inline"] == [medium.delivery for medium in able.plan(request).media]


@pytest.mark.parametrize(("provider", "option"), [("hiapi", "inline_media"), ("nexusflow", "upload")])
def test_an_option_for_media_is_on_or_off(provider: str, option: str, picture: Callable[..., bytes]) -> None:
    """Anything else is a mistake; off is as without it."""
    with pytest.raises(hh.ConfigurationError, match="true or false"):
        hh.Client(provider, api_key=KEY, options={option: "yes"})
    with pytest.raises(hh.UnsupportedFeatureError, match=f"option {option} = true"):
        hh.Client(provider, api_key=KEY, options={option: False}).plan(hh.ImageToVideo(picture()))


async def test_a_refusal_names_configured_providers_first(picture: Callable[..., bytes]) -> None:
    """Then all others that are installed."""
    accounts = [hh.Provider("hiapi", api_key=KEY), hh.Provider("ours", adapter="imini", api_key=KEY)]
    async with hh.Client(accounts) as client:
        with pytest.raises(hh.UnsupportedFeatureError) as planned:
            client.plan(hh.ImageToVideo(picture()), provider="hiapi")
        with pytest.raises(hh.UnsupportedFeatureError) as submitted:
            await client.submit(hh.ImageToVideo(picture()), provider="hiapi")

    for refused in (planned, submitted):
        assert "imini" == refused.value.alternatives[0]
        assert {"dashscope", "fal", "kie"} <= set(refused.value.alternatives)


def test_imini_takes_no_local_video(clip: Callable[..., Path]) -> None:
    """It has no upload, and documents a public URL for a video."""
    with pytest.raises(hh.UnsupportedFeatureError, match="local media as video") as refused:
        hh.Client("imini", api_key=KEY).plan(hh.VideoEdit("in snow", clip()))

    assert "dashscope" in refused.value.alternatives
    assert "imini" not in refused.value.alternatives


async def test_a_picture_arrives_at_imini(gateway: Any, picture: Callable[..., bytes]) -> None:
    """Inside the request, as its first frame."""
    gateway.on("POST", "*", {"code": 0, "message": "ok", "data": {"task_id": "t-1"}})
    data = picture(kind="JPEG")
    async with hh.Client("imini", api_key=KEY, base_url=gateway.url) as client:
        with pytest.raises(hh.HappyHorseError):
            await asyncio.wait_for(client.submit(hh.ImageToVideo(data)), 5)
    (image,) = json.loads(gateway.seen("POST")[0].body)["reference_images"]

    assert data == base64.b64decode(image["url"].removeprefix("data:image/jpeg;base64,"), validate=True)


def test_pictures_that_are_too_large_together_are_refused_without_storage(picture: Callable[..., bytes]) -> None:
    """The sum is in the error. Where there is storage, the largest are uploaded."""
    large = picture(1700, 1400, noise=True, compress_level=0)
    request = hh.ReferenceToVideo("a", [large] * 3)
    assert 18 * 2**20 < 3 * len(large)
    with pytest.raises(hh.UnsupportedFeatureError, match="MB together"):
        hh.Client("imini", api_key=KEY).plan(request)
    small = picture(1400, 1200, noise=True, compress_level=0)
    plan = hh.Client("dashscope", api_key=KEY).plan(hh.ReferenceToVideo("a", [small] * 4 + [large]))

    assert "upload" == plan.media[4].delivery


@pytest.mark.parametrize(("fit", "size"), [("pad", (1500, 600)), ("crop", (1250, 500))])
async def test_a_picture_is_made_to_fit_where_the_user_says_so(
    gateway: Any, picture: Callable[..., bytes], fit: Any, size: tuple[int, int]
) -> None:
    """A ratio of 3:1 becomes 2.5:1; without `Picture` it is refused."""
    accept(gateway)
    async with hh.Client("dashscope", api_key=KEY, base_url=gateway.url) as client:
        await client.submit(hh.ImageToVideo(hh.Picture(picture(1500, 500), fit=fit)))
    url = json.loads(gateway.seen("POST")[0].body)["input"]["media"][0]["url"]

    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as sent:
        assert size == sent.size


async def test_a_picture_that_fits_is_not_changed(gateway: Any, picture: Callable[..., bytes]) -> None:
    """Its bytes are sent as they are."""
    accept(gateway)
    data = picture(kind="JPEG", quality=60)
    async with hh.Client("dashscope", api_key=KEY, base_url=gateway.url) as client:
        await client.submit(hh.ImageToVideo(hh.Picture(data)))
    url = json.loads(gateway.seen("POST")[0].body)["input"]["media"][0]["url"]

    assert data == base64.b64decode(url.partition(",")[2])


async def test_a_large_file_that_has_changed_is_not_sent(
    gateway: Any, picture: Callable[..., bytes], tmp_path: Path
) -> None:
    """Of a file that is too large to keep, the path and the digest are kept; new content is never sent."""
    accept(gateway)
    file, store = tmp_path / "frame.png", tmp_path / "jobs.sqlite"
    data = picture(2000, 1900, noise=True, compress_level=0)
    assert 10 * 2**20 < len(data)
    file.write_bytes(data)
    limits = hh.Limits(max_running=1, max_queued=0)
    async with hh.Client(
        "dashscope", api_key=KEY, base_url=gateway.url, store=hh.SQLiteStore(store), limits=limits
    ) as client:
        await client.submit(hh.ImageToVideo("https://example.org/a.png"))
        data_url = {"data": {"upload_host": f"{gateway.url}/store", "upload_dir": "d", "policy": "p", "signature": "s"}}
        data_url["data"]["oss_access_key_id"] = "i"
        gateway.on("GET", "/uploads", data_url)
        gateway.on("POST", "/store", gateway.reply(b""))
        handle = await client.enqueue(hh.ImageToVideo(file))
    file.write_bytes(picture())
    async with hh.Client("dashscope", api_key=KEY, base_url=gateway.url, store=hh.SQLiteStore(store)) as client:
        async with asyncio.timeout(10):
            while (await client.job(handle.job_id)).state is not hh.JobState.REFUSED:
                await asyncio.sleep(0.01)
        error = (await client.job(handle.job_id)).error

    assert "has changed" in str(error)
    assert 1 == len(gateway.seen("POST", "/services/*"))


async def test_bytes_that_cannot_be_kept_are_refused_at_enqueue(gateway: Any, picture: Callable[..., bytes]) -> None:
    """The error says what to do instead."""
    data = picture(2000, 1900, noise=True, compress_level=0)
    async with hh.Client("dashscope", api_key=KEY, base_url=gateway.url) as client:
        with pytest.raises(hh.InvalidRequestError, match="give the path"):
            await client.enqueue(hh.ImageToVideo(data))
    assert [] == gateway.requests


async def test_what_is_kept_can_be_set(gateway: Any, picture: Callable[..., bytes], tmp_path: Path) -> None:
    """The store says how large a medium it keeps; one of many machines keeps no paths."""

    class Shared(hh.MemoryStore):
        """As a store whose processes do not see each other's files."""

        keeps_paths = False

    accept(gateway)
    small, file = picture(), tmp_path / "a.png"
    file.write_bytes(small)
    for store, medium, why in (
        (hh.MemoryStore(keep_media=100), small, "give the path of a file"),
        (Shared(keep_media=100), file, "give a URL"),
    ):
        async with hh.Client("dashscope", api_key=KEY, base_url=gateway.url, store=store) as client:
            with pytest.raises(hh.InvalidRequestError, match=why):
                await client.enqueue(hh.ImageToVideo(medium))
            await client.submit(hh.ImageToVideo(medium))
    async with hh.Client("dashscope", api_key=KEY, base_url=gateway.url, store=Shared()) as client:
        await client.enqueue(hh.ImageToVideo(file))


def test_paths_of_a_batch_file_are_relative_to_it(tmp_path: Path) -> None:
    """Whatever the current directory is. URLs stay as they are."""
    file = tmp_path / "shots.jsonl"
    lines = [
        {"image": "frame.png"},
        {"prompt": "a", "images": ["a.png", "https://example.org/b.png"]},
        {"prompt": "a", "video": "/c.mp4"},
    ]
    file.write_text("\n".join(json.dumps(line) for line in lines), "utf-8")
    first, second, third = (line.request for line in BatchFile.read(file).lines)

    assert tmp_path / "frame.png" == first.image  # type: ignore[union-attr]
    assert (tmp_path / "a.png", "https://example.org/b.png") == second.images  # type: ignore[union-attr]
    assert Path("/c.mp4") == third.video  # type: ignore[union-attr]


def test_neither_a_plan_nor_a_request_shows_a_picture(picture: Callable[..., bytes]) -> None:
    """Their reprs have neither the bytes nor the base64."""
    data = picture()
    request = hh.ImageToVideo(data)
    plan = hh.Client("dashscope", api_key=KEY).plan(request)

    for text in (repr(request), repr(plan), repr(hh.Picture(data))):
        assert "PNG" not in text
        assert "iVBOR" not in text


def test_the_length_of_a_local_video_makes_the_price_of_its_edit_exact(clip: Callable[..., Path]) -> None:
    """The plan reads it from the header of the file."""
    plan = hh.Client("dashscope", api_key=KEY).plan(hh.VideoEdit("in snow", clip(5), resolution="720P"))

    assert plan.price is not None
    assert plan.price.amount is not None
    assert abs(float(plan.price.amount) - 0.14 * 2 * 5) < 0.05


async def test_fal_inlines_small_pictures_where_its_option_says_so(picture: Callable[..., bytes]) -> None:
    """Up to 1 MiB, with a warning of the plan; what is larger, or a BMP, is uploaded as it is without the option."""
    small, large, bitmap = picture(), picture(700, 700, noise=True), picture(kind="BMP")
    assert len(large) > 2**20
    async with hh.Emulator(speed=600) as emulator:
        account = {"api_key": KEY, "base_url": emulator.url("fal")}
        async with hh.Client("fal", **account, options={"inline_media": True}) as client:
            plans = [client.plan(hh.ImageToVideo(one)) for one in (small, large, bitmap)]
            edit = client.plan(hh.VideoEdit("a", "https://media.example.org/a.mp4", images=[small]))
            tasks = [
                await client.generate(hh.ImageToVideo(small)),
                await client.generate(hh.ReferenceToVideo("a", [small])),
            ]
        uploads = emulator.calls("upload")
        async with hh.Client("fal", **account) as client:
            without = client.plan(hh.ImageToVideo(small))

    assert ["inline", "upload", "upload"] == [plan.media[0].delivery for plan in plans]
    assert "inline" == edit.media[1].delivery
    assert "upload" == without.media[0].delivery
    assert ["does not document" in " ".join(plan.warnings) for plan in plans] == [True, False, False]
    assert not any("everyone" in warning for warning in plans[0].warnings)
    assert all(task.video_url for task in tasks)
    assert 0 == uploads


def test_fal_refuses_what_is_too_large_to_inline_where_uploads_are_off(picture: Callable[..., bytes]) -> None:
    client = hh.Client("fal", api_key=KEY, options={"inline_media": True, "upload": False})
    assert "inline" == client.plan(hh.ImageToVideo(picture())).media[0].delivery
    with pytest.raises(hh.UnsupportedFeatureError, match="inside a request"):
        client.plan(hh.ImageToVideo(picture(700, 700, noise=True)))
    with pytest.raises(hh.ConfigurationError, match="inline_media must be true or false"):
        hh.Client("fal", api_key=KEY, options={"inline_media": "yes"})


@pytest.mark.parametrize(
    ("provider", "options"),
    [
        ("dashscope", {}),
        ("hiapi", {"inline_media": True}),
        ("nexusflow", {"upload": True}),
        ("imini", {}),
        ("fal", {}),
        ("kie", {}),
    ],
)
def test_a_long_reference_is_a_warning_everywhere(
    provider: str, options: dict[str, bool], picture: Callable[..., bytes]
) -> None:
    """A shorter side below 0.4 of the longer one is only refused by the words of a partner."""
    client = hh.Client(provider, api_key=KEY, options=options)
    long, fitting = (client.plan(hh.ReferenceToVideo("a", [picture(width, 420)])) for width in (1100, 1050))

    assert any("1100x420 pixels; ratios beyond 1:2.5" in warning for warning in long.warnings)
    assert not any("1050x420" in warning for warning in fitting.warnings)


@pytest.mark.parametrize(("rate", "is_taken"), [(7, False), (8, False), (9, True)])
async def test_a_video_of_eight_frames_a_second_is_too_slow_for_fal(
    clip: Callable[..., Path], rate: int, is_taken: bool
) -> None:
    """Its pages say "more than 8"; a plan knows it from the header."""
    request = hh.VideoEdit("Make it night", clip(4, rate=rate))
    client = hh.Client("fal", api_key=KEY)
    if is_taken:
        assert "upload" == client.plan(request).media[0].delivery
    else:
        with pytest.raises(hh.InvalidRequestError, match=f"{rate} frames a second; fal takes more than 8"):
            client.plan(request)


def test_a_plan_refuses_by_the_header_what_a_submit_would_refuse(
    picture: Callable[..., bytes], clip: Callable[..., Path]
) -> None:
    """Sides and ratios; what only decoding shows is left to the submit."""
    client = hh.Client("fal", api_key=KEY)
    for kind in ("PNG", "JPEG", "WEBP", "BMP"):
        with pytest.raises(hh.InvalidRequestError, match="200x640 pixels; fal takes at least 300"):
            client.plan(hh.ImageToVideo(picture(200, 640, kind=kind)))
        fitted = hh.Picture(picture(200, 640, kind=kind), fit="pad")
        assert client.plan(hh.ImageToVideo(fitted)).media[0].delivery == "upload"
    with pytest.raises(hh.InvalidRequestError, match="320x300 pixels; fal takes at least 320"):
        client.plan(hh.VideoEdit("Make it night", clip(4, width=320, height=300)))
    with pytest.raises(hh.InvalidRequestError, match=r"lasts 2\.0 s"):
        client.plan(hh.VideoEdit("Make it night", clip(2)))
    assert client.plan(hh.ImageToVideo(picture(noise=True)[:30_000])).media[0].delivery == "upload"
