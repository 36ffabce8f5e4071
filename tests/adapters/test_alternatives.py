"""What is unsupported at one provider and what is invalid everywhere, by the adapters that are installed."""

from __future__ import annotations

from typing import Any

import pytest

import happyhorse_async as hh

# Which of the others is able is the same question again.
FIRST_FOUR = ("dashscope", "hiapi", "imini", "nexusflow")
IMAGE = "https://media.example.org/a.png"
VIDEO = "https://media.example.org/a.mp4"
LARGE = "data:image/png;base64," + "A" * (11 * 1024 * 1024 * 4 // 3)
HUGE = "data:image/png;base64," + "A" * (21 * 1024 * 1024 * 4 // 3)


def plan(provider: str, request: hh.VideoRequest) -> hh.Plan:
    return hh.Client(provider, api_key="sk-any").plan(request)


@pytest.mark.parametrize(
    ("provider", "request_", "able"),
    [
        ("hiapi", hh.TextToVideo("a", resolution="480P"), ("dashscope",)),
        ("imini", hh.TextToVideo("a", resolution="480p"), ("dashscope",)),
        ("imini", hh.TextToVideo("a", ratio="21:9"), ("dashscope", "hiapi")),
        ("nexusflow", hh.ReferenceToVideo("a", IMAGE, ratio="4:5"), ("dashscope", "hiapi")),
        ("nexusflow", hh.VideoEdit("a", VIDEO, audio="origin"), ("dashscope", "imini")),
        ("hiapi", hh.TextToVideo("a", seed=7), ("dashscope", "nexusflow")),
        ("hiapi", hh.TextToVideo("a", watermark=False), ("dashscope", "nexusflow")),
        ("hiapi", hh.VideoEdit("a", VIDEO), ("dashscope", "imini", "nexusflow")),
        ("imini", hh.ImageToVideo(IMAGE, version="1.1"), ("dashscope", "hiapi", "nexusflow")),
        ("hiapi", hh.ImageToVideo("data:image/png;base64,AAAA"), ("dashscope", "imini")),
        ("imini", hh.ImageToVideo(LARGE), ("dashscope",)),
        ("imini", hh.TextToVideo("a", resolution="480P", seed=7), ("dashscope",)),
        ("hiapi", hh.TextToVideo("a", model="happyhorse-1-0", ratio="21:9"), ("hiapi", "dashscope")),
        # No provider has 480P with version 1.0, so those are named that have it at all.
        ("dashscope", hh.TextToVideo("a", version="1.0", resolution="480P"), ("dashscope",)),
        ("hiapi", hh.TextToVideo("a", version="1.0", resolution="480P"), ("dashscope",)),
    ],
)
def test_what_another_provider_has_is_unsupported_here(
    provider: str, request_: hh.VideoRequest, able: tuple[str, ...]
) -> None:
    """A mode, an option or a value that HappyHorse has somewhere names the providers that have it."""
    with pytest.raises(hh.UnsupportedFeatureError) as caught:
        plan(provider, request_)

    assert able == tuple(name for name in caught.value.alternatives if name in FIRST_FOUR)
    assert provider == caught.value.provider
    assert caught.value.feature
    assert all(name in str(caught.value) for name in able)


@pytest.mark.parametrize("provider", ["dashscope", "fal", "hiapi", "imini", "nexusflow"])
@pytest.mark.parametrize(
    "options",
    [
        {"resolution": "999P"},
        {"resolution": "4K"},
        {"ratio": "17:3"},
        {"duration": 2},
        {"duration": 16},
        {"duration": "5"},
        {"duration": 5.5},
        {"seed": -1},
        {"seed": 2**31},
        {"watermark": "no"},
        {"version": "1.2"},
        {"prompt": ""},
        {"prompt": " \n"},
        {"resolution": "480P", "duration": 2},
    ],
)
def test_what_nobody_has_is_invalid(provider: str, options: dict[str, Any]) -> None:
    """A value that no installed adapter takes is an InvalidRequestError, whether or not the option exists here."""
    with pytest.raises(hh.InvalidRequestError):
        plan(provider, hh.TextToVideo(**{"prompt": "a", **options}))


@pytest.mark.parametrize("provider", ["dashscope", "imini", "nexusflow"])
def test_a_sound_that_nobody_has_is_invalid(provider: str) -> None:
    """So is a setting for sound that no installed adapter takes, also where the option is missing."""
    with pytest.raises(hh.InvalidRequestError):
        plan(provider, hh.VideoEdit("a", VIDEO, audio="loud"))


@pytest.mark.parametrize("provider", ["dashscope", "imini"])
@pytest.mark.parametrize(
    "image",
    [
        "data:video/mp4;base64,AAAA",
        "data:text/html;base64,AAAA",
        "data:image/gif;base64,AAAA",
        "data:image/bmp;base64,AAAA",
        "data:image/svg+xml;base64,AAAA",
        HUGE,
        "file:///x.png",
    ],
    ids=lambda image: str(image)[:24],
)
def test_an_image_that_nobody_takes_is_invalid(provider: str, image: str) -> None:
    """A data: URI of a type that no page documents, or larger than any documents, is refused before it is sent."""
    for request in (hh.ImageToVideo(image), hh.ReferenceToVideo("a", [IMAGE, image])):
        with pytest.raises(hh.InvalidRequestError) as caught:
            plan(provider, request)
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "image/jpg", "image/webp", "IMAGE/PNG"])
def test_the_documented_types_are_taken(kind: str) -> None:
    """JPEG, PNG and WEBP are documented for data: URIs."""
    head = {"png": "iVBORw0KGgoA", "webp": "UklGRgAAAABXRUJQ"}.get(kind[6:].lower(), "/9j/4AAA")
    assert plan("dashscope", hh.ImageToVideo(f"data:{kind};base64,{head}")).messages
    assert plan("imini", hh.ImageToVideo(f"data:{kind};base64,{head}")).messages


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("hiapi", "happyhorse-1.1-i2v"),
        ("hiapi", "happyhorse-1.1/image-to-video"),
        ("dashscope", "happyhorse-1.1-r2v-20260618"),
        ("dashscope", "happyhorse-2.0-video-edit"),
        ("nexusflow", "HappyHorse-1.2-I2V"),
        ("imini", "alibaba/happyhorse-1.0/reference-to-video"),
    ],
)
def test_a_model_of_another_mode_is_noticed(provider: str, model: str) -> None:
    """An unknown model id that names another mode is refused, before money is spent on it."""
    with pytest.raises(hh.InvalidRequestError, match="not text-to-video"):
        plan(provider, hh.TextToVideo("a", model=model))


@pytest.mark.parametrize("model", ["happyhorse-1.5-t2v", "happyhorse-2.0", "happyhorse-1.1-t2v-20260618", "a-t2v2"])
def test_an_unknown_model_is_passed_through(model: str) -> None:
    """Providers add models; an id that names this mode or none is sent as it is."""
    assert model == plan("dashscope", hh.TextToVideo("a", model=model)).model


@pytest.mark.parametrize("provider", ["dashscope", "fal", "hiapi", "imini", "nexusflow"])
@pytest.mark.parametrize("prompt", ["", "  ", "\n\t"])
def test_a_blank_optional_prompt_is_not_sent(provider: str, prompt: str) -> None:
    """Where a prompt is optional, a blank one counts as none."""
    (message,) = plan(provider, hh.ImageToVideo(IMAGE, prompt=prompt)).messages

    assert b"prompt" not in (message.body or b"")


def test_nexusflow_1_1_is_there_when_asked_for() -> None:
    """Version 1.1 is not on nexusflow's pages: it is chosen by version or model alone, with a warning."""
    by_version = plan("nexusflow", hh.TextToVideo("a", version="1.1", resolution="480P", ratio="21:9", watermark=False))
    by_model = plan("nexusflow", hh.ImageToVideo(IMAGE, model="happyhorse-1.1-i2v", resolution="480P"))

    assert ("happyhorse-1.1-t2v", "happyhorse-1.1-i2v") == (by_version.model, by_model.model)
    assert any("do not list happyhorse-1.1-t2v" in warning for warning in by_version.warnings)
    assert any("do not list happyhorse-1.1-i2v" in warning for warning in by_model.warnings)
    assert "happyhorse-1.0-t2v" == plan("nexusflow", hh.TextToVideo("a")).model
    with pytest.raises(hh.UnsupportedFeatureError):
        plan("nexusflow", hh.VideoEdit("a", VIDEO, version="1.1"))
