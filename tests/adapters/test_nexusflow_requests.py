"""What the nexusflow adapter sends, and what it refuses to send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from happyhorse_adapters.nexusflow import NexusFlowAdapter
from happyhorse_async.adapter import PageRequest, Submission
from happyhorse_async.errors import ConfigurationError, InvalidRequestError, UnsupportedFeatureError
from happyhorse_async.messages import HttpRequest
from happyhorse_async.request import ImageToVideo, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest

ADAPTER = NexusFlowAdapter()
ACCOUNT = ADAPTER.account(provider="main", api_key="sk-air-canary")

FRAME = "https://media.example.org/frame.png?signature=1"
CLIP = "https://media.example.org/in.mp4"
PICTURES = tuple(f"https://media.example.org/{number}.png" for number in range(10))


def submission(request: VideoRequest) -> Submission:
    return Submission(request=request, spec=ADAPTER.check(request, provider="main"), job_id="job-1")


def encode(request: VideoRequest) -> HttpRequest:
    return ADAPTER.encode_submit(submission(request), ACCOUNT)


def fields(request: VideoRequest) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(encode(request).body or b"")
    return body


def test_submit_is_one_plain_post_to_the_tasks() -> None:
    """A submit is a POST with bearer key and JSON, neither compressed nor with a header nobody documents."""
    message = encode(TextToVideo("a kite"))

    assert "POST" == message.method
    assert "https://nexusflow.vip/v1/tasks" == message.url
    assert {
        "Authorization": "Bearer sk-air-canary",
        "Accept": "application/json",
        "Content-Type": "application/json",
    } == dict(message.headers)


def test_submit_body_is_compact_utf8_in_a_fixed_order() -> None:
    """The bytes of a body are compact JSON with the prompt's characters as they are."""
    message = encode(TextToVideo("纸风筝 🪁", duration=4))

    assert (
        '{"model":"happyhorse-1.0-t2v","prompt":"纸风筝 🪁","resolution":"720P","duration":4}'.encode() == message.body
    )


def test_resolution_is_always_sent() -> None:
    """A resolution that is not given is sent as the documented default, lest the relay bill upstream's 1080P."""
    assert {"model": "happyhorse-1.0-t2v", "prompt": "a kite", "resolution": "720P"} == fields(TextToVideo("a kite"))


def test_text_to_video_sends_every_option() -> None:
    """Text to video takes all the common fields, flat."""
    request = TextToVideo("a kite", resolution="1080p", ratio="9:16", duration=15, watermark=False, seed=0)

    assert {
        "model": "happyhorse-1.0-t2v",
        "prompt": "a kite",
        "resolution": "1080P",
        "ratio": "9:16",
        "duration": 15,
        "watermark": False,
        "seed": 0,
    } == fields(request)


def test_image_to_video_sends_one_image_url() -> None:
    """Image to video names its frame `img_url`, and sends no prompt where there is none."""
    request = ImageToVideo(FRAME, resolution="720P", duration=3, watermark=True, seed=2_147_483_647)

    assert {
        "model": "happyhorse-1.0-i2v",
        "img_url": FRAME,
        "resolution": "720P",
        "duration": 3,
        "watermark": True,
        "seed": 2_147_483_647,
    } == fields(request)


@pytest.mark.parametrize(("prompt", "sent"), [("she turns", {"prompt": "she turns"}), ("", {}), (None, {})])
def test_image_to_video_sends_the_prompt_if_there_is_one(prompt: str | None, sent: dict[str, str]) -> None:
    """The prompt of an image-to-video request is optional, and an empty one is none."""
    base = {"model": "happyhorse-1.0-i2v", "resolution": "720P", "img_url": FRAME}

    assert base | sent == fields(ImageToVideo(FRAME, prompt=prompt))


@pytest.mark.parametrize("count", [1, 9])
def test_reference_to_video_sends_a_list_of_image_urls(count: int) -> None:
    """Reference to video names its images `img_urls`, in their order, and leaves the prompt's tokens alone."""
    request = ReferenceToVideo("character1 waves", PICTURES[:count], resolution="1080P", ratio="1:1", duration=5)

    assert {
        "model": "happyhorse-1.0-r2v",
        "prompt": "character1 waves",
        "img_urls": list(PICTURES[:count]),
        "resolution": "1080P",
        "ratio": "1:1",
        "duration": 5,
    } == fields(request)


@pytest.mark.parametrize("count", [1, 5])
def test_video_edit_sends_the_video_and_its_images(count: int) -> None:
    """Video edit sends `video_url` and `img_urls`, and neither duration nor ratio."""
    request = VideoEdit("make it snow", CLIP, images=PICTURES[:count], watermark=False, seed=7)

    assert {
        "model": "happyhorse-1.0-video-edit",
        "prompt": "make it snow",
        "video_url": CLIP,
        "img_urls": list(PICTURES[:count]),
        "resolution": "720P",
        "watermark": False,
        "seed": 7,
    } == fields(request)


def test_video_edit_omits_an_empty_list_of_images() -> None:
    """Video edit without images sends no `img_urls`."""
    expected = {
        "model": "happyhorse-1.0-video-edit",
        "prompt": "make it snow",
        "resolution": "720P",
        "video_url": CLIP,
    }

    assert expected == fields(VideoEdit("make it snow", CLIP))


def test_extra_is_merged_last_into_the_flat_body() -> None:
    """Extra fields join the body beside the others, and win over them."""
    request = TextToVideo("a kite", duration=5, extra={"duration": 6, "negative_prompt": "rain"})

    assert {
        "model": "happyhorse-1.0-t2v",
        "prompt": "a kite",
        "resolution": "720P",
        "duration": 6,
        "negative_prompt": "rain",
    } == fields(request)


def test_a_model_of_ones_own_is_sent_as_it_is() -> None:
    """A model id this library has not heard of is believed and sent."""
    assert "happyhorse-1.0-t2v-0427" == fields(TextToVideo("a kite", model="happyhorse-1.0-t2v-0427"))["model"]


@pytest.mark.parametrize("base_url", ["https://nexusflow.hk", "https://nexusflow.hk/"])
def test_base_url_is_the_callers(base_url: str) -> None:
    """Another deployment is reached by its base URL, with or without a slash at the end."""
    account = ADAPTER.account(provider="main", api_key="k", base_url=base_url)

    assert "https://nexusflow.hk/v1/tasks" == ADAPTER.encode_submit(submission(TextToVideo("a")), account).url


def test_there_are_no_regions() -> None:
    """A region is refused, since nexusflow has none."""
    with pytest.raises(ConfigurationError, match="no region"):
        ADAPTER.account(provider="main", api_key="k", region="beijing")


def test_fetch_quotes_the_task_id() -> None:
    """A query is a GET without a body, and an id cannot leave its place in the path."""
    message = ADAPTER.encode_fetch("task_1/../2?x=ü", ACCOUNT)

    assert "GET" == message.method
    assert "https://nexusflow.vip/v1/tasks/task_1%2F..%2F2%3Fx%3D%C3%BC" == message.url
    assert {"Authorization": "Bearer sk-air-canary", "Accept": "application/json"} == dict(message.headers)
    assert message.body is None


@pytest.mark.parametrize(("size", "limit"), [(20, 20), (100, 100), (500, 100)])
def test_list_asks_for_at_most_a_hundred(size: int, limit: int) -> None:
    """A list is asked for with `limit`, up to the documented maximum."""
    message = ADAPTER.encode_list(PageRequest(size=size), ACCOUNT)

    assert "GET" == message.method
    assert f"https://nexusflow.vip/v1/tasks?limit={limit}" == message.url
    assert {"Authorization": "Bearer sk-air-canary", "Accept": "application/json"} == dict(message.headers)


def test_list_has_no_second_page() -> None:
    """A further page is refused instead of answered with the first one again."""
    with pytest.raises(UnsupportedFeatureError, match="second page"):
        ADAPTER.encode_list(PageRequest(number=2), ACCOUNT)


def test_cancel_is_unsupported() -> None:
    """A task cannot be cancelled."""
    with pytest.raises(UnsupportedFeatureError, match="cancellation"):
        ADAPTER.encode_cancel("task_1", ACCOUNT)


@pytest.mark.parametrize(
    ("request_", "feature"),
    [
        (VideoEdit("snow", CLIP, audio="origin"), "audio"),
        (VideoEdit("a", CLIP, version="1.1"), "video-edit with version 1.1"),
        (ImageToVideo("data:image/png;base64,AAAA"), "data: URI as image"),
        (ImageToVideo("oss://bucket/a.png"), "oss:// URL as image"),
        (ImageToVideo(Path("a.png")), "local media as image"),
        (ReferenceToVideo("a", ["data:image/png;base64,AAAA"]), "data: URI as images"),
        (VideoEdit("a", "data:video/mp4;base64,AAAA"), "data: URI as video"),
    ],
)
def test_what_cannot_be_expressed_is_unsupported(request_: VideoRequest, feature: str) -> None:
    """An option that nexusflow does not document is refused before anything is sent."""
    with pytest.raises(UnsupportedFeatureError) as caught:
        ADAPTER.check(request_, provider="main")

    assert feature == caught.value.feature
    assert "main" == caught.value.provider


def test_callbacks_are_unsupported() -> None:
    """A callback URL is refused: the documentation says that `webhook_url` triggers nothing."""
    with pytest.raises(UnsupportedFeatureError) as caught:
        ADAPTER.check(TextToVideo("a"), provider="main", callback_url="https://app.example/hook")

    assert "callbacks" == caught.value.feature


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (TextToVideo(" "), "prompt"),
        (ReferenceToVideo("", PICTURES[:1]), "prompt"),
        (VideoEdit("", CLIP), "prompt"),
        (TextToVideo("a", resolution="480P"), "resolution"),
        (TextToVideo("a", ratio="21:9"), "ratio"),
        (TextToVideo("a", duration=2), "duration"),
        (ImageToVideo(FRAME, duration=16), "duration"),
        (TextToVideo("a", seed=-1), "seed"),
        (TextToVideo("a", seed=2_147_483_648), "seed"),
        (ReferenceToVideo("a", ()), "images"),
        (ReferenceToVideo("a", PICTURES), "images"),
        (VideoEdit("a", CLIP, images=PICTURES[:6]), "images"),
        (ImageToVideo("frame.png"), "image"),
    ],
)
def test_values_outside_the_documentation_are_invalid(request_: VideoRequest, name: str) -> None:
    """A value outside the documented range is refused before anything is sent, and named."""
    with pytest.raises(InvalidRequestError, match=f"^{name} "):
        ADAPTER.check(request_, provider="main")


@pytest.mark.parametrize("ratio", ["16:9", "9:16", "1:1", "4:3", "3:4"])
def test_every_documented_ratio_is_sent(ratio: str) -> None:
    """All five aspect ratios pass."""
    assert ratio == fields(TextToVideo("a", ratio=ratio))["ratio"]


def test_capabilities_name_what_the_provider_has() -> None:
    """nexusflow lists tasks, and neither cancels, nor calls back, nor recognises a repeated submit."""
    found = ADAPTER.capabilities

    assert (True, False, False, False) == (found.can_list, found.can_cancel, found.callbacks, found.idempotent)
    assert "NEXUSFLOW_API_KEY" == ADAPTER.api_key_env
    assert 10 == ADAPTER.poll.interval
    assert 24 * 3600 == ADAPTER.task_ttl


SILENT: dict[str, Any] = {"resolution": "720P", "watermark": False}


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (TextToVideo("a", **SILENT), []),
        (TextToVideo("a", watermark=False), ["sent as 720P"]),
        (TextToVideo("a", resolution="720P"), ["draws one by default"]),
        (TextToVideo("风" * 2500, **SILENT), []),
        (TextToVideo("风" * 2501, **SILENT), ["2500 Chinese"]),
        (TextToVideo("a" * 5000, **SILENT), []),
        (TextToVideo("a" * 5001, **SILENT), ["2500 Chinese"]),
        (ImageToVideo(FRAME, **SILENT), []),
    ],
)
def test_warnings_name_what_may_surprise(request_: VideoRequest, words: list[str]) -> None:
    """A costly default, the watermark and a prompt that will be cut are each told, and nothing else."""
    found = ADAPTER.warnings(submission(request_), ACCOUNT)

    assert len(words) == len(found)
    assert all(word in sentence for word, sentence in zip(words, found, strict=True))
