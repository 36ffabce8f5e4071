"""
Bringing a finished video to disk, whole or not at all.

The video is streamed to a temporary file beside its target, checked, made durable and renamed. What stands at the
target is either what stood there before or the whole video.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeAlias, TypeVar
from urllib.parse import urljoin, urlsplit

import anyio

from .errors import DownloadError, TransportError
from .redaction import redact_url
from .transports import Download, Transport

Arguments = ParamSpec("Arguments")
T = TypeVar("T")

Progress: TypeAlias = Callable[[int, int | None], object]
"""Called with the bytes received and the bytes expected, `None` where the server does not say."""

LARGEST_VIDEO = 2 * 1024**3
"""Bytes. Fifteen seconds in 1080P are a hundredth of it."""

_log = logging.getLogger("happyhorse_async")

_MOST_REDIRECTS = 5
_BUFFER = 1024 * 1024
_NOT_A_VIDEO = re.compile(rb"(\xef\xbb\xbf)?\s*[<{\[]")
_TEXT_TYPES = ("text/html", "text/xml", "application/json", "application/xml", "application/xhtml")


class UrlRefusedError(DownloadError):
    """The URL is no longer good: it was refused or its object is gone. A fresh look may bring a new one."""


async def download(transport: Transport, url: str, target: Path, *, progress: Progress | None = None) -> Path:
    """
    Fetch *url* into *target*, whose folder must exist.

    :raises UrlRefusedError: the server answers 403, 404 or 410.
    :raises DownloadError: the body is short, broken, too large or no video; or the disk refuses it.
    :raises TransportError: no answer.
    """
    part = _Part(target)
    try:
        sure = await _fetch(transport, url, part, progress)
        await _to_the_end(part.publish, target, sure)
    except OSError as error:
        raise DownloadError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        await _to_the_end(part.discard)
    return target


class _Part:
    """The temporary file beside the target. Its methods block: they belong into a thread."""

    def __init__(self, target: Path) -> None:
        # A file system counts the bytes of a name, of which a character may have four.
        self._path = target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}.part")
        self._file: BinaryIO | None = None

    def write(self, content: bytes) -> None:
        if self._file is None:
            self._file = self._path.open("x+b")
        self._file.write(content)

    def publish(self, target: Path, sure: bool) -> None:
        file = self._file
        assert file is not None
        size = file.tell()
        file.seek(0)
        _check_head(file.read(16))
        if not sure and not _boxes_are_whole(file, size):
            raise DownloadError("the video ends before its last part")
        file.flush()
        os.fsync(file.fileno())
        file.close()
        self._path.replace(target)
        _make_durable(target.parent)

    def discard(self) -> None:
        with suppress(OSError):
            if self._file is not None:
                self._file.close()
            self._path.unlink()


def _make_durable(folder: Path) -> None:
    # A rename is durable only once the folder is.
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


async def _to_the_end(work: Callable[Arguments, T], *args: Arguments.args, **kwargs: Arguments.kwargs) -> T:
    """
    Do *work* in a thread, and wait for it even when cancelled.

    A thread cannot be stopped. One that is left alone may open or write the file after it has been cleaned away.
    """
    working = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not working.done():
            try:
                await asyncio.wait([working])
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        raise cancelled
    return working.result()


async def _fetch(transport: Transport, url: str, part: _Part, progress: Progress | None) -> bool:
    """Fetch *url* into *part*, and return whether the server announced the length that came."""
    for _ in range(_MOST_REDIRECTS + 1):
        _check_scheme(url)
        async with _opened(transport, url) as answer:
            if 300 <= answer.status < 400:
                url = _redirected(url, answer.headers)
                continue
            _check_answer(answer, url)
            return await _save(answer, part, progress)
    raise DownloadError(f"{redact_url(url)} redirects more than {_MOST_REDIRECTS} times")


def _opened(transport: Transport, url: str) -> AbstractAsyncContextManager[Download]:
    # The URL is its own credential. No header of the provider's API goes to the host that keeps the files.
    return transport.stream(url, {"Accept": "*/*"})


def _check_scheme(url: str) -> None:
    if _scheme(url) not in ("http", "https"):
        raise DownloadError(f"only http(s) URLs are fetched, not {redact_url(url)}")


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def _redirected(url: str, headers: Mapping[str, str]) -> str:
    location = headers.get("location", "")
    try:
        target = urljoin(url, location)
    except ValueError:
        target = location
    if not location or _scheme(target) not in ("http", "https"):
        raise DownloadError(f"{redact_url(url)} redirects to {redact_url(location) or 'nowhere'}")
    if _scheme(url) == "https" and _scheme(target) != "https":
        raise DownloadError(f"{redact_url(url)} redirects to {redact_url(target)}, which is not secure")
    return target


def _check_answer(answer: Download, url: str) -> None:
    place = redact_url(url)
    if answer.status in (403, 404, 410):
        raise UrlRefusedError(f"{place} is no longer available", status_code=answer.status)
    if answer.status != 200:
        raise DownloadError(f"{place} answered {answer.status}", status_code=answer.status)
    encoding = answer.headers.get("content-encoding", "identity").lower()
    if encoding not in ("", "identity"):
        raise DownloadError(f"{place} answered with a compressed body, which nobody asked for")
    kind = answer.headers.get("content-type", "").lower()
    if kind.startswith(_TEXT_TYPES):
        raise DownloadError(f"{place} answered with {kind[:40]} instead of a video", status_code=answer.status)


def _announced(answer: Download) -> int | None:
    length = answer.headers.get("content-length", "")
    return int(length) if length.isdecimal() else None


async def _save(answer: Download, part: _Part, progress: Progress | None) -> bool:
    expected = _announced(answer)
    if expected is not None and expected > LARGEST_VIDEO:
        raise DownloadError(f"the video has {expected} bytes, more than the {LARGEST_VIDEO} allowed")
    received = 0
    buffer = bytearray()
    try:
        async for chunk in answer.chunks():
            received += len(chunk)
            if received > LARGEST_VIDEO:
                raise DownloadError(f"the video has more than the {LARGEST_VIDEO} bytes allowed")
            buffer += chunk
            if len(buffer) >= _BUFFER:
                await _to_the_end(part.write, bytes(buffer))
                buffer.clear()
            _report(progress, received, expected)
    except TransportError as error:
        raise DownloadError(f"the video broke off after {received} bytes: {error.message}") from error
    await _to_the_end(part.write, bytes(buffer))
    if not received or (expected is not None and received != expected):
        raise DownloadError(f"the video has {received} bytes where {expected or 'some'} were announced")
    return expected is not None


def _report(progress: Progress | None, received: int, expected: int | None) -> None:
    if progress is None:
        return
    try:
        progress(received, expected)
    except Exception:  # noqa: BLE001 - the caller's own code, and the video is paid for
        _log.exception("the progress callback of a download failed; the download goes on")


def _check_head(head: bytes) -> None:
    """Refuse an error page that calls itself a 200."""
    if _NOT_A_VIDEO.match(head):
        raise DownloadError("the server sent text instead of a video")


def _boxes_are_whole(file: BinaryIO, size: int) -> bool:
    """
    Walk the top-level boxes of an MP4: they must fill the file and hold a `moov`. What is no MP4 is not judged.

    Boxes: ISO/IEC 14496-12, section 4.2.
    """
    place, names = 0, set[bytes]()
    while place < size:
        file.seek(place)
        header = file.read(16)
        length = int.from_bytes(header[:4])
        if length == 1:
            length = int.from_bytes(header[8:16])
        elif length == 0:
            length = size - place
        names.add(header[4:8])
        if b"ftyp" not in names:
            return True
        if length < 8:
            return False
        place += length
    return place == size and b"moov" in names
