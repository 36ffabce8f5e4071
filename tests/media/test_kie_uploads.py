"""KIE's file upload API, on a host of its own, against scripted gateways and the emulator."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh
from happyhorse_adapters.kie import KieAdapter
from happyhorse_async.media.inspect import inspect
from happyhorse_async.media.limits import check_picture

KEY = "sk-canary-0451-never-to-be-seen"
UPLOAD = "/api/file-stream-upload"
SUBMIT = "/api/v1/jobs/createTask"
NO_RETRY = hh.RetryPolicies(submit=hh.RetryPolicy(max_retries=0))


@pytest.fixture
async def storage(gateway: Any) -> AsyncIterator[Any]:
    """A second host, which takes files."""
    storage = type(gateway)()
    await storage.start()
    storage.on("POST", UPLOAD, uploaded("https://files.example.net/images/happyhorse/f3a9.png"))
    gateway.on("POST", SUBMIT, {"code": 200, "msg": "success", "data": {"taskId": "t-1"}})
    gateway.on("GET", "/api/v1/jobs/recordInfo", {"code": 200, "msg": "", "data": {"state": "generating"}})
    yield storage
    await storage.stop()


def uploaded(url: object, name: str = "downloadUrl", **others: Any) -> dict[str, Any]:
    return {"success": True, "code": 200, "msg": "File uploaded successfully", "data": {name: url}, **others}


def kie(gateway: Any, storage: Any = None, **options: Any) -> hh.Client:
    hosts = {} if storage is None else {"upload_url": storage.url}
    return hh.Client("kie", api_key=KEY, base_url=gateway.url, options=hosts | options, retries=NO_RETRY)


def form(body: bytes, boundary: bytes) -> dict[str, bytes]:
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary)[1:-1]
    split = [part.partition(b"\r\n\r\n") for part in parts]
    return {head.split(b'name="')[1].split(b'"')[0].decode(): content for head, _, content in split}


async def test_a_picture_goes_to_the_upload_host_and_its_url_into_the_request(
    gateway: Any, storage: Any, picture: Callable[..., bytes]
) -> None:
    """The form has the file, a folder without slashes at its ends and a random name; the same key goes with it."""
    content = picture()
    async with kie(gateway, storage) as client:
        await client.submit(hh.ImageToVideo(content, resolution="720P"))

    (upload,), (submit,) = storage.seen("POST"), gateway.seen("POST")
    boundary = upload.headers["content-type"].partition("boundary=")[2].encode()
    fields = form(upload.body, boundary)
    assert upload.path == UPLOAD
    assert upload.headers["authorization"] == f"Bearer {KEY}"
    assert fields["file"] == content
    assert fields["uploadPath"] == b"images/happyhorse"
    assert fields["fileName"].endswith(b".png")
    assert len(fields["fileName"]) > 30
    assert json.loads(submit.body)["input"]["image_urls"] == ["https://files.example.net/images/happyhorse/f3a9.png"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/f%20 3.png", 'https://files.example.net/a"b.png'])
async def test_the_url_arrives_as_the_host_gave_it(
    gateway: Any, storage: Any, picture: Callable[..., bytes], url: str
) -> None:
    """Scheme and characters included; the older form of the answer has another name for it."""
    storage.on("POST", UPLOAD, uploaded(url, "fileUrl"))
    async with kie(gateway, storage) as client:
        await client.submit(hh.ReferenceToVideo("[Image 1]", picture(), resolution="720P"))

    assert json.loads(gateway.seen("POST")[0].body)["input"]["reference_image"] == [url]


async def test_a_source_video_is_uploaded_and_the_same_content_once(
    gateway: Any, storage: Any, clip: Callable[..., Path]
) -> None:
    """Every file gets a name of its own, because equal names overwrite one another."""
    first, second = clip(4), clip(5, name="other.mp4")
    async with kie(gateway, storage) as client:
        await client.submit(hh.VideoEdit("in snow", first, resolution="720P"))
        await client.submit(hh.VideoEdit("in rain", first.read_bytes(), resolution="720P"))
        await client.submit(hh.VideoEdit("in fog", second, resolution="720P"))

    uploads = storage.seen("POST")
    names = {upload.body.split(b'name="fileName"\r\n\r\n')[1].split(b"\r\n")[0] for upload in uploads}
    assert len(uploads) == len(names) == 2
    assert b"videos/happyhorse" in uploads[0].body
    assert len(gateway.seen("POST")) == 3


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ({"success": False, "code": 401, "msg": "no"}, hh.AuthenticationError),
        ({"success": False, "code": 400, "msg": "uploadPath is missing"}, hh.InvalidRequestError),
        ({"success": False, "code": 500, "msg": "broken"}, hh.ProviderError),
        ({"success": False, "code": 200, "msg": "odd"}, hh.ProviderError),
        ({"success": True, "code": 200, "msg": "ok", "data": {}}, hh.ProviderError),
        ({"success": True, "code": 200, "msg": "ok", "data": None}, hh.ProviderError),
        (uploaded("ftp://files.example.net/a.png"), hh.ProviderError),
        (uploaded("/images/a.png"), hh.ProviderError),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{"', hh.ProviderError),
        (413, hh.HappyHorseError),
        (500, hh.ProviderError),
        (b"", hh.TransportError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", hh.TransportError),
        (b"HTTP/1.1 302 Found\r\nLocation: https://example.org/\r\nContent-Length: 0\r\n\r\n", hh.ProviderError),
        (b"HTTP/1.1 204 No Content\r\n\r\n", hh.ProviderError),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 16\r\n\r\nerror code: 1010", hh.TransportError),
    ],
)
async def test_an_upload_that_fails_leaves_no_unknown_outcome(
    gateway: Any, storage: Any, picture: Callable[..., bytes], reply: Any, error: type[hh.HappyHorseError]
) -> None:
    """The paid request is not sent, and no job is left."""
    storage.on("POST", UPLOAD, reply)
    async with kie(gateway, storage) as client:
        with pytest.raises(error) as caught:
            await client.submit(hh.ImageToVideo(picture(), resolution="720P"))
        assert await client.pending() == []

    assert not isinstance(caught.value, hh.SubmitOutcomeUnknownError)
    assert gateway.seen("POST") == []
    assert KEY not in f"{caught.value} {caught.value!r}"


async def test_an_upload_host_that_does_not_answer_leaves_no_unknown_outcome(
    gateway: Any, storage: Any, picture: Callable[..., bytes]
) -> None:
    """No connection: nothing was sent to either host."""
    await storage.stop()
    async with kie(gateway, storage) as client:
        with pytest.raises(hh.TransportError):
            await client.submit(hh.ImageToVideo(picture(), resolution="720P"))
        assert await client.pending() == []
    await storage.start()

    assert gateway.seen("POST") == []


async def test_uploads_can_be_switched_off(gateway: Any, storage: Any, picture: Callable[..., bytes]) -> None:
    """`upload = false` refuses local files before anything is sent, and URLs go on."""
    async with kie(gateway, storage, upload=False) as client:
        with pytest.raises(hh.UnsupportedFeatureError, match="upload = false"):
            await client.submit(hh.ImageToVideo(picture(), resolution="720P"))
        await client.submit(hh.ImageToVideo("https://media.example.org/a.png", resolution="720P"))

    assert storage.seen("POST") == []


def test_a_plan_warns_that_everyone_can_read_an_upload(picture: Callable[..., bytes]) -> None:
    """And shows that the file is uploaded."""
    plan = hh.Client("kie", api_key=KEY).plan(hh.ImageToVideo(picture(), resolution="720P"))

    assert any("everyone who has the URL" in warning for warning in plan.warnings)
    assert [medium.delivery for medium in plan.media] == ["upload"]


def test_another_base_url_takes_the_uploads_too() -> None:
    """The owner of the key named no other host: it does not go to KIE's own upload host then."""
    adapter = KieAdapter()
    for base_url, root in ((None, "https://kieai.redpandaai.co"), ("https://gate.example.org",) * 2):
        account = adapter.account(provider="kie", api_key=KEY, base_url=base_url)
        assert adapter.further_url("upload_url", account) == root


@pytest.mark.parametrize(
    ("size", "version", "sentence"),
    [((299, 400), "1.1", "300"), ((300, 900), "1.1", "ratios"), ((299, 400), "1.0", "300")],
)
def test_a_picture_outside_the_documented_limits_is_refused(
    picture: Callable[..., bytes], size: tuple[int, int], version: str, sentence: str
) -> None:
    """Before anything is sent, with the page that says so."""
    models = KieAdapter.capabilities.models
    spec = next(spec for spec in models if (spec.mode, spec.version) == (hh.Mode.I2V, version))
    assert spec.picture_limits is not None
    facts: Any = inspect(picture(*size), name="image")
    with pytest.raises(hh.InvalidRequestError, match=rf"{sentence}.*docs\.kie\.ai"):
        check_picture(facts, spec.picture_limits, name="image", provider="kie")


async def test_the_emulator_takes_a_picture_and_makes_a_video_of_it(
    tmp_path: Path, picture: Callable[..., bytes]
) -> None:
    """Upload, submit, poll and download, all of it with the address of the emulator alone."""
    async with (
        hh.Emulator(speed=500) as emulator,
        hh.Client(
            "kie", api_key="any", base_url=emulator.url("kie"), poll=hh.PollSchedule(interval=0.1, first_after=0.1)
        ) as client,
    ):
        task = await client.generate(hh.ImageToVideo(picture(), resolution="720P", duration=3))
        path = await client.download(task, tmp_path / "video.mp4")

    assert path.read_bytes()[4:8] == b"ftyp"
    assert {seen.path for seen in emulator.requests if seen.method == "POST"} == {UPLOAD, SUBMIT}
