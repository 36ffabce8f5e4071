"""Bringing a video to disk: whole or not at all, and telling nobody the key."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import happyhorse_async as hh
from happyhorse_async.download import download

if TYPE_CHECKING:
    from conftest import Ending, Fifth, Gateway

OK = b"HTTP/1.1 200 OK\r\n"


def box(name: bytes, payload: bytes) -> bytes:
    """Make one box of an MP4."""
    return (len(payload) + 8).to_bytes(4) + name + payload


VIDEO = box(b"ftyp", b"isom\0\0\0\0") + box(b"mdat", bytes(range(256)) * 4096) + box(b"moov", b"\0" * 100)
SHOWN = hh.TaskRef("fifth", "t-1")


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


@pytest.mark.parametrize(
    ("task_id", "name"),
    [("t-1", "t-1.mp4"), ("../../etc/passwd", ".._.._etc_passwd.mp4"), ("a\0b c", "a_b_c.mp4"), ("x" * 300, None)],
)
async def test_into_a_folder(gateway: Gateway, fifth: Fifth, tmp_path: Path, task_id: str, name: str | None) -> None:
    """In a folder the file is named after the task, and stays in the folder whatever the task is called."""
    gateway.on("GET", "/files/v", gateway.reply(VIDEO))

    async with fifth.open() as client:
        path = await client.download(done(f"{gateway.url}/files/v", task_id), tmp_path)

    assert tmp_path == path.parent
    assert (name or "x" * 100 + ".mp4") == path.name
    assert [path.name] == names(tmp_path)


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


HALF = len(VIDEO) // 2
BROKEN: dict[str, tuple[bytes, Ending]] = {
    "short of its length": (OK + b"Content-Length: %d\r\n\r\n" % len(VIDEO) + VIDEO[:HALF], "close"),
    "reset": (OK + b"Content-Length: %d\r\n\r\n" % len(VIDEO) + VIDEO[:HALF], "reset"),
    "a cut chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(VIDEO) + VIDEO[:HALF], "close"),
    "no last chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (HALF, VIDEO[:HALF]), "close"),
    "short, of no length": (OK + b"\r\n" + VIDEO[:HALF], "close"),
    "short by its last box": (OK + b"\r\n" + VIDEO[:-108], "close"),
    "nothing": (OK + b"Content-Length: 0\r\n\r\n", "keep"),
    "nothing, of no length": (OK + b"\r\n", "close"),
    "HTML": (OK + b"Content-Type: text/html; charset=utf-8\r\n\r\n<html>Please log in", "close"),
    "HTML called a video": (OK + b"Content-Type: video/mp4\r\n\r\n\r\n<html>Please log in", "close"),
    "HTML after a mark": (OK + b"Content-Type: video/mp4\r\n\r\n\xef\xbb\xbf<!DOCTYPE html>", "close"),
    "JSON": (OK + b'Content-Type: application/json\r\n\r\n{"code": "AccessDenied"}', "close"),
    "JSON called a video": (OK + b'Content-Type: video/mp4\r\n\r\n {"code": "AccessDenied"}', "close"),
    "XML": (OK + b'Content-Type: application/xml\r\n\r\n<?xml version="1.0"?><Error/>', "close"),
    "compressed": (
        OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(gzip.compress(VIDEO)) + gzip.compress(VIDEO),
        "close",
    ),
    "too large": (OK + b"Content-Length: 3000000000\r\n\r\n" + VIDEO[:HALF], "close"),
    "a part": (b"HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\n\r\n\0\0\0\x10", "close"),
    "nothing new": (b"HTTP/1.1 304 Not Modified\r\n\r\n", "close"),
    "500": (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "close"),
    "a redirect to nowhere": (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "close"),
    "a redirect to a file": (
        b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
        "close",
    ),
    "a redirect to junk": (b"HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n", "close"),
    "an endless redirect": (b"HTTP/1.1 302 Found\r\nLocation: t-1.mp4\r\nContent-Length: 0\r\n\r\n", "close"),
}


@pytest.mark.parametrize(("data", "ending"), BROKEN.values(), ids=BROKEN)
async def test_a_body_that_is_no_whole_video(
    gateway: Gateway, fifth: Fifth, task: hh.Task, target: Path, data: bytes, ending: Ending
) -> None:
    """Whatever is no whole video is an error that names the task, and the disk is as it was."""
    gateway.on("GET", "/files/t-1.mp4", gateway.raw(data, ending))

    async with fifth.open() as client:
        with pytest.raises(hh.DownloadError) as raised:
            await client.download(task, target)

    assert task.ref == raised.value.ref
    assert "s3cr3t" not in str(raised.value)
    assert b"an older video" == content(target)
    assert [target.name] == names(target.parent)


async def test_no_answer(gateway: Gateway, fifth: Fifth, task: hh.Task, target: Path) -> None:
    """A server that gives no answer is a transport's error, with the task's name."""
    gateway.on("GET", "/files/t-1.mp4", b"")

    async with fifth.open() as client:
        with pytest.raises(hh.TransportError) as raised:
            await client.download(task, target)

    assert task.ref == raised.value.ref
    assert [target.name] == names(target.parent)


@pytest.mark.parametrize("url", ["ftp://fifth.example/t-1.mp4", "file:///etc/passwd", "t-1.mp4", "", "http://[/v"])
async def test_a_url_that_is_not_fetched(gateway: Gateway, fifth: Fifth, target: Path, url: str) -> None:
    """Only http and https are fetched."""
    async with fifth.open() as client:
        with pytest.raises(hh.HappyHorseError) as raised:
            await client.download(done(url), target)

    assert "fifth:t-1" == str(raised.value.ref)


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


async def test_a_video_that_has_expired(gateway: Gateway, fifth: Fifth, task: hh.Task, target: Path) -> None:
    """A URL that stays refused is an error that says so, after one fresh look."""
    gateway.on("GET", "/files/t-1.mp4", 403)
    gateway.show("t-1", "done")

    async with fifth.open() as client:
        with pytest.raises(hh.DownloadError, match="no longer available") as raised:
            await client.download(task, target)

    assert (403, task.ref) == (raised.value.status_code, raised.value.ref)
    assert 3 == len(gateway.requests)
    assert [target.name] == names(target.parent)


@pytest.mark.parametrize("status", [hh.TaskStatus.RUNNING, hh.TaskStatus.FAILED, hh.TaskStatus.SUCCEEDED])
async def test_a_task_without_a_video(fifth: Fifth, target: Path, status: hh.TaskStatus) -> None:
    """What has no video is not asked for one."""
    async with fifth.open() as client:
        with pytest.raises(hh.DownloadError, match="no video to download"):
            await client.download(hh.Task(ref=SHOWN, status=status), target)


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
    async def stream(self, url: str, headers: Any) -> AsyncIterator[Any]:
        self.urls.append(url)
        yield SimpleNamespace(status=302, headers={"location": "http://files.example/t-1.mp4"})


async def test_a_redirect_that_is_not_secure(target: Path) -> None:
    """What was asked for over https is not fetched over http."""
    transport: Any = Insecure()

    with pytest.raises(hh.DownloadError, match="not secure"):
        await download(transport, "https://files.example/t-1.mp4", target)

    assert ["https://files.example/t-1.mp4"] == transport.urls
    assert b"an older video" == content(target)


async def test_downloads_at_once(gateway: Gateway, fifth: Fifth, tmp_path: Path) -> None:
    """No more downloads run at the same time than the limits allow."""
    answer = asyncio.Event()
    gateway.on("GET", "/files/*", gateway.reply(VIDEO, after=answer))
    tasks = [done(f"{gateway.url}/files/{number}", f"t-{number}") for number in range(5)]

    async with fifth.open(limits=hh.Limits(downloads_at_once=2)) as client:
        downloading = asyncio.gather(*(client.download(task, tmp_path) for task in tasks))
        await gateway.until(2, "GET")
        await asyncio.sleep(0.02)
        at_once = len(gateway.requests)
        answer.set()
        await downloading

    assert 2 == at_once
    assert 5 == len(names(tmp_path))


def in_a_file(folder: Path) -> Path:
    """Choose a place below something that is no folder."""
    (folder / "file").write_bytes(b"")
    return folder / "file" / "train.mp4"


@pytest.mark.parametrize(
    "place",
    [lambda folder: folder / "missing" / "train.mp4", in_a_file, lambda folder: folder / ("x" * 300)],
    ids=["no such folder", "a file for a folder", "a name too long"],
)
async def test_a_target_that_cannot_be(
    gateway: Gateway, fifth: Fifth, task: hh.Task, tmp_path: Path, place: Callable[[Path], Path]
) -> None:
    """A place where no file can be is an error of the download, and nothing is left behind."""
    gateway.on("GET", "/files/t-1.mp4", gateway.reply(VIDEO))
    target = place(tmp_path)
    before = names(tmp_path)

    async with fifth.open() as client:
        with pytest.raises(hh.DownloadError, match="cannot write"):
            await client.download(task, target)

    assert before == names(tmp_path)


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
