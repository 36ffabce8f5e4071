"""
Capabilities of a provider, as data.

An adapter declares one `ModelSpec` for each model. The local check of a request, the choice of the model, the
`providers` table of the command line and the matrix in the documentation are all made from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from .errors import InvalidRequestError, UnsupportedFeatureError
from .media.formats import MediaFormat
from .media.limits import PictureLimits, VideoLimits
from .redaction import redact_text
from .request import ImageToVideo, Media, Mode, Picture, ReferenceToVideo, VideoEdit, VideoRequest

VERSIONS = ("1.1", "1.0")
"""The HappyHorse versions, newest first."""

AUDIO_SETTINGS = ("auto", "origin")
"""`"auto"`: the model decides about the sound; `"origin"`: the sound of the source is kept."""
SEEDS = range(0, 2_147_483_648)
"""Valid seeds: 31 bits."""
DURATIONS = range(3, 16)
"""Lengths of a video in whole seconds."""
IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp")
"""Types of an image in a `data:` URI. No provider documents any other."""
MEGABYTE = 1 << 20
"""Providers do not say whether they mean 10^6 or 2^20 bytes; the larger value is used."""

_DATA_URI = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+);base64,(?P<payload>[A-Za-z0-9+/=_-]+)")
# Characters that are illegal in a URL; `urlsplit` drops some of them silently.
_NO_URL = re.compile(r"[\s\x00-\x1f\x7f\ud800-\udfff]")
# How model ids name their mode, at all known hosts, dated variants included.
_MODE_IN_ID = re.compile(
    r"(?<![a-z0-9])(?:(t2v|text-to-video)|(i2v|image-to-video)|(r2v|reference-to-video)|(video-edit|video-to-video))"
    r"(?![a-z0-9])",
    re.IGNORECASE,
)
_MODE_NAMES = {
    Mode.T2V: "text-to-video",
    Mode.I2V: "image-to-video",
    Mode.R2V: "reference-to-video",
    Mode.EDIT: "video-edit",
}


class MediaForm(StrEnum):
    """How an input image or video can be given to a provider."""

    URL = "http(s) URL"
    """Fetched by the provider."""
    DATA_URI = "data: URI"
    """The bytes themselves, encoded in base64."""
    OSS = "oss:// URL"
    """A file in the provider's own temporary storage."""


@frozen(kw_only=True)
class ModelSpec:
    """One model of a provider and the options that it accepts. A missing option is an empty collection or `False`."""

    mode: Mode
    """The mode of the model."""
    version: str
    """The HappyHorse version, one of `VERSIONS`."""
    opt_in: bool = False
    """
    Whether it is chosen only if the request names its version or its model, because the provider's own pages do not
    document it.
    """
    model: str
    """The provider's exact model id."""
    resolutions: tuple[str, ...]
    """Written `"720P"`, whatever the provider's spelling."""
    ratios: tuple[str, ...] = ()
    """Aspect ratios, width to height."""
    durations: range = range(0)
    """In whole seconds."""
    seed: bool = False
    """Whether it accepts a seed."""
    watermark: bool = False
    """Whether the watermark can be switched."""
    audio: tuple[str, ...] = ()
    """The settings for the sound of the source, of `AUDIO_SETTINGS`."""
    prompt_required: bool = True
    """Whether a prompt is required."""
    reference_name: Literal["[Image 1]", "character1"] | None = None
    """How a prompt names the first reference image; `None` if that is not known."""
    prompt_limit: int | None = None
    """The longest prompt in characters. If the provider truncates silently instead of refusing, the adapter warns."""
    images: range = range(0, 1)
    """The allowed numbers of input images."""
    image_forms: frozenset[MediaForm] = frozenset({MediaForm.URL})
    """The accepted forms of an image."""
    image_size: int | None = None
    """The largest image in bytes, before base64; `None` if the provider documents no limit."""
    video_forms: frozenset[MediaForm] = frozenset({MediaForm.URL})
    """The accepted forms of a video."""
    inline_limit: int | None = None
    """The largest local image in bytes that is sent inside the request, as a `data:` URI; `None`: none is."""
    inline_formats: frozenset[MediaFormat] = frozenset({MediaFormat.JPEG, MediaFormat.PNG, MediaFormat.WEBP})
    """The formats of images that may be sent inside the request."""
    optional_inline_limit: int | None = None
    """
    As `inline_limit`, for an account with the option `inline_media = true`: undocumented by the provider, but its users
    may try it. `None` if the adapter has no such option.
    """
    optional_upload_form: MediaForm | None = None
    """As `upload_form`, for an account with the option `upload = true`."""
    inline_body_limit: int = 24 * MEGABYTE
    """
    The limit in base64 bytes for all inline images of one request together. No provider documents how large a request
    may be.
    """
    upload_form: MediaForm | None = None
    """
    How a request names a file in the provider's own storage: the scheme of the URL that an upload returns. `None`
    if local files cannot be uploaded for this model. Whether an account can upload is for `Adapter.upload_problem`.
    """
    picture_limits: PictureLimits | None = None
    """The provider's documented limits of an image. A local one is checked before anything is sent."""
    video_limits: VideoLimits | None = None
    """The provider's documented limits of a source video. A local one is checked before anything is sent."""

    def media_options(self, *, is_video: bool) -> tuple[str, ...]:
        """Return the options with which an account accepts local media that it would otherwise reject."""
        inline = ("inline_media",) if self.optional_inline_limit and not is_video else ()
        return inline + (("upload",) if self.optional_upload_form else ())


@frozen(kw_only=True)
class Capabilities:
    """The models and operations of a provider."""

    models: tuple[ModelSpec, ...] = field(converter=tuple[ModelSpec, ...])
    """Every model. In each mode the default model comes first, and newer models precede older ones."""
    can_list: bool = False
    """Whether the account's tasks can be listed."""
    list_is_live: bool = False
    """
    Whether the list has the current status of tasks, newest first and by page number, so that one page polls many
    tasks.
    """
    list_has_results: bool = False
    """Whether a row of the list has everything that a status request returns, videos included."""
    can_cancel: bool = False
    """Whether a task can be cancelled, at least before it starts."""
    callbacks: bool = False
    """Whether a submit can carry a URL that the provider calls at the end of the task."""
    signed_callbacks: bool = False
    """Whether a secret that is shared with the provider authenticates its callbacks."""
    idempotent: bool = False
    """Whether a submit carries an idempotency key, so that resending the same bytes returns the same task."""

    def check(self, request: VideoRequest, *, provider: str, callback_url: str | None = None) -> ModelSpec:
        """
        Choose the model for *request* and check every option against the model.

        :param provider: the name for errors.
        :raises UnsupportedFeatureError: the provider has no such mode, version or option.
        :raises InvalidRequestError: a value is outside the range that the provider documents.
        """
        check = _Check(provider, self._spec(request, provider), request)
        check.options()
        check.prompt()
        check.media()
        if callback_url is not None and not self.callbacks:
            raise check.unsupported("callbacks")
        return check.spec

    def _spec(self, request: VideoRequest, provider: str) -> ModelSpec:
        models = [spec for spec in self.models if spec.mode is request.mode]
        if not models:
            feature = _MODE_NAMES[request.mode]
            raise UnsupportedFeatureError(f"{provider} has no {feature}", feature=feature, provider=provider)
        if request.model is not None:
            return self._named_spec(request, models, provider)
        if request.version is None:
            return next((spec for spec in models if not spec.opt_in), models[0])
        for spec in models:
            if spec.version == request.version:
                return spec
        if request.version not in VERSIONS:
            shown = redact_text(repr(request.version))[:80]
            raise InvalidRequestError(f"version must be one of {_listed(VERSIONS)}, not {shown}", provider=provider)
        feature = f"{_MODE_NAMES[request.mode]} with version {request.version}"
        raise UnsupportedFeatureError(f"{provider} has no {feature}", feature=feature, provider=provider)

    def _named_spec(self, request: VideoRequest, models: list[ModelSpec], provider: str) -> ModelSpec:
        for spec in self.models:
            if spec.model == request.model and spec.mode is request.mode:
                return spec
        other = next((spec for spec in self.models if spec.model == request.model), None)
        if other is not None:
            raise InvalidRequestError(
                f"model {request.model} makes {_MODE_NAMES[other.mode]}, not {_MODE_NAMES[request.mode]}",
                provider=provider,
            )
        named = _modes_in(str(request.model))
        if named and request.mode not in named:
            made = " or ".join(_MODE_NAMES[mode] for mode in named)
            raise InvalidRequestError(
                f"model {request.model} makes {made} by its name, not {_MODE_NAMES[request.mode]}", provider=provider
            )
        # Providers add dated variants of their models. An unknown one is assumed to accept whatever any model of the
        # same mode accepts.
        return _widest(models, str(request.model))


def _modes_in(model: str) -> list[Mode]:
    modes = (Mode.T2V, Mode.I2V, Mode.R2V, Mode.EDIT)
    found = {index for match in _MODE_IN_ID.finditer(model) for index, text in enumerate(match.groups()) if text}
    return [modes[index] for index in sorted(found)]


def _widest(models: list[ModelSpec], model: str) -> ModelSpec:
    def union(values: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value for group in values for value in group))

    prompts = [spec.prompt_limit for spec in models if spec.prompt_limit is not None]
    sizes = [spec.image_size for spec in models if spec.image_size is not None]
    return evolve(
        models[0],
        model=model,
        resolutions=union(spec.resolutions for spec in models),
        ratios=union(spec.ratios for spec in models),
        durations=_hull(spec.durations for spec in models),
        seed=any(spec.seed for spec in models),
        watermark=any(spec.watermark for spec in models),
        audio=union(spec.audio for spec in models),
        prompt_required=all(spec.prompt_required for spec in models),
        prompt_limit=max(prompts) if len(prompts) == len(models) else None,
        image_size=max(sizes) if len(sizes) == len(models) else None,
        images=_hull(spec.images for spec in models),
        image_forms=frozenset[MediaForm]().union(*(spec.image_forms for spec in models)),
        video_forms=frozenset[MediaForm]().union(*(spec.video_forms for spec in models)),
    )


def _hull(ranges: Iterable[range]) -> range:
    filled = [values for values in ranges if values]
    return range(min(values.start for values in filled), max(values.stop for values in filled)) if filled else range(0)


def _listed(values: Iterable[object]) -> str:
    return ", ".join(str(value) for value in values)


def _span(values: range) -> str:
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"


def media_form(media: Media) -> MediaForm | None:
    """Return the form of *media*; `None` for a local file, bytes, or text that is not a known URL."""
    if not isinstance(media, str):
        return None
    if _DATA_URI.fullmatch(media):
        return MediaForm.DATA_URI
    if _NO_URL.search(media):
        return None
    try:
        parts = urlsplit(media)
    except ValueError:
        return None
    if parts.scheme.lower() in ("http", "https") and parts.hostname:
        return MediaForm.URL
    return MediaForm.OSS if parts.scheme.lower() == "oss" and parts.netloc else None


class _Check:
    """Checks one request against one model."""

    def __init__(self, provider: str, spec: ModelSpec, request: VideoRequest) -> None:
        self.provider = provider
        self.spec = spec
        self.request = request

    def unsupported(self, feature: str) -> UnsupportedFeatureError:
        return UnsupportedFeatureError(
            f"{self.provider} has no {feature} for {self.spec.model}", feature=feature, provider=self.provider
        )

    def invalid(self, field_name: str, expected: str, value: object) -> InvalidRequestError:
        shown = redact_text(repr(value))[:80]
        return InvalidRequestError(
            f"{field_name} must be {expected} for {self.spec.model}, not {shown}", provider=self.provider
        )

    def options(self) -> None:
        spec = self.spec
        self._choice("resolution", spec.resolutions)
        self._choice("ratio", spec.ratios)
        self._choice("audio", spec.audio)
        self._number("duration", spec.durations)
        self._number("seed", SEEDS if spec.seed else range(0))
        watermark: Any = self.request.watermark
        if watermark is not None:
            if not spec.watermark:
                raise self.unsupported("watermark")
            if not isinstance(watermark, bool):
                raise self.invalid("watermark", "true or false", watermark)

    def prompt(self) -> None:
        prompt: Any = self.request.prompt
        if prompt is not None and not isinstance(prompt, str):
            raise self.invalid("prompt", "text", prompt)
        if self.spec.prompt_required and not (prompt and prompt.strip()):
            raise self.invalid("prompt", "given", prompt)
        limit = self.spec.prompt_limit
        if limit is not None and prompt is not None and len(prompt) > limit:
            raise InvalidRequestError(
                f"prompt must be at most {limit} characters for {self.spec.model}, not {len(prompt)}",
                provider=self.provider,
            )

    def media(self) -> None:
        request = self.request
        if isinstance(request, ImageToVideo):
            self._medium("image", request.image, self.spec.image_forms)
        if isinstance(request, ReferenceToVideo | VideoEdit):
            allowed = self.spec.images or range(1)
            if request.images and allowed == range(1):
                raise self.unsupported("images")
            if len(request.images) not in allowed:
                raise self.invalid("images", f"{_span(allowed)} in number", len(request.images))
            for image in request.images:
                self._medium("images", image, self.spec.image_forms)
        if isinstance(request, VideoEdit):
            self._medium("video", request.video, self.spec.video_forms)

    def _choice(self, name: str, allowed: tuple[str, ...]) -> None:
        value = getattr(self.request, name, None)
        if value is None:
            return
        if not allowed:
            raise self.unsupported(name)
        if value not in allowed:
            raise self.invalid(name, f"one of {_listed(allowed)}", value)

    def _number(self, name: str, allowed: range) -> None:
        value = getattr(self.request, name, None)
        if value is None:
            return
        if not allowed:
            raise self.unsupported(name)
        if not isinstance(value, int) or isinstance(value, bool) or value not in allowed:
            raise self.invalid(name, f"a whole number from {_span(allowed)}", value)

    def _medium(self, name: str, media: Media, allowed: frozenset[MediaForm]) -> None:
        if not isinstance(media, str):
            self._local(name, media)
            return
        form = media_form(media)
        if form is None:
            raise self.invalid(name, f"one of {_listed(sorted(allowed))}", media)
        if form not in allowed:
            raise self.unsupported(f"{form.value} as {name}")
        if form is MediaForm.DATA_URI and name != "video":
            self._inline_image(name, media)

    def _local(self, name: str, media: object) -> None:
        if not isinstance(media, Path | bytes | Picture):
            raise self.invalid(name, "a URL, a path or bytes", media)
        spec, is_video = self.spec, name == "video"
        if is_video and isinstance(media, Picture):
            raise self.invalid(name, "a video", media)
        if spec.upload_form is None and (is_video or spec.inline_limit is None):
            kind = "video" if is_video else "image"
            raise UnsupportedFeatureError(
                f"{name}: {self.provider} takes no local media as {kind} for {spec.model}; give an http(s) URL"
                + "".join(f", or try the option {option} = true" for option in spec.media_options(is_video=is_video)),
                feature=f"local media as {kind}",
                provider=self.provider,
            )

    def _inline_image(self, name: str, media: str) -> None:
        inline = _DATA_URI.fullmatch(media)
        assert inline is not None, "its form was told by the same pattern"
        if inline["type"].lower().replace("image/jpg", "image/jpeg") not in IMAGE_TYPES:
            raise self.invalid(name, f"a data: URI of type {_listed(IMAGE_TYPES)}", media)
        size, limit = len(inline["payload"].rstrip("=")) * 3 // 4, self.spec.image_size
        if limit is not None and size > limit:
            raise InvalidRequestError(
                f"{name} must be at most {limit / MEGABYTE:g} MB for {self.spec.model}, not {size / MEGABYTE:.1f} MB",
                provider=self.provider,
            )
