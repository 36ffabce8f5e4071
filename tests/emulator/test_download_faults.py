"""Faults of the storage: afterwards the complete video is on the disk, or nothing."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

import happyhorse_async as hh
from happyhorse_async.download import DownloadPolicy, download
from happyhorse_async.download.expiry import ResultUrl
from happyhorse_async.download.fetch import Fetch
from happyhorse_async.emulator import faults
from happyhorse_async.redaction import SecretUrl
from happyhorse_async.transports.aiohttp import AiohttpTransport

REQUEST = hh.TextToVideo("a train at night", resolution="480P", duration=3)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every backoff zero."""
    monkeypatch.setattr(random, "uniform", lambda shortest, longest: 0.0)


@pytest.fixture
async def client(emulator: hh.Emulator) -> AsyncIterator[hh.Client]:
    """Open a client of one of the providers."""
    async with hh.Client("dashscope", api_key="any", base_url=emulator.url("dashscope")) as client:
        yield client


@pytest.fixture
async def task(client: hh.Client) -> hh.Task:
    """Make a video."""
    handle = await client.submit(REQUEST)
    assert handle.ref is not None
    return await client.fetch(handle.ref)


@pytest.fixture
async def video(task: hh.Task, http: ClientSession) -> bytes:
    """Fetch it, before anything goes wrong."""
    async with http.get(str(task.video_url)) as response:
        return await response.read()


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of every file, hidden ones included."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


BROKEN = [
    pytest.param("reset-before-answer", marks=pytest.mark.fault(66)),
    pytest.param("reset-in-head", marks=pytest.mark.fault(66)),
    pytest.param("reset-in-body", marks=pytest.mark.fault(66)),
    pytest.param("cut-chunk", marks=pytest.mark.fault(66)),
    pytest.param("not-http", marks=pytest.mark.fault(66)),
    pytest.param("html-502", marks=pytest.mark.fault(66)),
    pytest.param("html-503", marks=pytest.mark.fault(66)),
    pytest.param("cut-after-object", marks=pytest.mark.fault(66)),
    pytest.param("no-length", marks=pytest.mark.fault(67)),
    pytest.param("no-length-cut", marks=pytest.mark.fault(67)),
    pytest.param("length-too-long", marks=pytest.mark.fault(67)),
    pytest.param("dead-url", marks=pytest.mark.fault(64)),
    pytest.param("gone-url", marks=pytest.mark.fault(64)),
    pytest.param("late-202", marks=pytest.mark.fault(97)),
    pytest.param("late-400", marks=pytest.mark.fault(97)),
    pytest.param("late-403", marks=pytest.mark.fault(97)),
    pytest.param("late-404", marks=pytest.mark.fault(97)),
    pytest.param("late-409", marks=pytest.mark.fault(97)),
    pytest.param("late-423", marks=pytest.mark.fault(97)),
    pytest.param("coding-utf-8", marks=pytest.mark.fault(98)),
    pytest.param("partial-content", marks=pytest.mark.fault(99)),
]


@pytest.mark.parametrize("fault", BROKEN)
async def test_a_download_that_breaks_once_is_repeated(
    emulator: hh.Emulator, client: hh.Client, task: hh.Task, video: bytes, tmp_path: Path, fault: str
) -> None:
    """The complete video is on the disk, and nothing beside it."""
    injection = emulator.inject(fault, on="download")

    await client.download(task, tmp_path / "train.mp4")

    assert 1 == injection.applied
    assert {"train.mp4": video} == contents(tmp_path)


REFUSED = [
    pytest.param("dead-url", marks=pytest.mark.fault(64)),
    pytest.param("gone-url", marks=pytest.mark.fault(64)),
    pytest.param("no-length-cut", marks=pytest.mark.fault(67)),
    pytest.param("length-too-short", marks=pytest.mark.fault(67)),
    pytest.param("html-200", marks=pytest.mark.fault(68)),
    pytest.param("json-download", marks=pytest.mark.fault(68)),
    pytest.param("empty-200", marks=pytest.mark.fault(68)),
    pytest.param("text-download", marks=pytest.mark.fault(68)),
    pytest.param("playlist-download", marks=pytest.mark.fault(68)),
    pytest.param("png-download", marks=pytest.mark.fault(68)),
    pytest.param("heic-download", marks=pytest.mark.fault(68)),
    pytest.param("zeros-download", marks=pytest.mark.fault(68)),
    pytest.param("one-byte-download", marks=pytest.mark.fault(68)),
    pytest.param("no-moov-download", marks=pytest.mark.fault(68)),
]


@pytest.mark.parametrize("fault", REFUSED)
async def test_a_download_that_never_succeeds_leaves_nothing(
    emulator: hh.Emulator, client: hh.Client, task: hh.Task, tmp_path: Path, fault: str
) -> None:
    """The error has the ref of the task; the task stays as it is."""
    injection = emulator.inject(fault, on="download", times=None)

    with pytest.raises(hh.DownloadError) as caught:
        await client.download(task, tmp_path / "train.mp4")
    injection.remove()

    assert task.ref == caught.value.ref
    assert "Signature=" not in str(caught.value)
    assert {} == contents(tmp_path)
    assert hh.TaskStatus.SUCCEEDED is (await client.fetch(task.ref)).status


@pytest.mark.fault(64)
async def test_a_refused_url_is_replaced_by_a_fresh_one_once(
    emulator: hh.Emulator, client: hh.Client, task: hh.Task, tmp_path: Path
) -> None:
    """A URL that is refused is renewed by one poll, and tried again; before its time is over it has not expired."""
    emulator.inject("dead-url", on="download", times=None)
    polls = emulator.calls("query")

    with pytest.raises(hh.DownloadError, match="answered 403"):
        await client.download(task, tmp_path / "train.mp4")

    assert 1 == emulator.calls("query") - polls


@pytest.mark.fault(97)
async def test_a_file_that_is_late_is_downloaded_once_it_is_there(
    emulator: hh.Emulator, client: hh.Client, task: hh.Task, video: bytes, tmp_path: Path
) -> None:
    """A young URL has not expired, however often the storage does not know its file."""
    emulator.inject("late-404", times=3)

    await client.download(task, tmp_path / "train.mp4")

    assert {"train.mp4": video} == contents(tmp_path)


@pytest.mark.fault(104)
@pytest.mark.parametrize("fault", ["url-with-space", "url-non-ascii"])
async def test_a_url_that_is_not_encoded_is_downloaded(
    emulator: hh.Emulator, client: hh.Client, task: hh.Task, video: bytes, tmp_path: Path, fault: str
) -> None:
    """What a URL cannot hold is percent-encoded as UTF-8."""
    emulator.inject(fault, on="query", times=None)
    odd = await client.fetch(task.ref)

    await client.download(odd, tmp_path / "train.mp4")

    assert {"train.mp4": video} == contents(tmp_path)


@pytest.mark.fault(66, 69)
@pytest.mark.parametrize("second", ["range-ignored", "changed-object"])
async def test_a_range_that_does_not_fit_restarts_the_download(
    emulator: hh.Emulator, client: hh.Client, task: hh.Task, video: bytes, tmp_path: Path, second: str
) -> None:
    """If the rest cannot be fetched alone, or the video has changed, all of it is fetched again."""
    emulator.inject("reset-in-body", on="download")
    injection = emulator.inject(second, on="download")

    await client.download(task, tmp_path / "train.mp4")

    assert 1 == injection.applied
    assert video == (tmp_path / "train.mp4").read_bytes()


@pytest.mark.fault(66)
async def test_an_interrupted_download_is_resumed(
    emulator: hh.Emulator, client: hh.Client, task: hh.Task, video: bytes, tmp_path: Path
) -> None:
    """After two interruptions it goes on where it stopped."""
    progress: list[int] = []
    emulator.inject("reset-in-body", on="download", times=2)

    await client.download(task, tmp_path / "train.mp4", progress=lambda received, total: progress.append(received))

    assert sorted(progress) == progress
    assert len(video) == progress[-1]
    assert video == (tmp_path / "train.mp4").read_bytes()


@pytest.mark.fault(43)
async def test_a_redirect_of_a_download_is_followed(
    emulator: hh.Emulator, client: hh.Client, task: hh.Task, video: bytes, tmp_path: Path
) -> None:
    """It may lead to another host."""
    place = str(task.video_url).replace("127.0.0.1", "localhost")
    emulator.inject(faults.redirected(place, status=302), on="download")

    await client.download(task, tmp_path / "train.mp4")

    assert video == (tmp_path / "train.mp4").read_bytes()


@pytest.mark.fault(43)
async def test_redirects_without_end(emulator: hh.Emulator, client: hh.Client, task: hh.Task, tmp_path: Path) -> None:
    """After five redirects an attempt is given up."""
    around = emulator.inject(faults.redirected(str(task.video_url)), on="download", times=None)

    with pytest.raises(hh.DownloadError):
        await client.download(task, tmp_path / "train.mp4")

    assert 0 == around.applied % 6
    assert around.applied > 6


@pytest.mark.fault(44)
@pytest.mark.parametrize("place", ["file:///etc/hostname", "ftp://files.example/v.mp4", "data:video/mp4;base64,AAAA"])
async def test_a_redirect_to_another_scheme_is_refused(
    emulator: hh.Emulator, client: hh.Client, task: hh.Task, tmp_path: Path, place: str
) -> None:
    """Only http and https are followed."""
    emulator.inject(faults.redirected(place), on="download", times=None)

    with pytest.raises(hh.DownloadError):
        await client.download(task, tmp_path / "train.mp4")

    assert {} == contents(tmp_path)


@pytest.mark.fault(70)
@pytest.mark.parametrize(("fault", "sentence"), [("endless-download", "allowed"), ("trickle", "slowly")])
async def test_an_endless_or_slow_download_ends(
    emulator: hh.Emulator, task: hh.Task, video: bytes, tmp_path: Path, fault: str, sentence: str
) -> None:
    """Size and time of a download are limited."""
    applied = faults.trickle(pause=0.005) if fault == "trickle" else fault
    emulator.inject(applied, on="download", times=None)
    policy = DownloadPolicy(retry=hh.RetryPolicy(max_retries=0), largest=4 * 1024**2, patience=0.1)
    transport = AiohttpTransport()

    try:
        fetch = Fetch(transport, ResultUrl(SecretUrl(str(task.video_url))), policy)
        with pytest.raises(hh.DownloadError, match=sentence):
            await download(fetch, tmp_path / "train.mp4")
    finally:
        await transport.aclose()

    assert {} == contents(tmp_path)
