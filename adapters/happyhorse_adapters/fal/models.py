"""
The HappyHorse models of fal: https://fal.ai/models/alibaba/happy-horse/text-to-video/llms.txt and its like.

The pages of 1.1 are below `v1.1/`. There is no video edit of 1.1.
"""

from __future__ import annotations

from typing import Any

from happyhorse_async.capabilities import AUDIO_SETTINGS, DURATIONS, MEGABYTE, MediaForm, ModelSpec
from happyhorse_async.media.limits import PictureLimits
from happyhorse_async.request import Mode

from .limits import EDIT_REFERENCE, FIRST_FRAMES, REFERENCES, SOURCE_VIDEO

APP = "alibaba/happy-horse"
"""Owner and app: the beginning of each model id, and the path of every request for a task."""

_FIVE_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4")
_RATIOS = {"1.1": (*_FIVE_RATIOS, "21:9", "9:21", "5:4", "4:5"), "1.0": _FIVE_RATIOS}
_PATHS = {"1.1": f"{APP}/v1.1", "1.0": APP}
# A `data:` URI is uploaded like a file: no page of these models says that they take one. With `inline_media = true`,
# small pictures are sent as one, as a third-party client does; the limit is ours.
_IMAGE_FORMS = frozenset({MediaForm.URL, MediaForm.DATA_URI})
_INLINE_LIMIT = MEGABYTE


_PICTURES = {Mode.I2V: FIRST_FRAMES, Mode.R2V: REFERENCES}


def _size(limits: PictureLimits | None) -> int | None:
    return None if limits is None or limits.megabytes is None else int(limits.megabytes * MEGABYTE)


def _models(mode: Mode, name: str, **more: Any) -> list[ModelSpec]:
    return [
        ModelSpec(
            mode=mode,
            version=version,
            reference_name="character1" if mode is Mode.R2V else None,
            model=f"{path}/{name}",
            resolutions=("720P", "1080P"),
            durations=DURATIONS,
            seed=True,
            ratios=() if mode is Mode.I2V else _RATIOS[version],
            picture_limits=limits,
            image_size=_size(limits),
            **more,
        )
        for version, path in _PATHS.items()
        for limits in [_PICTURES[mode][version] if mode in _PICTURES else None]
    ]


MODELS = (
    *_models(Mode.T2V, "text-to-video"),
    *_models(
        Mode.I2V,
        "image-to-video",
        prompt_required=False,
        images=range(1, 2),
        image_forms=_IMAGE_FORMS,
        upload_form=MediaForm.URL,
        optional_inline_limit=_INLINE_LIMIT,
    ),
    *_models(
        Mode.R2V,
        "reference-to-video",
        images=range(1, 10),
        image_forms=_IMAGE_FORMS,
        upload_form=MediaForm.URL,
        optional_inline_limit=_INLINE_LIMIT,
    ),
    ModelSpec(
        mode=Mode.EDIT,
        version="1.0",
        model=f"{APP}/video-edit",
        resolutions=("720P", "1080P"),
        seed=True,
        audio=AUDIO_SETTINGS,
        images=range(6),
        image_forms=_IMAGE_FORMS,
        image_size=_size(EDIT_REFERENCE),
        upload_form=MediaForm.URL,
        optional_inline_limit=_INLINE_LIMIT,
        picture_limits=EDIT_REFERENCE,
        video_limits=SOURCE_VIDEO,
    ),
)
"""Every model, the default of each mode first."""
