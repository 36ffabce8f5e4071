"""Adjusts a picture to a provider's limits, if the caller asks for it. Blocks: call it in a thread."""

from __future__ import annotations

import io
from math import ceil
from pathlib import Path
from typing import Any, Literal

from ..errors import InvalidRequestError
from .facts import PictureFacts
from .formats import MediaFormat
from .inspect import inspect
from .limits import PictureLimits


def fitted(
    source: Path | bytes, limits: PictureLimits | None, *, fit: Literal["pad", "crop"], name: str
) -> bytes | None:
    """
    Return the picture with a ratio and a size that *limits* allow, as PNG or JPEG; `None` if it already fits.

    :raises InvalidRequestError: it is no picture, it is damaged, or the extra `media` is missing.
    """
    facts = inspect(source, name=name)
    if not isinstance(facts, PictureFacts):
        raise InvalidRequestError(f"{name} is a {facts.format} file by its content, and a picture is wanted")
    try:
        from PIL import Image, ImageOps  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        raise InvalidRequestError(f"{name}: a Picture needs Pillow: pip install 'happyhorse-async[media]'") from None
    if limits is None or (facts.width is not None and _fits(facts, limits)):
        return None
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as opened:
        image = ImageOps.exif_transpose(opened)
        image.load()
    if image.mode not in ("RGB", "RGBA", "L"):
        image = image.convert("RGB")
    image = _with_side(_with_ratio(image, limits.ratio, fit), limits.side)
    target = io.BytesIO()
    if facts.format is MediaFormat.JPEG:
        image.convert("RGB").save(target, "JPEG", quality=92)
    else:
        image.save(target, "PNG")
    return target.getvalue()


def _fits(facts: PictureFacts, limits: PictureLimits) -> bool:
    shorter, longer = sorted((facts.width or 1, facts.height or 1))
    return (
        facts.format in limits.formats
        and (limits.side is None or shorter >= limits.side)
        and (limits.ratio is None or longer <= limits.ratio * shorter)
    )


def _with_ratio(image: Any, ratio: float | None, fit: Literal["pad", "crop"]) -> Any:
    from PIL import ImageOps  # noqa: PLC0415 - an extra, and slow to import

    width, height = image.size
    shorter, longer = sorted((width, height))
    if ratio is None or longer <= ratio * shorter:
        return image
    if fit == "pad":
        size = (longer, ceil(longer / ratio)) if width > height else (ceil(longer / ratio), longer)
        return ImageOps.pad(image.convert("RGB"), size, color=(0, 0, 0))
    size = (int(shorter * ratio), shorter) if width > height else (shorter, int(shorter * ratio))
    return ImageOps.fit(image, size)


def _with_side(image: Any, side: int | None) -> Any:
    width, height = image.size
    if side is None or min(width, height) >= side:
        return image
    scale = side / min(width, height)
    return image.resize((max(side, round(width * scale)), max(side, round(height * scale))))
