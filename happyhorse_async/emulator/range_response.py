"""The response to a download as plain data, for a fault to change. Without a fault, aiohttp sends the file itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from attrs import evolve

from ..messages import HttpResponse
from .faults.connection import http_date

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


def video_response(path: Path) -> HttpResponse:
    """Return the response with the complete file at *path*, with the validators that aiohttp sends. Blocks."""
    stat = path.stat()
    types = {".mp4": "video/mp4", ".jpg": "image/jpeg"}
    headers = {
        "content-type": types[path.suffix],
        "etag": f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"',
        "last-modified": http_date(stat.st_mtime),
        "accept-ranges": "bytes",
    }
    return HttpResponse(status=200, headers=headers, body=path.read_bytes())


def range_response(whole: HttpResponse, headers: Mapping[str, str]) -> HttpResponse:
    """Return the part of *whole* that the *headers* of a request, in lower case, ask for: all of it or one range."""
    requested = _RANGE.fullmatch(headers.get("range", ""))
    condition = headers.get("if-range")
    if requested is None or condition not in (None, whole.headers["etag"], whole.headers["last-modified"]):
        return whole
    size = len(whole.body)
    first, last = int(requested[1]), min(int(requested[2] or size), size - 1)
    if first > last:
        return HttpResponse(status=416, headers={"content-range": f"bytes */{size}"})
    place = {"content-range": f"bytes {first}-{last}/{size}"}
    return evolve(whole, status=206, headers={**whole.headers, **place}, body=whole.body[first : last + 1])
