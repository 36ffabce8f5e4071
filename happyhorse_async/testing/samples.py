"""Requests and a task to test an adapter with, all made from its capabilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from typing import Any

from attrs import evolve, fields_dict, frozen

from ..capabilities import SEEDS, VERSIONS, MediaForm, ModelSpec
from ..errors import HappyHorseError, InvalidRequestError, UnsupportedFeatureError
from ..request import ImageToVideo, Mode, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest
from ..task import FailureReason, Task, TaskFailure, TaskRef, TaskStatus, Usage, Video

PROVIDER = "contract"
"""The name of the account. No adapter has this name."""
KEY = "sk-canary-1f0c8e6b52d94a37"
"""The API key, which may appear in a header only."""
JOB_ID = "hh-0123456789abcdef0123456789abcdef"
CALLBACK_URL = "https://app.example.org/hooks/happyhorse"
PROMPT = 'A kite, "风筝" 🪁,\nover dunes & sea'

_VIDEO_URL = "https://media.example.org/in.mp4"
_CREATED = datetime(2026, 11, 21, 7, 30, 5, 120000, tzinfo=UTC)
_STARTED = _CREATED + timedelta(seconds=3)
_FINISHED = _CREATED + timedelta(seconds=95)
_EXPIRES = _FINISHED.replace(microsecond=0) + timedelta(days=1)


def minimal(spec: ModelSpec) -> VideoRequest:
    """Return a request to *spec* with only the required fields."""
    prompt = PROMPT if spec.prompt_required else None
    match spec.mode:
        case Mode.T2V:
            return TextToVideo(PROMPT, model=spec.model)
        case Mode.I2V:
            return ImageToVideo(_images(spec, 1)[0], prompt=prompt, model=spec.model)
        case Mode.R2V:
            return ReferenceToVideo(PROMPT, _images(spec, max(1, spec.images.start)), model=spec.model)
        case Mode.EDIT:
            return VideoEdit(PROMPT, _VIDEO_URL, images=_images(spec, spec.images.start), model=spec.model)


def maximal(spec: ModelSpec) -> VideoRequest:
    """Return a request to *spec* with every option, and the maximum number of images."""
    request = _with(minimal(spec), prompt=PROMPT)
    has = fields_dict(type(request))
    chosen = {option.name: option.good[-1] for option in _options(spec) if option.good and option.name in has}
    if "images" in has:
        chosen["images"] = _images(spec, spec.images[-1])
    return _with(request, **chosen)


def right(spec: ModelSpec) -> Iterator[VideoRequest]:
    """Yield requests to *spec* with each accepted value, one at a time; of a range, both ends."""
    request = minimal(spec)
    for option in _options(spec):
        if option.name in fields_dict(type(request)):
            ends = (option.good[0], option.good[-1]) if isinstance(option.good, range) and option.good else option.good
            for value in ends:
                yield _with(request, **{option.name: value})


def choices(spec: ModelSpec) -> Iterator[tuple[str, list[VideoRequest]]]:
    """Yield each option of *spec* with several values, with requests that differ only in its value."""
    request = minimal(spec)
    for option in _options(spec):
        if option.name in fields_dict(type(request)) and len(option.good) > 1:
            values = (option.good[0], option.good[-1])
            yield option.name, [_with(request, **{option.name: value}) for value in values]


@frozen
class Wrong:
    """A request that must be rejected before it is encoded, and the expected error."""

    what: str
    request: VideoRequest
    error: type[HappyHorseError]


def wrong(spec: ModelSpec) -> Iterator[Wrong]:
    """Yield requests to *spec* that it does not accept."""
    yield from _wrong_options(spec)
    yield from _wrong_prompts(spec)
    yield from _wrong_counts(spec)
    yield from _wrong_media(spec)
    yield Wrong("version 0.0", _with(minimal(spec), model=None, version="0.0"), InvalidRequestError)


@frozen
class _Option:
    name: str
    good: Sequence[Any]
    bad: Sequence[Any]
    stranger: Any = None
    """A value that another provider accepts."""


def _options(spec: ModelSpec) -> tuple[_Option, ...]:
    return (
        _Option("resolution", spec.resolutions, ("4321P", "", 720)),
        _Option("ratio", spec.ratios, ("17:3", "", 1.5), stranger="16:9"),
        _Option("duration", spec.durations, (*_outside(spec.durations), -1, 5.5, "5", True), stranger=5),
        _Option("seed", SEEDS if spec.seed else (), (*_outside(SEEDS), 1.5, "7", True), stranger=7),
        _Option("watermark", (True, False) if spec.watermark else (), ("yes", 1), stranger=False),
        _Option("audio", spec.audio, ("loud", "", True), stranger="auto"),
    )


def _outside(values: range) -> tuple[int, ...]:
    return (values[0] - 1, values[-1] + 1) if values else ()


def _wrong_options(spec: ModelSpec) -> Iterator[Wrong]:
    request = minimal(spec)
    for option in _options(spec):
        if option.name not in fields_dict(type(request)):
            continue
        error = InvalidRequestError if option.good else UnsupportedFeatureError
        for value in option.bad if option.good else (option.stranger,):
            yield Wrong(f"{option.name} {value!r}", _with(request, **{option.name: value}), error)


def _wrong_prompts(spec: ModelSpec) -> Iterator[Wrong]:
    request = minimal(spec)
    yield Wrong("a prompt that is no text", _with(request, prompt=7), InvalidRequestError)
    if spec.prompt_required:
        yield Wrong("no prompt", _with(request, prompt=""), InvalidRequestError)
        yield Wrong("a blank prompt", _with(request, prompt=" \n"), InvalidRequestError)
    if spec.prompt_limit is not None:
        yield Wrong("a long prompt", _with(request, prompt="x" * (spec.prompt_limit + 1)), InvalidRequestError)


def _wrong_counts(spec: ModelSpec) -> Iterator[Wrong]:
    if spec.mode not in (Mode.R2V, Mode.EDIT):
        return
    for count in (spec.images.start - 1, spec.images.stop):
        if count >= 0:
            yield Wrong(f"{count} images", _with(minimal(spec), images=_images(spec, count)), InvalidRequestError)


def _wrong_media(spec: ModelSpec) -> Iterator[Wrong]:
    request = minimal(spec)
    places = {"image": spec.image_forms, "images": spec.image_forms, "video": spec.video_forms}
    for name, forms in places.items():
        if name not in fields_dict(type(request)) or (name == "images" and not spec.images[-1]):
            continue
        for url in ("", "frame.png", "ftp://media.example.org/a", "https:///a", "data:,", "oss://"):
            yield Wrong(f"{name} {url!r}", _with(request, **{name: _placed(name, url)}), InvalidRequestError)
        for form in MediaForm:
            if form not in forms:
                value = _placed(name, _medium(form, 0))
                yield Wrong(f"{form.value} as {name}", _with(request, **{name: value}), UnsupportedFeatureError)


def _placed(name: str, url: str) -> str | tuple[str, ...]:
    return (url,) if name == "images" else url


def _images(spec: ModelSpec, count: int) -> tuple[str, ...]:
    """Return *count* images, alternating between the forms that *spec* accepts."""
    forms = islice(cycle(form for form in MediaForm if form in spec.image_forms), count)
    return tuple(_medium(form, number) for number, form in enumerate(forms))


def _medium(form: MediaForm, number: int) -> str:
    match form:
        case MediaForm.URL:
            return f"https://media.example.org/{number}.png?signature=a%2Bb"
        case MediaForm.DATA_URI:
            return f"data:image/png;base64,AAA{number}"
        case MediaForm.OSS:
            return f"oss://bucket/folder/{number}.png"


def _with(request: VideoRequest, **changes: Any) -> VideoRequest:
    # Untyped, because some requests are invalid on purpose.
    loose: Any = request
    changed: VideoRequest = evolve(loose, **changes)
    return changed


def missing_versions(models: Sequence[ModelSpec]) -> Iterator[VideoRequest]:
    """Yield a request for each version that is not among *models*, which are all of one mode."""
    versions = {spec.version for spec in models}
    for version in VERSIONS:
        if version not in versions:
            yield _with(minimal(models[0]), model=None, version=version)


ANY_MODELS = {
    mode: ModelSpec(mode=mode, version=VERSIONS[0], model="any", resolutions=("720P",), images=range(1, 2))
    for mode in Mode
}
"""For each mode, a model that no provider has."""


def observed(task_id: str, request: VideoRequest, status: TaskStatus, reason: FailureReason | None = None) -> Task:
    """
    Return the task for *request* as the provider has it.

    :param reason: why it fails. NO_OUTPUT is a success without a video.
    """
    delivers = status is TaskStatus.SUCCEEDED and reason is None
    return Task(
        ref=TaskRef(PROVIDER, task_id),
        status=status,
        progress={TaskStatus.RUNNING: 40.0, TaskStatus.SUCCEEDED: 100.0}.get(status, 0.0),
        videos=(_video(),) if delivers else (),
        error=TaskFailure(reason=reason) if status is TaskStatus.FAILED and reason else None,
        usage=_usage(request) if delivers else None,
        model=request.model,
        created_at=_CREATED,
        started_at=None if status in (TaskStatus.PENDING, TaskStatus.CANCELED) else _STARTED,
        finished_at=_FINISHED if status.is_terminal else None,
    )


def _video() -> Video:
    signature = f"Expires={int(_EXPIRES.timestamp())}&Signature=a%2Bb"
    return Video(
        url=f"https://media.example.org/out.mp4?{signature}",
        cover_url=f"https://media.example.org/out.jpg?{signature}",
        expires_at=_EXPIRES,
        width=1280,
        height=720,
        duration=5.0,
    )


def _usage(request: VideoRequest) -> Usage:
    source = 6.0 if isinstance(request, VideoEdit) else 0.0
    ratio = request.ratio if isinstance(request, TextToVideo | ReferenceToVideo) else None
    return Usage(
        duration=5.0 + source,
        input_duration=source,
        output_duration=5.0,
        resolution=request.resolution or "1080P",
        ratio=ratio or "16:9",
        count=1,
    )
