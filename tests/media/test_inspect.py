"""Measuring local pictures and videos with real files."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from happyhorse_async.errors import InvalidRequestError
from happyhorse_async.media.facts import PictureFacts, VideoFacts
from happyhorse_async.media.formats import MediaFormat
from happyhorse_async.media.inspect import inspect


def picture(kind: str, size: tuple[int, int] = (400, 300), **options: Any) -> bytes:
    file = io.BytesIO()
    Image.effect_noise(size, 50).convert("RGB").save(file, kind, **options)
    return file.getvalue()


def video(
    path: Path, *, seconds: int = 1, rate: int = 24, size: tuple[int, int] = (320, 240), codec: str = "h264"
) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(rate))
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for _ in range(seconds * rate):
            container.mux(stream.encode(av.VideoFrame(*size, "yuv420p")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
@pytest.mark.parametrize("where", ["on disk", "in memory"])
def test_a_picture_is_measured(tmp_path: Path, kind: str, where: str) -> None:
    """Format, bytes and pixels are found, from a file or from its bytes, whatever the name says."""
    content = picture(kind)
    path = tmp_path / "frame.txt"
    path.write_bytes(content)

    facts = inspect(path if where == "on disk" else content, name="image")

    assert isinstance(facts, PictureFacts)
    assert (kind, len(content), 400, 300) == (facts.format.upper(), facts.size, facts.width, facts.height)


def test_a_picture_held_sideways_is_measured_as_it_is_shown() -> None:
    """A phone stores an upright picture sideways and says so in EXIF."""
    exif = Image.Exif()
    exif[0x0112] = 6

    facts = inspect(picture("JPEG", exif=exif), name="image")

    assert isinstance(facts, PictureFacts)
    assert (300, 400, True) == (facts.width, facts.height, facts.is_sideways)


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_an_animation_is_told(kind: str) -> None:
    """The number of its pictures is counted."""
    frames = [Image.effect_noise((40, 30), 50).convert("RGB") for _ in range(3)]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])

    facts = inspect(file.getvalue(), name="image")

    assert isinstance(facts, PictureFacts)
    assert 3 == facts.frames


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_a_truncated_picture_is_found_out(kind: str) -> None:
    """A picture that ends too early is damaged, and the field and the format are named."""
    content = picture(kind)

    with pytest.raises(InvalidRequestError, match=r"^image: the given file of \d+ bytes is a damaged"):
        inspect(content[: len(content) // 2], name="image")


def test_content_that_only_begins_like_a_picture_is_told_in_plain_words() -> None:
    """Pillow would name an object of its own by its address."""
    with pytest.raises(InvalidRequestError) as caught:
        inspect(b"GIF89a", name="image")

    assert "image: the given file of 6 bytes is a damaged GIF picture: it cannot be read" == caught.value.message


def test_a_decompression_bomb_is_refused_before_it_is_unpacked() -> None:
    """A small file that claims 900 million pixels is refused by its header."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    content = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))

    with pytest.raises(InvalidRequestError, match="more than 89 million pixels"):
        inspect(content + struct.pack(">I", 0) + b"IEND\xaeB`\x82", name="image")


def test_a_video_is_measured(tmp_path: Path) -> None:
    """Size, length, frame rate and codec are found."""
    path = video(tmp_path / "clip.bin.mp4", seconds=2, rate=12)

    facts = inspect(path, name="video")

    assert isinstance(facts, VideoFacts)
    assert (MediaFormat.MP4, 320, 240, "h264") == (facts.format, facts.width, facts.height, facts.codec)
    assert 2.0 == pytest.approx(facts.duration, abs=0.1)
    assert 12 == facts.frame_rate


def test_a_truncated_video_is_found_out(tmp_path: Path) -> None:
    """A video whose index is missing is damaged."""
    content = video(tmp_path / "clip.mp4").read_bytes()

    with pytest.raises(InvalidRequestError, match="is a damaged MP4 video"):
        inspect(content[: len(content) // 2], name="video")


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def empty(path: Path) -> Path:
    path.touch()
    return path


def words(path: Path) -> Path:
    path.write_text("<!DOCTYPE html><title>not a picture</title>", "utf-8")
    return path


def drawing(path: Path) -> Path:
    path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>", "utf-8")
    return path


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path / "absent.png", "absent.png does not exist"),
        (lambda path: path, "is not a regular file"),
        (lambda path: fifo(path / "pipe"), "pipe is not a regular file"),
        (lambda path: empty(path / "empty.png"), "empty.png is empty"),
        (lambda path: words(path / "page.png"), "page.png is neither a picture nor a video"),
        (lambda path: drawing(path / "logo.png"), "logo.png is an SVG drawing; save it as PNG first"),
    ],
    ids=["absent", "folder", "FIFO", "empty", "HTML", "SVG"],
)
def test_what_cannot_be_sent_is_named(tmp_path: Path, make: Callable[[Path], Path], why: str) -> None:
    """The field, the path and the reason are named."""
    with pytest.raises(InvalidRequestError, match=why):
        inspect(make(tmp_path), name="image")
