"""What is sent to fal: https://fal.ai/models/alibaba/happy-horse/v1.1/text-to-video/llms.txt and its like."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest

import happyhorse_async as hh
from happyhorse_adapters.fal import FalAdapter

URL = "https://media.example.org/a.png"
VIDEO = "https://media.example.org/in.mp4"
APP = "/alibaba/happy-horse"


def message(request: hh.VideoRequest, callback_url: str | None = None, **options: Any) -> hh.HttpRequest:
    client = hh.Client("fal", api_key="sk-any", options=options)
    return client.plan(request, callback_url=callback_url).messages[0]


def sent(request: hh.VideoRequest) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(message(request).body or b"")
    return body


MODES: dict[str, tuple[hh.VideoRequest, str, dict[str, Any]]] = {
    "t2v": (
        hh.TextToVideo("a kite", resolution="720P", ratio="21:9", duration=4, seed=7),
        "/v1.1/text-to-video",
        {"prompt": "a kite", "resolution": "720p", "aspect_ratio": "21:9", "duration": 4, "seed": 7},
    ),
    "t2v bare": (hh.TextToVideo("a kite"), "/v1.1/text-to-video", {"prompt": "a kite"}),
    "t2v 1.0": (hh.TextToVideo("a kite", version="1.0"), "/text-to-video", {"prompt": "a kite"}),
    "i2v": (
        hh.ImageToVideo(URL, prompt="she looks up", resolution="1080P", duration=5),
        "/v1.1/image-to-video",
        {"image_url": URL, "prompt": "she looks up", "resolution": "1080p", "duration": 5},
    ),
    "i2v bare": (hh.ImageToVideo(URL, version="1.0"), "/image-to-video", {"image_url": URL}),
    "r2v": (
        hh.ReferenceToVideo("character1 greets character2", [URL, URL], ratio="1:1"),
        "/v1.1/reference-to-video",
        {"prompt": "character1 greets character2", "image_urls": [URL, URL], "aspect_ratio": "1:1"},
    ),
    "edit": (
        hh.VideoEdit("give him the coat of @Image1", VIDEO, images=[URL], audio="origin", resolution="720P"),
        "/video-edit",
        {
            "video_url": VIDEO,
            "prompt": "give him the coat of @Image1",
            "reference_image_urls": [URL],
            "audio_setting": "origin",
            "resolution": "720p",
        },
    ),
    "edit bare": (hh.VideoEdit("snow", VIDEO), "/video-edit", {"video_url": VIDEO, "prompt": "snow"}),
}


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_the_message_of_every_mode(mode: tuple[hh.VideoRequest, str, dict[str, Any]]) -> None:
    """The path is the model, the body its input, and what is not set is not sent."""
    request, path, body = mode
    found = message(request)

    assert ("POST", f"https://queue.fal.run{APP}{path}") == (found.method, found.url)
    assert body == json.loads(found.body or b"")
    assert "Key sk-any" == found.headers["Authorization"]
    assert not [name for name in found.headers if name.lower().startswith("x-fal")]


def test_extra_wins() -> None:
    """It is merged into the input last."""
    body = sent(hh.TextToVideo("a", resolution="720P", extra={"enable_safety_checker": False, "resolution": "480p"}))

    assert {"prompt": "a", "resolution": "480p", "enable_safety_checker": False} == body


def test_the_callback_url_is_in_the_query() -> None:
    """Percent-encoded, with the id of the job."""
    found = message(hh.TextToVideo("a"), "https://hooks.example.org/hh?a=1&b=2")

    assert urlsplit(found.url).query.startswith("fal_webhook=https%3A%2F%2Fhooks.example.org%2Fhh%3Fa%3D1%26b%3D2%26")
    assert urlsplit(found.url).query.count("&") == 0


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({"start_timeout": 30}, ("X-Fal-Request-Start-Timeout", "30")),
        ({"start_timeout": 0.5}, ("X-Fal-Request-Start-Timeout", "0.5")),
        ({"priority": "low"}, ("X-Fal-Queue-Priority", "low")),
        ({"no_retry": True}, ("X-Fal-No-Retry", "1")),
    ],
)
def test_an_option_is_a_header(options: dict[str, Any], header: tuple[str, str]) -> None:
    """The newer name of the start timeout is sent, not the deprecated one."""
    found = message(hh.TextToVideo("a"), **options).headers

    assert header in found.items()
    assert "X-Fal-Request-Timeout" not in found


@pytest.mark.parametrize(
    "options",
    [
        {"start_timeout": 0.1},
        {"start_timeout": "30"},
        {"start_timeout": True},
        {"priority": "high"},
        {"no_retry": "yes"},
        {"upload": "no"},
        {"jwks_url": 7},
        {"storage": "gcs"},
    ],
    ids=str,
)
def test_an_option_that_fal_does_not_document(options: dict[str, Any]) -> None:
    """It is a ConfigurationError that names the option."""
    with pytest.raises(hh.ConfigurationError, match=next(iter(options))):
        hh.Client("fal", api_key="sk-any", options=options)


@pytest.mark.parametrize(
    "request_",
    [
        hh.TextToVideo("a", resolution="480P"),
        hh.TextToVideo("a", watermark=False),
        hh.TextToVideo("a", version="1.0", ratio="21:9"),
        hh.VideoEdit("a", VIDEO, version="1.1"),
        hh.VideoEdit("a", "data:video/mp4;base64,AAAA"),
    ],
    ids=str,
)
def test_what_fal_does_not_have(request_: hh.VideoRequest) -> None:
    """It is refused before anything is sent."""
    with pytest.raises((hh.UnsupportedFeatureError, hh.InvalidRequestError)):
        message(request_)


@pytest.mark.parametrize(
    ("request_", "warning"),
    [
        (hh.TextToVideo("a"), "1080p"),
        (hh.TextToVideo("a" * 2501, resolution="720P"), "2501 characters"),
        (hh.ReferenceToVideo("[Image 1] sings", [URL], resolution="720P"), "character1"),
        (hh.VideoEdit("as in [Image 1]", VIDEO, images=[URL], resolution="720P"), "@Image1"),
    ],
    ids=str,
)
def test_what_may_surprise(request_: hh.VideoRequest, warning: str) -> None:
    """A plan warns of it, and sends what was asked for."""
    plan = hh.Client("fal", api_key="sk-any").plan(request_)

    assert [warning in each for each in plan.warnings].count(True) == 1


def test_the_address_of_a_task_has_owner_and_app_alone() -> None:
    """The same for each model and version."""
    adapter = FalAdapter()
    account = adapter.account(provider="fal", api_key="sk-any")

    root = f"https://queue.fal.run{APP}/requests/a%2Fb"
    assert ("GET", f"{root}/status") == (
        adapter.encode_fetch("a/b", account).method,
        adapter.encode_fetch("a/b", account).url,
    )
    assert ("PUT", f"{root}/cancel") == (
        adapter.encode_cancel("a/b", account).method,
        adapter.encode_cancel("a/b", account).url,
    )
