"""
Measures pictures and videos with Pillow and PyAV, the extra `media`. Everything here blocks: call it in a thread.

Without the extra only the format and the size are known.
"""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from ..errors import InvalidRequestError
from .facts import Facts, PictureFacts, VideoFacts
from .formats import HEAD, MediaFormat, detect

if TYPE_CHECKING:
    from av.container import InputContainer

Source: TypeAlias = Path | bytes
"""A file on disk, or the bytes of one."""

LARGEST_PICTURE = 89_478_485
"""Pixels. Pillow's own bound: a small file can hold a picture that no memory holds."""
_SIDEWAYS = frozenset({5, 6, 7, 8})
_ORIENTATION = 0x0112
_READ_WHOLE = 2**20
"""Bytes of the largest file that a plan reads as a whole."""
_HINT = "pip install 'happyhorse-async[media]' to have pictures and videos measured before anything is sent"


class UnreadableFileError(InvalidRequestError):
    """A file is missing or cannot be read."""


class DamagedFileError(InvalidRequestError):
    """A file is not what its first bytes promise."""


def inspect(source: Source, *, name: str) -> Facts:
    """
    Measure a picture or a video.

    :param name: the field of the request, for the error.
    :raises InvalidRequestError: there is no such file, it is not a regular file, it is empty or damaged, or it is
        neither a picture nor a video.
    """
    facts = inspect_briefly(source, name=name)
    if isinstance(facts, VideoFacts):
        return _measure_video(source, facts.format, facts.size, name)
    return _measure_picture(source, facts.format, facts.size, name)


def inspect_briefly(source: Source, *, name: str) -> Facts:
    """Find out the format and the size, from no more than the first bytes; raises what `inspect` raises."""
    size = _size_of(source, name)
    found = detect(_head_of(source, name))
    if found is None:
        raise InvalidRequestError(f"{name}: {describe(source)} is neither a picture nor a video, by its first bytes")
    if found is MediaFormat.SVG:
        raise InvalidRequestError(f"{name}: {describe(source)} is an SVG drawing; save it as PNG first")
    return VideoFacts(format=found, size=size) if found.is_video else PictureFacts(format=found, size=size)


def inspect_header(source: Source, *, name: str) -> Facts:
    """
    Find out what `inspect` does, as far as the header says it: nothing is decoded.

    :raises InvalidRequestError: what `inspect` raises, but for what only decoding shows.
    """
    facts = inspect_briefly(source, name=name)
    try:
        if isinstance(facts, VideoFacts):
            return _measure_video(source, facts.format, facts.size, name, decodes=False)
        # Nothing less than the whole file opens a WebP.
        is_readable = facts.format is not MediaFormat.WEBP or facts.size <= _READ_WHOLE
        return _measure_picture(source, facts.format, facts.size, name, decodes=False) if is_readable else facts
    except DamagedFileError:
        # What is wrong with it is said by the check before it is sent.
        return facts


def describe(source: Source) -> str:
    """Name *source* in an error: its path, or its size."""
    return str(source) if isinstance(source, Path) else f"the given file of {len(source)} bytes"


def missing_extra() -> str | None:
    """Say what is not checked for lack of the extra `media`; `None` where it is installed."""
    if find_spec("av") is None or find_spec("PIL") is None:
        return f"only format and size of local media are checked: {_HINT}"
    return None


def _size_of(source: Source, name: str) -> int:
    if isinstance(source, bytes):
        size = len(source)
    else:
        try:
            if not source.is_file():
                what = "is not a regular file" if source.exists() else "does not exist"
                raise UnreadableFileError(f"{name}: {source} {what}")
            size = source.stat().st_size
        except (OSError, ValueError) as error:
            raise UnreadableFileError(f"{name}: {source} cannot be read: {error}") from None
    if not size:
        raise InvalidRequestError(f"{name}: {describe(source)} is empty")
    return size


def _head_of(source: Source, name: str) -> bytes:
    if isinstance(source, bytes):
        return source[:HEAD]
    try:
        with source.open("rb") as file:
            return file.read(HEAD)
    except OSError as error:
        raise UnreadableFileError(f"{name}: {source} cannot be read: {error.strerror}") from None


def _opened(source: Source) -> Any:
    return io.BytesIO(source) if isinstance(source, bytes) else str(source)


def _measure_picture(source: Source, found: MediaFormat, size: int, name: str, *, decodes: bool = True) -> PictureFacts:
    try:
        from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        return PictureFacts(format=found, size=size)
    if found in (MediaFormat.HEIC, MediaFormat.AVIF):
        return PictureFacts(format=found, size=size)
    try:
        with Image.open(_opened(source)) as image:
            stored = image.size
            if stored[0] * stored[1] > LARGEST_PICTURE:
                raise Image.DecompressionBombError
            frames = getattr(image, "n_frames", 1)
            orientation = image.getexif().get(_ORIENTATION, 1)
            if decodes:
                # A JPEG is decoded at an eighth of its size: that finds out whether it is whole, in little memory.
                image.draft("RGB", (max(1, stored[0] // 8), max(1, stored[1] // 8)))
                image.load()
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise InvalidRequestError(
            f"{name}: {describe(source)} would have more than {LARGEST_PICTURE / 1e6:.0f} million pixels"
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        # Pillow writes the address of the object where it recognises nothing.
        unknown = isinstance(error, UnidentifiedImageError) or not str(error)
        why = "it cannot be read" if unknown else str(error)
        raise DamagedFileError(f"{name}: {describe(source)} is a damaged {found} picture: {why}") from None
    sideways = orientation in _SIDEWAYS
    width, height = reversed(stored) if sideways else stored
    return PictureFacts(format=found, size=size, width=width, height=height, is_sideways=sideways, frames=frames)


def _measure_video(source: Source, found: MediaFormat, size: int, name: str, *, decodes: bool = True) -> VideoFacts:
    try:
        import av  # noqa: PLC0415 - an extra, and slow to import
        from av.error import FFmpegError  # noqa: PLC0415
    except ImportError:
        return VideoFacts(format=found, size=size)
    try:
        with cast("InputContainer", av.open(_opened(source))) as container:
            if not container.streams.video:
                raise InvalidRequestError(f"{name}: {describe(source)} has no video in it")
            stream = container.streams.video[0]
            duration = None if container.duration is None else container.duration / av.time_base
            rate = stream.average_rate
            if decodes:
                # A file that ends within its first frame is found out here.
                next(container.decode(stream))
            return VideoFacts(
                format=found,
                size=size,
                width=stream.codec_context.width or None,
                height=stream.codec_context.height or None,
                duration=duration,
                frame_rate=None if rate is None else float(rate),
                codec=stream.codec_context.name,
            )
    except (FFmpegError, StopIteration, ValueError, OSError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise DamagedFileError(f"{name}: {describe(source)} is a damaged {found} video: {why}") from None
