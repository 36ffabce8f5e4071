"""How large and how long a test picture is."""

from __future__ import annotations

import pytest

from happyhorse_async.emulator.media_spec import MediaSpec, frame_size
from happyhorse_async.request import ImageToVideo, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest

PICTURE = "https://img.example.net/a.png"


@pytest.mark.parametrize(
    ("resolution", "ratio", "size"),
    [
        ("480P", "16:9", (854, 480)),
        ("720P", "16:9", (1280, 720)),
        ("1080P", "16:9", (1920, 1080)),
        ("480P", "9:16", (480, 854)),
        ("720P", "9:16", (720, 1280)),
        ("1080P", "9:16", (1080, 1920)),
        ("720P", "1:1", (960, 960)),
        ("720P", "4:3", (1108, 832)),
        ("1080P", "21:9", (2200, 942)),
    ],
)
def test_resolution_and_ratio_give_the_size(resolution: str, ratio: str, size: tuple[int, int]) -> None:
    """The resolution is the number of lines at 16:9, and of columns at 9:16."""
    assert size == frame_size(resolution, ratio)


@pytest.mark.parametrize("resolution", ["480P", "720P", "1080P"])
@pytest.mark.parametrize("ratio", ["16:9", "9:16", "1:1", "4:3", "3:4", "4:5", "5:4", "9:21", "21:9"])
def test_every_ratio_has_about_the_same_pixels_and_even_sides(resolution: str, ratio: str) -> None:
    """H.264 needs even sides."""
    width, height = frame_size(resolution, ratio)

    across, down = map(int, ratio.split(":"))
    wide, high = frame_size(resolution, "16:9")
    assert (0, 0) == (width % 2, height % 2)
    assert width * height == pytest.approx(wide * high, rel=0.01)
    assert width / height == pytest.approx(across / down, rel=0.01)


@pytest.mark.parametrize(
    ("request_", "size", "seconds"),
    [
        (TextToVideo("a kite", resolution="720P", ratio="9:16", duration=4), (720, 1280), 4.0),
        (ReferenceToVideo("a kite", [PICTURE], resolution="720P", ratio="1:1", duration=3), (960, 960), 3.0),
        (ImageToVideo(PICTURE, resolution="720P", duration=15), (1280, 720), 15.0),
        (VideoEdit("a kite", PICTURE, resolution="720P"), (1280, 720), 5.0),
        (TextToVideo("a kite"), (1920, 1080), 5.0),
    ],
)
def test_the_media_spec_follows_the_request(request_: VideoRequest, size: tuple[int, int], seconds: float) -> None:
    """A first frame or source behind a URL is assumed to be 16:9 and 5 seconds long."""
    media_spec = MediaSpec.of(request_, provider="hiapi")

    assert (*size, seconds) == (media_spec.width, media_spec.height, media_spec.seconds)
    assert request_.mode == media_spec.mode


def test_equal_media_specs_share_a_file_name() -> None:
    """The name depends on everything that is drawn."""
    first = MediaSpec.of(TextToVideo("a kite"), provider="hiapi")
    same = MediaSpec.of(TextToVideo("a kite"), provider="hiapi")
    other = MediaSpec.of(TextToVideo("a kite", seed=1), provider="hiapi")

    assert first.digest == same.digest != other.digest
