"""A studio on an emulator, and a browser that is let in."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
from attrs import frozen

import happyhorse_async as hh
from happyhorse_async.studio import Studio, Workshop
from happyhorse_async.studio.models import largest_medium
from happyhorse_async.studio.shelf import Shelf
from happyhorse_async.studio.workshop import About

_POLL = hh.PollSchedule(interval=0.1, jitter=0.0)
_REFRESH = 0.05


@frozen(kw_only=True)
class Running:
    """A studio that is being served."""

    studio: Studio
    emulator: hh.Emulator
    client: hh.Client
    videos: Path

    @property
    def origin(self) -> str:
        """The URL without path and token."""
        return self.studio.url.partition("/?")[0]


Serve: TypeAlias = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
async def emulator() -> AsyncIterator[hh.Emulator]:
    async with hh.Emulator(speed=60) as running:
        yield running


@pytest.fixture
def serve(tmp_path: Path, emulator: hh.Emulator) -> Serve:
    """Serve a studio; twice with the same store it is a restart."""
    store = hh.SQLiteStore(tmp_path / "jobs.sqlite")

    @asynccontextmanager
    async def serve(port: int = 0) -> AsyncGenerator[Running]:
        url = emulator.url("dashscope")
        async with (
            store_open(store),
            hh.Client("dashscope", api_key="any", base_url=url, poll=_POLL, store=store) as client,
        ):
            about = About(is_emulator=True, videos=tmp_path / "videos")
            workshop = Workshop(client, store, Shelf(tmp_path / "studio", largest=largest_medium()), about)
            async with Studio(workshop, port=port, refresh=_REFRESH) as studio:
                yield Running(studio=studio, emulator=emulator, client=client, videos=about.videos)

    return serve


@asynccontextmanager
async def store_open(store: hh.SQLiteStore) -> AsyncGenerator[None]:
    await store.open()
    try:
        yield
    finally:
        await store.aclose()


@pytest.fixture
async def running(serve: Serve) -> AsyncIterator[Running]:
    async with serve() as running:
        yield running
