"""What a test picture shows and how large it is. Pure."""

from __future__ import annotations

import hashlib
import math

from attrs import frozen

from ..request import ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest

SOURCE_SECONDS = 5.0
"""The stand-in length of a source video, which is never fetched."""
STAND_IN_RATIO = "16:9"
"""Stands in for the ratio of a first frame or a source video, which is never fetched."""
FRAMES_PER_SECOND = 24

_DEFAULT_RESOLUTION = "1080P"
_DEFAULT_SECONDS = 5


@frozen(kw_only=True)
class MediaSpec:
    """All that a test picture depends on. Two equal ones are the same file."""

    provider: str
    mode: str
    model: str
    prompt: str
    width: int
    height: int
    seconds: float
    seed: int | None = None
    watermark: bool = False

    @property
    def digest(self) -> str:
        """A name for the file."""
        return hashlib.sha256(repr(self).encode(errors="replace")).hexdigest()

    @classmethod
    def of(cls, request: VideoRequest, *, provider: str) -> MediaSpec:
        """Say what the video for *request* shows."""
        width, height = frame_size(resolution_of(request), ratio_of(request))
        return cls(
            provider=provider,
            mode=request.mode.value,
            model=request.model or "",
            prompt=request.prompt or "",
            width=width,
            height=height,
            seconds=seconds_of(request),
            seed=request.seed,
            watermark=bool(request.watermark),
        )


def resolution_of(request: VideoRequest) -> str:
    """Return the tier of the video."""
    return request.resolution or _DEFAULT_RESOLUTION


def ratio_of(request: VideoRequest) -> str:
    """Return the aspect ratio of the video."""
    ratio = request.ratio if isinstance(request, TextToVideo | ReferenceToVideo) else None
    return ratio or STAND_IN_RATIO


def seconds_of(request: VideoRequest) -> float:
    """Return the length of the video in seconds. That of an edit follows its source."""
    if isinstance(request, VideoEdit):
        return SOURCE_SECONDS
    return float(_DEFAULT_SECONDS if request.duration is None else request.duration)


def source_seconds_of(request: VideoRequest) -> float:
    """Return the length of the source video in seconds, which only an edit has."""
    return SOURCE_SECONDS if isinstance(request, VideoEdit) else 0.0


def frame_size(resolution: str, ratio: str) -> tuple[int, int]:
    """
    Return width and height in pixels, both even.

    The tier counts the lines of a 16:9 picture. Other ratios keep about its number of pixels; one that is only turned
    round keeps its sides.

    >>> frame_size("720P", "9:16")
    (720, 1280)
    >>> frame_size("720P", "1:1")
    (960, 960)
    """
    lines = int(resolution.removesuffix("P"))
    across, down = (int(side) for side in ratio.split(":"))
    pixels = lines * lines * 16 / 9
    height = math.sqrt(pixels * down / across)
    return _even(height * across / down), _even(height)


def _even(length: float) -> int:
    return 2 * round(length / 2)
