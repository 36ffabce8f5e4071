"""Who is let in: attacks on the page from other sites, other names, and without the token."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import aiohttp
import pytest

from happyhorse_async.studio.guard import Guard

from .conftest import Running

PLAN = {"request": {"mode": "t2v", "prompt": "a"}}


@pytest.fixture
async def stranger() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that was never let in."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.fixture
async def browser(running: Running) -> AsyncIterator[aiohttp.ClientSession]:
    """A client that has opened the printed URL."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with session.get(running.studio.url) as response:
            assert response.status == 200
        yield session


async def test_the_token_becomes_a_cookie_that_other_sites_cannot_send(
    running: Running, stranger: aiohttp.ClientSession
) -> None:
    async with stranger.get(running.studio.url) as response:
        cookie = next(iter(response.cookies.values()))

    assert (cookie["samesite"], cookie["httponly"]) == ("Strict", True)


@pytest.mark.parametrize("path", ["/", "/?token=wrong", "/static/studio.css", "/api/setup", "/api/jobs", "/nothing"])
async def test_without_token_or_cookie_nothing_is_shown(
    running: Running, stranger: aiohttp.ClientSession, path: str
) -> None:
    async with stranger.get(running.origin + path) as response:
        assert response.status == 403
        assert "happyhorse studio" in await response.text()


async def test_the_token_opens_only_the_page_and_not_the_api(running: Running, stranger: aiohttp.ClientSession) -> None:
    token = urlsplit(running.studio.url).query
    async with stranger.get(f"{running.origin}/api/jobs?{token}") as response:
        assert response.status == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.example:{port}"]
)
async def test_another_host_name_is_refused_so_that_no_site_can_rebind_its_own(
    running: Running, browser: aiohttp.ClientSession, host: str
) -> None:
    name = host.format(port=urlsplit(running.origin).port)
    async with browser.get(running.studio.url, headers={"Host": name}) as response:
        assert response.status == 403


async def test_localhost_is_the_same_server(running: Running, browser: aiohttp.ClientSession) -> None:
    name = f"localhost:{urlsplit(running.origin).port}"
    async with browser.get(f"{running.origin}/api/setup", headers={"Host": name}) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "{origin}", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "{origin}", "Sec-Fetch-Site": "same-site"},
    ],
)
async def test_another_site_changes_nothing(
    running: Running, browser: aiohttp.ClientSession, headers: Mapping[str, str]
) -> None:
    sent = {name: value.format(origin=running.origin) for name, value in headers.items()}
    async with browser.post(f"{running.origin}/api/jobs", json={**PLAN, "key": "a"}, headers=sent) as response:
        assert response.status == 403

    assert await running.client.pending() == []


async def test_another_site_reads_nothing(running: Running, browser: aiohttp.ClientSession) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        async with browser.get(f"{running.origin}/api/jobs", headers=headers) as response:
            assert response.status == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/static/js/main.js"), ("GET", "/api/jobs"), ("GET", "/missing"), ("PUT", "/api/jobs")],
)
async def test_every_response_has_a_strict_policy(
    running: Running, browser: aiohttp.ClientSession, method: str, path: str
) -> None:
    async with browser.request(method, running.origin + path, headers={"Origin": running.origin}) as response:
        policy = response.headers["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py", "/static/%2e%2e/server.py", "/static/js/..%2f..%2fserver.py", "/static//etc/passwd",
        "/static/js/main.js%00.css", "/api/media/..%2f..%2fjobs.sqlite", "/api/media/" + "a" * 63,
        "/api/jobs/..%2f..%2fjobs.sqlite/video",
    ],
)  # fmt: skip
async def test_no_path_leads_out_of_the_folders(running: Running, browser: aiohttp.ClientSession, path: str) -> None:
    from yarl import URL

    async with browser.get(URL(running.origin + path, encoded=True)) as response:
        assert response.status in (404, 422)


def test_the_port_of_http_may_be_left_out_of_the_host() -> None:
    """A browser leaves port 80 out, so that a page on it has a Host without one."""
    guard = Guard(frozenset({"127.0.0.1", "::1"}))
    guard.listen(80)

    assert all(guard.is_host(host) for host in ("127.0.0.1", "[::1]", "127.0.0.1:80"))
    assert not any(guard.is_host(host) for host in ("127.0.0.1:8765", "[::1]:8765", "evil.example"))


async def test_more_windows_than_it_can_serve_are_refused_in_words(
    running: Running, browser: aiohttp.ClientSession
) -> None:
    """Each open window reads the journal all the time. One that is closed makes room."""
    async with AsyncExitStack() as open_windows:
        for _ in range(32):
            stream = await open_windows.enter_async_context(browser.get(f"{running.origin}/api/events"))
            assert stream.status == 200
        async with browser.get(f"{running.origin}/api/events") as refused:
            assert refused.status == 503
            assert "close one" in await refused.text()

    async with asyncio.timeout(30):
        while True:
            async with browser.get(f"{running.origin}/api/events") as stream:
                if stream.status == 200:
                    break
            await asyncio.sleep(0.05)


async def test_a_window_that_is_closed_is_no_error_on_the_terminal(
    running: Running, browser: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    """The stream of a closed window ends without a traceback."""
    async with browser.get(f"{running.origin}/api/events") as stream:
        await stream.content.readline()
        stream.close()
    for number in range(5):
        headers = {"Origin": running.origin}
        job = {**PLAN, "key": f"after {number}"}
        async with browser.post(f"{running.origin}/api/jobs", json=job, headers=headers) as response:
            assert response.status == 200
        await asyncio.sleep(0.1)

    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_request_that_cannot_be_read_has_a_strict_policy_too(running: Running) -> None:
    """What is not HTTP, and headers beyond every limit, are refused without a page of text that could run."""
    host, _, port = running.origin.removeprefix("http://").rpartition(":")
    for sent in (b"nonsense\r\n\r\n", b"GET /?" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(sent)
        answer = await reader.read()
        writer.close()

        assert b" 400 " in answer.splitlines()[0]
        assert b"Content-Security-Policy: default-src 'none'" in answer or b"Content-Type: text/plain" in answer
