"""The source video of an edit, if it was uploaded: its measurements and frames. Needs av."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from .media_spec import FRAMES_PER_SECOND, SourceVideo

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame


def measured(content: bytes) -> SourceVideo | None:
    """Return a source video with its size and length; `None` if it cannot be read. Blocks."""
    try:
        import av  # noqa: PLC0415 - an extra, and slow to import
        from av.error import FFmpegError  # noqa: PLC0415
    except ImportError:
        return None
    try:
        with cast("InputContainer", av.open(io.BytesIO(content))) as container:
            stream = container.streams.video[0]
            seconds = (container.duration or 0) / av.time_base
            width, height = stream.codec_context.width, stream.codec_context.height
    except (FFmpegError, IndexError, ValueError):
        return None
    if not (width and height and seconds > 0):
        return None
    digest = hashlib.sha256(content).hexdigest()
    return SourceVideo(digest=digest, content=content, width=width, height=height, seconds=seconds)


def frames(source: SourceVideo, width: int, height: int, count: int) -> Iterator[VideoFrame]:
    """Yield *count* frames of the video in another size, at the frame rate of test videos."""
    import av  # noqa: PLC0415 - an extra, and slow to import

    number, shown = 0, None
    with cast("InputContainer", av.open(io.BytesIO(source.content))) as container:
        for frame in container.decode(container.streams.video[0]):
            while shown is not None and number < count and number / FRAMES_PER_SECOND < (frame.time or 0.0):
                yield shown
                number += 1
            if number >= count:
                return
            shown = frame.reformat(width=width, height=height, format="yuv420p")
    # The last frame stays until the end.
    while shown is not None and number < count:
        yield shown
        number += 1
