"""No key and no signed URL in anything that is raised, whatever the provider echoes."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import happyhorse_async as hh

if TYPE_CHECKING:
    from conftest import Fifth, Gateway

KEY = "sk-canary-0451-never-to-be-seen"
SIGNED = "https://files.example/t-1.mp4?Signature=s3cr3t&Expires=1"
SAID = f"the key {KEY} may not see {SIGNED}"
REQUEST = hh.TextToVideo("a train at night")

pytestmark = pytest.mark.usefixtures("no_chance")


def told(error: BaseException) -> str:
    """Put together all that a log or a traceback makes of an exception and of what it came from."""
    return "\n".join(
        f"{link} {link!r} {link.__dict__} {''.join(traceback.format_exception(link))}" for link in chain(error)
    )


def in_the_frames(error: BaseException) -> str:
    """Put together all that an error tracker finds in our frames on the way of an exception."""
    frames = (frame for link in chain(error) for frame, _ in traceback.walk_tb(link.__traceback__))
    return "\n".join(str(frame.f_locals) for frame in frames if "happyhorse_async" in frame.f_code.co_filename)


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it came from, be it said or not."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


ECHOES: dict[str, Any] = {
    **{str(status): (status, {"error": SAID}) for status in (400, 401, 402, 403, 404, 429, 500, 502, 503)},
    "503, not taken": (503, {"error": SAID, "refused": True}),
    "HTML": (502, f"<html><p>{SAID}</p>".encode()),
    "HTML with 200": (200, f"<html><p>{SAID}</p>".encode()),
    "cut JSON": (200, f'{{"error": "{SAID}'.encode()),
    "no id": (200, {"error": SAID}),
    "an adapter's bug": (200, {"id": "t-1", "status": "done", "urls": [SIGNED, 7], "created": 7}),
    "a redirect": (302, b""),
}


@pytest.mark.fault(86)
@pytest.mark.parametrize(("status", "content"), ECHOES.values(), ids=ECHOES)
async def test_an_echo(gateway: Gateway, fifth: Fifth, status: int, content: Any) -> None:
    """A provider that repeats the key and a signed URL does not get them into an error."""
    headers = {"Retry-After": "0", "Location": f"https://elsewhere.example/?key={KEY}&{SIGNED}", "X-Key": KEY}
    answer = gateway.reply(content, status=status, headers=headers)
    gateway.on("POST", "/videos", answer)
    gateway.show("t-1", answer)
    gateway.on("GET", "/videos", answer)
    gateway.on("POST", "/videos/t-1/cancel", answer)

    async with fifth.open() as client:
        uses = (client.submit(REQUEST), client.fetch("fifth:t-1"), client.cancel("fifth:t-1"), client.list_tasks())
        errors = await asyncio.gather(*uses, return_exceptions=True)

    for error in errors:
        assert isinstance(error, Exception)
        assert KEY not in told(error) + in_the_frames(error)
        assert "s3cr3t" not in told(error)


@pytest.mark.fault(86)
@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"junk\r\n", b"HTTP/1.1 200 OK\r\nX-Junk" + b"x" * 99_999],
    ids=["no answer", "no body", "no HTTP", "no end"],
)
async def test_a_broken_connection(gateway: Gateway, fifth: Fifth, tmp_path: Path, answer: bytes) -> None:
    """What aiohttp has to say of a broken answer, the request's headers among it, is on no error."""
    gateway.on("POST", "/videos", answer)
    gateway.show("t-1", answer)
    gateway.on("GET", "/files/*", answer)
    video = hh.Video(url=f"{gateway.url}/files/t-1.mp4?Signature=s3cr3t")
    task = hh.Task(ref=hh.TaskRef("fifth", "t-1"), status=hh.TaskStatus.SUCCEEDED, videos=(video,))

    async with fifth.open() as client:
        uses = (client.submit(REQUEST), client.fetch(task.ref), client.download(task, tmp_path))
        errors = await asyncio.gather(*uses, return_exceptions=True)

    for error in errors:
        assert isinstance(error, hh.HappyHorseError)
        assert KEY not in told(error) + in_the_frames(error)
        assert "s3cr3t" not in told(error)


@pytest.mark.fault(86)
async def test_waiting_in_vain(gateway: Gateway, fifth: Fifth) -> None:
    """Who waits is told the task's last observation, and no signature in it."""
    gateway.accept("t-1")
    gateway.show("t-1", {"id": "t-1", "status": "running", "urls": [SIGNED]})

    async with fifth.open() as client:
        with pytest.raises(hh.WaitTimeoutError) as raised:
            await client.generate(REQUEST, timeout=0.05)

    assert raised.value.task is not None
    assert SIGNED == raised.value.task.video_url
    assert "s3cr3t" not in told(raised.value)


@pytest.mark.fault(86)
async def test_an_open_client(fifth: Fifth) -> None:
    """Neither a client nor what it is made of shows the key."""
    async with fifth.open() as client:
        shown = repr(client) + str(vars(client))

    assert KEY not in shown


@pytest.mark.fault(85)
async def test_a_log_has_one_line_for_each_record(
    gateway: Gateway, fifth: Fifth, caplog: pytest.LogCaptureFixture
) -> None:
    """A task's id, which a provider chose as well, moves no cursor and begins no line in a log."""
    gateway.accept("t-1\x1b[2J\r\n2026-01-01 everything is fine")

    async with fifth.open(poll=hh.PollSchedule(interval=3600)) as client:
        await client.submit(REQUEST)

    messages = [record.getMessage() for record in caplog.records if record.name == "happyhorse_async"]
    assert [message for message in messages if r"t-1\x1b[2J\r\n2026" in message]
    assert not [message for message in messages if not message.isprintable()]
