"""The faults of the catalogue that a submit may meet, each with what is promised of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import Any

import aiohttp
import pytest

import happyhorse_async as hh
from happyhorse_async.messages import HttpRequest
from happyhorse_async.transports.aiohttp import AiohttpTransport

pytestmark = pytest.mark.usefixtures("no_chance")

REQUEST = hh.TextToVideo("a train at night")
ONCE = hh.RetryPolicies(download=hh.RetryPolicy(max_retries=0))
WHOLE = b'{"id": "t-1", "status": "queued"}'
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n"


@pytest.fixture(autouse=True)
def no_looks(fifth: Any) -> None:
    """Look at nothing within a test's time."""
    fifth.poll = hh.PollSchedule(interval=3600)


@pytest.mark.fault(8)
@pytest.mark.fault(18)
@pytest.mark.parametrize("ending", ["close", "reset"])
@pytest.mark.parametrize("head", [LENGTH, b""], ids=["short of its length", "chunk cut"])
async def test_a_cut_answer_with_a_whole_object(gateway: Any, fifth: Any, head: bytes, ending: str) -> None:
    """An answer that broke off after the object with the task's id was accepted all the same."""
    data = head + WHOLE if head else CHUNKED % (len(WHOLE), WHOLE)
    gateway.on("POST", "/videos", gateway.raw(data, ending))

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)

    assert "fifth:t-1" == str(handle.ref)
    assert 1 == len(gateway.requests)


@pytest.mark.fault(8)
@pytest.mark.parametrize(
    "data",
    [
        LENGTH + WHOLE[:-1],
        LENGTH + b'{"status": "queued"}',
        LENGTH + WHOLE + b"{",
        LENGTH.replace(b"200", b"400") + b'{"error": "no"}',
    ],
    ids=["half an object", "no id", "more than an object", "half a refusal"],
)
async def test_a_cut_answer_with_less(gateway: Any, fifth: Any, data: bytes) -> None:
    """Whatever else is left of a cut answer says nothing for certain, and nothing of it is in the error."""
    gateway.on("POST", "/videos", gateway.raw(data))

    async with fifth.open() as client:
        with pytest.raises(hh.SubmitOutcomeUnknownError) as raised:
            await client.submit(REQUEST)

    cause = raised.value.__cause__
    assert 1 == len(gateway.requests)
    assert not isinstance(cause, hh.TransportError) or cause.received is None


@pytest.mark.fault(12)
async def test_an_answer_that_never_ends(gateway: Any) -> None:
    """When the time is over, what has come of an answer is handed over with the error."""
    gateway.on("POST", "/videos", gateway.raw(LENGTH + WHOLE, "hang"))
    transport = AiohttpTransport()

    with pytest.raises(hh.TransportError, match="in time") as raised:
        await transport.send(HttpRequest(method="POST", url=f"{gateway.url}/videos", body=b"{}"), timeout=0.05)
    await transport.aclose()

    assert raised.value.received is not None
    assert WHOLE == raised.value.received.body


@pytest.mark.fault(5)
async def test_a_connection_is_waited_for_before_the_intent(gateway: Any, fifth: Any) -> None:
    """While a connector of the caller's has no place left, a job is queued and not on its way."""
    answer, store = asyncio.Event(), hh.MemoryStore()
    gateway.on("GET", "/videos/t-0", gateway.reply({"id": "t-0", "status": "running"}, after=answer))
    gateway.accept("t-1")

    async with aiohttp.TCPConnector(limit=1) as connector, fifth.open(connector=connector, store=store) as client:
        looking = asyncio.create_task(client.fetch("fifth:t-0"))
        await gateway.until(1, "GET")
        submitting = asyncio.create_task(client.submit(REQUEST))
        await asyncio.sleep(0.02)
        [waiting] = await client.pending()
        posts = len(gateway.seen("POST"))
        answer.set()
        handle = await submitting
        await looking

    assert ("QUEUED", 0) == (waiting.state, posts)
    assert "t-1" == handle.id


@pytest.mark.fault(5)
async def test_a_download_gives_its_connection_back(gateway: Any, fifth: Any, tmp_path: Any) -> None:
    """On a connector with one place, a download whose URL is refused can still ask for another, and a submit can go."""
    gateway.show("t-0", "done")
    gateway.on("GET", "/files/t-0.mp4", 403)
    gateway.accept("t-1")

    async with (
        aiohttp.TCPConnector(limit_per_host=1) as connector,
        fifth.open(connector=connector, retries=ONCE) as client,
    ):
        task = await client.fetch("fifth:t-0")
        with pytest.raises(hh.DownloadError):
            await client.download(task, tmp_path / "v.mp4")
        handle = await client.submit(REQUEST)

    assert "t-1" == handle.id


@pytest.mark.fault(9)
async def test_an_idle_connection_is_not_used_for_long(gateway: Any, fifth: Any, monkeypatch: Any) -> None:
    """A connection that has been idle for 13 seconds is left alone, since its server may be about to close it."""
    numbers, idle = iter(range(3)), 0.0
    gateway.on("POST", "/videos", lambda _: {"id": f"t-{next(numbers)}", "status": "queued"})
    clock = time.monotonic
    monkeypatch.setattr("aiohttp.connector.monotonic", lambda: clock() + idle)

    async with fifth.open() as client:
        await client.submit(REQUEST)
        idle = 10.0
        await client.submit(REQUEST)
        soon = gateway.connections
        idle = 23.0
        await client.submit(REQUEST)

    assert [1, 2] == [soon, gateway.connections]


@pytest.mark.fault(78)
async def test_an_event_loop_that_stood_still(fifth: Any, monkeypatch: Any) -> None:
    """An answer that was there before the time was over counts, even if the loop came to it only afterwards."""
    loop, stood_still = asyncio.get_running_loop(), 0.0
    clock = loop.time
    monkeypatch.setattr(loop, "time", lambda: clock() + stood_still)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal stood_still
        await reader.readuntil(b"}")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(WHOLE), WHOLE))
        # From here on every timer is due, and nobody has read the answer.
        stood_still = 130.0
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with fifth.open(base_url=f"http://127.0.0.1:{port}") as client:
            handle = await client.submit(REQUEST)

    assert "t-1" == handle.id


@pytest.mark.fault(3)
async def test_a_connection_that_is_not_made(monkeypatch: Any) -> None:
    """A host that says nothing at all is waited for ten seconds, and nothing was sent."""
    loop, passed = asyncio.get_running_loop(), 0.0
    clock = loop.time
    monkeypatch.setattr(loop, "time", lambda: clock() + passed)
    transport = AiohttpTransport()

    with socket.socket() as deaf, contextlib.ExitStack() as crowd:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(4):
            # The system takes in as many as it has room for, and ignores the rest.
            caller = crowd.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(deaf.getsockname())
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/videos"
        sending = asyncio.create_task(transport.send(HttpRequest(method="POST", url=url, body=b"{}"), timeout=120))
        await asyncio.sleep(0.02)
        passed = 11.0
        with pytest.raises(hh.TransportError, match="no connection within 10 s") as raised:
            await sending
    await transport.aclose()

    assert not raised.value.sent
    assert raised.value.retryable


def keyed(fifth: Any) -> hh.Adapter:
    """Make an adapter whose provider says 409 while it is busy with the same key."""
    plain = fifth.adapter()

    def decode_submit(self: Any, response: hh.HttpResponse, account: hh.Account) -> hh.Task:
        if response.status == 409:
            wish = float(response.headers["retry-after"])
            raise hh.ProviderError("being processed", status_code=409, retry_after=wish)
        task: hh.Task = plain.decode_submit(response, account)
        return task

    adapter: hh.Adapter = fifth.adapter(idempotent=True, decode_submit=decode_submit)
    return adapter


@pytest.mark.fault(28)
async def test_a_key_that_is_being_processed(gateway: Any, fifth: Any) -> None:
    """A provider that is busy with the first request is asked again, as often as it says so, with the same bytes."""
    busy = gateway.reply({}, status=409, headers={"Retry-After": "0.01"})
    gateway.on("POST", "/videos", b"", *[busy] * 9, {"id": "t-1", "status": "queued"})

    async with fifth.open(keyed(fifth)) as client:
        handle = await client.submit(REQUEST)

    assert "t-1" == handle.id
    assert 11 == len(gateway.requests)
    assert 1 == len({(seen.body, seen.headers["idempotency-key"]) for seen in gateway.requests})


@pytest.mark.fault(30)
async def test_too_early(gateway: Any, fifth: Any) -> None:
    """A 425 was not taken, and is tried again once."""
    gateway.on("POST", "/videos", gateway.reply({}, status=425, headers={"Retry-After": "0"}))

    async with fifth.open() as client:
        with pytest.raises(hh.RateLimitError) as raised:
            await client.submit(REQUEST)

    assert 425 == raised.value.status_code
    assert 2 == len(gateway.requests)


@pytest.mark.fault(37)
async def test_a_503_that_says_when(gateway: Any, fifth: Any) -> None:
    """A 503 that the provider documents as given before acceptance is tried again when it says."""
    refusal = gateway.reply({"refused": True}, status=503, headers={"Retry-After": "0.1"})
    gateway.on("POST", "/videos", refusal, {"id": "t-1", "status": "queued"})

    async with fifth.open() as client:
        await client.submit(REQUEST)

    first, second = gateway.requests
    assert second.at - first.at >= 0.09


@pytest.mark.fault(37)
async def test_a_503_that_says_nothing(gateway: Any, fifth: Any) -> None:
    """Any other 503 may have been taken, and is not sent again."""
    gateway.on("POST", "/videos", gateway.reply({}, status=503, headers={"Retry-After": "0"}))

    async with fifth.open() as client:
        with pytest.raises(hh.SubmitOutcomeUnknownError):
            await client.submit(REQUEST)

    assert 1 == len(gateway.requests)
