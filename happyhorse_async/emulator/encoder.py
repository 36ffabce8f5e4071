"""Encodes a test video as H.264 and AAC in MP4. Needs av, whose wheels bring FFmpeg with libx264."""

# The stubs of av leave the parameter of its Packet open.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from PIL import Image

from .media_spec import FRAMES_PER_SECOND, MediaSpec
from .renderer import Renderer

_BLACK, _WHITE = 16, 235
"""Black and white in broadcast-range luma."""
_LUMA = bytes(_BLACK + value * (_WHITE - _BLACK) // 255 for value in range(256))

_SAMPLE_RATE = 48_000
_SAMPLES_PER_FRAME = _SAMPLE_RATE // FRAMES_PER_SECOND
_TONE_PERIOD = 200
"""Samples: 240 Hz. Every video frame has a whole number of periods."""
_VOLUME = 0.01
"""Of full scale, which is -40 dB."""


def encode(media_spec: MediaSpec, target: Path, *, checkpoint: Callable[[], None]) -> None:
    """
    Write the video for *media_spec* to *target*. Blocks for up to a few seconds.

    :param checkpoint: called at every frame. Any exception from it ends the work.
    """
    with av.open(str(target), "w", format="mp4", options={"movflags": "faststart"}) as container:
        options = {"preset": "ultrafast", "crf": "26"}
        video = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options=options)
        video.width, video.height, video.pix_fmt = media_spec.width, media_spec.height, "yuv420p"
        audio = container.add_stream("aac", rate=_SAMPLE_RATE, layout="mono", options={"b": "32k"})
        for number, frame in enumerate(_frames(Renderer(media_spec))):
            checkpoint()
            container.mux(video.encode(frame))
            container.mux(audio.encode(_tone(number)))
        container.mux(video.encode())
        container.mux(audio.encode())


def _tone(number: int) -> AudioFrame:
    """Return the sound of the video frame *number*: a quiet hum."""
    frame = AudioFrame(format="fltp", layout="mono", samples=_SAMPLES_PER_FRAME)
    frame.planes[0].update(_TONE)
    frame.rate, frame.pts, frame.time_base = _SAMPLE_RATE, number * _SAMPLES_PER_FRAME, Fraction(1, _SAMPLE_RATE)
    return frame


_WAVE = [_VOLUME * math.sin(2 * math.pi * sample / _TONE_PERIOD) for sample in range(_TONE_PERIOD)]
_TONE = array("f", _WAVE * (_SAMPLES_PER_FRAME // _TONE_PERIOD)).tobytes()


def _frames(renderer: Renderer) -> Iterator[VideoFrame]:
    """
    Draw every frame.

    The still part is converted once. A frame replaces the rows of the band in its luma plane alone, since black, white
    and grey have no colour.
    """
    media_spec = renderer.media_spec
    base = _converted(renderer.still())
    luma, *chroma = (bytearray(plane) for plane in base.planes)
    stride = base.planes[0].line_size
    top = media_spec.height - renderer.band_height
    source = renderer.source_frames(renderer.frames)
    for number in range(renderer.frames):
        shown = next(source, None)
        if shown is not None:
            _copy_rows(shown, luma, chroma, first=renderer.strip_height, end=top)
        if number == 0 and renderer.opens_with_picture:
            frame = _converted(renderer.first_frame())
        else:
            band = renderer.band(number).tobytes().translate(_LUMA)
            for row in range(renderer.band_height):
                start = (top + row) * stride
                luma[start : start + media_spec.width] = band[row * media_spec.width : (row + 1) * media_spec.width]
            frame = VideoFrame(media_spec.width, media_spec.height, "yuv420p")
            for plane, content in zip(frame.planes, (luma, *chroma), strict=True):
                plane.update(bytes(content))
        frame.pts, frame.time_base = number, Fraction(1, FRAMES_PER_SECOND)
        yield frame


def _copy_rows(shown: VideoFrame, luma: bytearray, chroma: list[bytearray], *, first: int, end: int) -> None:
    """Copy the rows of a frame between the strip and the band."""
    for plane, target, share in zip(shown.planes, (luma, *chroma), (1, 2, 2), strict=True):
        content, length = bytes(plane), plane.line_size
        width, target_length = shown.width // share, len(target) // (shown.height // share)
        for row in range(first // share, end // share):
            start = row * target_length
            target[start : start + width] = content[row * length : row * length + width]


def _converted(image: Image.Image) -> VideoFrame:
    pixels = image.convert("RGBA")
    return VideoFrame.from_bytes(pixels.tobytes(), pixels.width, pixels.height, "rgba").reformat(format="yuv420p")
