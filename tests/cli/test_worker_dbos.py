"""`happyhorse worker` with `[engine]`: it runs the workflows that web processes have enqueued."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh

from .test_worker import made, start, stop

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals"),
    pytest.mark.skipif(
        sys.version_info >= (3, 12) and sqlite3.sqlite_version_info < (3, 42),
        reason="with Python 3.12 and newer, DBOS needs SQLite 3.42",
    ),
]

ENGINE = "\n[engine]\nkind = 'dbos'\nurl = 'sqlite:///{}'\npolling_interval = 0.2\n"


def add_engine() -> Path:
    """Add the table to the configuration."""
    file = Path("happyhorse.toml")
    file.write_text(file.read_text() + ENGINE.format(Path("workflows.sqlite").resolve()))
    return file


async def test_a_worker_runs_the_workflows_of_web_processes(program: Any, emulate: Any) -> None:
    """One file has the journal and the engine. Each job is paid once, and the worker stops when it is told to."""
    async with emulate(store=True) as emulator:
        file = add_engine()
        worker = await start(program, "--config", str(file))
        async with hh.Client.from_config(file, provider="hiapi", work=False) as client:
            handles = [await client.enqueue(hh.TextToVideo(f"video {number}")) for number in range(3)]
            async with asyncio.timeout(150):
                tasks = [await handle for handle in handles]
        code = await stop(worker)

    assert 0 == code
    assert {task.id for task in tasks} == made(emulator)
    assert 3 == len(made(emulator))


async def test_a_worker_with_an_engine_works_for_all_accounts(program: Any, emulate: Any) -> None:
    """A workflow says nothing of the account that its job is for."""
    async with emulate(store=True):
        file = add_engine()
        worker = await program.start("worker", "--config", str(file), "--provider", "hiapi")
        _, error = await worker.communicate()

    assert 0 != worker.returncode
    assert b"name no provider" in error
