"""
The videos in an answer, in whichever form they come.

A provider documents one form. Relays and new versions send others: a list instead of an object, a text instead of a
list, one more level around them. All adapters read the same forms. A cover, a frame or an audio track is never taken
for the video; its type, its name and the end of its URL tell.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, cast
from urllib.parse import unquote

from attrs import define, evolve, field, frozen

from ..task import FailureReason, Task, TaskFailure, TaskStatus, Video
from .lax import Lax, structure

# Fields that hold results, or more of them, and fields that hold one URL. Only these are read, so the echo of an input
# is not taken for a result. Written as `_plain` leaves them: `videoUrl`, `video_url` and `Video-URL` are one field.
_CONTAINERS = (
    "output", "outputs", "result", "results", "videos", "videourls", "urls", "data", "files", "items", "creations",
    "works", "taskresult", "generations", "resulturls", "content", "contents", "response", "generatedvideos",
    "artifacts", "assets", "media", "medias", "videolist",
)  # fmt: skip
_URLS = (
    "videourl", "videouri", "video", "url", "uri", "src", "href", "link", "downloadurl", "videodownloadurl", "fileurl",
    "playurl", "resulturl", "signedurl", "presignedurl", "publicurl", "cdnurl", "file", "mp4", "mp4url", "mediaurl",
    "outputurl", "originurl", "location",
)  # fmt: skip
_FIELDS = {name: order for order, name in enumerate((*_CONTAINERS, *_URLS))}
_COVER_URLS = (
    "coverurl", "coverimageurl", "cover", "posterurl", "poster", "thumbnailurl", "thumbnail", "firstframeurl",
)  # fmt: skip
_TYPES = ("type", "mediatype", "mimetype", "mime", "contenttype", "kind", "format", "filetype", "role")
_NAMES = ("name", "filename")

_VIDEO_TYPE = re.compile(r"video(?![\w-]*(?:cover|frame|thumb|poster|image|audio))|mp4\Z|mov\Z|webm\Z|movie\Z")
_OTHER_TYPE = re.compile(
    r"image|audio|picture|photo|frame|thumb|cover|poster|subtitle|caption|music|sound|voice|text/|application/json"
    r"|waveform|bgm|lyrics|transcript|storyboard|sprite|still|(?:text|log|mask|zip|archive)\Z"
    r"|(?:jpe?g|png|webp|gif|bmp|avif|heic|mp3|wav|aac|m4a|flac|ogg|srt|vtt|json|txt)\Z"
)
_OTHER_NAME = re.compile(
    r"\.(?:jpe?g|png|webp|gif|bmp|avif|heic|svg|tiff?|mp3|wav|aac|m4a|flac|ogg|opus|srt|vtt|json|txt|log|zip)\Z"
    r"|\A(?:video[_-])?(?:cover|thumb|thumbnail|poster|first[_-]?frame|last[_-]?frame|audio)(?:[_-]?image)?\Z"
)
_URL = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//\S|/[^/\s]", re.IGNORECASE)
# A blank alone is part of a URL that is not percent-encoded.
_NEXT_URL = re.compile(r"[\s,;]+(?=https?://)", re.IGNORECASE)
# What a task was made from, which says nothing of one result.
_MODE = re.compile(r"(?:to|2)[\s_-]?video|\b[tirv]2v\b|edit")
# The best cover first.
_COVER_ORDER = ("cover", "poster", "thumb", "first_frame", "image")

_SEPARATORS = {ord(sign): None for sign in "_- ."}

# No answer nests its results deeper; a hostile one may.
_DEPTH = 8


@define(kw_only=True)
class _WireEntry:
    width: Lax[int] = None
    height: Lax[int] = None
    duration: Lax[float] = None


@frozen(kw_only=True)
class FoundVideo:
    """A video in an answer."""

    url: str = field(repr=False)
    """Where it can be fetched."""
    cover_url: str | None = field(default=None, repr=False)
    """A still picture of it."""
    fields: Mapping[str, Any] = field(factory=dict[str, Any], repr=False)
    """The JSON object that the URL stands in; empty if the URL is not in an object."""

    def as_video(self, *, expires_at: datetime | None = None, duration: float | None = None) -> Video:
        """
        Return it as a `Video`, with the size and the length that stand beside the URL.

        :param duration: the length in seconds if none stands beside the URL.
        """
        wire = structure(dict(self.fields), _WireEntry)
        return Video(
            url=self.url,
            expires_at=expires_at,
            width=wire.width,
            height=wire.height,
            duration=duration if wire.duration is None else wire.duration,
            cover_url=self.cover_url,
        )


@frozen(kw_only=True)
class _Entry:
    url: str
    type: str
    fields: Mapping[str, Any]
    is_video: bool
    is_other: bool
    """Whether it is certainly not a video."""


def find_videos(*places: object) -> tuple[FoundVideo, ...]:
    """
    Find the videos in an answer.

    :param places: JSON values, the documented place first and the whole answer last. The first place with a video
        counts. A place may be a URL, an object with a URL in one of its usual fields, a list of either, or an object
        around them.
    """
    for place in places:
        entries = list(_entries(place, {}, _DEPTH))
        if not entries:
            continue
        # An entry that says that it is a video wins over one that says nothing, and that over an unknown type.
        chosen = (
            [entry for entry in entries if entry.is_video]
            or [entry for entry in entries if not entry.is_other and not entry.type]
            or [entry for entry in entries if not entry.is_other][:1]
        )
        if chosen:
            cover = _best_cover(entries)
            unique = {entry.url: entry for entry in reversed(chosen)}
            return tuple(
                FoundVideo(url=url, cover_url=_own_cover(entry.fields) or cover, fields=entry.fields)
                for url, entry in reversed(unique.items())
            )
    return ()


def require_video(task: Task, path: str, value: object) -> Task:
    """
    Return *task*, as a failure that names *path* if it is a success without a video although its result is not empty.

    The core turns a success without any result into a failure itself, and polls a few more times before it is final.

    :param path: where the provider documents the result, such as `output.video_url`.
    :param value: what the answer has there.
    """
    if task.status is not TaskStatus.SUCCEEDED or task.videos or not value:
        return task
    message = f"the provider reports a success, but {path} contains no video that can be read"
    return evolve(task, status=TaskStatus.FAILED, error=TaskFailure(message=message, reason=FailureReason.NO_OUTPUT))


def _entries(value: object, around: Mapping[str, Any], depth: int) -> Iterator[_Entry]:
    """
    Walk over the URLs in *value*.

    :param around: the object that *value* stands in.
    """
    if depth == 0:
        return
    if isinstance(value, str):
        if _URL.match(text := value.strip()):
            yield from (_entry(url, around) for url in _NEXT_URL.split(text))
        elif text[:1] in ("[", "{"):
            # Some send JSON within JSON.
            with suppress(ValueError, RecursionError):
                yield from _entries(json.loads(text), around, depth - 1)
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _entries(item, {}, depth - 1)
    elif isinstance(value, dict):
        yield from _entries_of_object(cast("dict[str, Any]", value), depth)


def _entries_of_object(fields: Mapping[str, Any], depth: int) -> Iterator[_Entry]:
    names = {_plain(name): name for name in fields}
    if names and all(name.isdecimal() for name in names):
        # Some languages write a list as an object with the positions as names.
        yield from _entries(list(fields.values()), {}, depth)
        return
    # The first field with something in it counts: others repeat it in another size or form.
    others: list[_Entry] = []
    for name in sorted(_FIELDS.keys() & names.keys(), key=_FIELDS.__getitem__):
        found = list(_entries(fields[names[name]], fields, depth - 1))
        if any(not entry.is_other for entry in found):
            yield from found
            return
        others += found if name in _URLS else ()
    yield from others


def _plain(name: str) -> str:
    return name.translate(_SEPARATORS).lower()


def _entry(url: str, fields: Mapping[str, Any]) -> _Entry:
    plain = {_plain(name): value for name, value in fields.items()}
    types = [kind for text in _texts(plain, _TYPES) if not _MODE.search(kind := text.strip().lower())]
    known = [kind for kind in types if _VIDEO_TYPE.match(kind) or _OTHER_TYPE.search(kind)]
    names = [name.strip().lower() for name in _texts(plain, _NAMES)]
    is_other = any(not _VIDEO_TYPE.match(kind) for kind in known) or any(
        _OTHER_NAME.search(name) for name in (*names, _file_name(url))
    )
    return _Entry(
        url=url,
        type=(known or [text for text in _texts(plain, ("type",)) if text.lower() in types] or [""])[0],
        fields=fields,
        is_video=not is_other and bool(known),
        is_other=is_other,
    )


def _file_name(url: str) -> str:
    path = re.split("[?#]", url, maxsplit=1)[0]
    return unquote(path.rpartition("/")[2], errors="replace").lower()


def _texts(fields: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    return [text for name in names if isinstance(text := fields.get(name), str) and text.strip()]


def _own_cover(fields: Mapping[str, Any]) -> str | None:
    plain = {_plain(name): value for name, value in fields.items()}
    for name in _COVER_URLS:
        value = plain.get(name)
        url = cast("dict[str, Any]", value).get("url") if isinstance(value, dict) else value
        if isinstance(url, str) and _URL.match(url.strip()):
            return url.strip()
    return None


def _best_cover(entries: Iterable[_Entry]) -> str | None:
    others = [entry for entry in entries if entry.is_other]
    for kind in _COVER_ORDER:
        for entry in others:
            if kind in entry.type or (not entry.type and kind in _file_name(entry.url)):
                return entry.url
    return None
