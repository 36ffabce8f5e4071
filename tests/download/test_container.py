"""What the bytes of a file say, however they are cut into chunks."""

from __future__ import annotations

import pytest

from happyhorse_async.download.container import ContainerCheck, Verdict

from .videos import FTYP, MOOV, box

MDAT = box(b"mdat", b"\1" * 999)
ENDLESS = b"\0\0\0\0mdat" + b"\1" * 99

FILES = {
    "data first": (FTYP + MDAT + MOOV, Verdict.WHOLE),
    "table first": (FTYP + MOOV + MDAT, Verdict.WHOLE),
    "data to the end": (FTYP + MOOV + ENDLESS, Verdict.WHOLE),
    "a long box": (FTYP + MOOV + b"\0\0\0\1mdat" + (17).to_bytes(8) + b"\1", Verdict.WHOLE),
    "QuickTime": (box(b"wide", b"") + MDAT + MOOV, Verdict.WHOLE),
    "junk at the end": (FTYP + MDAT + MOOV + b"\1\2\3", Verdict.WHOLE),
    "text at the end": (FTYP + MDAT + MOOV + b"<!-- cached -->", Verdict.WHOLE),
    "fragments": (FTYP + MOOV + box(b"moof", b"") + MDAT, Verdict.NOT_JUDGED),
    "WebM": (b"\x1aE\xdf\xa3" + bytes(99), Verdict.NOT_JUDGED),
    "AVI": (b"RIFF\0\0\0\0AVI LIST", Verdict.NOT_JUDGED),
    "cut data": (FTYP + MOOV + MDAT[:-1], Verdict.CUT),
    "cut table": (FTYP + MDAT + MOOV[:-1], Verdict.CUT),
    "cut padding": (FTYP + MDAT + MOOV + b"\0\0\1\0free", Verdict.CUT),
    "a box shorter than its header": (FTYP + b"\0\0\0\7mdat", Verdict.CUT),
    "no table": (FTYP + MDAT, Verdict.UNFINISHED),
    "no data": (FTYP + MOOV, Verdict.UNFINISHED),
    "a fragment alone": (box(b"moof", b"") + MDAT, Verdict.NOT_VIDEO),
    "nothing": (b"", Verdict.NOT_VIDEO),
    "seven bytes": (FTYP[:7], Verdict.NOT_VIDEO),
    "an empty ftyp": (box(b"ftyp", b"") + MDAT + MOOV, Verdict.NOT_VIDEO),
}


@pytest.mark.fault(67, 68)
@pytest.mark.parametrize("step", [1, 3, 8, 11, 100_000])
@pytest.mark.parametrize(("data", "verdict"), FILES.values(), ids=FILES)
def test_a_file_is_judged_by_its_boxes(data: bytes, verdict: Verdict, step: int) -> None:
    """The verdict is the same however the file arrives."""
    check = ContainerCheck()

    for start in range(0, len(data), step):
        check.feed(data[start : start + step])

    assert verdict is check.verdict()


@pytest.mark.parametrize(("data", "is_video"), [(FTYP[:4], None), (FTYP, True), (b"error code: 1015", False)])
def test_the_beginning_is_judged_at_once(data: bytes, is_video: bool | None) -> None:
    """A dozen bytes are enough to know that something is not a video."""
    check = ContainerCheck()

    check.feed(data)

    assert is_video is check.is_video
