"""What the HiAPI adapter takes, and what it refuses before anything is sent. https://docs.hiapi.ai/async-api/"""

from __future__ import annotations

from pathlib import Path

import pytest

from happyhorse_adapters.hiapi import HiAPIAdapter
from happyhorse_async.adapter import Submission
from happyhorse_async.errors import InvalidRequestError, UnsupportedFeatureError
from happyhorse_async.request import ImageToVideo, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest

ADAPTER = HiAPIAdapter()
IMAGE = "https://media.example.org/a.png"
NINE_RATIOS = ("16:9", "9:16", "3:4", "4:3", "4:5", "5:4", "1:1", "9:21", "21:9")
FIVE_RATIOS = ("1:1", "16:9", "3:4", "4:3", "9:16")


@pytest.mark.parametrize(
    "url", ["http://localhost:8080/hook", "http://127.0.0.1/hook", "http://127.8.9.1:1/hook", "http://[::1]:9/hook"]
)
def test_a_callback_to_this_machine_may_be_plain_http(url: str) -> None:
    """The emulator calls back over plain HTTP on the loopback interface."""
    spec = ADAPTER.check(TextToVideo("a kite"), provider="backup", callback_url=url)

    assert "happyhorse-1.1/text-to-video" == spec.model


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hook",
        "https://",
        "ftp://hooks.example.org/hook",
        "http://hooks.example.org/hook",
        "http://192.168.0.7/hook",
        "http://localhost.example.org/hook",
        "https://[::1/hook",
    ],
)
def test_another_callback_is_refused_before_anything_is_sent(url: str) -> None:
    """A callback URL that is not HTTPS fails the check, and so `plan` sees it as well."""
    with pytest.raises(InvalidRequestError, match="callback_url must be an https URL") as caught:
        ADAPTER.check(TextToVideo("a kite"), provider="backup", callback_url=url)

    assert "backup" == caught.value.provider


def test_a_refused_callback_url_does_not_show_its_query() -> None:
    """The query of a callback URL may hold a secret."""
    with pytest.raises(InvalidRequestError) as caught:
        ADAPTER.check(TextToVideo("a kite"), provider="backup", callback_url="http://a.example/h?token=canary")

    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("request_", "feature"),
    [
        (VideoEdit("paint it", "https://media.example.org/a.mp4"), "video-edit"),
        (ImageToVideo(IMAGE, version="1.0"), "image-to-video with version 1.0"),
        (ReferenceToVideo("[Image 1]", (IMAGE,), version="1.0"), "reference-to-video with version 1.0"),
        (TextToVideo("a kite", seed=7), "seed"),
        (ImageToVideo(IMAGE, seed=7), "seed"),
        (ReferenceToVideo("[Image 1]", (IMAGE,), seed=7), "seed"),
        (TextToVideo("a kite", watermark=False), "watermark"),
        (TextToVideo("a kite", version="1.0", watermark=True), "watermark"),
        (ImageToVideo("data:image/png;base64,AAAA"), "data: URI as image"),
        (ReferenceToVideo("[Image 1]", ("data:image/png;base64,AAAA",)), "data: URI as images"),
        (ImageToVideo("oss://dashscope-instant/a.png"), "oss:// URL as image"),
        (ImageToVideo(Path("a.png")), "local media as image"),
        (ImageToVideo(b"\x89PNG"), "local media as image"),
    ],
)
def test_what_the_provider_lacks_is_unsupported(request_: VideoRequest, feature: str) -> None:
    """A mode, version, option or form of media that HiAPI does not take is named before anything is sent."""
    with pytest.raises(UnsupportedFeatureError) as caught:
        ADAPTER.check(request_, provider="backup")

    assert feature == caught.value.feature
    assert "backup" == caught.value.provider


@pytest.mark.parametrize(
    "request_",
    [
        TextToVideo(""),
        TextToVideo("  "),
        TextToVideo("a kite", resolution="480P"),
        TextToVideo("a kite", ratio="2:1"),
        TextToVideo("a kite", duration=2),
        TextToVideo("a kite", duration=16),
        TextToVideo("a kite", version="2.0"),
        TextToVideo("a kite", version="1.0", ratio="21:9"),
        TextToVideo("a kite", version="1.0", seed=-1),
        TextToVideo("a kite", version="1.0", seed=2_147_483_648),
        TextToVideo("a kite", model="happyhorse-1.1/image-to-video"),
        ImageToVideo("a.png"),
        ImageToVideo(IMAGE, duration=2),
        ReferenceToVideo("[Image 1]", ()),
        ReferenceToVideo("[Image 1]", (IMAGE,) * 10),
        ReferenceToVideo("", (IMAGE,)),
    ],
)
def test_a_value_out_of_range_is_invalid(request_: VideoRequest) -> None:
    """A value that the model's page does not have is refused before anything is sent."""
    with pytest.raises(InvalidRequestError) as caught:
        ADAPTER.check(request_, provider="backup")

    assert "backup" == caught.value.provider


@pytest.mark.parametrize("duration", range(3, 16))
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_every_documented_duration_passes(version: str, duration: int) -> None:
    """Both versions take any whole second from 3 to 15, the wider of the two sources for 1.0."""
    assert version == ADAPTER.check(TextToVideo("a kite", version=version, duration=duration), provider="x").version


@pytest.mark.parametrize(
    ("version", "ratio"),
    [("1.1", ratio) for ratio in NINE_RATIOS] + [("1.0", ratio) for ratio in FIVE_RATIOS],
)
def test_every_documented_ratio_passes(version: str, ratio: str) -> None:
    """Version 1.1 takes nine ratios, 1.0 five."""
    assert version == ADAPTER.check(TextToVideo("a kite", version=version, ratio=ratio), provider="x").version


@pytest.mark.parametrize("ratio", NINE_RATIOS)
@pytest.mark.parametrize("count", [1, 9])
def test_references_take_nine_ratios_and_nine_images(ratio: str, count: int) -> None:
    """Reference-to-video takes the same nine ratios, and one to nine images."""
    spec = ADAPTER.check(ReferenceToVideo("[Image 1]", (IMAGE,) * count, ratio=ratio), provider="x")

    assert "happyhorse-1.1/reference-to-video" == spec.model


@pytest.mark.parametrize(
    ("request_", "count"),
    [
        (TextToVideo("a kite"), 1),
        (TextToVideo("a kite", resolution="720P"), 0),
        (TextToVideo("a kite", extra={"resolution": "720p"}), 0),
    ],
)
def test_the_costly_default_is_pointed_out(request_: VideoRequest, count: int) -> None:
    """Without a resolution the provider makes and bills 1080P, which is said before the submit."""
    spec = ADAPTER.check(request_, provider="x")
    account = ADAPTER.account(provider="backup", api_key="key")
    warnings = ADAPTER.warnings(Submission(request=request_, spec=spec, job_id="job-1"), account)

    assert count == len(warnings)
    assert all("1080P" in warning for warning in warnings)


def test_the_declared_abilities_are_the_documented_ones() -> None:
    """It lists, calls back and takes an idempotency key; it cannot cancel, and makes sound unasked."""
    capabilities = ADAPTER.capabilities

    assert (True, False, True, True) == (
        capabilities.can_list,
        capabilities.can_cancel,
        capabilities.callbacks,
        capabilities.idempotent,
    )
    assert not any(spec.audio or spec.watermark for spec in capabilities.models)
