"""`client.stream`: a video as bytes, resumed and checked like a download."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

import happyhorse_async as hh

from .videos import FTYP, HASTY, box, done, video_file

if TYPE_CHECKING:
    from conftest import Fifth, Gateway, Reply, Seen

VIDEO = video_file(bytes(range(256)) * 4096)
TAG = {"ETag": '"a-1"'}


@pytest.fixture
def task(gateway: Gateway) -> hh.Task:
    """Make a succeeded task."""
    return done(f"{gateway.url}/v.mp4?signature=s3cr3t")


async def read(client: hh.Client, task: hh.Task) -> bytes:
    """Read the stream of a video to its end."""
    async with client.stream(task) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def test_a_video_is_streamed(gateway: Gateway, fifth: Fifth, task: hh.Task) -> None:
    """The chunks together are the video, and its size is known from the start."""
    gateway.on("GET", "/v.mp4", gateway.reply(VIDEO))

    async with fifth.open() as client, client.stream(task) as chunks:
        total = chunks.total
        content = b"".join([chunk async for chunk in chunks])

    assert VIDEO == content
    assert len(VIDEO) == total
    assert "authorization" not in gateway.requests[0].headers


def cut(gateway: Gateway, size: int, *, ranges: bool, video: bytes = VIDEO) -> Callable[[Seen], Reply]:
    """Answer with *size* bytes of the video or of its rest."""

    def answer(seen: Seen) -> Reply:
        asked = re.fullmatch(r"bytes=(\d+)-", seen.headers.get("range", "")) if ranges else None
        start = int(asked[1]) if asked else 0
        headers = {"Content-Length": str(len(video) - start), **TAG}
        if asked:
            headers["Content-Range"] = f"bytes {start}-{len(video) - 1}/{len(video)}"
        reply = gateway.reply(video[start:], status=206 if asked else 200, headers=headers, then="close")
        head, _, _ = reply.data.partition(b"\r\n\r\n")
        return gateway.raw(head + b"\r\n\r\n" + video[start : start + size])

    return answer


@pytest.mark.fault(66, 69)
@pytest.mark.parametrize("ranges", [True, False], ids=["resumed", "repeated"])
async def test_a_stream_that_breaks_off_goes_on(gateway: Gateway, fifth: Fifth, task: hh.Task, ranges: bool) -> None:
    """No byte is missing or given twice, whether or not the server honours ranges."""
    gateway.on("GET", "/v.mp4", *(cut(gateway, size, ranges=ranges) for size in (5, 400_000, 300_000, len(VIDEO))))

    async with fifth.open(retries=HASTY) as client:
        assert VIDEO == await read(client, task)


@pytest.mark.fault(69)
@pytest.mark.parametrize("other", [video_file(b"\2" * len(VIDEO)), FTYP + VIDEO[16:300_000]], ids=["other", "shorter"])
async def test_a_video_that_changes_ends_the_stream(
    gateway: Gateway, fifth: Fifth, task: hh.Task, other: bytes
) -> None:
    """What was given out cannot be taken back: a video that is another one by now is an error."""
    whole = cut(gateway, len(other), ranges=False, video=other)
    gateway.on("GET", "/v.mp4", cut(gateway, 400_000, ranges=False), whole)

    async with fifth.open(retries=HASTY) as client:
        with pytest.raises(hh.DownloadError) as raised:
            await read(client, task)

    assert task.ref == raised.value.ref


@pytest.mark.fault(68)
async def test_nothing_is_given_out_of_what_is_not_a_video(gateway: Gateway, fifth: Fifth, task: hh.Task) -> None:
    """A page is tried again, and refused before the block is entered."""
    gateway.on("GET", "/v.mp4", gateway.reply(b"error code: 1015"))
    entered = False

    async with fifth.open(retries=HASTY) as client:
        with pytest.raises(hh.DownloadError, match="not a video"):
            async with client.stream(task):
                entered = True

    assert not entered
    assert 4 == len(gateway.requests)


@pytest.mark.fault(67)
async def test_a_stream_of_an_unfinished_video_ends_in_an_error(gateway: Gateway, fifth: Fifth, task: hh.Task) -> None:
    """A video without its table is an error at the end, whatever length was announced."""
    gateway.on("GET", "/v.mp4", gateway.reply(FTYP + box(b"mdat", bytes(999))))

    async with fifth.open(retries=HASTY) as client:
        with pytest.raises(hh.DownloadError, match="not a whole video"):
            await read(client, task)


async def test_leaving_a_stream_early_closes_it(gateway: Gateway, fifth: Fifth, task: hh.Task) -> None:
    """A stream that is left frees its slot for the next one."""
    gateway.on("GET", "/v.mp4", gateway.reply(VIDEO))

    async with fifth.open(limits=hh.Limits(max_concurrent_downloads=1)) as client:
        for _ in range(3):
            async with client.stream(task) as chunks:
                await anext(chunks)


async def test_a_task_without_a_video_has_no_stream(fifth: Fifth) -> None:
    """What has no video is an error with the ref."""
    task = hh.Task(ref=hh.TaskRef("fifth", "t-1"), status=hh.TaskStatus.RUNNING)

    async with fifth.open() as client:
        with pytest.raises(hh.DownloadError, match="no video") as raised:
            await read(client, task)

    assert task.ref == raised.value.ref
