"""The temporary file beside a target: written in threads, made durable, and renamed when it is whole."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import BinaryIO, TypeVar

import anyio

from ..errors import DownloadError
from ..file_lock import create_locked, remove_unless_locked
from .container import Verdict, is_text, judge

T = TypeVar("T")

_BUFFER = 1024 * 1024
_SUFFIX = ".part"


class PartFile:
    """
    What has come of a video so far. Its name is its own, whoever else fetches the same video to the same target.

    All methods that touch the disk raise `DownloadError` where the disk refuses.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._path = target
        self._file: BinaryIO | None = None
        self._buffer = bytearray()
        self._written = 0

    @property
    def size(self) -> int:
        """The bytes that have come."""
        return self._written + len(self._buffer)

    async def open(self) -> None:
        """Create the file, which is how a folder that cannot be written to is found out before anything is fetched."""
        await self._on_disk(self._create)

    async def add(self, content: bytes) -> None:
        """Append *content*."""
        self._buffer += content
        if len(self._buffer) >= _BUFFER:
            await self._on_disk(self._flush)

    def restart(self) -> None:
        """Forget what has come."""
        self._buffer.clear()
        self._written = 0

    async def judge(self) -> Verdict:
        """Look at the boxes of what has come."""
        return await self._on_disk(self._judge)

    async def publish(self) -> None:
        """
        Make the file durable and put it in the place of its target.

        :raises DownloadError: it is a text.
        """
        await self._on_disk(self._publish)

    async def discard(self) -> None:
        """Remove the file, unless it was published."""
        await _to_the_end(self._discard)

    async def _on_disk(self, work: Callable[[], T]) -> T:
        try:
            return await _to_the_end(work)
        except (OSError, ValueError) as error:
            # A name with a NUL or half a character in it is a ValueError.
            reason = error.strerror if isinstance(error, OSError) else None
            raise DownloadError(f"cannot write {self._target}: {reason or error}") from error

    def _create(self) -> None:
        # A file system counts the bytes of a name, of which a character may have four.
        path = self._target.with_name(f"{_prefix(self._target)}{secrets.token_hex(4)}{_SUFFIX}")
        self._file = os.fdopen(create_locked(path, mode=0o666, may_lack_lock=True), "r+b")
        self._path = path

    def _flush(self) -> BinaryIO:
        file = self._file
        assert file is not None
        if self._buffer:
            file.seek(self._written)
            file.write(self._buffer)
            self._written += len(self._buffer)
            self._buffer.clear()
        file.truncate(self._written)
        return file

    def _judge(self) -> Verdict:
        file = self._flush()
        return judge(file, self._written)

    def _publish(self) -> None:
        file = self._flush()
        if is_text(file):
            raise DownloadError("the server sent text instead of a video")
        file.flush()
        os.fsync(file.fileno())
        file.close()
        # What stands at the target may be a symbolic link: it is replaced, and what it points to is left alone.
        self._path.replace(self._target)
        self._path = self._target
        _make_durable(self._target.parent)

    def _discard(self) -> None:
        with suppress(OSError):
            if self._file is not None:
                self._file.close()
        if self._path != self._target:
            with suppress(OSError):
                self._path.unlink()


def discard_abandoned(target: Path) -> None:
    """Remove what killed processes have left of the video for *target*. Blocks."""
    for path in target.parent.glob(f"{escape(_prefix(target))}*{_SUFFIX}"):
        remove_unless_locked(path)


def _prefix(target: Path) -> str:
    return f".{target.name[:40]}."


def _make_durable(folder: Path) -> None:
    # A rename is durable only once the folder is. Some file systems cannot promise that, and the video is there.
    if os.name == "posix":
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


async def _to_the_end(work: Callable[[], T]) -> T:
    """
    Do *work* in a thread, and wait for it even when cancelled.

    A thread cannot be stopped. One that is left alone may open or write the file after it has been cleaned away.
    """
    working = asyncio.ensure_future(asyncio.to_thread(work))
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not working.done():
            try:
                await asyncio.wait([working])
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        with suppress(Exception):
            working.result()
        raise cancelled
    return working.result()
