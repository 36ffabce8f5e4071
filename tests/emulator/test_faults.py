"""Faults as something to switch on and off, and what they look like on the wire."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from email.utils import parsedate_to_datetime

import pytest
from aiohttp import ClientSession
from anyio.from_thread import start_blocking_portal

import happyhorse_async as hh
from happyhorse_async.emulator import faults
from happyhorse_async.emulator.faults import PRESETS, Operation

Raw = Callable[..., Awaitable[bytes]]
UNREADABLE = (
    "half-json",
    "huge-json",
    "gzip-bomb",
    "deep-json",
    "bad-utf-8",
    "byte-order-mark",
    "utf-16",
    "lone-surrogate",
    "nan",
    "infinite-number",
    "long-number",
)
SUBMIT = json.dumps({"model": "happyhorse-1.0-t2v", "prompt": "a kite"}).encode()


@pytest.fixture
async def raw(emulator: hh.Emulator) -> Raw:
    """Submit to a provider over a bare socket, and return all that comes until the connection ends."""

    async def raw(*, until_reset: bool = False) -> bytes:
        port = int(emulator.address.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
        head = (
            "POST /nexusflow/v1/tasks HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer k\r\n"
        )
        writer.write(f"{head}Content-Length: {len(SUBMIT)}\r\n\r\n".encode() + SUBMIT)
        came = bytearray()
        try:
            while chunk := await reader.read(65536):
                came += chunk
            assert not until_reset
        except ConnectionResetError:
            assert until_reset
        finally:
            writer.close()
        return bytes(came)

    return raw


async def test_the_parts_of_a_cut_answer(emulator: hh.Emulator, raw: Raw) -> None:
    """An answer is cut where the fault says, by a reset or a mere end, and its task is in the books all the same."""
    came: dict[str, bytes] = {}
    for name in ("reset-before-answer", "reset-in-head", "reset-in-body"):
        emulator.inject(name)
        came[name] = await raw(until_reset=True)
    for name in ("close-before-answer", "cut-after-object"):
        emulator.inject(name)
        came[name] = await raw()
    head, _, body = came["cut-after-object"].partition(b"\r\n\r\n")

    assert b"" == came["reset-before-answer"] == came["close-before-answer"]
    assert came["reset-in-head"].startswith(b"HTTP/1.1 202 ")
    assert b"\r\n\r\n" not in came["reset-in-head"]
    assert b'"id": "task_' in came["reset-in-body"].partition(b"\r\n\r\n")[2]
    assert json.loads(body)["id"]
    assert f"Content-Length: {len(body) + 1}".encode() in head
    assert 5 == emulator.billed("nexusflow")


async def test_a_stale_connection_bills_nothing(emulator: hh.Emulator, raw: Raw) -> None:
    """What is not taken is in no books."""
    emulator.inject("stale-connection")

    assert b"" == await raw()
    assert (1, 0) == (emulator.calls("submit"), emulator.billed())


async def test_bytes_that_are_no_http(emulator: hh.Emulator, raw: Raw) -> None:
    """Strange protocols, long headers, two lengths and cut chunks are on the wire as they are called."""
    came: dict[str, bytes] = {}
    for name in ("not-http", "long-header", "two-lengths", "cut-chunk"):
        emulator.inject(name)
        came[name] = await raw()
    announced = int(came["cut-chunk"].partition(b"\r\n\r\n")[2].partition(b"\r\n")[0], 16)

    assert came["not-http"].startswith(b"220 ")
    assert b"x" * 200_000 in came["long-header"]
    assert b"Content-Length: " in came["two-lengths"]
    assert b"Transfer-Encoding: chunked" in came["two-lengths"]
    assert len(came["cut-chunk"].partition(b"\r\n\r\n")[2].partition(b"\r\n")[2]) < announced


async def test_bodies_that_cannot_be_read(emulator: hh.Emulator, raw: Raw) -> None:
    """Each broken body is a whole HTTP answer, whose length is true."""
    for name in UNREADABLE:
        emulator.inject(name)
        head, _, body = (await raw()).partition(b"\r\n\r\n")

        assert head.startswith(b"HTTP/1.1 202 "), name
        assert f"Content-Length: {len(body)}".encode() in head, name
        if name == "gzip-bomb":
            body = zlib.decompress(body, wbits=31)
            assert len(body) > 2**25
        elif name != "huge-json":
            with pytest.raises((ValueError, RecursionError)):
                json.dumps(json.loads(body.decode()), allow_nan=False, ensure_ascii=False).encode()


async def test_what_hangs_is_released(emulator: hh.Emulator, raw: Raw) -> None:
    """A call that hangs says nothing until its injection is released, and then is answered."""
    injection = emulator.inject("hang", on="submit")

    call = asyncio.ensure_future(raw())
    await injection.until()
    assert not call.done()
    injection.release()

    assert b'"id": "task_' in await call


def test_what_hangs_is_released_in_another_thread() -> None:
    """An emulator may run in a thread of its own: its faults are waited for and released from here."""
    emulator = hh.Emulator()
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(emulator):
        injection = emulator.inject("hang", on="query")

        async def main() -> int:
            async with ClientSession() as http:
                call = asyncio.ensure_future(query(emulator, http, "hiapi"))
                await injection.until()
                injection.release()
                return await call

        assert 404 == asyncio.run(main())


async def test_a_trickle(emulator: hh.Emulator, raw: Raw) -> None:
    """A body that trickles arrives as a whole in the end."""
    emulator.inject(faults.trickle(pause=0.0))

    assert b'"id": "task_' in await raw()


async def test_faults_come_in_order(emulator: hh.Emulator, http: ClientSession) -> None:
    """Faults are played in the order in which they were switched on, each as often as it was told, then no more."""
    emulator.inject("broken-500", on="query", times=2)
    emulator.inject("html-502", on="query")
    emulator.inject("forbidden", on="list", times=None)

    statuses = [await query(emulator, http, "nexusflow") for _ in range(5)]

    assert [500, 500, 502, 404, 404] == statuses
    assert 5 == emulator.calls("query", provider="nexusflow") == emulator.calls("query")
    assert 0 == emulator.calls("list")


async def test_a_fault_lets_some_calls_pass(emulator: hh.Emulator, http: ClientSession) -> None:
    """A fault may wait for the n-th call of one provider, and others do not see it."""
    injection = emulator.inject("broken-500", on=("query", "list"), provider="hiapi", times=None, after=1)

    others = [await query(emulator, http, "imini") for _ in range(3)]
    own = [await query(emulator, http, "hiapi") for _ in range(3)]
    injection.remove()

    assert [404, 404, 404] == others
    assert [404, 500, 500] == own
    assert 404 == await query(emulator, http, "hiapi")
    assert 2 == injection.applied
    assert injection.over


async def query(emulator: hh.Emulator, http: ClientSession, provider: str) -> int:
    """Look at a task that there is not."""
    path = "/v1/videos/tasks/task_1" if provider == "imini" else "/v1/tasks/task_1"
    async with http.get(emulator.url(provider) + path, headers={"Authorization": "Bearer k"}) as response:
        return response.status


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("no-such-fault", {}),
        ("broken-500", {"on": "upload"}),
        ("broken-500", {"on": "download"}),
        ("dead-url", {"on": ("download", "query")}),
        ("broken-500", {"provider": "nobody"}),
        ("broken-500", {"times": -1}),
        ("broken-500", {"after": -1}),
    ],
)
async def test_a_fault_that_cannot_be(emulator: hh.Emulator, name: str, options: dict[str, object]) -> None:
    """A name, an operation, a provider or a count that means nothing is an error."""
    with pytest.raises(hh.ConfigurationError):
        emulator.inject(name, **options)  # type: ignore[arg-type]


async def test_nothing_is_remembered(http: ClientSession) -> None:
    """Faults and counts end with the emulator, and nothing that hangs holds it up."""
    emulator = hh.Emulator()
    early = emulator.inject("broken-500", on="query")
    async with emulator:
        assert 500 == await query(emulator, http, "hiapi")
        hanging = emulator.inject("hang", on="query")
        call = asyncio.ensure_future(query(emulator, http, "hiapi"))
        await hanging.until()
    await asyncio.wait_for(asyncio.gather(call, return_exceptions=True), 10)

    async with emulator:
        assert 404 == await query(emulator, http, "hiapi")
        assert 1 == emulator.calls("query")
    assert early.over


async def test_the_dates_of_a_refusal(emulator: hh.Emulator, http: ClientSession) -> None:
    """A date in `Retry-After` is by the clock that the answer's own `Date` shows."""
    emulator.inject(faults.refused_until(7, hours_off=-3), on="query")
    path = f"{emulator.url('imini')}/v1/videos/tasks/task_1"

    async with http.get(path, headers={"Authorization": "Bearer k"}) as response:
        named, own = (parsedate_to_datetime(response.headers[name]) for name in ("Retry-After", "Date"))

    assert 429 == response.status
    assert timedelta(seconds=7) == named - own


async def test_a_fault_of_ones_own(emulator: hh.Emulator, http: ClientSession) -> None:
    """A fault that a test defines is switched on like any other."""

    teapot = faults.Fault(
        "the server is a teapot",
        response=lambda response, call: hh.HttpResponse(status=418, body=call.operation.encode()),
    )

    emulator.inject(teapot)

    assert 418 == await query(emulator, http, "hiapi")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_applied_to_something(name: str) -> None:
    """Each named fault has an operation that it fits, something that it changes, and a summary."""
    fault = PRESETS[name]

    assert frozenset() < fault.on <= frozenset(Operation)
    assert fault.task or fault.response
    assert fault.summary
    assert name == name.lower()


def test_a_fault_for_some_seconds_counts_from_its_first_call() -> None:
    """It is applied to every call within that time, however late the first one comes."""
    applied = faults.Faults()
    injection = applied.add(PRESETS["late-404"], after=1, seconds=2)

    def download(now: float) -> bool:
        return applied.next(Operation.DOWNLOAD, "hiapi", now=now) is injection

    assert [False, True, True, False, False] == [download(now) for now in (50, 100, 101.9, 102, 103)]
    assert injection.over
    assert 2 == injection.applied


async def test_a_late_file_appears(emulator: hh.Emulator, http: ClientSession) -> None:
    """The storage answers with its error at first, and then with the video."""
    emulator.inject("late-404", times=2)
    headers = {"Authorization": "Bearer k"}
    async with http.post(emulator.url("nexusflow") + "/v1/tasks", data=SUBMIT, headers=headers) as response:
        task_id = (await response.json())["id"]
    async with http.get(f"{emulator.url('nexusflow')}/v1/tasks/{task_id}", headers=headers) as response:
        url = (await response.json())["output"]["video_url"]

    answers: list[tuple[int, bytes]] = []
    for _ in range(3):
        async with http.get(url) as response:
            answers.append((response.status, await response.read()))

    assert [404, 404, 200] == [status for status, _ in answers]
    assert b"<Code>NoSuchKey</Code>" in answers[0][1]
    assert [(404, "download"), (200, "download")] == [
        (request.status, str(request.operation)) for request in emulator.requests[-2:]
    ]


@pytest.mark.parametrize(
    ("provider", "fault", "shape"),
    [
        ("dashscope", "url-in-list", ["output", "video_url", 0]),
        ("nexusflow", "url-in-object", ["output", "video_url", "url"]),
        ("imini", "url-as-text", ["videos"]),
        ("imini", "url-in-list", ["videos", 0]),
        ("hiapi", "url-as-text", ["data", "output"]),
        ("hiapi", "url-in-object", ["data", "output", "url"]),
    ],
)
async def test_the_shape_of_a_result_changes(
    emulator: hh.Emulator, http: ClientSession, provider: str, fault: str, shape: list[str | int]
) -> None:
    """The URL of the video is in the documented member, as another type."""
    async with hh.Client(provider, api_key="k", base_url=emulator.url(provider)) as client:
        handle = await client.submit(hh.TextToVideo("a kite", resolution="720P"))
    emulator.inject(fault, on="query")
    path = {"dashscope": "/tasks/", "imini": "/v1/videos/tasks/"}.get(provider, "/v1/tasks/")

    async with http.get(emulator.url(provider) + path + str(handle.id), headers={"Authorization": "Bearer k"}) as got:
        value = await got.json()
    for step in shape:
        value = value[step]

    assert f"{emulator.address}/videos/" in value
    assert ".mp4?" in value
