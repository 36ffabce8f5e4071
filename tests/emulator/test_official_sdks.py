"""The providers' own SDKs, written by others, complete a job against the emulator."""

from __future__ import annotations

import asyncio
import json
import sys
from subprocess import PIPE
from typing import Any

import pytest
from hiapi import (
    AuthenticationError,
    HiAPI,
    IdempotencyKeyMismatchError,
    InvalidRequestError,
    NotFoundError,
    TaskFailed,
)

from happyhorse_async.emulator import Emulator

# It keeps its address and its connections in globals and starts threads of its own, hence a process of its own.
DASHSCOPE_PROGRAM = """
import asyncio, json, sys
import dashscope
from dashscope.aigc.video_synthesis import AioVideoSynthesis

def show(answer):
    print(json.dumps({"status": answer.status_code, "output": answer.output, "usage": getattr(answer, "usage", None)}))

async def main(address, what, parameters):
    dashscope.base_http_api_url = address
    parameters = {"api_key": "sk-any", **json.loads(parameters)}
    if what == "call":
        show(await AioVideoSynthesis.call(**parameters))
    else:
        submitted = await AioVideoSynthesis.async_call(**parameters)
        if submitted.status_code == 200:
            show(await AioVideoSynthesis.cancel(submitted, api_key="sk-any"))
            show(await AioVideoSynthesis.list(api_key="sk-any"))
            submitted = await AioVideoSynthesis.fetch(submitted, api_key="sk-any")
        show(submitted)
        print(json.dumps(submitted.code))
    await dashscope.close_shared_aio_session()

asyncio.run(main(*sys.argv[1:]))
"""


async def dashscope_says(emulator: Emulator, what: str, **parameters: Any) -> list[Any]:
    """Run the official SDK in a process of its own and return what it printed."""
    arguments = ("-c", DASHSCOPE_PROGRAM, emulator.url("dashscope"), what, json.dumps(parameters))
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=PIPE, stderr=PIPE)
    out, problems = await process.communicate()

    assert 0 == process.returncode, problems.decode()
    return [json.loads(line) for line in out.decode().splitlines()]


async def test_the_official_dashscope_sdk_completes_a_job(emulator: Emulator) -> None:
    """AioVideoSynthesis.call submits, polls with its own trailing slash and finds the video and the usage."""
    (answer,) = await dashscope_says(
        emulator, "call", model="happyhorse-1.1-t2v", prompt="a kite", resolution="720P", ratio="1:1", duration=3
    )

    assert (200, "SUCCEEDED") == (answer["status"], answer["output"]["task_status"])
    assert answer["output"]["video_url"].startswith(f"{emulator.address}/videos/")
    assert {"SR": 720, "ratio": "1:1", "duration": 3, "video_count": 1}.items() <= answer["usage"].items()


async def test_the_official_dashscope_sdk_makes_a_video_from_an_image(emulator: Emulator) -> None:
    """What it sends for other models, such as extend_prompt and a null prompt, does no harm."""
    media = [{"type": "first_frame", "url": "https://img.example.net/a.png"}]

    (answer,) = await dashscope_says(emulator, "call", model="happyhorse-1.0-i2v", media=media, resolution="720P")

    assert "SUCCEEDED" == answer["output"]["task_status"]


async def test_the_official_dashscope_sdk_cancels_and_lists(emulator: Emulator) -> None:
    """A waiting task is canceled, listed and fetched as such."""
    canceled, listed, fetched, _ = await dashscope_says(
        emulator, "cancel", model="happyhorse-1.1-t2v", prompt="PENDING", duration=3
    )

    assert 200 == canceled["status"]
    assert ["CANCELED"] == [row["status"] for row in listed["output"]["data"]]
    assert "CANCELED" == fetched["output"]["task_status"]


async def test_the_official_dashscope_sdk_understands_a_refusal(emulator: Emulator) -> None:
    """It finds the code of a refused submit."""
    answer, code = await dashscope_says(emulator, "cancel", model="happyhorse-1.1-t2v", prompt="a kite", duration=30)

    assert (400, "InvalidParameter") == (answer["status"], code)


@pytest.fixture
def hiapi(emulator: Emulator) -> HiAPI:
    return HiAPI(api_key="sk-any", base_url=emulator.url("hiapi"))


async def test_the_hiapi_sdk_completes_a_job(emulator: Emulator, hiapi: HiAPI) -> None:
    """tasks.run submits, polls and finds the video among the outputs."""
    task = await asyncio.to_thread(
        hiapi.tasks.run,
        model="happyhorse-1.1/text-to-video",
        input={"prompt": "a kite", "resolution": "720p", "duration": 3},
        idempotency_key="job-1",
        poll_interval=0.01,
    )

    assert task.succeeded
    assert ["first_frame", "video"] == [output.type for output in task.output]
    assert task.output[1].url.startswith(f"{emulator.address}/videos/")
    assert task.output[1].expire_at
    assert task.created_at
    assert task.completed_at


async def test_the_hiapi_sdk_replays_and_lists(hiapi: HiAPI) -> None:
    """A repeated submit with its key is a replay of the first, and the list has one task."""

    def create() -> Any:
        return hiapi.tasks.create(model="happyhorse-1-0", input={"prompt": "a kite"}, idempotency_key="job-1")

    first, again = await asyncio.to_thread(create), await asyncio.to_thread(create)
    page = await asyncio.to_thread(hiapi.tasks.list)

    assert (False, True) == (first.idempotent_replay, again.idempotent_replay)
    assert first.task_id == again.task_id
    assert (1, 20, [first.task_id]) == (page.total, page.size, [task.task_id for task in page.items])


async def test_the_hiapi_sdk_understands_refusals_and_failures(hiapi: HiAPI) -> None:
    """Each of its exceptions comes where it should."""
    submit: dict[str, Any] = {"model": "happyhorse-1-0", "poll_interval": 0.01}

    await asyncio.to_thread(hiapi.tasks.run, **submit, input={"prompt": "a kite"}, idempotency_key="job-1")
    with pytest.raises(IdempotencyKeyMismatchError):
        await asyncio.to_thread(hiapi.tasks.run, **submit, input={"prompt": "two kites"}, idempotency_key="job-1")
    with pytest.raises(InvalidRequestError, match="watermark"):
        await asyncio.to_thread(hiapi.tasks.run, **submit, input={"prompt": "a kite", "watermark": False})
    with pytest.raises(TaskFailed, match="rejected") as failed:
        await asyncio.to_thread(hiapi.tasks.run, **submit, input={"prompt": "fail CONTENT_REJECTED"})
    with pytest.raises(NotFoundError):
        await asyncio.to_thread(hiapi.tasks.retrieve, "tk-hiapi-x")

    assert "TASK_FAILED" == failed.value.code


async def test_the_hiapi_sdk_understands_a_wrong_key() -> None:
    """A 401 in the gateway's envelope is an authentication error."""
    async with Emulator(api_key="sk-right") as strict:
        client = HiAPI(api_key="sk-wrong", base_url=strict.url("hiapi") + "/v1")

        with pytest.raises(AuthenticationError):
            await asyncio.to_thread(client.tasks.list)
