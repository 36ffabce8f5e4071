"""Tasks and requests as JSON, for a web app's own API, and the hooks through which pydantic and FastAPI read them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Body, FastAPI
from pydantic import Field, TypeAdapter, ValidationError

import happyhorse_async as hh

TASK = hh.Task(
    ref=hh.TaskRef("main", "0385:dc79"),
    status=hh.TaskStatus.SUCCEEDED,
    raw_status="SUCCEEDED",
    progress=100.0,
    videos=(hh.Video(url="https://a.example/v?Signature=s", expires_at=datetime(2030, 1, 2, tzinfo=UTC), width=3),),
    error=hh.TaskFailure(code="E1", message="no", reason=hh.FailureReason.NO_OUTPUT),
    usage=hh.Usage(duration=5.0, resolution="720P"),
    created_at=datetime(2030, 1, 1, tzinfo=UTC),
    raw={"output": {"video_url": "https://a.example/v?Signature=s"}},
)


def through_json(data: dict[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(json.dumps(data))
    return read


def test_a_task_survives_json() -> None:
    """What `to_dict` returns is JSON, and `from_dict` reads the same task from it."""
    assert TASK == hh.Task.from_dict(through_json(TASK.to_dict()))


def test_the_raw_object_is_in_the_dict_on_demand_only() -> None:
    """The provider's object is left out unless it is asked for, and then it is read back."""
    assert "raw" not in TASK.to_dict()
    assert TASK.raw == hh.Task.from_dict(through_json(TASK.to_dict(raw=True))).raw


def test_a_task_without_urls_holds_no_credential() -> None:
    """Without URLs neither the signature nor the cover is in the JSON; the rest is."""
    text = json.dumps(TASK.to_dict(urls=False))

    assert "Signature" not in text
    assert "a.example" not in text
    assert [{"expires_at": "2030-01-02T00:00:00+00:00", "width": 3, "height": None, "duration": None}] == TASK.to_dict(
        urls=False
    )["videos"]


def test_raw_without_urls_is_refused() -> None:
    """The provider's object holds the URLs, so that the two cannot go together."""
    with pytest.raises(ValueError, match="raw=True holds the URLs"):
        TASK.to_dict(urls=False, raw=True)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"status": None}, "status"),
        ({"status": "DONE"}, "status"),
        ({"ref": "main"}, "expected TaskRef"),
        ({"videos": 5}, "videos"),
    ],
)
def test_what_is_not_a_task_is_named(change: dict[str, Any], named: str) -> None:
    """A field that is missing or of the wrong type is named."""
    data = {name: value for name, value in {**TASK.to_dict(), **change}.items() if value is not None}

    with pytest.raises(ValueError, match=named):
        hh.Task.from_dict(data)


@pytest.mark.parametrize(
    "request_",
    [
        hh.TextToVideo("a train", resolution="720p", duration=5, extra={"a": [1]}, model="m"),
        hh.ImageToVideo("https://img.example/a.png"),
        hh.ReferenceToVideo("[Image 1] runs", ["https://img.example/a.png", "data:image/png;base64,AAAA"], ratio="1:1"),
        hh.VideoEdit("snow", "https://img.example/a.mp4", audio="origin"),
    ],
    ids=lambda request: request.mode.value,
)
def test_a_request_survives_json(request_: hh.VideoRequest) -> None:
    """What `to_dict` returns is JSON with the mode, and `from_dict` reads the same request from it."""
    data = through_json(request_.to_dict())

    assert request_.mode.value == data["mode"]
    assert request_ == type(request_).from_dict(data)


@pytest.mark.parametrize("medium", ["/etc/passwd", "a.png", "file:///a.png", "ftp://a/b", "http://", "", 5, ["x"]])
def test_text_from_outside_never_becomes_a_path(medium: Any) -> None:
    """Neither `from_dict` nor pydantic takes anything but a URL or a data: URI for a medium."""
    with pytest.raises(hh.InvalidRequestError, match="image must be"):
        hh.ImageToVideo.from_dict({"image": medium})
    with pytest.raises(ValidationError):
        TypeAdapter(hh.ImageToVideo).validate_python({"image": medium})


def test_an_inline_picture_from_outside_is_bounded() -> None:
    """A data: URI of more than 20 Mi characters is refused, with both figures."""
    with pytest.raises(hh.InvalidRequestError, match="is a data: URI of 20971542 characters; at most 20971520"):
        hh.ImageToVideo.from_dict({"image": "data:image/png;base64," + "A" * 20 * 1024 * 1024})


@pytest.mark.parametrize("field", [{"model": "other"}, {"extra": {"x": 1}}, {"nope": 1}, {"mode": "i2v"}])
def test_a_web_user_chooses_neither_model_nor_raw_parameters(field: dict[str, Any]) -> None:
    """pydantic refuses the fields that are for code only, unknown ones, and another mode."""
    with pytest.raises(ValidationError):
        TypeAdapter(hh.TextToVideo).validate_python({"prompt": "a train", **field})


@pytest.mark.parametrize("field", [{"model": "other"}, {"extra": {"x": 1}}])
def test_from_dict_refuses_what_a_web_user_must_not_set(field: dict[str, Any]) -> None:
    """Without pydantic, `trusted=False` refuses the same fields, and names only those that may be set."""
    with pytest.raises(hh.InvalidRequestError, match="cannot be set from outside"):
        hh.TextToVideo.from_dict({"prompt": "a train", **field}, trusted=False)
    with pytest.raises(hh.InvalidRequestError, match="known: resolution, seed, watermark, version, prompt, ratio, dur"):
        hh.TextToVideo.from_dict({"prompt": "a train", "colour": "red"}, trusted=False)


@pytest.mark.parametrize("body", [None, 5, "text", ["prompt", "a train"]])
def test_a_body_that_is_not_an_object_is_an_invalid_request(body: Any) -> None:
    """JSON from outside may be anything, and a web app answers 422 to it."""
    with pytest.raises(hh.InvalidRequestError, match="a request is a JSON object, not"):
        hh.TextToVideo.from_dict(body)


def test_extra_that_is_not_an_object_is_an_invalid_request() -> None:
    with pytest.raises(hh.InvalidRequestError, match="extra must be a mapping of fields, not int"):
        hh.TextToVideo.from_dict({"prompt": "a train", "extra": 5})


@pytest.mark.parametrize("field", ["mode", "version", "x" * 5000])
def test_long_text_from_outside_is_cut_in_the_error(field: str) -> None:
    """What a web user has sent does not fill the log."""
    with pytest.raises(hh.InvalidRequestError) as caught:
        hh.Client("dashscope", api_key="k").plan(hh.TextToVideo.from_dict({"prompt": "a", field: "x" * 5000}))

    assert 300 > len(caught.value.message)


@pytest.mark.parametrize("request_", [hh.ImageToVideo(b"..."), hh.VideoEdit("p", Path("a.mp4"))])
def test_a_request_with_a_file_is_not_json(request_: hh.VideoRequest) -> None:
    """The error names the field."""
    with pytest.raises(hh.InvalidRequestError, match=r"(image|video) is a file or bytes, not a URL"):
        request_.to_dict()


def test_the_schema_of_a_task_holds_without_its_urls() -> None:
    """`urls=False` leaves out what is a credential, and the JSON Schema fits that too."""
    video = TypeAdapter(hh.Task).json_schema(mode="serialization")["$defs"]["Video"]

    assert not set(video.get("required", [])) - TASK.to_dict(urls=False)["videos"][0].keys()


def test_an_error_in_a_union_names_the_request() -> None:
    """FastAPI shows these places to its user."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(hh.VideoRequest).validate_python({"image": "/etc/passwd"})

    assert {"function-wrap[ImageToVideo()]"} <= {str(error["loc"][0]) for error in caught.value.errors()}


def test_the_mode_can_be_the_discriminator_of_a_union() -> None:
    """Then pydantic reports the errors of one request, and not of four."""
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[hh.VideoRequest, Field(discriminator="mode")])

    assert hh.TextToVideo("p") == adapter.validate_python({"mode": "t2v", "prompt": "p"})
    assert "mode" == adapter.json_schema()["discriminator"]["propertyName"]
    with pytest.raises(ValidationError) as caught:
        adapter.validate_python({"mode": "i2v", "image": "/etc/passwd"})
    assert 1 == caught.value.error_count()


def test_pydantic_tells_the_four_requests_apart() -> None:
    """A union of the requests becomes the one whose fields are given."""
    adapter: TypeAdapter[Any] = TypeAdapter(hh.VideoRequest)
    image = "https://img.example/a.png"

    assert hh.TextToVideo("p") == adapter.validate_python({"prompt": "p"})
    assert hh.ImageToVideo(image) == adapter.validate_python({"image": image})
    assert hh.ReferenceToVideo("p", [image]) == adapter.validate_python({"prompt": "p", "images": [image]})
    assert hh.VideoEdit("p", image) == adapter.validate_python({"prompt": "p", "video": image, "mode": "edit"})


def test_fastapi_takes_a_request_and_returns_a_task() -> None:
    """Both stand in the OpenAPI schema with their fields, and the task goes out as `to_dict` has it."""
    app = FastAPI()

    @app.post("/videos")
    async def make(request: Annotated[hh.TextToVideo, Body()]) -> hh.Task:
        return TASK

    schemas = app.openapi()["components"]["schemas"]

    assert {"prompt"} == set(schemas["TextToVideo"]["required"])
    assert {"model", "extra"}.isdisjoint(schemas["TextToVideo"]["properties"])
    assert TASK.to_dict().keys() == schemas["Task"]["properties"].keys()
    assert TASK == TypeAdapter(hh.Task).validate_json(TypeAdapter(hh.Task).dump_json(TASK))
