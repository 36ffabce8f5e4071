"""The examples that are not web apps, and those that block, against an emulator that runs in a thread of its own."""

from __future__ import annotations

import ast
import asyncio
import json
import socket
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from anyio.from_thread import start_blocking_portal

import happyhorse_async as hh

from .conftest import EXAMPLES, served

POLL = hh.PollSchedule(interval=0.05)


@pytest.fixture
def emulator() -> Iterator[hh.Emulator]:
    """Run an emulator in a thread, so that blocking code can use it."""
    emulator = hh.Emulator(speed=600)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(emulator):
        yield emulator


def test_the_script_makes_a_video(load: Any, configure: Any, emulator: hh.Emulator, tmp_path: Path) -> None:
    """The blocking function returns a file with a video."""
    configure("dashscope", emulator)

    file = load("script")["make_video"]("a paper boat", tmp_path / "boat.mp4")

    assert b"ftyp" == file.read_bytes()[4:8]


def test_threads_share_one_client(load: Any, emulator: hh.Emulator) -> None:
    """Several threads submit and wait at the same time, each for a task of its own."""
    client = hh.Client("hiapi", api_key="any", base_url=emulator.url("hiapi"), poll=POLL)
    ended: list[hh.Task] = []

    with load("threads")["open_videos"](client) as videos:

        def work(number: int) -> None:
            ref = videos.submit(hh.TextToVideo("a paper boat"), key=f"order-{number}")
            ended.append(videos.wait(ref, timeout=150))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert [hh.TaskStatus.SUCCEEDED] * 4 == [task.status for task in ended]
    assert 4 == len({task.ref for task in ended})


async def test_a_worker_that_runs_a_task_twice_pays_once(
    load: Any, configure: Any, emulator: hh.Emulator, tmp_path: Path
) -> None:
    """The second run of the same order returns the same task, as JSON without URLs."""
    configure("imini", emulator)
    worker = load("taskiq_worker")
    broker, make_video = worker["broker"], worker["make_video"]
    broker.is_worker_process = True
    await broker.startup()
    try:
        request = hh.TextToVideo("a paper boat").to_dict()
        queued = [await make_video.kiq(request, "order-1", str(tmp_path)) for _ in range(2)]
        results = [(await one.wait_result(timeout=150)).return_value for one in queued]
    finally:
        await broker.shutdown()

    assert results[0]["ref"] == results[1]["ref"]
    assert "SUCCEEDED" == results[0]["status"]
    assert all("url" not in video for video in results[0]["videos"])
    assert 1 == len(await asyncio.to_thread(lambda: list(tmp_path.glob("*.mp4"))))


async def test_a_video_is_uploaded_to_s3(load: Any, emulator: hh.Emulator, listening: socket.socket) -> None:
    """The bucket gets the whole video in one PUT with its length and type, as a presigned URL requires."""
    received: list[tuple[str | None, int | None, bytes]] = []

    async def put(request: web.Request) -> web.Response:
        received.append((request.content_type, request.content_length, await request.read()))
        return web.Response()

    bucket = web.Application(client_max_size=2**30)
    bucket.router.add_put("/bucket/train.mp4", put)
    async with (
        served(bucket, listening) as root,
        hh.Client("nexusflow", api_key="any", base_url=emulator.url("nexusflow"), poll=POLL) as client,
    ):
        handle = await client.submit(hh.TextToVideo("a paper boat"))
        url = f"{root}/bucket/train.mp4?X-Amz-Signature=abc"
        size = await load("to_s3")["copy_to_s3"](client, str(handle.ref), url)

    [(content_type, content_length, body)] = received
    assert ("video/mp4", size, size) == (content_type, content_length, len(body))
    assert b"ftyp" == body[4:8]


async def test_the_upload_fails_loudly(load: Any, emulator: hh.Emulator, listening: socket.socket) -> None:
    """A bucket that refuses the PUT is an error, not a success."""
    async with (
        served(web.Application(), listening) as root,
        hh.Client("nexusflow", api_key="any", base_url=emulator.url("nexusflow"), poll=POLL) as client,
    ):
        handle = await client.submit(hh.TextToVideo("a paper boat"))
        with pytest.raises(aiohttp.ClientResponseError, match="404"):
            await load("to_s3")["copy_to_s3"](client, str(handle.ref), f"{root}/nowhere.mp4")


def test_the_cell_of_the_notebook_runs(
    configure: Any, emulator: hh.Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cell that makes the video works as a notebook runs it, with `await` at the top level."""
    configure("dashscope", emulator)
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((EXAMPLES / "notebook.ipynb").read_text("utf-8"))
    make, _ = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    code = compile(make, "notebook", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(types.FunctionType(code, {})())

    assert b"ftyp" == (tmp_path / "train.mp4").read_bytes()[4:8]


async def test_django_views_share_a_client(load: Any, emulator: hh.Emulator, listening: socket.socket) -> None:
    """The app around Django opens the client, and the views answer 202, 200, 404 and 422."""
    client = hh.Client("dashscope", api_key="any", base_url=emulator.url("dashscope"), poll=POLL)
    async with (
        served(load("django_app")["make_app"](client), listening) as root,
        aiohttp.ClientSession(root) as browser,
    ):
        async with browser.post("/videos", json={"prompt": "a paper boat"}) as created:
            job = (await created.json())["job"]
        async with browser.get(f"/videos/{job}") as shown:
            info = await shown.json()
        async with browser.get("/videos/none") as missing, browser.post("/videos", json={"prompt": ""}) as invalid:
            pass

    assert (202, 200, 404, 422) == (created.status, shown.status, missing.status, invalid.status)
    assert job == info["job_id"]
