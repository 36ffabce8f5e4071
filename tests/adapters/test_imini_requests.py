"""What the imini adapter sends, and what it refuses to send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from happyhorse_adapters.imini import IminiAdapter
from happyhorse_async.adapter import PageRequest, Submission
from happyhorse_async.errors import InvalidRequestError, UnsupportedFeatureError
from happyhorse_async.messages import HttpRequest
from happyhorse_async.request import ImageToVideo, Mode, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest

ADAPTER = IminiAdapter()
ACCOUNT = ADAPTER.account(provider="main", api_key="canary-key")

MODEL = "dashscope/happyhorse-1.0"
FRAME = "https://media.example.org/frame.png"
INLINE = "data:image/png;base64,AAAA"
CLIP = "https://media.example.org/in.mp4"
PICTURES = tuple(f"https://media.example.org/{number}.png" for number in range(10))


def submission(request: VideoRequest) -> Submission:
    return Submission(request=request, spec=ADAPTER.check(request, provider="main"), job_id="job-1")


def encode(request: VideoRequest) -> HttpRequest:
    return ADAPTER.encode_submit(submission(request), ACCOUNT)


def fields(request: VideoRequest) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(encode(request).body or b"")
    return body


def test_submit_is_one_post_below_the_router() -> None:
    """A submit is a POST with bearer key and JSON; the path of the base URL is kept."""
    message = encode(TextToVideo("a kite"))

    assert "POST" == message.method
    assert "https://openapi.imini.ai/imini/router/v1/videos/generate" == message.url
    assert {
        "Authorization": "Bearer canary-key",
        "Accept": "application/json",
        "Content-Type": "application/json",
    } == dict(message.headers)


def test_submit_body_is_compact_utf8_in_a_fixed_order() -> None:
    """The bytes of a body are compact JSON with the prompt's characters as they are."""
    expected = '{"model":"dashscope/happyhorse-1.0","prompt":"纸风筝 🪁","aspect_ratio":"9:16","duration":4}'

    assert expected.encode() == encode(TextToVideo("纸风筝 🪁", ratio="9:16", duration=4)).body


def test_what_is_not_asked_for_is_not_sent() -> None:
    """Text to video without options is a model and a prompt."""
    assert {"model": MODEL, "prompt": "a kite"} == fields(TextToVideo("a kite"))


def test_text_to_video_sends_every_option() -> None:
    """Text to video takes resolution, aspect ratio and duration."""
    request = TextToVideo("a kite", resolution="720p", ratio="3:4", duration=15)

    assert {
        "model": MODEL,
        "prompt": "a kite",
        "resolution": "720P",
        "aspect_ratio": "3:4",
        "duration": 15,
    } == fields(request)


@pytest.mark.parametrize(("prompt", "sent"), [("she turns", {"prompt": "she turns"}), ("", {}), (None, {})])
@pytest.mark.parametrize("image", [FRAME, INLINE])
def test_image_to_video_sends_one_first_frame(image: str, prompt: str | None, sent: dict[str, str]) -> None:
    """Image to video is told by one image of type `first_frame`, a URL or inline; the prompt is optional."""
    base = {
        "model": MODEL,
        "resolution": "1080P",
        "duration": 3,
        "reference_images": [{"url": image, "reference_type": "first_frame"}],
    }

    assert base | sent == fields(ImageToVideo(image, prompt=prompt, resolution="1080P", duration=3))


@pytest.mark.parametrize("images", [PICTURES[:1], PICTURES[:9], (PICTURES[0], INLINE)])
def test_reference_to_video_sends_assets(images: tuple[str, ...]) -> None:
    """Reference to video is told by images of type `asset`, in their order."""
    request = ReferenceToVideo("character1 greets", images, ratio="1:1", duration=5, resolution="720P")

    assert {
        "model": MODEL,
        "prompt": "character1 greets",
        "resolution": "720P",
        "aspect_ratio": "1:1",
        "duration": 5,
        "reference_images": [{"url": image, "reference_type": "asset"} for image in images],
    } == fields(request)


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("audio", ["auto", "origin"])
def test_video_edit_sends_one_video_and_assets(count: int, audio: str) -> None:
    """Video edit is told by one reference video; its sound is an extension parameter."""
    request = VideoEdit("make it snow", CLIP, images=PICTURES[:count], resolution="720P", audio=audio)

    assert {
        "model": MODEL,
        "prompt": "make it snow",
        "resolution": "720P",
        "reference_images": [{"url": image, "reference_type": "asset"} for image in PICTURES[:count]],
        "reference_videos": [{"url": CLIP}],
        "extra_params": {"audio_setting": audio},
    } == fields(request)


def test_video_edit_omits_empty_lists() -> None:
    """Video edit without images and sound sends neither."""
    assert {"model": MODEL, "prompt": "make it snow", "reference_videos": [{"url": CLIP}]} == fields(
        VideoEdit("make it snow", CLIP)
    )


def test_extra_is_merged_last_into_the_extension_parameters() -> None:
    """Extra fields join `extra_params`, in every mode, and win over what stands there."""
    text = TextToVideo("a kite", extra={"style": "paper"})
    edit = VideoEdit("snow", CLIP, audio="auto", extra={"audio_setting": "origin", "style": "paper"})

    assert {"model": MODEL, "prompt": "a kite", "extra_params": {"style": "paper"}} == fields(text)
    assert {"audio_setting": "origin", "style": "paper"} == fields(edit)["extra_params"]


@pytest.mark.parametrize(
    ("request_", "mode"),
    [
        (TextToVideo("a", model=MODEL), Mode.T2V),
        (ImageToVideo(FRAME, model=MODEL), Mode.I2V),
        (ReferenceToVideo("a", PICTURES[:1], model=MODEL), Mode.R2V),
        (VideoEdit("a", CLIP, model=MODEL), Mode.EDIT),
    ],
)
def test_one_model_serves_every_mode(request_: VideoRequest, mode: Mode) -> None:
    """The model's name finds what is offered for the request's own mode."""
    spec = ADAPTER.check(request_, provider="main")

    assert (MODEL, mode, "1.0") == (spec.model, spec.mode, spec.version)


@pytest.mark.parametrize(
    ("request_", "feature"),
    [
        (TextToVideo("a", seed=1), "seed"),
        (TextToVideo("a", watermark=False), "watermark"),
        (ImageToVideo(FRAME, watermark=True), "watermark"),
        (TextToVideo("a", version="1.1"), "text-to-video with version 1.1"),
        (VideoEdit("a", "data:video/mp4;base64,AAAA"), "data: URI as video"),
        (ImageToVideo("oss://bucket/a.png"), "oss:// URL as image"),
        (VideoEdit("a", Path("a.mp4")), "local media as video"),
    ],
)
def test_what_cannot_be_expressed_is_unsupported(request_: VideoRequest, feature: str) -> None:
    """An option that imini does not document is refused before anything is sent."""
    with pytest.raises(UnsupportedFeatureError) as caught:
        ADAPTER.check(request_, provider="main")

    assert feature == caught.value.feature
    assert "main" == caught.value.provider


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (TextToVideo(""), "prompt"),
        (ReferenceToVideo(" ", PICTURES[:1]), "prompt"),
        (VideoEdit("", CLIP), "prompt"),
        (TextToVideo("a" * 5001), "prompt"),
        (ImageToVideo(FRAME, prompt="a" * 5001), "prompt"),
        (TextToVideo("a", resolution="480P"), "resolution"),
        (TextToVideo("a", ratio="21:9"), "ratio"),
        (TextToVideo("a", duration=2), "duration"),
        (ImageToVideo(FRAME, duration=16), "duration"),
        (VideoEdit("a", CLIP, audio="mute"), "audio"),
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


def test_longest_documented_prompt_is_sent() -> None:
    """A prompt of 5000 characters passes, of whatever script."""
    assert "风" * 5000 == fields(TextToVideo("风" * 5000))["prompt"]


def test_list_cancel_and_callbacks_are_unsupported() -> None:
    """imini has neither a task list, nor a cancellation, nor callbacks."""
    found = ADAPTER.capabilities

    with pytest.raises(UnsupportedFeatureError, match="task list"):
        ADAPTER.encode_list(PageRequest(), ACCOUNT)
    with pytest.raises(UnsupportedFeatureError, match="cancellation"):
        ADAPTER.encode_cancel("task_1", ACCOUNT)
    with pytest.raises(UnsupportedFeatureError, match="callbacks"):
        ADAPTER.check(TextToVideo("a"), provider="main", callback_url="https://app.example/hook")
    assert (False, False, False, False) == (found.can_list, found.can_cancel, found.callbacks, found.idempotent)


def test_advice_is_the_vendors() -> None:
    """Polling begins at 5 s and slows down to 30 s, and the key's variable is the vendor's."""
    assert (5, 30) == (ADAPTER.poll.interval, ADAPTER.poll.max_interval)
    assert "IMINI_API_KEY" == ADAPTER.api_key_env
    assert 24 * 3600 == ADAPTER.task_ttl


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (TextToVideo("a", resolution="720P"), ["watermark"]),
        (TextToVideo("a"), ["watermark", "1080P"]),
        (ReferenceToVideo("[Image 1] waves", PICTURES[:1], resolution="720P"), ["watermark", "character1"]),
        (ReferenceToVideo("character1 waves", PICTURES[:1], resolution="720P"), ["watermark"]),
        (TextToVideo("[Image 1]", resolution="720P"), ["watermark"]),
    ],
)
def test_warnings_name_what_may_surprise(request_: VideoRequest, words: list[str]) -> None:
    """The unknown watermark, the dearer default and another provider's prompt tokens are told, and nothing else."""
    found = ADAPTER.warnings(submission(request_), ACCOUNT)

    assert len(words) == len(found)
    assert all(word in sentence for word, sentence in zip(words, found, strict=True))


def test_fetch_quotes_the_task_id() -> None:
    """A query is a GET without a body, and an id cannot leave its place in the path."""
    message = ADAPTER.encode_fetch("task_1/../2?x=ü", ACCOUNT)

    assert "GET" == message.method
    assert "https://openapi.imini.ai/imini/router/v1/videos/tasks/task_1%2F..%2F2%3Fx%3D%C3%BC" == message.url
    assert {"Authorization": "Bearer canary-key", "Accept": "application/json"} == dict(message.headers)
    assert message.body is None
