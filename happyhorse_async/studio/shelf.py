"""
The folder of the studio: pictures and videos that were dropped on the page, and the requests made with them.

A file is named after its content, so that no name from a browser is ever a path. The journal erases prompts as soon as
an outcome is known; requests are kept here while the video is shown, so that they can be used again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, cast

import anyio.to_thread
from attrs import frozen

from ..errors import InvalidRequestError
from ..media.formats import HEAD, MediaFormat, detect
from ..request import Mode, VideoRequest
from ..request_codec import from_data

_ID = re.compile(r"[0-9a-f]{64}")
_JOB_ID = re.compile(r"hh-[A-Za-z0-9_-]{1,128}")
_MEDIA_FIELDS = ("image", "images", "video")
_KEPT = 30 * 86400.0


class TooLargeError(Exception):
    """More bytes arrived than any provider takes."""


@frozen(kw_only=True)
class Medium:
    """A picture or video on the shelf."""

    id: str
    """SHA-256 of its content, in hexadecimal digits."""
    mime: str
    """By its content."""
    size: int
    """In bytes."""

    @property
    def is_video(self) -> bool:
        """Whether it is a video."""
        return self.mime.startswith("video/")


class Shelf:
    """
    Keeps files in *folder*, which is made with access for the user alone.

    :param largest: bytes of the largest file that is taken.
    """

    def __init__(self, folder: Path, *, largest: int) -> None:
        self._media = folder / "media"
        self._requests = folder / "requests"
        self.largest = largest

    def open(self) -> None:
        """Make the folders, and delete interrupted files and files older than a month. Blocks."""
        for folder in (self._media, self._requests):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        oldest = time.time() - _KEPT
        for file in (*self._media.iterdir(), *self._requests.iterdir()):
            if file.suffix == ".part" or file.stat().st_mtime < oldest:
                file.unlink(missing_ok=True)

    async def put(self, pieces: AsyncIterator[bytes]) -> Medium:
        """
        Write a file piece by piece.

        :raises TooLargeError: it has more than `largest` bytes.
        :raises InvalidRequestError: it is neither a picture nor a video.
        """
        digest, size, head = hashlib.sha256(), 0, b""
        file = await anyio.to_thread.run_sync(self._part)
        try:
            async for piece in pieces:
                size += len(piece)
                if size > self.largest:
                    raise TooLargeError
                head += piece[: HEAD - len(head)]
                digest.update(piece)
                await anyio.to_thread.run_sync(file.write, piece)
            found = detect(head)
            if found is None or found is MediaFormat.SVG:
                raise InvalidRequestError("this is neither a picture nor a video that could be read")
            await anyio.to_thread.run_sync(file.close)
            # Renamed whole: a file of this name has this content.
            await anyio.to_thread.run_sync(os.replace, file.name, self._media / digest.hexdigest())
        finally:
            await anyio.to_thread.run_sync(_discard, file)
        return Medium(id=digest.hexdigest(), mime=found.mime, size=size)

    def _part(self) -> Any:
        return NamedTemporaryFile(dir=self._media, suffix=".part", delete=False)

    def file(self, medium_id: object) -> Path:
        """
        Return the file of a medium.

        :raises InvalidRequestError: there is none.
        """
        path = self._media / medium_id if isinstance(medium_id, str) and _ID.fullmatch(medium_id) else None
        if path is None or not path.is_file():
            raise InvalidRequestError("the file is not there any more: drop it once more")
        return path

    def medium(self, medium_id: str) -> Medium:
        """Return a medium; raises the errors of `file`. Blocks."""
        path = self.file(medium_id)
        with path.open("rb") as file:
            found = detect(file.read(HEAD))
        return Medium(
            id=medium_id,
            mime=found.mime if found else "application/octet-stream",
            size=path.stat().st_size,
        )

    def request(self, data: Mapping[str, Any]) -> VideoRequest:
        """
        Read a request from the page, in which a medium is a URL or `{"id": …}`.

        :raises InvalidRequestError: a field is unknown or missing, or a medium is not there.
        """
        return from_data({name: self._value(name, value) for name, value in data.items()})

    def _value(self, name: str, value: Any) -> Any:
        if name not in _MEDIA_FIELDS:
            return value
        if isinstance(value, list):
            return [self._medium(item) for item in cast("list[object]", value)]
        return self._medium(value)

    def _medium(self, value: object) -> object:
        return self.file(cast("dict[str, object]", value).get("id")) if isinstance(value, dict) else value

    def keep_request(self, job_id: str, data: Mapping[str, Any]) -> None:
        """Keep a request. Blocks."""
        path = self._requests / f"{job_id}.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(data), encoding="utf-8")

    def kept_request(self, job_id: str) -> dict[str, Any] | None:
        """Return a kept request, as it came from the page; `None` if it is not known. Blocks."""
        if not _JOB_ID.fullmatch(job_id):
            return None
        try:
            data: dict[str, Any] = json.loads((self._requests / f"{job_id}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return data


def _discard(file: Any) -> None:
    file.close()
    Path(file.name).unlink(missing_ok=True)


def mode_of(data: Mapping[str, Any] | None) -> Mode | None:
    """Return the mode of a kept request."""
    named = None if data is None else data.get("mode")
    return Mode(named) if named in tuple(Mode) else None
