"""The neutral model, outbound."""

from __future__ import annotations

import pickle
from copy import copy, deepcopy
from pathlib import Path

import pytest
from attrs import evolve
from attrs.exceptions import FrozenInstanceError

from happyhorse_async.request import ImageToVideo, Mode, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest

IMAGE = "https://a.example/i.png?Signature=c4n4ry"
VIDEO = "https://a.example/v.mp4?Signature=c4n4ry"
DATA = "data:image/png;base64,c4n4ry"

REQUESTS: list[VideoRequest] = [
    TextToVideo("a", ratio="16:9", duration=5, seed=1, watermark=False, version="1.0", model="m"),
    ImageToVideo(IMAGE, prompt="a", duration=5, resolution="720P"),
    ReferenceToVideo("a", [IMAGE, DATA], ratio="16:9", extra={"x": {"y": [1]}}),
    VideoEdit("a", VIDEO, images=[DATA], audio="origin"),
]


@pytest.mark.parametrize(
    ("request_", "mode"),
    [
        (TextToVideo("a"), Mode.T2V),
        (ImageToVideo("https://a.example/i.png"), Mode.I2V),
        (ReferenceToVideo("a", ["https://a.example/i.png"]), Mode.R2V),
        (VideoEdit("a", "https://a.example/v.mp4"), Mode.EDIT),
    ],
)
def test_each_request_has_its_mode(request_: VideoRequest, mode: Mode) -> None:
    """The class of a request says from what the video is made."""

    assert mode is request_.mode
    assert mode is type(request_).mode


@pytest.mark.parametrize("request_", REQUESTS)
def test_options_default_to_not_sent(request_: VideoRequest) -> None:
    """An option that is not given is None, which leaves it to the provider."""
    bare = {
        Mode.T2V: TextToVideo("a"),
        Mode.I2V: ImageToVideo("i"),
        Mode.R2V: ReferenceToVideo("a", "i"),
        Mode.EDIT: VideoEdit("a", "v"),
    }[request_.mode]
    names = ("resolution", "ratio", "duration", "seed", "watermark", "version", "model", "audio")

    assert {None} == {getattr(bare, name, None) for name in names}
    assert {} == dict(bare.extra)


def test_options_are_keyword_only() -> None:
    """What follows the essential arguments is given by name, so that no order need be remembered."""
    with pytest.raises(TypeError, match="positional"):
        TextToVideo("a", "16:9")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="positional"):
        ImageToVideo("i", "a")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="positional"):
        VideoEdit("a", "v", "i")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("request_", "lacking"),
    [
        (REQUESTS[0], ("audio", "image", "images")),
        (REQUESTS[1], ("audio", "ratio", "images")),
        (REQUESTS[2], ("audio", "image")),
        (REQUESTS[3], ("ratio", "duration")),
    ],
)
def test_a_mode_has_only_its_own_options(request_: VideoRequest, lacking: tuple[str, ...]) -> None:
    """An option that no provider has for a mode cannot even be written down."""

    assert not [name for name in lacking if hasattr(request_, name)]


@pytest.mark.parametrize(("given", "kept"), [("720p", "720P"), ("1080P", "1080P"), (None, None)])
def test_resolutions_are_written_in_one_way(given: str | None, kept: str | None) -> None:
    """A resolution is kept as 720P whatever its case was."""

    assert kept == TextToVideo("a", resolution=given).resolution


@pytest.mark.parametrize("image", ["https://a.example/i.png", b"\x89PNG", Path("i.png")])
def test_a_lone_image_is_one_image(image: str | bytes | Path) -> None:
    """A single image given where several may stand is not taken apart into its characters."""

    assert (image,) == ReferenceToVideo("a", image).images
    assert (image,) == VideoEdit("a", "v", images=image).images


def test_images_may_come_from_any_iterable() -> None:
    """A list and a generator of images are kept as a tuple, in their order."""

    assert ("1", "2") == ReferenceToVideo("a", ["1", "2"]).images
    assert ("1", "2") == ReferenceToVideo("a", (str(number) for number in (1, 2))).images


@pytest.mark.parametrize("request_", REQUESTS)
def test_requests_cannot_be_changed(request_: VideoRequest) -> None:
    """A request stays what it was when it was paid for."""
    with pytest.raises(FrozenInstanceError):
        request_.prompt = "b"  # type: ignore[misc]
    with pytest.raises(TypeError, match="item assignment"):
        request_.extra["x"] = 1  # type: ignore[index]


def test_extra_is_a_copy() -> None:
    """A change to the mapping that was given does not reach the request."""
    extra = {"x": 1}
    request = TextToVideo("a", extra=extra)
    extra["x"] = 2

    assert {"x": 1} == request.extra


@pytest.mark.parametrize("request_", REQUESTS)
def test_equal_requests_are_one_key(request_: VideoRequest) -> None:
    """Requests that ask for the same are equal and hash alike; a different prompt or extra makes another."""
    same = evolve(request_)

    assert same == request_
    assert hash(same) == hash(request_)
    assert request_ != evolve(request_, prompt="b")
    assert request_ != evolve(request_, extra={"other": 1})


@pytest.mark.parametrize("request_", REQUESTS)
def test_requests_travel(request_: VideoRequest) -> None:
    """A request survives pickling and copying, and is as unchangeable as before."""
    travelled = pickle.loads(pickle.dumps(request_))

    assert request_ == travelled
    assert request_ == deepcopy(request_)
    assert request_ == copy(request_)
    assert type(request_) is type(travelled)
    with pytest.raises(TypeError, match="item assignment"):
        travelled.extra["x"] = 1  # type: ignore[index]


def test_a_copy_is_deep() -> None:
    """What a deep copy holds is its own."""
    request = TextToVideo("a", extra={"x": {"y": 1}})

    assert request.extra["x"] is not deepcopy(request).extra["x"]


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_repr_shows_no_signature_and_no_data(request_: VideoRequest) -> None:
    """A request can be logged: signed URLs are cut, inline data and extra fields left out."""
    shown = repr(evolve(request_, extra={"secret": "c4n4ry"}))

    assert shown.startswith(type(request_).__name__)
    assert "prompt='a'" in shown
    assert "c4n4ry" not in shown


def test_a_repr_shows_no_bytes() -> None:
    """Media in memory are shown by their type, files by their path."""
    shown = repr(ReferenceToVideo("a", [b"\x89PNG", Path("i.png")]))

    assert "images=(<bytes>, " in shown
    assert "i.png" in shown
    assert "PNG" not in shown
