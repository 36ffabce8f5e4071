"""Builds a request from the arguments of `generate` and `submit`."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from attrs import evolve, frozen
from cyclopts import Parameter

from ..errors import InvalidRequestError
from ..request import ImageToVideo, Mode, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest
from ..request_codec import infer_mode
from .media_file import read_medium


@Parameter(name="*")
@frozen(kw_only=True)
class RequestOptions:
    """The options of the request."""

    image: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    """An input image: a file, or a URL. Repeat it for several."""
    video: str | None = None
    """The video to edit: a file, or a URL."""
    mode: Literal["t2v", "i2v", "r2v", "edit"] | None = None
    """Inferred by default: t2v without media, i2v with one image, r2v with several, edit with a video."""
    resolution: str | None = None
    """Such as 720P or 1080P."""
    ratio: str | None = None
    """Aspect ratio, such as 16:9. For t2v and r2v."""
    duration: int | None = None
    """Length in whole seconds. Not for edit, which keeps the length of its source."""
    seed: int | None = None
    """Random seed; the same seed makes a similar video more likely."""
    watermark: Annotated[bool | None, Parameter(negative="--no-watermark")] = None
    """Whether the provider adds its watermark; by default the provider decides."""
    audio: str | None = None
    """For edit: auto lets the model choose the sound, origin keeps the sound of the source."""
    version: str | None = None
    """HappyHorse version, 1.0 or 1.1; by default the provider's newest."""
    model: str | None = None
    """The provider's exact model id, instead of a version."""


def make_request(prompt: str | None, options: RequestOptions) -> VideoRequest:
    """
    Make the request.

    :raises InvalidRequestError: arguments contradict each other.
    """
    mode = _mode(options)
    _check_media(mode, options)
    _check_options(mode, options)
    text = _check_prompt(mode, prompt)
    images = tuple(read_medium(image) for image in options.image)
    match mode:
        case Mode.T2V:
            return TextToVideo(text, ratio=options.ratio, duration=options.duration, **_common(options))
        case Mode.I2V:
            return ImageToVideo(images[0], prompt=prompt, duration=options.duration, **_common(options))
        case Mode.R2V:
            return ReferenceToVideo(text, images, ratio=options.ratio, duration=options.duration, **_common(options))
        case Mode.EDIT:
            return VideoEdit(
                text, read_medium(options.video or ""), images=images, audio=options.audio, **_common(options)
            )


def demo_options(options: RequestOptions) -> RequestOptions:
    """Fill in a small size and a short length."""
    length = None if _mode(options) is Mode.EDIT else 5
    return evolve(options, resolution=options.resolution or "720P", duration=options.duration or length)


class _Common(TypedDict):
    resolution: str | None
    seed: int | None
    watermark: bool | None
    version: str | None
    model: str | None


def _common(options: RequestOptions) -> _Common:
    return _Common(
        resolution=options.resolution,
        seed=options.seed,
        watermark=options.watermark,
        version=options.version,
        model=options.model,
    )


def _mode(options: RequestOptions) -> Mode:
    if options.mode is not None:
        return Mode(options.mode)
    fields = {"video"} if options.video is not None else set[str]()
    if options.image:
        fields.add("images" if options.image[1:] else "image")
    return infer_mode(fields)


def _check_prompt(mode: Mode, prompt: str | None) -> str:
    if prompt is None and mode is not Mode.I2V:
        raise InvalidRequestError(f"PROMPT is missing: mode {mode} needs one")
    try:
        (prompt or "").encode()
    except UnicodeEncodeError:
        raise InvalidRequestError("PROMPT holds bytes that are not text in the terminal's encoding") from None
    return prompt or ""


def _check_media(mode: Mode, options: RequestOptions) -> None:
    if options.video is not None and mode is not Mode.EDIT:
        raise InvalidRequestError(f"--video is for mode edit, and --mode says {mode}")
    if options.video is None and mode is Mode.EDIT:
        raise InvalidRequestError("mode edit needs --video")
    if options.image and mode is Mode.T2V:
        raise InvalidRequestError("--image is not for mode t2v; leave --mode out, or choose i2v or r2v")
    if not options.image and mode in (Mode.I2V, Mode.R2V):
        raise InvalidRequestError(f"mode {mode} needs --image")
    if mode is Mode.I2V and len(options.image) > 1:
        raise InvalidRequestError(f"mode i2v takes one --image, not {len(options.image)}; several are for mode r2v")


def _check_options(mode: Mode, options: RequestOptions) -> None:
    if options.ratio is not None and mode is Mode.I2V:
        raise InvalidRequestError(
            "--ratio has no effect with a single image: the video has the aspect ratio of the image. "
            "With --mode r2v the image is only a reference, and --ratio is used"
        )
    if options.ratio is not None and mode is Mode.EDIT:
        raise InvalidRequestError("--ratio has no effect in mode edit: the video keeps the aspect ratio of its source")
    if options.duration is not None and mode is Mode.EDIT:
        raise InvalidRequestError("--duration has no effect in mode edit: the video keeps the length of its source")
    if options.audio is not None and mode is not Mode.EDIT:
        raise InvalidRequestError("--audio is only for mode edit")
