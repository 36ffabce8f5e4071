"""Makes test videos in worker threads on first request, and keeps them until the emulator is closed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread

from .media_spec import MediaSpec

_MAX_CONCURRENT = 2

PREPARED_VIDEO = Path(__file__).parent / "prepared.mp4"
"""A test video that says how to get one as it was asked for. Made by `docs/write_prepared_video.py`."""


class MissingExtraError(Exception):
    """The libraries that draw and encode are not installed."""

    def __init__(self) -> None:
        super().__init__(
            "The emulator needs av and pillow to make videos: python -m pip install 'happyhorse-async[emulator]'"
        )


class ClosingError(Exception):
    """The emulator is closing before the video is finished."""


class MediaCache:
    """
    Makes videos and stills.

    :param folder: where they are kept.
    :param prepared: where the libraries are missing, a video is `PREPARED_VIDEO` instead of an error.
    """

    def __init__(self, folder: Path, *, prepared: bool = False) -> None:
        self._folder = folder
        self._prepared = prepared
        self._closing = threading.Event()
        self._limiter = anyio.CapacityLimiter(_MAX_CONCURRENT)
        self._locks: dict[Path, asyncio.Lock] = {}

    async def video(self, media_spec: MediaSpec) -> Path:
        """
        Return the file of a video, making it first if necessary.

        :raises MissingExtraError: the libraries for it are not installed.
        :raises ClosingError: the cache was closed before it was finished.
        """
        try:
            return await self._get(media_spec, ".mp4", self._make_video)
        except MissingExtraError:
            if not self._prepared:
                raise
            return PREPARED_VIDEO

    async def still(self, media_spec: MediaSpec) -> Path:
        """
        Return the file of a video's first frame, making it first if necessary.

        :raises MissingExtraError: the libraries for it are not installed.
        """
        return await self._get(media_spec, ".jpg", _make_still)

    def close(self) -> None:
        """Stop the work in progress at its next frame."""
        self._closing.set()

    async def _get(self, media_spec: MediaSpec, suffix: str, make: Callable[[MediaSpec, Path], None]) -> Path:
        target = self._folder / (media_spec.digest + suffix)
        async with self._locks.setdefault(target, asyncio.Lock()):
            await anyio.to_thread.run_sync(_make_once, make, media_spec, target, limiter=self._limiter)
        return target

    def _make_video(self, media_spec: MediaSpec, target: Path) -> None:
        from .encoder import encode  # noqa: PLC0415

        encode(media_spec, target, checkpoint=self._checkpoint)

    def _checkpoint(self) -> None:
        if self._closing.is_set():
            raise ClosingError


def _make_still(media_spec: MediaSpec, target: Path) -> None:
    from .renderer import Renderer  # noqa: PLC0415

    Renderer(media_spec).first_frame().save(target, "JPEG", quality=85)


def _make_once(make: Callable[[MediaSpec, Path], None], media_spec: MediaSpec, target: Path) -> None:
    if target.exists():
        return
    unfinished = target.with_name(f"unfinished-{target.name}")
    try:
        make(media_spec, unfinished)
    except ImportError as error:
        raise MissingExtraError from error
    unfinished.replace(target)
