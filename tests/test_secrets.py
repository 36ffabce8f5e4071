"""No key and no signed URL in anything that is raised, whatever the provider echoes."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
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


def every_local(error: BaseException) -> str:
    """Put together the local variables of all frames, those of libraries included, as error trackers do."""
    frames = (frame for link in chain(error) for frame, _ in traceback.walk_tb(link.__traceback__))
    return "\n".join(
        f"{frame.f_code.co_qualname} {name}={value!r}"
        for frame in frames
        if frame.f_code.co_filename != __file__
        for name, value in frame.f_locals.items()
    )


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

    once = hh.RetryPolicies(download=hh.RetryPolicy(max_retries=0))
    async with fifth.open(retries=once) as client:
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

    once = hh.RetryPolicies(download=hh.RetryPolicy(max_retries=0))
    async with fifth.open(retries=once) as client:
        uses = (client.submit(REQUEST), client.fetch(task.ref), client.download(task, tmp_path))
        errors = await asyncio.gather(*uses, return_exceptions=True)

    for error in errors:
        assert isinstance(error, hh.HappyHorseError)
        assert KEY not in told(error) + in_the_frames(error)
        assert "s3cr3t" not in told(error)


OK = b"HTTP/1.1 200 OK\r\n"
FAILED_DOWNLOADS: dict[str, bytes] = {
    "no response": b"",
    "not HTTP": b"junk\r\n",
    "no body": OK + b"Content-Length: 9\r\n\r\n",
    "cut": OK + b"Content-Length: 99\r\n\r\n\0\0\0\x10ftypisom\0\0\0\0",
    "not a video": OK + b"Content-Length: 5\r\n\r\nhello",
    "damaged gzip": OK + b"Content-Encoding: gzip\r\nContent-Length: 12\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\0\xff\xff",
    "refused": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
    "too large": OK + b"Content-Length: 9999999999\r\n\r\n",
    "redirected to a file": b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd?s3cr3t\r\nContent-Length: 0\r\n\r\n",
    "redirected to junk": b"HTTP/1.1 302 Found\r\nLocation: http://[?s3cr3t\r\nContent-Length: 0\r\n\r\n",
    "redirected to nowhere": b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.fault(86)
@pytest.mark.parametrize("expired", [False, True], ids=["young", "expired"])
@pytest.mark.parametrize("answer", FAILED_DOWNLOADS.values(), ids=FAILED_DOWNLOADS)
async def test_no_local_variable_of_a_failed_download_shows_its_url(
    gateway: Gateway, fifth: Fifth, tmp_path: Path, answer: bytes, expired: bool
) -> None:
    """Error trackers record the local variables of each frame: none of them shows the signature or the key."""
    gateway.on("GET", "/files/t-1.mp4", answer)
    gateway.show("t-1", 500)
    ends = datetime.now(UTC) + timedelta(hours=-1 if expired else 1)
    video = hh.Video(url=f"{gateway.url}/files/t-1.mp4?Signature=s3cr3t", expires_at=ends)
    task = hh.Task(ref=hh.TaskRef("fifth", "t-1"), status=hh.TaskStatus.SUCCEEDED, videos=(video,))
    retries = hh.RetryPolicies(download=hh.RetryPolicy(max_retries=1, initial_interval=0.0))

    async def stream(client: hh.Client) -> None:
        async with client.stream(task) as chunks:
            async for _ in chunks:
                pass

    async with fifth.open(retries=retries) as client:
        with pytest.raises(hh.DownloadError) as downloaded:
            await client.download(task, tmp_path)
        with pytest.raises(hh.DownloadError) as streamed:
            await stream(client)

    for raised in (downloaded, streamed):
        assert "s3cr3t" not in every_local(raised.value) + told(raised.value)
        assert KEY not in every_local(raised.value) + told(raised.value)


@pytest.mark.fault(86, 87)
@pytest.mark.parametrize("key", [f"{KEY}\n", f" {KEY}", f"Bearer {KEY}", f"{KEY}\u200b"])
def test_no_local_variable_shows_a_key_that_is_nearly_right(fifth: Fifth, key: str) -> None:
    """A key that is refused for a space or a line break is as good as the key itself."""
    with pytest.raises(hh.ConfigurationError) as raised:
        fifth.client(api_key=key)

    frames = [frame for frame, _ in traceback.walk_tb(raised.value.__traceback__)]
    ours = [frame for frame in frames if "happyhorse_async" in frame.f_code.co_filename]
    assert KEY not in "".join(repr(frame.f_locals) for frame in ours)


def in_our_frames(error: BaseException) -> str:
    """Put together the local variables of the library's frames."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return "".join(repr(frame.f_locals) for frame in frames if "happyhorse_async" in frame.f_code.co_filename)


@pytest.mark.fault(86, 87)
@pytest.mark.parametrize("text", [f"'{KEY}'", f" {KEY}", f"FIFTH_API_KEY={KEY}", f"key: {KEY}", f"b'{KEY}'"])
@pytest.mark.parametrize("place", ["file", "literal", "webhook"])
def test_no_local_variable_shows_a_key_of_the_configuration_that_is_nearly_right(
    tmp_path: Path, text: str, place: str
) -> None:
    """The same holds for key files, keys in the configuration itself, and the secrets of webhooks."""
    (tmp_path / "key").write_text(text)
    key = 'api_key_file = "key"' if place == "file" else f"api_key = {json.dumps(text)}"
    (tmp_path / "happyhorse.toml").write_text(f"[providers.hiapi]\n{key}\n")

    client = hh.Client("hiapi", api_key="sk-another-key")
    from_config, receiver = hh.Client.from_config, hh.CallbackReceiver

    with pytest.raises(hh.ConfigurationError) as raised:
        _ = receiver(client, [text]) if place == "webhook" else from_config(tmp_path / "happyhorse.toml")

    assert KEY not in told(raised.value) + in_our_frames(raised.value)
    assert None is raised.value.__context__


@pytest.mark.fault(86)
def test_a_request_that_cannot_be_encoded_is_not_on_its_error() -> None:
    """The error of half a surrogate pair holds the whole body, with signed URLs, and so is not kept."""
    client = hh.Client("dashscope", api_key=KEY)

    with pytest.raises(hh.InvalidRequestError, match="surrogate pair") as raised:
        client.plan(hh.TextToVideo(f"half \ud83d of {SIGNED}"))

    assert "s3cr3t" not in told(raised.value)
    assert None is raised.value.__context__


@pytest.mark.fault(86)
async def test_a_task_whose_id_is_the_key(gateway: Gateway, fifth: Fifth, caplog: pytest.LogCaptureFixture) -> None:
    """An id that contains the key would be in logs, stores and refs: it is not accepted, and not lost in silence."""
    gateway.accept(f"task-{KEY.upper()}")

    async with fifth.open() as client:
        with pytest.raises(hh.SubmitOutcomeUnknownError, match="contains the API key") as raised:
            await client.submit(REQUEST)

    assert KEY not in (told(raised.value) + caplog.text).lower()


@pytest.mark.fault(86)
async def test_a_redirect_to_a_host_that_is_named_after_the_key(
    gateway: Gateway, fifth: Fifth, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A hostile server of files puts the key into the host of a redirect, where capitals are lost."""
    location = f"ftp://{KEY.upper()}.example/v"
    gateway.on("GET", "/v", gateway.reply(status=302, headers={"Location": location}))
    video = hh.Video(url=f"{gateway.url}/v")
    task = hh.Task(ref=hh.TaskRef("fifth", "t-1"), status=hh.TaskStatus.SUCCEEDED, videos=(video,))

    async with fifth.open() as client:
        with pytest.raises(hh.DownloadError, match=r"redirects to ftp://\*\*\*") as raised:
            await client.download(task, tmp_path)

    assert KEY not in (told(raised.value) + caplog.text).lower()


@pytest.mark.fault(86)
async def test_waiting_in_vain(gateway: Gateway, fifth: Fifth) -> None:
    """Who waits is told the task's last observation, and no signature in it."""
    gateway.accept("t-1")
    gateway.show("t-1", {"id": "t-1", "status": "running", "urls": [SIGNED]})

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        await gateway.until(2, "GET")
        with pytest.raises(hh.WaitTimeoutError) as raised:
            await handle.wait(timeout=0.05)

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

    messages = [record.getMessage() for record in caplog.records if record.name.startswith("happyhorse_async")]
    assert [message for message in messages if r"t-1\x1b[2J\r\n2026" in message]
    assert not [message for message in messages if not message.isprintable()]
