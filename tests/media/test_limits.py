"""Measured media held against what a provider documents."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from happyhorse_async.errors import InvalidRequestError
from happyhorse_async.media.facts import PictureFacts, VideoFacts
from happyhorse_async.media.formats import MediaFormat
from happyhorse_async.media.limits import PictureLimits, VideoLimits, check_picture, check_video

PAGE = "https://provider.example/docs"
PICTURE = PictureFacts(format=MediaFormat.PNG, size=1_000_000, width=1280, height=720)
PICTURES = PictureLimits(formats=frozenset({MediaFormat.PNG}), source=PAGE, megabytes=10, side=300, ratio=2.5)
VIDEO = VideoFacts(
    format=MediaFormat.MP4, size=1_000_000, width=1280, height=720, duration=10.0, frame_rate=24.0, codec="h264"
)
VIDEOS = VideoLimits(
    formats=frozenset({MediaFormat.MP4}),
    source=PAGE,
    megabytes=100,
    durations=(3, 60),
    longer_side=4096,
    shorter_side=320,
    doubted_shorter_side=360,
    ratio=8,
    doubted_ratio=2.5,
    frame_rate=8,
    doubted_frame_rates=(8, 60),
    edited=15,
)


def picture_check(limits: dict[str, Any] | None = None, **facts: Any) -> tuple[str, ...]:
    return check_picture(evolve(PICTURE, **facts), evolve(PICTURES, **limits or {}), name="image", provider="toy")


def video_check(**facts: Any) -> tuple[str, ...]:
    return check_video(evolve(VIDEO, **facts), VIDEOS, name="video", provider="toy")


def test_what_is_within_the_limits_passes_silently() -> None:
    """Neither an error nor a warning."""
    assert () == picture_check()
    assert () == video_check()


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"format": MediaFormat.HEIC}, "image is a HEIC file by its content; toy takes PNG"),
        ({"size": 10_500_000}, "image has 10.5 MB; toy takes at most 10 MB"),
        ({"height": 299}, "image is 1280x299 pixels; toy takes at least 300 on each side"),
        ({"height": 500}, "image is 1280x500 pixels; toy takes ratios from 1:2.5 to 2.5:1"),
        ({"width": 300, "height": 751}, "image is 300x751 pixels; toy takes ratios"),
    ],
)
def test_a_picture_outside_the_limits_is_refused(facts: dict[str, Any], why: str) -> None:
    """The figure found, the figure allowed and the page are named."""
    with pytest.raises(InvalidRequestError, match=why) as raised:
        picture_check(**facts)

    assert str(raised.value).endswith(PAGE)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"format": MediaFormat.WEBM}, "video is a WebM file by its content"),
        ({"duration": 2.5}, "video lasts 2.5 s; toy takes 3 to 60 s"),
        ({"duration": 61.0}, "video lasts 61.0 s; toy takes 3 to 60 s"),
        ({"frame_rate": 7.5}, "video has 7.5 frames a second; toy takes more than 8"),
        ({"width": 4100}, "at most 4096 on the longer side"),
        ({"width": 400, "height": 310}, "at least 320 on the shorter side"),
        ({"width": 4000, "height": 400}, "ratios from 1:8 to 8:1"),
        ({"size": 105_000_000}, "video has 105.0 MB; toy takes at most 100 MB"),
    ],
)
def test_a_video_outside_the_limits_is_refused(facts: dict[str, Any], why: str) -> None:
    """The figure found, the figure allowed and the page are named."""
    with pytest.raises(InvalidRequestError, match=why) as raised:
        video_check(**facts)

    assert str(raised.value).endswith(PAGE)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"codec": "hevc"}, "coded as hevc; toy advises H.264"),
        ({"duration": 20.0}, "only its first 15 s come out edited"),
        ({"frame_rate": 8.0}, "8 frames a second"),
        ({"frame_rate": 61.0}, "61 frames a second"),
        ({"width": 640, "height": 340}, "a side of 340 pixels; a page of toy says at least 360"),
        ({"width": 2000, "height": 500}, "a page of toy says ratios from 1:2.5 to 2.5:1"),
        ({"size": 102_000_000}, "does not say how it counts them"),
    ],
)
def test_where_the_pages_differ_a_video_is_doubted(facts: dict[str, Any], why: str) -> None:
    """It passes, with one warning."""
    (warning,) = video_check(**facts)

    assert why in warning


def test_a_figure_of_the_provider_upstream_only_warns() -> None:
    """A limit that the provider itself does not state never refuses."""
    (warning,) = picture_check({"is_hearsay": True}, height=200, width=400)

    assert "at least 300 on each side" in warning


def test_without_measures_only_format_and_size_count() -> None:
    """Where the extra is missing, what was not measured is not judged."""
    assert () == picture_check(width=None, height=None)
    assert () == video_check(width=None, height=None, duration=None, frame_rate=None, codec=None)
