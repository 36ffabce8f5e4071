"""
The HappyHorse models of KIE, and what it documents of the pictures and videos that they take.

https://docs.kie.ai/market/happyhorse-1-1/image-to-video was read whole. The pages of the other models are known through
schema tables that three public projects made from them between July and September 2026, and that agree.
"""

from __future__ import annotations

from attrs import evolve

from happyhorse_async.capabilities import AUDIO_SETTINGS, DURATIONS, MediaForm, ModelSpec
from happyhorse_async.media.formats import MediaFormat
from happyhorse_async.media.limits import PictureLimits, VideoLimits
from happyhorse_async.request import Mode

_PAGES = "https://docs.kie.ai/market/"
_FORMATS = frozenset({MediaFormat.JPEG, MediaFormat.PNG, MediaFormat.WEBP})

FIRST_FRAME = PictureLimits(
    formats=_FORMATS, source=f"{_PAGES}happyhorse-1-1/image-to-video", megabytes=20, side=300, ratio=2.5
)
# 10 MB on the pages of 1.0, 20 MB at Alibaba, which runs the model. Only Alibaba has a ratio.
FIRST_FRAME_1_0 = PictureLimits(
    formats=_FORMATS,
    source=f"{_PAGES}happyhorse/image-to-video",
    megabytes=20,
    doubted_megabytes=10,
    side=300,
    doubted_ratio=2.5,
)
REFERENCE = PictureLimits(
    formats=_FORMATS, source=f"{_PAGES}happyhorse-1-1/reference-to-video", megabytes=20, side=400, doubted_ratio=2.5
)
REFERENCE_1_0 = evolve(REFERENCE, source=f"{_PAGES}happyhorse/reference-to-video", doubted_megabytes=10)
# Sides and ratio are Alibaba's.
EDIT_REFERENCE = PictureLimits(
    formats=_FORMATS,
    source=f"{_PAGES}happyhorse/video-edit",
    megabytes=20,
    doubted_megabytes=10,
    side=300,
    ratio=2.5,
    is_hearsay=True,
)
# The shorter side, the frame rate, and the 15 seconds that come out edited are Alibaba's.
SOURCE_VIDEO = VideoLimits(
    formats=frozenset({MediaFormat.MP4, MediaFormat.MOV}),
    source=f"{_PAGES}happyhorse/video-edit",
    megabytes=100,
    durations=(3, 60),
    longer_side=2160,
    shorter_side=320,
    frame_rate=8,
    edited=15,
)

_RATIOS_1_0 = ("16:9", "9:16", "1:1", "4:3", "3:4")
_RATIOS = (*_RATIOS_1_0, "4:5", "5:4", "9:21", "21:9")

_RESOLUTIONS = ("720P", "1080P")

# The text of the pages says 5,000, the schema of 1.1 from text 4,999.
_PROMPT_LIMIT = 5000

# A field that is not in a model's schema is refused: no watermark anywhere, and a seed with 1.0 alone.
_TEXT = ModelSpec(
    mode=Mode.T2V,
    version="1.1",
    model="happyhorse-1-1/text-to-video",
    resolutions=_RESOLUTIONS,
    ratios=_RATIOS,
    durations=DURATIONS,
    prompt_limit=_PROMPT_LIMIT,
)
_IMAGE = ModelSpec(
    mode=Mode.I2V,
    version="1.1",
    model="happyhorse-1-1/image-to-video",
    resolutions=_RESOLUTIONS,
    durations=DURATIONS,
    prompt_required=False,
    prompt_limit=_PROMPT_LIMIT,
    images=range(1, 2),
    upload_form=MediaForm.URL,
    picture_limits=FIRST_FRAME,
)
_REFERENCES = ModelSpec(
    mode=Mode.R2V,
    version="1.1",
    reference_name="[Image 1]",
    model="happyhorse-1-1/reference-to-video",
    resolutions=_RESOLUTIONS,
    ratios=_RATIOS,
    durations=DURATIONS,
    prompt_limit=_PROMPT_LIMIT,
    images=range(1, 10),
    upload_form=MediaForm.URL,
    picture_limits=REFERENCE,
)

MODELS = (
    _TEXT,
    evolve(_TEXT, version="1.0", model="happyhorse/text-to-video", ratios=_RATIOS_1_0, seed=True),
    _IMAGE,
    evolve(_IMAGE, version="1.0", model="happyhorse/image-to-video", seed=True, picture_limits=FIRST_FRAME_1_0),
    _REFERENCES,
    evolve(
        _REFERENCES,
        version="1.0",
        reference_name="character1",
        model="happyhorse/reference-to-video",
        ratios=_RATIOS_1_0,
        seed=True,
        picture_limits=REFERENCE_1_0,
    ),
    # There is no edit of 1.1.
    ModelSpec(
        mode=Mode.EDIT,
        version="1.0",
        model="happyhorse/video-edit",
        resolutions=_RESOLUTIONS,
        seed=True,
        audio=AUDIO_SETTINGS,
        prompt_limit=_PROMPT_LIMIT,
        images=range(6),
        upload_form=MediaForm.URL,
        picture_limits=EDIT_REFERENCE,
        video_limits=SOURCE_VIDEO,
    ),
)
