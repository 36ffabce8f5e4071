"""Faults of the storage that holds the videos."""

from __future__ import annotations

import struct

from attrs import evolve

from ...emulation import ApiFault, ErrorReply
from ...messages import HttpResponse
from .connection import http_date
from .fault import DOWNLOADS, CallContext, Fault, RawResponse, ResponseChange, serialize, serialize_head


def not_stored(status: int, code: str = "", message: str = "") -> Fault:
    """
    Answer like a storage that does not have the file yet.

    Use `seconds=` for a file that is late.
    """
    reply = ErrorReply(status=status, code=code or "NoSuchKey", message=message or "The file is not there yet.")
    summary = f"the file is not in the storage yet: a {status}"
    return Fault(summary, on=DOWNLOADS, response=lambda response, call: call.refuse(reply))


def content(summary: str, body: bytes, media_type: str) -> Fault:
    """Answer with 200 and *body* instead of the video."""

    def change(response: HttpResponse, call: CallContext) -> HttpResponse:
        return HttpResponse(status=200, headers={"content-type": media_type}, body=body)

    return Fault(summary, on=DOWNLOADS, response=change)


def _refused(reason: ApiFault) -> ResponseChange:
    return lambda response, call: call.refuse(reason)


def _wrong_length(by: int) -> ResponseChange:
    return lambda response, call: RawResponse(data=serialize(response, length=max(0, len(response.body) + by)))


def _no_length(share: float) -> ResponseChange:
    def change(response: HttpResponse, call: CallContext) -> RawResponse:
        return RawResponse(data=serialize_head(response) + response.body[: int(len(response.body) * share)])

    return change


def _ignored_range(response: HttpResponse, call: CallContext) -> HttpResponse:
    return call.whole or response


def _changed_object(response: HttpResponse, call: CallContext) -> HttpResponse:
    validators = {"etag": '"changed"', "last-modified": http_date(call.now - 3600)}
    return evolve(response, headers={**response.headers, **validators})


def _endless(response: HttpResponse, call: CallContext) -> RawResponse:
    return RawResponse(data=serialize_head(response) + response.body, repeated=b"\0" * 65536)


def _box(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", 8 + len(data)) + name + data


_ERROR = b'{"error": {"code": "InternalError", "message": "try again later"}}'
_PLAYLIST = b"#EXTM3U\n#EXTINF:5,\nsegment-0.ts\n#EXT-X-ENDLIST\n"
_PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 2000
_NO_MOOV = _box(b"ftyp", b"isom\0\0\2\0isomiso2") + _box(b"mdat", b"\0" * 5000)
_HEIC = _box(b"ftyp", b"heic\0\0\0\0mif1heic") + _box(b"meta", b"\0" * 100) + _box(b"mdat", b"\0" * 5000)

DOWNLOADED: dict[str, Fault] = {
    "dead-url": Fault("the URL is refused with 403 as expired", on=DOWNLOADS, response=_refused(ApiFault.FORBIDDEN)),
    "gone-url": Fault("the URL leads to a 404", on=DOWNLOADS, response=_refused(ApiFault.UNKNOWN_TASK)),
    "late-202": not_stored(202, "Processing"),
    "late-400": not_stored(400, "video_not_ready"),
    "late-403": not_stored(403, "AccessDenied", "Access denied."),
    "late-404": not_stored(404),
    "late-409": not_stored(409, "OperationAborted"),
    "late-423": not_stored(423, "Locked"),
    "length-too-long": Fault("a larger length is announced than comes", on=DOWNLOADS, response=_wrong_length(1000)),
    "length-too-short": Fault("more comes than was announced", on=DOWNLOADS, response=_wrong_length(-1000)),
    "no-length": Fault("no length is announced", on=DOWNLOADS, response=_no_length(1.0)),
    "no-length-cut": Fault(
        "no length is announced, and half of the video comes", on=DOWNLOADS, response=_no_length(0.5)
    ),
    "json-download": content("an error in JSON with 200 instead of the video", _ERROR, "application/json"),
    "text-download": content(
        "the text `error code: 1015` with 200 instead of the video", b"error code: 1015", "text/plain"
    ),
    "playlist-download": content("an HLS playlist instead of the video", _PLAYLIST, "application/vnd.apple.mpegurl"),
    "png-download": content("a PNG image instead of the video", _PNG, "image/png"),
    "heic-download": content("a HEIC image instead of the video, called `video/mp4`", _HEIC, "video/mp4"),
    "zeros-download": content("zeros instead of the video, called `video/mp4`", b"\0" * 5000, "video/mp4"),
    "one-byte-download": content("a single byte instead of the video, called `video/mp4`", b"x", "video/mp4"),
    "no-moov-download": content("an MP4 without a `moov` box", _NO_MOOV, "video/mp4"),
    "range-ignored": Fault(
        "the complete video comes where a range was requested", on=DOWNLOADS, response=_ignored_range
    ),
    "changed-object": Fault(
        "the video has another `ETag` and another date than before",
        on=DOWNLOADS,
        response=_changed_object,
    ),
    "endless-download": Fault("the video never ends", on=DOWNLOADS, response=_endless),
}
"""By name."""
