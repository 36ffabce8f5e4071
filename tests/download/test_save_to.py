"""`save_to`: a video is on disk before its URL dies, whether or not anybody waits for it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

import happyhorse_async as hh
from happyhorse_async.download.fetch import UrlRefusedError
from happyhorse_async.job import Endpoint, Job, JobState
from happyhorse_async.jobs.auto_download import AutoDownload
from happyhorse_async.jobs.journal import Journal
from happyhorse_async.retry import RetryPolicies, RetryPolicy
from happyhorse_async.tracked_job import TrackedJob

from .videos import HASTY, video_file

if TYPE_CHECKING:
    from conftest import Fifth, Gateway

REQUEST = hh.TextToVideo("a train at night")
REF = hh.TaskRef("fifth", "t-1")
DONE = hh.Task(ref=REF, status=hh.TaskStatus.SUCCEEDED, videos=(hh.Video(url="https://files.example/v"),))


VIDEO = video_file(b"\1" * 9999)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something has come true."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def below(folder: Path) -> list[Path]:
    """List everything in a folder."""
    return sorted(folder.rglob("*"))


@pytest.fixture
def store() -> hh.MemoryStore:
    """Make a store."""
    return hh.MemoryStore()


async def saved_to(store: hh.MemoryStore, job_id: str) -> str | None:
    """Return where the journal has the video of a job."""
    job = await store.get(job_id)
    assert job is not None
    return job.saved_to


@pytest.fixture
def video_file(gateway: Gateway) -> None:
    """Let the provider make a video, and keep it."""
    gateway.accept("t-1")
    gateway.show("t-1", "running", "done")
    gateway.on("GET", "/files/t-1.mp4", gateway.reply(VIDEO))


@pytest.mark.usefixtures("video_file")
@pytest.mark.parametrize("name", ["train.mp4", ""])
@pytest.mark.parametrize("method", ["submit", "enqueue"])
async def test_a_video_is_saved(
    gateway: Gateway, fifth: Fifth, store: hh.MemoryStore, tmp_path: Path, method: str, name: str
) -> None:
    """Without anybody who waits the video comes to the file, or into the folder, and the journal knows where it is."""
    async with fifth.open(store=store) as client:
        handle = await getattr(client, method)(REQUEST, save_to=str(tmp_path / name))
        await gateway.until(1, "GET", "/files/*")

    path = tmp_path / (name or "t-1.mp4")
    assert VIDEO == path.read_bytes()
    assert str(path) == await saved_to(store, handle.job_id)


@pytest.mark.usefixtures("video_file")
async def test_generate_returns_once_the_video_is_saved(fifth: Fifth, store: hh.MemoryStore, tmp_path: Path) -> None:
    """A caller who waits for a video finds it at its target."""
    async with fifth.open(store=store) as client:
        task = await client.generate(REQUEST, save_to=tmp_path / "train.mp4")
        content = (tmp_path / "train.mp4").read_bytes()

    assert hh.TaskStatus.SUCCEEDED is task.status
    assert VIDEO == content


def in_no_folder(folder: Path) -> str:
    """Name a file in a folder that does not exist."""
    return str(folder / "missing" / "train.mp4")


def a_pipe(folder: Path) -> str:
    """Make a pipe."""
    os.mkfifo(folder / "train.mp4")
    return str(folder / "train.mp4")


def a_link_to_a_pipe(folder: Path) -> str:
    """Make a link to a pipe."""
    (folder / "link.mp4").symlink_to(a_pipe(folder))
    return str(folder / "link.mp4")


def a_link_to_nowhere(folder: Path) -> str:
    """Make a link into a folder that does not exist."""
    (folder / "link.mp4").symlink_to(folder / "missing" / "train.mp4")
    return str(folder / "link.mp4")


def a_folder_below_a_file(folder: Path) -> str:
    """Name a folder where a file is in the way."""
    (folder / "file").touch()
    return f"{folder}/file/videos/"


def nothing(folder: Path) -> str:
    """Name nothing, as a variable does that is not set."""
    return ""


def a_long_name(folder: Path) -> str:
    """Name a file with more bytes than a name may have."""
    return str(folder / ("视" * 90))


BAD_TARGETS = [in_no_folder, a_pipe, a_link_to_a_pipe, a_link_to_nowhere, a_folder_below_a_file, a_long_name, nothing]


@pytest.mark.fault(84)
@pytest.mark.parametrize("bad", BAD_TARGETS, ids=lambda bad: bad.__name__)
@pytest.mark.parametrize("method", ["submit", "enqueue", "generate", "generate_many"])
async def test_a_target_that_cannot_be_written_is_refused_before_paying(
    gateway: Gateway, fifth: Fifth, tmp_path: Path, bad: Callable[[Path], str], method: str
) -> None:
    """A target to which no video can be written is found out before the job is recorded or sent."""
    target = bad(tmp_path)
    before = below(tmp_path)

    async with fifth.open() as client:
        if method == "generate_many":
            (outcome,) = [outcome async for outcome in client.generate_many([hh.JobRequest(REQUEST, save_to=target)])]
            error: object = outcome.error
        else:
            with pytest.raises(hh.DownloadError) as raised:
                await getattr(client, method)(REQUEST, save_to=target)
            error = raised.value
        assert [] == await client.pending()

    assert isinstance(error, hh.DownloadError)
    assert [] == gateway.requests
    assert before == below(tmp_path)


@pytest.mark.usefixtures("video_file")
@pytest.mark.parametrize("name", ["videos/", "new/videos/.", "link/../videos/"])
async def test_a_separator_at_the_end_means_a_folder(fifth: Fifth, tmp_path: Path, name: str) -> None:
    """A path with a separator at its end is a folder, which is made."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")

    async with fifth.open() as client:
        await client.generate(REQUEST, save_to=f"{tmp_path}/{name}")

    assert VIDEO == (tmp_path / name / "t-1.mp4").read_bytes()


async def test_a_target_that_cannot_be_written_any_more_is_logged(
    gateway: Gateway, fifth: Fifth, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A target that cannot be written any more is logged with the task and the path, and the task stays as it is."""
    gateway.accept("t-1")
    gateway.show("t-1", "running")
    folder = tmp_path / "folder"
    folder.mkdir()
    target = folder / "train.mp4"

    async with fifth.open() as client:
        handle = await client.submit(REQUEST, save_to=target)
        folder.rmdir()
        gateway.show("t-1", "done")
        task = await handle
        await until(lambda: any(record.levelno >= logging.ERROR for record in caplog.records))

    assert hh.TaskStatus.SUCCEEDED is task.status
    error = next(record for record in caplog.records if record.levelno >= logging.ERROR)
    assert str(target) in error.getMessage()
    assert "fifth:t-1" in error.getMessage()


@pytest.mark.fault(64)
async def test_an_expired_video_is_given_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A URL that is refused after its life is given up, and that is logged."""
    line = Line(UrlRefusedError("the URL of the video has expired"))

    await (await line.saving(tmp_path)).run()

    assert 1 == line.tries
    assert "the video is not saved" in caplog.text
    assert [] == await line.store.unfinished("fifth")


@pytest.mark.usefixtures("video_file")
@pytest.mark.parametrize("status", [400, 403, 404, 409, 423, 503])
async def test_a_video_that_is_late_in_the_storage_is_saved(
    gateway: Gateway, fifth: Fifth, tmp_path: Path, status: int
) -> None:
    """A video that appears in the storage after its task has succeeded is saved."""
    gateway.on("GET", "/files/t-1.mp4", status, status, gateway.reply(VIDEO))

    async with fifth.open(retries=HASTY) as client:
        await client.generate(REQUEST, save_to=tmp_path)

    assert VIDEO == (tmp_path / "t-1.mp4").read_bytes()


@pytest.mark.parametrize("word", ["failed", "canceled"])
async def test_a_task_without_a_video_saves_nothing(
    gateway: Gateway, fifth: Fifth, tmp_path: Path, caplog: pytest.LogCaptureFixture, word: str
) -> None:
    """A task without a video saves nothing, and that is not an error of the download."""
    gateway.accept("t-1")
    gateway.show("t-1", word)

    async with fifth.open() as client:
        with pytest.raises(hh.TaskError):
            await client.generate(REQUEST, save_to=tmp_path)
        await until(lambda: "nothing to save" in caplog.text)

    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.usefixtures("video_file")
async def test_a_cancelled_submit_is_saved_all_the_same(gateway: Gateway, fifth: Fifth, tmp_path: Path) -> None:
    """A submit that is cancelled when it is too late to take it back is saved all the same."""
    answer = asyncio.Event()
    gateway.on("POST", "/videos", gateway.reply({"id": "t-1", "status": "queued"}, after=answer))

    async with fifth.open() as client:
        submitting = asyncio.create_task(client.submit(REQUEST, save_to=tmp_path))
        await gateway.until(1, "POST")
        submitting.cancel()
        await asyncio.wait([submitting])
        answer.set()
        await until((tmp_path / "t-1.mp4").exists)

    assert submitting.cancelled()


async def test_closing_waits_for_a_video_that_is_being_saved(gateway: Gateway, fifth: Fifth, tmp_path: Path) -> None:
    """A video that is being saved is whole before the client is closed."""
    answer = asyncio.Event()
    gateway.accept("t-1")
    gateway.show("t-1", "done")
    gateway.on("GET", "/files/t-1.mp4", gateway.reply(VIDEO, after=answer))

    async with fifth.open() as client:
        await client.submit(REQUEST, save_to=tmp_path)
        await gateway.until(1, "GET", "/files/*")
        asyncio.get_running_loop().call_later(0.05, answer.set)

    assert VIDEO == (tmp_path / "t-1.mp4").read_bytes()


async def test_closing_does_not_wait_for_a_running_task(
    gateway: Gateway, fifth: Fifth, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A task that still runs does not hold up the closing, and the log says what will be missing."""
    gateway.accept("t-1")
    gateway.show("t-1", "running")

    async with asyncio.timeout(20), fifth.open() as client:
        await client.submit(REQUEST, save_to=tmp_path)
        await gateway.until(1, "GET")

    assert "the client was closed before the video of fifth:t-1 was saved" in caplog.text


@pytest.mark.usefixtures("video_file")
async def test_a_video_is_saved_once(gateway: Gateway, fifth: Fifth, store: hh.MemoryStore, tmp_path: Path) -> None:
    """The same key and path save the same video once, also in a client that is opened later."""
    for _ in range(2):
        async with fifth.open(store=store) as client:
            await asyncio.gather(*(client.generate(REQUEST, key="k", save_to=tmp_path) for _ in range(3)))

    assert 1 == len(gateway.seen("GET", "/files/*"))
    assert 1 == len(gateway.seen("POST"))


@pytest.mark.usefixtures("video_file")
async def test_a_video_that_was_removed_is_saved_again(
    gateway: Gateway, fifth: Fifth, store: hh.MemoryStore, tmp_path: Path
) -> None:
    """What the journal says of a file that is not there is not believed."""
    for _ in range(2):
        async with fifth.open(store=store) as client:
            await client.generate(REQUEST, key="k", save_to=tmp_path)
        (tmp_path / "t-1.mp4").unlink()

    assert 2 == len(gateway.seen("GET", "/files/*"))


class Line:
    """Downloads that fail a number of times."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.tries = 0
        self.store = hh.MemoryStore()

    async def saving(self, path: Path, *, retries: int = 2, base: float = 0.0) -> AutoDownload:
        """Make a saving that goes through here, of a job that is in the store."""
        endpoint = Endpoint(provider="fifth", adapter="fifth", base_url="https://fifth.example")
        job = Job(job_id="hh-1", endpoint=endpoint, model="m", created_at=datetime.now(UTC), save_to=str(path))
        job = evolve(job, state=JobState.SUCCEEDED, task_id=REF.id, task=DONE)
        tracked = TrackedJob(await self.store.add(job))
        return AutoDownload(
            tracked=tracked,
            path=str(path),
            journal=Journal(self.store),
            attend=self.attend,
            download=self.download,
            retry=RetryPolicy(max_retries=retries, initial_interval=base),
        )

    async def attend(self, tracked: TrackedJob) -> None:
        """Have the task already."""

    async def download(self, task: hh.Task, path: Path) -> Path:
        """Fail, or do not."""
        self.tries += 1
        if self.failures:
            raise self.failures.pop(0)
        return path


@pytest.mark.fault(72)
@pytest.mark.parametrize("failure", [hh.DownloadError("full"), hh.TransportError("away", sent=False)])
async def test_a_failed_save_is_tried_again(tmp_path: Path, failure: Exception) -> None:
    """What may pass is tried again, and where the video stands is written down once it is there."""
    line = Line(failure, failure)

    await (await line.saving(tmp_path)).run()

    assert 3 == line.tries
    assert str(tmp_path / "t-1.mp4") == await saved_to(line.store, "hh-1")
    assert [] == await line.store.unfinished("fifth")


@pytest.mark.parametrize(("failure", "tries"), [(hh.DownloadError("full"), 3), (ZeroDivisionError(), 1)])
async def test_a_save_that_keeps_failing_is_left_to_the_next_client(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, failure: Exception, tries: int
) -> None:
    """After the last attempt, or for a bug, it is logged, and left to the next client that opens the store."""
    line = Line(*[failure] * 9)

    await (await line.saving(tmp_path)).run()

    assert tries == line.tries
    assert f"is not saved at {tmp_path}" in caplog.text
    assert "fifth:t-1" in caplog.text
    assert ["hh-1"] == [job.job_id for job in await line.store.unfinished("fifth")]


async def test_a_pause_does_not_delay_closing(fifth: Fifth, gateway: Gateway, tmp_path: Path) -> None:
    """A video that waits for its next attempt is left when the client closes."""
    gateway.accept("t-1")
    gateway.show("t-1", "done")
    gateway.on("GET", "/files/t-1.mp4", *[404] * 9)
    seldom = RetryPolicies(download=RetryPolicy(max_retries=0), save=RetryPolicy(max_retries=9, initial_interval=600.0))

    async with asyncio.timeout(20), fifth.open(retries=seldom) as client:
        await client.generate(REQUEST, save_to=tmp_path / "train.mp4")

    assert 1 == len(gateway.seen("GET", "/files/*"))


async def test_every_attempt_is_waited_for(tmp_path: Path) -> None:
    """A second try is waited for by those who close or want the video, as the first one was."""
    line, begun, answer = Line(), asyncio.Event(), asyncio.Event()
    saving = await line.saving(tmp_path)

    async def download(task: hh.Task, path: Path) -> None:
        line.tries += 1
        if line.tries == 1:
            raise hh.DownloadError("full")
        begun.set()
        await answer.wait()

    saving.download = download
    running = asyncio.create_task(saving.run())
    await begun.wait()
    waited_for = saving.under_way and not saving.tried.is_set()
    answer.set()
    await running

    assert waited_for
    assert saving.tried.is_set()
