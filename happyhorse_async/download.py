"""
Bringing a finished video to disk, whole or not at all.

The video is streamed to a temporary file beside its target, checked, made durable and renamed. What stands at the
target is either what stood there before or the whole video.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import BinaryIO, TypeAlias
from urllib.parse import urljoin, urlsplit

import anyio
from anyio import to_thread

from .errors import DownloadError, TransportError
from .redaction import redact_url
from .transports import Download, Transport

Progress: TypeAlias = Callable[[int, int | None], object]
"""Called with the bytes received and the bytes expected, `None` where the server does not say."""

LARGEST_VIDEO = 2 * 1024**3
"""Bytes. Fifteen seconds in 1080P are a hundredth of it."""

_log = logging.getLogger("happyhorse_async")

_MOST_REDIRECTS = 5
_BUFFER = 1024 * 1024
_NOT_A_VIDEO = re.compile(rb"\s*(<|\{|\[)")
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
    part = target.with_name(f".{target.name[:80]}.{secrets.token_hex(4)}.part")
    try:
        sure = await _fetch(transport, url, part, progress)
        await to_thread.run_sync(_publish, part, target, sure)
    except OSError as error:
        raise DownloadError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.Path(part).unlink(missing_ok=True)
    return target


def _publish(part: Path, target: Path, sure: bool) -> None:
    with part.open("rb+") as file:
        _check_head(file.read(12))
        if not sure and not _boxes_are_whole(file, part.stat().st_size):
            raise DownloadError("the video ends before its last part")
        os.fsync(file.fileno())
    part.replace(target)
    if os.name == "posix":
        # The rename itself is durable only once the folder is.
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


async def _fetch(transport: Transport, url: str, part: Path, progress: Progress | None) -> bool:
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
    if urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(f"only http(s) URLs are fetched, not {redact_url(url)}")


def _redirected(url: str, headers: Mapping[str, str]) -> str:
    target = urljoin(url, headers.get("location", ""))
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
        raise DownloadError(f"{redact_url(url)} redirects to {redact_url(target)}, which is not secure")
    return target


def _check_answer(answer: Download, url: str) -> None:
    place = redact_url(url)
    if answer.status in (403, 404, 410):
        raise UrlRefusedError(f"{place} is no longer available", status_code=answer.status)
    if answer.status != 200:
        raise DownloadError(f"{place} answered {answer.status}", status_code=answer.status)
    kind = answer.headers.get("content-type", "").lower()
    if kind.startswith(_TEXT_TYPES):
        raise DownloadError(f"{place} answered with {kind[:40]} instead of a video", status_code=answer.status)


def _announced(answer: Download) -> int | None:
    length = answer.headers.get("content-length", "")
    return int(length) if length.isdecimal() else None


async def _save(answer: Download, part: Path, progress: Progress | None) -> bool:
    expected = _announced(answer)
    if expected is not None and expected > LARGEST_VIDEO:
        raise DownloadError(f"the video has {expected} bytes, more than the {LARGEST_VIDEO} allowed")
    received = 0
    buffer = bytearray()
    async with await anyio.open_file(part, "wb") as file:
        try:
            async for chunk in answer.chunks():
                received += len(chunk)
                if received > LARGEST_VIDEO:
                    raise DownloadError(f"the video has more than the {LARGEST_VIDEO} bytes allowed")
                buffer += chunk
                if len(buffer) >= _BUFFER:
                    await file.write(bytes(buffer))
                    buffer.clear()
                _report(progress, received, expected)
        except TransportError as error:
            raise DownloadError(f"the video broke off after {received} bytes: {error.message}") from error
        await file.write(bytes(buffer))
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
