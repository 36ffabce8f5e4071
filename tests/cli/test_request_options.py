"""From arguments to a request, and what does not go together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from happyhorse_async.cli.request_options import RequestOptions, demo_options, make_request
from happyhorse_async.errors import InvalidRequestError
from happyhorse_async.request import ImageToVideo, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest

IMAGE = "https://example.org/a.png"
OTHER = "https://example.org/b.png"
VIDEO = "https://example.org/v.mp4"


@pytest.mark.parametrize(
    ("prompt", "options", "request_"),
    [
        ("rain", {}, TextToVideo("rain")),
        ("rain", {"mode": "t2v", "ratio": "1:1", "duration": 5}, TextToVideo("rain", ratio="1:1", duration=5)),
        (None, {"image": (IMAGE,)}, ImageToVideo(IMAGE)),
        ("rain", {"image": (IMAGE,), "duration": 3}, ImageToVideo(IMAGE, prompt="rain", duration=3)),
        ("rain", {"image": (IMAGE, OTHER)}, ReferenceToVideo("rain", (IMAGE, OTHER))),
        (
            "rain",
            {"image": (IMAGE,), "mode": "r2v", "ratio": "9:16"},
            ReferenceToVideo("rain", (IMAGE,), ratio="9:16"),
        ),
        ("rain", {"video": VIDEO}, VideoEdit("rain", VIDEO)),
        (
            "rain",
            {"video": VIDEO, "image": (IMAGE,), "audio": "origin"},
            VideoEdit("rain", VIDEO, images=(IMAGE,), audio="origin"),
        ),
        (
            "rain",
            {"resolution": "720p", "seed": 0, "watermark": False, "version": "1.0", "model": "m"},
            TextToVideo("rain", resolution="720P", seed=0, watermark=False, version="1.0", model="m"),
        ),
    ],
)
def test_the_mode_follows_from_the_media(prompt: str | None, options: dict[str, Any], request_: VideoRequest) -> None:
    """No media is t2v, one image i2v, several r2v, a video edit; --mode wins, and every option arrives."""

    assert request_ == make_request(prompt, RequestOptions(**options))


@pytest.mark.parametrize(
    ("prompt", "options", "reason"),
    [
        (None, {}, "PROMPT is missing: mode t2v"),
        (None, {"image": (IMAGE, OTHER)}, "PROMPT is missing: mode r2v"),
        ("caf\udce9", {}, "not text in the terminal's encoding"),
        ("rain", {"image": (IMAGE,), "ratio": "1:1"}, "the video has the aspect ratio of the image"),
        ("rain", {"video": VIDEO, "ratio": "1:1"}, "the video keeps the aspect ratio of its source"),
        ("rain", {"video": VIDEO, "duration": 5}, "the video keeps the length of its source"),
        ("rain", {"audio": "auto"}, "--audio is only for mode edit"),
        ("rain", {"mode": "t2v", "image": (IMAGE,)}, "--image is not for mode t2v"),
        ("rain", {"mode": "i2v", "image": (IMAGE, OTHER)}, "takes one --image, not 2"),
        ("rain", {"mode": "i2v"}, "mode i2v needs --image"),
        ("rain", {"mode": "r2v"}, "mode r2v needs --image"),
        ("rain", {"mode": "edit"}, "mode edit needs --video"),
        ("rain", {"mode": "i2v", "image": (IMAGE,), "video": VIDEO}, "--video is for mode edit"),
    ],
)
def test_what_does_not_go_together(prompt: str | None, options: dict[str, Any], reason: str) -> None:
    """Arguments that contradict each other, or would be without effect, are refused with the reason."""
    with pytest.raises(InvalidRequestError) as raised:
        make_request(prompt, RequestOptions(**options))

    assert reason in str(raised.value)


def test_a_demonstration_is_short() -> None:
    """The demonstration has a size and a length of its own, unless they are given; an edit has no length to give."""

    assert ("720P", 5) == (demo_options(RequestOptions()).resolution, demo_options(RequestOptions()).duration)
    assert ("1080P", 3) == (
        demo_options(RequestOptions(resolution="1080P")).resolution,
        demo_options(RequestOptions(duration=3)).duration,
    )
    assert demo_options(RequestOptions(video=VIDEO)).duration is None


def test_what_is_no_url_is_a_file() -> None:
    """Images and videos are files or URLs."""
    request = make_request("rain", RequestOptions(image=("frame.png", IMAGE)))

    assert isinstance(request, ReferenceToVideo)
    assert (Path("frame.png"), IMAGE) == request.images
