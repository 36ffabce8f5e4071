"""What is turned away: forged, stale, too large, too slow, no callback at all. Nothing of it changes anything."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import happyhorse_async as hh

SECRET = "the-canary-of-the-callbacks-0451"
REQUEST = hh.TextToVideo("a train at night")
LARGEST = 1024 * 1024


@pytest.fixture
def body_timeout() -> float:
    """How long a receiver waits for a body: longer than any busy machine needs."""
    return 100.0


@pytest.fixture
async def hook(gateway: Any, fifth: Any, signing: Any, serve: Any, body_timeout: float) -> AsyncIterator[Any]:
    """Serve a receiver whose client waits for t-1, and see to it that nothing changes."""
    gateway.accept("t-1")
    async with fifth.open(signing) as client:
        hook = await serve(hh.CallbackReceiver(client, [SECRET, "the old one"], body_timeout=body_timeout))
        handle = await client.submit(REQUEST, callback_url="https://app.example/hooks")
        yield hook
        assert hh.TaskStatus.PENDING is handle.task.status
        assert [] == gateway.seen("GET")


@pytest.mark.fault(49)
@pytest.mark.parametrize(
    "signature",
    [None, "", "0=", "0=00", "ä", "=", "0" * 8000, "\udcff", "1780000000=é", "{}"],
    ids=["none", "empty", "no digest", "short", "not ASCII", "bare", "long", "not Unicode", "both", "other"],
)
async def test_a_call_that_is_not_signed(hook: Any, done: Any, signature: str | None) -> None:
    """A call without a signature, or with what is none, is answered with a 401."""
    headers = {} if signature is None else {"X-Fifth-Signature": signature}

    assert 401 == await hook.call(done("t-1"), secret=None, headers=headers)


@pytest.mark.fault(49)
async def test_a_forged_call(hook: Any, done: Any) -> None:
    """A call that is signed with another secret is answered with a 401."""

    assert 401 == await hook.call(done("t-1"), secret="another secret")


@pytest.mark.fault(49)
async def test_a_call_whose_body_was_changed(hook: Any, fifth: Any, done: Any) -> None:
    """A body that differs by a space from what was signed is answered with a 401."""
    body = json.dumps(done("t-1")).encode()
    signature = fifth.sign(body, SECRET, time.time())

    assert 401 == await hook.call(body + b" ", secret=None, headers={"X-Fifth-Signature": signature})


@pytest.mark.fault(50)
@pytest.mark.parametrize("offset", [-310, 310])
async def test_a_stale_call(hook: Any, done: Any, offset: float) -> None:
    """A call that was signed long ago, or in the future, is answered with a 401."""

    assert 401 == await hook.call(done("t-1"), at=time.time() + offset)


@pytest.mark.fault(51)
@pytest.mark.parametrize("body", [b"", b"status=done", b"[1]", b"\xff", b"[" * 100_000, b'{"id": 1e999}'])
async def test_a_call_that_is_no_json(hook: Any, body: bytes) -> None:
    """A genuine call that is no JSON object is answered with a 400."""

    assert 400 == await hook.call(body)


@pytest.mark.fault(51)
async def test_a_call_of_another_type(hook: Any, done: Any) -> None:
    """A genuine call that says it is no JSON is answered with a 400."""

    assert 400 == await hook.call(done("t-1"), headers={"Content-Type": "text/plain"})


@pytest.mark.fault(51)
async def test_a_call_that_names_no_task(hook: Any) -> None:
    """A genuine call without a task id is answered with a 400."""

    assert 400 == await hook.call({"status": "done"})


@pytest.mark.fault(51)
async def test_a_call_that_says_it_is_too_large(hook: Any) -> None:
    """A body that is announced as larger than a mebibyte is answered with a 413 before it is sent."""
    answer = await exchange(hook.url, b"Content-Length: %d\r\n" % (LARGEST + 1))

    assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.fault(51)
async def test_a_call_that_turns_out_too_large(hook: Any) -> None:
    """A body that goes on beyond a mebibyte is answered with a 413, and not read to its end."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 64 * LARGEST:
            sent += 65536
            yield bytes(65536)

    status = None
    with contextlib.suppress(ConnectionError, OSError):
        # A client that goes on writing may find the connection closed before it reads the answer.
        status = await hook.send("POST", endless())

    assert status in (413, None)
    assert sent < 64 * LARGEST


@pytest.mark.fault(51)
async def test_the_largest_call(hook: Any, done: Any) -> None:
    """A genuine call of exactly a mebibyte is read."""
    body = json.dumps({**done("t-9"), "more": ""}).encode()

    assert 200 == await hook.call(body[:-2] + b"x" * (LARGEST - len(body)) + b'"}')


@pytest.mark.fault(51)
@pytest.mark.parametrize("body_timeout", [0.05])
async def test_a_slow_call(hook: Any) -> None:
    """A body that does not arrive in time is answered with a 408."""
    answer = await exchange(hook.url, b'Content-Length: 9\r\n\r\n{"id":')

    assert answer.startswith(b"HTTP/1.1 408")


@pytest.mark.fault(51)
async def test_a_call_that_breaks_off(hook: Any, done: Any) -> None:
    """A caller that is gone before the body is complete harms nobody."""
    await exchange(hook.url, b'Content-Length: 9\r\n\r\n{"id":', hang_up=True)

    assert 200 == await hook.call(done("t-9"))


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("HEAD", 200), ("PUT", 405), ("DELETE", 405)])
async def test_a_probe(hook: Any, method: str, status: int) -> None:
    """A GET or HEAD finds that somebody is there; what is no call and no probe is not allowed."""

    assert status == await hook.send(method)


async def test_receive_has_the_same_limit(fifth: Any, signing: Any) -> None:
    """A body of more than a mebibyte is refused by `receive` too, whoever has read it."""
    async with fifth.open(signing) as client:
        with pytest.raises(hh.CallbackRejectedError) as raised:
            await hh.CallbackReceiver(client, SECRET).receive({}, bytes(LARGEST + 1))

    assert 413 == raised.value.http_status


@pytest.mark.fault(49)
async def test_no_rejection_shows_what_was_sent(
    hook: Any, done: Any, caplog: pytest.LogCaptureFixture, changes: Callable[..., Any]
) -> None:
    """Neither the body nor the headers of a call that is turned away are in the log."""
    await hook.call(b'{"id": "the-body-of-a-stranger"', secret="another")
    await hook.call(b'{"id": "the-body-of-a-stranger"')

    assert "the-body-of-a-stranger" not in caplog.text


async def exchange(url: str, rest: bytes, *, hang_up: bool = False) -> bytes:
    """Send the beginning of a POST, and return the beginning of its answer."""
    host, port = url.split("/")[2].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /hooks/fifth HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n".encode()
    writer.write(head + rest + (b"" if b"\r\n\r\n" in rest else b"\r\n"))
    await writer.drain()
    answer = b"" if hang_up else await reader.read(1000)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer
