"""Local files go to fal's storage first: https://github.com/fal-ai/fal-js, `storage.ts`."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from PIL import Image

import happyhorse_async as hh
from happyhorse_adapters.fal import FalAdapter
from happyhorse_async.adapter import UploadFile

from ..conftest import KEY
from .conftest import VIDEO

I2V = "/alibaba/happy-horse/v1.1/image-to-video"
INITIATE = "/storage/upload/initiate"
FILE = "https://v3.fal.media/files/b/x.png"


@pytest.fixture
def png() -> bytes:
    """Make a picture."""
    target = io.BytesIO()
    Image.new("RGB", (640, 480), "teal").save(target, "PNG")
    return target.getvalue()


@pytest.fixture
def storing(fal: Any) -> Any:
    """fal, which takes files and animates them."""
    fal.accept(model=I2V)
    fal.show("COMPLETED")
    fal.deliver(VIDEO)
    fal.gateway.on("POST", INITIATE, {"upload_url": f"{fal.url}/signed?Signature=s3cr3t", "file_url": FILE})
    fal.gateway.on("PUT", "/signed", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    return fal


async def test_a_file_is_uploaded_and_named_by_its_url(storing: Any, png: bytes) -> None:
    """The key goes to the host that grants the upload, and not with the file. The file lives for a day."""
    async with storing.open() as client:
        plan = client.plan(hh.ImageToVideo(png))
        await client.generate(hh.ImageToVideo(png))
        await client.generate(hh.ImageToVideo(png, prompt="again"))

    (granted,) = storing.gateway.seen("POST", INITIATE)
    (sent,) = storing.gateway.seen("PUT")
    paid = storing.gateway.seen("POST", I2V)
    assert f"{INITIATE}?storage_type=fal-cdn-v3" == granted.target
    assert f"Key {KEY}" == granted.headers["authorization"]
    assert {"expiration_duration_seconds": 86400} == json.loads(granted.headers["x-fal-object-lifecycle-preference"])
    assert {"file_name", "content_type"} == json.loads(granted.body).keys()
    assert (png, "image/png") == (sent.body, sent.headers["content-type"])
    assert "authorization" not in sent.headers
    assert [FILE, FILE] == [json.loads(each.body)["image_url"] for each in paid]
    assert any("everyone who has the URL can read it" in warning for warning in plan.warnings)
    assert "upload" == plan.media[0].delivery


async def test_a_file_url_keeps_its_scheme(storing: Any, png: bytes) -> None:
    """A gateway may keep files at plain http."""
    url = f"{storing.url}/files/x.png"
    storing.gateway.on("POST", INITIATE, {"upload_url": f"{storing.url}/signed", "file_url": url})
    async with storing.open() as client:
        await client.generate(hh.ImageToVideo(png))

    assert url == json.loads(storing.gateway.seen("POST", I2V)[0].body)["image_url"]


FAILURES: dict[str, tuple[str, Any]] = {
    "no grant": (INITIATE, 500),
    "a locked account": (INITIATE, (403, {"detail": "User is locked. Reason: Exhausted balance."})),
    "a refused key": (INITIATE, (401, {"detail": "No such key"})),
    "a grant that cannot be read": (INITIATE, (200, {"upload_url": 7})),
    "a grant without a file": (INITIATE, (200, {"upload_url": "https://a.example/x"})),
    "a grant that is no URL": (INITIATE, (200, {"upload_url": "x", "file_url": "y"})),
    "HTML": (INITIATE, (200, b"<html>")),
    "a storage that refuses": ("/signed", 403),
    "a storage that is too small": ("/signed", 413),
    "a storage that is broken": ("/signed", 503),
    "a redirect": ("/signed", (302, b"")),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_a_failed_upload_is_certain(storing: Any, png: bytes, failure: tuple[str, Any]) -> None:
    """Nothing was paid for: no outcome is unknown, and no job is left."""
    place, answer = failure
    step = storing.fail(*answer) if isinstance(answer, tuple) else answer
    storing.gateway.on("POST" if place == INITIATE else "PUT", place, step)
    async with storing.open() as client:
        with pytest.raises(hh.HappyHorseError) as caught:
            await client.generate(hh.ImageToVideo(png))
        assert not isinstance(caught.value, hh.SubmitOutcomeUnknownError)
        assert [] == await client.pending()

    assert [] == storing.gateway.seen("POST", I2V)


@pytest.mark.parametrize(
    ("settings", "root"),
    [
        ({}, "https://rest.fal.ai"),
        ({"options": {"rest_url": "https://rest.example/"}}, "https://rest.example"),
        ({"base_url": "https://gateway.example/fal"}, "https://gateway.example/fal"),
        (
            {"base_url": "https://gateway.example/fal", "options": {"rest_url": "https://rest.example"}},
            "https://rest.example",
        ),
    ],
)
def test_the_key_goes_to_a_declared_host(settings: dict[str, Any], root: str) -> None:
    """The documented one, that of the option, or the only host of a base URL of one's own."""
    adapter = FalAdapter()
    account = adapter.account(provider="fal", api_key=KEY, **settings)
    file = UploadFile(name="a.png", mime="image/png", size=1, token="t", model="m")
    (keys, *_) = adapter.encode_callback_keys(account)

    assert f"{root}{INITIATE}?storage_type=fal-cdn-v3" == adapter.encode_upload_policy(file, account).url
    assert f"{root}/.well-known/jwks.json" == keys.url


@pytest.mark.parametrize("option", ["rest_url", "jwks_url"])
def test_a_host_of_ones_own_is_checked(option: str) -> None:
    """It is a URL, and the key goes to no public host in clear text."""
    with pytest.raises(hh.ConfigurationError, match=option):
        hh.Client("fal", api_key=KEY, options={option: "ftp://files.example"})
    if option == "rest_url":
        with pytest.raises(hh.ConfigurationError, match="unencrypted"):
            hh.Client("fal", api_key=KEY, options={option: "http://files.example"})


async def test_uploads_can_be_switched_off(fal: Any, png: bytes) -> None:
    """Then a file is refused before anything is sent, and the error says what to do."""
    async with fal.open(options={"upload": False}) as client:
        with pytest.raises(hh.UnsupportedFeatureError, match="upload = false"):
            client.plan(hh.ImageToVideo(png))
        with pytest.raises(hh.UnsupportedFeatureError, match="upload = false"):
            await client.generate(hh.ImageToVideo(png))

    assert [] == fal.gateway.requests


async def test_a_file_that_is_outside_the_limits_is_not_uploaded(storing: Any) -> None:
    """Fewer pixels than documented are an InvalidRequestError with the page."""
    target = io.BytesIO()
    Image.new("RGB", (200, 200)).save(target, "PNG")
    async with storing.open() as client:
        with pytest.raises(hh.InvalidRequestError, match="at least 300"):
            await client.generate(hh.ImageToVideo(target.getvalue()))

    assert [] == storing.gateway.seen("POST")
