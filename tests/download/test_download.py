"""Bringing a video to disk: whole or not at all, and telling nobody the key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import happyhorse_async as hh
from happyhorse_async.download import download

if TYPE_CHECKING:
    from conftest import Fifth, Gateway

OK = b"HTTP/1.1 200 OK\r\n"


def box(name: bytes, payload: bytes) -> bytes:
    """Make one box of an MP4."""
    return (len(payload) + 8).to_bytes(4) + name + payload


VIDEO = box(b"ftyp", b"isom\0\0\0\0") + box(b"mdat", bytes(range(256)) * 4096) + box(b"moov", b"\0" * 100)


def done(url: str, task_id: str = "t-1") -> hh.Task:
    """Make a succeeded task."""
    ref = hh.TaskRef("fifth", task_id)
    return hh.Task(ref=ref, status=hh.TaskStatus.SUCCEEDED, videos=(hh.Video(url=url),))


def content(file: Path) -> bytes:
    """Read a whole file."""
    return file.read_bytes()


def names(folder: Path) -> list[str]:
    """List a folder, hidden files included."""
    return sorted(file.name for file in folder.iterdir())


@pytest.fixture
def task(gateway: Gateway) -> hh.Task:
    """Make a succeeded task whose video the gateway has."""
    return done(f"{gateway.url}/files/t-1.mp4?signature=s3cr3t%2B")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Choose a file that stands there already."""
    file = tmp_path / "train.mp4"
    file.write_bytes(b"an older video")
    return file


async def test_a_video(gateway: Gateway, fifth: Fifth, task: hh.Task, target: Path) -> None:
    """The whole video is on disk, in place of what stood there, and nothing else is."""
    gateway.on("GET", "/files/t-1.mp4", gateway.reply(VIDEO))

    async with fifth.open() as client:
        path = await client.download(task, str(target))

    assert target == path
    assert VIDEO == content(target)
    assert [target.name] == names(target.parent)


@pytest.mark.fault(43, 86)
async def test_no_credential_leaves_for_the_files(gateway: Gateway, fifth: Fifth, task: hh.Task, target: Path) -> None:
    """The URL is asked for exactly as it was signed, and no header tells the key."""
    gateway.on("GET", "/files/t-1.mp4", gateway.reply(VIDEO))

    async with fifth.open() as client:
        await client.download(task, target)

    (seen,) = gateway.requests
    assert "/files/t-1.mp4?signature=s3cr3t%2B" == seen.target
    assert {"host", "user-agent", "accept", "accept-encoding"} == set(seen.headers)
    assert "identity" == seen.headers["accept-encoding"]


async def test_from_the_handle(gateway: Gateway, fifth: Fifth, target: Path) -> None:
    """A handle waits for the video and then brings it."""
    gateway.accept("t-1")
    gateway.show("t-1", "running", "done")
    gateway.on("GET", "/files/t-1.mp4", gateway.reply(VIDEO))

    async with fifth.open() as client:
        handle = await client.submit(hh.TextToVideo("a train at night"))
        await handle.download(target)

    assert VIDEO == content(target)


@pytest.mark.fault(84)
@pytest.mark.parametrize(
    ("task_id", "begin", "end"),
    [
        ("t-1", "t-1", ".mp4"),
        ("../../etc/passwd", "_.._.._etc_passwd-", ".mp4"),
        ("a\0b c", "a_b_c-", ".mp4"),
        ("x" * 5000, "x" * 80 + "-", ".mp4"),
        ("CON", "_CON-", ".mp4"),
        ("-rf", "_-rf-", ".mp4"),
        ("\u202egpm.exe", "_gpm.exe-", ".mp4"),
    ],
)
async def test_into_a_folder(
    gateway: Gateway, fifth: Fifth, tmp_path: Path, task_id: str, begin: str, end: str
) -> None:
    """In a folder the file is named after the task, and stays in the folder whatever the task is called."""
    gateway.on("GET", "/files/v", gateway.reply(VIDEO))

    async with fifth.open() as client:
        path = await client.download(done(f"{gateway.url}/files/v", task_id), tmp_path)

    assert tmp_path == path.parent
    assert path.name.startswith(begin)
    assert path.name.endswith(end)
    assert [path.name] == names(tmp_path)


@pytest.mark.fault(67)
@pytest.mark.parametrize(
    "answer",
    [
        OK + b"\r\n" + VIDEO,
        OK + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(VIDEO), VIDEO),
        OK + b"Content-Type: binary/octet-stream\r\nContent-Length: %d\r\n\r\n" % len(VIDEO) + VIDEO,
    ],
    ids=["until the end", "in chunks", "of no type"],
)
async def test_a_body_of_any_framing(
    gateway: Gateway, fifth: Fifth, task: hh.Task, target: Path, answer: bytes
) -> None:
    """A video is whole whether its length was announced or is known by its own boxes."""
    gateway.on("GET", "/files/t-1.mp4", answer)

    async with fifth.open() as client:
        await client.download(task, target)

    assert VIDEO == content(target)


@pytest.mark.parametrize(
    ("head", "total"),
    [(b"Content-Length: %d\r\n\r\n" % len(VIDEO), len(VIDEO)), (b"\r\n", None)],
    ids=["announced", "not announced"],
)
async def test_progress(
    gateway: Gateway, fifth: Fifth, task: hh.Task, target: Path, head: bytes, total: int | None
) -> None:
    """Progress counts up to the whole, of a total that is None where the server does not say."""
    gateway.on("GET", "/files/t-1.mp4", OK + head + VIDEO)
    reports: list[tuple[int, int | None]] = []

    async with fifth.open() as client:
        await client.download(task, target, progress=lambda received, total: reports.append((received, total)))

    assert (len(VIDEO), total) == reports[-1]
    assert sorted(reports, key=lambda report: report[0]) == reports
    assert len(reports) > 1


@pytest.mark.fault(82)
async def test_a_progress_callback_that_fails(
    gateway: Gateway, fifth: Fifth, task: hh.Task, target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller's own bug is logged and costs no video."""
    gateway.on("GET", "/files/t-1.mp4", gateway.reply(VIDEO))

    def fail(received: int, total: int | None) -> None:
        raise ZeroDivisionError

    async with fifth.open() as client:
        await client.download(task, target, progress=fail)

    assert VIDEO == content(target)
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.fault(44)
@pytest.mark.parametrize("url", ["ftp://fifth.example/t-1.mp4", "file:///etc/passwd", "t-1.mp4", "", "http://[/v"])
async def test_a_url_that_is_not_fetched(gateway: Gateway, fifth: Fifth, target: Path, url: str) -> None:
    """Only http and https are fetched."""
    async with fifth.open() as client:
        with pytest.raises(hh.HappyHorseError) as raised:
            await client.download(done(url), target)

    assert "fifth:t-1" == str(raised.value.ref)


@pytest.mark.fault(64)
@pytest.mark.parametrize("status", [403, 404, 410])
async def test_a_url_that_has_expired(gateway: Gateway, fifth: Fifth, task: hh.Task, target: Path, status: int) -> None:
    """A refused URL is asked for once more, and the fresh one brings the video."""
    fresh = {"id": "t-1", "status": "done", "urls": [f"{gateway.url}/fresh"]}
    gateway.on("GET", "/files/t-1.mp4", status)
    gateway.show("t-1", fresh)
    gateway.on("GET", "/fresh", gateway.reply(VIDEO))

    async with fifth.open() as client:
        await client.download(task, target)

    assert VIDEO == content(target)
    assert ["/files/t-1.mp4", "/videos/t-1", "/fresh"] == [seen.path for seen in gateway.requests]


@pytest.mark.fault(64)
@pytest.mark.parametrize("look", ["done", 404])
async def test_a_video_that_has_expired(
    gateway: Gateway, fifth: Fifth, task: hh.Task, target: Path, look: str | int
) -> None:
    """A URL that stays refused, or a task that is forgotten, is an error that says so, after one fresh look."""
    gateway.on("GET", "/files/t-1.mp4", 403)
    gateway.show("t-1", look)

    async with fifth.open() as client:
        with pytest.raises(hh.DownloadError, match=r"has expired .* at 20..-..-..T") as raised:
            await client.download(task, target)

    assert (403, task.ref) == (raised.value.status_code, raised.value.ref)
    assert 1 == len(gateway.seen("GET", "/videos/t-1"))
    assert [target.name] == names(target.parent)


@pytest.mark.parametrize("status", [hh.TaskStatus.RUNNING, hh.TaskStatus.FAILED, hh.TaskStatus.SUCCEEDED])
async def test_a_task_without_a_video(fifth: Fifth, target: Path, status: hh.TaskStatus) -> None:
    """What has no video is not asked for one."""
    async with fifth.open() as client:
        with pytest.raises(hh.DownloadError, match="no video to download"):
            await client.download(hh.Task(ref=hh.TaskRef("fifth", "t-1"), status=status), target)


@pytest.mark.fault(43)
async def test_a_redirect(gateway: Gateway, fifth: Fifth, task: hh.Task, target: Path) -> None:
    """A redirect is followed to another place, and carries no credential there."""
    away = gateway.url.replace("127.0.0.1", "localhost")
    gateway.on("GET", "/files/t-1.mp4", gateway.reply(status=302, headers={"Location": f"{away}/a?x=%2F"}))
    gateway.on("GET", "/a", gateway.reply(status=307, headers={"Location": "b"}))
    gateway.on("GET", "/b", gateway.reply(VIDEO))

    async with fifth.open() as client:
        await client.download(task, target)

    assert VIDEO == content(target)
    assert ["/files/t-1.mp4?signature=s3cr3t%2B", "/a?x=%2F", "/b"] == [seen.target for seen in gateway.requests]
    assert not any({"authorization", "x-api-key", "cookie"} & set(seen.headers) for seen in gateway.requests)


class Insecure:
    """A transport to a server that redirects from https to http."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    @asynccontextmanager
    async def stream(self, url: str, headers: Any, *, public_only: bool) -> AsyncIterator[Any]:
        self.urls.append(url)
        yield SimpleNamespace(status=302, headers={"location": "http://files.example/t-1.mp4"})


@pytest.mark.fault(43, 44)
async def test_a_redirect_that_is_not_secure(target: Path) -> None:
    """What was asked for over https is not fetched over http."""
    transport: Any = Insecure()

    with pytest.raises(hh.DownloadError, match="not secure"):
        await download(transport, "https://files.example/t-1.mp4", target)

    assert ["https://files.example/t-1.mp4"] == transport.urls
    assert b"an older video" == content(target)


@pytest.mark.fault(83)
async def test_downloads_at_once(gateway: Gateway, fifth: Fifth, tmp_path: Path) -> None:
    """No more downloads run at the same time than the limits allow."""
    answer = asyncio.Event()
    gateway.on("GET", "/files/*", gateway.reply(VIDEO, after=answer))
    tasks = [done(f"{gateway.url}/files/{number}", f"t-{number}") for number in range(5)]

    async with fifth.open(limits=hh.Limits(max_concurrent_downloads=2)) as client:
        downloading = asyncio.gather(*(client.download(task, tmp_path) for task in tasks))
        await gateway.until(2, "GET")
        await asyncio.sleep(0.02)
        at_once = len(gateway.requests)
        answer.set()
        await downloading

    assert 2 == at_once
    assert 5 == len(names(tmp_path))


async def test_a_cancelled_download(gateway: Gateway, fifth: Fifth, task: hh.Task, target: Path) -> None:
    """Cancelling a download that is on its way leaves the disk as it was."""
    gateway.on("GET", "/files/t-1.mp4", gateway.raw(OK + b"Content-Length: 9999\r\n\r\n" + VIDEO[:99], "hang"))
    begun = asyncio.Event()

    async with fifth.open() as client:
        downloading = asyncio.create_task(client.download(task, target, progress=lambda *_: begun.set()))
        await begun.wait()
        downloading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await downloading

    assert b"an older video" == content(target)
    assert [target.name] == names(target.parent)


@pytest.mark.fault(77)
@pytest.mark.fault(75)
async def test_cancelling_at_every_step(gateway: Gateway, fifth: Fifth, task: hh.Task, target: Path) -> None:
    """At whatever step a download is cancelled, the target is the old video or the new one, and nothing is left."""
    gateway.on("GET", "/files/t-1.mp4", gateway.reply(VIDEO))
    whole = {b"an older video", VIDEO}
    steps, finished = 0, False

    async with fifth.open() as client:
        while not finished:
            downloading = asyncio.create_task(client.download(task, target))
            for _ in range(steps):
                await asyncio.sleep(0)
            finished = downloading.done()
            downloading.cancel()
            await asyncio.wait([downloading])
            assert [target.name] == names(target.parent)
            assert content(target) in whole
            steps = max(steps + 1, steps * 6 // 5)
