"""
What a caller asks for: the neutral model, outbound.

The classes say nothing about any provider's field names or limits. Which of them a provider can express, and within
which ranges, is declared in its `Capabilities`; how it is written on the wire is known to its adapter alone.

Every option defaults to `None`, which means "not sent, the provider decides".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

from attrs import asdict, field, frozen

from .redaction import redact_text

Media: TypeAlias = str | Path | bytes
"""An input image or video: an http(s) URL, a `data:` URI, or (where local media is supported) a file or its bytes."""


class Mode(StrEnum):
    """What a video is made from."""

    T2V = "t2v"
    """Text to video: a prompt alone."""
    I2V = "i2v"
    """Image to video: the first frame, and perhaps a prompt."""
    R2V = "r2v"
    """Reference to video: a prompt and images of what shall appear."""
    EDIT = "edit"
    """Video edit: a source video and an instruction."""


def _show_media(media: object) -> str:
    return redact_text(repr(media)) if isinstance(media, str | Path) else f"<{type(media).__name__}>"


def _show_medias(medias: Iterable[object]) -> str:
    return "(" + ", ".join(_show_media(media) for media in medias) + ")"


def _medias(value: Media | Iterable[Media]) -> tuple[Media, ...]:
    # A lone string is one image. Iterating over it would ask for one image per letter.
    return (value,) if isinstance(value, str | bytes | Path) else tuple(value)


def _resolution(value: str | None) -> str | None:
    return value.upper() if isinstance(value, str) else value


def _extra(value: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return MappingProxyType(dict(value or {}))


@frozen(kw_only=True)
class _Options:
    """The options every mode has."""

    resolution: str | None = field(default=None, converter=_resolution)
    """The tier, written `"720P"` whatever a provider's own spelling."""
    seed: int | None = None
    """Random seed. The same seed makes a similar video more likely, never certain."""
    watermark: bool | None = None
    """Whether the provider draws its watermark. Most draw one unless told otherwise."""
    version: str | None = None
    """The HappyHorse version, `"1.0"` or `"1.1"`. By default the newest the provider offers for the mode."""
    model: str | None = None
    """The provider's exact model id. It wins over `version`."""
    extra: Mapping[str, Any] = field(factory=dict[str, Any], converter=_extra, hash=False, repr=False)
    """Fields this library does not know, merged last into the place where the provider keeps its parameters."""

    def __reduce__(self) -> tuple[object, ...]:
        # A request is carried to workers and queues by pickle, which cannot take a mapping proxy.
        fields = asdict(self, recurse=False)
        return _rebuild, (type(self), fields | {"extra": dict(self.extra)})


def _rebuild(cls: type[_Options], fields: dict[str, Any]) -> _Options:
    return cls(**fields)


@frozen
class TextToVideo(_Options):
    """A video from a text prompt."""

    mode: ClassVar[Mode] = Mode.T2V

    prompt: str = field(kw_only=False)
    """What is to be seen and heard."""
    ratio: str | None = field(default=None, kw_only=True)
    """Aspect ratio, width to height, such as `"16:9"`."""
    duration: int | None = field(default=None, kw_only=True)
    """Length in whole seconds."""


@frozen
class ImageToVideo(_Options):
    """A video that begins with a given picture. Its aspect ratio follows the picture."""

    mode: ClassVar[Mode] = Mode.I2V

    image: Media = field(kw_only=False, repr=_show_media)
    """The first frame."""
    prompt: str | None = field(default=None, kw_only=True)
    """What is to happen."""
    duration: int | None = field(default=None, kw_only=True)
    """Length in whole seconds."""


@frozen
class ReferenceToVideo(_Options):
    """
    A video in which the things shown in reference images appear.

    The prompt names the images by position, in the provider's own words (`[Image 1]` or `character1`); it is sent as it
    is written.
    """

    mode: ClassVar[Mode] = Mode.R2V

    prompt: str = field(kw_only=False)
    """What is to be seen, naming the images by their position."""
    images: tuple[Media, ...] = field(kw_only=False, converter=_medias, repr=_show_medias)
    """The reference images, in the order the prompt counts them."""
    ratio: str | None = field(default=None, kw_only=True)
    """Aspect ratio, width to height, such as `"16:9"`."""
    duration: int | None = field(default=None, kw_only=True)
    """Length in whole seconds."""


@frozen
class VideoEdit(_Options):
    """A given video, changed as instructed. Its length and aspect ratio follow the source."""

    mode: ClassVar[Mode] = Mode.EDIT

    prompt: str = field(kw_only=False)
    """The instruction."""
    video: Media = field(kw_only=False, repr=_show_media)
    """The source video."""
    images: tuple[Media, ...] = field(default=(), kw_only=True, converter=_medias, repr=_show_medias)
    """Reference images for what is to be put into the video."""
    audio: str | None = field(default=None, kw_only=True)
    """`"auto"`: the model decides about the sound; `"origin"`: the source's sound is kept."""


VideoRequest: TypeAlias = TextToVideo | ImageToVideo | ReferenceToVideo | VideoEdit
"""Any of the four requests."""
