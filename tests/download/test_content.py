"""What is not a whole video is never published as one, however often the storage sends it."""

from __future__ import annotations

import asyncio
import base64
import gzip
import itertools
import pickle
import time
import tracemalloc
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

import happyhorse_async as hh
from happyhorse_async.download import DownloadPolicy
from happyhorse_async.retry import RetryPolicy
from happyhorse_async.transports.aiohttp import AiohttpTransport

from .videos import FTYP, MOOV, box, download_url, names, video_file

if TYPE_CHECKING:
    from conftest import Ending, Gateway

OK = b"HTTP/1.1 200 OK\r\n"
HURRIED = DownloadPolicy(retry=RetryPolicy(max_retries=1, initial_interval=0.0), patience=0.1)


VIDEO = video_file(bytes(range(256)) * 4096)
HALF = len(VIDEO) // 2


def with_length(content: bytes, length: int | None = None, *headers: bytes) -> bytes:
    """Make an answer that announces *length*."""
    fields = (b"Content-Length: %d" % (len(content) if length is None else length), *headers)
    return OK + b"\r\n".join(fields) + b"\r\n\r\n" + content


Fetch = Callable[..., Awaitable[Path]]


@pytest.fixture
async def fetch(gateway: Gateway, tmp_path: Path) -> AsyncGenerator[Fetch]:
    """Fetch `/v.mp4` of the gateway over a file that is there."""
    transport = AiohttpTransport()
    target = tmp_path / "train.mp4"
    target.write_bytes(b"an older video")

    async def fetch(policy: DownloadPolicy = HURRIED) -> Path:
        return await download_url(transport, f"{gateway.url}/v.mp4?signature=s3cr3t", target, policy=policy)

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
    "compressed with brotli": (with_length(VIDEO, None, b"Content-Encoding: br"), "close"),
    "compressed and cut": (with_length(gzip.compress(VIDEO)[:-20], None, b"Content-Encoding: gzip"), "close"),
    "compressed and damaged": (
        with_length(gzip.compress(VIDEO)[:20] + b"\xff" * 99, None, b"Content-Encoding: gzip"),
        "close",
    ),
    "compressed without a label": (with_length(gzip.compress(VIDEO)), "close"),
    "without its table, announced": (with_length(VIDEO[:-108]), "keep"),
    "cut, announced": (with_length(VIDEO[:-1]), "keep"),
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

# aiohttp itself sends a GET once more if a connection closes without a response.
TRIES = {"not answered": 4, "an endless redirect": 12}
FINAL = {"too large", "a redirect to a file", "a redirect to junk"}


@pytest.mark.fault(66, 67, 68)
@pytest.mark.parametrize("what", BROKEN)
async def test_a_body_that_is_not_a_whole_video_is_an_error(
    gateway: Gateway, fetch: Fetch, tmp_path: Path, what: str
) -> None:
    """What is not a whole video is tried again, and then an error; the disk is as it was."""
    data, ending = BROKEN[what]
    gateway.on("GET", "/v.mp4", gateway.raw(data, ending))

    with pytest.raises(hh.DownloadError) as raised:
        await fetch()

    assert "s3cr3t" not in str(raised.value)
    assert str(raised.value) == str(pickle.loads(pickle.dumps(raised.value)))
    assert b"an older video" == (tmp_path / "train.mp4").read_bytes()
    assert ["train.mp4"] == names(tmp_path)
    # On a busy machine an attempt may be over before the gateway has read its request.
    assert 1 <= len(gateway.requests) <= TRIES.get(what, 1 if what in FINAL else 2)


@pytest.mark.parametrize("retries", [0, 3])
async def test_the_retry_policy_limits_the_attempts(gateway: Gateway, fetch: Fetch, retries: int) -> None:
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
    "text after it": with_length(VIDEO + b"<!-- served by cache 7 -->"),
    "AVI": with_length(b"RIFF\0\1\0\0AVI LIST" + bytes(99)),
    "QuickTime, its data first": with_length(VIDEO[16:]),
    "QuickTime, its table first": with_length(VIDEO[-108:] + VIDEO[16:-108]),
    "padding first": with_length(box(b"free", b"12345") + VIDEO),
    "QuickTime, padding first": with_length(box(b"wide", b"") + VIDEO[16:]),
    "other brands": with_length(box(b"ftyp", b"M4V \0\0\0\0heicisom") + VIDEO[16:]),
    "a charset for a compression": with_length(VIDEO, None, b"Content-Encoding: utf-8"),
    "a binary type": with_length(VIDEO, None, b"Content-Type: application/octet-stream"),
    "a type of its own": with_length(VIDEO, None, b"Content-Type: application/mp4; codecs=avc1"),
}


@pytest.mark.fault(67)
@pytest.mark.parametrize("data", ACCEPTED.values(), ids=ACCEPTED)
async def test_a_video_is_accepted_in_every_form(gateway: Gateway, fetch: Fetch, data: bytes) -> None:
    """A video is accepted in every form that it may have."""
    gateway.on("GET", "/v.mp4", data)

    path = await fetch()

    assert data.partition(b"\r\n\r\n")[2] == path.read_bytes()
    assert 1 == len(gateway.requests)


def raw_deflate(data: bytes) -> bytes:
    """Compress as some servers do that call it deflate."""
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


@pytest.mark.parametrize(
    ("label", "body"),
    [
        (b"gzip", gzip.compress(VIDEO)),
        (b"x-gzip", gzip.compress(VIDEO)),
        (b"GZIP, utf-8", gzip.compress(VIDEO)),
        (b"gzip, gzip", gzip.compress(gzip.compress(VIDEO))),
        (b"gzip", gzip.compress(VIDEO[:HALF]) + gzip.compress(VIDEO[HALF:])),
        (b"deflate", zlib.compress(VIDEO)),
        (b"deflate", raw_deflate(VIDEO)),
    ],
    ids=["gzip", "x-gzip", "gzip and a charset", "gzip twice", "two members", "deflate", "bare deflate"],
)
async def test_a_video_that_is_compressed_all_the_same(
    gateway: Gateway, fetch: Fetch, label: bytes, body: bytes
) -> None:
    """A relay that compresses although that was not asked for costs no video."""
    gateway.on("GET", "/v.mp4", with_length(body, None, b"Content-Encoding: " + label, b'ETag: "1"'))

    path = await fetch()

    assert VIDEO == path.read_bytes()
    assert 1 == len(gateway.requests)


@pytest.mark.parametrize("label", [b"gzip", b"deflate", b"gzip, gzip", b"deflate, gzip"])
async def test_a_video_that_is_not_compressed_whatever_its_label_says(
    gateway: Gateway, fetch: Fetch, label: bytes
) -> None:
    """A video with the label of a compression is recognised by its bytes."""
    gateway.on("GET", "/v.mp4", with_length(VIDEO, None, b"Content-Encoding: " + label))

    assert VIDEO == (await fetch()).read_bytes()


async def test_a_proxy_that_has_altered_the_headers(gateway: Gateway, fetch: Fetch) -> None:
    """A 203 has the whole video like a 200."""
    gateway.on("GET", "/v.mp4", with_length(VIDEO).replace(b" 200 OK", b" 203 Transformed", 1))

    assert VIDEO == (await fetch()).read_bytes()


@pytest.mark.fault(20)
async def test_a_compressed_bomb_ends_at_the_limit(gateway: Gateway, fetch: Fetch, tmp_path: Path) -> None:
    """What unfolds beyond the limit ends the download, and not the memory."""
    bomb = gzip.compress(FTYP + (80_000_000).to_bytes(4) + b"mdat" + bytes(80_000_000))
    gateway.on("GET", "/v.mp4", with_length(bomb, None, b"Content-Encoding: gzip"))

    tracemalloc.start()
    with pytest.raises(hh.DownloadError, match="allowed"):
        await fetch(evolve(HURRIED, largest=50_000_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 20_000_000
    assert ["train.mp4"] == names(tmp_path)


NOT_VIDEOS = {
    "a rate limit page": (b"text/plain; charset=UTF-8", b"error code: 1015"),
    "a denial": (b"text/plain", b"AccessDenied: expired at 2026"),
    "a denial called a video": (b"video/mp4", b"AccessDenied: expired at 2026"),
    "text with a mark": (b"video/mp4", b"\xef\xbb\xbfno video"),
    "an HLS playlist": (b"application/vnd.apple.mpegurl", b"#EXTM3U\n#EXTINF:5,\nseg0.ts\n"),
    "an HLS playlist called a video": (b"video/mp4", b"#EXTM3U\n#EXTINF:5,\nseg0.ts\n"),
    "a DASH manifest": (b"application/dash+xml", b'<?xml version="1.0"?><MPD></MPD>'),
    "a DASH manifest called a video": (b"video/mp4", b'<?xml version="1.0"?><MPD></MPD>'),
    "a PNG": (b"image/png", b"\x89PNG\r\n\x1a\n" + bytes(100)),
    "a PNG called a video": (b"video/mp4", b"\x89PNG\r\n\x1a\n" + bytes(100)),
    "a JPEG": (b"video/mp4", b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(100)),
    "a GIF": (b"video/mp4", b"GIF89a" + bytes(100)),
    "a WebP": (b"video/mp4", b"RIFF\x24\0\0\0WEBPVP8 " + bytes(100)),
    "a WAV": (b"video/mp4", b"RIFF\x24\0\0\0WAVEfmt " + bytes(100)),
    "an MP3": (b"video/mp4", b"ID3\x04" + bytes(100)),
    "an M4A": (b"video/mp4", box(b"ftyp", b"M4A \0\0\0\0isom") + VIDEO[16:]),
    "an audio type": (b"audio/mp4", VIDEO),
    "a HEIC": (b"video/mp4", box(b"ftyp", b"heic\0\0\0\0mif1") + VIDEO[16:]),
    "an AVIF": (b"video/mp4", box(b"ftyp", b"avif\0\0\0\0mif1") + VIDEO[16:]),
    "an image in boxes": (b"video/mp4", box(b"ftyp", b"mif1\0\0\0\0heic") + VIDEO[16:]),
    "a segment": (b"video/mp4", box(b"styp", b"msdh\0\0\0\0") + box(b"moof", b"") + box(b"mdat", b"\1")),
    "a ZIP": (b"application/zip", b"PK\3\4" + bytes(100)),
    "base64": (b"video/mp4", base64.b64encode(VIDEO)),
    "a data URI": (b"video/mp4", b"data:video/mp4;base64," + base64.b64encode(VIDEO)),
    "CSS": (b"text/css", b"body { color: red }"),
    "a script": (b"video/mp4", b"#!/bin/sh\nexit 1\n"),
    "a program": (b"video/mp4", b"\x7fELF" + bytes(100)),
    "HTML far away": (b"video/mp4", b" " * 600 + b"<html>"),
    "words like a box": (b"video/mp4", b"The free beer is over"),
    "parts": (b"multipart/byteranges; boundary=x", VIDEO),
    "zeros": (b"video/mp4", bytes(5000)),
    "one byte": (b"video/mp4", b"x"),
    "one zero": (b"video/mp4", b"\0"),
    "the first box alone": (b"video/mp4", FTYP),
    "a table alone": (b"video/mp4", FTYP + MOOV),
}


@pytest.mark.fault(68)
@pytest.mark.parametrize(("kind", "body"), NOT_VIDEOS.values(), ids=NOT_VIDEOS)
async def test_what_is_not_a_video_is_refused_and_tried_again(
    gateway: Gateway, fetch: Fetch, tmp_path: Path, kind: bytes, body: bytes
) -> None:
    """A 200 of the announced length that is not a video is refused like a broken download, and tried again."""
    wrong = with_length(body, None, b"Content-Type: " + kind)
    gateway.on("GET", "/v.mp4", wrong, wrong, with_length(VIDEO))

    with pytest.raises(hh.DownloadError, match="not a"):
        await fetch(evolve(HURRIED, patience=30.0))
    left = (tmp_path / "train.mp4").read_bytes()
    await fetch(evolve(HURRIED, patience=30.0))

    assert b"an older video" == left
    assert VIDEO == (tmp_path / "train.mp4").read_bytes()


@pytest.mark.fault(68)
@pytest.mark.parametrize(
    "kind", [b"text/html; charset=utf-8", b"text/plain", b"application/json", b"application/xml", b"font/woff", b"junk"]
)
async def test_a_video_with_a_wrong_label_is_kept(gateway: Gateway, fetch: Fetch, kind: bytes) -> None:
    """A whole video was paid for, whatever its Content-Type says: a text does not begin like one."""
    gateway.on("GET", "/v.mp4", with_length(VIDEO, None, b"Content-Type: " + kind))

    assert VIDEO == (await fetch()).read_bytes()
    assert 1 == len(gateway.requests)


async def test_an_endless_page_is_given_up_at_its_first_bytes(gateway: Gateway, fetch: Fetch) -> None:
    """What does not begin like a video is not read to its end."""
    gateway.on("GET", "/v.mp4", gateway.raw(OK + b"\r\n" + b"x" * 99, "hang"))

    with pytest.raises(hh.DownloadError, match="not a video: it begins with 'xxx"):
        await fetch(evolve(HURRIED, patience=30.0))


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (b"Content-Range: bytes 0-%d/%d" % (len(VIDEO) - 1, len(VIDEO)),),
        (b"Content-Range: bytes 0-%d/*" % (len(VIDEO) - 1),),
        (b"Content-Range: junk",),
    ],
    ids=["no range", "the whole", "of no length", "junk"],
)
async def test_a_206_where_200_was_due_is_read(gateway: Gateway, fetch: Fetch, headers: tuple[bytes, ...]) -> None:
    """A partial content that was not asked for is the video, if it begins at its start."""
    gateway.on("GET", "/v.mp4", with_length(VIDEO, None, *headers).replace(b"200 OK", b"206 Partial Content"))

    assert VIDEO == (await fetch()).read_bytes()
    assert 1 == len(gateway.requests)


@pytest.mark.fault(67)
async def test_a_whole_video_is_kept_although_more_was_announced(
    gateway: Gateway, fetch: Fetch, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that announces more than it has breaks off each time; by its boxes the video is whole, and is kept."""
    gateway.on("GET", "/v.mp4", with_length(VIDEO, len(VIDEO) + 1))

    path = await fetch()

    assert VIDEO == path.read_bytes()
    assert "the received bytes are a complete video" in caplog.text


@pytest.mark.fault(70)
@pytest.mark.parametrize("data", [with_length(VIDEO), OK + b"\r\n" + VIDEO], ids=["announced", "not announced"])
async def test_a_video_above_the_limit_is_refused(gateway: Gateway, fetch: Fetch, tmp_path: Path, data: bytes) -> None:
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
async def test_a_video_that_arrives_too_slowly_is_given_up(tmp_path: Path) -> None:
    """A server that sends a byte now and then is given up, though it never stops."""
    transport = AiohttpTransport()

    async with dripping(itertools.chain([FTYP + box(b"mdat", bytes(99_999))[:8]], itertools.repeat(b"\0"))) as url:
        policy = evolve(HURRIED, retry=RetryPolicy(max_retries=0))
        with pytest.raises(hh.DownloadError, match=r"too slowly: [1-9]"):
            await download_url(transport, url, tmp_path / "v.mp4", policy=policy)
        await transport.aclose()

    assert [] == names(tmp_path)


async def test_a_slow_video_may_take_any_time(tmp_path: Path) -> None:
    """The speed is limited, and not the time."""
    transport = AiohttpTransport()
    began = time.monotonic()

    async with dripping(VIDEO[at : at + 50_000] for at in range(0, len(VIDEO), 50_000)) as url:
        path = await download_url(transport, url, tmp_path / "v.mp4", policy=HURRIED)
        await transport.aclose()

    assert VIDEO == path.read_bytes()
    assert time.monotonic() - began > HURRIED.patience
