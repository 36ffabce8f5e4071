"""The emulated API of DashScope, with hand-written requests over real HTTP."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientResponse

Send = Callable[..., Awaitable[ClientResponse]]

SYNTHESIS = "/services/aigc/video-generation/video-synthesis"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
BEIJING_TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}"
PICTURE = "https://img.example.net/a.png"
FRAME = {"type": "first_frame", "url": PICTURE}
REFERENCE = {"type": "reference_image", "url": PICTURE}
SOURCE = {"type": "video", "url": "https://vid.example.net/a.mp4"}


def body(model: str, *media: dict[str, str], prompt: str | None = "a kite", **parameters: Any) -> dict[str, Any]:
    given = {"prompt": prompt, **({"media": list(media)} if media else {})}
    return {"model": model, "input": given, "parameters": parameters}


async def submit(send: Send, content: dict[str, Any], **headers: str) -> ClientResponse:
    headers = {"X-DashScope-Async": "enable", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return await send("dashscope", "POST", SYNTHESIS, json=content, headers=headers)


async def task_of(send: Send, content: dict[str, Any]) -> dict[str, Any]:
    accepted = await (await submit(send, content)).json()
    return dict(await (await send("dashscope", "GET", f"/tasks/{accepted['output']['task_id']}")).json())


async def test_a_submit_is_answered_with_an_id_and_pending(send: Send) -> None:
    """The answer has the id, the status PENDING and the id of the call, and nothing else."""
    response = await submit(send, body("happyhorse-1.1-t2v"))

    answer = await response.json()
    assert 200 == response.status
    assert {"output", "request_id"} == answer.keys()
    assert {"task_id", "task_status"} == answer["output"].keys()
    assert "PENDING" == answer["output"]["task_status"]
    assert re.fullmatch(UUID, answer["output"]["task_id"])
    assert re.fullmatch(UUID, answer["request_id"])


@pytest.mark.parametrize(
    ("content", "usage"),
    [
        (
            body("happyhorse-1.0-t2v", resolution="720P", ratio="9:16", duration=3, watermark=False, seed=7),
            {"duration": 3, "input_video_duration": 0, "output_video_duration": 3, "SR": "720", "ratio": "9:16"},
        ),
        (
            body("happyhorse-1.1-t2v"),
            {"duration": 5, "input_video_duration": 0, "output_video_duration": 5, "SR": 1080, "ratio": "16:9"},
        ),
        (
            body("happyhorse-1.0-i2v", FRAME, prompt=None, duration=15),
            {"duration": 15, "input_video_duration": 0, "output_video_duration": 15, "SR": "1080"},
        ),
        (
            body("happyhorse-1.1-i2v", FRAME, resolution="480P"),
            {"duration": 5, "input_video_duration": 0, "output_video_duration": 5, "SR": 480},
        ),
        (
            body("happyhorse-1.0-r2v", *[REFERENCE] * 9, ratio="21:9"),
            {"duration": 5, "input_video_duration": 0, "output_video_duration": 5, "SR": "1080", "ratio": "21:9"},
        ),
        (
            body("happyhorse-1.1-r2v", REFERENCE, ratio="4:5"),
            {"duration": 5, "input_video_duration": 0, "output_video_duration": 5, "SR": 1080, "ratio": "4:5"},
        ),
        (
            body("happyhorse-1.0-video-edit", SOURCE, *[REFERENCE] * 5, audio_setting="origin"),
            {"duration": 10.0, "input_video_duration": 5.0, "output_video_duration": 5.0, "SR": "1080"},
        ),
    ],
)
async def test_every_model_succeeds_with_its_usage(send: Send, content: dict[str, Any], usage: dict[str, Any]) -> None:
    """A finished task has the URL, the prompt if there was one, Beijing times and its usage in the right types."""
    answer = await task_of(send, content)

    output = answer["output"]
    assert "SUCCEEDED" == output["task_status"]
    assert content["input"]["prompt"] == output.get("orig_prompt")
    assert all(re.fullmatch(BEIJING_TIME, output[name]) for name in ("submit_time", "scheduled_time", "end_time"))
    assert re.search(r"/videos/\w+\.mp4\?Expires=\d+&Signature=\w+$", output["video_url"])
    assert {**usage, "video_count": 1} == answer["usage"]
    assert {name: type(value) for name, value in usage.items()} == {name: type(answer["usage"][name]) for name in usage}


@pytest.mark.parametrize(
    ("prompt", "status", "times"),
    [("PENDING", "PENDING", {"submit_time"}), ("RUNNING", "RUNNING", {"submit_time", "scheduled_time"})],
)
async def test_an_unfinished_task_shows_only_what_has_happened(
    send: Send, prompt: str, status: str, times: set[str]
) -> None:
    """A pending task has no scheduled time, one that is running no end time, and neither a URL or usage."""
    answer = await task_of(send, body("happyhorse-1.1-t2v", prompt=prompt))

    assert {"request_id", "output"} == answer.keys()
    assert {"task_id", "task_status"} | times == answer["output"].keys()
    assert status == answer["output"]["task_status"]


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("INVALID_REQUEST", "InvalidParameter"),
        ("CONTENT_REJECTED", "DataInspectionFailed"),
        ("QUOTA_EXCEEDED", "Arrearage"),
        ("RATE_LIMITED", "Throttling.RateQuota"),
        ("TIMEOUT", "InternalError.Timeout"),
        ("PROVIDER_FAULT", "InternalError.Algo"),
        ("UNKNOWN", "Unknown"),
    ],
)
async def test_a_failure_is_a_200_with_code_and_message_in_the_output(send: Send, reason: str, code: str) -> None:
    """A failed task answers 200; its reason is in the documented words."""
    answer = await task_of(send, body("happyhorse-1.1-t2v", prompt=f"fail {reason}"))

    assert "FAILED" == answer["output"]["task_status"]
    assert code == answer["output"]["code"]
    assert answer["output"]["message"]
    assert "usage" not in answer


async def test_a_success_may_deliver_nothing(send: Send) -> None:
    """A task with NO_OUTPUT succeeds and has neither URL nor usage."""
    answer = await task_of(send, body("happyhorse-1.1-t2v", prompt="fail NO_OUTPUT"))

    assert "SUCCEEDED" == answer["output"]["task_status"]
    assert "video_url" not in answer["output"]
    assert "usage" not in answer


async def test_unknown_fields_are_ignored(send: Send) -> None:
    """Fields of other model families, which the official SDK sends, are ignored anywhere."""
    content = body("happyhorse-1.1-i2v", {**FRAME, "reference_voice": "x"}, ratio="odd", audio=True, n=4)
    content["input"]["extend_prompt"] = True
    content["foo"] = 1

    response = await submit(send, content)

    assert 200 == response.status


@pytest.mark.parametrize(
    "url", ["http://img.example.net/a.bmp", "data:image/png;base64,AAAA", "data:image/webp;base64,AA=="]
)
async def test_images_come_as_url_or_inline(send: Send, url: str) -> None:
    """An http URL and a data: URI of an image are both accepted."""
    response = await submit(send, body("happyhorse-1.1-i2v", {"type": "first_frame", "url": url}))

    assert 200 == response.status


async def test_a_file_in_temporary_storage_needs_its_header(send: Send) -> None:
    """An oss:// URL is accepted with the header that resolves it, and refused without."""
    content = body("happyhorse-1.1-i2v", {"type": "first_frame", "url": "oss://bucket/a/b.png"})

    refused = await submit(send, content)
    accepted = await submit(send, content, X_DashScope_OssResourceResolve="enable")

    assert (400, "InvalidParameter.DataInspection") == (refused.status, (await refused.json())["code"])
    assert 200 == accepted.status


@pytest.mark.parametrize("value", [None, "disable"])
async def test_a_submit_without_the_asynchronous_header_is_refused(send: Send, value: str | None) -> None:
    """Without X-DashScope-Async: enable the answer is 403 AccessDenied, in the documented words."""
    headers = {} if value is None else {"X-DashScope-Async": value}

    response = await send("dashscope", "POST", SYNTHESIS, json=body("happyhorse-1.1-t2v"), headers=headers)

    answer = await response.json()
    assert 403 == response.status
    assert {"code", "message", "request_id"} == answer.keys()
    assert "AccessDenied" == answer["code"]
    assert "current user api does not support synchronous calls" in answer["message"]


@pytest.mark.parametrize(
    ("content", "status", "code", "word"),
    [
        (body("happyhorse-1.1-video-edit", SOURCE), 404, "ModelNotFound", "video-edit"),
        (body("happyhorse-1.0-t2v", resolution="480P"), 400, "InvalidParameter", "parameters.resolution"),
        (body("happyhorse-1.1-t2v", resolution="720p"), 400, "InvalidParameter", "parameters.resolution"),
        (body("happyhorse-1.1-t2v", ratio="2:1"), 400, "InvalidParameter", "parameters.ratio"),
        (body("happyhorse-1.1-t2v", duration=2), 400, "InvalidParameter", "parameters.duration"),
        (body("happyhorse-1.1-t2v", duration=16), 400, "InvalidParameter", "parameters.duration"),
        (body("happyhorse-1.1-t2v", duration="5"), 400, "InvalidParameter", "parameters.duration"),
        (body("happyhorse-1.1-t2v", duration=True), 400, "InvalidParameter", "parameters.duration"),
        (body("happyhorse-1.1-t2v", seed=-1), 400, "InvalidParameter", "parameters.seed"),
        (body("happyhorse-1.1-t2v", seed=2147483648), 400, "InvalidParameter", "parameters.seed"),
        (body("happyhorse-1.1-t2v", watermark="false"), 400, "InvalidParameter", "parameters.watermark"),
        (body("happyhorse-1.1-t2v", prompt=" "), 400, "InvalidParameter", "input.prompt"),
        (body("happyhorse-1.1-t2v", prompt=None), 400, "InvalidParameter", "input.prompt"),
        (body("happyhorse-1.1-i2v"), 400, "InvalidParameter", "input.media"),
        (body("happyhorse-1.1-i2v", FRAME, FRAME), 400, "InvalidParameter", "input.media"),
        (body("happyhorse-1.1-i2v", REFERENCE), 400, "InvalidParameter", "input.media[0].type"),
        (body("happyhorse-1.1-i2v", {"type": "first_frame", "url": "a.png"}), 400, "InvalidParameter", "media[0].url"),
        (body("happyhorse-1.1-i2v", {"type": "first_frame", "url": "http://[::1"}), 400, "InvalidParameter", "url"),
        (body("happyhorse-1.1-i2v", {"url": PICTURE}), 400, "InvalidParameter", "input.media[0].type"),
        (body("happyhorse-1.1-r2v", *[REFERENCE] * 10), 400, "InvalidParameter", "input.media"),
        (body("happyhorse-1.0-video-edit", REFERENCE), 400, "InvalidParameter", "video"),
        (body("happyhorse-1.0-video-edit", SOURCE, *[REFERENCE] * 6), 400, "InvalidParameter", "input.media"),
        (
            body("happyhorse-1.0-video-edit", {"type": "video", "url": "data:video/mp4;base64,AAAA"}),
            400,
            "InvalidParameter",
            "input.media[0].url",
        ),
        (
            body("happyhorse-1.0-video-edit", SOURCE, audio_setting="off"),
            400,
            "InvalidParameter",
            "parameters.audio_setting",
        ),
        ({"input": {"prompt": "a kite"}}, 400, "BadRequest.EmptyModel", "model"),
        ({"model": "happyhorse-1.1-t2v"}, 400, "BadRequest.EmptyInput", "input"),
        ({"model": "happyhorse-1.1-t2v", "input": "a kite"}, 400, "InvalidParameter", "input"),
        ([1], 400, "InvalidParameter", "object"),
    ],
)
async def test_bad_values_are_refused_and_named(
    send: Send, content: dict[str, Any], status: int, code: str, word: str
) -> None:
    """A value outside the documented ranges is refused with the provider's code and the path of the field."""
    response = await submit(send, content)

    answer = await response.json()
    assert (status, code) == (response.status, answer["code"])
    assert word in answer["message"]
    assert {"code", "message", "request_id"} == answer.keys()


async def test_a_body_that_is_not_json_is_refused(send: Send) -> None:
    """A body that cannot be read is a BadRequest.IllegalInput."""
    response = await send("dashscope", "POST", SYNTHESIS, data=b"{", headers={"X-DashScope-Async": "enable"})

    assert (400, "BadRequest.IllegalInput") == (response.status, (await response.json())["code"])


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer "}, {"Authorization": "Basic c2s="}])
async def test_a_missing_key_is_refused(send: Send, headers: dict[str, str]) -> None:
    """Without a bearer token the answer is the documented 401."""
    response = await send("dashscope", "GET", "/tasks/x", key=None, headers=headers)

    answer = await response.json()
    assert (401, "InvalidApiKey") == (response.status, answer["code"])
    assert "No API-key provided." == answer["message"]


@pytest.mark.parametrize("path", ["/tasks/{}", "/tasks/{}/", "/tasks/{}/?task_id=x"])
async def test_a_query_may_end_in_a_slash_and_a_query_string(send: Send, path: str) -> None:
    """The official SDK asks with a trailing slash and parameters of its own."""
    accepted = await (await submit(send, body("happyhorse-1.1-t2v"))).json()

    response = await send("dashscope", "GET", path.format(accepted["output"]["task_id"]))

    assert "SUCCEEDED" == (await response.json())["output"]["task_status"]


async def test_an_unknown_task_is_a_200_with_the_status_unknown(send: Send) -> None:
    """An unknown id is not an error, but a task in the state UNKNOWN."""
    response = await send("dashscope", "GET", "/tasks/no-such-task")

    answer = await response.json()
    assert 200 == response.status
    assert {"task_id": "no-such-task", "task_status": "UNKNOWN"} == answer["output"]


async def test_an_account_does_not_see_the_tasks_of_another(send: Send) -> None:
    """A task that another key submitted is UNKNOWN."""
    accepted = await (await submit(send, body("happyhorse-1.1-t2v"))).json()

    response = await send("dashscope", "GET", f"/tasks/{accepted['output']['task_id']}", key="sk-other")

    assert "UNKNOWN" == (await response.json())["output"]["task_status"]


async def test_a_pending_task_can_be_canceled(send: Send) -> None:
    """Cancelling a PENDING task is answered with a request id alone, and the task becomes CANCELED."""
    accepted = await (await submit(send, body("happyhorse-1.1-t2v", prompt="PENDING"))).json()
    path = f"/tasks/{accepted['output']['task_id']}"

    canceled = await send("dashscope", "POST", f"{path}/cancel")
    task = await (await send("dashscope", "GET", path)).json()

    assert 200 == canceled.status
    assert {"request_id"} == (await canceled.json()).keys()
    assert "CANCELED" == task["output"]["task_status"]
    assert "scheduled_time" not in task["output"]


@pytest.mark.parametrize("prompt", ["RUNNING", "done", "fail TIMEOUT"])
async def test_any_other_task_cannot_be_canceled(send: Send, prompt: str) -> None:
    """Cancelling a task that has begun is an UnsupportedOperation."""
    accepted = await (await submit(send, body("happyhorse-1.1-t2v", prompt=prompt))).json()

    response = await send("dashscope", "POST", f"/tasks/{accepted['output']['task_id']}/cancel")

    answer = await response.json()
    assert (400, "UnsupportedOperation") == (response.status, answer["code"])
    assert "PENDING" in answer["message"]


async def test_an_unknown_task_cannot_be_canceled(send: Send) -> None:
    """Cancelling an unknown id is an UnsupportedOperation as well."""
    response = await send("dashscope", "POST", "/tasks/no-such-task/cancel")

    assert (400, "UnsupportedOperation") == (response.status, (await response.json())["code"])


async def test_the_list_is_flat_and_counts_milliseconds(send: Send) -> None:
    """Rows are newest first, with other names than a query has, epoch milliseconds and no URL."""
    first = await (await submit(send, body("happyhorse-1.1-t2v"))).json()
    second = await (await submit(send, body("happyhorse-1.0-i2v", FRAME, prompt="RUNNING"))).json()

    response = await send("dashscope", "GET", "/tasks/")

    answer = await response.json()
    newest, oldest = answer.pop("data")
    assert {"total": 2, "total_page": 1, "page_no": 1, "page_size": 10} == {
        name: value for name, value in answer.items() if name != "request_id"
    }
    assert (second["output"]["task_id"], "RUNNING") == (newest["task_id"], newest["status"])
    assert (first["output"]["task_id"], "SUCCEEDED") == (oldest["task_id"], oldest["status"])
    assert first["request_id"] == oldest["request_id"]
    assert "happyhorse-1.0-i2v" == newest["model_name"]
    assert "end_time" not in newest
    assert 1e12 < oldest["gmt_create"] <= oldest["start_time"] <= oldest["end_time"]
    assert newest["user_api_unique_key"].endswith(":happyhorse-1.0-i2v")
    assert not any("url" in name or "output" in name for name in oldest)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", 3),
        ("?status=RUNNING", 1),
        ("?status=SUCCEEDED&page_no=1&page_size=10", 2),
        ("?status=UNKNOWN", 0),
        ("?model_name=happyhorse-1.0-t2v", 1),
        ("?page_no=2&page_size=2", 1),
        ("?page_no=3&page_size=2", 0),
        ("?task_id=no-such-task", 0),
        ("?start_time=20200101000000", 0),
    ],
)
async def test_the_list_is_filtered_and_paged(send: Send, query: str, found: int) -> None:
    """Status, model, id, window and page choose the rows."""
    for model, prompt in (("1.1", "done"), ("1.1", "RUNNING"), ("1.0", "done")):
        await submit(send, body(f"happyhorse-{model}-t2v", prompt=prompt))

    answer = await (await send("dashscope", "GET", f"/tasks{query}")).json()

    assert found == len(answer["data"])


@pytest.mark.parametrize(
    "query",
    [
        "page_no=0",
        "page_size=x",
        "status=DONE",
        "start_time=yesterday",
        "start_time=20261121000000&end_time=20261123000000",
        "start_time=20261121000000&end_time=20261120000000",
    ],
)
async def test_a_list_with_bad_parameters_is_refused(send: Send, query: str) -> None:
    """A page of zero, an unknown status and a window of more than a day are InvalidParameter."""
    response = await send("dashscope", "GET", f"/tasks?{query}")

    assert (400, "InvalidParameter") == (response.status, (await response.json())["code"])


@pytest.mark.parametrize(("method", "path"), [("GET", SYNTHESIS), ("POST", "/tasks"), ("GET", "//tasks/x")])
async def test_an_undocumented_path_is_a_404(send: Send, method: str, path: str) -> None:
    """A path or method that is not documented is a 404 in the provider's envelope."""
    response = await send("dashscope", method, path)

    assert (404, "NotFound") == (response.status, (await response.json())["code"])
