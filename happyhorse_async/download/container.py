"""
What can be told of a file by its own bytes: whether it is a video, and whether all of it is there.

An MP4 is a sequence of boxes, each with its length and its name in front: ISO/IEC 14496-12, section 4.2.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from enum import Enum, auto
from typing import BinaryIO

_TEXT = re.compile(rb"\xff\xfe|\xfe\xff|(\xef\xbb\xbf)?\s*[<{\[]")
_HEAD = 512
_DATA = frozenset({b"mdat", b"moov", b"moof"})


class Verdict(Enum):
    """What the boxes of a file say."""

    WHOLE = auto()
    """An MP4 whose boxes fill the file and hold its data and its table of contents."""
    CUT = auto()
    """An MP4 that ends in the midst of its data."""
    UNFINISHED = auto()
    """An MP4 that lacks something at its end."""
    NOT_JUDGED = auto()
    """No MP4; or one in fragments, which may end after any of them."""


def is_text(file: BinaryIO) -> bool:
    """Whether the file begins like HTML, XML or JSON: an error page that calls itself a video."""
    file.seek(0)
    return _TEXT.match(file.read(_HEAD)) is not None


def judge(file: BinaryIO, size: int) -> Verdict:
    """Walk the boxes of a file of *size* bytes."""
    names = set[bytes]()
    for name, end in _boxes(file, size):
        names.add(name)
        if b"ftyp" not in names:
            return Verdict.NOT_JUDGED
        if end is None or end > size:
            return Verdict.CUT if name in _DATA else Verdict.UNFINISHED
    if not names or b"moof" in names:
        return Verdict.NOT_JUDGED
    return Verdict.WHOLE if {b"moov", b"mdat"} <= names else Verdict.UNFINISHED


def _boxes(file: BinaryIO, size: int) -> Generator[tuple[bytes, int | None]]:
    """Yield the name of each box and where it ends; `None` where that cannot be."""
    place = 0
    while place < size:
        file.seek(place)
        header = file.read(16)
        length = int.from_bytes(header[:4])
        if length == 0:
            # It reaches to the end, wherever that is.
            length = size - place
        elif length == 1:
            length = int.from_bytes(header[8:16])
        yield header[4:8], place + length if length >= 8 else None
        place += max(length, 8)
