"""What the KIE adapter sends. https://docs.kie.ai/market/happyhorse-1-1/image-to-video"""

from __future__ import annotations

import json
from typing import Any

import pytest

import happyhorse_async as hh
from happyhorse_adapters.kie import KieAdapter

ADAPTER = KieAdapter()
ACCOUNT = ADAPTER.account(provider="market", api_key="sk-canary")
IMAGE = "https://media.example.org/a.png"
VIDEO = "https://media.example.org/in.mp4"


def encode(request: hh.VideoRequest, *, callback_url: str | None = None) -> hh.HttpRequest:
    spec = ADAPTER.check(request, provider="market", callback_url=callback_url)
    submission = hh.Submission(request=request, spec=spec, job_id="job-1", callback_url=callback_url)
    return ADAPTER.encode_submit(submission, ACCOUNT)


def warnings(request: hh.VideoRequest) -> str:
    spec = ADAPTER.check(request, provider="market")
    return " ".join(ADAPTER.warnings(hh.Submission(request=request, spec=spec, job_id="job-1"), ACCOUNT))


@pytest.mark.parametrize(
    ("request_", "model", "given"),
    [
        (
            hh.TextToVideo("a kite", resolution="720P", ratio="21:9", duration=4),
            "happyhorse-1-1/text-to-video",
            {"prompt": "a kite", "resolution": "720p", "aspect_ratio": "21:9", "duration": 4},
        ),
        (hh.TextToVideo("a kite"), "happyhorse-1-1/text-to-video", {"prompt": "a kite"}),
        (
            hh.TextToVideo("a kite", version="1.0", seed=0, ratio="3:4"),
            "happyhorse/text-to-video",
            {"prompt": "a kite", "aspect_ratio": "3:4", "seed": 0},
        ),
        (
            hh.ImageToVideo(IMAGE, prompt="she looks up", resolution="1080P", duration=15),
            "happyhorse-1-1/image-to-video",
            {"prompt": "she looks up", "image_urls": [IMAGE], "resolution": "1080p", "duration": 15},
        ),
        (hh.ImageToVideo(IMAGE), "happyhorse-1-1/image-to-video", {"image_urls": [IMAGE]}),
        (
            hh.ImageToVideo(IMAGE, version="1.0", seed=2147483647),
            "happyhorse/image-to-video",
            {"image_urls": [IMAGE], "seed": 2147483647},
        ),
        (
            hh.ReferenceToVideo("[Image 1] meets [Image 2]", (IMAGE, f"{IMAGE}?2"), ratio="1:1"),
            "happyhorse-1-1/reference-to-video",
            {
                "prompt": "[Image 1] meets [Image 2]",
                "reference_image": [IMAGE, f"{IMAGE}?2"],
                "aspect_ratio": "1:1",
            },
        ),
        (
            hh.ReferenceToVideo("character1 waves", IMAGE, version="1.0", seed=7),
            "happyhorse/reference-to-video",
            {"prompt": "character1 waves", "reference_image": [IMAGE], "seed": 7},
        ),
        (
            hh.VideoEdit("make it snow", VIDEO, images=(IMAGE,), resolution="720P", audio="origin", seed=7),
            "happyhorse/video-edit",
            {
                "prompt": "make it snow",
                "video_url": VIDEO,
                "reference_image": [IMAGE],
                "resolution": "720p",
                "audio_setting": "origin",
                "seed": 7,
            },
        ),
        (hh.VideoEdit("snow", VIDEO), "happyhorse/video-edit", {"prompt": "snow", "video_url": VIDEO}),
        (
            hh.TextToVideo("a kite", extra={"novelty": 1}),
            "happyhorse-1-1/text-to-video",
            {"prompt": "a kite", "novelty": 1},
        ),
    ],
)
def test_the_body_of_a_submit(request_: hh.VideoRequest, model: str, given: dict[str, Any]) -> None:
    """The model, and in `input` what was asked for and nothing else."""
    message = encode(request_)

    assert (message.method, message.url) == ("POST", "https://api.kie.ai/api/v1/jobs/createTask")
    assert message.headers["Authorization"] == "Bearer sk-canary"
    assert message.headers["Content-Type"] == "application/json"
    assert json.loads(message.body or b"") == {"model": model, "input": given}


def test_a_callback_url_is_sent_beside_the_input() -> None:
    """The field is written with a capital B."""
    message = encode(hh.TextToVideo("a kite"), callback_url="https://app.example/hooks?a=1")
    sent = json.loads(message.body or b"")

    assert sent.keys() == {"model", "callBackUrl", "input"}
    assert sent["callBackUrl"] == "https://app.example/hooks?a=1"


@pytest.mark.parametrize(
    ("request_", "feature"),
    [
        (hh.TextToVideo("a kite", seed=7), "seed"),
        (hh.ImageToVideo(IMAGE, seed=7), "seed"),
        (hh.ReferenceToVideo("a kite", IMAGE, seed=7), "seed"),
        (hh.TextToVideo("a kite", watermark=False), "watermark"),
        (hh.VideoEdit("snow", VIDEO, version="1.1"), "video-edit"),
        (hh.ImageToVideo("data:image/png;base64,AAAA"), "data: URI"),
    ],
)
def test_what_kie_cannot_express_is_unsupported(request_: hh.VideoRequest, feature: str) -> None:
    """1.1 has no seed, nothing has a watermark switch, 1.1 edits nothing, and no page documents data: URIs."""
    with pytest.raises(hh.UnsupportedFeatureError, match=feature):
        ADAPTER.check(request_, provider="market")


@pytest.mark.parametrize(
    "request_",
    [
        hh.TextToVideo("a kite", resolution="480P"),
        hh.TextToVideo("a kite", version="1.0", ratio="21:9"),
        hh.TextToVideo("a kite", duration=2),
        hh.TextToVideo("a kite", duration=16),
        hh.TextToVideo("x" * 5001),
        hh.VideoEdit("snow", VIDEO, images=(IMAGE,) * 6),
        hh.ReferenceToVideo("a kite", (IMAGE,) * 10),
    ],
)
def test_a_value_outside_the_documented_range_is_refused(request_: hh.VideoRequest) -> None:
    """Resolution, ratio, duration, prompt and number of images are checked before anything is sent."""
    with pytest.raises(hh.InvalidRequestError):
        ADAPTER.check(request_, provider="market")


def test_a_plan_warns_of_the_costlier_default_and_of_a_prompt_at_the_limit() -> None:
    """1080P is the default and costs more; pages disagree on whether the limit of a prompt is 4,999 or 5,000."""
    assert "1080P" in warnings(hh.TextToVideo("a kite"))
    assert warnings(hh.TextToVideo("a kite", resolution="720P")) == ""
    assert warnings(hh.TextToVideo("a kite", extra={"resolution": "720p"})) == ""
    assert "prompt" in warnings(hh.TextToVideo("x" * 5000, resolution="720P"))
    assert "prompt" in warnings(hh.TextToVideo("\N{CJK UNIFIED IDEOGRAPH-98CE}" * 2500, resolution="720P"))
    assert warnings(hh.TextToVideo("x" * 4999, resolution="720P")) == ""


def test_a_status_request_names_the_task_in_its_query() -> None:
    """Whatever the id contains, it stays one parameter."""
    message = ADAPTER.encode_fetch("task_a&b=c/d", ACCOUNT)

    assert (message.method, message.body) == ("GET", None)
    assert message.url == "https://api.kie.ai/api/v1/jobs/recordInfo?taskId=task_a%26b%3Dc%2Fd"


@pytest.mark.parametrize("options", [{"upload": "no"}, {"upload_url": "kieai.example"}, {"upload_url": 7}])
def test_an_option_that_cannot_be_meant_is_refused(options: dict[str, Any]) -> None:
    """`upload` is true or false, and `upload_url` a URL."""
    with pytest.raises(hh.ConfigurationError, match="upload"):
        ADAPTER.account(provider="market", api_key="sk-canary", options=options)


def test_there_is_neither_a_list_nor_a_cancellation() -> None:
    """No page documents them."""
    with pytest.raises(hh.UnsupportedFeatureError, match="list"):
        ADAPTER.encode_list(hh.PageRequest(), ACCOUNT)
    with pytest.raises(hh.UnsupportedFeatureError, match="cancel"):
        ADAPTER.encode_cancel("t-1", ACCOUNT)
