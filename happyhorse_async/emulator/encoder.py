"""The test picture as H.264 in MP4. Needs av, whose wheels bring FFmpeg with libx264."""

# The stubs of av leave the parameter of its Packet open.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import VideoFrame

from .media_spec import FRAMES_PER_SECOND, MediaSpec
from .renderer import Renderer

_BLACK, _WHITE = 16, 235
"""What black and white are in broadcast-range luma."""
_LUMA = bytes(_BLACK + value * (_WHITE - _BLACK) // 255 for value in range(256))


def encode(media_spec: MediaSpec, target: Path, *, checkpoint: Callable[[], None]) -> None:
    """
    Write the video for *footage* to *target*. Blocks for up to a few seconds.

    :param checkpoint: called at every frame. Whatever it raises ends the work.
    """
    picture = Renderer(media_spec)
    with av.open(str(target), "w", format="mp4", options={"movflags": "faststart"}) as container:
        options = {"preset": "ultrafast", "crf": "26"}
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options=options)
        stream.width, stream.height, stream.pix_fmt = media_spec.width, media_spec.height, "yuv420p"
        for frame in _frames(picture):
            checkpoint()
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _frames(picture: Renderer) -> Iterator[VideoFrame]:
    """
    Draw every frame.

    The still part is converted once. A frame replaces the rows of the band in its luma plane alone, since black, white
    and grey have no colour.
    """
    media_spec = picture.media_spec
    still = picture.still().convert("RGBA")
    base = VideoFrame.from_bytes(still.tobytes(), still.width, still.height, "rgba").reformat(format="yuv420p")
    luma, *chroma = (bytearray(plane) for plane in base.planes)
    stride = base.planes[0].line_size
    top = media_spec.height - picture.band_height
    for number in range(picture.frames):
        band = picture.band(number).tobytes().translate(_LUMA)
        for row in range(picture.band_height):
            start = (top + row) * stride
            luma[start : start + media_spec.width] = band[row * media_spec.width : (row + 1) * media_spec.width]
        frame = VideoFrame(media_spec.width, media_spec.height, "yuv420p")
        for plane, content in zip(frame.planes, (luma, *chroma), strict=True):
            plane.update(bytes(content))
        frame.pts, frame.time_base = number, Fraction(1, FRAMES_PER_SECOND)
        yield frame
