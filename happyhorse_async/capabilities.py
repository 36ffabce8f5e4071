"""
What a provider can express, as data.

An adapter declares one `Offer` for every model. From the offers come the local check of a request, the choice of the
model, the `providers` table of the command line and the matrix in the documentation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from .errors import InvalidRequestError, UnsupportedFeatureError
from .redaction import redact_text
from .request import ImageToVideo, Media, Mode, ReferenceToVideo, VideoEdit, VideoRequest

VERSIONS = ("1.1", "1.0")
"""The HappyHorse versions there are, newest first."""

AUDIO_SETTINGS = ("auto", "origin")
"""The model decides about the sound, or the source's is kept."""
SEEDS = range(0, 2_147_483_648)
"""Every seed there is: 31 bits."""
DURATIONS = range(3, 16)
"""The lengths that HappyHorse makes, in whole seconds."""

_DATA_URI = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+);base64,(?P<payload>[A-Za-z0-9+/=_-]+)")
# What no URL holds, and what a parser drops without a word.
_NO_URL = re.compile(r"[\s\x00-\x1f\x7f\ud800-\udfff]")
_MODE_NAMES = {
    Mode.T2V: "text-to-video",
    Mode.I2V: "image-to-video",
    Mode.R2V: "reference-to-video",
    Mode.EDIT: "video-edit",
}


class MediaForm(StrEnum):
    """How an input image or video may be handed to a provider."""

    URL = "http(s) URL"
    """Fetched by the provider."""
    DATA_URI = "data: URI"
    """The bytes themselves, in base64."""
    OSS = "oss:// URL"
    """A file in the provider's own temporary storage."""


@frozen(kw_only=True)
class Offer:
    """One model of a provider, and what it takes. An option that it lacks is an empty collection or `False`."""

    mode: Mode
    """What it makes a video from."""
    version: str
    """The HappyHorse version, one of `VERSIONS`."""
    model: str
    """The provider's exact model id."""
    resolutions: tuple[str, ...]
    """Written `"720P"` whatever the provider's own spelling."""
    ratios: tuple[str, ...] = ()
    """Aspect ratios, width to height."""
    durations: range = range(0)
    """Whole seconds."""
    seed: bool = False
    """Whether it takes a seed."""
    watermark: bool = False
    """Whether the watermark can be switched."""
    audio: tuple[str, ...] = ()
    """What can become of the source's sound."""
    prompt_required: bool = True
    """Whether a prompt must be given."""
    prompt_limit: int | None = None
    """Characters beyond which the provider documents a refusal. Where it cuts silently, the adapter warns instead."""
    images: range = range(0, 1)
    """How many input images."""
    image_forms: frozenset[MediaForm] = frozenset({MediaForm.URL})
    """How an image may be given."""
    video_forms: frozenset[MediaForm] = frozenset({MediaForm.URL})
    """How a video may be given."""


@frozen(kw_only=True)
class Capabilities:
    """What a provider can do."""

    offers: tuple[Offer, ...] = field(converter=tuple[Offer, ...])
    """Every model, the newest of each mode first."""
    lists: bool = False
    """Whether it lists the account's tasks."""
    live_list: bool = False
    """Whether the list shows how tasks stand now, newest first, so that one request can look at many of them."""
    whole_list: bool = False
    """Whether the list's rows are all that a query would tell, the videos included."""
    cancels: bool = False
    """Whether it can cancel a task, at least before it begins."""
    callbacks: bool = False
    """Whether a submit can name a URL to be called at the end."""
    signed_callbacks: bool = False
    """Whether a secret that is shared with the provider proves that a call is its own."""
    idempotent: bool = False
    """Whether a submit carries an idempotency key, so that the same bytes sent again find the same task."""

    def check(self, request: VideoRequest, *, provider: str, callback_url: str | None = None) -> Offer:
        """
        Find the model for *request* and hold every option against what it takes.

        :param provider: the name to give in an error.
        :raises UnsupportedFeatureError: the provider has no such mode, version or option.
        :raises InvalidRequestError: a value is outside what the provider documents.
        """
        check = _Check(provider, self._offer(request, provider), request)
        check.options()
        check.prompt()
        check.media()
        if callback_url is not None and not self.callbacks:
            raise check.unsupported("callbacks")
        return check.offer

    def _offer(self, request: VideoRequest, provider: str) -> Offer:
        offers = [offer for offer in self.offers if offer.mode is request.mode]
        if not offers:
            feature = _MODE_NAMES[request.mode]
            raise UnsupportedFeatureError(f"{provider} has no {feature}", feature=feature, provider=provider)
        if request.model is not None:
            return self._named_offer(request, offers, provider)
        if request.version is None:
            return offers[0]
        for offer in offers:
            if offer.version == request.version:
                return offer
        if request.version not in VERSIONS:
            raise InvalidRequestError(
                f"version must be one of {_listed(VERSIONS)}, not {request.version!r}", provider=provider
            )
        feature = f"{_MODE_NAMES[request.mode]} with version {request.version}"
        raise UnsupportedFeatureError(f"{provider} has no {feature}", feature=feature, provider=provider)

    def _named_offer(self, request: VideoRequest, offers: list[Offer], provider: str) -> Offer:
        for offer in self.offers:
            if offer.model == request.model and offer.mode is request.mode:
                return offer
        other = next((offer for offer in self.offers if offer.model == request.model), None)
        if other is not None:
            raise InvalidRequestError(
                f"model {request.model} makes {_MODE_NAMES[other.mode]}, not {_MODE_NAMES[request.mode]}",
                provider=provider,
            )
        # Providers add dated variants of their models. Of one we have not heard of, all is believed that any of its
        # siblings takes.
        return _widest(offers, str(request.model))


def _widest(offers: list[Offer], model: str) -> Offer:
    def union(values: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value for group in values for value in group))

    limits = [offer.prompt_limit for offer in offers if offer.prompt_limit is not None]
    return evolve(
        offers[0],
        model=model,
        resolutions=union(offer.resolutions for offer in offers),
        ratios=union(offer.ratios for offer in offers),
        durations=_hull(offer.durations for offer in offers),
        seed=any(offer.seed for offer in offers),
        watermark=any(offer.watermark for offer in offers),
        audio=union(offer.audio for offer in offers),
        prompt_required=all(offer.prompt_required for offer in offers),
        prompt_limit=max(limits) if len(limits) == len(offers) else None,
        images=_hull(offer.images for offer in offers),
        image_forms=frozenset[MediaForm]().union(*(offer.image_forms for offer in offers)),
        video_forms=frozenset[MediaForm]().union(*(offer.video_forms for offer in offers)),
    )


def _hull(ranges: Iterable[range]) -> range:
    filled = [values for values in ranges if values]
    return range(min(values.start for values in filled), max(values.stop for values in filled)) if filled else range(0)


def _listed(values: Iterable[object]) -> str:
    return ", ".join(str(value) for value in values)


def _span(values: range) -> str:
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"


def media_form(media: Media) -> MediaForm | None:
    """Tell in which form *media* is given; `None` for a local file, bytes, or text that is no URL of a known kind."""
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
    """One request held against one offer."""

    def __init__(self, provider: str, offer: Offer, request: VideoRequest) -> None:
        self.provider = provider
        self.offer = offer
        self.request = request

    def unsupported(self, feature: str) -> UnsupportedFeatureError:
        return UnsupportedFeatureError(
            f"{self.provider} has no {feature} for {self.offer.model}", feature=feature, provider=self.provider
        )

    def invalid(self, field_name: str, expected: str, value: object) -> InvalidRequestError:
        shown = redact_text(repr(value))[:80]
        return InvalidRequestError(
            f"{field_name} must be {expected} for {self.offer.model}, not {shown}", provider=self.provider
        )

    def options(self) -> None:
        offer = self.offer
        self._choice("resolution", offer.resolutions)
        self._choice("ratio", offer.ratios)
        self._choice("audio", offer.audio)
        self._number("duration", offer.durations)
        self._number("seed", SEEDS if offer.seed else range(0))
        watermark: Any = self.request.watermark
        if watermark is not None:
            if not offer.watermark:
                raise self.unsupported("watermark")
            if not isinstance(watermark, bool):
                raise self.invalid("watermark", "true or false", watermark)

    def prompt(self) -> None:
        prompt: Any = self.request.prompt
        if prompt is not None and not isinstance(prompt, str):
            raise self.invalid("prompt", "text", prompt)
        if self.offer.prompt_required and not (prompt and prompt.strip()):
            raise self.invalid("prompt", "given", prompt)
        limit = self.offer.prompt_limit
        if limit is not None and prompt is not None and len(prompt) > limit:
            raise InvalidRequestError(
                f"prompt must be at most {limit} characters for {self.offer.model}, not {len(prompt)}",
                provider=self.provider,
            )

    def media(self) -> None:
        request = self.request
        if isinstance(request, ImageToVideo):
            self._medium("image", request.image, self.offer.image_forms)
        if isinstance(request, ReferenceToVideo | VideoEdit):
            allowed = self.offer.images or range(1)
            if request.images and allowed == range(1):
                raise self.unsupported("images")
            if len(request.images) not in allowed:
                raise self.invalid("images", f"{_span(allowed)} in number", len(request.images))
            for image in request.images:
                self._medium("images", image, self.offer.image_forms)
        if isinstance(request, VideoEdit):
            self._medium("video", request.video, self.offer.video_forms)

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
        form = media_form(media)
        if form is None and not isinstance(media, str):
            raise UnsupportedFeatureError(
                f"{name}: local media ({type(media).__name__}) cannot be sent yet; give an http(s) URL",
                feature="local media",
                provider=self.provider,
            )
        if form is None:
            raise self.invalid(name, f"one of {_listed(sorted(allowed))}", media)
        if form not in allowed:
            raise self.unsupported(f"{form.value} as {name}")
