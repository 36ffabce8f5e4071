"""
Checks from the bytes of a file whether it begins like a video, and whether it is complete.

MP4 and QuickTime files are a sequence of boxes, each beginning with its length and name: ISO/IEC 14496-12, section
4.2. Pictures (HEIC, AVIF) and audio (M4A) have the same format and differ by the brand in their first box.
"""

from __future__ import annotations

import math
from enum import Enum, auto

_EBML = b"\x1aE\xdf\xa3"
_SHORTEST_FTYP = 16
_PADDING = frozenset({b"free", b"skip", b"wide", b"pnot"})
_BEGINNINGS = frozenset({b"ftyp", b"moov", b"mdat"})
_TOP_LEVEL = _PADDING | _BEGINNINGS | {b"moof", b"mfra", b"uuid", b"meta", b"udta", b"sidx", b"styp", b"emsg", b"prft"}
# https://mp4ra.org/registered-types/brands
_NOT_VIDEO_BRANDS = frozenset(
    {
        b"avif", b"avis", b"crx ", b"heic", b"heif", b"heim", b"heis", b"heix", b"hevc", b"hevm", b"hevs", b"hevx",
        b"jp2 ", b"jpm ", b"jpx ", b"jxl ", b"miaf", b"mif1", b"mif2", b"msf1",
        b"F4A ", b"F4B ", b"M4A ", b"M4B ", b"M4P ",
    }
)  # fmt: skip


class Verdict(Enum):
    """The result of the check of a complete or broken file."""

    WHOLE = auto()
    """An MP4 that holds its data and its index."""
    CUT = auto()
    """An MP4 that ends inside one of its boxes."""
    UNFINISHED = auto()
    """An MP4 that lacks its data or its index."""
    NOT_JUDGED = auto()
    """A video of unknown end: another container, or an MP4 in fragments."""
    NOT_VIDEO = auto()
    """It does not begin like a video."""


class ContainerCheck:
    """Reads a file as it arrives, and keeps at most the header of one box in memory."""

    def __init__(self) -> None:
        self._position = 0
        self._box_end: float = 0
        self._header = bytearray()
        self._names: set[bytes] = set()
        self._walking = True
        self._broken = False
        self.is_video: bool | None = None
        """Whether the file begins like a video; `None` until enough of it has arrived."""

    def feed(self, data: bytes) -> None:
        """Read the next bytes of the file."""
        view = memoryview(data)
        while view and self._walking:
            if self._position < self._box_end:
                taken = int(min(self._box_end - self._position, len(view)))
            else:
                taken = self._header_size() - len(self._header)
                self._header += view[:taken]
                taken = min(taken, len(view))
            self._position += taken
            view = view[taken:]
            if self._position >= self._box_end and len(self._header) >= self._header_size():
                self._read_header()

    def verdict(self) -> Verdict:
        """Return the verdict at the end of the file."""
        if not self.is_video:
            return Verdict.NOT_VIDEO
        if not self._names:
            return Verdict.NOT_JUDGED
        inside_box = self._position < self._box_end and not math.isinf(self._box_end)
        if self._broken or inside_box or bytes(self._header[4:8]) in _TOP_LEVEL:
            return Verdict.CUT
        if b"moov" not in self._names:
            return Verdict.UNFINISHED
        if b"moof" in self._names:
            return Verdict.NOT_JUDGED
        return Verdict.WHOLE if b"mdat" in self._names else Verdict.UNFINISHED

    def _header_size(self) -> int:
        if len(self._header) < 8:
            return 8
        if self._header.startswith(b"RIFF") and self._position == len(self._header):
            return 12
        size = 16 if self._header.startswith(b"\0\0\0\1") else 8
        # The check needs the major brand of an `ftyp`.
        return size + 4 if self._header.startswith(b"ftyp", 4) else size

    def _read_header(self) -> None:
        header = bytes(self._header)
        begin = self._position - len(header)
        self._header.clear()
        if begin == 0 and (header[:4] == _EBML or (header[:4] == b"RIFF" and header[8:12] == b"AVI ")):
            self.is_video, self._walking = True, False
            return
        length, name = int.from_bytes(header[:4]), header[4:8]
        if length == 1:
            length = int.from_bytes(header[8:16])
        if self.is_video is None:
            self._judge_beginning(name, length, header[-4:])
        if self.is_video is False:
            self._walking = False
        elif 0 < length < 8 or (name not in _TOP_LEVEL and self._is_complete()):
            # If the video is complete, later bytes do not belong to it.
            self._walking, self._broken = False, not self._is_complete()
        else:
            self._names.add(name)
            self._box_end = begin + length if length else math.inf

    def _judge_beginning(self, name: bytes, length: int, brand: bytes) -> None:
        if name == b"ftyp":
            self.is_video = length >= _SHORTEST_FTYP and brand not in _NOT_VIDEO_BRANDS
        elif name not in _PADDING:
            self.is_video = name in _BEGINNINGS

    def _is_complete(self) -> bool:
        return {b"moov", b"mdat"} <= self._names
