"""`studio`: the page, from its URL on the terminal to the file on the disk."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

import aiohttp
import pytest

URL = r"http://127.0.0.1:"


async def _first_line(process: Any) -> str:
    async with asyncio.timeout(40):
        return (await process.stdout.readline()).decode().strip()


async def _make(url: str, prompt: str, **options: Any) -> dict[str, Any]:
    """Make a video as the page does, and return the job when its video is on the disk."""
    origin = url.partition("/?")[0]
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with session.get(url) as page:
            assert page.status == 200
        job = {"request": {"mode": "t2v", "prompt": prompt}, "key": prompt, **options}
        async with session.post(f"{origin}/api/jobs", json=job, headers={"Origin": origin}) as made:
            job_id = (await made.json())["job_id"]
        async with asyncio.timeout(50):
            while True:
                async with session.get(f"{origin}/api/jobs") as jobs:
                    row: dict[str, Any] = next(row for row in await jobs.json() if row["job_id"] == job_id)
                if row["video"]:
                    return row
                await asyncio.sleep(0.1)


async def test_without_an_account_it_runs_on_an_emulator_and_says_so(program: Any) -> None:
    """The URL is the first line, a video is made at any provider, and SIGTERM ends it."""
    process = await program.start("studio", "--no-browser", "--port", "0", "-o", "saved")
    url = await _first_line(process)
    row = await _make(url, "a train", provider="kie")
    process.send_signal(signal.SIGTERM)
    run = await program.end(process)

    assert url.startswith(URL)
    assert ("SUCCEEDED", "kie") == (row["state"], row["provider"])
    assert 1 == len([name for name in os.listdir("saved") if name.endswith(".mp4")])  # noqa: PTH208
    assert "this is an emulator" in run.err
    assert "Traceback" not in run.err


async def test_with_an_account_its_journal_is_that_of_the_command_line(program: Any, emulate: Any) -> None:
    """A job of the page has a `status`, and neither the key nor the token is in the log."""
    async with emulate() as emulator:
        program.configure({"hiapi": emulator.url("hiapi")}, store=True)
        process = await program.start("studio", "--no-browser", "--port", "0", "-o", "saved", "-v")
        url = await _first_line(process)
        row = await _make(url, "of the page")
        process.send_signal(signal.SIGTERM)
        run = await program.end(process)
        status = await program.run("status", row["job_id"], "--json")

    assert (0, row["ref"]) == (status.code, status.objects[-1]["ref"])
    assert url.partition("token=")[2] not in run.err
    assert "sk-never-to-be-seen" not in run.err
    assert "an emulator" not in run.err


async def test_a_port_that_is_taken_is_an_error_that_says_what_to_do(program: Any) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    run = await program.run("studio", "--no-browser", "--port", str(port))
    server.close()

    assert 2 == run.code
    assert "--port 0" in run.err


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_an_address_that_means_every_address_is_refused(program: Any, host: str) -> None:
    """The page answers only under a name that it knows, so that it would open nowhere but on this machine."""
    run = await program.run("studio", "--no-browser", "--port", "0", "--host", host)

    assert 2 == run.code
    assert "give the one address" in run.err


async def test_as_json_the_url_is_in_the_first_event(program: Any) -> None:
    process = await program.start("studio", "--no-browser", "--port", "0", "--json")
    event = json.loads(await _first_line(process))
    process.send_signal(signal.SIGTERM)
    await program.end(process)

    assert ("listening", True) == (event["event"], event["emulator"])
    assert event["url"].startswith(URL)


async def test_without_the_extra_emulator_a_video_is_seen_all_the_same(program: Any) -> None:
    """With the extra `cli` alone, the video is a prepared clip, and the terminal says how to get others."""
    script = (
        "import sys; sys.modules['av'] = sys.modules['PIL'] = None; from happyhorse_async.cli import main; "
        "sys.exit(main(['studio', '--no-browser', '--port', '0']))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    row = await _make(await _first_line(process), "with cli alone")
    process.send_signal(signal.SIGTERM)
    run = await program.end(process)

    assert row["size"] > 10_000
    assert "every video is one prepared clip" in run.err
    assert "pip install 'happyhorse-async[emulator]'" in run.err
