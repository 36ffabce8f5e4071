"""A video that breaks off is fetched on from there, as long as it is certain that it is the same video."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import happyhorse_async as hh
from happyhorse_async.download import DownloadPolicy
from happyhorse_async.download.expiry import ResultUrl
from happyhorse_async.redaction import SecretUrl
from happyhorse_async.retry import RetryPolicy
from happyhorse_async.transports.aiohttp import AiohttpTransport

from .videos import box, download_url, names, video_file

if TYPE_CHECKING:
    from conftest import Gateway, Reply, Seen


VIDEO, OTHER = video_file(b"\1" * (3 << 20)), video_file(b"\2" * (3 << 20))
TAG = '"a-1"'
DATE = "Sat, 21 Nov 2026 08:00:00 GMT"


class Store:
    """A server that keeps files: it cuts its answers at will, and honours ranges or does not."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.content = VIDEO
        self.validators = {"ETag": TAG}
        self.cuts: list[int] = []
        """How many bytes of its next answers the server sends."""
        self.ranges = True
        self.announces = True

    def answer(self, seen: Seen) -> Reply:
        """Answer a request for the file."""
        start = self._start(seen)
        whole = start is None
        body = self.content[start or 0 :]
        if start is not None and not body:
            return self._gateway.reply(status=416, headers={"Content-Range": f"bytes */{len(self.content)}"})
        headers = {"Content-Length": str(len(body)) if self.announces else "", **self.validators}
        if not whole:
            headers["Content-Range"] = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
        reply = self._gateway.reply(body, status=200 if whole else 206, headers=headers, then="close")
        head, _, _ = reply.data.partition(b"\r\n\r\n")
        return self._gateway.raw(head + b"\r\n\r\n" + body[: self.cuts.pop(0) if self.cuts else None])

    def _start(self, seen: Seen) -> int | None:
        asked = re.fullmatch(r"bytes=(\d+)-", seen.headers.get("range", ""))
        same = seen.headers.get("if-range") in self.validators.values()
        return int(asked[1]) if asked and self.ranges and same else None


@pytest.fixture
def store(gateway: Gateway) -> Store:
    """Let the gateway answer for `/v.mp4` as a server that keeps files."""
    store = Store(gateway)
    gateway.on("GET", "/v.mp4", store.answer)
    return store


Fetch = Callable[..., Awaitable[bytes]]


@pytest.fixture
async def fetch(gateway: Gateway, tmp_path: Path) -> AsyncGenerator[Fetch]:
    """Fetch `/v.mp4`, and see to it that nothing but the video is left."""
    transport = AiohttpTransport()

    async def fetch(*, retries: int = 3, patience: float = 5.0, **options: object) -> bytes:
        policy = DownloadPolicy(retry=RetryPolicy(max_retries=retries, initial_interval=0.0), patience=patience)
        path = tmp_path / "train.mp4"
        await download_url(transport, f"{gateway.url}/v.mp4", path, policy=policy, **options)  # type: ignore[arg-type]
        assert [path.name] == names(tmp_path)
        return path.read_bytes()

    yield fetch
    await transport.aclose()


WHOLE = (False, None)
REST = (True, TAG)


def asked(gateway: Gateway) -> list[tuple[bool, str | None]]:
    """
    List whether the rest was asked for, and on what condition.

    Where it begins, what has come of the video in the end can tell: some bytes may be lost when a line breaks.
    """
    return [("range" in seen.headers, seen.headers.get("if-range")) for seen in gateway.requests]


def start_of(seen: Seen) -> int:
    """Read where the rest begins."""
    return int(seen.headers["range"].removeprefix("bytes=").removesuffix("-"))


@pytest.mark.fault(66)
@pytest.mark.parametrize(
    ("validators", "condition"),
    [
        ({"ETag": TAG}, TAG),
        ({"Last-Modified": DATE}, DATE),
        ({"ETag": TAG, "Last-Modified": DATE}, TAG),
        ({"ETag": 'W/"weak"', "Last-Modified": DATE}, DATE),
    ],
)
async def test_a_video_that_breaks_off(
    gateway: Gateway, store: Store, fetch: Fetch, validators: dict[str, str], condition: str
) -> None:
    """The rest is asked for, on the condition that the video is the same, as often as it breaks off."""
    store.validators = validators
    store.cuts = [1_500_000, 7, 1_000_000]

    content = await fetch()

    assert VIDEO == content
    assert [WHOLE] + [(True, condition)] * 3 == asked(gateway)


@pytest.mark.fault(66)
@pytest.mark.parametrize("validators", [{}, {"ETag": 'W/"weak"'}, {"ETag": "naked"}])
async def test_a_video_that_nothing_tells_from_another(
    gateway: Gateway, store: Store, fetch: Fetch, validators: dict[str, str]
) -> None:
    """Without a strong validator the video is fetched from its start."""
    store.validators = validators
    store.cuts = [2_000_000]

    content = await fetch()

    assert VIDEO == content
    assert [WHOLE] * 2 == asked(gateway)


@pytest.mark.fault(69)
async def test_a_range_that_is_ignored(store: Store, gateway: Gateway, fetch: Fetch) -> None:
    """A server that sends the whole again is taken at its word."""
    store.ranges = False
    store.cuts = [2_000_000]

    content = await fetch()

    assert VIDEO == content
    assert [WHOLE, REST] == asked(gateway)


@pytest.mark.fault(66)
@pytest.mark.fault(67)
async def test_a_video_of_no_length_that_breaks_off(store: Store, gateway: Gateway, fetch: Fetch) -> None:
    """Where no length is announced, the boxes tell that something is missing, and the rest is asked for."""
    store.announces = False
    store.cuts = [2_000_000]

    content = await fetch()

    assert VIDEO == content
    assert [WHOLE, REST] == asked(gateway)


@pytest.mark.fault(69)
@pytest.mark.parametrize("other", [OTHER, VIDEO[:16] + box(b"mdat", b"\3" * 9) + VIDEO[-108:]], ids=["long", "short"])
async def test_a_video_that_is_another_by_now(store: Store, gateway: Gateway, fetch: Fetch, other: bytes) -> None:
    """Nothing of the old video is left where the server has another one."""

    def exchange(seen: Seen) -> Reply:
        store.content, store.validators = other, {"ETag": '"a-2"'}
        return store.answer(seen)

    store.cuts = [2_000_000]
    gateway.on("GET", "/v.mp4", store.answer, exchange)

    assert other == await fetch()
    assert [WHOLE, REST] == asked(gateway)


LAST, SIZE = len(VIDEO) - 1, len(VIDEO)

WRONG_PARTS: dict[str, Callable[[int], dict[str, str]]] = {
    "another place": lambda start: {"Content-Range": f"bytes {start - 1}-{LAST}/{SIZE}"},
    "another length": lambda start: {"Content-Range": f"bytes {start}-{SIZE}/{SIZE + 1}"},
    "another tag": lambda start: {"Content-Range": f"bytes {start}-{LAST}/{SIZE}", "ETag": '"a-2"'},
    "no place": lambda _: {},
    "junk": lambda _: {"Content-Range": "bytes many-all/none"},
    "no tag": lambda start: {"Content-Range": f"bytes {start}-{LAST}/{SIZE}"},
    "a weak tag": lambda start: {"Content-Range": f"bytes {start}-{LAST}/{SIZE}", "ETag": f"W/{TAG}"},
    "several parts": lambda _: {"Content-Type": "multipart/byteranges; boundary=x"},
}


@pytest.mark.fault(69)
@pytest.mark.parametrize("headers", WRONG_PARTS.values(), ids=WRONG_PARTS)
async def test_a_part_that_does_not_fit(
    store: Store, gateway: Gateway, fetch: Fetch, headers: Callable[[int], dict[str, str]]
) -> None:
    """A part that is not the one that is missing is thrown away with all before it, and the video begun anew."""

    def wrong(seen: Seen) -> Reply:
        start = start_of(seen)
        return gateway.reply(OTHER[start:], status=206, headers=headers(start))

    store.cuts = [2_000_000]
    gateway.on("GET", "/v.mp4", store.answer, wrong, store.answer)

    assert VIDEO == await fetch()
    assert [WHOLE, REST, WHOLE] == asked(gateway)


async def test_a_part_that_does_not_say_how_long_the_whole_is(store: Store, gateway: Gateway, fetch: Fetch) -> None:
    """A part need not say how long the whole is, if its tag is the same."""

    def taciturn(seen: Seen) -> Reply:
        start = start_of(seen)
        headers = {"Content-Range": f"bytes {start}-{LAST}/*", "ETag": TAG}
        return gateway.reply(VIDEO[start:], status=206, headers=headers)

    store.cuts = [2_000_000]
    gateway.on("GET", "/v.mp4", store.answer, taciturn)

    assert VIDEO == await fetch()
    assert [WHOLE, REST] == asked(gateway)


@pytest.mark.fault(67)
async def test_a_length_that_was_too_long(store: Store, gateway: Gateway, fetch: Fetch) -> None:
    """A server that had announced too much says that nothing is missing, and is believed."""
    lie = {"Content-Length": str(len(VIDEO) + 1), "ETag": TAG}
    gateway.on("GET", "/v.mp4", gateway.reply(VIDEO, headers=lie, then="hang"), store.answer)

    assert VIDEO == await fetch(patience=0.2)
    assert [WHOLE, REST] == asked(gateway)


@pytest.mark.fault(69)
async def test_a_video_that_has_shrunk(store: Store, gateway: Gateway, fetch: Fetch) -> None:
    """A part that begins beyond the end of the video means that it is another one."""
    store.cuts = [2_000_000]
    beyond = gateway.reply(status=416, headers={"Content-Range": "bytes */1000000"})
    gateway.on("GET", "/v.mp4", store.answer, beyond, store.answer)

    assert VIDEO == await fetch()
    assert [WHOLE, REST, WHOLE] == asked(gateway)


async def test_tries_that_bring_something_do_not_count(store: Store, gateway: Gateway, fetch: Fetch) -> None:
    """A line that breaks each mebibyte or so brings the whole video with one try more at a time."""
    store.cuts = [1_400_000, 1_400_000]

    assert VIDEO == await fetch(retries=1)
    assert 3 == len(gateway.requests)


async def test_a_video_that_begins_anew_each_time(store: Store, gateway: Gateway, fetch: Fetch) -> None:
    """What has come before does not count as something new."""
    store.ranges = False
    store.cuts = [2 << 20] * 9

    with pytest.raises(hh.DownloadError, match="broke off"):
        await fetch(retries=2)

    assert 3 == len(gateway.requests)


@pytest.mark.parametrize("ranges", [True, False])
async def test_progress_never_goes_back(store: Store, fetch: Fetch, ranges: bool) -> None:
    """Progress goes on from where it was, even where the video is fetched anew."""
    store.ranges = ranges
    store.cuts = [2_000_000, 1_000]
    reports: list[int] = []

    await fetch(progress=lambda received, total: reports.append(received))

    assert sorted(set(reports)) == reports
    assert len(VIDEO) == reports[-1]


async def test_a_fresh_url_that_is_none(gateway: Gateway, fetch: Fetch) -> None:
    """A fresh URL that cannot be asked is an error of the download."""
    gateway.on("GET", "/v.mp4", 403)

    async def renew() -> ResultUrl:
        return ResultUrl(SecretUrl("http://["))

    with pytest.raises(hh.DownloadError, match=r"only http"):
        await fetch(renew=renew)


@pytest.mark.fault(64)
@pytest.mark.parametrize("path", ["v.mp4", "w.mp4"])
async def test_a_url_that_expires_half_way(store: Store, gateway: Gateway, fetch: Fetch, path: str) -> None:
    """A fresh URL of the same place goes on where the old one ended, and one of another place begins anew."""
    store.cuts = [2_000_000]
    renewals = [ResultUrl(SecretUrl(f"{gateway.url}/{path}?signature=fresh"))]
    gateway.on("GET", "/v.mp4", store.answer, 403, store.answer)
    gateway.on("GET", "/w.mp4", store.answer)

    async def renew() -> ResultUrl:
        return renewals.pop()

    assert VIDEO == await fetch(renew=renew)
    assert [] == renewals
    assert [WHOLE, REST, REST if path == "v.mp4" else WHOLE] == asked(gateway)


async def test_a_server_that_asks_for_time(store: Store, gateway: Gateway, fetch: Fetch) -> None:
    """A server that is busy half way is asked again for the rest."""
    store.cuts = [2_000_000]
    busy = gateway.reply(status=503, headers={"Retry-After": "0"})
    gateway.on("GET", "/v.mp4", store.answer, busy, 429, store.answer)

    assert VIDEO == await fetch()
    assert [WHOLE, REST, REST, REST] == asked(gateway)
