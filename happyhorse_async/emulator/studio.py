"""Where test pictures are made: in worker threads, when somebody first asks for one, and kept until the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread

from .footage import Footage

_AT_ONCE = 2


class MissingExtraError(Exception):
    """The libraries that draw and encode are not installed."""

    def __init__(self) -> None:
        super().__init__(
            "The emulator needs av and pillow to make videos: python -m pip install 'happyhorse-async[emulator]'"
        )


class ClosingError(Exception):
    """The emulator is closing; nobody waits for the video any more."""


class Studio:
    """
    Makes videos and stills.

    :param folder: where they are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._closing = threading.Event()
        self._room = anyio.CapacityLimiter(_AT_ONCE)
        self._works: dict[Path, asyncio.Lock] = {}

    async def video(self, footage: Footage) -> Path:
        """
        Return the video for *footage*, making it if need be.

        :raises MissingExtraError: the libraries for it are not installed.
        :raises ClosingError: the studio was closed before it was finished.
        """
        return await self._made(footage, ".mp4", self._film)

    async def still(self, footage: Footage) -> Path:
        """
        Return the first frame of the video for *footage*, making it if need be.

        :raises MissingExtraError: the libraries for it are not installed.
        """
        return await self._made(footage, ".jpg", _draw)

    def close(self) -> None:
        """Let the work in hand stop at its next frame."""
        self._closing.set()

    async def _made(self, footage: Footage, suffix: str, make: Callable[[Footage, Path], None]) -> Path:
        target = self._folder / (footage.digest + suffix)
        async with self._works.setdefault(target, asyncio.Lock()):
            await anyio.to_thread.run_sync(_make_once, make, footage, target, limiter=self._room)
        return target

    def _film(self, footage: Footage, target: Path) -> None:
        from .video import encode  # noqa: PLC0415

        encode(footage, target, checkpoint=self._checkpoint)

    def _checkpoint(self) -> None:
        if self._closing.is_set():
            raise ClosingError


def _draw(footage: Footage, target: Path) -> None:
    from .picture import Picture  # noqa: PLC0415

    Picture(footage).first_frame().save(target, "JPEG", quality=85)


def _make_once(make: Callable[[Footage, Path], None], footage: Footage, target: Path) -> None:
    if target.exists():
        return
    unfinished = target.with_name(f"unfinished-{target.name}")
    try:
        make(footage, unfinished)
    except ImportError as error:
        raise MissingExtraError from error
    unfinished.replace(target)
