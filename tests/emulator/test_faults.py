"""How faults are switched on and off, and what they send."""

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


async def test_a_response_is_cut_where_the_fault_says(emulator: hh.Emulator, raw: Raw) -> None:
    """It ends by a reset or a close, and its task is billed all the same."""
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
    """Its request is not carried out."""
    emulator.inject("stale-connection")

    assert b"" == await raw()
    assert (1, 0) == (emulator.calls("submit"), emulator.billed())


async def test_invalid_http_is_sent_as_named(emulator: hh.Emulator, raw: Raw) -> None:
    """Another protocol, a long header, two lengths and a cut chunk."""
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


async def test_an_unreadable_body_comes_in_a_complete_response(emulator: hh.Emulator, raw: Raw) -> None:
    """Its length is the announced one."""
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


async def test_a_hanging_response_is_sent_when_it_is_released(emulator: hh.Emulator, raw: Raw) -> None:
    """Nothing comes before that."""
    injection = emulator.inject("hang", on="submit")

    call = asyncio.ensure_future(raw())
    await injection.until()
    assert not call.done()
    injection.release()

    assert b'"id": "task_' in await call


def test_an_injection_is_awaited_and_released_in_another_thread() -> None:
    """The emulator may run in a thread of its own."""
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


async def test_a_body_that_trickles_arrives_completely(emulator: hh.Emulator, raw: Raw) -> None:
    """Every byte is sent in the end."""
    emulator.inject(faults.trickle(pause=0.0))

    assert b'"id": "task_' in await raw()


async def test_faults_are_applied_in_the_order_in_which_they_were_switched_on(
    emulator: hh.Emulator, http: ClientSession
) -> None:
    """Each is applied `times` times, then the next."""
    emulator.inject("broken-500", on="query", times=2)
    emulator.inject("html-502", on="query")
    emulator.inject("forbidden", on="list", times=None)

    statuses = [await query(emulator, http, "nexusflow") for _ in range(5)]

    assert [500, 500, 502, 404, 404] == statuses
    assert 5 == emulator.calls("query", provider="nexusflow") == emulator.calls("query")
    assert 0 == emulator.calls("list")


async def test_a_fault_skips_calls_before_it_is_applied(emulator: hh.Emulator, http: ClientSession) -> None:
    """`after` counts the matching calls of its provider."""
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
    """Query an unknown task."""
    path = "/v1/videos/tasks/task_1" if provider == "imini" else "/v1/tasks/task_1"
    async with http.get(emulator.url(provider) + path, headers={"Authorization": "Bearer k"}) as response:
        return response.status


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("no-such-fault", {}),
        ("broken-500", {"on": "refund"}),
        ("broken-500", {"on": "download"}),
        ("dead-url", {"on": ("download", "query")}),
        ("broken-500", {"provider": "unknown"}),
        ("broken-500", {"times": -1}),
        ("broken-500", {"after": -1}),
    ],
)
async def test_an_impossible_injection_is_a_configuration_error(
    emulator: hh.Emulator, name: str, options: dict[str, object]
) -> None:
    """Unknown names, operations and providers, and negative numbers are refused."""
    with pytest.raises(hh.ConfigurationError):
        emulator.inject(name, **options)  # type: ignore[arg-type]


async def test_closing_the_emulator_ends_faults_and_counts(http: ClientSession) -> None:
    """A hanging response does not delay it."""
    emulator = hh.Emulator()
    early = emulator.inject("broken-500", on="query")
    async with emulator:
        assert 500 == await query(emulator, http, "hiapi")
        hanging = emulator.inject("hang", on="query")
        call = asyncio.ensure_future(query(emulator, http, "hiapi"))
        await hanging.until()
    await asyncio.wait_for(asyncio.gather(call, return_exceptions=True), 100)

    async with emulator:
        assert 404 == await query(emulator, http, "hiapi")
        assert 1 == emulator.calls("query")
    assert early.over


async def test_retry_after_as_a_date_is_relative_to_the_server_date(emulator: hh.Emulator, http: ClientSession) -> None:
    """Both are off by the same hours."""
    emulator.inject(faults.refused_until(7, hours_off=-3), on="query")
    path = f"{emulator.url('imini')}/v1/videos/tasks/task_1"

    async with http.get(path, headers={"Authorization": "Bearer k"}) as response:
        named, own = (parsedate_to_datetime(response.headers[name]) for name in ("Retry-After", "Date"))

    assert 429 == response.status
    assert timedelta(seconds=7) == named - own


async def test_a_custom_fault_is_applied(emulator: hh.Emulator, http: ClientSession) -> None:
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


@pytest.mark.parametrize(("fault", "segment"), [("url-with-space", "my video"), ("url-non-ascii", "视频")])
async def test_a_url_that_is_not_encoded_leads_to_the_video_once_it_is_encoded(
    emulator: hh.Emulator, http: ClientSession, fault: str, segment: str
) -> None:
    """The storage accepts the percent-encoded URL."""
    emulator.inject(fault, on="query")
    async with hh.Client("hiapi", api_key="k", base_url=emulator.url("hiapi")) as client:
        handle = await client.submit(hh.TextToVideo("a kite", resolution="720P", duration=3))
        task = await client.fetch(str(handle.ref))

    assert f"/videos/{segment}/" in str(task.video_url)
    # aiohttp encodes what a URL cannot hold.
    async with http.get(str(task.video_url)) as response:
        assert 200 == response.status
