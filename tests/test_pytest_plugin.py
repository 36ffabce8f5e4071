"""The pytest plugin: it registers itself, and its fixtures work with every kind of asynchronous test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import happyhorse_async as hh

PROGRAM = """
import asyncio

import pytest

import happyhorse_async as hh

REQUEST = hh.TextToVideo("a kite")


@pytest.fixture
def anyio_backend():
    return "asyncio"


def test_plain(happyhorse_client):
    async def main():
        async with happyhorse_client as client:
            return await client.generate(REQUEST)

    assert asyncio.run(main()).video_url


@pytest.mark.asyncio
async def test_pytest_asyncio(happyhorse_client):
    async with happyhorse_client as client:
        assert (await client.generate(REQUEST)).video_url


@pytest.mark.anyio
async def test_anyio(happyhorse_client):
    async with happyhorse_client as client:
        assert (await client.generate(REQUEST)).video_url
"""


def test_the_fixtures_work_without_a_conftest_in_every_kind_of_test(tmp_path: Path) -> None:
    """A plain test, one of pytest-asyncio and one of anyio find them in an empty folder."""
    (tmp_path / "test_it.py").write_text(PROGRAM, "utf-8")
    options = ["-W", "error", "-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function"]

    command = [sys.executable, "-m", "pytest", "-q", *options]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=150, check=False)

    assert "3 passed" in run.stdout, run.stdout + run.stderr


def test_loading_the_plugin_imports_nothing_heavy() -> None:
    """Every run of pytest loads it, also those that do not use it."""
    program = (
        "import sys; import happyhorse_async.pytest_plugin;"
        "print([name for name in ('aiohttp', 'cattrs', 'happyhorse_async.client') if name in sys.modules])"
    )

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=150)

    assert "[]" == run.stdout.strip()


async def test_the_client_talks_to_the_emulator(happyhorse_emulator: hh.Emulator, happyhorse_client: hh.Client) -> None:
    """What the client submits is billed there."""
    async with happyhorse_client as client:
        await client.generate(hh.TextToVideo("a kite"))

    assert 1 == happyhorse_emulator.billed() == happyhorse_emulator.billed("dashscope")
