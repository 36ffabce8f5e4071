"""What the tests of the stores share: jobs, stores of both kinds, and Python processes that can be killed."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest

from happyhorse_async.job import Endpoint, Job
from happyhorse_async.stores import MemoryStore, SQLiteStore, TaskStore

Store = TypeVar("Store", bound=TaskStore)

_NUMBERS = itertools.count(1)

# What every script of a process begins with.
_PRELUDE = """
import asyncio, os, sys
from datetime import UTC, datetime
from happyhorse_async.errors import StoreError
from happyhorse_async.job import Job, JobState, Endpoint
from happyhorse_async.stores import SQLiteStore

def new_job(job_id, **fields):
    place = Endpoint(provider="main", adapter="fifth", base_url="https://fifth.example")
    return Job(job_id=job_id, endpoint=place, model="fifth-t2v", created_at=datetime.now(UTC), **fields)

"""


@pytest.fixture
def new_job() -> Callable[..., Job]:
    """Make jobs, each with an id of its own."""

    def new_job(*, provider: str = "main", **fields: Any) -> Job:
        endpoint = Endpoint(provider=provider, adapter="fifth", base_url="https://fifth.example/api")
        given = {"job_id": f"job-{next(_NUMBERS)}", "created_at": datetime.now(UTC), "model": "fifth-t2v", **fields}
        return Job(endpoint=endpoint, **given)

    return new_job


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store may be."""
    return tmp_path / "jobs.sqlite"


@pytest.fixture
async def opened() -> AsyncGenerator[Callable[[Store], Awaitable[Store]]]:
    """Open stores, and close them at the end."""
    stores: list[TaskStore] = []

    async def opened(store: Store) -> Store:
        await store.open()
        stores.append(store)
        return store

    yield opened
    for store in stores:
        await store.aclose()


@pytest.fixture
def open_file(path: Path, opened: Any) -> Callable[..., Awaitable[SQLiteStore]]:
    """Open stores on the same file."""
    return lambda **settings: opened(SQLiteStore(path, **{"busy_timeout": 5.0, **settings}))


@pytest.fixture(params=["memory", "sqlite"])
def open_store(request: pytest.FixtureRequest, path: Path, opened: Any) -> Callable[..., Awaitable[TaskStore]]:
    """Open a store, of each kind in turn."""
    if request.param == "memory":
        return lambda **settings: opened(MemoryStore(**settings))
    return lambda **settings: opened(SQLiteStore(path, **settings))


@pytest.fixture
async def start() -> AsyncGenerator[Callable[..., Awaitable[asyncio.subprocess.Process]]]:
    """Start Python processes, and kill what is left of them at the end."""
    processes: list[asyncio.subprocess.Process] = []

    async def start(script: str, *arguments: object, **options: Any) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _PRELUDE + script,
            *(str(argument) for argument in arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            **options,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.communicate()
