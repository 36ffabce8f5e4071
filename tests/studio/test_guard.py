"""Who is let in: attacks on the page from other sites, other names, and without the token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlsplit

import aiohttp
import pytest

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
