"""
What a caller requests: the provider-neutral request model.

The classes know no provider's field names or limits. A provider's `Capabilities` declare its options and their ranges;
only its adapter knows how they are sent.

Every option defaults to `None`, which means "not sent, the provider decides".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self, TypeAlias, TypeVar, cast
from urllib.parse import urlsplit

from attrs import NOTHING, asdict, field, fields, frozen

from .errors import InvalidRequestError
from .plain_data import pydantic_schema
from .redaction import redact_text

LARGEST_INLINE = 20 * 1024 * 1024
"""The longest `data:` URI that is read from JSON, in characters."""

Resolution: TypeAlias = Literal["480P", "720P", "1080P"] | str
"""A tier. The literals are for completion in editors; a provider may have further ones."""
Ratio: TypeAlias = Literal["16:9", "9:16", "1:1", "4:3", "3:4", "21:9", "9:21", "4:5", "5:4"] | str
"""Width to height."""
Version: TypeAlias = Literal["1.0", "1.1"] | str
"""A HappyHorse version."""
Audio: TypeAlias = Literal["auto", "origin"] | str
"""How the sound of an edited video is made."""


Media: TypeAlias = "str | Path | bytes | Picture"
"""
An input image or video: an http(s) URL, a `data:` URI, a local file, its bytes, or an image that is adjusted to fit.
"""
MediaArgument: TypeAlias = "Media | bytearray | BytesIO"
"""Accepted as input: `Media`, or bytes in memory in any form."""


class Mode(StrEnum):
    """The kind of input that a video is made from."""

    T2V = "t2v"
    """Text to video: only a prompt."""
    I2V = "i2v"
    """Image to video: the first frame, and an optional prompt."""
    R2V = "r2v"
    """Reference to video: a prompt, and images of the subjects."""
    EDIT = "edit"
    """Video edit: a source video and an instruction."""


def _show_media(media: object) -> str:
    return redact_text(repr(media)) if isinstance(media, str | Path | Picture) else f"<{type(media).__name__}>"


@frozen
class Picture:
    """
    A local image that is adjusted to the provider's limits. Needs the extra `media`.

    It is scaled up if it is too small, and padded or cropped if it is too wide or too tall. An image that fits is not
    changed.
    """

    source: Path | bytes = field(repr=_show_media)
    """A file, or its bytes."""
    fit: Literal["pad", "crop"] = field(default="pad", kw_only=True)
    """How to correct a ratio that the provider refuses: `"pad"` adds black bars, `"crop"` cuts the longer side."""


def _show_medias(medias: Iterable[object]) -> str:
    return "(" + ", ".join(_show_media(media) for media in medias) + ")"


def _medium(value: MediaArgument) -> Media:
    # Only in-memory file objects are accepted: reading from a file would block the event loop.
    if isinstance(value, BytesIO):
        return value.getvalue()
    return bytes(value) if isinstance(value, bytearray) else value


def _medias(value: MediaArgument | Iterable[MediaArgument]) -> tuple[Media, ...]:
    # A single string is one image. Iterating over it would give one image per letter.
    if isinstance(value, str | bytes | bytearray | BytesIO | Path | Picture):
        return (_medium(value),)
    return tuple(map(_medium, value))


def _resolution(value: str | None) -> str | None:
    return value.upper() if isinstance(value, str) else value


def _optional_prompt(value: str | None) -> str | None:
    # Upstream refuses a blank prompt even where a prompt is optional.
    return None if isinstance(value, str) and not value.strip() else value


def _extra(value: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - from JSON
        raise InvalidRequestError(f"extra must be a mapping of fields, not {type(value).__name__}")
    return MappingProxyType(dict(value or {}))


_MEDIA = ("image", "images", "video")
# What a web user must not set.
_INTERNAL = frozenset({"model", "extra"})


@frozen(kw_only=True)
class _Options:
    """The options of every mode."""

    mode: ClassVar[Mode]

    resolution: Resolution | None = field(default=None, converter=_resolution)
    """The tier, written `"720P"` whatever the provider's spelling."""
    seed: int | None = None
    """Random seed. The same seed makes a similar video more likely, but does not guarantee it."""
    watermark: bool | None = None
    """Whether the provider draws its watermark. Most providers draw one by default."""
    version: Version | None = None
    """The HappyHorse version, `"1.0"` or `"1.1"`. By default the newest in the provider's pages for the mode."""
    model: str | None = None
    """The provider's exact model id. It takes precedence over `version`."""
    extra: Mapping[str, Any] = field(factory=dict[str, Any], converter=_extra, hash=False, repr=False)
    """Fields that this library does not know, merged last into the provider's parameters."""

    def to_dict(self) -> dict[str, Any]:
        """
        Return the request as plain data for JSON: its `mode`, and every field that is set.

        :raises InvalidRequestError: a medium is a local file or bytes, which JSON cannot hold, or `extra` holds a value
            that is no plain data.
        """
        data: dict[str, Any] = {"mode": type(self).mode.value}
        for name, value in asdict(self, recurse=False).items():
            if name in _MEDIA and not all(isinstance(medium, str) for medium in _as_list(value)):
                raise InvalidRequestError(
                    f"the request cannot be written as JSON: {name} is a file or bytes, not a URL"
                )
            plain = list(cast("Iterable[Any]", value)) if isinstance(value, tuple) else value
            plain = dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else plain
            if plain not in (None, [], {}):
                data[name] = plain
        try:
            json.dumps(data, allow_nan=False, sort_keys=True)
        except (TypeError, ValueError) as error:
            raise InvalidRequestError(f"the request cannot be written as JSON: {error}") from None
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, trusted: bool = True) -> Self:
        """
        Read a request from what `to_dict` returned. A medium is an http(s) URL or a `data:` URI, never a path.

        :param data: the decoded JSON.
        :param trusted: `False` for what a web user has sent. It refuses `model`, which sets the price, and `extra`,
            which can set anything.
        :raises InvalidRequestError: a field is unknown, missing or invalid; the error names it.
        """
        if not isinstance(data, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - JSON from anybody
            raise InvalidRequestError(f"a request is a JSON object, not {type(data).__name__}")
        for name in _MEDIA:
            for medium in _as_list(data.get(name)):
                _check_remote(name, medium)
        return read_fields(cls, data, refused=frozenset() if trusted else _INTERNAL)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Let pydantic, and so FastAPI, read the request from JSON, without `model` and `extra`, and describe it."""
        return pydantic_schema(
            cls,
            read=_read_from_web(cls),
            write=cls.to_dict,
            skip=_INTERNAL,
            constants={"mode": cls.mode.value},
            strict=True,
        )

    def __reduce__(self) -> tuple[object, ...]:
        # Requests are pickled for workers and queues, and a mapping proxy cannot be pickled.
        fields = asdict(self, recurse=False)
        return _rebuild, (type(self), fields | {"extra": dict(self.extra)})


_Request = TypeVar("_Request", bound=_Options)


def read_fields(cls: type[_Request], data: Mapping[str, Any], *, refused: frozenset[str] = frozenset()) -> _Request:
    """
    Make a request of *cls* from plain data. A null field counts as absent, a field in *refused* is an error.

    :raises InvalidRequestError: a field is unknown or missing, or the mode differs; the error names it.
    """
    mode = cls.mode.value
    if data.get("mode", mode) != mode:
        raise InvalidRequestError(f"mode must be {mode!r} for {cls.__name__}, not {_shortened(data['mode'])}")
    given = {name: value for name, value in data.items() if name != "mode" and value is not None}
    known = {attribute.name: attribute for attribute in fields(cls)}
    for name in given:
        if name in refused:
            raise InvalidRequestError(f"{name} cannot be set from outside")
        if name not in known:
            names = ", ".join(one for one in known if one not in refused)
            raise InvalidRequestError(f"{_shortened(name)} is not a field of {mode}; known: {names}")
    for name, attribute in known.items():
        if attribute.default is NOTHING and name not in given:
            raise InvalidRequestError(f"{name} is missing for {mode}")
    return cls(**given)


def _as_list(value: object) -> list[object]:
    return [*cast("list[object]", value)] if isinstance(value, list | tuple) else [] if value is None else [value]


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _check_remote(name: str, medium: object) -> None:
    if not isinstance(medium, str):
        raise InvalidRequestError(f"{name} must be text: an http(s) URL or a data: URI")
    if medium[:5].lower() == "data:":
        if len(medium) > LARGEST_INLINE:
            raise InvalidRequestError(f"{name} is a data: URI of {len(medium)} characters; at most {LARGEST_INLINE}")
        return
    try:
        parts = urlsplit(medium)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise InvalidRequestError(f"{name} must be an http(s) URL or a data: URI")


def _read_from_web(cls: type[_Options]) -> Callable[[dict[str, Any]], Any]:
    def read(data: dict[str, Any]) -> Any:
        try:
            return cls.from_dict(data, trusted=False)
        except InvalidRequestError as error:
            # pydantic reports a ValueError with its place in the body, and FastAPI answers 422.
            raise ValueError(error.message) from None

    return read


def _rebuild(cls: type[_Options], fields: dict[str, Any]) -> _Options:
    return cls(**fields)


@frozen
class TextToVideo(_Options):
    """A video from a text prompt."""

    mode: ClassVar[Mode] = Mode.T2V

    prompt: str = field(kw_only=False)
    """Describes the video and its sound."""
    ratio: Ratio | None = field(default=None, kw_only=True)
    """Aspect ratio, width to height, such as `"16:9"`."""
    duration: int | None = field(default=None, kw_only=True)
    """Length in whole seconds."""


@frozen
class ImageToVideo(_Options):
    """A video that begins with a given picture. Its aspect ratio follows the picture."""

    mode: ClassVar[Mode] = Mode.I2V

    image: Media = field(kw_only=False, converter=_medium, repr=_show_media)
    """The first frame."""
    prompt: str | None = field(default=None, kw_only=True, converter=_optional_prompt)
    """Describes the motion. A blank prompt counts as none."""
    duration: int | None = field(default=None, kw_only=True)
    """Length in whole seconds."""


@frozen
class ReferenceToVideo(_Options):
    """
    A video with the subjects of reference images.

    The prompt names the images by their position, in the provider's own notation (`[Image 1]` or `character1`). It is
    sent unchanged.
    """

    mode: ClassVar[Mode] = Mode.R2V

    prompt: str = field(kw_only=False)
    """Describes the video, and names the images by their position."""
    images: tuple[Media, ...] = field(kw_only=False, converter=_medias, repr=_show_medias)
    """The reference images, in the order in which the prompt numbers them."""
    ratio: Ratio | None = field(default=None, kw_only=True)
    """Aspect ratio, width to height, such as `"16:9"`."""
    duration: int | None = field(default=None, kw_only=True)
    """Length in whole seconds."""


@frozen
class VideoEdit(_Options):
    """A given video, changed as instructed. Its length and aspect ratio follow the source."""

    mode: ClassVar[Mode] = Mode.EDIT

    prompt: str = field(kw_only=False)
    """The instruction."""
    video: Media = field(kw_only=False, converter=_medium, repr=_show_media)
    """The source video."""
    images: tuple[Media, ...] = field(default=(), kw_only=True, converter=_medias, repr=_show_medias)
    """Reference images of things to put into the video."""
    audio: Audio | None = field(default=None, kw_only=True)
    """`"auto"`: the model decides about the sound; `"origin"`: the source's sound is kept."""


VideoRequest: TypeAlias = TextToVideo | ImageToVideo | ReferenceToVideo | VideoEdit
"""Any of the four requests."""
