"""
Pictures that come inline with a request, as `data:` URIs, and source videos that were uploaded. URLs are never fetched.

Reading a picture needs pillow. Without it, or if a picture cannot be read, the task continues as if it had come as a
URL.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
from collections.abc import Callable

from attrs import evolve

from ..request import ImageToVideo, Media, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest
from .account import Entry
from .media_spec import Picture
from .source_video import measured

_LONGEST_SIDE = 1920
"""In pixels. No video is larger."""
_READ = "data:,"
"""Replaces a `data:` URI in a request once its picture has been read, to free its memory."""


def has_inline_pictures(request: VideoRequest) -> bool:
    """Return whether any picture of *request* is a `data:` URI, or its source video was uploaded."""
    return _has_source(request) or any(uri.lower().startswith("data:") for uri in _uris(request))


def read_pictures(entry: Entry) -> None:
    """Decode the inline pictures of a task, and free the request's copies. Blocks."""
    found = (_read(uri) for uri in _uris(entry.request))
    entry.pictures = tuple(picture for picture in found if picture is not None)
    if isinstance(entry.request, VideoEdit) and isinstance(entry.request.video, bytes):
        entry.source = measured(entry.request.video)
    entry.request = _without_inline(entry.request)


def with_uploads(request: VideoRequest, find: Callable[[str], bytes | None]) -> VideoRequest:
    """
    Return *request* with pictures from the emulator's storage inline, and a source video from there as bytes.

    :param find: returns a file by its URL, `None` for a file elsewhere, or raises the error for the caller.
    """

    def inline(medium: Media) -> Media:
        content = find(medium) if isinstance(medium, str) else None
        return medium if content is None else f"data:image/uploaded;base64,{base64.b64encode(content).decode()}"

    match request:
        case ImageToVideo():
            return evolve(request, image=inline(request.image))
        case ReferenceToVideo():
            return evolve(request, images=tuple(inline(image) for image in request.images))
        case VideoEdit():
            source = find(request.video) if isinstance(request.video, str) else None
            images = tuple(inline(image) for image in request.images)
            return evolve(request, video=request.video if source is None else source, images=images)
        case TextToVideo():
            return request


def _has_source(request: VideoRequest) -> bool:
    return isinstance(request, VideoEdit) and isinstance(request.video, bytes)


def _uris(request: VideoRequest) -> tuple[str, ...]:
    match request:
        case TextToVideo():
            media: tuple[object, ...] = ()
        case ImageToVideo():
            media = (request.image,)
        case ReferenceToVideo() | VideoEdit():
            media = request.images
    return tuple(medium for medium in media if isinstance(medium, str))


def _read(uri: str) -> Picture | None:
    head, comma, payload = uri.partition(",")
    if not comma or not head.lower().startswith("data:"):
        return None
    try:
        from PIL import Image, ImageOps  # noqa: PLC0415

        content = base64.b64decode(payload.replace("-", "+").replace("_", "/"))
        with Image.open(io.BytesIO(content)) as image:
            image.draft("RGB", (_LONGEST_SIDE, _LONGEST_SIDE))
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except (ImportError, OSError, ValueError, binascii.Error, SyntaxError):
        return None
    width, height = upright.size
    upright.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    target = io.BytesIO()
    upright.save(target, "JPEG", quality=92)
    return Picture(digest=hashlib.sha256(content).hexdigest(), jpeg=target.getvalue(), width=width, height=height)


def _without_inline(request: VideoRequest) -> VideoRequest:
    def short(medium: Media) -> Media:
        return _READ if isinstance(medium, str) and medium.lower().startswith("data:") else medium

    match request:
        case ImageToVideo():
            return evolve(request, image=short(request.image))
        case VideoEdit():
            video = _READ if isinstance(request.video, bytes) else request.video
            return evolve(request, video=video, images=tuple(short(image) for image in request.images))
        case ReferenceToVideo():
            return evolve(request, images=tuple(short(image) for image in request.images))
        case _:
            return request
