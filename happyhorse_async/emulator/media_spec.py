"""The content and size of a test video. Pure."""

from __future__ import annotations

import hashlib
import math

from attrs import field, frozen

from ..request import ImageToVideo, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest

SOURCE_SECONDS = 5.0
"""The assumed length of a source video: URLs are never fetched."""
ASSUMED_RATIO = "16:9"
"""The assumed ratio of a first frame or a source video behind a URL."""
FRAMES_PER_SECOND = 24

_DEFAULT_RESOLUTION = "1080P"
_DEFAULT_SECONDS = 5
_LONGEST_EDIT = 15.0


@frozen(kw_only=True)
class Picture:
    """A picture that came with a request."""

    digest: str
    """Identifies its content."""
    jpeg: bytes = field(repr=False)
    """The picture, no larger than a video."""
    width: int
    """The original size in pixels."""
    height: int


@frozen(kw_only=True)
class SourceVideo:
    """The source video of an edit."""

    digest: str
    """Identifies its content."""
    content: bytes = field(repr=False)
    """The file."""
    width: int
    """In pixels."""
    height: int
    """In pixels."""
    seconds: float
    """Its length."""


@frozen(kw_only=True)
class MediaSpec:
    """Everything that a test video depends on. Equal specs give the same file."""

    provider: str
    mode: str
    model: str
    prompt: str
    width: int
    height: int
    seconds: float
    seed: int | None = None
    watermark: bool = False
    pictures: tuple[Picture, ...] = ()
    """Pictures of the request: the first frame, or references."""
    source: SourceVideo | None = None
    """The source video of an edit."""

    @property
    def digest(self) -> str:
        """A name for the file."""
        return hashlib.sha256(repr(self).encode(errors="replace")).hexdigest()

    @classmethod
    def of(
        cls,
        request: VideoRequest,
        *,
        provider: str,
        pictures: tuple[Picture, ...] = (),
        source: SourceVideo | None = None,
    ) -> MediaSpec:
        """Return the content of the video for *request*."""
        width, height = frame_size(resolution_of(request), _ratio(request, pictures, source))
        return cls(
            provider=provider,
            mode=request.mode.value,
            model=request.model or "",
            prompt=request.prompt or "",
            width=width,
            height=height,
            seconds=seconds_of(request, source),
            seed=request.seed,
            watermark=bool(request.watermark),
            pictures=pictures,
            source=source,
        )


def resolution_of(request: VideoRequest) -> str:
    """Return the resolution of the video, such as `"720P"`."""
    return request.resolution or _DEFAULT_RESOLUTION


def ratio_of(request: VideoRequest) -> str:
    """Return the aspect ratio of the video, if the request determines it."""
    ratio = request.ratio if isinstance(request, TextToVideo | ReferenceToVideo) else None
    return ratio or ASSUMED_RATIO


def _ratio(request: VideoRequest, pictures: tuple[Picture, ...], source: SourceVideo | None) -> str:
    if source is not None:
        return f"{source.width}:{source.height}"
    if isinstance(request, ImageToVideo) and pictures:
        return f"{pictures[0].width}:{pictures[0].height}"
    return ratio_of(request)


def seconds_of(request: VideoRequest, source: SourceVideo | None = None) -> float:
    """Return the length of the video in seconds. An edit is as long as its source, up to 15 s."""
    if isinstance(request, VideoEdit):
        return SOURCE_SECONDS if source is None else min(source.seconds, _LONGEST_EDIT)
    return float(_DEFAULT_SECONDS if request.duration is None else request.duration)


def source_seconds_of(request: VideoRequest, source: SourceVideo | None = None) -> float:
    """Return the used length of the source video in seconds; 0 unless it is an edit."""
    return seconds_of(request, source) if isinstance(request, VideoEdit) else 0.0


def frame_size(resolution: str, ratio: str) -> tuple[int, int]:
    """
    Return width and height in pixels, both even.

    A resolution is the number of lines of a 16:9 video. Other ratios have about the same number of pixels.

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
