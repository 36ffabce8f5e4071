"""`save_to` stands in the journal: whatever becomes of the process, the video is on disk before its URL dies."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

import happyhorse_async as hh
from happyhorse_async.job import Job, JobState

Rows = Callable[[], list[dict[str, Any]]]
LeftBehind = Callable[..., Awaitable[Job]]

REQUEST = hh.TextToVideo("a train at night")
REF = hh.TaskRef("fifth", "t-1")
SCRIPT = Path(__file__).with_name("save_one.py")
KILLS = int(os.environ.get("HAPPYHORSE_KILLS", "3"))


def box(name: bytes, payload: bytes) -> bytes:
    """Make one box of an MP4."""
    return (len(payload) + 8).to_bytes(4) + name + payload


VIDEO = box(b"ftyp", b"isom\0\0\0\0") + box(b"mdat", b"\1" * 9999) + box(b"moov", b"\0" * 100)


def content(file: Path) -> bytes:
    """Read a whole file."""
    return file.read_bytes()


def names(folder: Path) -> list[str]:
    """List a folder, hidden files included."""
    return sorted(file.name for file in folder.iterdir())


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where the video is to be, in a folder of its own."""
    folder = tmp_path / "videos"
    folder.mkdir()
    return folder / "train.mp4"


@pytest.fixture
def video_file(gateway: Any) -> None:
    """Let the provider make a video, and keep it."""
    gateway.accept("t-1")
    gateway.show("t-1", "running", "done")
    gateway.on("GET", "/files/t-1.mp4", gateway.reply(VIDEO))


def succeeded(gateway: Any) -> hh.Task:
    """Make the task as it was last seen: its video is there."""
    video = hh.Video(url=f"{gateway.url}/files/t-1.mp4?signature=s3cr3t")
    return hh.Task(ref=REF, status=hh.TaskStatus.SUCCEEDED, videos=(video,))


async def start(*arguments: object) -> asyncio.subprocess.Process:
    """Start a process that asks for the video and saves it."""
    return await asyncio.create_subprocess_exec(sys.executable, str(SCRIPT), *map(str, arguments))


async def closed(rows: Rows) -> dict[str, Any]:
    """Wait until the journal has closed its only job, and return it."""
    async with asyncio.timeout(150):
        while (row := rows()[0])["closed_at"] is None:
            await asyncio.sleep(0.005)
    return row


@pytest.mark.fault(75)
@pytest.mark.usefixtures("video_file")
@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.ACCEPTED])
async def test_what_a_dead_process_was_to_save(
    fifth: Any, path: Path, rows: Rows, target: Path, left_behind: LeftBehind, state: JobState
) -> None:
    """Whether or not it was sent, the client that opens the store next sees the job through and saves its video."""
    task_id = "t-1" if state is JobState.ACCEPTED else None
    await left_behind(state, durable=True, task_id=task_id, save_to=str(target))

    async with fifth.open(store=hh.SQLiteStore(path)) as client:
        row = await closed(rows)
        pending = await client.pending()

    assert VIDEO == content(target)
    assert str(target) == row["saved_to"]
    assert row["owner"] is None
    assert [] == pending


@pytest.mark.fault(75)
@pytest.mark.usefixtures("video_file")
async def test_a_video_that_was_there_already(
    gateway: Any, fifth: Any, path: Path, rows: Rows, target: Path, left_behind: LeftBehind
) -> None:
    """A process that died between the success and the file leaves a pending job, which nobody need look at again."""
    await left_behind(JobState.SUCCEEDED, task_id="t-1", task=succeeded(gateway), save_to=str(target.parent))

    async with fifth.open(store=hh.SQLiteStore(path)):
        row = await closed(rows)

    assert str(target.parent / "t-1.mp4") == row["saved_to"]
    assert [] == gateway.seen("GET", "/videos/*")


@pytest.mark.parametrize("method", ["submit", "enqueue"])
async def test_a_client_that_closes_before(
    gateway: Any, fifth: Any, store: hh.TaskStore, target: Path, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    """What is not saved when a client closes stays pending, and the next client saves it, once."""
    gateway.accept("t-1")
    gateway.show("t-1", "running")
    async with fifth.open(store=store) as client:
        handle = await getattr(client, method)(REQUEST, save_to=target)
        await gateway.until(1, "GET")
    async with fifth.open(store=store):
        pass
    gateway.show("t-1", "done")
    gateway.on("GET", "/files/t-1.mp4", gateway.reply(VIDEO))
    for _ in range(2):
        async with fifth.open(store=store) as client:
            await gateway.until(1, "GET", "/files/*")
            while await client.pending():
                await asyncio.sleep(0.005)

    assert VIDEO == content(target)
    assert 1 == len(gateway.seen("GET", "/files/*"))
    assert 1 == len(gateway.seen("POST"))
    assert "the next that opens the store saves it" in caplog.text
    assert handle.job_id in caplog.text or "fifth:t-1" in caplog.text


async def test_a_success_is_pending_until_it_is_saved(gateway: Any, fifth: Any, path: Path, target: Path) -> None:
    """While its video is on the way to disk a job is not closed, and it is afterwards."""
    answer = asyncio.Event()
    gateway.accept("t-1")
    gateway.show("t-1", "done")
    gateway.on("GET", "/files/t-1.mp4", gateway.reply(VIDEO, after=answer))

    async with fifth.open(store=hh.SQLiteStore(path)) as client:
        generating = asyncio.create_task(client.generate(REQUEST, save_to=target))
        await gateway.until(1, "GET", "/files/*")
        before = await client.pending()
        answer.set()
        await generating
        after = await client.pending()

    assert [(REF, JobState.SUCCEEDED)] == [(job.ref, job.state) for job in before]
    assert [] == after


@pytest.mark.fault(74)
@pytest.mark.usefixtures("video_file")
async def test_what_a_living_process_saves(
    gateway: Any, fifth: Any, path: Path, rows: Rows, target: Path, left_behind: LeftBehind
) -> None:
    """What another process that has the store open is to save is left to it."""
    other = hh.SQLiteStore(path)
    await other.open()
    await left_behind(JobState.ACCEPTED, task_id="t-1", save_to=str(target), owner=other.owner)

    async with fifth.open(store=hh.SQLiteStore(path)):
        await asyncio.sleep(0.03)
    owner, mine = rows()[0]["owner"], other.owner
    await other.aclose()

    assert owner == mine
    assert [] == gateway.requests
    assert [] == names(target.parent)


@pytest.mark.usefixtures("video_file")
@pytest.mark.parametrize("first", [None, "other.mp4"])
async def test_a_place_that_is_given_later(fifth: Any, store: hh.TaskStore, target: Path, first: str | None) -> None:
    """The same key with a place, or with another one, brings the video there as well, and the last one is recorded."""
    save_to = None if first is None else target.with_name(first)
    async with fifth.open(store=store) as client:
        handle = await client.submit(REQUEST, key="k", save_to=save_to)
        await client.submit(REQUEST, key="k", save_to=target)
        await handle
        async with asyncio.timeout(20):
            while await client.pending():
                await asyncio.sleep(0.005)
        await client.generate(REQUEST, key="k", save_to=target)
        job = await store.get(handle.job_id)

    assert VIDEO == content(target)
    assert job is not None
    assert (str(target), JobState.SUCCEEDED) == (job.save_to, job.state)


@pytest.mark.usefixtures("video_file")
async def test_a_place_for_a_job_that_is_closed(gateway: Any, fifth: Any, store: hh.TaskStore, target: Path) -> None:
    """A job that has succeeded is open again until its video is where it is now wanted."""
    gateway.show("t-1", "done")
    answer = asyncio.Event()
    async with fifth.open(store=store) as client:
        await client.generate(REQUEST, key="k")
        gateway.on("GET", "/files/t-1.mp4", gateway.reply(VIDEO, after=answer))
        await client.enqueue(REQUEST, key="k", save_to=target)
        during = await client.pending()
        answer.set()
        while after := await client.pending():
            await asyncio.sleep(0.005)

    assert [JobState.SUCCEEDED] == [job.state for job in during]
    assert [] == after
    assert VIDEO == content(target)


@pytest.mark.fault(64)
async def test_a_video_that_is_lost(
    gateway: Any, fifth: Any, path: Path, rows: Rows, target: Path, left_behind: LeftBehind
) -> None:
    """A URL that is refused until it has expired ends the saving: the journal says why, and it is not tried again."""
    expires_at = datetime.now(UTC) + timedelta(seconds=2)
    task = succeeded(gateway)
    task = evolve(task, videos=(evolve(task.videos[0], expires_at=expires_at),))
    # No video is older than its request: until its life has passed since then, the provider's clock may be wrong.
    yesterday = datetime.now(UTC) - timedelta(hours=25)
    await left_behind(JobState.SUCCEEDED, task_id="t-1", task=task, save_to=str(target), submitted_at=yesterday)
    gateway.show("t-1", 404)
    gateway.on("GET", "/files/t-1.mp4", 403)
    often = hh.RetryPolicy(max_retries=100, initial_interval=0.01, max_interval=0.05)

    async with fifth.open(store=hh.SQLiteStore(path), retries=hh.RetryPolicies(download=often, save=often)):
        row = await closed(rows)
    attempts = len(gateway.seen("GET", "/files/*"))
    async with fifth.open(store=hh.SQLiteStore(path)):
        pass

    assert "expired" in row["error"]
    assert row["saved_to"] is None
    assert attempts > 1
    assert attempts == len(gateway.seen("GET", "/files/*"))


async def test_a_task_that_is_forgotten(
    gateway: Any, fifth: Any, path: Path, rows: Rows, target: Path, left_behind: LeftBehind, caplog: Any
) -> None:
    """A process that comes back when the provider has forgotten the task says loudly that the video is lost."""
    long_ago = datetime.now(UTC) - timedelta(hours=30)
    task = evolve(succeeded(gateway), finished_at=long_ago)
    await left_behind(JobState.ACCEPTED, task_id="t-1", task=task, save_to=str(target), submitted_at=long_ago)
    gateway.show("t-1", 404)

    async with fifth.open(store=hh.SQLiteStore(path)):
        row = await closed(rows)

    assert [] == names(target.parent)
    assert row["saved_to"] is None
    assert [record for record in caplog.records if record.levelname == "ERROR" and str(target) in record.getMessage()]


@pytest.mark.fault(75)
async def test_a_process_that_is_killed_in_a_download(gateway: Any, fifth: Any, path: Path, target: Path) -> None:
    """Killed in the midst of a video, it leaves nothing under its name; the next one saves it and cleans up."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(VIDEO)
    gateway.accept("t-1")
    gateway.show("t-1", "done")
    gateway.on("GET", "/files/t-1.mp4", gateway.raw(head + VIDEO[:5000], "hang"))
    process = await start(path, gateway.url, target)
    await gateway.until(1, "GET", "/files/*")
    process.kill()
    await process.wait()
    left = names(target.parent)

    gateway.on("GET", "/files/t-1.mp4", gateway.reply(VIDEO))
    async with fifth.open(fifth.adapter(idempotent=True), store=hh.SQLiteStore(path)) as client:
        while await client.pending():
            await asyncio.sleep(0.005)

    assert [name for name in left if name.endswith(".part")] == left
    assert 1 == len(left)
    assert VIDEO == content(target)
    assert [target.name] == names(target.parent)
    assert 1 == len(gateway.seen("POST"))


@pytest.mark.fault(75)
@pytest.mark.timeout(300 + 25 * KILLS)
async def test_a_process_that_is_killed_at_any_instant(gateway: Any, rows: Rows, path: Path, target: Path) -> None:
    """From the request to the record of the file: what stands under the name is whole, and one task was paid for."""
    keys = set[str]()

    def take(seen: Any) -> Any:
        keys.add(seen.headers["idempotency-key"])
        return {"id": f"t-{len(keys)}", "status": "queued"}

    gateway.on("POST", "/videos", take)
    gateway.show("t-1", "running", "done")
    gateway.on("GET", "/files/t-1.mp4", gateway.reply(VIDEO))
    standing = list[bytes]()
    for _ in range(KILLS):
        before = len(gateway.requests)
        process = await start(path, gateway.url, target)
        while len(gateway.requests) == before and process.returncode is None:
            await asyncio.sleep(0.001)
        await asyncio.sleep(random.uniform(0.0, 0.06))
        if process.returncode is None:
            process.kill()
        await process.wait()
        standing += [content(target) for name in names(target.parent) if name == target.name]
    code = await (await start(path, gateway.url, target)).wait()

    assert 0 == code
    assert {VIDEO} == {*standing, content(target)}
    assert [target.name] == names(target.parent)
    assert 1 == len(keys)
    assert ["SUCCEEDED"] == [row["state"] for row in rows()]
    assert str(target) == rows()[0]["saved_to"]
