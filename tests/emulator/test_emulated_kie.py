"""The emulated API of KIE: https://docs.kie.ai/market/happyhorse-1-1/image-to-video and its like."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import aiohttp
import pytest

import happyhorse_async as hh

KEY = {"Authorization": "Bearer any"}
TEXT = "happyhorse-1-1/text-to-video"


async def call(emulator: hh.Emulator, method: str, path: str, **options: Any) -> tuple[int, Any]:
    headers = options.pop("headers", KEY)
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, emulator.url("kie") + path, headers=headers, **options) as response,
    ):
        return response.status, await response.json()


async def submit(emulator: hh.Emulator, model: str, given: dict[str, Any], **others: Any) -> tuple[int, Any]:
    return await call(emulator, "POST", "/api/v1/jobs/createTask", json={"model": model, "input": given, **others})


@pytest.fixture
async def emulator() -> Any:
    async with hh.Emulator(speed=2000, seed=1) as emulator:
        yield emulator


async def test_a_task_from_submit_to_result(emulator: hh.Emulator) -> None:
    """The answer to a submit has an id alone, and the result is JSON in a text."""
    status, accepted = await submit(emulator, TEXT, {"prompt": "a kite", "resolution": "720p", "duration": 3})
    task_id = accepted["data"].pop("taskId")
    words: set[str] = set()
    shown: dict[str, Any] = {}
    while shown.get("state") != "success":
        _, answer = await call(emulator, "GET", "/api/v1/jobs/recordInfo", params={"taskId": task_id})
        shown = answer["data"]
        words.add(shown["state"])

    assert (status, accepted) == (200, {"code": 200, "msg": "success", "data": {}})
    assert words <= {"waiting", "generating", "success"}
    assert shown["taskId"] == task_id
    assert isinstance(shown["resultJson"], str)
    assert json.loads(shown["resultJson"])["resultUrls"][0].startswith(emulator.address)
    assert json.loads(shown["param"])["model"] == TEXT
    assert shown["completeTime"] > shown["createTime"] > 10**12


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (TEXT, {"prompt": "a", "seed": 7}),
        (TEXT, {"prompt": "a", "watermark": False}),
        (TEXT, {"prompt": "a", "resolution": "720P"}),
        (TEXT, {"prompt": "a", "duration": "5"}),
        (TEXT, {"prompt": "a", "duration": 16}),
        (TEXT, {"prompt": ""}),
        (TEXT, {"prompt": "x" * 5001}),
        ("happyhorse/text-to-video", {"prompt": "a", "aspect_ratio": "21:9"}),
        ("happyhorse-1-1/image-to-video", {"image_urls": []}),
        ("happyhorse-1-1/image-to-video", {"image_urls": ["data:image/png;base64,AAAA"]}),
        ("happyhorse-1-1/image-to-video", {"image_urls": ["https://a.example/a.png"], "aspect_ratio": "1:1"}),
        ("happyhorse-1-1/reference-to-video", {"prompt": "a", "reference_image": "https://a.example/a.png"}),
        ("happyhorse/video-edit", {"prompt": "a", "video_url": "https://a.example/a.mp4", "duration": 5}),
        ("happyhorse-1-1/video-edit", {"prompt": "a", "video_url": "https://a.example/a.mp4"}),
    ],
)
async def test_what_the_schema_does_not_have_is_refused(
    emulator: hh.Emulator, model: str, given: dict[str, Any]
) -> None:
    """With HTTP 200 and code 422, so that a client must read the code."""
    status, answer = await submit(emulator, model, given)

    assert (status, answer["code"], answer["data"]) == (200, 422, None)
    assert emulator.billed() == 0


async def test_an_unknown_field_beside_the_input_is_refused(emulator: hh.Emulator) -> None:
    """The schema is closed at the top, too; the callback URL is let through."""
    _, refused = await submit(emulator, TEXT, {"prompt": "a"}, progressCallBackUrl="https://app.example/")
    _, accepted = await submit(emulator, TEXT, {"prompt": "a"}, callBackUrl="http://127.0.0.1:9/hook")

    assert (refused["code"], accepted["code"]) == (422, 200)


async def test_errors_have_the_envelope(emulator: hh.Emulator) -> None:
    """A missing key, an unknown task and an unknown path."""
    _, no_key = await call(emulator, "GET", "/api/v1/chat/credit", headers={})
    _, no_task = await call(emulator, "GET", "/api/v1/jobs/recordInfo", params={"taskId": "0" * 32})
    status, no_path = await call(emulator, "GET", "/api/v2/anything")

    assert [answer["code"] for answer in (no_key, no_task, no_path)] == [401, 404, 404]
    assert status == 404
    assert no_key["msg"]


async def test_files_are_taken_in_two_forms(emulator: hh.Emulator) -> None:
    """As a form and as base64; everyone who has the URL can read them."""
    content = bytes(range(256)) + b"\r\n--x\r\n\r\n"
    form = aiohttp.FormData()
    form.add_field("uploadPath", "images/hh")
    form.add_field("fileName", "a.png")
    form.add_field("file", content, filename="ignored.png", content_type="image/png")
    _, streamed = await call(emulator, "POST", "/api/file-stream-upload", data=form)
    encoded = {"base64Data": f"data:image/png;base64,{base64.b64encode(content).decode()}", "uploadPath": "images/hh"}
    _, sent = await call(emulator, "POST", "/api/file-base64-upload", json=encoded)

    for answer in (streamed, sent):
        assert (answer["success"], answer["code"]) == (True, 200)
        async with aiohttp.ClientSession() as session, session.get(answer["data"]["downloadUrl"]) as response:
            assert await response.read() == content


@pytest.mark.parametrize("fields", [{"uploadPath": "images/hh"}, {"file": b"x"}, {}])
async def test_an_upload_that_lacks_something_is_refused(emulator: hh.Emulator, fields: dict[str, Any]) -> None:
    """With 400, in the envelope."""
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        form.add_field(name, value, filename=name if name == "file" else None)
    status, answer = await call(emulator, "POST", "/api/file-stream-upload", data=form)

    assert (status, answer["code"]) == (400, 400)


@pytest.mark.parametrize("failed", [False, True])
async def test_its_webhook_is_signed_by_task_and_time(failed: bool) -> None:
    """The signature covers neither the body nor its code, which is 501 for a failure."""
    from aiohttp import web

    arrived: list[tuple[dict[str, str], dict[str, Any]]] = []

    async def hook(request: web.Request) -> web.Response:
        arrived.append(({name.lower(): value for name, value in request.headers.items()}, await request.json()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", hook)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    scenario = hh.Scenario(failures={hh.FailureReason.PROVIDER_FAULT: 1.0} if failed else {})
    async with hh.Emulator(speed=2000, scenario=scenario, callback_secret="0123456789abcdef") as emulator:
        _, accepted = await submit(emulator, TEXT, {"prompt": "a"}, callBackUrl=url)
        while not arrived:
            await call(emulator, "GET", "/api/v1/chat/credit")
    await runner.cleanup()

    headers, body = arrived[0]
    signed = f"{accepted['data']['taskId']}.{headers['x-webhook-timestamp']}".encode()
    expected = base64.b64encode(hmac.new(b"0123456789abcdef", signed, hashlib.sha256).digest()).decode()
    assert headers["x-webhook-signature"] == expected
    assert body["code"] == (501 if failed else 200)
    assert body["data"]["state"] == ("fail" if failed else "success")
    assert (body["data"]["consumeCredits"] == 0) is failed
