"""Shared by the tests of the stores: jobs, stores of every kind, and Python processes that can be killed."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

from happyhorse_async.job import Endpoint, Job
from happyhorse_async.stores import MemoryStore, PostgresStore, SQLiteStore, TaskStore

from ..postgres_server import PostgresServer

Store = TypeVar("Store", bound=TaskStore)

_NUMBERS = itertools.count(1)

# The beginning of every script that a process runs.
_PRELUDE = """
import asyncio, os, sys
from datetime import UTC, datetime
from happyhorse_async.errors import StoreError
from happyhorse_async.job import Endpoint, Job, JobState
from happyhorse_async.stores import SQLiteStore

def new_job(job_id, **fields):
    endpoint = Endpoint(provider="main", adapter="fifth", base_url="https://fifth.example")
    return Job(job_id=job_id, endpoint=endpoint, model="fifth-t2v", created_at=datetime.now(UTC), **fields)

"""


class StoreFactory(Protocol):
    """Makes a store. Stores that are made for the same test share their jobs, where the kind of store can."""

    def __call__(self, request: pytest.FixtureRequest, **settings: Any) -> TaskStore: ...


def _sqlite(request: pytest.FixtureRequest, **settings: Any) -> TaskStore:
    return SQLiteStore(request.getfixturevalue("tmp_path") / "jobs.sqlite", **settings)


def _postgres(request: pytest.FixtureRequest, **settings: Any) -> TaskStore:
    return PostgresStore(**request.getfixturevalue("postgres"), **{"takeover_after": 0.0, **settings})


# The suite of the contract runs against each of these. Another store is added here, and nowhere else.
STORE_FACTORIES: dict[str, StoreFactory] = {
    "memory": lambda request, **settings: MemoryStore(**settings),
    "sqlite": _sqlite,
    "postgres": _postgres,
}


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
    """The path of a store that does not exist yet."""
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


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> dict[str, str]:
    """Give the arguments of stores that share one schema of the server."""
    return {"url": postgres_server.url, "schema": f"test_{next(_NUMBERS)}"}


@pytest.fixture(params=STORE_FACTORIES)
def open_store(request: pytest.FixtureRequest, opened: Any) -> Callable[..., Awaitable[TaskStore]]:
    """Open a store; the test runs once with each kind of store."""
    factory = STORE_FACTORIES[request.param]
    return lambda **settings: opened(factory(request, **settings))


@pytest.fixture
async def start() -> AsyncGenerator[Callable[..., Awaitable[asyncio.subprocess.Process]]]:
    """Start Python processes, and kill those that are still running at the end."""
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
