"""What is no whole video never takes the place of one, however often it is asked for."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import pickle
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

import happyhorse_async as hh
from happyhorse_async.download import DownloadPolicy, download
from happyhorse_async.retry import RetryPolicy
from happyhorse_async.transports.aiohttp import AiohttpTransport

if TYPE_CHECKING:
    from conftest import Ending, Gateway

OK = b"HTTP/1.1 200 OK\r\n"
HURRIED = DownloadPolicy(retry=RetryPolicy(max_retries=1, initial_interval=0.0), patience=0.1)


def names(folder: Path) -> list[str]:
    """List a folder, hidden files included."""
    return sorted(file.name for file in folder.iterdir())


def box(name: bytes, payload: bytes) -> bytes:
    """Make one box of an MP4."""
    return (len(payload) + 8).to_bytes(4) + name + payload


VIDEO = box(b"ftyp", b"isom\0\0\0\0") + box(b"mdat", bytes(range(256)) * 4096) + box(b"moov", b"\0" * 100)
HALF = len(VIDEO) // 2


def with_length(content: bytes, length: int | None = None, *headers: bytes) -> bytes:
    """Make an answer that announces *length*."""
    fields = (b"Content-Length: %d" % (len(content) if length is None else length), *headers)
    return OK + b"\r\n".join(fields) + b"\r\n\r\n" + content


Fetch = Callable[..., Awaitable[Path]]


@pytest.fixture
async def fetch(gateway: Gateway, tmp_path: Path) -> AsyncGenerator[Fetch]:
    """Fetch `/v.mp4` of the gateway over a file that stands there."""
    transport = AiohttpTransport()
    target = tmp_path / "train.mp4"
    target.write_bytes(b"an older video")

    async def fetch(policy: DownloadPolicy = HURRIED) -> Path:
        return await download(transport, f"{gateway.url}/v.mp4?signature=s3cr3t", target, policy=policy)

    yield fetch
    await transport.aclose()


BROKEN: dict[str, tuple[bytes, Ending]] = {
    "short of its length": (with_length(VIDEO[:HALF], len(VIDEO)), "close"),
    "reset": (with_length(VIDEO[:HALF], len(VIDEO)), "reset"),
    "stalled": (with_length(VIDEO[:HALF], len(VIDEO)), "hang"),
    "never begun": (b"", "hang"),
    "not answered": (b"", "close"),
    "a cut chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(VIDEO) + VIDEO[:HALF], "close"),
    "no last chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (HALF, VIDEO[:HALF]), "close"),
    "short, of no length": (OK + b"\r\n" + VIDEO[:HALF], "close"),
    "short, of a wrong length": (with_length(VIDEO[:HALF]), "keep"),
    "short by its last box": (OK + b"\r\n" + VIDEO[:-108], "close"),
    "short by a byte": (OK + b"\r\n" + VIDEO[:-1], "close"),
    "a box of no length": (OK + b"\r\n" + VIDEO[:16] + b"\0\0\0\7mdat", "close"),
    "nothing": (with_length(b""), "keep"),
    "nothing, of no length": (OK + b"\r\n", "close"),
    "HTML": (OK + b"Content-Type: text/html; charset=utf-8\r\n\r\n<html>Please log in", "close"),
    "HTML called a video": (OK + b"Content-Type: video/mp4\r\n\r\n\r\n<html>Please log in", "close"),
    "HTML far away": (OK + b"Content-Type: video/mp4\r\n\r\n" + b" \r\n" * 50 + b"<html>Please log in", "close"),
    "HTML after a mark": (OK + b"Content-Type: video/mp4\r\n\r\n\xef\xbb\xbf<!DOCTYPE html>", "close"),
    "HTML in UTF-16": (OK + b"\r\n" + "<html>".encode("utf-16"), "close"),
    "JSON": (OK + b'Content-Type: application/json\r\n\r\n{"code": "AccessDenied"}', "close"),
    "JSON called a video": (OK + b'Content-Type: video/mp4\r\n\r\n {"code": "AccessDenied"}', "close"),
    "XML": (OK + b'Content-Type: application/xml\r\n\r\n<?xml version="1.0"?><Error/>', "close"),
    "compressed": (with_length(gzip.compress(VIDEO), None, b"Content-Encoding: gzip"), "close"),
    "too large": (with_length(VIDEO[:HALF], 3_000_000_000), "close"),
    "a part": (b"HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\n\r\n\0\0\0\x10", "close"),
    "the end of nothing": (b"HTTP/1.1 416 Oops\r\nContent-Range: bytes */0\r\nContent-Length: 0\r\n\r\n", "close"),
    "nothing new": (b"HTTP/1.1 304 Not Modified\r\n\r\n", "close"),
    "400": (b"HTTP/1.1 400 Oops\r\nContent-Length: 0\r\n\r\n", "close"),
    "403": (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "close"),
    "429": (b"HTTP/1.1 429 Oops\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n", "close"),
    "500": (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "close"),
    "a redirect to nowhere": (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "close"),
    "a redirect to a file": (
        b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
        "close",
    ),
    "a redirect to junk": (b"HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n", "close"),
    "an endless redirect": (b"HTTP/1.1 302 Found\r\nLocation: v.mp4\r\nContent-Length: 0\r\n\r\n", "close"),
}

PASSING = {
    "short of its length", "reset", "stalled", "never begun", "a cut chunk", "no last chunk", "short, of no length",
    "short, of a wrong length", "short by its last box", "short by a byte", "a box of no length",
    "nothing, of no length", "429", "500",
}  # fmt: skip
# aiohttp itself asks once more where a connection closes without an answer.
TRIES = {**dict.fromkeys(PASSING, 2), "not answered": 4, "an endless redirect": 6}


@pytest.mark.fault(66, 67, 68)
@pytest.mark.parametrize("what", BROKEN)
async def test_a_body_that_is_no_whole_video(gateway: Gateway, fetch: Fetch, tmp_path: Path, what: str) -> None:
    """Whatever is no whole video is an error, the disk is as it was, and only what may pass is asked for again."""
    data, ending = BROKEN[what]
    gateway.on("GET", "/v.mp4", gateway.raw(data, ending))

    with pytest.raises(hh.DownloadError) as raised:
        await fetch()

    assert "s3cr3t" not in str(raised.value)
    assert str(raised.value) == str(pickle.loads(pickle.dumps(raised.value)))
    assert b"an older video" == (tmp_path / "train.mp4").read_bytes()
    assert ["train.mp4"] == names(tmp_path)
    assert TRIES.get(what, 1) == len(gateway.requests)


@pytest.mark.parametrize("retries", [0, 3])
async def test_the_number_of_tries(gateway: Gateway, fetch: Fetch, retries: int) -> None:
    """No more tries are made than the policy has; 0 means none beyond the first."""
    gateway.on("GET", "/v.mp4", 503)

    with pytest.raises(hh.DownloadError, match="answered 503") as raised:
        await fetch(DownloadPolicy(retry=RetryPolicy(max_retries=retries, initial_interval=0.0)))

    assert retries + 1 == len(gateway.requests)
    assert 503 == raised.value.status_code


ACCEPTED = {
    "announced": with_length(VIDEO),
    "not announced": OK + b"\r\n" + VIDEO,
    "its table first": OK + b"\r\n" + VIDEO[:16] + VIDEO[-108:] + VIDEO[16:-108],
    "data to the end": OK + b"\r\n" + VIDEO[:16] + VIDEO[-108:] + b"\0\0\0\0mdat" + b"\1" * 99,
    "long boxes": OK + b"\r\n" + VIDEO[:16] + VIDEO[-108:] + b"\0\0\0\1mdat" + (17).to_bytes(8) + b"\1",
    "in fragments": OK + b"\r\n" + VIDEO[:16] + VIDEO[-108:] + box(b"moof", b"") + box(b"mdat", b"\1"),
    "a long ftyp": with_length(box(b"ftyp", b"isom" * 13) + VIDEO[16:]),
    "another container": OK + b"\r\n" + b"\x1aE\xdf\xa3" + bytes(999),
    "something after it": with_length(VIDEO + b"\1\2\3"),
}


@pytest.mark.fault(67)
@pytest.mark.parametrize("data", ACCEPTED.values(), ids=ACCEPTED)
async def test_a_body_that_is_accepted(gateway: Gateway, fetch: Fetch, data: bytes) -> None:
    """A video is accepted in every form that it may have."""
    gateway.on("GET", "/v.mp4", data)

    path = await fetch()

    assert data.partition(b"\r\n\r\n")[2] == path.read_bytes()
    assert 1 == len(gateway.requests)


@pytest.mark.fault(67)
async def test_a_length_that_is_too_long(gateway: Gateway, fetch: Fetch, caplog: pytest.LogCaptureFixture) -> None:
    """A server that announces more than it has breaks off each time; by its boxes the video is whole, and is kept."""
    gateway.on("GET", "/v.mp4", with_length(VIDEO, len(VIDEO) + 1))

    path = await fetch()

    assert VIDEO == path.read_bytes()
    assert "what came is a whole video" in caplog.text


@pytest.mark.fault(70)
@pytest.mark.parametrize("data", [with_length(VIDEO), OK + b"\r\n" + VIDEO], ids=["announced", "not announced"])
async def test_a_video_that_is_too_large(gateway: Gateway, fetch: Fetch, tmp_path: Path, data: bytes) -> None:
    """No more bytes are taken than are allowed, whether or not they are announced."""
    gateway.on("GET", "/v.mp4", data)

    with pytest.raises(hh.DownloadError, match=f"{len(VIDEO) - 1}.* allowed"):
        await fetch(DownloadPolicy(largest=len(VIDEO) - 1))

    assert ["train.mp4"] == names(tmp_path)


@asynccontextmanager
async def dripping(pieces: Iterable[bytes]) -> AsyncGenerator[str]:
    """Serve a body of no announced length, a piece every hundredth of a second."""

    ended = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"\r\n")
        for piece in pieces:
            if writer.is_closing():
                break
            writer.write(piece)
            await asyncio.sleep(0.01)
        writer.close()
        ended.set()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}/"
        await ended.wait()


@pytest.mark.fault(70)
async def test_an_endless_video_that_comes_in_drops(tmp_path: Path) -> None:
    """A server that sends a byte now and then is given up, though it never stops."""
    transport = AiohttpTransport()

    async with dripping(itertools.repeat(b"\0")) as url:
        with pytest.raises(hh.DownloadError, match=r"too slowly: [1-9]"):
            await download(transport, url, tmp_path / "v.mp4", policy=evolve(HURRIED, retry=RetryPolicy(max_retries=0)))
        await transport.aclose()

    assert [] == names(tmp_path)


async def test_a_video_that_comes_slowly_enough(tmp_path: Path) -> None:
    """The speed is limited, and not the time."""
    transport = AiohttpTransport()
    began = time.monotonic()

    async with dripping(VIDEO[at : at + 50_000] for at in range(0, len(VIDEO), 50_000)) as url:
        path = await download(transport, url, tmp_path / "v.mp4", policy=HURRIED)
        await transport.aclose()

    assert VIDEO == path.read_bytes()
    assert time.monotonic() - began > HURRIED.patience
