"""The temporary file beside a target: written in threads, made durable, and renamed once it is complete."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import BinaryIO, TypeVar

import anyio

from ..file_lock import create_locked, remove_unless_locked
from .target import cannot_write, check_replaceable, find_target, followed

T = TypeVar("T")

_BUFFER = 1024 * 1024
_SUFFIX = ".part"
_MOUNTED = (errno.EBUSY, errno.EXDEV)


class PartFile:
    """
    The received part of a video. Several downloads to one target have a part file each.

    All methods that write to the disk raise `DownloadError` on failure.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._destination = target
        self._path: Path | None = None
        self._file: BinaryIO | None = None
        self._buffer = bytearray()
        self._written = 0

    @property
    def size(self) -> int:
        """The number of bytes that have arrived."""
        return self._written + len(self._buffer)

    async def open(self) -> None:
        """
        Create the file before anything is fetched, which detects a folder that cannot be written to.

        :raises DownloadError: it cannot be created, or the target is not a regular file.
        """
        await self._on_disk(self._create)

    async def add(self, content: bytes) -> None:
        """Append *content*."""
        self._buffer += content
        if len(self._buffer) >= _BUFFER:
            await self._on_disk(self._flush)

    def restart(self) -> None:
        """Drop the received bytes."""
        self._buffer.clear()
        self._written = 0

    async def publish(self) -> None:
        """Make the file durable and rename it to its target."""
        await self._on_disk(self._publish)

    async def discard(self) -> None:
        """Remove the file, unless it was published."""
        await _to_the_end(self._discard)

    async def _on_disk(self, work: Callable[[], T]) -> T:
        try:
            return await _to_the_end(work)
        except (OSError, ValueError) as error:
            raise cannot_write(self._target, error) from error

    def _create(self) -> None:
        self._destination = find_target(self._target)
        # File systems limit the bytes of a name; a character may have four.
        name = f"{_prefix(self._destination)}{secrets.token_hex(4)}{_SUFFIX}"
        path = self._destination.with_name(name)
        try:
            descriptor = create_locked(path, mode=0o666, may_lack_lock=True)
        except OSError:
            if not os.path.ismount(self._destination):
                raise
            # Only the mounted file can be written, not its folder.
            path = Path(tempfile.gettempdir()) / name
            descriptor = create_locked(path, mode=0o666, may_lack_lock=True)
        self._file = os.fdopen(descriptor, "r+b")
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

    def _publish(self) -> None:
        file, path = self._flush(), self._path
        assert path is not None
        file.flush()
        os.fsync(file.fileno())
        check_replaceable(self._destination)
        try:
            if sys.platform == "win32":
                file.close()
            path.replace(self._destination)
        except OSError as error:
            if error.errno not in _MOUNTED or not self._destination.is_file():
                raise
            _write_in_place(path, self._destination)
            path.unlink()
        file.close()
        self._path = None
        _make_durable(self._destination.parent)

    def _discard(self) -> None:
        with suppress(OSError):
            if self._file is not None:
                self._file.close()
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()


def discard_abandoned(target: Path) -> None:
    """Remove part files of killed processes for *target*. Blocks."""
    target = followed(target)
    for path in target.parent.glob(f"{escape(_prefix(target))}*{_SUFFIX}"):
        remove_unless_locked(path)


def _prefix(target: Path) -> str:
    return f".{target.name[:40]}."


def _write_in_place(source: Path, target: Path) -> None:
    # A mounted file cannot be replaced by a rename. This is not atomic, but the video is complete.
    with source.open("rb") as video, target.open("wb") as file:
        shutil.copyfileobj(video, file, _BUFFER)
        file.flush()
        os.fsync(file.fileno())


def _make_durable(folder: Path) -> None:
    # A rename is durable only once the folder is. Some file systems do not support that; the video is still there.
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

    A thread cannot be stopped. An abandoned one might open or write the file after it was removed.
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
