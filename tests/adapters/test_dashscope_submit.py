"""What DashScope is sent for a request, and which requests it is not sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from happyhorse_adapters.dashscope import DashScopeAdapter
from happyhorse_async.adapter import Account, Submission
from happyhorse_async.errors import InvalidRequestError, UnsupportedFeatureError
from happyhorse_async.messages import HttpRequest
from happyhorse_async.request import ImageToVideo, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest

ADAPTER = DashScopeAdapter()
ACCOUNT = ADAPTER.account(provider="main", api_key="sk-canary")

NINE_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4", "4:5", "5:4", "9:21", "21:9")
URL = "https://img.example.net/a.png"
VIDEO = "https://vid.example.net/a.mp4"
DATA = "data:image/png;base64,iVBORw0KGgo="
OSS = "oss://dashscope-instant/aaaa/2026-11-21/bbbb/vase.webp"


def submission(request: VideoRequest) -> Submission:
    return Submission(request=request, spec=ADAPTER.check(request, provider="main"), job_id="job-1")


def encode(request: VideoRequest, account: Account = ACCOUNT) -> HttpRequest:
    return ADAPTER.encode_submit(submission(request), account)


def sent(request: VideoRequest) -> Any:
    body = encode(request).body
    assert body is not None
    return json.loads(body)


def test_the_address_and_the_headers_of_a_submit() -> None:
    """A submit asks for an asynchronous task at the documented path, with the key in one header."""
    message = encode(TextToVideo("a boat"))

    assert "POST" == message.method
    assert "https://dashscope-intl.aliyuncs.com/api/v1/services/aigc/video-generation/video-synthesis" == message.url
    assert {
        "Authorization": "Bearer sk-canary",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "X-DashScope-Async": "enable",
    } == dict(message.headers)


def test_the_key_stands_in_its_header_alone() -> None:
    """The API key is neither in the address, nor in the body, nor in a repr."""
    message = encode(TextToVideo("a boat"))

    assert "sk-canary" not in message.url
    assert message.body is not None
    assert b"sk-canary" not in message.body
    assert "sk-canary" not in repr(message)


def test_the_bytes_of_a_text_to_video() -> None:
    """The body is compact JSON in UTF-8, in the documented nesting."""
    request = TextToVideo("纸船 🚤", resolution="720p", ratio="21:9", duration=8, watermark=False, seed=7)
    expected = (
        '{"model":"happyhorse-1.1-t2v","input":{"prompt":"纸船 🚤"},"parameters":'
        '{"resolution":"720P","ratio":"21:9","duration":8,"watermark":false,"seed":7}}'
    )

    assert expected.encode() == encode(request).body


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        pytest.param(
            TextToVideo("a boat"),
            {"model": "happyhorse-1.1-t2v", "input": {"prompt": "a boat"}, "parameters": {}},
            id="t2v bare",
        ),
        pytest.param(
            TextToVideo("a boat", version="1.0", resolution="1080P", ratio="4:5", duration=3, watermark=True, seed=0),
            {
                "model": "happyhorse-1.0-t2v",
                "input": {"prompt": "a boat"},
                "parameters": {"resolution": "1080P", "ratio": "4:5", "duration": 3, "watermark": True, "seed": 0},
            },
            id="t2v 1.0 whole",
        ),
        pytest.param(
            ImageToVideo(URL),
            {
                "model": "happyhorse-1.1-i2v",
                "input": {"media": [{"type": "first_frame", "url": URL}]},
                "parameters": {},
            },
            id="i2v bare",
        ),
        pytest.param(
            ImageToVideo(
                DATA, prompt="she turns", version="1.0", resolution="720P", duration=15, watermark=False, seed=1
            ),
            {
                "model": "happyhorse-1.0-i2v",
                "input": {"prompt": "she turns", "media": [{"type": "first_frame", "url": DATA}]},
                "parameters": {"resolution": "720P", "duration": 15, "watermark": False, "seed": 1},
            },
            id="i2v 1.0 whole",
        ),
        pytest.param(
            ReferenceToVideo("the potter of [Image 1]", [URL, OSS], ratio="9:21", duration=6, resolution="480P"),
            {
                "model": "happyhorse-1.1-r2v",
                "input": {
                    "prompt": "the potter of [Image 1]",
                    "media": [{"type": "reference_image", "url": URL}, {"type": "reference_image", "url": OSS}],
                },
                "parameters": {"resolution": "480P", "ratio": "9:21", "duration": 6},
            },
            id="r2v 1.1",
        ),
        pytest.param(
            ReferenceToVideo("a", DATA, version="1.0", watermark=False, seed=2_147_483_647),
            {
                "model": "happyhorse-1.0-r2v",
                "input": {"prompt": "a", "media": [{"type": "reference_image", "url": DATA}]},
                "parameters": {"watermark": False, "seed": 2_147_483_647},
            },
            id="r2v 1.0",
        ),
        pytest.param(
            VideoEdit("a raincoat", VIDEO),
            {
                "model": "happyhorse-1.0-video-edit",
                "input": {"prompt": "a raincoat", "media": [{"type": "video", "url": VIDEO}]},
                "parameters": {},
            },
            id="edit bare",
        ),
        pytest.param(
            VideoEdit("a hat", OSS, images=[URL, DATA], resolution="720P", watermark=True, seed=9, audio="origin"),
            {
                "model": "happyhorse-1.0-video-edit",
                "input": {
                    "prompt": "a hat",
                    "media": [
                        {"type": "video", "url": OSS},
                        {"type": "reference_image", "url": URL},
                        {"type": "reference_image", "url": DATA},
                    ],
                },
                "parameters": {"resolution": "720P", "watermark": True, "seed": 9, "audio_setting": "origin"},
            },
            id="edit whole",
        ),
    ],
)
def test_the_body_of_every_mode(request_: VideoRequest, expected: dict[str, Any]) -> None:
    """Each mode is written as documented, and what is not set is not sent."""
    assert expected == sent(request_)


def test_extra_is_merged_last_into_the_parameters() -> None:
    """What this library does not know goes into `parameters` and wins over what it does know."""
    request = TextToVideo("a", resolution="720P", extra={"resolution": "360P", "camera": {"move": "pan"}})

    assert {"resolution": "360P", "camera": {"move": "pan"}} == sent(request)["parameters"]


def test_a_model_can_be_named_exactly() -> None:
    """A dated variant that this library has not heard of is sent as it is."""
    assert "happyhorse-1.0-i2v-20260618" == sent(ImageToVideo(URL, model="happyhorse-1.0-i2v-20260618"))["model"]


@pytest.mark.parametrize(
    "request_",
    [
        ImageToVideo(OSS),
        ImageToVideo(OSS.replace("oss", "OSS", 1)),
        ReferenceToVideo("a", [URL, OSS]),
        VideoEdit("a", OSS),
    ],
)
def test_a_file_in_the_temporary_storage_needs_a_header(request_: VideoRequest) -> None:
    """One `oss://` address among the media is enough to ask that such addresses be resolved."""
    assert "enable" == encode(request_).headers["X-DashScope-OssResourceResolve"]


@pytest.mark.parametrize("request_", [ImageToVideo(URL), ImageToVideo(DATA), TextToVideo("tell me of oss://a/b")])
def test_no_such_header_without_such_a_file(request_: VideoRequest) -> None:
    """Other media, and a prompt that speaks of one, do not set the header."""
    assert "X-DashScope-OssResourceResolve" not in encode(request_).headers


@pytest.mark.parametrize("extra", [{"a": object()}, {"a": float("nan")}, {"a": "\ud800"}])
def test_what_cannot_be_written_as_json_is_the_callers_mistake(extra: dict[str, Any]) -> None:
    """An object, a number or a character without a place in JSON is refused before anything is sent."""
    with pytest.raises(InvalidRequestError, match="JSON"):
        encode(TextToVideo("a", extra=extra))


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("ratio", NINE_RATIOS)
def test_every_ratio_is_offered_in_both_versions(version: str, ratio: str) -> None:
    """The nine ratios are taken for text and references, whatever the version."""
    assert {"ratio": ratio} == sent(TextToVideo("a", version=version, ratio=ratio))["parameters"]
    assert {"ratio": ratio} == sent(ReferenceToVideo("a", URL, version=version, ratio=ratio))["parameters"]


@pytest.mark.parametrize("audio", ["auto", "origin"])
def test_both_audio_settings(audio: str) -> None:
    """The two settings have their own field name."""
    assert {"audio_setting": audio} == sent(VideoEdit("a", VIDEO, audio=audio))["parameters"]


def test_there_is_no_newer_version_of_video_editing() -> None:
    """Version 1.1 of video editing is in nobody's official list."""
    with pytest.raises(UnsupportedFeatureError) as caught:
        ADAPTER.check(VideoEdit("a", VIDEO, version="1.1"), provider="main")

    assert "video-edit with version 1.1" == caught.value.feature


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (VideoEdit("a", DATA), "video"),
    ],
)
def test_media_in_a_form_that_cannot_be_sent(request_: VideoRequest, field: str) -> None:
    """A source video cannot be inline."""
    with pytest.raises(UnsupportedFeatureError, match=field):
        ADAPTER.check(request_, provider="main")


def test_callbacks_are_not_supported() -> None:
    """No field of a submit names a URL to be called."""
    with pytest.raises(UnsupportedFeatureError, match="callbacks"):
        ADAPTER.check(TextToVideo("a"), provider="main", callback_url="https://app.example/hook")


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (TextToVideo(""), "prompt"),
        (TextToVideo("  "), "prompt"),
        (ReferenceToVideo("", URL), "prompt"),
        (VideoEdit("", VIDEO), "prompt"),
        (TextToVideo("a", version="1.0", resolution="480P"), "resolution"),
        (TextToVideo("a", resolution="4K"), "resolution"),
        (ImageToVideo(URL, version="1.0", resolution="480P"), "resolution"),
        (ReferenceToVideo("a", URL, version="1.0", resolution="480P"), "resolution"),
        (VideoEdit("a", VIDEO, resolution="480P"), "resolution"),
        (TextToVideo("a", ratio="2:3"), "ratio"),
        (ReferenceToVideo("a", URL, ratio="2:3"), "ratio"),
        (TextToVideo("a", duration=2), "duration"),
        (TextToVideo("a", duration=16), "duration"),
        (ImageToVideo(URL, duration=2), "duration"),
        (ReferenceToVideo("a", URL, duration=16), "duration"),
        (TextToVideo("a", seed=-1), "seed"),
        (TextToVideo("a", seed=2_147_483_648), "seed"),
        (VideoEdit("a", VIDEO, audio="mute"), "audio"),
        (VideoEdit("a", VIDEO, images=[URL] * 6), "images"),
        (ReferenceToVideo("a", ()), "images"),
        (ReferenceToVideo("a", [URL] * 10), "images"),
        (ImageToVideo("img.example.net/a.png"), "image"),
        (TextToVideo("a", version="1.2"), "version"),
        (TextToVideo("a", model="happyhorse-1.1-i2v"), "model"),
    ],
)
def test_a_value_outside_the_documented_range(request_: VideoRequest, field: str) -> None:
    """What the pages exclude is refused here, with the name of the option."""
    with pytest.raises(InvalidRequestError, match=f"^{field}"):
        ADAPTER.check(request_, provider="main")


@pytest.mark.parametrize("count", [0, 5])
def test_the_number_of_images_of_an_edit(count: int) -> None:
    """An edit takes none to five reference images."""
    assert 1 + count == len(sent(VideoEdit("a", VIDEO, images=[URL] * count))["input"]["media"])


def test_nine_references() -> None:
    """Nine reference images are the most."""
    assert 9 == len(sent(ReferenceToVideo("a", [URL] * 9))["input"]["media"])


def test_the_options_that_no_mode_of_this_kind_has() -> None:
    """A first frame has no ratio to choose; an edit neither ratio nor duration; only an edit has a sound to keep."""
    lacking = {
        spec.model: (not spec.ratios, not spec.durations, not spec.audio) for spec in ADAPTER.capabilities.models
    }

    assert {
        "happyhorse-1.1-t2v": (False, False, True),
        "happyhorse-1.0-t2v": (False, False, True),
        "happyhorse-1.1-i2v": (True, False, True),
        "happyhorse-1.0-i2v": (True, False, True),
        "happyhorse-1.1-r2v": (False, False, True),
        "happyhorse-1.0-r2v": (False, False, True),
        "happyhorse-1.0-video-edit": (True, True, False),
    } == lacking


def warnings(request: VideoRequest) -> tuple[str, ...]:
    return ADAPTER.warnings(submission(request), ACCOUNT)


def test_the_costly_default_is_pointed_out() -> None:
    """A request without a resolution is warned what the default is."""
    (warning,) = warnings(TextToVideo("a", watermark=False))

    assert "1080P" in warning


def test_the_watermark_is_pointed_out() -> None:
    """A request that does not mention the watermark is warned that there will be one."""
    (warning,) = warnings(TextToVideo("a", resolution="720P"))

    assert "watermark" in warning


@pytest.mark.parametrize(
    "request_",
    [
        TextToVideo("a", resolution="720P", watermark=True),
        TextToVideo("a", extra={"resolution": "720P", "watermark": False}),
        ImageToVideo(URL, resolution="720P", watermark=False),
    ],
)
def test_no_warning_without_cause(request_: VideoRequest) -> None:
    """A resolution that is set by any way is enough, and a prompt need not be there."""
    assert () == warnings(request_)


@pytest.mark.parametrize(
    ("prompt", "cut"),
    [
        ("a" * 5000, False),
        ("a" * 5001, True),
        ("马" * 2500, False),
        ("马" * 2501, True),
        ("马" * 2499 + "ab", False),
        ("㐀" * 2501, True),
    ],
)
def test_a_prompt_that_will_be_cut_is_pointed_out(prompt: str, cut: bool) -> None:
    """Five thousand characters are read, a Chinese one counting double; a longer prompt is sent all the same."""
    request = TextToVideo(prompt, resolution="720P", watermark=False)

    assert cut is bool(warnings(request))
    assert prompt == sent(request)["input"]["prompt"]
