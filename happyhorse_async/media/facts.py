"""The measurements of a picture or a video."""

from __future__ import annotations

from typing import TypeAlias

from attrs import frozen

from .formats import MediaFormat


@frozen(kw_only=True)
class PictureFacts:
    """The measurements of a picture."""

    format: MediaFormat
    """By its content."""
    size: int
    """In bytes."""
    width: int | None = None
    """In pixels, as it is displayed: the EXIF orientation is applied."""
    height: int | None = None
    """In pixels, as it is displayed."""
    is_sideways: bool = False
    """Whether it is stored with width and height exchanged."""
    frames: int = 1
    """More than one for an animation."""


@frozen(kw_only=True)
class VideoFacts:
    """The measurements of a video."""

    format: MediaFormat
    """By its content."""
    size: int
    """In bytes."""
    width: int | None = None
    """In pixels."""
    height: int | None = None
    """In pixels."""
    duration: float | None = None
    """In seconds."""
    frame_rate: float | None = None
    """Frames per second, on average."""
    codec: str | None = None
    """FFmpeg's name of it, such as `h264`."""


Facts: TypeAlias = PictureFacts | VideoFacts
