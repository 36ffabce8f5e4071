"""
What fal documents of the pictures and videos that it takes.

For the first frame of 1.1 its page has 20 MB and its schema 10 MB: what is between them is sent, with a warning.
"""

from __future__ import annotations

from attrs import evolve

from happyhorse_async.media.formats import MediaFormat
from happyhorse_async.media.limits import PictureLimits, VideoLimits

_PAGES = "https://fal.ai/models/alibaba/happy-horse"
_FORMATS = frozenset({MediaFormat.JPEG, MediaFormat.PNG, MediaFormat.WEBP})

_FIRST_FRAME = PictureLimits(
    formats=_FORMATS | {MediaFormat.BMP},
    source=f"{_PAGES}/image-to-video/llms.txt",
    megabytes=10,
    side=300,
    ratio=2.5,
)
_REFERENCE = PictureLimits(
    formats=_FORMATS,
    source=f"{_PAGES}/reference-to-video/llms.txt",
    megabytes=10,
    side=400,
    # Not stated by fal. A partner of Alibaba's has it for the same model.
    doubted_ratio=2.5,
)

FIRST_FRAMES = {
    "1.0": _FIRST_FRAME,
    "1.1": evolve(_FIRST_FRAME, source=f"{_PAGES}/v1.1/image-to-video/llms.txt", megabytes=20, doubted_megabytes=10),
}
"""By version."""
REFERENCES = {
    "1.0": _REFERENCE,
    "1.1": evolve(_REFERENCE, source=f"{_PAGES}/v1.1/reference-to-video/llms.txt", megabytes=20),
}
"""By version."""
EDIT_REFERENCE = evolve(_FIRST_FRAME, formats=_FORMATS, source=f"{_PAGES}/video-edit/llms.txt")
SOURCE_VIDEO = VideoLimits(
    formats=frozenset({MediaFormat.MP4, MediaFormat.MOV}),
    source=f"{_PAGES}/video-edit/llms.txt",
    megabytes=100,
    durations=(3, 60),
    longer_side=2160,
    shorter_side=320,
    ratio=2.5,
    frame_rate=8,
    edited=15,
)
