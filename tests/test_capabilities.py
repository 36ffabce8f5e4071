"""A request held against what a provider can do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from happyhorse_async.capabilities import DURATIONS, SEEDS, Capabilities, MediaForm, ModelSpec, media_form
from happyhorse_async.errors import InvalidRequestError, UnsupportedFeatureError
from happyhorse_async.request import ImageToVideo, Mode, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest

IMAGE = "https://a.example/i.png"
VIDEO = "https://a.example/v.mp4"
DATA = "data:image/png;base64,iVBORw0KGgo="

FULL = ModelSpec(
    mode=Mode.T2V,
    version="1.1",
    model="full-1.1",
    resolutions=("480P", "720P"),
    ratios=("16:9",),
    durations=DURATIONS,
    seed=True,
    watermark=True,
    prompt_limit=10,
)
OLD = evolve(FULL, version="1.0", model="full-1.0", resolutions=("720P", "1080P"), prompt_limit=20)
REFERENCE = evolve(FULL, mode=Mode.R2V, model="full-r2v", images=range(1, 4))
FRAME = ModelSpec(
    mode=Mode.I2V,
    version="1.0",
    model="bare-i2v",
    resolutions=(),
    prompt_required=False,
    image_forms=frozenset({MediaForm.URL, MediaForm.DATA_URI}),
)
EDIT = ModelSpec(
    mode=Mode.EDIT,
    version="1.0",
    model="full-edit",
    resolutions=("720P",),
    audio=("auto", "origin"),
    images=range(3),
    video_forms=frozenset({MediaForm.URL, MediaForm.OSS}),
)
ALL = Capabilities(models=[FULL, OLD, REFERENCE, FRAME, EDIT])


def spec_for(request: VideoRequest) -> ModelSpec:
    """Check *request* against all there is."""
    return ALL.check(request, provider="toy")


@pytest.mark.parametrize(
    ("request_", "model"),
    [
        (TextToVideo("a"), "full-1.1"),
        (TextToVideo("a", version="1.1"), "full-1.1"),
        (TextToVideo("a", version="1.0"), "full-1.0"),
        (TextToVideo("a", model="full-1.0"), "full-1.0"),
        (TextToVideo("a", model="full-1.0", version="1.1"), "full-1.0"),
        (ReferenceToVideo("a", IMAGE), "full-r2v"),
        (ImageToVideo(IMAGE), "bare-i2v"),
        (VideoEdit("a", VIDEO), "full-edit"),
    ],
)
def test_the_model_that_is_chosen(request_: VideoRequest, model: str) -> None:
    """The newest model of the mode is taken, unless a version or, stronger, a model is named."""

    assert model == spec_for(request_).model


@pytest.mark.parametrize(
    "request_",
    [
        TextToVideo("a", resolution="480p", ratio="16:9", duration=3, seed=0, watermark=False),
        TextToVideo("a" * 10, duration=15, seed=2**31 - 1, watermark=True),
        TextToVideo("a" * 20, version="1.0", resolution="1080P"),
        ImageToVideo(IMAGE, prompt=""),
        ImageToVideo(DATA),
        ReferenceToVideo("a", [IMAGE] * 3),
        VideoEdit("a", VIDEO, audio="origin", images=[IMAGE] * 2),
        VideoEdit("a", "oss://bucket/v.mp4"),
    ],
)
def test_what_is_in_range(request_: VideoRequest) -> None:
    """Every documented value up to both its ends is let through."""

    assert request_.mode is spec_for(request_).mode


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (TextToVideo("a", version="1.2"), "version must be one of 1.1, 1.0, not '1.2'"),
        (TextToVideo("a", model="full-r2v"), "model full-r2v makes reference-to-video, not text-to-video"),
        (TextToVideo("a", resolution="1080P"), "resolution must be one of 480P, 720P for full-1.1, not '1080P'"),
        (TextToVideo("a", ratio="9:16"), "ratio must be one of 16:9 for full-1.1, not '9:16'"),
        (TextToVideo("a", duration=2), "duration must be a whole number from 3 to 15 for full-1.1, not 2"),
        (TextToVideo("a", duration=16), "duration must be a whole number from 3 to 15 for full-1.1, not 16"),
        (TextToVideo("a", seed=-1), "seed must be a whole number from 0 to 2147483647 for full-1.1, not -1"),
        (TextToVideo("a", seed=2**31), "seed must be a whole number from 0 to 2147483647 for full-1.1, not 2147483648"),
        (TextToVideo(""), "prompt must be given for full-1.1, not ''"),
        (TextToVideo(" \n"), r"prompt must be given for full-1.1, not ' \\n'"),
        (TextToVideo("a" * 11), "prompt must be at most 10 characters for full-1.1, not 11"),
        (ReferenceToVideo("a", []), "images must be 1 to 3 in number for full-r2v, not 0"),
        (ReferenceToVideo("a", [IMAGE] * 4), "images must be 1 to 3 in number for full-r2v, not 4"),
        (VideoEdit("a", VIDEO, audio="none"), "audio must be one of auto, origin for full-edit, not 'none'"),
        (ImageToVideo("i.png"), r"image must be one of data: URI, http\(s\) URL for bare-i2v, not 'i.png'"),
        (VideoEdit("a", "ftp://a.example/v"), "video must be one of .* for full-edit, not 'ftp://a.example/v'"),
        (VideoEdit("a", VIDEO, images=["http://[::1"]), "images must be one of http.* for full-edit"),
    ],
)
def test_what_is_out_of_range(request_: VideoRequest, sentence: str) -> None:
    """A value that is not documented is refused by field, with what is documented."""
    with pytest.raises(InvalidRequestError, match=sentence) as raised:
        spec_for(request_)

    assert "toy" == raised.value.provider


@pytest.mark.parametrize(
    "options",
    [
        {"resolution": 720},
        {"ratio": 1.77},
        {"duration": 5.0},
        {"duration": "5"},
        {"duration": True},
        {"seed": 1.5},
        {"seed": False},
        {"watermark": "no"},
        {"watermark": 1},
        {"prompt": 5},
        {"prompt": b"a"},
    ],
)
def test_what_is_of_the_wrong_type(options: dict[str, Any]) -> None:
    """A value of a type that the provider would refuse, or take for another, is not sent."""
    with pytest.raises(InvalidRequestError, match=f"{next(iter(options))} must be"):
        spec_for(TextToVideo(**{"prompt": "a", **options}))


@pytest.mark.parametrize(
    ("request_", "feature"),
    [
        (ImageToVideo(IMAGE, resolution="720P"), "resolution"),
        (ImageToVideo(IMAGE, duration=5), "duration"),
        (ImageToVideo(IMAGE, seed=1), "seed"),
        (ImageToVideo(IMAGE, watermark=False), "watermark"),
        (ImageToVideo("oss://bucket/i.png"), "oss:// URL as image"),
        (ReferenceToVideo("a", DATA), "data: URI as images"),
        (VideoEdit("a", DATA), "data: URI as video"),
        (ImageToVideo(b"\x89PNG"), "local media as image"),
        (ImageToVideo(Path("i.png")), "local media as image"),
        (VideoEdit("a", Path("v.mp4")), "local media as video"),
        (ReferenceToVideo("a", [IMAGE, b"\x89PNG"]), "local media as image"),
        (ImageToVideo(IMAGE, version="1.1"), "image-to-video with version 1.1"),
    ],
)
def test_what_the_provider_lacks(request_: VideoRequest, feature: str) -> None:
    """An option that the model does not have is called unsupported, not out of range."""
    with pytest.raises(UnsupportedFeatureError) as raised:
        spec_for(request_)

    assert feature == raised.value.feature
    assert "toy" == raised.value.provider


@pytest.mark.parametrize(
    ("capabilities", "request_", "feature"),
    [
        (Capabilities(models=[]), TextToVideo("a"), "text-to-video"),
        (Capabilities(models=[FULL]), ImageToVideo(IMAGE), "image-to-video"),
        (Capabilities(models=[FULL]), ReferenceToVideo("a", IMAGE), "reference-to-video"),
        (Capabilities(models=[FULL]), VideoEdit("a", VIDEO), "video-edit"),
        (Capabilities(models=[evolve(FULL, ratios=())]), TextToVideo("a", ratio="16:9"), "ratio"),
        (Capabilities(models=[evolve(EDIT, audio=())]), VideoEdit("a", VIDEO, audio="auto"), "audio"),
        (Capabilities(models=[evolve(EDIT, images=range(1))]), VideoEdit("a", VIDEO, images=IMAGE), "images"),
        (Capabilities(models=[evolve(EDIT, images=range(0))]), VideoEdit("a", VIDEO, images=IMAGE), "images"),
    ],
)
def test_what_another_provider_lacks(capabilities: Capabilities, request_: VideoRequest, feature: str) -> None:
    """A mode without a model, and an option with nothing to choose from, are unsupported."""
    with pytest.raises(UnsupportedFeatureError, match=f"toy has no {feature}") as raised:
        capabilities.check(request_, provider="toy")

    assert feature == raised.value.feature


def test_no_images_need_no_offer_of_images() -> None:
    """A video edit without images passes where the model takes none."""
    capabilities = Capabilities(models=[evolve(EDIT, images=range(0))])

    assert "full-edit" == capabilities.check(VideoEdit("a", VIDEO), provider="toy").model


def test_callbacks_must_be_offered() -> None:
    """A callback URL goes only to a provider that calls back."""
    able = evolve(ALL, callbacks=True)

    assert FULL == able.check(TextToVideo("a"), provider="toy", callback_url="https://a.example/hook")
    with pytest.raises(UnsupportedFeatureError, match="callbacks"):
        ALL.check(TextToVideo("a"), provider="toy", callback_url="https://a.example/hook")


def test_a_model_nobody_has_heard_of() -> None:
    """A model that is not declared is believed to take whatever any model of its mode takes, and no more."""
    request = TextToVideo("a" * 20, model="full-1.2-2027", resolution="1080P")

    assert "full-1.2-2027" == spec_for(request).model
    assert ("480P", "720P", "1080P") == spec_for(request).resolutions
    with pytest.raises(InvalidRequestError, match=r"resolution must be one of 480P, 720P, 1080P for full-1\.2-2027"):
        spec_for(evolve(request, resolution="4K"))
    with pytest.raises(InvalidRequestError, match="at most 20 characters"):
        spec_for(evolve(request, prompt="a" * 21))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"durations": range(0)}, {"durations": range(3, 16)}),
        ({"durations": range(3, 6)}, {"durations": range(10, 16)}),
        ({"ratios": ()}, {"ratios": ("16:9",)}),
        ({"resolutions": ()}, {"resolutions": ("720P",)}),
        ({"seed": False}, {"seed": True}),
        ({"watermark": False}, {"watermark": True}),
        ({"images": range(1, 3)}, {"images": range(1, 10)}),
        ({"image_forms": frozenset[MediaForm]()}, {"image_forms": frozenset({MediaForm.URL})}),
        ({"prompt_limit": 1}, {"prompt_limit": None}),
        ({"prompt_required": True}, {"prompt_required": False}),
    ],
)
def test_an_unknown_model_takes_what_any_sibling_takes(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Of a model that is not declared, the widest of every option of its siblings is believed, whatever their order."""
    base = evolve(REFERENCE, prompt_required=False)
    models = [evolve(base, **first), evolve(base, version="1.0", model="other", **second)]
    request = ReferenceToVideo(
        "  " if "prompt_required" in second else "aa",
        [IMAGE] * (9 if "images" in second else 1),
        model="unheard-of",
        resolution="720P",
        ratio="16:9",
        duration=15,
        seed=1,
        watermark=False,
    )

    for capabilities in (Capabilities(models=models), Capabilities(models=models[::-1])):
        assert "unheard-of" == capabilities.check(request, provider="toy").model


@pytest.mark.parametrize(
    ("media", "form"),
    [
        ("https://a.example/i.png?x=1#y", MediaForm.URL),
        ("HTTP://A.EXAMPLE/i.png", MediaForm.URL),
        ("http://127.0.0.1:8080/i.png", MediaForm.URL),
        ("https://a.example/图.png", MediaForm.URL),
        ("data:image/png;base64,iVBORw0KGgo=", MediaForm.DATA_URI),
        ("data:image/svg+xml;base64,AA-_", MediaForm.DATA_URI),
        ("oss://bucket/i.png", MediaForm.OSS),
        ("data:image/png;base64,", None),
        ("data:image/png;base64,not base64", None),
        ("data:text/plain,hello", None),
        ("https://", None),
        ("https:///i.png", None),
        ("oss://", None),
        ("http://[::1", None),
        ("ftp://a.example/i.png", None),
        ("file:///etc/passwd", None),
        ("i.png", None),
        ("", None),
        (" https://a.example/i.png", None),
        ("https://a.example/i .png", None),
        ("https://a.example/i\n.png", None),
        ("https://a.example/\x00", None),
        ("https://a.example/\ud800", None),
        (b"\x89PNG", None),
        (Path("i.png"), None),
    ],
)
def test_the_form_of_media(media: str | bytes | Path, form: MediaForm | None) -> None:
    """A medium's form is told from its text; what no provider could fetch as it stands has none."""

    assert form is media_form(media)


@given(st.text() | st.text("htps:/[]@%?#.a1\n ").map("http:".__add__))
def test_any_text_has_a_form_or_none(text: str) -> None:
    """No text breaks the search for a form, and one that can be sent is not called a URL wrongly."""
    form = media_form(text)

    assert form is None or (text.isprintable() and " " not in text)


def test_an_error_shows_no_signature_and_no_data() -> None:
    """A wrong medium is shown short, without its signature or payload."""
    with pytest.raises(InvalidRequestError) as url_error:
        spec_for(ImageToVideo("ftp://a.example/i.png?Signature=c4n4ry"))
    with pytest.raises(InvalidRequestError) as data_error:
        spec_for(ImageToVideo("data:image/png;base64,c4n4ry!" + "c4n4ry" * 100_000))

    assert "c4n4ry" not in str(url_error.value)
    assert "c4n4ry" not in str(data_error.value)
    assert 300 > len(str(data_error.value))


def test_the_ranges_all_share() -> None:
    """Lengths are 3 to 15 seconds, seeds what fits into 31 bits."""

    assert (3, 15) == (DURATIONS[0], DURATIONS[-1])
    assert (0, 2**31 - 1) == (SEEDS[0], SEEDS[-1])
