"""What the HiAPI adapter sends. https://docs.hiapi.ai/async-api/create/"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from happyhorse_adapters.hiapi import HiAPIAdapter
from happyhorse_async.adapter import Account, PageRequest, Submission
from happyhorse_async.errors import (
    ConfigurationError,
    InvalidRequestError,
    UnsupportedFeatureError,
)
from happyhorse_async.messages import HttpRequest, HttpResponse
from happyhorse_async.request import ImageToVideo, ReferenceToVideo, TextToVideo, VideoRequest

ADAPTER = HiAPIAdapter()
IMAGE = "https://media.example.org/a.png"


def account(*, base_url: str | None = None, options: Mapping[str, Any] | None = None) -> Account:
    return ADAPTER.account(provider="backup", api_key="sk-canary", base_url=base_url, options=options)


def encode(
    request: VideoRequest, *, callback_url: str | None = None, options: Mapping[str, Any] | None = None
) -> HttpRequest:
    spec = ADAPTER.check(request, provider="backup", callback_url=callback_url)
    submission = Submission(request=request, spec=spec, job_id="job-1", callback_url=callback_url)
    return ADAPTER.encode_submit(submission, account(options=options))


def body(message: HttpRequest) -> Any:
    assert message.body is not None
    return json.loads(message.body)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (
            TextToVideo("a kite", resolution="720P", ratio="9:16", duration=4),
            {
                "model": "happyhorse-1.1/text-to-video",
                "input": {"prompt": "a kite", "resolution": "720p", "aspect_ratio": "9:16", "duration": 4},
            },
        ),
        (TextToVideo("a kite"), {"model": "happyhorse-1.1/text-to-video", "input": {"prompt": "a kite"}}),
        (
            ImageToVideo(IMAGE, prompt="she turns", resolution="1080P", duration=15),
            {
                "model": "happyhorse-1.1/image-to-video",
                "input": {"prompt": "she turns", "image_urls": [IMAGE], "resolution": "1080p", "duration": 15},
            },
        ),
        (ImageToVideo(IMAGE), {"model": "happyhorse-1.1/image-to-video", "input": {"image_urls": [IMAGE]}}),
        (
            ReferenceToVideo("[Image 1]", (IMAGE, f"{IMAGE}?2"), resolution="720P", ratio="21:9", duration=3),
            {
                "model": "happyhorse-1.1/reference-to-video",
                "input": {
                    "prompt": "[Image 1]",
                    "reference_image": [IMAGE, f"{IMAGE}?2"],
                    "resolution": "720p",
                    "aspect_ratio": "21:9",
                    "duration": 3,
                },
            },
        ),
        (
            ReferenceToVideo("[Image 1]", IMAGE),
            {
                "model": "happyhorse-1.1/reference-to-video",
                "input": {"prompt": "[Image 1]", "reference_image": [IMAGE]},
            },
        ),
        (
            TextToVideo("a kite", version="1.0", resolution="1080P", ratio="3:4", duration=7, seed=0),
            {
                "model": "happyhorse-1-0",
                "input": {"prompt": "a kite", "resolution": "1080p", "aspect_ratio": "3:4", "duration": 7, "seed": 0},
            },
        ),
        (
            TextToVideo("a kite", model="happyhorse-1-0", seed=2_147_483_647),
            {"model": "happyhorse-1-0", "input": {"prompt": "a kite", "seed": 2_147_483_647}},
        ),
        (
            TextToVideo("a kite", model="happyhorse-1.2/text-to-video", ratio="21:9", seed=1),
            {
                "model": "happyhorse-1.2/text-to-video",
                "input": {"prompt": "a kite", "aspect_ratio": "21:9", "seed": 1},
            },
        ),
    ],
)
def test_a_submit_has_the_fields_of_its_model_and_no_others(request_: VideoRequest, expected: object) -> None:
    """Every model gets its documented fields, in the documented spelling, and what is not set is not sent."""
    message = encode(request_)

    assert "POST" == message.method
    assert "https://api.hiapi.ai/v1/tasks" == message.url
    assert expected == body(message)


def test_a_submit_carries_the_key_and_the_job_id() -> None:
    """The job's id is the idempotency key, and the API key goes into the bearer header alone."""
    message = encode(TextToVideo("a kite"))

    assert {
        "Authorization": "Bearer sk-canary",
        "Accept": "application/json",
        "Content-Type": "application/json",
        "Idempotency-Key": "job-1",
    } == dict(message.headers)
    assert b"sk-canary" not in (message.body or b"")
    assert "sk-canary" not in repr(message)


def test_the_body_is_compact_utf8() -> None:
    """The body is written once, compactly, with every character as itself."""
    assert (
        '{"model":"happyhorse-1.1/text-to-video","input":{"prompt":"雪山 🐎","duration":5}}'.encode()
        == encode(TextToVideo("雪山 🐎", duration=5)).body
    )


def test_the_same_submission_is_written_in_the_same_bytes() -> None:
    """The order in which options were configured does not change the bytes that the idempotency key stands for."""
    request = TextToVideo("a kite")

    assert (
        encode(request, options={"route": "pro", "storage": "persistent"}).body
        == encode(request, options={"storage": "persistent", "route": "pro"}).body
    )


def test_extra_is_merged_last_into_the_input() -> None:
    """`extra` adds fields to the input and wins over the others."""
    message = encode(TextToVideo("a kite", duration=5, extra={"duration": 6, "camera": {"pan": "left"}}))

    assert {"prompt": "a kite", "duration": 6, "camera": {"pan": "left"}} == body(message)["input"]


@pytest.mark.parametrize("extra", [{"when": object()}, {"strength": float("nan")}, {"note": "\ud800"}])
def test_extra_that_is_no_json_is_refused(extra: dict[str, object]) -> None:
    """What cannot be written as JSON is an invalid request, not a crash."""
    with pytest.raises(InvalidRequestError, match="cannot be written as JSON"):
        encode(TextToVideo("a kite", extra=extra))


def test_a_callback_is_asked_for_at_the_top_level() -> None:
    """A callback stands beside the input, never in it, and is for the end of the task."""
    message = encode(TextToVideo("a kite"), callback_url="https://hooks.example.org/hh?job=job-1")

    assert {
        "model": "happyhorse-1.1/text-to-video",
        "input": {"prompt": "a kite"},
        "callback": {"url": "https://hooks.example.org/hh?job=job-1", "when": "final"},
    } == body(message)


@pytest.mark.parametrize(
    ("options", "added"),
    [
        ({}, {}),
        ({"storage": "persistent"}, {"storage": "persistent"}),
        ({"route": "pro"}, {"route": "pro"}),
        ({"route": "default"}, {"route": "default"}),
        ({"route": None, "storage": None}, {}),
        ({"route": "pro", "storage": "persistent"}, {"route": "pro", "storage": "persistent"}),
    ],
)
def test_options_stand_at_the_top_level(options: dict[str, Any], added: dict[str, Any]) -> None:
    """`storage` and `route` are written beside the model, and only where they are set."""
    message = encode(TextToVideo("a kite"), options=options)

    assert {"model": "happyhorse-1.1/text-to-video", "input": {"prompt": "a kite"}, **added} == body(message)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"storage": "temp"}, "storage must be 'persistent'"),
        ({"storage": ""}, "storage must be 'persistent'"),
        ({"storage": True}, "storage must be 'persistent'"),
        ({"route": ""}, "route must be the name"),
        ({"route": "  "}, "route must be the name"),
        ({"route": 1}, "route must be the name"),
        ({"routes": "pro"}, "no option 'routes'; known: inline_media, route, storage"),
    ],
)
def test_other_options_are_a_configuration_error(options: dict[str, Any], sentence: str) -> None:
    """An option that the provider does not document is named where the account is made."""
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        account(options=options)

    assert "backup" == caught.value.provider


@pytest.mark.parametrize(
    ("base_url", "root"),
    [
        (None, "https://api.hiapi.ai"),
        ("https://api.hiapi.ai", "https://api.hiapi.ai"),
        ("https://api.hiapi.ai/", "https://api.hiapi.ai"),
        ("https://api.hiapi.ai/v1", "https://api.hiapi.ai"),
        ("https://api.hiapi.ai/v1/", "https://api.hiapi.ai"),
        ("http://127.0.0.1:8080/hiapi/v1", "http://127.0.0.1:8080/hiapi"),
        ("https://proxy.example.org/v1x", "https://proxy.example.org/v1x"),
    ],
)
def test_a_base_url_may_end_in_the_version(base_url: str | None, root: str) -> None:
    """With `/v1` or without, every path is counted from the same root."""
    acc = account(base_url=base_url)

    assert f"{root}/v1/tasks/tk-hiapi-1" == ADAPTER.encode_fetch("tk-hiapi-1", acc).url


def test_a_region_is_refused() -> None:
    """The provider has no regions."""
    with pytest.raises(ConfigurationError, match="no region 'singapore'"):
        ADAPTER.account(provider="backup", api_key="sk-canary", region="singapore")


def test_a_query_names_the_task_in_its_path() -> None:
    """A query is a bare GET; an id with odd characters cannot leave its place in the path."""
    message = ADAPTER.encode_fetch("tk/../a?b#c", account())

    assert "GET" == message.method
    assert "https://api.hiapi.ai/v1/tasks/tk%2F..%2Fa%3Fb%23c" == message.url
    assert {"Authorization": "Bearer sk-canary", "Accept": "application/json"} == dict(message.headers)
    assert message.body is None


@pytest.mark.parametrize(
    ("page", "query"),
    [
        (PageRequest(), "page=1&size=50"),
        (PageRequest(number=3, size=100), "page=3&size=100"),
        (PageRequest(number=2, size=500), "page=2&size=100"),
    ],
)
def test_a_list_always_says_its_size(page: PageRequest, query: str) -> None:
    """The size is sent whatever it is, and is at most the documented hundred."""
    message = ADAPTER.encode_list(page, account())

    assert "GET" == message.method
    assert f"https://api.hiapi.ai/v1/tasks?{query}" == message.url
    assert {"Authorization": "Bearer sk-canary", "Accept": "application/json"} == dict(message.headers)


def test_there_is_no_cancellation() -> None:
    """The provider has no way to cancel a task, in either direction."""
    with pytest.raises(UnsupportedFeatureError, match=r"backup \(HiAPI\) has no cancellation"):
        ADAPTER.encode_cancel("tk-hiapi-1", account())
    with pytest.raises(UnsupportedFeatureError, match="cancellation"):
        ADAPTER.decode_cancel(HttpResponse(status=200), account())
