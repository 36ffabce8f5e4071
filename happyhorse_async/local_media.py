"""
A local picture or video, from the moment it was read until it is sent.

No JSON encoder ever sees its bytes. Encoded messages and journal entries hold a token in their place: the digest of the
content, and how the token is replaced when the request is sent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from attrs import evolve, field, frozen

TOKEN = re.compile(rb"hh-media-(?P<kind>base64|raw|url)-(?P<digest>[0-9a-f]{64})")
"""A token in a body."""

# A multiple of 3, so that encoded pieces are joined without padding between them.
PIECE = 96 * 1024 * 3
"""Bytes of a file that are read and encoded in one step."""


@frozen(kw_only=True)
class LocalMedium:
    """A local picture or video, and how it is delivered. Its repr shows neither its bytes nor its path."""

    digest: str
    """SHA-256 of the content, in hexadecimal digits."""
    mime: str
    """The media type, determined from the content."""
    size: int
    """In bytes."""
    is_uploaded: bool = False
    """Whether it is uploaded to the provider's storage instead of sent in the body of the request."""
    content: bytes | None = field(default=None, repr=False, eq=False)
    """The bytes; `None` where only the path is known, or nothing is kept."""
    path: str | None = field(default=None, repr=False, eq=False)
    """The absolute path of the file, if it came from one."""
    report: Callable[[int], object] | None = field(default=None, repr=False, eq=False)
    """Called with how many of its bytes an upload has sent."""
    duration: float | None = field(default=None, eq=False)
    """The length of a video in seconds, if it was measured. Not recorded."""

    @property
    def base64_token(self) -> str:
        """Replaced by the content in base64."""
        return f"hh-media-base64-{self.digest}"

    @property
    def raw_token(self) -> str:
        """Replaced by the content, in the body of an upload."""
        return f"hh-media-raw-{self.digest}"

    @property
    def url_token(self) -> str:
        """Replaced by what follows `scheme://` in the URL of the upload."""
        return f"hh-media-url-{self.digest}"

    @property
    def data_uri(self) -> str:
        """The `data:` URI of an inline picture, with a token instead of the content."""
        return f"data:{self.mime};base64,{self.base64_token}"

    @property
    def is_available(self) -> bool:
        """Whether its content can be read: from memory or from a file."""
        return self.content is not None or self.path is not None

    def sent(self, count: int) -> None:
        """Report that *count* of its bytes have been sent."""
        if self.report is not None:
            self.report(count)

    def pieces(self) -> Iterator[bytes]:
        """
        Read the content piece by piece. Blocks: to be called in a thread.

        :raises OSError: the file cannot be read.
        """
        if self.content is not None:
            for start in range(0, len(self.content), PIECE):
                yield self.content[start : start + PIECE]
            return
        with Path(self.path or "").open("rb") as file:
            while piece := file.read(PIECE):
                yield piece


def reporting(media: tuple[LocalMedium, ...], progress: Callable[[int, int], object]) -> tuple[LocalMedium, ...]:
    """
    Return *media* so that their uploads report to *progress*.

    :param progress: called with the bytes that all uploads together have sent, and how many they have.
    """
    sent = {medium.digest: 0 for medium in media if medium.is_uploaded}
    total = sum(medium.size for medium in media if medium.is_uploaded)

    def report(digest: str, count: int) -> None:
        sent[digest] = count
        progress(sum(sent.values()), total)

    return tuple(
        evolve(medium, report=partial(report, medium.digest)) if medium.is_uploaded else medium for medium in media
    )


def without_content(media: tuple[LocalMedium, ...]) -> tuple[LocalMedium, ...]:
    """Return the media as recorded for a job that only this process will send."""
    return tuple([evolve(medium, content=None) for medium in media])


def digest_of(pieces: Iterator[bytes]) -> str:
    """Return the digest of a content, in hexadecimal digits."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def tokens_in(body: bytes) -> set[str]:
    """Return the digests of the media that have tokens in *body*."""
    return {match["digest"].decode() for match in TOKEN.finditer(body)}
