"""Undocumented responses, as gateways, proxies, captive portals and bugs really send them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, TypeAlias, cast

JSON: TypeAlias = Any
Path: TypeAlias = tuple[str | int, ...]
"""The path of a part of a JSON value: names and indexes."""

JUNK: dict[str, JSON] = {
    "null": None,
    "true": True,
    "zero": 0,
    "a negative number": -1,
    "a fraction": 0.5,
    "a number above a hundred": 250,
    "a huge whole number": 10**400,
    "a huge number": 1e308,
    "an empty text": "",
    "blanks": "  ",
    "a text": "junk",
    "a long text": "junk " * 60,
    "control characters": "\x1b[31m\u202ejunk\x00\r\n",
    "the end of time": "9999-12-31T23:59:59.999Z",
    "the beginning of time": "0001-01-01 00:00:00",
    "a broken URL": "https://[broken?Expires=" + "9" * 400,
    "an empty list": [],
    "an empty object": {},
    "a list of nulls": [None, None],
    "a list of lists": [[[]]],
    "a list of texts": ["junk"],
    "an object in an object": {"junk": {"junk": None}},
}
"""Values to put at any position of a response."""

_HTML = b"<!DOCTYPE html><html><head><style>p{}</style></head><body><p>Sign in to the Wi-Fi</p></body></html>"

_UNREADABLE: dict[str, bytes] = {
    "nothing": b"",
    "blanks": b" \r\n ",
    "HTML": _HTML,
    "XML": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "plain text": b"upstream connect error",
    "half an object": b'{"id": "1", "status": "suc',
    "two objects": b'{"id": "1"}{"id": "2"}',
    "NaN": b'{"id": NaN, "status": NaN, "progress": NaN}',
    "Infinity": b'{"id": "1", "duration": Infinity}',
    "a number beyond floats": b'{"id": "1", "duration": 1e999}',
    "a number of 5000 digits": b'{"id": ' + b"9" * 5000 + b"}",
    "lists nested too deep": b"[" * 100_000 + b"]" * 100_000,
    "objects nested too deep": b'{"data":' * 100_000 + b"1" + b"}" * 100_000,
    "bytes that are no UTF-8": b'{"id": "\xff\xfe", "status": "\x80"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"id": "1"}'.encode("utf-16"),
    "half a surrogate pair": b'{"id": "\\ud800", "status": "\\udfff", "message": "\\ud800"}',
    "a compressed body": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00\x43\xbf\xa6\xa3\x02\x00\x00\x00",
    "null bytes": b"\x00" * 64,
}

# Fields in which providers send ids, statuses and errors.
_NAMES = (
    "id", "task_id", "taskId", "status", "task_status", "state", "output", "data", "result", "results", "tasks",
    "videos", "url", "video_url", "error", "errors", "code", "error_code", "message", "msg", "usage", "request_id",
    "success", "progress", "created", "created_at", "total", "page", "size",
)  # fmt: skip


def encoded(value: JSON) -> bytes:
    """Write *value* as JSON."""
    return json.dumps(value).encode()


def _hostile_bodies() -> dict[str, bytes]:
    bodies = dict(_UNREADABLE)
    for name, junk in JUNK.items():
        filled = dict.fromkeys(_NAMES, junk)
        bodies[name] = encoded(junk)
        bodies[f"{name} in every field"] = encoded(filled)
        bodies[f"objects with {name} in every field"] = encoded(dict.fromkeys(_NAMES, filled))
        bodies[f"lists of objects with {name} in every field"] = encoded({key: [filled] for key in _NAMES})
    return bodies


HOSTILE_BODIES = _hostile_bodies()
"""Bodies without a meaning at any provider, by their defect."""

TEMPTING_BODIES: dict[str, bytes] = {
    "nothing": b"",
    "an empty object": b"{}",
    "HTML": _HTML,
    "a page that names other faults": b"<h1>Bad Gateway</h1>Download failed: invalid key, quota exceeded, not found",
    "words that name other faults": b'{"message": "download failed: invalid key, quota exceeded, task not found"}',
}
"""Bodies that seem to say whether a submit was accepted, but prove nothing."""


def json_positions(value: JSON, path: Path = ()) -> Iterator[tuple[Path, JSON]]:
    """Yield *value* and all its parts with their paths, the whole first."""
    yield path, value
    if isinstance(value, dict):
        for name, part in cast("dict[str, object]", value).items():
            yield from json_positions(part, (*path, name))
    if isinstance(value, list):
        for number, part in enumerate(cast("list[object]", value)):
            yield from json_positions(part, (*path, number))


def replaced(value: JSON, path: Path, new: JSON) -> JSON:
    """Return a copy of *value* with *new* at *path*."""
    if not path:
        return new
    copy = deepcopy(value)
    place = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = new
    return copy


def removed(value: JSON, path: Path) -> JSON:
    """Return a copy of *value* without the part at *path*, which must not be empty."""
    copy = deepcopy(value)
    place = copy
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    return copy


def mutations(value: JSON) -> Iterator[tuple[str, Path, JSON]]:
    """Yield copies of *value* with one change each: each junk value at each position, and each position removed."""
    for path, _ in json_positions(value):
        for name, junk in JUNK.items():
            yield f"{name} at {list(path)}", path, replaced(value, path, junk)
        if path:
            yield f"nothing at {list(path)}", path, removed(value, path)
