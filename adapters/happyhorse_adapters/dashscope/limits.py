"""
What DashScope documents of the pictures and videos that it takes.

The pages of April 2026 have 10 MB for a picture and sides of 320 to 2160 pixels for a source video; later ones have
20 MB, and 360 to 4096. What any of them takes is sent, with a warning where they differ.
"""

from __future__ import annotations

from attrs import evolve

from happyhorse_async.media.formats import MediaFormat
from happyhorse_async.media.limits import PictureLimits, VideoLimits

_PAGES = "https://help.aliyun.com/zh/model-studio/happyhorse-"
_FORMATS = frozenset({MediaFormat.JPEG, MediaFormat.PNG, MediaFormat.WEBP})

# Only the page of April 2026 lists BMP. It is uploaded: a `data:` URI may be JPEG, PNG or WebP.
FIRST_FRAME = PictureLimits(
    formats=_FORMATS | {MediaFormat.BMP},
    source=f"{_PAGES}image-to-video-api-reference",
    megabytes=20,
    side=300,
    ratio=2.5,
)
REFERENCE = PictureLimits(
    formats=_FORMATS,
    source=f"{_PAGES}reference-to-video-api-reference",
    megabytes=20,
    side=400,
    # Not on the page; a partner of the maker has it.
    doubted_ratio=2.5,
)
EDIT_REFERENCE = evolve(FIRST_FRAME, formats=_FORMATS, source=f"{_PAGES}video-edit-api-reference")
SOURCE_VIDEO = VideoLimits(
    formats=frozenset({MediaFormat.MP4, MediaFormat.MOV}),
    source=f"{_PAGES}video-edit-api-reference",
    megabytes=100,
    durations=(3, 60),
    longer_side=4096,
    shorter_side=320,
    doubted_shorter_side=360,
    # 1:2.5 to 2.5:1 on the page; partners of the maker write 1:8 to 8:1.
    ratio=8,
    doubted_ratio=2.5,
    frame_rate=8,
    doubted_frame_rates=(8, 60),
    edited=15,
)
