"""Downloading a video to disk: whole or not at all, and without the key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import happyhorse_async as hh

from .videos import HASTY, content, done, download_url, names, video_file

if TYPE_CHECKING:
    from conftest import Fifth, Gateway

OK = b"HTTP/1.1 200 OK\r\n"


VIDEO = video_file(bytes(range(256)) * 4096)


@pytest.fixture
def task(gateway: Gateway) -> hh.Task:
    """Make a succeeded task whose video the gateway has."""
    return done(f"{gateway.url}/files/t-1.mp4?signature=s3cr3t%2B")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Choose a file that is there already."""
    file = tmp_path / "train.mp4"
    file.write_bytes(b"an older video")
    return file


async def test_a_video_is_downloaded_in_place_of_an_older_file(
    gateway: Gateway, fifth: Fifth, task: hh.Task, target: Path
) -> None:
    """The whole video is on disk, in place of what was there, and nothing else is."""
    gateway.on("GET", "/files/t-1.mp4", gateway.reply(VIDEO))

    async with fifth.open() as client:
        path = await client.download(task, str(target))

    assert target == path
    assert VIDEO == content(target)
    assert [target.name] == names(target.parent)


@pytest.mark.fault(43, 86)
async def test_no_credential_is_sent_to_the_storage(
    gateway: Gateway, fifth: Fifth, task: hh.Task, target: Path
) -> None:
    """The URL is asked for exactly as it was signed, and no header tells the key."""
    gateway.on("GET", "/files/t-1.mp4", gateway.reply(VIDEO))

    async with fifth.open() as client:
        await client.download(task, target)

    (seen,) = gateway.requests
    assert "/files/t-1.mp4?signature=s3cr3t%2B" == seen.target
    assert {"host", "user-agent", "accept", "accept-encoding"} == set(seen.headers)
    assert "identity" == seen.headers["accept-encoding"]


async def test_a_handle_waits_for_its_video_and_downloads_it(gateway: Gateway, fifth: Fifth, target: Path) -> None:
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
async def test_a_file_in_a_folder_is_named_after_the_task(
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
async def test_a_body_is_read_whatever_its_framing(
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
async def test_progress_counts_up_to_the_total(
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


async def test_a_progress_callback_that_is_a_coroutine_function_is_awaited(
    gateway: Gateway, fifth: Fifth, task: hh.Task, target: Path
) -> None:
    """An async progress callback runs, as a plain one does."""
    gateway.on("GET", "/files/t-1.mp4", gateway.reply(VIDEO))
    reports: list[int] = []

    async def progress(received: int, total: int | None) -> None:
        await asyncio.sleep(0)
        reports.append(received)

    async with fifth.open() as client:
        await client.download(task, target, progress=progress)

    assert len(VIDEO) == reports[-1]


@pytest.mark.fault(82)
async def test_a_progress_callback_that_fails_is_logged_once(
    gateway: Gateway, fifth: Fifth, task: hh.Task, target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller's own bug is logged once, however many chunks arrive, and costs no video."""
    gateway.on("GET", "/files/t-1.mp4", gateway.reply(VIDEO))
    calls: list[int] = []

    def fail(received: int, total: int | None) -> None:
        calls.append(received)
        raise ZeroDivisionError

    async with fifth.open() as client:
        await client.download(task, target, progress=fail)

    assert VIDEO == content(target)
    assert len(calls) > 1
    assert 1 == caplog.text.count("the progress callback of a download failed")


@pytest.mark.fault(44)
@pytest.mark.parametrize("url", ["ftp://fifth.example/t-1.mp4", "file:///etc/passwd", "t-1.mp4", "", "http://[/v"])
async def test_only_http_urls_are_fetched(gateway: Gateway, fifth: Fifth, target: Path, url: str) -> None:
    """Only http and https are fetched."""
    async with fifth.open() as client:
        with pytest.raises(hh.HappyHorseError) as raised:
            await client.download(done(url), target)

    assert "fifth:t-1" == str(raised.value.ref)


@pytest.mark.fault(64)
@pytest.mark.parametrize("status", [403, 404, 410])
async def test_a_refused_url_is_renewed_by_one_poll(
    gateway: Gateway, fifth: Fifth, task: hh.Task, target: Path, status: int
) -> None:
    """A refused URL is asked for once more, and the fresh one brings the video."""
    fresh = {"id": "t-1", "status": "done", "urls": [f"{gateway.url}/fresh"]}
    gateway.on("GET", "/files/t-1.mp4", status)
    gateway.show("t-1", fresh)
    gateway.on("GET", "/fresh", gateway.reply(VIDEO))

    async with fifth.open() as client:
        await client.download(task, target)

    assert VIDEO == content(target)
    assert ["/files/t-1.mp4", "/videos/t-1", "/fresh"] == [seen.path for seen in gateway.requests]


NOW = datetime.now(UTC)
OLD = {
    "by the provider": {"expires_at": NOW - timedelta(minutes=1)},
    "by its age": {"finished_at": NOW - timedelta(hours=25)},
}


@pytest.mark.fault(64)
@pytest.mark.parametrize("poll", [404, 500, "failed"])
@pytest.mark.parametrize("facts", OLD.values(), ids=OLD)
async def test_a_url_that_is_refused_after_its_life_has_expired(
    gateway: Gateway, fifth: Fifth, target: Path, poll: str | int, facts: dict[str, datetime]
) -> None:
    """A URL that is refused after its life is an error that says so, after one poll for a fresh one."""
    gateway.on("GET", "/files/t-1.mp4", 403)
    gateway.show("t-1", poll)
    task = done(f"{gateway.url}/files/t-1.mp4?signature=s3cr3t", **facts)

    async with fifth.open() as client:
        with pytest.raises(hh.DownloadError, match=r"has expired: .* at 20..-..-..T") as raised:
            await client.download(task, target)

    assert task.ref == raised.value.ref
    assert 1 == len(gateway.seen("GET", "/files/t-1.mp4"))
    assert 1 == len(gateway.seen("GET", "/videos/t-1"))
    assert [target.name] == names(target.parent)


@pytest.mark.parametrize("status", [202, 204, 400, 401, 403, 404, 405, 409, 410, 418, 423, 425, 451, 500, 503, 530])
async def test_a_video_that_is_late_in_the_storage_is_tried_again(
    gateway: Gateway, fifth: Fifth, task: hh.Task, target: Path, status: int
) -> None:
    """Whatever the storage answers, a result that is younger than its life is tried again until it is there."""
    late = gateway.reply(status=status)
    gateway.on("GET", "/files/t-1.mp4", late, late, late, gateway.reply(VIDEO))
    gateway.show("t-1", {"id": "t-1", "status": "done", "urls": [task.video_url]})

    async with fifth.open(retries=HASTY) as client:
        await client.download(task, target)

    assert VIDEO == content(target)
    assert len(gateway.seen("GET", "/videos/t-1")) <= 1


@pytest.mark.parametrize("status", [403, 404])
async def test_a_young_video_that_stays_away_is_not_called_expired(
    gateway: Gateway, fifth: Fifth, task: hh.Task, target: Path, status: int
) -> None:
    """After the last attempt the error says what the storage answered; only the clock makes a URL expired."""
    gateway.on("GET", "/files/t-1.mp4", status)
    gateway.show("t-1", 404)

    async with fifth.open(retries=HASTY) as client:
        with pytest.raises(hh.DownloadError, match=f"answered {status}") as raised:
            await client.download(task, target)

    assert "expired" not in str(raised.value)
    assert status == raised.value.status_code
    assert 4 == len(gateway.seen("GET", "/files/t-1.mp4"))


@pytest.mark.fault(54)
@pytest.mark.parametrize(("date", "expired"), [("Sat, 21 Nov 2015 08:00:00 GMT", False), (None, True)])
async def test_the_clock_of_the_storage_outweighs_ours(
    gateway: Gateway, fifth: Fifth, target: Path, date: str | None, expired: bool
) -> None:
    """Whether a URL has expired is judged by the clock of the server that refused it."""
    gateway.on("GET", "/files/t-1.mp4", gateway.reply(status=403, headers={"Date": date or ""}))
    gateway.show("t-1", 404)
    task = done(f"{gateway.url}/files/t-1.mp4", expires_at=NOW - timedelta(minutes=1))

    async with fifth.open(retries=HASTY) as client:
        with pytest.raises(hh.DownloadError) as raised:
            await client.download(task, target)

    assert expired == ("has expired" in str(raised.value))


@pytest.mark.fault(54)
@pytest.mark.parametrize("facts", OLD.values(), ids=OLD)
async def test_no_video_is_older_than_its_request(
    gateway: Gateway, fifth: Fifth, target: Path, facts: dict[str, datetime]
) -> None:
    """If the provider's clock is a day behind, its times call a new video expired; it is tried again all the same."""
    gateway.on("GET", "/files/t-1.mp4", 403, 404, gateway.reply(VIDEO))
    gateway.on("POST", "/videos", {"id": "t-1", "status": "queued"})
    gateway.show("t-1", 404)

    async with fifth.open(retries=HASTY) as client:
        handle = await client.submit(hh.TextToVideo("a train"))
        task = done(f"{gateway.url}/files/t-1.mp4", **facts)
        assert handle.ref == task.ref
        await client.download(task, target)

    assert VIDEO == content(target)


async def test_a_download_that_waits_lets_others_go_on(
    gateway: Gateway, fifth: Fifth, task: hh.Task, tmp_path: Path
) -> None:
    """Between two attempts a download holds no slot: one late file does not hold up the others."""
    gateway.on("GET", "/files/t-1.mp4", 503)
    gateway.on("GET", "/files/t-2.mp4", gateway.reply(VIDEO))
    slow = hh.RetryPolicies(download=hh.RetryPolicy(max_retries=9, initial_interval=60.0))

    async with fifth.open(limits=hh.Limits(max_concurrent_downloads=1), retries=slow) as client:
        late = asyncio.create_task(client.download(task, tmp_path))
        await gateway.until(1, "GET", "/files/t-1.mp4")
        path = await client.download(done(f"{gateway.url}/files/t-2.mp4", "t-2"), tmp_path)
        late.cancel()
        await asyncio.wait([late])

    assert VIDEO == content(path)


@pytest.mark.parametrize("status", [hh.TaskStatus.RUNNING, hh.TaskStatus.FAILED, hh.TaskStatus.SUCCEEDED])
async def test_a_task_without_a_video_is_not_downloaded(fifth: Fifth, target: Path, status: hh.TaskStatus) -> None:
    """What has no video is not asked for one."""
    async with fifth.open() as client:
        with pytest.raises(hh.DownloadError, match="no video to download"):
            await client.download(hh.Task(ref=hh.TaskRef("fifth", "t-1"), status=status), target)


@pytest.mark.fault(43)
async def test_a_redirect_is_followed_without_credentials(
    gateway: Gateway, fifth: Fifth, task: hh.Task, target: Path
) -> None:
    """A redirect is followed to another host, and carries no credential there."""
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
    async def stream(self, request: hh.HttpRequest, *, public_only: bool) -> AsyncIterator[Any]:
        self.urls.append(request.url)
        yield SimpleNamespace(status=302, headers={"location": "http://files.example/t-1.mp4"})


@pytest.mark.fault(43, 44)
async def test_a_redirect_from_https_to_http_is_refused(target: Path) -> None:
    """What was asked for over https is not fetched over http."""
    transport: Any = Insecure()

    with pytest.raises(hh.DownloadError, match="not secure"):
        await download_url(transport, "https://files.example/t-1.mp4", target)

    assert ["https://files.example/t-1.mp4"] == transport.urls
    assert b"an older video" == content(target)


@pytest.mark.fault(83)
async def test_concurrent_downloads_are_limited(gateway: Gateway, fifth: Fifth, tmp_path: Path) -> None:
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


async def test_a_cancelled_download_leaves_nothing_behind(
    gateway: Gateway, fifth: Fifth, task: hh.Task, target: Path
) -> None:
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
async def test_a_download_can_be_cancelled_at_every_step(
    gateway: Gateway, fifth: Fifth, task: hh.Task, target: Path
) -> None:
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


async def test_a_ref_is_not_a_task(fifth: Fifth, target: Path) -> None:
    """Whoever gives a ref where a task is needed is told so."""
    async with fifth.open() as client:
        with pytest.raises(hh.InvalidRequestError, match="takes a Task"):
            await client.download("fifth:t-1", target)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
